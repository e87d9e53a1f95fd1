#!/bin/sh
# How the finish makes a disk start: GRUB's boot sector and core image before the root partition, which becomes
# the first and only one of an MBR partition table. So every image starts and grows in one way, whatever table
# its disk had. boot check | core FOLDER | merge | write FOLDER
set -eu
source=$(findmnt -nvo SOURCE / | head -n 1)
part=$(basename "$(readlink -f "$source")")
if [ ! -f "/sys/class/block/$part/partition" ]; then
    echo "the root file system is on $source; need a partition of a disk (no LVM, no encryption)"
    exit 1
fi
disk=$(basename "$(dirname "$(readlink -f "/sys/class/block/$part")")")
start=$(cat "/sys/class/block/$part/start")
total=$(cat "/sys/class/block/$disk/size")

octal() {
    for shift in 0 8 16 24; do
        printf '\\%03o' $(($1 >> shift & 255))
    done
}

check() {
    type=$(findmnt -nvo FSTYPE / | head -n 1)
    [ "$type" = ext4 ] || { echo "the root file system is $type; need ext4"; exit 1; }
    [ "$start" -ge 2048 ] || { echo "$part begins at sector $start; need 2048 at least"; exit 1; }
    [ "$((total - start))" -lt 4294967296 ] || { echo "$disk is too large for an MBR partition table"; exit 1; }
    for other in /sys/class/block/"$disk"/"$disk"*; do
        [ "$(cat "$other/start")" -le "$start" ] || { echo "${other##*/} follows $part, which could not grow"; exit 1; }
    done
    free=$(df -Pk / | awk 'NR == 2 { print int($4 / 1024) }')
    [ "$free" -ge 1500 ] || { echo "$free MiB are free on $part; need 1500"; exit 1; }
}

core() {
    grub-mkimage -O i386-pc -o "$1/core.img" -p '(hd0,msdos1)/boot/grub' MODULES
    cp /usr/lib/grub/i386-pc/boot.img "$1/boot.img"
    [ "$(stat -c %s "$1/core.img")" -le $((2047 * 512)) ]
}

# A separate /boot or EFI partition is given up: its content moves into the root file system.
merge() {
    rm -rf /boot/grub /boot/efi/* 2>/dev/null || true
    ! mountpoint -q /boot/efi || umount /boot/efi
    mountpoint -q /boot || return 0
    mkdir -p /boot.new
    cp -a /boot/. /boot.new/
    umount /boot
    cp -a /boot.new/. /boot/
    rm -rf /boot.new
}

write() {
    e2label "$source" root
    device=/dev/$disk
    # What is left of a GPT, whose copy is in the disk's last sectors.
    if [ "$(dd if="$device" bs=512 skip=$((total - 1)) count=1 2>/dev/null | head -c 8)" = "EFI PART" ]; then
        dd if=/dev/zero of="$device" bs=512 seek=$((total - 33)) count=33 conv=notrunc,fsync 2>/dev/null
    fi
    {
        head -c 440 "$1/boot.img"
        printf 'RTAM\000\000\200\376\377\377\203\376\377\377'
        printf "$(octal "$start")$(octal $((total - start)))"
        head -c 48 /dev/zero
        printf '\125\252'
        cat "$1/core.img"
    } >"$1/head"
    [ "$(head -c 512 "$1/head" | tail -c 2 | od -An -tx1 | tr -d ' ')" = 55aa ]
    dd if=/dev/zero of="$device" bs=512 seek=1 count=2047 conv=notrunc 2>/dev/null
    dd if="$1/head" of="$device" bs=512 conv=notrunc,fsync 2>/dev/null
}

"$@"

#!/bin/sh
# Run by mmdebstrap with the finished tree as $1: fills the disk and hands out kernel and initial RAM disk.
# DISK, KERNEL and INITRD are open files, so no folder on the way to them need be open to this user.
set -eu
tree=$1

# What mmdebstrap has put there while it works, and would take back only after this: no service would ever be
# started by apt, and apt would look for the proxy of the computer that made the image.
rm -f "$tree/usr/sbin/policy-rc.d" "$tree"/etc/apt/apt.conf.d/*mmdebstrap
mv "$tree/etc/dpkg/dpkg.cfg.d/99mmdebstrap" "$tree/etc/dpkg/dpkg.cfg.d/99cloudmatrix"
if [ -e "$tree/usr/sbin/start-stop-daemon.REAL" ]; then
    mv "$tree/usr/sbin/start-stop-daemon.REAL" "$tree/usr/sbin/start-stop-daemon"
fi

# What is mounted inside the tree (/proc, /sys, /dev) stays out: a bind mount does not take it along.
mount --bind "$tree" "$tree/mnt"
trap 'umount "$tree/mnt"' EXIT
eval "$FILL"

cat "$tree/boot/initrd" >"$INITRD"

# QEMU starts an unpacked kernel itself; unpacking one in an emulated machine takes two seconds each time.
number() { od -An -tu4 -j "$1" -N "$2" "$tree/boot/vmlinuz" | tr -d ' '; }
start=$((($(number 497 1) + 1) * 512 + $(number 584 4)))
length=$(number 588 4)
if [ "$(od -An -tx4 -j "$start" -N 4 "$tree/boot/vmlinuz" | tr -d ' ')" = fd2fb528 ]; then
    tail -c "+$((start + 1))" "$tree/boot/vmlinuz" | head -c "$((length - 4))" | chroot "$tree" zstd -dcq >"$KERNEL"
else
    cat "$tree/boot/vmlinuz" >"$KERNEL"
fi

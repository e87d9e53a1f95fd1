#!/bin/sh
# Run as root inside a new Debian or Ubuntu system, started or chrooted into: makes it the same as an image made
# from packages. Its folder holds what it works with (see finish.py). Whoever started it reads the lines that
# begin with "cloudmatrix: "; afterwards the machine has to be switched off, not shut down.
set -eu
folder=$(cd "$(dirname "$0")" && pwd)
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive INITRD=No
export SYSTEMD_OFFLINE=1 NEEDRESTART_SUSPEND=1
log=$folder/log stage=starting

say() {
    stage=$*
    echo "cloudmatrix: $stage"
}

fail() {
    trap - EXIT
    [ ! -s "$log" ] || tail -n 25 "$log"
    echo "cloudmatrix: failed: $1"
    exit 1
}
trap 'fail "$stage ended with $?"' EXIT

# progress NAME: a line for every ten packages. (awk would read ahead.)
progress() {
    total=0 got=0 unpacked=0 set=0
    while read -r first second third; do
        case $first in
        Get:) got=$((got + 1)) done="downloading $got" number=$got ;;
        Unpacking) unpacked=$((unpacked + 1)) done="unpacking $unpacked" number=$unpacked ;;
        Setting) set=$((set + 1)) done="setting up $set" number=$set ;;
        [0-9]*) total=$((first + ${third%% *})) && continue ;;
        *) echo "$first $second $third" && continue ;;
        esac
        [ "$total" = 0 ] || [ $((number % 10)) != 0 ] || echo "cloudmatrix: $1 ($done/$total)"
    done
}

# counted NAME COMMAND...: run it, its output in the log, its progress on the console.
counted() {
    name=$1
    shift
    echo 1 >"$folder/code"
    { "$@" </dev/null 2>&1; echo $? >"$folder/code"; } | tee -a "$log" |
        grep --line-buffered -oE '^([0-9]+ upgraded, [0-9]+ newly|Get:|Unpacking |Setting up |(E: |Err:|dpkg: error).*)' |
        progress "$name"
    [ "$(cat "$folder/code")" = 0 ] || fail "$name: $(grep -E '^(E: |Err:|dpkg: error)' "$log" | tail -n 1)"
}

names() { { dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' "$@" 2>/dev/null || true; } | sed -n 's/^[hi]i *//p'; }

say "looking at the system"
[ "$(id -u)" = 0 ] || fail "not root"
[ "$(dpkg --print-architecture)" = amd64 ] || fail "this system is for $(dpkg --print-architecture); need amd64"
sh "$folder/boot" check || fail "its disk cannot be used"

say "reading package lists"
mkdir -p /etc/dpkg/dpkg.cfg.d /etc/apt/apt.conf.d
cp "$folder/dpkg.cfg" /etc/dpkg/dpkg.cfg.d/99cloudmatrix
cp "$folder/apt.conf" /etc/apt/apt.conf.d/99cloudmatrix
cp "$folder/apt.once" /etc/apt/apt.conf.d/99cloudmatrix-once
if [ -s "$folder/sources" ]; then
    rm -rf /etc/apt/sources.list.d/*
    cp "$folder/sources" /etc/apt/sources.list
fi
# No daemon starts, no boot loader or initial RAM disk is made, no page index is built.
printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d
rm -f /etc/kernel/postinst.d/* /etc/kernel/postrm.d/* /etc/apt/apt.conf.d/20listchanges
debconf-set-selections <<-'END'
	linux-base linux-base/removing-running-kernel boolean false
	man-db man-db/auto-update boolean false
	grub-pc grub-pc/install_devices_empty boolean true
	grub-pc grub-pc/postrm_purge_boot_grub boolean true
	END
env -u SYSTEMD_OFFLINE systemctl stop unattended-upgrades.service apt-daily.timer apt-daily-upgrade.timer apt-daily.service \
    apt-daily-upgrade.service >/dev/null 2>&1 || true
counted "reading package lists" apt-get update

say "installing packages"
packages=$(cat "$folder/packages")
# shellcheck disable=SC2086
counted "installing packages" apt-get -y dist-upgrade $packages grub-common grub-pc-bin
apt-get clean
sh "$folder/boot" core "$folder" || fail "GRUB's core image cannot be made"

# What is left is what an image made from packages has: the list, what it depends on, and what Debian requires.
say "removing what is not needed"
kernel=$(cat "$folder/kernel")
image=$(dpkg-query -W -f '${Depends}' "$kernel" | tr ', ' '\n\n' | grep '^linux-image-[0-9]' | head -n 1)
version=${image#linux-image-}
others=$(names 'linux-image-*' 'linux-modules-*' 'linux-headers-*' | sort -u | grep -vx "$kernel" | grep -v -e "-$version\$" || true)
# cloud-init is content with any DHCP client, so the others would stay beside ours.
others="$others $(names dhcpcd-base isc-dhcp-client)"
# By the archive's priorities, as for an image from packages: a package's own may be another (apt-utils).
# shellcheck disable=SC2046
required=$(names $(apt-cache dumpavail | awk '/^Package: / { name = $2 } $0 == "Priority: required" { print name }'))
# shellcheck disable=SC2046
apt-mark auto $(apt-mark showmanual) >>"$log"
# shellcheck disable=SC2086
apt-mark manual $packages $required >>"$log"
# shellcheck disable=SC2086
counted "removing what is not needed" apt-get -y purge --auto-remove $others
find /usr/lib/modules -mindepth 1 -maxdepth 1 ! -name "$version" -exec rm -rf {} +
sed -n 's/^path-exclude=//p' "$folder/dpkg.cfg" | while read -r pattern; do
    # shellcheck disable=SC2086
    rm -rf $pattern
done

say "applying settings"
rm -rf /etc/netplan /etc/network /etc/systemd/network/* /etc/ssh/sshd_config.d/* /etc/udev/rules.d/* /etc/default/grub.d
find /etc/cloud/cloud.cfg.d -type f ! -name 05_logging.cfg ! -name 90_dpkg.cfg -delete
rm -f /etc/cloud/cloud-init.disabled /etc/cloud/ds-identify.cfg
for user in $(awk -F: '$3 >= 1000 && $3 < 60000 { print $1 }' /etc/passwd); do
    userdel -rf "$user" >>"$log" 2>&1 || true
    rm -f "/etc/sudoers.d/$user"
done
find /etc/sudoers.d -type f ! -name README -delete
usermod -p '*' root
sh "$folder/boot" merge
tar -xf "$folder/overlay.tar" -C / --no-same-owner

say "preparing for a quick start"
sh "$folder/prepare"

say "making it boot"
sh "$folder/boot" write "$folder"

say "sealing"
rm -f /usr/sbin/policy-rc.d /etc/apt/apt.conf.d/99cloudmatrix-once
cp "$log" "/run/cloudmatrix-finish.log" 2>/dev/null || true
sh "$folder/seal"
trap - EXIT
cd /
rm -rf "$folder"
sync
fstrim / 2>/dev/null || true
echo "cloudmatrix: finished"

#!/bin/sh
# Run as root in the new system, as the last of all: takes out what no two machines may share.
set -eu
: >/etc/machine-id
rm -f /var/lib/dbus/machine-id /etc/ssh/ssh_host_* /var/lib/systemd/random-seed /var/lib/systemd/credential.secret
rm -rf /var/lib/cloud /var/log/cloud-init* /var/lib/dhcp/* /var/lib/dhcpcd/* /var/lib/docker/* /var/lib/containerd/*
rm -rf /var/lib/systemd/network /var/lib/systemd/timesync /var/lib/NetworkManager
rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/cache/apt/archives/*.deb
rm -f /etc/update-motd.d/* /etc/fstab
rm -f /var/cache/debconf/*-old /var/lib/dpkg/*-old /etc/hostname /etc/resolv.conf
# A journal that is being written would come back.
journalctl --relinquish-var >/dev/null 2>&1 || true
rm -rf /var/log/journal/*
find /var/log -type f -delete
rm -rf /root/.ssh /root/.bash_history /root/.cache /tmp/* /tmp/.[!.]*
rm -rf /var/tmp/cloud-init /var/tmp/systemd-private-*
: >/etc/resolv.conf
echo localhost >/etc/hostname

#!/bin/sh
# Run as root in the new system, once its packages and settings are there: makes it quick to start.
set -eu
kernel=$(basename /usr/lib/modules/*)

# Modules: unpacked once here instead of at every boot.
find "/usr/lib/modules/$kernel" -name '*.ko.xz' -print0 | xargs -0 -r -P 2 -n 64 xz -d
find "/usr/lib/modules/$kernel" -name '*.ko.zst' -print0 | xargs -0 -r -P 2 -n 64 zstd -dq --rm
depmod "$kernel"
/usr/lib/cloudmatrix/mkinitrd "$kernel" /boot/initrd virtio_blk virtio_net
/usr/lib/cloudmatrix/mkinitrd "$kernel" /boot/initrd-any virtio_blk virtio_scsi ahci sd_mod sr_mod virtio_net
ln -f "/boot/vmlinuz-$kernel" /boot/vmlinuz
rm -f /boot/initrd.img-* /boot/System.map-*
dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' 'linux-image-*' | sed -n 's/^[hi]i *//p' | xargs apt-mark hold >/dev/null

# Services: what a fresh machine does not need is off; the manager's are switched on by name.
for unit in squid varnish varnishncsa docker-registry prometheus-node-exporter dnsmasq; do
    systemctl disable "$unit.service" 2>/dev/null || true
done
for unit in \
    apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service \
    fstrim.timer logrotate.timer systemd-tmpfiles-clean.timer man-db.timer prometheus-node-exporter-apt.timer \
    prometheus-node-exporter-ipmitool-sensor.timer prometheus-node-exporter-mellanox-hca-temp.timer \
    prometheus-node-exporter-nvme.timer prometheus-node-exporter-smartmon.timer \
    getty@tty1.service serial-getty@ttyS0.service console-getty.service \
    ldconfig.service systemd-journal-catalog-update.service systemd-hwdb-update.service \
    systemd-journal-flush.service systemd-update-done.service systemd-pstore.service \
    systemd-binfmt.service proc-sys-fs-binfmt_misc.automount \
    modprobe@configfs.service modprobe@dm_mod.service modprobe@drm.service modprobe@efi_pstore.service \
    modprobe@fuse.service modprobe@loop.service \
    dev-hugepages.mount dev-mqueue.mount sys-kernel-debug.mount sys-kernel-tracing.mount \
    sys-kernel-config.mount sys-fs-fuse-connections.mount \
    systemd-networkd-wait-online.service systemd-network-generator.service \
    systemd-networkd-persistent-storage.service systemd-timesyncd.service \
    systemd-machine-id-commit.service systemd-firstboot.service systemd-boot-update.service \
    systemd-logind.service systemd-user-sessions.service systemd-sysusers.service systemd-random-seed.service \
    systemd-tmpfiles-setup-dev-early.service systemd-tmpfiles-setup-dev.service kmod-static-nodes.service \
    systemd-modules-load.service systemd-remount-fs.service systemd-udev-load-credentials.service \
    systemd-hibernate-clear.service systemd-pcrmachine.service systemd-pcrphase.service systemd-pcrphase-sysinit.service \
    systemd-tpm2-setup.service systemd-tpm2-setup-early.service systemd-creds.socket systemd-initctl.socket \
    systemd-hostnamed.socket systemd-sysext.socket systemd-pcrextend.socket systemd-pcrlock.socket \
    systemd-ask-password-console.path systemd-ask-password-wall.path tmp.mount run-lock.mount getty.target \
    sshd-keygen.service \
    cloud-init-hotplugd.socket cloud-init-hotplugd.service \
    nftables.service squid-logrotate.timer console-setup.service keyboard-setup.service; do
    systemctl mask "$unit" >/dev/null 2>&1
done
systemctl enable systemd-networkd.service ssh.service docker.service containerd.service \
    matrix-lease.path matrix-grow.service matrix-power.service >/dev/null 2>&1
systemctl set-default multi-user.target >/dev/null 2>&1

mkdir -p /etc/systemd/system-generators /etc/udev/rules.d /etc/tmpfiles.d
for generator in cloud-init-generator systemd-fstab-generator systemd-getty-generator systemd-gpt-auto-generator \
    systemd-hibernate-resume-generator systemd-rc-local-generator systemd-run-generator systemd-ssh-generator \
    systemd-system-update-generator systemd-sysv-generator systemd-tpm2-generator; do
    ln -sf /dev/null "/etc/systemd/system-generators/$generator"
done
ln -sf /dev/null /etc/tmpfiles.d/systemd-nologin.conf
mkdir -p /etc/systemd/system/multi-user.target.wants
ln -sf /usr/lib/systemd/system/cloud-init.target /etc/systemd/system/multi-user.target.wants/cloud-init.target

# Device rules: none for hardware that a virtual machine does not have.
for rules in 50-firmware 60-autosuspend 60-cdrom_id 60-dmi-id 60-drm 60-evdev 60-fido-id 60-infiniband 60-input-id \
    60-persistent-alsa 60-persistent-input 60-persistent-storage 60-persistent-storage-mtd \
    60-persistent-storage-tape 60-persistent-v4l 60-sensor 60-serial 64-btrfs 64-ext4 66-azure-ephemeral 70-camera \
    70-joystick 70-memory 70-mouse 70-power-switch 70-touchpad 70-uaccess 71-seat 73-seat-late 75-probe_mtd \
    78-sound-card 80-docker 81-net-dhcp 90-iocost 96-e2scrub; do
    ln -sf /dev/null "/etc/udev/rules.d/$rules.rules"
done

# Python: compiled now, checked against nothing later.
python3 -m compileall -q -j 2 --invalidation-mode unchecked-hash \
    /usr/lib/python3/dist-packages /usr/lib/python3.* >/dev/null || true

"""What holds on every machine, wherever its disk came from. One list of assertions for all sources."""

import hashlib
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from cloudinit.render import CardSpec, network_config, user_data
from provider import ssh
from provider.images import finish, recipe
from provider.resources.base import Context
from provider.resources.virtual_machine import VirtualMachineResource
from tests.rig import guests
from tests.rig.sshd import free_port, new_key

DISK_GIB = 10
"""More than an image has: the file system must have grown."""
NOT_OURS = re.compile(
    r"^(grub|netplan|ifupdown|unattended-upgrades|apparmor|os-prober|snapd|dhcpcd"
    r"|isc-dhcp-client|systemd-resolved|systemd-timesyncd|linux-headers|installation-report|task-|tasksel)"
)
FACTS = """
section() { echo "@@ $1"; }
section packages; dpkg-query -W -f '${db:Status-Abbrev} ${Package}\\n' | sed -n 's/^[hi]i *//p'
section started; cat /proc/cmdline
section held; apt-mark showhold
section kernel; uname -r; ls /usr/lib/modules
section masked; find /etc/systemd/system -maxdepth 1 -lname /dev/null -printf '%f\\n'
section failed; systemctl list-units --failed --plain --no-legend | awk '{print $1}'
section network; find /etc/systemd/network /etc/netplan /etc/network -type f 2>/dev/null
section root; findmnt -nvo SOURCE,FSTYPE /; blkid -o value -s LABEL /dev/vda1
section size; df -Pk / | awk 'NR == 2 {print $2}'
section table; head -c 512 /dev/vda | tail -c 2 | od -An -tx1; head -c 520 /dev/vda | tail -c 8 | tr -d '\\0'
section apt; cat /etc/apt/apt.conf.d/*cloudmatrix* /etc/dpkg/dpkg.cfg.d/*cloudmatrix*
apt-config dump | grep -i proxy
section users; awk -F: '$3 >= 1000 && $3 < 60000 {print $1}' /etc/passwd; ls /home
section instances; ls /var/lib/cloud/instances
section excluded; find /usr/share/man /usr/share/locale /usr/share/info -type f ! -name dir 2>/dev/null | head
section identity; cat /etc/machine-id /var/lib/cloud/data/instance-id; cat /etc/ssh/ssh_host_*_key.pub
[ ! -f /var/lib/systemd/random-seed ] || sha256sum /var/lib/systemd/random-seed
section leftovers
ls -d /var/tmp/cloudmatrix /usr/sbin/policy-rc.d /etc/apt/apt.conf.d/*once /boot/efi 2>/dev/null
section settings
"""
DOCKER = """
for _ in $(seq 120); do systemctl is-active -q docker && break; sleep 1; done
tar -C / -c bin/busybox usr/bin/busybox 2>/dev/null | docker import - probe >/dev/null
docker run --rm --network none probe /usr/bin/busybox echo container works
"""


@contextmanager
def machine(folder: Path, disk: Path, hostname: str) -> Iterator[ssh.Host]:
    """A clone of the disk, started the product's way under QEMU, with one NAT card; gone afterwards."""
    host, login, port = new_key(), new_key(), free_port()
    inputs = {
        "hostname": hostname,
        "hypervisor": "qemu",
        "image": {"id": "base", "path": str(disk)},
        "cpus": 2,
        "memory": 1024,
        "disk": DISK_GIB,
        "cards": [{"network": "nat", "mac": guests.MAC}],
        "user_data": user_data(guests.seed(host, login)),
        "network_config": network_config([CardSpec("nat0", guests.MAC)]),
        "connection": guests.connection(host, login, port),
        "ssh_port": port,
        "running": True,
    }
    context = Context("checks", hostname, folder, print, threading.Event())
    handler = VirtualMachineResource()
    made = handler.create(context, inputs)
    try:
        yield ssh.connect(inputs["connection"])
    finally:
        handler.delete(context, made.identifier, {**inputs, **made.outputs})
        assert guests.daemons(folder) == []


def facts(host: ssh.Host) -> Mapping[str, list[str]]:
    """What the machine tells of itself, by section, a line each."""
    names = " ".join(f"/{name}" for name, _, _ in recipe.settings())
    text = host.sudo(FACTS + f"sha256sum {names}", timeout=180, check=False).stdout
    parts = (part.partition("\n") for part in text.split("@@ ")[1:])
    return {name: body.splitlines() for name, _, body in parts}


def check(host: ssh.Host) -> Mapping[str, list[str]]:
    """Assert everything; the facts, for comparisons."""
    known = facts(host)
    installed = set(known["packages"])
    assert set(recipe.PACKAGES) <= installed, set(recipe.PACKAGES) - installed
    assert [name for name in known["packages"] if NOT_OURS.match(name)] == []
    kernel, *modules = known["kernel"]
    assert modules == [kernel], "one kernel"
    assert kernel.endswith("cloud-amd64")
    assert set(known["held"]) == {"linux-image-cloud-amd64", f"linux-image-{kernel}"}
    assert set(masked_units()) <= set(known["masked"])
    assert known["failed"] == []
    tree = {f"/{name}" for name, _, _ in recipe.settings() if name.startswith("etc/systemd/network/")}
    assert set(known["network"]) == tree | {"/etc/systemd/network/10-cloud-init-nat0.network"}
    assert [line.split() for line in known["root"]] == [["/dev/vda1", "ext4"], ["root"]]
    assert int(known["size"][0]) > (DISK_GIB - 1) << 20, "the file system has grown with the disk"
    assert known["table"][0].split() == ["55", "aa"]
    assert "EFI PART" not in "".join(known["table"])
    given = finish.files("debian", recipe.RELEASE, "")
    assert known["apt"] == (given["apt.conf"] + given["dpkg.cfg"]).decode().splitlines(), "and no proxy"
    assert known["users"] == ["matrix", "matrix"], "nobody but the seed's user"
    assert len(known["instances"]) == 1
    assert known["excluded"] == []
    assert known["leftovers"] == []
    wanted = [f"{hashlib.sha256(content).hexdigest()}  /{name}" for name, content, _ in recipe.settings()]
    assert known["settings"] == wanted
    assert host.sudo(DOCKER, timeout=300).stdout.strip().endswith("container works")
    return known


def masked_units() -> list[str]:
    """The units that prepare.sh masks."""
    text = recipe.PREPARE.read_text()
    loop = text[: text.index('systemctl mask "$unit"')].rpartition("for unit in \\\n")[2].partition("; do")[0]
    return loop.replace("\\\n", " ").split()

"""How long one virtual machine takes from power-on to SSH, cloud-init done and Docker, emulated by QEMU.

    python benchmarks/boot.py FOLDER [--grub] [--ahci] [--cpus 2] [--memory 1024] [--run COMMAND]

FOLDER holds disk.qcow2, vmlinuz and initrd. Figures are seconds on this computer's clock since QEMU started.
"""

import argparse
import io
import json
import os
import shlex
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import paramiko
import pycdlib
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

MAC = "52:54:00:00:00:01"
KERNEL = "root=/dev/vda1 rw quiet console=ttyS0,115200 cryptomgr.notests mitigations=off net.ifnames=0"
NETWORK = f"""version: 2
ethernets:
  nat0:
    match: {{macaddress: "{MAC}"}}
    set-name: nat0
    dhcp4: true
    dhcp-identifier: mac
    dhcp6: false
    optional: true
"""
STATE = r"""
i=0
until [ -e /run/cloud-init/result.json ] || [ $i -gt 150 ]; do i=$((i + 1)); sleep 2; done
until systemctl is-active -q docker || [ $i -gt 200 ]; do i=$((i + 1)); sleep 4; done
echo "uptime $(cut -d' ' -f1 /proc/uptime)"
echo "now $(date +%s.%N)"
echo "result $(stat -c %.9Y /run/cloud-init/result.json)"
for unit in systemd-networkd cloud-init-main cloud-init-local cloud-init-network ssh containerd docker; do
    echo "unit-$unit $(systemctl show -P ActiveEnterTimestampMonotonic $unit)"
done
"""

CPU = r"""
for unit in $(systemctl list-units --all --plain --no-legend --type=service | cut -d' ' -f1) init.scope; do
    used=$(systemctl show -P CPUUsageNSec "$unit")
    case $used in [0-9]*) echo "$((used / 1000000)) $unit";; esac
done | sort -rn | head -25 | awk '{printf "%s %.1f  ", $2, $1 / 1000} END {print ""}'
"""


def keypair() -> tuple[str, str]:
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    return private, public


def seed(path: Path, user_public: str, host_private: str, host_public: str) -> None:
    user_data = "#cloud-config\n" + json.dumps(
        {
            "users": [
                {
                    "name": "matrix",
                    "shell": "/bin/bash",
                    "sudo": "ALL=(ALL) NOPASSWD:ALL",
                    "ssh_authorized_keys": [user_public],
                }
            ],
            "ssh_keys": {"ed25519_private": host_private, "ed25519_public": host_public},
            "write_files": [{"path": "/etc/matrix-bench", "content": "seed read\n"}],
        }
    )
    files = {
        "user-data": user_data,
        "meta-data": "instance-id: bench-1\nlocal-hostname: bench\n",
        "network-config": NETWORK,
    }
    iso = pycdlib.PyCdlib()
    iso.new(interchange_level=3, joliet=3, rock_ridge="1.09", vol_ident="cidata")
    for name, text in files.items():
        data = text.encode()
        iso.add_fp(
            io.BytesIO(data),
            len(data),
            f"/{name.upper().replace('-', '_')}.;1",
            rr_name=name,
            joliet_path=f"/{name}",
        )
    iso.write(str(path))
    iso.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def argv(options: argparse.Namespace, work: Path, port: int) -> list[str]:
    direct = [
        *("-kernel", str(options.folder / "vmlinuz"), "-initrd", str(options.folder / "initrd")),
        *("-append", f"{KERNEL} {options.append}".strip()),
    ]
    bus = "if=none,id=d0" if options.ahci else "if=virtio"
    disk = f"file={work}/disk.qcow2,format=qcow2,{bus},cache=unsafe,discard=unmap"
    seed_drive = f"file={work}/seed.iso,format=raw,readonly=on"
    if options.ahci:
        drives = [
            *("-device", "ahci,id=ahci", "-drive", disk, "-device", "ide-hd,drive=d0,bus=ahci.0"),
            *("-drive", f"{seed_drive},if=none,id=d1,media=cdrom", "-device", "ide-cd,drive=d1,bus=ahci.1"),
        ]
    else:
        drives = ["-drive", disk, "-drive", f"{seed_drive},if=virtio"]
    return [
        *("qemu-system-x86_64", "-nodefaults", "-display", "none", "-no-reboot", "-machine", "pc"),
        *(
            "-accel",
            "tcg,thread=single",
            "-cpu",
            options.cpu,
            "-smp",
            str(options.cpus),
            "-m",
            str(options.memory),
        ),
        *([] if options.grub or options.ahci else direct),
        *drives,
        *("-netdev", f"user,id=n0,hostfwd=tcp:127.0.0.1:{port}-:22"),
        *("-device", f"virtio-net-pci,netdev=n0,mac={MAC},romfile="),
        *("-device", "virtio-rng-pci", "-serial", f"file:{work}/console"),
        *shlex.split(options.qemu),
    ]


def wait_banner(port: int, end: float) -> None:
    while time.monotonic() < end:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=2) as link:
                link.settimeout(2)
                if link.recv(4).startswith(b"SSH-"):
                    return
        except OSError:
            pass
        time.sleep(0.2)
    raise TimeoutError("no SSH banner")


def login(port: int, private: str, end: float) -> paramiko.SSHClient:
    key = paramiko.Ed25519Key.from_private_key(io.StringIO(private))
    while time.monotonic() < end:
        client = paramiko.SSHClient()
        client.set_missing_host_key_policy(paramiko.AutoAddPolicy())  # noqa: S507
        try:
            client.connect(
                "127.0.0.1", port, "matrix", pkey=key, timeout=10, banner_timeout=30, auth_timeout=30,
                look_for_keys=False, allow_agent=False,
            )  # fmt: skip
            return client
        except (paramiko.SSHException, OSError):
            client.close()
            time.sleep(0.3)
    raise TimeoutError("no SSH login")


def say(client: paramiko.SSHClient, script: str) -> str:
    _, out, _ = client.exec_command(f"sudo sh -c {shlex.quote(script)}", timeout=300)
    return out.read().decode()


def measure(options: argparse.Namespace, work: Path) -> None:
    private, public = keypair()
    seed(work / "seed.iso", public, *keypair())
    backing = str((options.folder / "disk.qcow2").resolve())
    clone = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", backing]
    subprocess.run([*clone, str(work / "disk.qcow2"), f"{options.disk}G"], check=True)
    port = free_port()
    load = os.getloadavg()[0]
    begin = time.monotonic()
    qemu = subprocess.Popen(argv(options, work, port), stdin=subprocess.DEVNULL)
    try:
        wait_banner(port, begin + options.deadline)
        banner = time.monotonic() - begin
        client = login(port, private, begin + options.deadline)
        logged_in = time.monotonic() - begin
        report = say(client, STATE)
        now = time.monotonic() - begin
        facts = {name: float(value) for name, value in (line.split() for line in report.splitlines() if line)}
        offset = now - facts["uptime"]
        cloud_init = now - (facts["now"] - facts["result"])
        figures = {"banner": banner, "login": logged_in, "cloud-init": cloud_init}
        for name, value in facts.items():
            if name.startswith("unit-"):
                figures[name[5:]] = value / 1e6 + offset
        stat = Path(f"/proc/{qemu.pid}/stat").read_text().rsplit(")", 1)[1].split()
        cpu = (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")
        print("  ".join(f"{name} {value:.1f}" for name, value in figures.items()))
        after = os.getloadavg()[0]
        print(f"QEMU CPU {cpu:.0f} s, kernel start at {offset:.1f}, load before {load:.1f} after {after:.1f}")
        print(say(client, CPU))
        for command in options.run:
            print(f"--- {command}\n{say(client, command)}")
    except TimeoutError as error:
        print(f"{error}\n{(work / 'console').read_text(errors='replace')[-3000:]}")
    finally:
        qemu.kill()
        qemu.wait()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--grub", action="store_true", help="boot through the disk's own boot loader")
    parser.add_argument("--ahci", action="store_true", help="a SATA disk and CD, as under VirtualBox")
    parser.add_argument("--cpu", default="max")
    parser.add_argument("--cpus", type=int, default=2)
    parser.add_argument("--memory", type=int, default=1024)
    parser.add_argument("--disk", type=int, default=10)
    parser.add_argument("--append", default="", help="more of the kernel's command line")
    parser.add_argument("--deadline", type=float, default=120.0, help="seconds until the login")
    parser.add_argument("--qemu", default="", help="more arguments for QEMU")
    parser.add_argument(
        "--run", action="append", default=[], help="a command to run in the machine at the end"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="boot-", dir="/var/tmp") as work:
        measure(options, Path(work))


if __name__ == "__main__":
    main()

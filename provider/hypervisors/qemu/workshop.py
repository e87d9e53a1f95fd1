"""QEMU's side of provider.images.workshop: a machine that lives no longer than this process."""

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

import platformdirs

from provider.errors import UserError
from provider.hypervisors.qemu import accel, argv, version

if TYPE_CHECKING:
    from provider.images.workshop import Job


@dataclass
class Process:
    """A running QEMU and the file with what it says itself."""

    child: subprocess.Popen[bytes]
    errors: IO[bytes]

    def ended(self) -> str | None:
        code = self.child.poll()
        if code is None:
            return None
        if code == 0:
            return ""
        self.errors.seek(0)
        said = self.errors.read().decode(errors="replace").strip().splitlines()[-3:]
        return "; ".join([f"QEMU ended with {code}", *said])

    def destroy(self) -> None:
        self.child.kill()
        self.child.wait()
        self.errors.close()


def start(job: "Job") -> Process:
    """UserError: no QEMU, too old a one, or it did not start."""
    installed = version.required()
    host = argv.Host(installed, accel.choose(platformdirs.user_cache_path("cloudmatrix"), installed))
    errors = tempfile.TemporaryFile()  # noqa: SIM115  it lives as long as the process
    try:
        child = subprocess.Popen(
            [*_bound(), *words(job, host)],
            cwd=job.folder,
            stdin=subprocess.DEVNULL,
            stdout=errors,
            stderr=errors,
        )
    except OSError as error:
        errors.close()
        raise UserError(f"{job.name}: {argv.SYSTEM} does not start: {error}") from error
    return Process(child, errors)


def words(job: "Job", host: argv.Host) -> list[str]:
    """The command line. Pure. The disk is thrown away when the work fails, so nothing waits for its sync."""
    form = "qcow2" if job.disk.suffix == ".qcow2" else "raw"
    first, second = ("disk", "cdrom") if job.boot == "disk" else ("cdrom", "disk")
    index = {first: 0, second: 1}
    line = [
        *(argv.SYSTEM, "-name", job.name, "-no-user-config", "-nodefaults", "-display", "none"),
        *("-sandbox", argv.SANDBOX, "-machine", "pc,usb=off,vmport=off"),
        *argv.processor(host.accelerator, alone=True),
        *("-smp", str(job.cpus), "-m", f"{job.memory}M", "-no-reboot"),
        *("-chardev", f"file,id=console,path={_file(job.console)}", "-serial", "chardev:console"),
        *("-device", "virtio-rng-pci"),
        "-drive",
        f"if=none,id=disk,file={_file(job.disk)},format={form},cache=unsafe,discard=unmap,detect-zeroes=unmap",
        *("-device", f"virtio-blk-pci,drive=disk,bootindex={index['disk']}"),
        *("-netdev", f"user,id={argv.NAT_ID},ipv6=off"),
        *("-device", f"virtio-net-pci,netdev={argv.NAT_ID},romfile="),
    ]
    for number, cdrom in enumerate(job.cdroms):
        drive = f"cd{number}"
        line += ["-drive", f"if=none,id={drive},file={_file(cdrom)},format=raw,readonly=on"]
        order = f",bootindex={index['cdrom']}" if number == 0 else ""
        # An installer starts from the CD; what runs from the disk may have drivers for virtual machines only.
        device = f"ide-cd,drive={drive}{order}" if job.boot == "cdrom" else f"virtio-blk-pci,drive={drive}"
        line += ["-device", device]
    return line


def _file(path: Path) -> str:
    return str(path.absolute()).replace(",", ",,")


def _bound() -> list[str]:
    """On Linux: the kernel ends the machine when this process is killed."""
    if sys.platform != "linux" or os.name != "posix" or not shutil.which("setpriv"):
        return []
    return ["setpriv", "--pdeathsig", "KILL"]

"""The source `packages`: a base image made by mmdebstrap from a Debian mirror, with no boot and no mount.

As root, or as a user with subordinate user ids (then in a namespace of its own).
"""

import fcntl
import os
import shlex
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from provider.errors import Cancelled, UserError
from provider.images import disk, recipe
from provider.images.apt import mirror_for, proxies, source_lines
from provider.images.progress import Stages
from provider.images.remove import remove
from provider.images.requirements import check_keyring, check_space, check_tools, check_user
from provider.mirrors import offered

GRUB = Path("/usr/lib/grub/i386-pc")
LOWEST_DESCRIPTOR = 60
"""apt and mmdebstrap talk over low descriptors by number, so ours keep away."""

ENVIRONMENT = {
    "LC_ALL": "C.UTF-8",
    "DEBIAN_FRONTEND": "noninteractive",
    "INITRD": "No",  # the package would make one of its own, which takes longer than all of prepare.sh
}


def namespaces(uid: int) -> list[str]:
    """The command that runs another as root, in namespaces that end when this process does.

    So nothing of an interrupted build runs on, and no mount of the tree ever shows outside. A user becomes
    root of a namespace of his own, in which his subordinate ids own the files of other owners.
    """
    user = [] if uid == 0 else ["--user", "--map-root-user", "--map-auto"]
    return ["setpriv", "--pdeathsig", "KILL", "unshare", *user, "--mount", "--pid", "--fork", "--kill-child"]


@dataclass(frozen=True)
class Outputs:
    """Where the hooks write."""

    disk: str
    kernel: str
    initrd: str


def bootstrap_argv(
    release: str,
    sources: Sequence[str],
    overlay: Path,
    outputs: Outputs,
    uid: int,
    options: Sequence[str] = (),
) -> list[str]:
    """mmdebstrap making the tree, dressing it and harvesting it; it leaves no tree behind."""
    fill = shlex.join(disk.filesystem_argv("TREE", outputs.disk, recipe.DISK_GIB * disk.GIB))
    words = {
        "FILL": fill.replace("TREE", '"$tree/mnt"'),
        "KERNEL": outputs.kernel,
        "INITRD": outputs.initrd,
    }
    environment = " ".join(f"{name}={shlex.quote(word)}" for name, word in words.items())
    hooks = [
        shlex.join(["tar-in", str(overlay), "/"]),
        shlex.join(["upload", str(recipe.PREPARE), "/prepare.sh"]),
        shlex.join(["upload", str(recipe.SEAL), "/seal.sh"]),
        'chroot "$1" sh /prepare.sh && rm "$1/prepare.sh"',
        'chroot "$1" sh /seal.sh && rm "$1/seal.sh"',
        f'{environment} sh -c {shlex.quote(recipe.HARVEST.read_text())} harvest "$1"',
    ]
    apt = ["Acquire::Languages none", "Acquire::Retries 3", "Acquire::http::Timeout 30", *options]
    return [
        *namespaces(uid),
        *("mmdebstrap", "--mode=root", "--verbose", "--variant=minbase"),
        *("--format=null", "--skip=cleanup/mmdebstrap"),  # its settings are out of the tree by then
        *("--architectures=amd64", f"--include={','.join(recipe.PACKAGES)}"),
        "--dpkgopt=force-unsafe-io",
        *(f"--dpkgopt=path-exclude={pattern}" for pattern in recipe.exclusions()),
        *(f"--aptopt={option}" for option in apt),
        *(f"--customize-hook={hook}" for hook in hooks),
        *(release, "/dev/null", *sources),
    ]


def build(
    folder: Path,
    release: str,
    mirror: str,
    lock: int,
    progress: Callable[[str], None],
    cancelled: threading.Event,
) -> None:
    """Fill `folder` with disk.qcow2, vmlinuz and initrd. UserError for everything that is missing."""
    check_tools()
    check_user()
    check_space(folder)
    keyring = check_keyring(release)
    progress("looking for the Debian mirror")
    sources = source_lines(offered(mirror_for(mirror), release), release, str(keyring))
    raw, overlay = folder / "disk.raw", folder / "overlay.tar"
    overlay.write_bytes(recipe.overlay())
    with ExitStack() as stack:
        files = [
            stack.enter_context(_shared(path))
            for path in (raw, folder / recipe.KERNEL, folder / recipe.INITRD)
        ]
        os.ftruncate(files[0], recipe.DISK_GIB * disk.GIB)
        outputs = Outputs(*(f"/proc/self/fd/{number}" for number in files))
        argv = bootstrap_argv(release, sources, overlay, outputs, os.geteuid(), proxies())
        _bootstrap(argv, [*files, lock], folder, progress, cancelled)
    progress("making the disk bootable")
    disk.make_bootable(raw, GRUB)
    progress("packing the disk")
    disk.run(disk.convert_argv(raw, folder / recipe.DISK))
    raw.unlink()
    overlay.unlink()


@contextmanager
def _shared(path: Path) -> Iterator[int]:
    """An open file with a high number, which hooks write to by that number wherever they run."""
    low = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    descriptor = fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, LOWEST_DESCRIPTOR)
    os.close(low)
    try:
        os.fchmod(descriptor, 0o666)
        yield descriptor
        os.fchmod(descriptor, 0o644)
    finally:
        os.close(descriptor)


def _bootstrap(
    argv: Sequence[str],
    descriptors: Sequence[int],
    folder: Path,
    progress: Callable[[str], None],
    cancelled: threading.Event,
) -> None:
    stages = Stages()
    scratch = folder / "tree"
    scratch.mkdir()
    process = subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env={**os.environ, **ENVIRONMENT, "TMPDIR": str(scratch)},
        pass_fds=descriptors,
    )
    threading.Thread(target=_stop_when, args=(cancelled, process), daemon=True).start()
    for line in process.stdout or ():
        if (text := stages.feed(line)) is not None:
            progress(text)
    code = process.wait()
    remove(scratch)
    if cancelled.is_set():
        raise Cancelled("base image: interrupted; what was begun has been removed")
    if code:
        raise UserError(stages.failure(code))


def _stop_when(cancelled: threading.Event, process: subprocess.Popen[str]) -> None:
    """End mmdebstrap and all that it started when the user interrupts."""
    while process.poll() is None:
        if cancelled.wait(0.3):
            process.kill()
            return

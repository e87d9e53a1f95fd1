"""How long the k-th clone takes in VirtualBox: our driver, and VBoxManage doing the same by hand.

    python benchmarks/clones.py [--count 20] [--rounds 3] [IMAGE.qcow2]

Each clone is a registered machine with a disk, two cards, a console and a forward; none is started. Ours and
VBoxManage's are made in turn, so that both meet the same load; of the rounds the fastest k-th counts. Prints
seconds for each k, whether the driver's stay flat within 1.5 times, and the ratio to VBoxManage. Without
IMAGE an empty disk of 8 GiB serves: a clone has none of its content. Everything made is removed.
"""

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from provider.hypervisors.base import NAT, Card, Machine
from provider.hypervisors.virtualbox import binding, media
from provider.hypervisors.virtualbox.driver import VirtualBox
from provider.machine_record import machine_uuid
from tests.rig.virtualbox_lab import forward, write_image

FLAT = 1.5
STACK = "clones-benchmark"
PORT = 42000


def manage(*words: str) -> None:
    program = binding.program_folder()
    assert program is not None, "VirtualBox is not installed"
    subprocess.run([program / "VBoxManage", *words], check=True, capture_output=True)


class Ours:
    name = "driver"

    def __init__(self, folder: Path, image: Path) -> None:
        self.root, self.image = folder / ".matrix", image
        self.root.mkdir()
        self.driver = VirtualBox(self.root)

    def clone(self, number: int) -> None:
        name = f"node{number}"
        cards = (Card(NAT, f"52:54:00:00:{number:02x}:01"), Card("internal", f"52:54:00:00:{number:02x}:02"))
        self.driver.create(
            Machine(
                uuid=machine_uuid(STACK, name),
                name=name,
                stack=STACK,
                folder=self.root / STACK / "machines" / name,
                image=self.image,
                cpus=1,
                memory=256,
                disk=8,
                cards=cards,
                forwards=(forward("ssh", PORT + number),),
            )
        )

    def remove(self, count: int) -> None:
        for number in range(count + 1):
            self.driver.delete(machine_uuid(STACK, f"node{number}"))


class ByHand:
    """As VirtualBox's manual does it: a machine with a snapshot, of which linked clones are made."""

    name = "VBoxManage"

    def __init__(self, folder: Path, base: Path) -> None:
        self.folder = folder / "by-hand"
        copy = folder / "master.vdi"
        manage("clonemedium", "disk", str(base), str(copy))
        manage("createvm", "--name", f"{STACK}-master", "--basefolder", str(self.folder), "--register",
               "--ostype", "Debian_64", "--platform-architecture", "x86")  # fmt: skip
        manage("storagectl", f"{STACK}-master", "--name", "SATA", "--add", "sata")
        manage("storageattach", f"{STACK}-master", "--storagectl", "SATA", "--port", "0", "--device", "0",
               "--type", "hdd", "--medium", str(copy))  # fmt: skip
        manage("snapshot", f"{STACK}-master", "take", "base")

    def clone(self, number: int) -> None:
        name = f"{STACK}-hand{number}"
        manage("clonevm", f"{STACK}-master", "--snapshot", "base", "--options", "link", "--name", name,
               "--basefolder", str(self.folder), "--register")  # fmt: skip
        manage("modifyvm", name, "--cpus", "1", "--memory", "256", "--nic1", "nat", "--nictype1", "virtio",
               "--nic2", "intnet", "--nictype2", "virtio", "--intnet2", STACK, "--audio-enabled", "off",
               "--uart1", "0x3F8", "4", "--uartmode1", "file", str(self.folder / f"{name}.log"),
               "--natpf1", f"ssh,tcp,127.0.0.1,{PORT + 100 + number},,22")  # fmt: skip

    def remove(self, count: int) -> None:
        for number in range(count + 1):
            manage("unregistervm", f"{STACK}-hand{number}", "--delete")

    def end(self) -> None:
        manage("unregistervm", f"{STACK}-master", "--delete")


def measure(folder: Path, image: Path, count: int, rounds: int) -> dict[str, list[float]]:
    """The fastest of the rounds for each k, in seconds. Clone 0 is made first and not counted: it brings
    the base into VirtualBox."""
    ours = Ours(folder, image)
    ours.clone(0)
    hand = ByHand(folder, media.base_path(image))
    ours.remove(0)
    best = {side.name: [float("inf")] * count for side in (ours, hand)}
    for _ in range(rounds):
        for number in range(count + 1):
            for side in (ours, hand):
                begun = time.perf_counter()
                side.clone(number)
                taken = time.perf_counter() - begun
                if number:
                    best[side.name][number - 1] = min(best[side.name][number - 1], taken)
        ours.remove(count)
        hand.remove(count)
    hand.end()
    return best


def report(best: dict[str, list[float]]) -> bool:
    ours, hand = best[Ours.name], best[ByHand.name]
    print(f"{'k':>4} {Ours.name:>10} {ByHand.name:>10}   seconds")
    for number, (mine, theirs) in enumerate(zip(ours, hand, strict=True), 1):
        print(f"{number:>4} {mine:>10.3f} {theirs:>10.3f}")
    # The median of each end: one clone alone tells of the computer's load.
    ends = max(1, len(ours) // 4)
    for name, figures in best.items():
        first, last = statistics.median(figures[:ends]), statistics.median(figures[-ends:])
        middle = statistics.median(figures)
        print(f"{name}: median {middle:.3f}, last quarter / first quarter {last / first:.2f}")
    growth = statistics.median(ours[-ends:]) / statistics.median(ours[:ends])
    print(f"VBoxManage / driver: {statistics.median(hand) / statistics.median(ours):.2f}")
    print(f"flat within {FLAT}: {'yes' if growth <= FLAT else 'no'}")
    return growth <= FLAT


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("image", type=Path, nargs="?")
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="clones-") as work:
        folder = Path(work)
        image = folder / "image" / "disk.qcow2"
        if options.image:
            image.parent.mkdir()
            shutil.copyfile(options.image, image)
        else:
            write_image(image, 8 << 30)
        return 0 if report(measure(folder, image, options.count, options.rounds)) else 1


if __name__ == "__main__":
    sys.exit(main())

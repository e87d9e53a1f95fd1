"""Internal networks. VirtualBox has no object for one: it is there while a machine has a card in it."""

from pathlib import Path

from provider.errors import UserError
from provider.hypervisors.virtualbox.library import VirtualBox

FOLDER = "networks"
SUFFIX = ".internal"


def internal_name(stack: str, name: str) -> str:
    return f"cloudmatrix-{stack}-{name}"


def refuse_dhcp(virtualbox: VirtualBox, stack: str, name: str) -> None:
    """UserError: a DHCP server of VirtualBox would answer our machines before the manager does."""
    wanted = internal_name(stack, name)
    if wanted in virtualbox.dhcp_networks:
        raise UserError(
            f'network "{name}": VirtualBox has a DHCP server on its internal network "{wanted}", '
            "which would answer our machines\n"
            f"remove it: VBoxManage dhcpserver remove --network={wanted}"
        )


def _file(root: Path, stack: str, name: str) -> Path:
    return root / stack / FOLDER / f"{name}{SUFFIX}"


def create(root: Path, stack: str, name: str, cidr: str) -> None:
    file = _file(root, stack, name)
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file.write_text(f"{cidr}\n")


def exists(root: Path, stack: str, name: str) -> bool:
    return _file(root, stack, name).exists()


def delete(root: Path, stack: str, name: str) -> None:
    file = _file(root, stack, name)
    file.unlink(missing_ok=True)
    remove_empty(file.parent, root)


def remove_empty(folder: Path, root: Path) -> None:
    """Remove the folder and those above it, below `root`, as long as they are empty."""
    while folder != root and root in folder.parents:
        try:
            folder.rmdir()
        except OSError:
            return
        folder = folder.parent

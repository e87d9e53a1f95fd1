"""What apt is told: where the packages come from, and by which proxy."""

import subprocess
from pathlib import Path

from provider.mirrors import Mirror, copied, machine_mirror, named_mirror


def mirror_for(given: str) -> Mirror:
    """The mirror named in the config, or the machine's own; asked over the network only when used."""
    return named_mirror(given) if given else machine_mirror()


def source_lines(mirror: Mirror, release: str, keyring: str) -> list[str]:
    """`deb` lines for a release; the parts a mirror does not offer are left out.

    Without a keyring apt trusts those that the system has.
    """
    parts = {
        release: mirror.main,
        f"{release}-updates": mirror.updates,
        f"{release}-security": mirror.security,
    }
    signed = f"[signed-by={keyring}] " if keyring else ""
    return [f"deb {signed}{copied(uri)} {suite} main" for suite, uri in parts.items() if uri]


def proxies() -> list[str]:
    """apt's own proxy settings, which mmdebstrap would not see."""
    if not Path("/usr/bin/apt-config").exists():
        return []
    dump = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=False).stdout
    wanted = ("Acquire::http::Proxy", "Acquire::https::Proxy")
    lines = (line.rstrip(";").split(" ", 1) for line in dump.splitlines() if line.startswith(wanted))
    return [f"{name} {value}" for name, value in lines if value != '""']

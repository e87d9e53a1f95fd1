"""A mount namespace of its own for a command: its mounts end with it, also when it is killed. Pure.

For root on Linux (util-linux). Other users' image builders make themselves one.
"""

from collections.abc import Sequence

OWN_MOUNTS = ("unshare", "--mount", "--propagation", "private")
"""Before the command."""


def program(argv: Sequence[str]) -> str:
    """What is run, whether in a namespace of its own or not."""
    own = tuple(argv[: len(OWN_MOUNTS)]) == OWN_MOUNTS
    return argv[len(OWN_MOUNTS)] if own else argv[0]

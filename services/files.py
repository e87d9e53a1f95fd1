"""A file as it stands on a machine: written by cloud-init at the first boot, held by a Service later."""

from dataclasses import dataclass


@dataclass(frozen=True)
class File:
    """`content` is text, `mode` four octal digits, `owner` is user:group."""

    path: str
    content: str
    mode: str = "0644"
    owner: str = "root:root"

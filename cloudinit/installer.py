"""The answers to an installer's questions, and what it runs at its end. Pure.

There is no user's key among them: an image is shared by all stacks, so each machine brings its own.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from services.templates import environment

ARCHIVE = "bundle"
"""The finish, a tar file on the second disc."""
KEPT = "/var/finish.tar"
"""The same in the Debian installer's memory."""
BEFORE_PARTITIONING = "usr/lib/cloudmatrix/before-partitioning"
"""Where the Debian installer has a script of ours, in its memory."""
LABEL = "CIDATA"
"""The second disc's name: it is a NoCloud seed too."""
TEMPLATES = tuple(
    Path(__file__).parent / "templates" / f"{name}.j2"
    for name in ("preseed.cfg", "autoinstall.yaml", "before-partitioning.sh", "finish-install.sh")
)
"""All that an installer is told: a change in one of them makes another system."""

_ENVIRONMENT = environment(Path(__file__).parent / "templates")


@dataclass(frozen=True)
class Answers:
    """`mirror` and `proxy` are http(s) URLs as the new machine reaches them; "" is none, or Ubuntu's own.

    ValueError, with the field's name, for a value that an installer would not understand.
    """

    mirror: str = ""
    proxy: str = ""
    locale: str = "en_US.UTF-8"
    keyboard: str = "us"

    def __post_init__(self) -> None:
        for field in ("mirror", "proxy"):
            value = getattr(self, field)
            if value and not re.fullmatch(r"https?://[^\s/]+\S*", value):
                raise ValueError(f'{field}: got "{value}"; need a URL; try http://…')
        if not re.fullmatch(r"[A-Za-z_]+(\.[A-Za-z0-9-]+)?(@[a-z]+)?", self.locale):
            raise ValueError(f'locale: got "{self.locale}"; need a name such as en_US.UTF-8')
        if not re.fullmatch(r"[a-z]+", self.keyboard):
            raise ValueError(f'keyboard: got "{self.keyboard}"; need a name such as us')


def preseed(answers: Answers) -> str:
    """preseed.cfg for the Debian installer. ValueError without a mirror: the medium has not everything."""
    if not answers.mirror:
        raise ValueError('mirror: got ""; need a URL; try http://…')
    mirror = urlsplit(answers.mirror)
    mirror = mirror._replace(path=mirror.path.rstrip("/") or "/")
    return _ENVIRONMENT.get_template("preseed.cfg.j2").render(
        answers=answers, mirror=mirror, before_partitioning=BEFORE_PARTITIONING
    )


def before_partitioning() -> str:
    """The script that the Debian installer runs before it partitions the disk."""
    return _ENVIRONMENT.get_template("before-partitioning.sh.j2").render(archive=ARCHIVE, kept=KEPT)


def finish_install() -> str:
    """The script that the Debian installer runs last."""
    return _ENVIRONMENT.get_template("finish-install.sh.j2").render(kept=KEPT)


def autoinstall(answers: Answers) -> str:
    """The `user-data` for Ubuntu's server installer."""
    template = _ENVIRONMENT.get_template("autoinstall.yaml.j2")
    return template.render(answers=answers, archive=ARCHIVE, label=LABEL)

"""The source `iso`: a base image installed from a distribution's own ISO, unattended, in a throw-away VM."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import platformdirs

from cloudinit.installer import Answers
from provider.errors import UserError
from provider.images import direct, disk, finish, recipe, workshop
from provider.images.apt import proxies
from provider.images.fetch import fetch
from provider.images.iso import console, media
from provider.images.iso.recognise import Installer, recognise
from provider.images.requirements import check_space
from provider.images.workshop import outward
from provider.mirrors import machine_mirror
from provider.resources.base import Context

MEMORY = {"debian": 2048, "ubuntu": 4096}
"""MiB: the Debian installer lives in its initial RAM disk, Ubuntu's in a whole system on the CD."""
SILENCE = 600.0
"""Seconds: unpacking the base system says nothing for one minute, or for several where much else runs."""


def build(folder: Path, source: Mapping[str, Any], lock: int, context: Context) -> None:
    """Fill `folder` with disk.qcow2 and, where they can be read, vmlinuz and initrd.

    UserError: a file that is not a known installer, no mirror, no room, or whatever stopped the installer.
    """
    del lock  # the machine ends with this process by itself
    iso = fetch(source, context.progress, context.cancelled)
    installer = recognise(iso)
    check_space(folder)
    answers = answers_for(installer, source)
    context.progress(f"preparing the ISO of {installer.title}")
    bundle = finish.bundle(installer.distribution, installer.release, answers.mirror, outward(answers.proxy))
    discs = media.prepare(iso, installer, outside(answers), bundle, folder)
    raw = folder / "disk.raw"
    with raw.open("wb") as stream:
        stream.truncate(recipe.DISK_GIB * disk.GIB)
    workshop.run(
        job(installer, folder, raw, discs),
        lambda line: console.judge(installer.distribution, line),
        context.progress,
        context.cancelled,
    )
    discs.installer.unlink()
    discs.companion.unlink()
    context.progress("packing the disk")
    direct.extract(raw, folder)
    disk.run(disk.convert_argv(raw, folder / recipe.DISK))
    raw.unlink()


def job(installer: Installer, folder: Path, raw: Path, discs: media.Discs) -> workshop.Job:
    """The machine that installs. Its processors are two: the installer rarely has work for more."""
    logs = platformdirs.user_cache_path("cloudmatrix") / "logs"
    return workshop.Job(
        name=f"base image from {installer.title}",
        folder=folder,
        disk=raw,
        stages=console.STAGES[installer.distribution],
        cdroms=(discs.installer, discs.companion),
        memory=MEMORY[installer.distribution],
        boot="cdrom",
        silence=SILENCE,
        log=logs / f"iso-{installer.distribution}-{installer.version}.log",
    )


def answers_for(installer: Installer, source: Mapping[str, Any]) -> Answers:
    """With the mirror of the config or, for Debian, of this machine. UserError: none that it can reach."""
    mirror = str(source.get("mirror") or "")
    if not mirror and installer.distribution == "debian":
        mirror = machine_mirror().main
    if mirror and not mirror.startswith(("http://", "https://")):
        raise UserError(
            f"base.mirror: got {mirror}; the machine in which the ISO is installed reaches mirrors by http "
            "and https only; set base.mirror to such a one"
        )
    try:
        return Answers(mirror=mirror, proxy=_proxy(proxies()))
    except ValueError as error:
        raise UserError(f"base.{error}") from error


def outside(answers: Answers) -> Answers:
    """The same, as the machine behind its NAT card reaches what is on this computer."""
    return replace(answers, mirror=outward(answers.mirror), proxy=outward(answers.proxy))


def _proxy(options: list[str]) -> str:
    """The http proxy of this machine's apt, from its settings ("Acquire::http::Proxy "http://…"")."""
    for option in options:
        name, _, value = option.partition(" ")
        if name == "Acquire::http::Proxy":
            url = value.strip('"; ')
            return url if url.startswith(("http://", "https://")) else ""
    return ""

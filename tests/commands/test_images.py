"""Command lines of the image builders and of mmdebstrap."""

from dataclasses import replace
from pathlib import Path

import pytest

from provider.commands import buildah, docker_build, mmdebstrap, podman
from provider.commands.buildah import Store

STORE = Store(Path("/c/store"), Path("/r"), "overlay")
CONTEXT, FILE = Path("/p/shop"), Path("/w/Dockerfile")
BUILDAH = "buildah --root /c/store --runroot /r --storage-driver overlay "
PODMAN = BUILDAH.replace("buildah", "podman")
BUILD = "--isolation chroot --format docker --layers --timestamp 0 "
WHAT = "--file /w/Dockerfile --tag n /p/shop"

LINES = {
    "buildah build": (buildah.build(STORE, CONTEXT, FILE, "n"), f"{BUILDAH}bud {BUILD}--pull=false {WHAT}"),
    "buildah identity": (
        buildah.identity(STORE, "n"),
        f"{BUILDAH}inspect --type image --format {{{{.FromImageID}}}} n",
    ),
    "buildah pull": (buildah.pull(STORE, "hello-world"), f"{BUILDAH}pull --policy always hello-world"),
    "buildah save": (
        buildah.save(STORE, "n", Path("/w/i.tar")),
        f"{BUILDAH}push --quiet n docker-archive:/w/i.tar",
    ),
    "buildah with mounts of its own": (
        buildah.info(replace(STORE, own_mounts=True)),
        f"unshare --mount --propagation private {BUILDAH}info",
    ),
    "buildah remove": (buildah.remove(STORE, ["a", "b"]), f"{BUILDAH}rmi a b"),
    "podman build": (podman.build(STORE, CONTEXT, FILE, "n"), f"{PODMAN}build {BUILD}--pull=missing {WHAT}"),
    "podman save": (
        podman.save(STORE, "n", Path("/w/i.tar")),
        f"{PODMAN}save --quiet --format docker-archive --output /w/i.tar n",
    ),
    "docker build": (docker_build.build(STORE, CONTEXT, FILE, "n"), f"docker build {WHAT}"),
    "docker save": (docker_build.save(STORE, "n", Path("/w/i.tar")), "docker save --output /w/i.tar n"),
}


@pytest.mark.parametrize(("argv", "expected"), LINES.values(), ids=LINES)
def test_argv(argv: list[str], expected: str) -> None:
    assert " ".join(argv) == expected


def test_an_unpacked_tree_runs_its_hook_before_anything_is_cleaned_up() -> None:
    argv = mmdebstrap.tree("trixie", ["a", "b"], "extract", Path("/h"), Path("/t.tar"), ["deb m trixie main"])
    assert argv == [
        "mmdebstrap",
        "--variant=extract",
        "--include=a,b",
        '--aptopt=APT::Install-Recommends "false"',
        "--extract-hook=/h",
        "--skip=cleanup,output/dev",
        "trixie",
        "/t.tar",
        "deb m trixie main",
    ]


def test_sources_leave_out_what_a_mirror_does_not_offer() -> None:
    assert mmdebstrap.sources("m", "", "s", "trixie") == ["deb m trixie main", "deb s trixie-security main"]

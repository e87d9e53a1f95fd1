"""mmdebstrap's words become short stages; its complaints become one message."""

import pytest

from provider.images.progress import Stages

SAID = [
    ("I: automatically chosen mode: root", None),
    ("I: running apt-get update...", "reading package lists"),
    ("Get:1 http://m.example/debian trixie InRelease [140 kB]", None),
    ("0 upgraded, 20 newly installed, 0 to remove and 0 not upgraded.", None),
    *[(f"Get:{n} http://m.example/debian trixie/main amd64 p{n} amd64 1 [1 kB]", None) for n in range(1, 10)],
    ("Get:10 http://m.example/debian trixie/main amd64 p10 amd64 1 [1 kB]", "downloading packages 10/20"),
    ("I: extracting archives...", "unpacking the base system"),
    *[(f"Setting up p{n} (1) ...", None) for n in range(1, 10)],
    ("Setting up p10 (1) ...", "setting up packages 10/20"),
    *[(f"Setting up p{n} (1) ...", None) for n in range(11, 20)],
    ("Setting up p20 (1) ...", "setting up packages 20/20"),
    ("0 upgraded, 3 newly installed, 0 to remove and 0 not upgraded.", None),
    ("Get:1 http://m.example/debian trixie/main amd64 q1 amd64 1 [1 kB]", None),
    ("Get:2 http://m.example/debian trixie/main amd64 q2 amd64 1 [1 kB]", None),
    ("Get:3 http://m.example/debian trixie/main amd64 q3 amd64 1 [1 kB]", "downloading packages 3/3"),
    ("I: running special hook: tar-in /x/overlay.tar /", "applying settings"),
    ("I: running special hook: upload /x/prepare.sh /prepare.sh", "preparing for a quick start"),
    ("I: running --customize-hook in shell: sh -c 'FILL=...", "filling the disk"),
]


def test_stages() -> None:
    stages = Stages()
    assert [stages.feed(line + "\n") for line, _ in SAID] == [text for _, text in SAID]


FAILURES = [
    (
        [
            "Err:1 http://m.example/debian trixie InRelease",
            "W: Failed to fetch",
            "E: apt-get update failed",
            "E: mmdebstrap failed to run",
        ],
        "Err:1 http://m.example/debian trixie InRelease\nE: apt-get update failed\n"
        "E: mmdebstrap failed to run",
    ),
    (["some words", "and more"], "some words\nand more"),
    (["E: same", "E: same"], "E: same"),
]


@pytest.mark.parametrize(("lines", "told"), FAILURES)
def test_failure(lines: list[str], told: str) -> None:
    stages = Stages()
    for line in lines:
        stages.feed(line)
    assert stages.failure(25) == f"base image: mmdebstrap ended with 25:\n{told}"

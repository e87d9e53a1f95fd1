"""What a Dockerfile builds on."""

import pytest

from provider.containers import dockerfile

PARSED = {
    "one stage": ("FROM debian:12\nRUN true\n", ["debian:12"]),
    "scratch is nothing": ("FROM scratch\n", []),
    "a stage is no image": (
        "FROM a AS build\nFROM b\nCOPY --from=build /x /\nCOPY --from=0 /y /\n",
        ["a", "b"],
    ),
    "a stage's name has no case": ("FROM a as Build\nFROM build\n", ["a"]),
    "copied from an image": ("FROM a\nCOPY --chown=1 --from=other/tool:1 /t /t\n", ["a", "other/tool:1"]),
    "options": ("FROM --platform=linux/amd64 a AS b\n", ["a"]),
    "an argument's default": ("ARG V=12\nFROM debian:${V}\nFROM x:$V\n", ["debian:12", "x:12"]),
    "a default in place": ("ARG V\nFROM debian:${V:-11}\n", ["debian:11"]),
    "arguments inside a stage do not count": ("FROM a\nARG V=1\nFROM b:${V:-2}\n", ["a", "b:2"]),
    "comments": ("# FROM x\nFROM a\n", ["a"]),
    "one instruction over lines": ("FROM a\nRUN echo \\\n# FROM x\n FROM y\n", ["a"]),
    "once each": ("FROM a\nFROM a\n", ["a"]),
    "lower case": ("from a as b\n", ["a"]),
}


@pytest.mark.parametrize(("text", "expected"), PARSED.values(), ids=PARSED)
def test_base_images(text: str, expected: list[str]) -> None:
    assert dockerfile.base_images(text) == expected


def test_rewrite_renames_images_and_nothing_else() -> None:
    text = (
        "ARG V=1\nFROM a:$V AS build\nRUN echo FROM a \\\n    && true\n"
        'FROM b\nCOPY --from=build /a /a\nCOPY --from=c /c /c\nCMD ["a"]\n'
    )
    assert dockerfile.rewrite(text, lambda image: f"new/{image}") == (
        "ARG V=1\nFROM new/a:1 AS build\nRUN echo FROM a \\\n    && true\n"
        'FROM new/b\nCOPY --from=build /a /a\nCOPY --from=new/c /c /c\nCMD ["a"]\n'
    )

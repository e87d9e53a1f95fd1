"""Patterns of .dockerignore, as the builders read them."""

import pytest

from provider.containers import ignore

MATCHES = {
    "a name at the top": ("a.txt", "a.txt", True),
    "not the same name below": ("a.txt", "sub/a.txt", False),
    "a folder takes what is in it": ("target", "target/classes/A.class", True),
    "a star stays within a name": ("*.md", "docs/a.md", False),
    "two stars cross folders": ("**/*.md", "docs/deep/a.md", True),
    "two stars match no folder too": ("**/*.md", "a.md", True),
    "everything": ("**", "a/b", True),
    "a slash in front changes nothing": ("/a", "a", True),
    "a slash behind changes nothing": ("a/", "a/b", True),
    "one character": ("?.txt", "a.txt", True),
    "a set": ("[ab].txt", "c.txt", False),
    "a dot is a dot": ("a.c", "abc", False),
    "a comment": ("#a", "a", False),
    "taken back": ("*\n!keep", "keep", False),
    "taken back and left out again": ("*\n!keep\nkeep", "keep", True),
    "the last one decides": ("!a\na", "a", True),
}


@pytest.mark.parametrize(("text", "path", "expected"), MATCHES.values(), ids=MATCHES)
def test_ignored(text: str, path: str, expected: bool) -> None:
    assert ignore.ignored(path, ignore.parse(text)) is expected

"""The machine's own apt sources, read to find the mirror from which newer packages can come."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

APT = Path("/etc/apt")


@dataclass(frozen=True)
class Source:
    """One archive of packages; `signed_by` is empty when apt's own keys are meant."""

    uri: str
    suites: tuple[str, ...]
    components: tuple[str, ...]
    signed_by: str = ""


def read(folder: Path = APT) -> tuple[Source, ...]:
    """All binary sources in sources.list and sources.list.d, in apt's order."""
    files = [folder / "sources.list", *sorted((folder / "sources.list.d").glob("*"))]
    sources: list[Source] = []
    for file in files:
        if file.is_file() and file.suffix == ".sources":
            sources += _paragraphs(file.read_text(encoding="utf-8"))
        elif file.is_file() and file.suffix == ".list":
            sources += _lines(file.read_text(encoding="utf-8"))
    return tuple(sources)


def _paragraphs(text: str) -> list[Source]:
    sources = []
    for paragraph in text.split("\n\n"):
        fields = _fields(paragraph)
        if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").lower() == "no":
            continue
        suites, components = fields.get("suites", "").split(), fields.get("components", "").split()
        for uri in fields.get("uris", "").split():
            sources.append(Source(uri, tuple(suites), tuple(components), fields.get("signed-by", "")))
    return sources


def _fields(paragraph: str) -> Mapping[str, str]:
    fields: dict[str, str] = {}
    last = ""
    for line in paragraph.splitlines():
        if line.startswith("#"):
            continue
        if line[:1].isspace():
            fields[last] = f"{fields.get(last, '')}\n{line}"
        elif ":" in line:
            name, _, value = line.partition(":")
            last = name.lower()
            fields[last] = value.strip()
    return fields


def _lines(text: str) -> list[Source]:
    sources = []
    for line in text.splitlines():
        words = line.partition("#")[0].split()
        if not words or words[0] != "deb":
            continue
        options = ""
        if words[1:] and words[1].startswith("["):
            end = next((index for index, word in enumerate(words) if word.endswith("]")), None)
            if end is None:
                continue
            options = " ".join(words[1 : end + 1]).strip("[] ")
            words = [words[0], *words[end + 1 :]]
        if len(words) >= 3:
            signed = dict(option.partition("=")[::2] for option in options.split()).get("signed-by", "")
            sources.append(Source(words[1], (words[2],), tuple(words[3:]), signed))
    return sources


def main_archive(sources: tuple[Source, ...], codename: str) -> Source | None:
    """The archive that the release itself comes from."""
    return next(
        (source for source in sources if codename in source.suites and "main" in source.components), None
    )


def backports(archive: Source, codename: str) -> str:
    """A sources file that adds the release's backports from the same mirror."""
    signed = f"Signed-By: {archive.signed_by}\n" if archive.signed_by else ""
    return f"Types: deb\nURIs: {archive.uri}\nSuites: {codename}-backports\nComponents: main\n{signed}"

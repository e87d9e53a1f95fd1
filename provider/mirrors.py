"""Which Debian mirror this machine uses, read from apt's own source files. Nothing is written or fetched."""

import http.client
import re
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from provider.errors import UserError

APT = Path("/etc/apt")
CODENAMES = frozenset(
    [
        *("bullseye", "bookworm", "trixie", "forky", "duke", "sid"),
        *("oldoldstable", "oldstable", "stable", "testing", "unstable"),
    ]
)
_SUITE = re.compile(r"^(?P<release>[a-z]+)(?P<part>|-updates|-security|/updates)/?$")
_ONE_LINE = re.compile(
    r"^deb\s+(?:\[(?P<options>[^\]]*)\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)(?P<components>.*)$"
)


@dataclass(frozen=True)
class Source:
    """One `deb` line: an archive, one suite, its components; `keyring` is Signed-By, empty when not given."""

    uri: str
    suite: str
    components: tuple[str, ...]
    keyring: str = ""


@dataclass(frozen=True)
class Mirror:
    """Where each part of a Debian release comes from. `updates` and `security` are empty when not offered."""

    main: str
    updates: str = ""
    security: str = ""


def machine_mirror(apt: Path = APT) -> Mirror:
    """The mirror of this machine's own Debian sources; UserError when it has none."""
    found: dict[str, str] = {}
    for source in read_sources(apt):
        part = debian_part(source)
        if part is not None:
            found.setdefault(part, resolve(source.uri))
    if not found.get(""):
        raise UserError(
            f"base.mirror: no Debian mirror in {apt}/sources.list or {apt}/sources.list.d; "
            "set base.mirror to the URL of one (what stands after `deb` in a Debian machine's sources.list)"
        )
    return Mirror(found[""], found.get("-updates", ""), found.get("-security", ""))


def debian_part(source: Source) -> str | None:
    """ "" for a release itself, "-updates", "-security", or None when the source is not Debian's own."""
    match = _SUITE.match(source.suite)
    if match is None or match["release"] not in CODENAMES or "main" not in source.components:
        return None
    if source.keyring and "debian-archive" not in source.keyring:
        return None
    if not re.match(r"(https?|file|copy|mirror\+file):", source.uri):
        return None
    return "-security" if match["part"] == "/updates" else match["part"]


def resolve(uri: str) -> str:
    """A mirror+file: list names its mirrors one a line; the first stands for all. No trailing slash."""
    if uri.startswith("mirror+file:"):
        listed = Path("/" + uri.removeprefix("mirror+file:").lstrip("/"))
        lines = listed.read_text().split("\n") if listed.is_file() else []
        uri = next((line.split()[0] for line in lines if line.strip() and not line.startswith("#")), "")
    return uri.rstrip("/")


def read_sources(apt: Path = APT) -> Iterator[Source]:
    """Every enabled `deb` source in apt's order; both notations, unreadable files passed over."""
    for path in [apt / "sources.list", *sorted((apt / "sources.list.d").glob("*"))]:
        try:
            text = path.read_text(errors="replace")
        except OSError:
            continue
        if path.suffix == ".list":
            yield from parse_one_line(text)
        elif path.suffix == ".sources":
            yield from parse_deb822(text)


def parse_one_line(text: str) -> Iterator[Source]:
    """`deb [options] uri suite component...`, one a line, # begins a comment."""
    for line in text.splitlines():
        match = _ONE_LINE.match(line.partition("#")[0].strip())
        if match:
            options = dict(word.split("=", 1) for word in (match["options"] or "").split() if "=" in word)
            components = tuple(match["components"].split())
            yield Source(match["uri"], match["suite"], components, options.get("signed-by", ""))


def parse_deb822(text: str) -> Iterator[Source]:
    """Stanzas of `Field: value`, parted by empty lines; URIs and Suites may name several."""
    for stanza in re.split(r"\n[ \t]*\n", text):
        fields = _fields(stanza)
        if fields.get("enabled", "yes").lower() in ("no", "false", "0", "off", "disable"):
            continue
        if "deb" not in fields.get("types", "").split():
            continue
        components = tuple(fields.get("components", "").split())
        for uri in fields.get("uris", "").split():
            for suite in fields.get("suites", "").split():
                yield Source(uri, suite, components, fields.get("signed-by", ""))


def _fields(stanza: str) -> Mapping[str, str]:
    fields: dict[str, str] = {}
    last = ""
    for line in stanza.splitlines():
        if line.startswith("#"):
            continue
        if line[:1] in (" ", "\t") and last:
            fields[last] += "\n" + line.strip()
        elif ":" in line:
            name, _, value = line.partition(":")
            last = name.strip().lower()
            fields[last] = value.strip()
    return fields


def copied(uri: str) -> str:
    """An archive on this machine, for a tree that is being made: apt works in there, where the path of a
    file leads nowhere, unless it copies the packages in first."""
    return "copy:" + uri.removeprefix("file:") if uri.startswith("file:") else uri


def named_mirror(uri: str) -> Mirror:
    """A mirror given in the config, with updates and security where Debian mirrors have them."""
    main = uri.rstrip("/")
    return Mirror(main, main, f"{main}-security")


def offered(mirror: Mirror, release: str, timeout: float = 15.0) -> Mirror:
    """The mirror without the parts it does not have; UserError when it has not even the release."""
    problem = _problem(mirror.main, release, timeout)
    if problem:
        raise UserError(
            f"base.mirror: {mirror.main} does not offer Debian {release} ({problem}); "
            "check the network, or set base.mirror to another mirror"
        )
    updates = mirror.updates and not _problem(mirror.updates, f"{release}-updates", timeout)
    security = mirror.security and not _problem(mirror.security, f"{release}-security", timeout)
    return Mirror(mirror.main, mirror.updates if updates else "", mirror.security if security else "")


def _problem(uri: str, suite: str, timeout: float) -> str:
    """Why a suite cannot be read from there, "" when it can."""
    address = f"{uri}/dists/{suite}/InRelease"
    scheme, _, path = address.partition(":")
    if scheme in ("file", "copy"):
        return "" if Path("/" + path.lstrip("/")).is_file() else f"no {path}"
    try:
        request = urllib.request.Request(address, method="HEAD")  # noqa: S310 - http(s) only, checked below
        if scheme not in ("http", "https"):
            return f"{scheme}: is not http, https or file"
        with urllib.request.urlopen(request, timeout=timeout):  # noqa: S310
            return ""
    except (OSError, ValueError, http.client.HTTPException) as error:
        return str(getattr(error, "reason", "") or error)

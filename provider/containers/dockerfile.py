"""What a Dockerfile builds on, and the same Dockerfile with the base images' exact names. Pure."""

import re
from collections.abc import Callable, Iterator

_INSTRUCTION = re.compile(r"^\s*(?P<word>[A-Za-z]+)\s+(?P<rest>.*)$", re.S)
_VARIABLE = re.compile(r"\$(?:\{(?P<braced>\w+)(?::-(?P<default>[^}]*))?\}|(?P<plain>\w+))")
_FROM = re.compile(
    r"^(?P<options>(?:--\S+\s+)*)(?P<image>\S+)(?P<alias>\s+[Aa][Ss]\s+(?P<stage>\S+))?\s*$", re.S
)
_COPY_FROM = re.compile(r"--from=(?P<image>\S+)")


def base_images(text: str) -> list[str]:
    """Images that the stages are built from or copy from: in order, once each, no stage names, no scratch."""
    found: list[str] = []
    rewrite(text, lambda image: found.append(image) or image)  # type: ignore[func-returns-value]
    return list(dict.fromkeys(found))


def rewrite(text: str, rename: Callable[[str], str]) -> str:
    """The Dockerfile with every outside image replaced by `rename(image)`."""
    stages: set[str] = {"scratch"}
    variables: dict[str, str] = {}
    before_first_stage = True
    out: list[str] = []
    for instruction in _instructions(text):
        match = _INSTRUCTION.match(instruction)
        word = match["word"].upper() if match else ""
        if match and word == "ARG" and before_first_stage:
            variables.update(_default(match["rest"]))
        elif match and word == "FROM":
            before_first_stage = False
            instruction = _rewrite_from(match["rest"], variables, stages, rename) or instruction
        elif match and word == "COPY":
            instruction = _rewrite_copy(instruction, stages, rename)
        out.append(instruction)
    return "\n".join(out) + "\n"


def _instructions(text: str) -> Iterator[str]:
    """Logical lines: a backslash at the end goes on, comments inside are dropped as builders do."""
    pending: list[str] = []
    for line in text.splitlines():
        if line.lstrip().startswith("#") and pending:
            continue
        pending.append(line)
        if not line.rstrip().endswith("\\") or line.lstrip().startswith("#"):
            yield "\n".join(pending)
            pending = []
    if pending:
        yield "\n".join(pending)


def _default(rest: str) -> dict[str, str]:
    name, equals, value = rest.strip().partition("=")
    return {name: value.strip("\"'")} if equals else {}


def _rewrite_from(
    rest: str, variables: dict[str, str], stages: set[str], rename: Callable[[str], str]
) -> str | None:
    match = _FROM.match(rest.replace("\\\n", " ").strip())
    if not match:
        return None
    image = _VARIABLE.sub(
        lambda found: variables.get(found["braced"] or found["plain"], found["default"] or ""), match["image"]
    )
    renamed = image if image.lower() in stages else rename(image)
    if match["stage"]:
        stages.add(match["stage"].lower())
    return f"FROM {match['options']}{renamed}{match['alias'] or ''}"


def _rewrite_copy(instruction: str, stages: set[str], rename: Callable[[str], str]) -> str:
    def replace(match: re.Match[str]) -> str:
        image = match["image"]
        own = image.lower() in stages or image.isdigit()
        return match[0] if own else f"--from={rename(image)}"

    return _COPY_FROM.sub(replace, instruction, count=1)

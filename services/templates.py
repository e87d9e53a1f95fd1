"""Texts from Jinja templates: how all of ours are read, and those in `services/templates/`."""

from pathlib import Path
from typing import Any

import jinja2


def environment(folder: Path) -> jinja2.Environment:
    """For templates of a folder. What they make is no HTML: values are validated where they are accepted, or
    pass `tojson`, which is YAML too; nothing is escaped here. Rendering raises jinja2.UndefinedError for a
    value that is missing.
    """
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701
    )


_ENVIRONMENT = environment(Path(__file__).parent / "templates")


def render(template: str, **values: Any) -> str:
    """The text of a template. Raises jinja2.UndefinedError for a value that is missing."""
    return _ENVIRONMENT.get_template(template).render(**values)

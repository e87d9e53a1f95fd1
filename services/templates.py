"""Texts from the Jinja templates in `services/templates/`."""

from pathlib import Path
from typing import Any

import jinja2

# Configuration files are not HTML: what goes in is validated where it is accepted, not escaped here.
_ENVIRONMENT = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
    autoescape=False,  # noqa: S701
)


def render(template: str, **values: Any) -> str:
    """The text of a template. Raises jinja2.UndefinedError for a value that is missing."""
    return _ENVIRONMENT.get_template(template).render(**values)

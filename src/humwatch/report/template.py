"""Fill the page's templates. All that goes into them is escaped, except `Markup`, which this package itself has made."""

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from humwatch.report.words import words

_TEMPLATES = Environment(
    loader=PackageLoader("humwatch.report"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters["words"] = words


def fill(name: str, **content: Any) -> Markup:
    """The template `templates/<name>.j2`, filled with its content."""
    return Markup(_TEMPLATES.get_template(f"{name}.j2").render(content))

"""What a notebook shows, as HTML: templates, their one style sheet, and nothing of what is in them.

Everything that is put in is escaped: most of it comes from the web. A fragment brings its style along, scoped to its
own class, and needs no script and nothing from any other place.
"""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import jinja2


def render(template: str, **values: object) -> str:
    """Return a template filled in; the names of templates are those of the files in ``templates``."""
    return _environment().get_template(template).render(**values)


@cache
def _environment() -> jinja2.Environment:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("parallel_frames._ui"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["count"] = lambda number: f"{number:,}"
    environment.filters["pretty"] = lambda value: json.dumps(value, indent=2, ensure_ascii=False)
    environment.filters["link"] = web_address
    return environment


def web_address(value: object) -> str | None:
    """Return an address that may become a link: http or https with a host, and nothing that a browser would run."""
    if not isinstance(value, str):
        return None
    try:
        parts = urlsplit(value.strip())
    except ValueError:
        return None
    return value.strip() if parts.scheme in ("http", "https") and parts.netloc else None

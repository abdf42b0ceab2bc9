"""Names that become columns: made of descriptions, or checked as the user wrote them."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

from parallel_frames.errors import SchemaError

if TYPE_CHECKING:
    from collections.abc import Iterable


def slug(description: str) -> str:
    """Return the column name a description makes: ``"CEO name"`` → ``"ceo_name"``."""
    return re.sub(r"[\W_]+", "_", unicodedata.normalize("NFKC", description).lower()).strip("_")


def check_names(names: Iterable[object], *, where: str) -> None:
    """Refuse names that cannot be columns, and two that look like one."""
    seen: dict[str, str] = {}
    for name in names:
        if not isinstance(name, str):
            raise SchemaError(f"{where}: the column name {name!r} is a {type(name).__name__}; names are texts.")
        if not name.strip():
            raise SchemaError(f"{where}: the column name {name!r} is empty.")
        if name != name.strip():
            raise SchemaError(f"{where}: the column name {name!r} begins or ends with a space; write {name.strip()!r}.")
        form = unicodedata.normalize("NFC", name)
        if form in seen:
            raise SchemaError(f"{where}: {seen[form]!a} and {name!a} look the same; each column needs its own name.")
        seen[form] = name

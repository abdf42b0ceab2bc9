"""What one option's text means: times, columns, metadata. A wrong one is refused with what was expected."""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

COLUMN: Final = re.compile(r"(?P<name>[^:]+?)\s*(?:\((?P<type>[^()]*)\))?\s*(?::\s*(?P<said>.*))?", re.DOTALL)
TYPES: Final[Mapping[str, Any]] = {
    "str": str,
    "int": int,
    "float": float,
    "bool": bool,
    "date": date,
    "datetime": datetime,
    "list[str]": list[str],
}


class Value(click.ParamType):  # type: ignore[type-arg,unused-ignore]  # generic in some versions only
    """An option's text, read by a function whose ValueError says what is wrong.

    Several in one environment variable stand one a line: a column's name may hold spaces.
    """

    envvar_list_splitter = "\n"

    def __init__(self, name: str, read: Callable[[str], Any]) -> None:
        self.name = name
        self._read = read

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return what the text means."""
        if not isinstance(value, str):
            return value
        try:
            return self._read(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def read_column(text: str) -> tuple[str, Any]:
    """Return a column's name and what to find: ``ceo: name of the CEO``, ``founded (int): year of foundation``."""
    match = COLUMN.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no column: expected 'name: what to find' or 'name (int): what to find'")
    name, kind, said = match["name"], match["type"], (match["said"] or "").strip()
    kind = None if kind is None else kind.replace(" ", "")
    if kind is not None and kind not in TYPES:
        raise ValueError(f"{kind!r} in {text!r} is no type: expected one of {', '.join(TYPES)}")
    if kind is None and not said:
        raise ValueError(f"{text!r} does not say what to find: expected 'name: what to find'")
    asked = TYPES[kind or "str"]
    return name, (asked, said) if said else asked


def read_pair(text: str) -> tuple[str, str]:
    """Return name and column of ``NAME=COLUMN``."""
    name, sign, column = text.partition("=")
    if not (name and sign and column):
        raise ValueError(f"{text!r} is no NAME=COLUMN")
    return name, column


def dict_of(pairs: Sequence[tuple[str, Any]], *, option: str) -> dict[str, Any]:
    """Return pairs as a mapping; a name given twice is refused."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise click.UsageError(f"{option} names {name!r} twice.")
        found[name] = value
    return found

"""Dates and instants as answers write them: strict about digits, lenient about which of the two it is.

It owns the reading of both; the check of an answer and the building of a column read the same way through it.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

_Read = TypeVar("_Read")

_DATE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_TIME = r"(?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:[.,](?P<fraction>[0-9]+))?)?"
_ZONE = r"(?:[Zz]|[+-][0-9]{2}(?::?[0-9]{2})?)?"
_DATE_ONLY = re.compile(_DATE)
_INSTANT = re.compile(rf"{_DATE}[Tt ]{_TIME} ?{_ZONE}")


def parse_date(text: str) -> date | None:
    """Return the date a text is; a midnight (in whatever zone it names) is its date; None for anything else."""
    if _DATE_ONLY.fullmatch(text):
        return _read(text, date.fromisoformat)
    written = _parse_written(text)
    return written.date() if written is not None and written.time() == time.min else None


def parse_datetime(text: str) -> datetime | None:
    """Return the instant a text is, in UTC; without a zone it is UTC already, a bare date is its midnight."""
    if _DATE_ONLY.fullmatch(text):
        text = f"{text}T00:00"
    written = _parse_written(text)
    if written is None:
        return None
    try:
        return written.replace(tzinfo=UTC) if written.tzinfo is None else written.astimezone(UTC)
    except OverflowError:  # year 1 or 9999, moved over the edge by its zone
        return None


def _parse_written(text: str) -> datetime | None:
    match = _INSTANT.fullmatch(text)
    if match is None:
        return None
    fraction = match["fraction"]
    if fraction is not None and len(fraction) > 6:  # what a column cannot hold is cut off
        start, end = match.span("fraction")
        text = text[: start + 6] + text[end:]
    return _read(text.upper().replace(" ", "T", 1).replace(" ", ""), datetime.fromisoformat)


def _read(text: str, read: Callable[[str], _Read]) -> _Read | None:
    try:
        return read(text)
    except ValueError:  # the 30th of February
        return None

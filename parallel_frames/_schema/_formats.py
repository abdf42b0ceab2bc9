"""Texts with a format: dates and instants as answers write them, and loose tests of the other formats.

An answer close enough is still an answer. The check of an answer and the building of a column read dates through
the same two functions.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_DATE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_CLOCK = r"(?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:[.,](?P<fraction>[0-9]+))?)?"
_ZONE = r"(?:[Zz]|[+-][0-9]{2}(?::?[0-9]{2})?)?"
_DATE_ONLY = re.compile(_DATE)
_INSTANT = re.compile(rf"{_DATE}[Tt ]{_CLOCK} ?{_ZONE}")

_TIME = re.compile(r"(?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:\.[0-9]+)?)?(?:[Zz]|[+-][0-9]{2}:?[0-9]{2})?")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s]+")
_UUID = re.compile(r"(?:urn:uuid:)?\{?[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}\}?")


def parse_date(text: str) -> date | None:
    """Return the date in a text, None where there is none; midnight, in whatever zone, is its date."""
    if _DATE_ONLY.fullmatch(text):
        try:
            return date.fromisoformat(text)
        except ValueError:  # the 30th of February
            return None
    instant = _parse_instant(text)
    return instant.date() if instant is not None and instant.time() == time.min else None


def parse_datetime(text: str) -> datetime | None:
    """Return the instant in a text, in UTC; without a zone it is UTC already, and a bare date is its midnight."""
    instant = _parse_instant(f"{text}T00:00" if _DATE_ONLY.fullmatch(text) else text)
    if instant is None:
        return None
    try:
        return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)
    except OverflowError:  # year 1 or 9999, moved over the edge by its zone
        return None


def _parse_instant(text: str) -> datetime | None:
    match = _INSTANT.fullmatch(text)
    if match is None:
        return None
    fraction = match["fraction"]
    if fraction is not None and len(fraction) > 6:  # what a column cannot hold is cut off
        start, end = match.span("fraction")
        text = text[: start + 6] + text[end:]
    try:
        return datetime.fromisoformat(text.upper().replace(" ", "T", 1).replace(" ", ""))
    except ValueError:  # the 30th of February
        return None


FORMATS: Mapping[str, Callable[[str], object]] = {
    "date": parse_date,
    "date-time": parse_datetime,
    "time": _TIME.fullmatch,
    "email": _EMAIL.fullmatch,
    "uri": _URI.fullmatch,
    "uuid": _UUID.fullmatch,
}
"""Format → a test whose result is true for a text in that format; other formats are not tested."""

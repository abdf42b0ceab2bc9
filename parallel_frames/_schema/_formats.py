"""What counts as a date, an address, a URL: loose tests, because an answer close enough is still an answer.

It owns one test per format; formats it does not know are not tested.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ._times import parse_date, parse_datetime

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s]+")
_UUID = re.compile(r"(?:urn:uuid:)?\{?[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}\}?")
_TIME = re.compile(r"(?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:\.[0-9]+)?)?(?:[Zz]|[+-][0-9]{2}:?[0-9]{2})?")

FORMAT_CHECKS: Mapping[str, Callable[[str], object]] = {
    "date": parse_date,
    "date-time": parse_datetime,
    "time": _TIME.fullmatch,
    "email": _EMAIL.fullmatch,
    "uri": _URI.fullmatch,
    "uuid": _UUID.fullmatch,
}
"""Format → a test whose result is true for a text in that format."""

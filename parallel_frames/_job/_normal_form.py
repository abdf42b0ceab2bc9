"""When two answers are the same answer: values in a form in which what does not matter is left out.

Texts without case, spaces, accents, forms of Unicode, and punctuation but that within numbers, addresses without scheme
and ``www.``; dates as dates, times as instants; lists and objects as sets. It looks at single values, and knows nothing
of rows.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from parallel_frames._schema import parse_date, parse_datetime

if TYPE_CHECKING:
    from collections.abc import Hashable

    from parallel_frames._model import Column

NUMBERS: Final = (int, float, Decimal)
ADDRESS: Final = re.compile(r"https?://(?:www\.)?", re.IGNORECASE)
ACCENTS: Final = range(0x300, 0x370)  # not all marks: those of other scripts tell words apart
LEFT_OUT: Final = ("P", "Z", "C")  # punctuation, spaces, control characters
THOUSANDS: Final = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
# What tells 1.5 from 15, 1:12 from 11:2, and -5 from 5, but for the mark that it is.
WITHIN_NUMBERS: Final = re.compile(r"(?<=\d)[.,:/](?=\d)")
SHARP: Final = re.compile(r"(?<=[^\W\d])#")  # and C# from C
MINUS: Final = re.compile(r"(?<!\S)[-\u2013\u2212](?=\d)")


def normal_form(value: object) -> Hashable:
    """Return a value of an answer in the form in which it is compared."""
    if isinstance(value, str):
        return _normal_text(value)
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    if isinstance(value, Mapping):
        return frozenset((name, normal_form(item)) for name, item in value.items())
    if isinstance(value, Iterable):
        return frozenset(map(normal_form, value))
    return value  # a number, a truth value, a date, or None


def _normal_text(text: str) -> str:
    bare = ADDRESS.sub("", unicodedata.normalize("NFKC", text).strip(), count=1).casefold()
    numbers = MINUS.sub("\u2212", WITHIN_NUMBERS.sub("|", THOUSANDS.sub("", bare)))  # signs that are no punctuation
    spelled = unicodedata.normalize("NFKD", SHARP.sub("\u266f", numbers))
    kept = (each for each in spelled if ord(each) not in ACCENTS and unicodedata.category(each)[0] not in LEFT_OUT)
    return "".join(kept) or bare  # a text of nothing but punctuation is itself


def is_same(one: Hashable, other: Hashable, *, tolerance: float) -> bool:
    """Return whether two normal forms are the same answer; numbers may be apart by a share of the larger one."""
    if isinstance(one, NUMBERS) and isinstance(other, NUMBERS):
        return one == other or math.isclose(one, other, rel_tol=tolerance)
    return one == other


def read_known(value: Any, column: Column) -> object:
    """Return a known value of a user's frame as an answer to a column has it; ValueError says what was expected."""
    value = value.tolist() if hasattr(value, "tolist") else value  # of numpy's kinds
    match column.kind:
        case "integer" | "number":
            return _read_number(value)
        case "boolean":
            return _expect(value, isinstance(value, bool), "a truth value")
        case "date":
            return _read_date(value)
        case "datetime":
            return _read_datetime(value)
        case "array":
            return _expect(value, isinstance(value, Iterable) and not isinstance(value, str | Mapping), "a list")
        case "object":
            return _expect(value, isinstance(value, Mapping), "a mapping")
        case "string":  # whole numbers with a gap among them are floats
            return str(int(value) if isinstance(value, float) and value.is_integer() else value)
    return value


def _expect(value: object, fits: bool, expected: str) -> object:  # noqa: FBT001 - the outcome of a test
    if not fits:
        raise ValueError(f"expected {expected}")
    return value


def _read_number(value: object) -> object:
    if isinstance(value, str | Decimal):
        try:
            value = float(value)
        except ValueError:
            value = None
    return _expect(value, isinstance(value, NUMBERS), "a number")


def _read_date(value: object) -> object:
    found = parse_date(value.strip()) if isinstance(value, str) else value
    found = found.date() if isinstance(found, datetime) else found
    return _expect(found, isinstance(found, date), "a date, such as '2024-05-31'")


def _read_datetime(value: object) -> object:
    found = parse_datetime(value.strip()) if isinstance(value, str) else value
    if isinstance(found, date) and not isinstance(found, datetime):
        found = datetime.combine(found, time())
    return _expect(found, isinstance(found, datetime), "a time, such as '2024-05-31T09:30:00Z'")

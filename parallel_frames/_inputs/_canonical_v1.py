r"""Version 1 of the canonical form: when two inputs are the same input.

A canonical form is a JSON-like text in UTF-8:

- objects: names sorted by code point, nulls left out at every depth; lists keep their nulls;
- numbers by their value: integral ones as integers (``-0.0`` is ``0``), other floats by ``repr``, a Decimal by the
  same token as the float it equals, else by its plain digits; beyond 400 digits as ``<digits>e<exponent>``;
- ``true`` and ``false``; ``True``, ``1`` and ``"1"`` are three different inputs;
- text as a JSON string, with only ``"``, ``\`` and control characters escaped;
- text that is an ISO date or timestamp as the moment it names: with a zone in UTC (``"2024-01-02T09:00:00Z"``),
  without one as it stands, a date alone as its midnight, fractions without trailing zeros. A timestamp is therefore
  the same input whether it comes as datetime64 of any unit, as date32, or as text from a CSV.

This module is frozen: keys in checkpoints depend on every choice in it. A second version is a second module next to
it; nothing here may change what the golden vectors say.
"""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from parallel_frames._inputs._wire import quote

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MOST_DIGITS = 400
_MOMENT = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[T ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]+))?)?(?:(Z)|([+-])([0-9]{2}):([0-9]{2}))?)?"
)


def moment(text: str) -> str | None:
    """Return the moment an ISO text names, or None where it is any other text."""
    match = _MOMENT.fullmatch(text) if text[4:5] == "-" else None
    if match is None:
        return None
    day, hour, minute, second, fraction, utc, sign, zone_hours, zone_minutes = match.groups()
    hour, minute, second = hour or "00", minute or "00", second or "00"
    if not _is_day(day) or hour > "23" or minute > "59" or second > "59":
        return None
    tail = "." + digits if (digits := (fraction or "").rstrip("0")) else ""
    if sign is None:
        return f"{day}T{hour}:{minute}:{second}{tail}{utc or ''}"
    if zone_hours > "23" or zone_minutes > "59":
        return None
    behind = timedelta(hours=int(sign + zone_hours), minutes=int(sign + zone_minutes))
    try:
        instant = datetime.fromisoformat(f"{day}T{hour}:{minute}:{second}") - behind
    except OverflowError:  # the year before 1 or after 9999
        return None
    return f"{instant.isoformat()}{tail}Z"


def _is_day(day: str) -> bool:
    try:
        date.fromisoformat(day)
    except ValueError:
        return False
    return True


def text(value: str) -> str:
    """Return the token of a text."""
    return quote(moment(value) or value)


def integer(number: int) -> str:
    """Return the token of an integer."""
    digits = int.__repr__(number)
    return digits if len(digits) <= MOST_DIGITS else decimal(Decimal(number))


def real(number: float) -> str:
    """Return the token of a finite float."""
    return str(int(number)) if number.is_integer() else float.__repr__(number)


def decimal(number: Decimal) -> str:
    """Return the token of a finite Decimal."""
    sign, places, exponent = number.as_tuple()
    written = "".join(map(str, places))
    digits = written.rstrip("0")
    if not digits or not isinstance(exponent, int):
        return "0"
    exponent += len(written) - len(digits)
    minus = "-" if sign else ""
    if len(digits) + abs(exponent) > MOST_DIGITS:
        return f"{minus}{digits}e{exponent}"
    if exponent >= 0:
        return minus + digits + "0" * exponent
    shortest = float.__repr__(float(number))
    if Decimal(shortest) == number:
        return shortest
    whole = digits.rjust(1 - exponent, "0")
    return f"{minus}{whole[:exponent]}.{whole[exponent:]}"


def array(tokens: Iterable[str]) -> str:
    """Return the token of a list whose missing entries are ``null`` already."""
    return f"[{','.join(tokens)}]"


def mapping(tokens: Mapping[str, str]) -> str:
    """Return the token of an object whose missing entries are left out already."""
    return "{" + ",".join([f"{quote(name)}:{tokens[name]}" for name in sorted(tokens)]) + "}"

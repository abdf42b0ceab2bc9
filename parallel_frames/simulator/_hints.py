"""What a description asks for in words: formats, ranges, lengths.

The service takes no such keywords in schemas, so clients write them into descriptions.

Pure: a description in, numbers and small makers out. A regular expression in words is beyond it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._made_up import Dice

_NUMBER = r"(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)"
_SIZES = r"\s+(?:character|element)"
_LEAST = re.compile(rf"(?:minimum|at least|no less than|>=|≥)\s*(?:of|is|:|=)?\s*{_NUMBER}", re.IGNORECASE)
_MOST = re.compile(rf"(?:maximum|at most|no more than|<=|≤)\s*(?:of|is|:|=)?\s*{_NUMBER}", re.IGNORECASE)
_OVER = re.compile(rf"(?:greater than|more than|above)\s+{_NUMBER}", re.IGNORECASE)
_UNDER = re.compile(rf"(?:less than|below|under)\s+{_NUMBER}", re.IGNORECASE)
_BETWEEN = re.compile(rf"(?:between|from)\s+{_NUMBER}\s+(?:and|to)\s+{_NUMBER}", re.IGNORECASE)
_MULTIPLE = re.compile(rf"multiple of {_NUMBER}", re.IGNORECASE)
_LEAST_SIZE = re.compile(rf"at least (\d+){_SIZES}", re.IGNORECASE)
_MOST_SIZE = re.compile(rf"at most (\d+){_SIZES}", re.IGNORECASE)


def _day(dice: Dice) -> str:
    return f"{1990 + dice.draw(35)}-{1 + dice.draw(12):02}-{1 + dice.draw(28):02}"


def _time(dice: Dice) -> str:
    return f"{dice.draw(24):02}:{dice.draw(60):02}:{dice.draw(60):02}"


def _uuid(dice: Dice) -> str:
    digits = f"{dice.draw(1 << 31):08x}{dice.draw(1 << 31):08x}{dice.draw(1 << 31):08x}{dice.draw(1 << 31):08x}"
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-8{digits[17:20]}-{digits[20:]}"


_FORMATS: tuple[tuple[re.Pattern[str], Callable[[Dice], str]], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), make)
    for pattern, make in (
        (r"\bduration \(", lambda dice: f"P{1 + dice.draw(300)}D"),
        (r"date-time|date and time|timestamp|RFC ?3339|YYYY-MM-DDT", lambda dice: f"{_day(dice)}T{_time(dice)}Z"),
        (r"YYYY-MM-DD|\bISO ?8601\b|\bformat: date\b|\bISO date\b", _day),
        (r"HH:MM", _time),
        (r"\bUUID\b", _uuid),
        (r"\be-?mail address\b|\bformat: email\b", lambda dice: f"simulated-{dice.draw(100_000)}@example.com"),
        (r"\bUR[LI]\b|https?://", lambda dice: f"https://example.com/simulated/{dice.draw(100_000)}"),
    )
)


def find_format(words: str) -> Callable[[Dice], str] | None:
    """Return what makes a text in the format a description asks for, if it does."""
    return next((make for pattern, make in _FORMATS if pattern.search(words)), None)


def _first(pattern: re.Pattern[str], words: str) -> float | None:
    found = pattern.search(words)
    return float(found[1]) if found else None


def find_range(words: str, *, step: float) -> tuple[float, float]:
    """Return the range a description asks for, else 0 to 1000; `step` is what lies beyond an excluded end."""
    between = _BETWEEN.search(words)
    if between:
        low, high = sorted(map(float, between.groups()))
        return low, high
    least, over = _first(_LEAST, words), _first(_OVER, words)
    most, under = _first(_MOST, words), _first(_UNDER, words)
    lows = [end for end in (least, None if over is None else over + step) if end is not None]
    highs = [end for end in (most, None if under is None else under - step) if end is not None]
    if lows:
        low = max(lows)
        return low, max(low, min(highs)) if highs else max(1000.0, low + 1000)
    if highs:
        return min(0.0, min(highs) - 100), min(highs)
    return 0.0, 1000.0


def find_multiple(words: str) -> float | None:
    """Return the number a description asks for multiples of."""
    return _first(_MULTIPLE, words) or None


def find_sizes(words: str) -> tuple[int, int | None]:
    """Return how many characters or elements a description asks for, at least and at most."""
    least, most = _LEAST_SIZE.search(words), _MOST_SIZE.search(words)
    return int(least[1]) if least else 0, int(most[1]) if most else None

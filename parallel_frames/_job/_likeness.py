"""Whether rows look the same as earlier ones although their inputs differ: only a few of each are compared.

A column that was renamed, added or dropped, a number that became a fraction or a text, a date in another format: each
makes every row a new input, which would be paid for again. Rows that are simply other rows look different.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
TOKEN: Final = re.compile(r'"((?:[^"\\]|\\.)*)(?:"|$)(\s*:)?|([^\s"\[\]{},:]+)')
WORD: Final = re.compile(r"[^\W\d_]+|\d+")
OF_MOMENTS: Final = frozenset({"t", "z"})  # between a date and its time, and after both


def look_alike(earlier: Sequence[str], now: Sequence[str]) -> bool:
    """Return whether most of these rows, as JSON that may be cut off, look like the earlier ones at their places.

    Two rows do where one has all values of the other, or where they share a text that no other of these rows has,
    whatever the columns are called. A number alone, such as a year, says little of which row it is.
    """
    count = min(len(earlier), len(now))
    past, present = [_values(text) for text in earlier[:count]], [_values(text) for text in now[:count]]

    def is_same(place: int) -> bool:
        old, new = past[place], present[place]
        others = [each for rows in (past, present) for at, each in enumerate(rows) if at != place]
        shared = old & new
        if shared == min(old, new, key=len):
            return any(not shared <= other for other in others) or count == 1
        elsewhere = frozenset[tuple[str, ...]]().union(*others)
        return any(word[0].isalpha() for value in shared - elsewhere for word in value)

    return count > 0 and sum(map(is_same, range(count))) * 2 > count


def _values(text: str) -> frozenset[tuple[str, ...]]:
    """Return the values of a row, each in a form that hardly depends on its type and format."""
    try:
        values = list(_leaves(json.loads(text)))
    except ValueError:  # it was cut off, and so was its last value
        values = [quoted or bare for quoted, colon, bare in TOKEN.findall(text) if not colon]
        values = values[:-1] or values
    return frozenset(filter(None, map(_plain, values)))


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _leaves(each)
    elif value is not None:
        yield value


def _plain(value: Any) -> tuple[str, ...]:
    """Return the words and numbers of a value, sorted: 5.0 as 5, and a date alike in whichever order it is written."""
    try:
        return (f"{float(value):.12g}",)
    except (TypeError, ValueError):
        words = [word for word in WORD.findall(str(value).casefold()) if word not in OF_MOMENTS]
    numbered = [str(MONTHS.index(word[:3]) + 1) if word[:3] in MONTHS else word.lstrip("0") for word in words]
    return tuple(sorted(filter(None, numbered)))

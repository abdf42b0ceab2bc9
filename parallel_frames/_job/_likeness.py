"""Whether rows look the same as earlier ones although their inputs differ: only a few of each are compared.

A column that was renamed, added or dropped, a number that became a fraction or a text, a date in another format: each
makes every row a new input, which would be paid for again. Rows that are simply other rows look different.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Value: TypeAlias = tuple[str, ...]
Fields: TypeAlias = dict[str, Value]

MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
TOKEN: Final = re.compile(r'"((?:[^"\\]|\\.)*)(?:"|$)(\s*:)?|([^\s"\[\]{},:]+)')
WORD: Final = re.compile(r"[^\W\d_]+|\d+")
OF_MOMENTS: Final = frozenset({"t", "z"})  # between a date and its time, and after both
COMPARED: Final = 40  # words of a value, so that a long text is known where it was cut off
ENOUGH: Final = 5  # rows; fewer may have the same words in the same places by chance


def look_alike(earlier: Sequence[str], now: Sequence[str]) -> bool:
    """Return whether most of these rows, as JSON that may be cut off, look like earlier ones that they are not.

    Two rows do where one has all values of the other, wherever they stand: a table may have grown at its head. At the
    same place, a text of a column without repeated values is enough, whatever the columns are called; not of few rows,
    which have the same words by chance. A number alone, such as a year, says little of which row it is.
    """
    past, present = list(map(_fields, earlier)), list(map(_fields, now))
    if _are_groups(past, present):
        return False
    columns = {name: [row.get(name) for row in present] for name in present[0]} if present else {}
    distinct = {name for name, values in columns.items() if len({*values}) == len(values)}
    old_values, new_values = [{*row.values()} for row in past], [{*row.values()} for row in present]

    def is_same(place: int, other: int) -> bool:
        old, new = old_values[other], new_values[place]
        others = [*old_values[:other], *old_values[other + 1 :], *new_values[:place], *new_values[place + 1 :]]
        shared = old & new
        is_whole = len(shared) == min(len(old), len(new))
        if past[other].keys() == present[place].keys():  # a value that stands in another column is another one
            shared = {value for name, value in present[place].items() if past[other][name] == value}
            is_whole = past[other] == present[place]
        if shared and is_whole:
            return any(not shared <= row for row in others) or not others
        if place != other or min(len(past), len(present)) < ENOUGH:
            return False
        named = {value for name, value in present[place].items() if name in distinct}
        return any(word[0].isalpha() for value in (shared & named).difference(*others) for word in value)

    changed = [place for place, text in enumerate(now) if text not in earlier]
    same = sum(any(is_same(place, other) for other in range(len(past))) for place in changed)
    return same * 2 > min(len(past), len(changed))


def _are_groups(past: Sequence[Fields], present: Sequence[Fields]) -> bool:
    """Return whether a column has one value in all of the earlier rows and another in all of these, such as a year."""
    if min(len(past), len(present)) <= 1:
        return False
    before, now = (dict(set.intersection(*({*row.items()} for row in rows))) for rows in (past, present))
    return any(
        before[name] != now[name] and _is_number(before[name]) == _is_number(now[name])
        for name in before.keys() & now.keys()
    )


def _is_number(value: Value) -> bool:
    return len(value) == 1 and not value[0].isalpha()


def _fields(text: str) -> Fields:
    """Return the values of a row by name, each in a form that hardly depends on its type and format."""
    try:
        fields = dict(_leaves(json.loads(text)))
    except ValueError:  # it was cut off, and so was its last value
        fields, name = {}, ""
        for quoted, colon, bare in TOKEN.findall(text):
            if colon:
                name = quoted
            else:
                fields[f"{name} {len(fields)}" if name in fields else name] = quoted or bare
        if len(fields) > 1:
            fields.popitem()
    return {name: plain for name, value in fields.items() if (plain := _plain(value))}


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict | list):
        for key, each in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _leaves(each, f"{name}/{key}" if name else str(key))
    elif value is not None:
        yield name, value


def _plain(value: Any) -> Value:
    """Return the words and numbers of a value, sorted: 5.0 as 5, and a date alike in whichever order it is written."""
    try:
        return (f"{float(value):.12g}",)
    except (TypeError, ValueError):
        words = [word for word in WORD.findall(str(value).casefold()) if word not in OF_MOMENTS][:COMPARED]
    numbered = [str(MONTHS.index(word[:3]) + 1) if word[:3] in MONTHS else word.lstrip("0") for word in words]
    return tuple(sorted(filter(None, numbered)))

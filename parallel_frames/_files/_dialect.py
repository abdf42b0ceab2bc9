"""How a CSV file is written, seen from its beginning: its encoding, what separates its cells, where its head is.

`csv.Sniffer` of the standard library guesses by how often a character occurs, which a letter can win. Here a separator
is one by which the head and every row that is looked at have the same number of cells.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from parallel_frames._format import format_count
from parallel_frames.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

HEAD_BYTES: Final = 2**18
SEPARATORS: Final = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a bar"}
EXCEL: Final = re.compile(r'"?sep=(.)"?\r?\n', re.IGNORECASE)
UTF_16: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a CSV file is written.

    Attributes
    ----------
    skipped : int
        The lines before the head: one where Excel's ``sep=;`` stands first.
    """

    delimiter: str
    encoding: str = "utf8"
    skipped: int = 0


def find_dialect(head: bytes, *, delimiter: str, shown: str) -> Dialect:
    """Return how a file is written that begins so; `delimiter` is what its name says."""
    encoding = "utf-16" if head.startswith(UTF_16) else "utf8"
    text = codecs.getincrementaldecoder("utf-16" if encoding == "utf-16" else "utf-8-sig")("replace").decode(head)
    if "\0" in text.partition("\n")[0]:
        raise InputError(
            f"{shown} has NUL bytes in its first line: it is UTF-16 without a byte order mark, or no text. Nothing was "
            "sent. Save it as UTF-8."
        )
    excel = EXCEL.match(text)
    skipped = 1 if excel else 0
    text = text[excel.end() :] if excel else text
    rows = {mark: _rows(text, mark, is_whole=len(head) < HEAD_BYTES) for mark in {*SEPARATORS, delimiter}}
    found = excel[1] if excel else _choose(rows, delimiter, shown=shown)
    _check_rows(rows.get(found, []), found, skipped=skipped, shown=shown)
    return Dialect(found, encoding, skipped)


def _rows(text: str, mark: str, *, is_whole: bool) -> list[tuple[int, list[str]]]:
    """Return the rows that are not blank, each with the number of its last line; without one that may be cut off."""
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=mark)
    rows: list[tuple[int, list[str]]] = []
    try:
        rows.extend((lines.line_num, row) for row in lines if row)
    except csv.Error:  # a cell of 128 KiB: the rows above it decide, and in the head it is one column
        return rows or [(1, [""])]
    return rows if is_whole else rows[:-1] or rows


def _choose(rows: Mapping[str, list[tuple[int, list[str]]]], named: str, *, shown: str) -> str:
    """Return what separates the cells: what the name says, unless another character makes more columns of the head."""
    if not rows[named]:
        return named
    head = {mark: len(found[0][1]) if found else 0 for mark, found in rows.items()}
    more = [mark for mark in SEPARATORS if head[mark] > head[named]]
    even = [mark for mark in more if all(len(row) == head[mark] for _, row in rows[mark])]
    if not more or (head[named] > 1 and not even):
        return named
    if len(even) == 1 and (head[named] == 1 or any(len(row) != head[named] for _, row in rows[named])):
        return even[0]
    name, other = rows[named][0][1][0], (even or more)[0]
    raise InputError(
        f"{shown} may be separated by {SEPARATORS[named]} or by {SEPARATORS[other]}: by the one its first line names "
        f"{head[named]} and by the other {head[other]} columns, and its rows do not decide it. Nothing was sent. Write "
        f"a first line {f'sep={named}'!r}, or {f'sep={other}'!r}, before it; or put names that hold either of them in "
        f"quotes, such as {json.dumps(name, ensure_ascii=False)}."
    )


def _check_rows(rows: Sequence[tuple[int, list[str]]], mark: str, *, skipped: int, shown: str) -> None:
    """Refuse a row with more cells than the head has names, with its line."""
    for line, row in rows[1:]:
        if len(row) > len(rows[0][1]):
            names = rows[0][1]
            raise InputError(
                f"{shown} cannot be read: line {line + skipped} has {format_count(len(row), 'field')}, and the first "
                f"line names {format_count(len(names), 'column')} ({', '.join(names[:9])}). Give every column a name; "
                f"a text that holds a {mark!r} must be in quotes."
            )

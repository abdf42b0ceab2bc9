"""Which format a file has, by its name; and what can be seen of a CSV file before it is read."""

from __future__ import annotations

import csv
import gzip
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final

from parallel_frames._files._formats import FORMATS, ZIPPED, format_at, is_zipped
from parallel_frames.errors import InputError

if TYPE_CHECKING:
    from parallel_frames._files._formats import Format

PIPE: Final = "-"


def format_of(name: str) -> Format:
    """Return the format that a file's name means; a pipe holds JSON lines."""
    known = "jsonl" if name == PIPE else format_at(Path(name).name)
    if known is None:
        raise InputError(
            f"{name}: the extension says the format, and there are {', '.join(FORMATS)}, as sources "
            f"{', '.join(ZIPPED)} too, or - for pipes."
        )
    return known


def is_address(name: str) -> bool:
    """Return whether a name is an address such as ``s3://bucket/rows``."""
    return "://" in name


def check_heads(path: str) -> None:
    """Refuse a CSV file whose heads do not tell its columns apart, or whose first row has more fields than heads.

    Both would be refused later, by a reader that tells neither the line nor the names.
    """
    delimiter = "\t" if format_of(path) == "tsv" else ","
    opened = gzip.open if is_zipped(path) else open
    with opened(path, "rt", encoding="utf-8-sig", errors="replace", newline="") as file:
        lines = csv.reader(file, delimiter=delimiter)
        try:
            heads = next(filter(None, lines), [])
            row = next(filter(None, lines), [])
        except csv.Error:  # a cell of 128 KiB: pandas may tell what is wrong
            return
    twice = [name for name, count in Counter(heads).items() if count > 1]
    if twice:
        raise InputError(f"{path} has the column {twice[0]!r} more than once; rename one of them.")
    if len(row) > len(heads):
        raise InputError(
            f"{path} cannot be read: line {lines.line_num} has {len(row):,} fields, and the first line names "
            f"{len(heads):,} columns ({', '.join(heads[:9])}). Give every column a name; a text that holds a "
            f"{delimiter!r} stands in quotes."
        )

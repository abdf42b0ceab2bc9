"""Which format a file has, by its name; and what can be seen of a CSV file before it is read."""

from __future__ import annotations

import csv
import gzip
from collections import Counter
from pathlib import Path
from typing import Final, Literal

from parallel_frames.errors import InputError

Format = Literal["parquet", "csv", "tsv", "feather", "json", "jsonl"]
PIPE: Final = "-"
EXTENSIONS: Final[dict[str, Format]] = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".tsv": "tsv",
    ".feather": "feather",
    ".arrow": "feather",
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}
ZIPPED: Final = (".csv.gz", ".tsv.gz", ".jsonl.gz", ".ndjson.gz")


def format_of(name: str) -> Format:
    """Return the format that a file's name means; a pipe holds JSON lines."""
    if name == PIPE:
        return "jsonl"
    known = EXTENSIONS.get(Path(name.removesuffix(".gz") if is_zipped(name) else name).suffix.lower())
    if known is None:
        known_ones = ", ".join(EXTENSIONS)
        raise InputError(
            f"{name}: the extension says the format, and there are {known_ones}, as sources {', '.join(ZIPPED)} too, "
            "or - for pipes."
        )
    return known


def is_zipped(name: str) -> bool:
    """Return whether a file is one that is compressed."""
    return name.lower().endswith(ZIPPED)


def is_address(name: str) -> bool:
    """Return whether a name is an address such as ``s3://bucket/rows``."""
    return "://" in name


def check_heads(path: str) -> None:
    """Refuse a CSV file whose heads do not tell its columns apart, or whose first row has more fields than heads.

    pandas would rename the one, and take the first fields of the other for an index: other data would be paid for.
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

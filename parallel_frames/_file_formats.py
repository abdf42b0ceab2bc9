"""Which format a file has, by the ending of its name: one list, for files in memory and for files of any size."""

from __future__ import annotations

import re
from typing import Final, Literal

Format = Literal["parquet", "csv", "tsv", "feather", "json", "jsonl", "xlsx"]
FORMATS: Final[dict[str, Format]] = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".tsv": "tsv",
    ".feather": "feather",
    ".arrow": "feather",
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".xlsx": "xlsx",
}
SHEET: Final = re.compile(r"(.+\.xlsx)#(.+)", re.IGNORECASE | re.DOTALL)
ZIPPED: Final = (".csv.gz", ".tsv.gz", ".jsonl.gz", ".ndjson.gz")  # what is read compressed, too


def split_sheet(path: str) -> tuple[str, str | None]:
    """Return a path without the sheet that it names, as ``book.xlsx#Sales`` does, and that sheet."""
    found = SHEET.fullmatch(path)
    return (found[1], found[2]) if found else (path, None)


def format_at(path: str) -> Format | None:
    """Return the format of a file, compressed or not; None for an ending that is none of them."""
    name = split_sheet(path)[0].rpartition("/")[2].lower()
    name = name.removesuffix(".gz") if is_zipped(name) else name
    return FORMATS.get(f".{name.rpartition('.')[2]}") if "." in name else None


def is_zipped(path: str) -> bool:
    """Return whether a file is one that is compressed."""
    return path.lower().endswith(ZIPPED)

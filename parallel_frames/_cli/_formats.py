"""Which format a file has, by its name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from parallel_frames._file_formats import FORMATS, ZIPPED, format_at
from parallel_frames.errors import InputError

if TYPE_CHECKING:
    from parallel_frames._file_formats import Format

PIPE: Final = "-"


def format_of(name: str, given: Format | None = None, *, option: str = "") -> Format:
    """Return the format that a file's name means, or that an option gives a pipe; by default one holds JSON lines."""
    if given is not None:
        if name != PIPE:
            raise InputError(f"{option} {given} is for a pipe (-); the extension of {name} names the format.")
        return given
    known = "jsonl" if name == PIPE else format_at(Path(name).name)
    if known is None:
        raise InputError(
            f"The extension names the format, and {name} has {'none' if Path(name).suffix == '' else 'another'}: use "
            f"{', '.join(FORMATS)}, for sources also {', '.join(ZIPPED)}, or - for a pipe. Nothing was sent."
        )
    return known


def is_address(name: str) -> bool:
    """Return whether a name is an address such as ``s3://bucket/rows``."""
    return "://" in name

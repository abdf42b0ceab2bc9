"""Parquet files that are named by a hash of their content: what an engine's workers write, and what they look up.

Several workers may write the same file, twice or at once, and no file ever changes. `staged/` holds what a cluster is
to have sent, `answers/` what it has been answered; both are copies, and nothing that was paid for depends on them.
"""

from __future__ import annotations

import io
import json
import re
import secrets
import time
from contextlib import suppress
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from parallel_frames._checkpoint._folders import keep_cache_private
from parallel_frames._checkpoint._parts import os_errors_as_checkpoint_error, read_part, whole_file, write_table
from parallel_frames._checkpoint._paths import LocalPath
from parallel_frames._format import format_utc
from parallel_frames.errors import CheckpointCorruptError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from parallel_frames._checkpoint._paths import StoragePath

STAGED: Final = "staged"
ANSWERS: Final = "answers"
KEY: Final = pa.binary(16)
# A line without a key counts rows: those with nothing to send where `sent` is empty, those not asked about where it is
# null. One with an error says why its row cannot be sent.
STAGED_SCHEMA: Final = pa.schema(
    [
        ("key", KEY),
        ("sent", pa.binary()),
        ("label", pa.string()),
        ("metadata", pa.string()),
        ("rows", pa.int64()),
        ("error", pa.string()),
    ]
)
# `status` is an outcome's, or "pending" or "not_sent", with the reason as `error`.
ANSWER_SCHEMA: Final = pa.schema(
    [
        ("key", KEY),
        ("attempt", pa.int32()),
        *((name, pa.string()) for name in ("status", "output", "basis", "error")),
        *((name, pa.string()) for name in ("run_id", "group_id", "modified_at")),
    ]
)
MANIFEST: Final = "staged.json"  # without it the files are what a call left that is not over, or was killed
DAY: Final = 24 * 3600.0
HASHED: Final = re.compile(r"[0-9a-f]{32}\.parquet")


def make_keyed_folder(folder: StoragePath) -> None:
    """Make a folder for such files below a job's folder; the user's cache stays private."""
    keep_cache_private(folder)
    os_errors_as_checkpoint_error(folder, folder.make_folder)


def write_hashed(folder: StoragePath, table: pa.Table) -> str:
    """Write a table, whole, under the hash of its content, and return the file's name."""
    sink = io.BytesIO()
    write_table(sink, table)
    data = sink.getvalue()
    name = f"{blake2b(data, digest_size=16).hexdigest()}.parquet"
    place = folder / name
    if not place.exists() or place.read() != data:  # a damaged one has the name of what it was
        with whole_file(place, exclusive=False) as file:
            file.write(data)
    return name


def read_hashed(folder: StoragePath, name: str, columns: Sequence[str] | None = None) -> pa.Table | None:
    """Return a table, or columns of it; None where the file is damaged or not there."""
    place = folder / name
    if not place.exists():
        return None
    return read_part(place, repair=False, columns=None if columns is None else list(columns))


def write_manifest(folder: StoragePath, manifest: Mapping[str, Any]) -> None:
    """Write what is to be known of a folder of staged inputs: with that they stay until they are sent."""
    with whole_file(folder / MANIFEST, exclusive=False) as sink:
        sink.write((json.dumps(manifest, indent=2, ensure_ascii=False) + "\n").encode())


def read_manifests(folder: StoragePath) -> dict[StoragePath, dict[str, Any]]:
    """Return what is staged in a job's folder: the folder of each call, and its manifest."""
    found = {}
    for place in (folder / STAGED).children():
        if (place / MANIFEST).exists():
            try:
                found[place] = dict(json.loads((place / MANIFEST).read()))
            except (ValueError, TypeError):
                raise CheckpointCorruptError(
                    f"{place / MANIFEST} is damaged, so it is not known what was staged there. Remove {place}, and "
                    "stage the same again: nothing that was paid for is in it.",
                    path=place,
                ) from None
    return found


def remove_leftovers(folder: StoragePath) -> None:
    """Remove what calls staged that were killed more than a day ago; their names begin with the time in UTC."""
    yesterday = format_utc(time.time() - DAY).replace("-", "").replace(":", "")
    for place in (folder / STAGED).children():
        if place.name < yesterday and not (place / MANIFEST).exists():
            remove_folder(place, above=[place.parent])


def new_staging(folder: StoragePath) -> StoragePath:
    """Return where a call is to stage its inputs: a name that no other call has."""
    moment = format_utc().replace("-", "").replace(":", "")
    return folder / STAGED / f"{moment}-{secrets.token_hex(4)}"


def keyed_files(folder: StoragePath) -> Iterator[StoragePath]:
    """Yield these files of a job's folder."""
    for place in (folder / ANSWERS, *(folder / STAGED).children()):
        yield from (file for file in place.children() if file.name.endswith(".parquet"))


def is_sound(file: StoragePath) -> bool:
    """Return whether a file holds what its name says; one that an engine named is read instead."""
    if HASHED.fullmatch(file.name):
        return blake2b(file.read(), digest_size=16).hexdigest() == file.name.partition(".")[0]
    return read_part(file, repair=False) is not None


def remove_folder(folder: StoragePath, *, above: Sequence[StoragePath] = ()) -> None:
    """Remove a folder with its files, and then those of the folders above it that are empty."""
    for file in folder.children():
        file.remove()
    for place in (folder, *above):
        if isinstance(place, LocalPath):
            with suppress(OSError):  # it is not empty
                place.path.rmdir()

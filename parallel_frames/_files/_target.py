"""The target: where it may be, its Parquet, in one file or in parts of bounded size, and its manifest."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
from contextlib import suppress
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from parallel_frames._file_formats import format_at
from parallel_frames._files._address import MANIFEST, matches, spot_of
from parallel_frames._format import format_utc
from parallel_frames._job._forecast import total_of
from parallel_frames.errors import InputError, TargetError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from parallel_frames._files._address import Address, Spot
    from parallel_frames._files._prepare import PreparedFile
    from parallel_frames._files._source import Source
    from parallel_frames._job._offline import Destination
    from parallel_frames._job._prepare import PreparedCall
    from parallel_frames._job._runner import Results
    from parallel_frames._model import Json
    from parallel_frames._state import DiskIndex


# What of a call does not change its target: these may differ between two calls that are the same.
CONDUCT: Final = frozenset({
    "client", "confirm", "max_cost", "max_in_flight", "on_error", "on_mismatch", "on_row", "progress", "timeout",
})  # fmt: skip


def make_manifest(
    file: PreparedFile,
    results: Results[DiskIndex],
    *,
    counts: Mapping[str, int],
    checkpoint: str,
    simulated: bool,
    call: str,
    question: str,
) -> dict[str, Json]:
    """Return the manifest, JSON-safe and without secrets; `counts` are the asked rows by status.

    `call` is the digest of all that the target depends on; `question`, of what stays when a target is completed.
    """
    source, prepared, status = file.source, file.prepared, results.index.status()
    price = prepared.price
    jobs = list(zip((prepared, *prepared.later), results.jobs, strict=False))
    cost = total_of([each.price.of(own.index.status().billed) for each, own in jobs])
    return {
        "library": f"parallel_frames {version('parallel-frames')}",
        "written_at": format_utc(),
        "simulated": simulated,
        "source": {
            "address": source.shown,
            "files": describe_files(source),
        },
        "rows": status.rows,
        "rows_by_status": dict(counts),
        "sends": list(prepared.selection.names),
        "schema": dict(prepared.schema.wire),
        **_job_facts(prepared, results.index),
        "prices_as_of": price.as_of,
        **({"escalation": [_job_facts(each, own.index) for each, own in jobs[1:]]} if prepared.later else {}),
        "cost": None if cost is None else float(cost),
        "extra_cost": price.extra,
        "groups": [
            {**group, **{name: group[name] and f"{group[name][:19]}Z" for name in ("first", "last")}}
            for _, own in jobs
            for group in own.index.summarise_groups()
        ],
        "checkpoint": checkpoint,
        "call": call,
        "question": question,
    }


def describe_files(source: Source) -> list[dict[str, Json]]:
    """Return what the manifest says of a source's files."""
    return [
        {
            "path": facts.path,
            "bytes": facts.size,
            "modified_at": None if facts.modified is None else format_utc(facts.modified / 10**9),
        }
        for facts in source.files
    ]


def _job_facts(prepared: PreparedCall, index: DiskIndex) -> dict[str, Json]:
    """Return what the manifest says of the runs on one processor."""
    price, status = prepared.price, index.status()
    return {
        "processor": prepared.call.processor,
        "job": prepared.job.hash,
        "runs": status.runs,
        "runs_sent": status.sent,
        "price_per_run": None if price.per_run is None else float(price.per_run),
    }


def digest_of(file: PreparedFile, destination: Destination, *, rows_per_file: int, limited: bool = True) -> str:
    """Return a hash of all that a target depends on; without `limited`, of what stays when it is completed."""
    sheet = file.source.address.sheet
    rows = {
        "files": [[each.path, each.size, each.modified] for each in file.source.files],
        "rows_per_file": rows_per_file,
        **({"sheet": sheet} if sheet is not None else {}),
    }
    return question_digest(file.prepared, destination, rows, limited=limited)


def question_digest(
    prepared: PreparedCall, destination: Destination, rows: Mapping[str, Json], *, limited: bool = False
) -> str:
    """Return a hash of question, columns, options, service and `rows`.

    Only with `limited` do the limit, and which of two simulators answers, count, too.
    """
    conduct = CONDUCT if limited else CONDUCT | {"limit"}
    call = prepared.call
    facts = {
        "job": prepared.job.hash,
        "columns": list(map(str, prepared.layout.all)),
        "service": [destination.host, *([str(destination.root)] if limited else [])],
        **rows,
        "options": {
            each.name: repr(getattr(call, each.name)) for each in dataclasses.fields(call) if each.name not in conduct
        },
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def may_be_completed(prepared: PreparedCall, destination: Destination, counts: Mapping[str, int]) -> bool:
    """Return whether a target of this very question is to be written again: open rows, or a simulator's that is gone.

    Not where that would pay again, or ask other rows.
    """
    call, is_free = prepared.call, destination.block is not None
    if call.refresh or callable(call.where) or (call.checkpoint is None and not is_free):
        return False
    return is_free or any(counts.get(status) for status in ("pending", "not_sent"))


def own_manifest(address: Address) -> dict[str, Json] | None:
    """Return the manifest of a target that is as it was when a call wrote it; None where it is not."""
    try:
        with address.system.open_input_stream(manifest_of(address)) as stream:
            manifest = json.loads(stream.read())
        is_own = manifest["target"] == [info.size for info in _files_of(address)]
    except (OSError, ValueError, KeyError, TypeError):  # none, or another program's
        return None
    return manifest if is_own else None


def _files_of(address: Address) -> list[Any]:
    """Return what the file system knows of a target's files, in the order of their rows."""
    if is_file(address):
        return [address.info()]
    found = [info for info in address.infos_below(address.path.rstrip("/")) if info.type == pafs.FileType.File]
    return sorted(found, key=lambda info: str(info.path))


def text_of(manifest: Mapping[str, Any], files: Sequence[Path]) -> bytes:
    """Return a manifest as it is written, with the sizes of the target's files."""
    manifest = {**manifest, "target": [path.stat().st_size for path in files]}
    return json.dumps(manifest, indent=2, ensure_ascii=False).encode()


def manifest_of(address: Address) -> str:
    """Return the path of a target's manifest."""
    return f"{address.path.rstrip('/')}{MANIFEST}"


def write_manifest(address: Address, text: bytes) -> None:
    """Write the manifest of a target in an object store."""
    path = manifest_of(address)
    try:
        with address.system.open_output_stream(path) as stream:
            stream.write(text)
    except OSError as error:
        raise TargetError(
            f"The target is written, but its manifest {path} is not ({error.strerror or error}).", path=path
        ) from error


GROUP_ROWS: Final = 100_000
GROUP_BYTES: Final = 32 * 2**20
FILE_ENDINGS: Final = (".parquet", ".pq")
PART_FILES: Final = ("part-00000.parquet",)
JOB_FILES: Final = ("job/header.json", "job/outcomes/000001.parquet")
PART: Final = re.compile(r"part-\d{5,}\.parquet$")


def check_target(address: Address, source: Address, *, overwrite: bool) -> None:
    """Refuse a target that cannot be, as far as a look can say."""
    if (format_at(address.path.rstrip("/")) or "parquet") != "parquet":
        raise InputError(
            f"The target {address.shown} must be Parquet: a file that ends in .parquet, or a directory for parts."
        )
    if _overlaps(address.spot, source, with_files=PART_FILES):
        raise InputError(f"The target {address.shown} is the source, inside it or around it; name another.")
    if address.is_local and address.local.is_symlink():
        raise InputError(
            f"The target {address.shown} is a symbolic link, which would be replaced by a file. Nothing was sent. Name "
            f"what it points to: {os.path.realpath(address.path)!r}."
        )
    if address.exists and not overwrite and own_manifest(address) is None:
        raise target_exists(address.shown)
    kind = address.info().type
    if kind == pafs.FileType.Directory and is_file(address):
        raise InputError(f"The target {address.shown} is a directory; name a file that is not there.")
    if kind == pafs.FileType.File and not is_file(address):
        raise InputError(
            f"The target {address.shown} is a file, and a target whose name does not end in .parquet is a directory of "
            "parts. Nothing was sent. Name another."
        )
    if foreign := foreign_in(address):
        raise InputError(
            f"The target {address.shown} holds {foreign}, which is not part of a target, and would be deleted. "
            "Nothing was sent. Name another."
        )


def target_exists(shown: str, *, since: str = "") -> InputError:
    """Return the error for a target that is there, and is not this call's own; `since` says what has changed."""
    return InputError(
        f"The target {shown} exists{since}. Nothing was sent. Pass `overwrite=True` to replace it at the end (answers "
        "that are paid for are not paid again), or name another."
    )


def check_checkpoint(checkpoint: str | os.PathLike[str], source: Address, target: Address | None) -> None:
    """Refuse a checkpoint that a target would replace, or that the next call would read as rows."""
    spot = spot_of(str(checkpoint))
    if target is not None and (spot.holds(target.spot) or target.spot.holds(spot)):
        raise InputError(
            f"The checkpoint {checkpoint} and the target {target.shown} are one inside the other. Nothing was sent. "
            f"Name a checkpoint of its own, or leave it out: it is {target.shown.rstrip('/')}.ckpt then."
        )
    if _overlaps(spot, source, with_files=JOB_FILES):
        raise InputError(
            f"The checkpoint {checkpoint} is the source, inside it or around it. Nothing was sent. Name a checkpoint "
            "of its own: it would be read as rows the next time."
        )


def _overlaps(spot: Spot, source: Address, *, with_files: tuple[str, ...]) -> bool:
    """Return whether one of them holds the other, or the source's pattern would find what is written there."""
    if not source.is_pattern:
        return spot.holds(source.spot) or source.spot.holds(spot)
    names = ("", *(f"/{name}" for name in with_files))
    return spot.scheme == source.spot.scheme and any(matches(f"{spot.path}{each}", source.spot.path) for each in names)


def foreign_in(address: Address) -> str | None:
    """Return what a target's directory holds besides parts of a target; None where there is nothing of the kind."""
    if address.info().type != pafs.FileType.Directory:
        return None
    base = address.path.rstrip("/")
    found = address.infos_below(base or "/")
    parts = {info.path for info in found if info.type == pafs.FileType.File and PART.match(info.base_name)}
    foreign = [info.path for info in found if info.path not in parts or info.path.rpartition("/")[0] != base]
    return foreign[0] if foreign else None


def is_file(address: Address) -> bool:
    """Return whether the target is one file; otherwise it is a directory of parts."""
    return address.path.lower().endswith(FILE_ENDINGS)


class TargetWriter:
    """Writes batches as Parquet, with row groups and files of bounded size.

    Attributes
    ----------
    files : list of Path
        What is written.
    manifest : dict or None
        What is to be next to the target, but for the sizes of its files.
    """

    def __init__(self, folder: Path, schema: pa.Schema, *, rows_per_file: int | None) -> None:
        self._folder = folder
        self._schema = schema
        self._rows_per_file = rows_per_file
        self._writer: pq.ParquetWriter | None = None
        self._waiting: list[pa.Table] = []
        self._rows = 0
        self._bytes = 0
        self._written = 0
        self.files: list[Path] = []
        self.manifest: dict[str, Json] | None = None

    def write(self, batch: pa.Table) -> None:
        """Take the next rows."""
        while batch.num_rows:
            room = batch.num_rows if self._rows_per_file is None else self._rows_per_file - self._written - self._rows
            taken = batch.slice(0, room)
            self._waiting.append(taken)
            self._rows += taken.num_rows
            self._bytes += taken.nbytes
            batch = batch.slice(room)
            full = self._rows_per_file is not None and self._written + self._rows >= self._rows_per_file
            if full or self._rows >= GROUP_ROWS or self._bytes >= GROUP_BYTES:
                self._write_group()
            if full:
                self._end_file()

    def _write_group(self) -> None:
        if self._writer is None:
            path = self._folder / f"part-{len(self.files):05d}.parquet"
            self.files.append(path)
            self._writer = pq.ParquetWriter(path, self._schema, compression="zstd", write_page_checksum=True)
        table = pa.concat_tables(self._waiting) if self._waiting else self._schema.empty_table()
        self._writer.write_table(table, row_group_size=max(1, table.num_rows))
        self._written += self._rows
        self._waiting, self._rows, self._bytes = [], 0, 0

    def _end_file(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._writer, self._written = None, 0

    def close(self) -> None:
        """Write what is left; a source without rows gives a file without rows."""
        if self._waiting or not self.files:
            self._write_group()
        self._end_file()

    def abandon(self) -> None:
        """Let go of a file that will not be finished."""
        if self._writer is not None:
            with suppress(OSError, pa.ArrowException):
                self._writer.close()

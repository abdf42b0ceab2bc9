"""The target: Parquet that is there whole or not at all, in one file or in parts of bounded size."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from parallel_frames._checkpoint import held
from parallel_frames._parquet._address import Address, find_address, matches
from parallel_frames.errors import InputError, TargetError

if TYPE_CHECKING:
    from collections.abc import Iterator

GROUP_ROWS: Final = 100_000
GROUP_BYTES: Final = 32 * 2**20
FILE_ENDINGS: Final = (".parquet", ".pq")
PART: Final = re.compile(r"part-\d{5,}\.parquet$")


def check_target(target: str | os.PathLike[str], source: Address, *, overwrite: bool) -> Address:
    """Return where the target is to be.

    Raises
    ------
    InputError
        Something is there already, it is the source, or nothing can be written there.
    """
    address = find_address(target, what="target")
    ending = address.path.rstrip("/").rpartition("/")[2].rpartition(".")
    if ending[0] and f".{ending[2]}".lower() not in FILE_ENDINGS and ending[2].lower() in {
        "csv", "tsv", "json", "jsonl", "ndjson", "feather", "arrow", "xlsx",
    }:  # fmt: skip
        raise InputError(
            f"target={address.shown!r}: the target is Parquet: a file that ends in .parquet, or a directory for parts."
        )
    if _overlap(address, source):
        raise InputError(f"target={address.shown!r} is the source, inside it or around it; name another.")
    if address.is_local:
        _tidy(address.local)
    if address.exists and not overwrite:
        raise InputError(
            f"target={address.shown!r} exists. Nothing was sent. Say overwrite=True to replace it once all is done, or "
            "name another."
        )
    _refuse_foreign(address)
    if address.is_local:
        parent = address.local.parent
        try:
            parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=parent):
                pass
        except OSError as error:
            raise InputError(
                f"target={address.shown!r} cannot be written ({error.strerror or error}). Nothing was sent."
            ) from error
    return address


def _overlap(target: Address, source: Address) -> bool:
    """Return whether one of them holds the other, or the source's pattern would find the target."""
    if target.is_local != source.is_local or _scheme(target) != _scheme(source):
        return False
    one, other = _real(target), _real(source)
    if source.is_pattern:
        return any(matches(path, other) for path in (one, f"{one}/part-00000.parquet"))
    return f"{one}/".startswith(f"{other}/") or f"{other}/".startswith(f"{one}/")


def _scheme(address: Address) -> str:
    return "" if address.is_local else address.shown.partition("://")[0]


def _real(address: Address) -> str:
    return os.path.realpath(address.path) if address.is_local else address.path.strip("/")


def _refuse_foreign(address: Address) -> None:
    """Refuse to replace what is no target of an earlier call."""
    kind = address.info().type
    if kind == pafs.FileType.Directory and is_file(address):
        raise InputError(f"target={address.shown!r} is a directory; name a file that is not there.")
    if kind == pafs.FileType.Directory:
        found = address.system.get_file_info(pafs.FileSelector(address.path, recursive=True))
        if foreign := [info.path for info in found if not PART.match(info.base_name)]:
            raise InputError(
                f"target={address.shown!r} holds {foreign[0]}, which is no part of a target, and would be deleted. "
                "Nothing was sent. Name another."
            )


def is_file(address: Address) -> bool:
    """Return whether the target is one file; otherwise it is a directory of parts."""
    return address.path.lower().endswith(FILE_ENDINGS)


class TargetWriter:
    """Writes batches as Parquet, with row groups and files of bounded size."""

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


@contextmanager
def whole_target(address: Address, schema: pa.Schema, *, rows_per_file: int) -> Iterator[TargetWriter]:
    """Give a writer; what was written becomes the target once the block has ended well, and otherwise nothing does.

    Raises
    ------
    TargetError
        The disk is full, or the object store does not take it. The target is as it was.
    """
    single = is_file(address)
    try:
        with _workplace(address) as folder:
            writer = TargetWriter(folder, schema, rows_per_file=None if single else rows_per_file)
            try:
                yield writer
                writer.close()
            finally:
                writer.abandon()
            if address.is_local:
                _put_local(address.local, folder, writer.files, single=single)
            else:
                _put_remote(address, writer.files, single=single)
    except (OSError, pa.ArrowException) as error:
        reason = getattr(error, "strerror", None) or str(error).partition("\n")[0]
        raise TargetError(
            f"{address.shown} could not be written ({reason}). It is as it was before, and every answer is in the "
            "checkpoint: make room, and run the same call again; nothing is paid twice.",
            path=address.shown,
        ) from error


@contextmanager
def _workplace(address: Address) -> Iterator[Path]:
    """Give a hidden folder beside a local target, so that a rename is all that is left; else a temporary one."""
    if not address.is_local:
        with tempfile.TemporaryDirectory(prefix="parallel_frames-") as name:
            yield Path(name)
        return
    parent = address.local.parent
    with (
        tempfile.TemporaryDirectory(dir=parent, prefix=f".{address.local.name}.", suffix=".tmp") as name,
        held(Path(name) / "lock"),
    ):
        yield Path(name)


def _tidy(target: Path) -> None:
    """Remove what processes that died left beside a target, and put back what one of them was about to replace."""
    if not target.parent.is_dir():
        return
    for folder in target.parent.iterdir():
        if not (folder.name.startswith(f".{target.name}.") and folder.suffix == ".tmp" and folder.is_dir()):
            continue
        with held(folder / "lock") as is_dead, suppress(OSError):
            if not is_dead:
                continue
            before = folder / "before"
            if before.exists() and not target.exists():
                before.rename(target)
            shutil.rmtree(folder, ignore_errors=True)


def _put_local(target: Path, folder: Path, files: list[Path], *, single: bool) -> None:
    for path in files:
        with path.open("rb+") as handle:
            os.fsync(handle.fileno())
    if single:
        files[0].replace(target)
    else:
        new = folder / "whole"
        new.mkdir()
        for path in files:
            path.rename(new / path.name)
        old = folder / "before"
        if target.exists():
            target.rename(old)
        try:
            new.rename(target)
        except OSError:
            if old.exists():
                old.rename(target)
            raise
    handle_of = os.open(target.parent, os.O_RDONLY) if os.name != "nt" else None
    if handle_of is not None:
        os.fsync(handle_of)
        os.close(handle_of)


def _put_remote(address: Address, files: list[Path], *, single: bool) -> None:
    """Put whole objects; an object store shows one only once all of it has come."""
    system: Any = address.system
    base = address.path.rstrip("/")
    if single:
        pafs.copy_files(str(files[0]), base, source_filesystem=pafs.LocalFileSystem(), destination_filesystem=system)
        return
    system.create_dir(base, recursive=True)
    wanted = {f"{base}/{path.name}" for path in files}
    for path in files:
        pafs.copy_files(
            str(path), f"{base}/{path.name}", source_filesystem=pafs.LocalFileSystem(), destination_filesystem=system
        )
    for info in system.get_file_info(pafs.FileSelector(base, recursive=True)):
        if info.type == pafs.FileType.File and info.path not in wanted:
            system.delete_file(info.path)

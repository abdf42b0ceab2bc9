"""Files that are there whole or not at all, and numbered parts that are never overwritten."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import re
import time
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.parquet as pq

from parallel_frames.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

logger = logging.getLogger("parallel_frames")

_writes = itertools.count()
PART_NAME: Final = re.compile(r"(\d{6,})(\.intent)?\.parquet")


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable, where the platform can."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


async def in_thread(act: Callable[[], None]) -> None:
    """Do something in a thread, to its end even when cancelled: no write outlives the call that began it."""
    work = asyncio.ensure_future(asyncio.to_thread(act))
    try:
        await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.wait([work])
        with contextlib.suppress(asyncio.CancelledError):
            work.exception()
        raise


@contextlib.contextmanager
def whole_file(path: Path, *, exclusive: bool) -> Iterator[Path]:
    """Give a hidden name to write to; what was written there becomes `path`, durably, or nothing does.

    Names beginning with a dot are skipped by pandas and pyarrow, so a half-written part is never read.
    """
    hidden = path.with_name(f".{path.name}.{os.getpid()}.{next(_writes)}.tmp")
    try:
        yield hidden
        with hidden.open("rb+") as handle:
            os.fsync(handle.fileno())
        if exclusive:
            _name_exclusively(hidden, path)
        else:
            hidden.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise CheckpointError(
            f"{path} could not be written ({error.strerror or error}). What was stored before is safe; "
            "make room or name another checkpoint, and run the same call again.",
            path=path.parent.parent,
        ) from error
    finally:
        with contextlib.suppress(OSError):
            hidden.unlink(missing_ok=True)


def _name_exclusively(hidden: Path, path: Path) -> None:
    """Give a file its final name unless that is taken: a number is never used twice."""
    try:
        os.link(hidden, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links; the lock already keeps other writers out
        if path.exists():
            raise FileExistsError(f"{path} exists") from None
        hidden.rename(path)


def write_part(path: Path, table: pa.Table) -> None:
    """Write one Parquet part, whole, under a name that is not taken."""
    with whole_file(path, exclusive=True) as hidden:
        write_table(hidden, table)


def write_table(path: Path, table: pa.Table) -> None:
    """Write a table as Parquet with checksums; only to a hidden name."""
    with path.open("wb") as sink:
        pq.write_table(table, sink, compression="zstd", write_page_checksum=True)


def read_part(path: Path, *, repair: bool = True, columns: list[str] | None = None) -> pa.Table | None:
    """Return a part's table, or None for a torn, truncated, empty or foreign file, which `repair` sets aside."""
    try:
        return pq.read_table(path, columns=columns, page_checksum_verification=True, partitioning=None)  # pyright: ignore[reportArgumentType] - its stub forgets None
    except (pa.ArrowException, OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # the file may be sound: too many open, not ours
            raise CheckpointError(f"{path} could not be read ({error.strerror}).", path=path) from error
        if repair:
            set_aside(path, reason=str(error).partition("\n")[0][:200] or type(error).__name__)
        return None


def set_aside(path: Path, *, reason: str) -> None:
    """Rename a file that cannot be read so that nothing reads it again, and say so."""
    aside = path.with_name(f".damaged-{path.name}-{time.time_ns()}")
    path.rename(aside)
    logger.warning("%s cannot be read (%s); it was set aside as %s", path, reason, aside.name)
    sync_folder(path.parent)


def list_parts(folder: Path) -> Iterator[tuple[int, bool, Path]]:
    """Yield number, whether it is an intent, and path of every part, in order of their numbers."""
    parts = [(match, path) for path in folder.iterdir() if (match := PART_NAME.fullmatch(path.name))]
    for match, path in sorted(parts, key=lambda part: (int(part[0][1]), part[1].name)):
        yield int(match[1]), match[2] is not None, path


def guarded(path: Path, act: Callable[[], object]) -> None:
    """Do something to the file system; trouble with it is a CheckpointError."""
    try:
        act()
    except OSError as error:
        raise CheckpointError(f"{path} cannot be used ({error.strerror or error}).", path=path) from error

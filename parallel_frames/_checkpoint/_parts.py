"""Files that are there whole or not at all, and numbered parts that are never overwritten."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import fields
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from parallel_frames._checkpoint._paths import LocalPath, place_of
from parallel_frames._model import Intent, Outcome, Receipt, RunId
from parallel_frames.errors import CheckpointError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import BinaryIO

    from parallel_frames._checkpoint._paths import StoragePath

RECEIPT_SCHEMA: Final = pa.schema(
    [
        ("key", pa.string()),
        ("attempt", pa.int32()),
        ("row", pa.int64()),
        ("run_id", pa.string()),
        ("group_id", pa.string()),
    ]
)
OUTCOME_SCHEMA: Final = pa.schema(
    [(f.name, pa.int32() if f.name == "attempt" else pa.string()) for f in fields(Outcome)]
)
STALE_SCHEMA: Final = pa.schema([("key", pa.string()), ("attempt", pa.int32())])
POOL: Final = pa.system_memory_pool()  # the default one keeps tens of MB for each thread that writes a few


def table_of(nouns: Iterable[Any], schema: pa.Schema) -> pa.Table:
    """Return nouns as a table, a column at a time."""
    nouns = list(nouns)
    columns = [pa.array(list(map(attrgetter(field.name), nouns)), field.type, memory_pool=POOL) for field in schema]
    return pa.Table.from_arrays(columns, schema=schema)


def receipts_of(table: pa.Table) -> list[Receipt]:
    """Return the receipts of a table."""
    names = (column.name for column in fields(Receipt))
    return list(map(Receipt, *(table.column(name).to_pylist() for name in names)))


def intent_of(number: int, table: pa.Table | None) -> Intent:
    """Return an intent; one that cannot be read has no runs, because it is not known which it meant."""
    if table is None or not table.num_rows:
        return Intent(number, "", (), ())
    columns = table.to_pydict()
    runs = tuple(map(RunId, columns["key"], columns["attempt"]))
    return Intent(number, columns["group_id"][0], runs, tuple(columns["row"]))


logger = logging.getLogger("parallel_frames")

T = TypeVar("T")
AT_ONCE: Final = 8  # from a store, where each is a round trip
LOCALLY: Final = 2
READINGS: Final = 5
DAMAGED: Final = ".damaged-"  # begins the name of a file that was set aside
PART_NAME: Final = re.compile(r"(\d{6,15})(\.intent)?\.parquet")


async def in_thread(act: Callable[[], T]) -> T:
    """Do something in a thread, to its end even when cancelled: no write outlives the call that began it."""
    work = asyncio.ensure_future(asyncio.to_thread(act))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.wait([work])
        with contextlib.suppress(asyncio.CancelledError):
            work.exception()
        raise


@contextlib.contextmanager
def whole_file(place: StoragePath, *, exclusive: bool) -> Iterator[BinaryIO]:
    """Give a sink; what was written there becomes the file, durably, or nothing does. Trouble is a CheckpointError."""
    try:
        with place.written(exclusive=exclusive) as sink:
            yield sink
    except OSError as error:
        raise CheckpointError(
            f"{place} could not be written ({error.strerror or error}). What was stored before is safe; "
            "make room or name another checkpoint, and run the same again.",
            path=place.parent.parent,
        ) from error


def write_part(place: StoragePath, table: pa.Table) -> None:
    """Write one Parquet part, whole, under a name that is not taken."""
    with whole_file(place, exclusive=True) as sink:
        write_table(sink, table)


def write_table(sink: BinaryIO, table: pa.Table) -> None:
    """Write a table as Parquet with checksums."""
    pq.write_table(table, sink, compression="zstd", write_page_checksum=True, memory_pool=POOL)


def read_part(
    path: str | os.PathLike[str] | StoragePath, *, repair: bool = True, columns: list[str] | None = None
) -> pa.Table | None:
    """Return a part's table, or None for a torn, truncated, empty or foreign file, which `repair` sets aside."""
    place = place_of(path)
    return _read_if_sound(place, lambda: _read_table(place.source(), columns), repair=repair)


def _read_table(source: Any, columns: list[str] | None) -> pa.Table:
    # In this thread alone: a part is small, and each thread that decodes keeps memory of its own. `pq.read_table` would
    # read in a thread of Arrow's, which aborts the process if it still lets go of our bytes when Python ends.
    with pq.ParquetFile(source, page_checksum_verification=True, pre_buffer=False) as file:
        return file.read(columns=columns, use_threads=False)


def _read_if_sound(place: StoragePath, read: Callable[[], T], *, repair: bool) -> T | None:
    try:
        return read()
    except (pa.ArrowException, OSError, ValueError) as error:
        # The file may be sound: gone to another one, too many open, not ours. (Arrow's own have no number.)
        if isinstance(error, FileNotFoundError) or (isinstance(error, OSError) and error.errno is not None):
            raise CheckpointError(f"{place} could not be read ({error.strerror or error}).", path=place) from error
        if repair:
            set_aside(place, reason=str(error).partition("\n")[0][:200] or type(error).__name__)
        return None


def read_patiently(read: Callable[[], T]) -> T:
    """Return what is read without the lock; once more where a part went meanwhile, put together with others."""
    for _ in range(READINGS - 1):
        try:
            return read()
        except CheckpointError as error:
            if not isinstance(error.__cause__, FileNotFoundError):
                raise
    return read()


def read_parts(
    places: Sequence[StoragePath], *, repair: bool, columns: list[str] | None = None
) -> Iterator[pa.Table | None]:
    """Yield the table of each part in their order, or None; some are read ahead, and no more than some."""
    ahead = LOCALLY if all(isinstance(place, LocalPath) for place in places) else AT_ONCE
    with ThreadPoolExecutor(ahead) as pool:
        coming: deque[Future[pa.Table | None]] = deque()
        for place in places:
            coming.append(pool.submit(read_part, place, repair=repair, columns=columns))
            if len(coming) > ahead:
                yield coming.popleft().result()
        while coming:
            yield coming.popleft().result()


def set_aside(place: StoragePath, *, reason: str) -> None:
    """Rename a file that cannot be read so that nothing reads it again, and say so."""
    aside = place.rename(f"{DAMAGED}{place.name}-{time.time_ns()}")
    logger.warning("%s cannot be read (%s); it was set aside as %s", place, reason, aside.name)
    place.parent.sync()


def list_parts(folder: str | os.PathLike[str] | StoragePath) -> Iterator[tuple[int, bool, StoragePath]]:
    """Yield number, whether it is an intent, and place of every part, in order of their numbers."""
    parts = [(match, place) for place in place_of(folder).children() if (match := PART_NAME.fullmatch(place.name))]
    for match, place in sorted(parts, key=lambda part: (int(part[0][1]), part[1].name)):
        yield int(match[1]), match[2] is not None, place


def os_errors_as_checkpoint_error(place: StoragePath, act: Callable[[], object]) -> None:
    """Do something to the place; trouble with it is a CheckpointError."""
    try:
        act()
    except OSError as error:
        raise CheckpointError(f"{place} cannot be used ({error.strerror or error}).", path=place) from error

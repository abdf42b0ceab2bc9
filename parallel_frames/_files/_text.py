"""Files of text that do not say their types: what CSV and JSON lines share once their types are found.

Keys depend on those types, so they are found by our own rules; everything after that reads Parquet.
"""

from __future__ import annotations

import weakref
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq

from parallel_frames._files._batches import BATCH_ROWS
from parallel_frames._files._temporary import temporary_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

# What an address says of a file beyond its rows: the folders such as ``year=2024`` that it lies in.
Partitions = dict[str, dict[str, Any]]
# Yields the columns of a file that a schema names, in its types.
Read: TypeAlias = "Callable[[str, pa.Schema], Iterator[pa.Table]]"
NO_VALUE: Final = "__HIVE_DEFAULT_PARTITION__"


class Files:
    """Files that are read one after the other, with the columns that the folders say.

    Attributes
    ----------
    mixed : frozenset of str
        The columns that have several types in the files.
    is_bare : bool
        Whether each row is a bare text.
    """

    mixed: frozenset[str] = frozenset()
    is_bare = False

    def __init__(self, read: Read, schema: pa.Schema, partitions: Partitions) -> None:
        """Take the files' own schema, and what the folders say of each file."""
        names = dict.fromkeys(name for keys in partitions.values() for name in keys if name not in schema.names)
        fields = [pa.field(name, pa.array([keys.get(name) for keys in partitions.values()]).type) for name in names]
        self.schema = pa.schema([*schema, *fields], metadata=schema.metadata)
        self._read = read
        self._partitions = {path: {name: keys.get(name) for name in names} for path, keys in partitions.items()}

    def read(self, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield batches of these columns."""
        fields = [self.schema.field(name) for name in names]
        for path, keys in self._partitions.items():
            for table in self._read(path, pa.schema([field for field in fields if field.name not in keys])):
                columns = [
                    pa.repeat(pa.scalar(keys[field.name], field.type), table.num_rows)
                    if field.name in keys
                    else table.column(field.name)
                    for field in fields
                ]
                yield from pa.table(columns, schema=pa.schema(fields)).to_batches()


class TextFiles(Files):
    """Files whose types were found by looking at all of their rows, so that they hold for every one.

    Arrow's own datasets look at the beginning of the first file. The rows are converted to Parquet in a temporary
    folder when they are read for the first time; that folder goes with this object.
    """

    _converted: Path | None = None

    def read(self, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield batches of these columns."""
        if self._converted is None:
            self._converted = self._convert()
        yield from pq.ParquetFile(self._converted).iter_batches(BATCH_ROWS, columns=list(names), use_threads=False)

    def texts(self, schema: pa.Schema) -> Iterator[pa.Table]:
        """Yield columns of the files themselves in other types than those that were found."""
        for path in self._partitions:
            yield from self._read(path, schema)

    def _convert(self) -> Path:
        """Write all rows as one Parquet file, and return its path."""
        with ExitStack() as stack:
            path = stack.enter_context(temporary_folder()) / "rows.parquet"
            with pq.ParquetWriter(path, self.schema, compression="lz4") as writer:
                for batch in super().read(self.schema.names):
                    writer.write_batch(batch)
            weakref.finalize(self, stack.pop_all().close)
            return path


def hive_of(paths: Sequence[str]) -> pads.Partitioning | None:
    """Return how folders such as ``year=2024`` are read, by all of these paths; None where there are none.

    A name is a column of integers where every value is written as an integer is, and text otherwise: ``01`` is not 1.
    """
    values: dict[str, set[str]] = {}
    for path in paths:
        for folder in path.split("/")[:-1]:
            name, mark, value = folder.partition("=")
            if mark and name:
                values.setdefault(unquote(name), set()).add(unquote(value))
    if not values:
        return None
    return pads.partitioning(
        pa.schema([(name, pa.int64() if _are_integers(texts) else pa.string()) for name, texts in values.items()]),
        flavor="hive",
    )


def _are_integers(texts: Iterable[str]) -> bool:
    """Return whether every text is the one way in which an integer of 64 bits is written."""
    return all(
        text == NO_VALUE or (text.removeprefix("-").isdecimal() and len(text) < 19 and str(int(text)) == text)
        for text in texts
    )


def partitions_of(paths: Sequence[str], partitioning: pads.Partitioning | None, *, base: str) -> Partitions:
    """Return what the folders below `base` say of each file."""
    if partitioning is None:
        return {path: {} for path in paths}
    return {path: pads.get_partition_keys(partitioning.parse(path[len(base) :])) for path in paths}

"""Files of text that do not say their types: what CSV and JSON lines share once their types are found.

Keys depend on those types, so they are found by our own rules; everything after that reads Parquet.
"""

from __future__ import annotations

import weakref
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq

from parallel_frames._files._batches import BATCH_ROWS
from parallel_frames._files._temporary import temporary_folder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

# What an address says of a file beyond its rows: the folders such as ``year=2024`` that it lies in.
Partitions = dict[str, dict[str, Any]]
NO_VALUE: Final = "__HIVE_DEFAULT_PARTITION__"


class Reader(Protocol):
    """Reads one kind of file."""

    def read(self, path: str, schema: pa.Schema) -> Iterator[pa.Table]:
        """Yield the columns that a schema names, in its types."""
        ...


class TextFiles:
    """Files whose types were found by looking at all of their rows, so that they hold for every one.

    Arrow's own datasets look at the beginning of the first file. The rows are converted to Parquet in a temporary
    folder when they are read for the first time; that folder goes with this object.
    """

    def __init__(self, reader: Reader, schema: pa.Schema, partitions: Partitions) -> None:
        self.schema = schema
        self._reader = reader
        self._partitions = partitions
        self._converted: Path | None = None

    def read(self, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield batches of these columns."""
        if self._converted is None:
            self._converted = self._convert()
        yield from pq.ParquetFile(self._converted).iter_batches(BATCH_ROWS, columns=list(names), use_threads=False)

    def _convert(self) -> Path:
        """Write all rows as one Parquet file, and return its path."""
        with ExitStack() as stack:
            path = stack.enter_context(temporary_folder()) / "rows.parquet"
            with pq.ParquetWriter(path, self.schema, compression="lz4") as writer:
                for batch in self._parse():
                    writer.write_batch(batch)
            weakref.finalize(self, stack.pop_all().close)
            return path

    def _parse(self) -> Iterator[pa.RecordBatch]:
        for path, keys in self._partitions.items():
            wanted = pa.schema([field for field in self.schema if field.name not in keys])
            for table in self._reader.read(path, wanted):
                columns = [
                    pa.repeat(pa.scalar(keys[field.name], field.type), table.num_rows)
                    if field.name in keys
                    else table.column(field.name)
                    for field in self.schema
                ]
                yield from pa.table(columns, schema=self.schema).to_batches()


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


def with_partitions(reader: Reader, schema: pa.Schema, found: Mapping[str, Mapping[str, Any]]) -> TextFiles:
    """Return files whose folders are columns, too, beyond those that the files have themselves."""
    names = dict.fromkeys(name for keys in found.values() for name in keys if name not in schema.names)
    fields = [pa.field(name, pa.array([keys.get(name) for keys in found.values()]).type) for name in names]
    kept = {path: {name: keys.get(name) for name in names} for path, keys in found.items()}
    return TextFiles(reader, pa.schema([*schema, *fields]), kept)


def partitions_of(paths: Sequence[str], format_: Any, options: Mapping[str, Any]) -> Partitions:
    """Return what the folders of each file say, in the order of the files."""
    if options.get("partitioning") is None:
        return {path: {} for path in paths}
    dataset = pads.dataset(list(paths), format=format_, **options)
    found = {part.path: pads.get_partition_keys(part.partition_expression) for part in dataset.get_fragments()}
    return {path: found.get(path, {}) for path in paths}

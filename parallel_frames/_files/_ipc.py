"""Arrow's own format: files, streams of record batches (as other programs write ``.arrow``), and the first Feather."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyarrow import feather

from parallel_frames._files._parts import Parts, join_parts
from parallel_frames._files._text import Files

if TYPE_CHECKING:
    from collections.abc import Iterator

    from parallel_frames._files._address import Address
    from parallel_frames._files._text import Partitions


class IpcFiles(Files):
    """Files in Arrow's own format."""

    def __init__(self, reader: IpcReader, partitions: Partitions) -> None:
        super().__init__(reader, reader.parts.schema, partitions)
        self.mixed = frozenset(reader.parts.mixed)


def open_ipc(address: Address, partitions: Partitions) -> IpcFiles:
    """Open files.

    Raises
    ------
    InputError
        A file has a name twice, or files have different columns.
    """
    schemas = []
    for path in partitions:
        with opened_ipc(address, path) as (schema, _):
            schemas.append((path, schema))
    return IpcFiles(IpcReader(address, join_parts(schemas)), partitions)


@dataclass(frozen=True, slots=True)
class IpcReader:
    """Reads files in Arrow's own format."""

    address: Address
    parts: Parts

    def read(self, path: str, schema: pa.Schema) -> Iterator[pa.Table]:
        """Yield columns in their types."""
        with opened_ipc(self.address, path) as (_, batches):
            for batch in batches:
                yield pa.table(self.parts.cast(batch.select(schema.names), path=path))


@contextmanager
def opened_ipc(address: Address, path: str) -> Iterator[tuple[pa.Schema, Iterator[Any]]]:
    """Give the schema of a file and its batches; its first bytes say what it is."""
    with address.system.open_input_file(path) as file:
        begins = file.read(6)
        file.seek(0)
        if begins.startswith(b"FEA1"):
            table = feather.read_table(file)
            yield table.schema, iter(table.to_batches())
        elif begins == b"ARROW1":
            with pa.ipc.open_file(file) as reader:
                yield reader.schema, (reader.get_batch(at) for at in range(reader.num_record_batches))
        else:
            with pa.ipc.open_stream(file) as stream:
                yield stream.schema, iter(stream)

"""Arrow's own format: files, streams of record batches (as other programs write ``.arrow``), and the first Feather."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyarrow import feather

from parallel_frames._files._parts import join_parts
from parallel_frames._files._text import Files

if TYPE_CHECKING:
    from collections.abc import Iterator

    from parallel_frames._files._address import Address
    from parallel_frames._files._parts import Parts
    from parallel_frames._files._text import Partitions


def open_ipc(address: Address, partitions: Partitions) -> Files:
    """Open files."""
    schemas = []
    for path in partitions:
        with opened_ipc(address, path) as (schema, _):
            schemas.append((path, schema))
    parts = join_parts(schemas)
    files = Files(partial(_read, address, parts), parts.schema, partitions)
    files.mixed = frozenset(parts.mixed)
    return files


def _read(address: Address, parts: Parts, path: str, schema: pa.Schema) -> Iterator[pa.Table]:
    """Yield columns in their types."""
    with opened_ipc(address, path) as (_, batches):
        for batch in batches:
            yield pa.table(parts.cast(batch.select(schema.names), path=path))


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

"""Formats that do not say their types: CSV, JSON lines, JSON arrays. Types are found so that they hold for every row.

A CSV cell is what pandas' `read_csv` would make of it: a number, a boolean or a text; dates and times stay text, as in
JSON. Otherwise the same rows from a file and from a frame would be different inputs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.dataset as pads
import pyarrow.json as pajson

from parallel_frames.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from parallel_frames._parquet._address import Address

BLOCK_BYTES: Final = 4 * 2**20
WIDER: Final = {"null": pa.int64(), "int64": pa.float64()}
MISFIT: Final = re.compile(r"In CSV column #(\d+):.*conversion error")


# CSV


def open_csv(paths: Sequence[str], *, delimiter: str, options: Mapping[str, Any]) -> Any:
    """Open CSV files with types that hold for all their rows, not only for the first ones."""
    types: dict[str, pa.DataType] = {}
    while True:
        parsing = pads.CsvFileFormat(
            parse_options=pacsv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            read_options=pacsv.ReadOptions(block_size=BLOCK_BYTES, use_threads=False),
            convert_options=pacsv.ConvertOptions(column_types=types, strings_can_be_null=True),
        )
        dataset = pads.dataset(list(paths), format=parsing, **options)
        schema = pa.schema([field.with_type(types.get(field.name, _told(field.type))) for field in dataset.schema])
        dataset = pads.dataset(list(paths), schema=schema, format=parsing, **options)
        misfit = _first_misfit(dataset, schema)
        if misfit is None:
            return dataset
        types[misfit] = WIDER.get(str(schema.field(misfit).type), pa.string())


def _first_misfit(dataset: Any, schema: pa.Schema) -> str | None:
    """Return a column with a cell that does not fit its type; None where all fit."""
    first: list[str] | None = None
    where = ""
    for fragment in dataset.get_fragments():
        names = list(fragment.physical_schema.names)
        if first is None:
            first, where = names, fragment.path
        elif names != first:
            raise InputError(
                f"{fragment.path} and {where} have different columns: {', '.join(names)} in the one and "
                f"{', '.join(first)} in the other. Nothing was sent. Give them one header, or enrich them one by one."
            )
        try:
            for _ in fragment.to_batches(schema=schema, use_threads=False, batch_readahead=1):
                pass
        except pa.ArrowInvalid as error:
            found = MISFIT.search(str(error))
            if found is None or pa.types.is_string(schema.field(names[int(found[1])]).type):
                raise
            return str(names[int(found[1])])
    return None


def _told(type_: pa.DataType) -> pa.DataType:
    """Return a type as it was written: a date or a time in text is text."""
    if pa.types.is_temporal(type_) or pa.types.is_binary(type_):  # what is not UTF-8 is refused as text
        return pa.string()
    if pa.types.is_struct(type_):
        return pa.struct([field.with_type(_told(field.type)) for field in type_])
    if pa.types.is_list(type_):
        return pa.list_(_told(type_.value_type))
    return type_


# JSON


@dataclass(frozen=True, slots=True)
class JsonLines:
    """Files of JSON lines, with every field that any line has.

    Arrow's own dataset would forget a field that the first lines of a file lack.
    """

    address: Address
    schema: pa.Schema
    partitions: Mapping[str, Mapping[str, Any]]

    def read(self, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield batches of these columns."""
        for path, keys in self.partitions.items():
            wanted = pa.schema([self.schema.field(name) for name in names if name not in keys])
            parsing = pajson.ParseOptions(explicit_schema=wanted, unexpected_field_behavior="ignore")
            for block in _blocks_of(self.address, path):
                table = _parsed(block, parsing)
                columns = [
                    pa.repeat(pa.scalar(keys[name], self.schema.field(name).type), table.num_rows)
                    if name in keys
                    else table.column(name)
                    for name in names
                ]
                yield from pa.table(columns, schema=pa.schema([self.schema.field(name) for name in names])).to_batches()


def open_json_lines(address: Address, paths: Sequence[str], *, options: Mapping[str, Any]) -> JsonLines:
    """Open JSON lines, after one look at all of them."""
    schema = pa.schema([])
    for path in paths:
        for block in _blocks_of(address, path):
            told = pa.schema([field.with_type(_told(field.type)) for field in _parsed(block, None).schema])
            schema = pa.unify_schemas([schema, told], promote_options="permissive")
    parsing = pads.JsonFileFormat(read_options=pajson.ReadOptions(block_size=BLOCK_BYTES))
    dataset = pads.dataset(list(paths), format=parsing, **options)
    partitions = {part.path: pads.get_partition_keys(part.partition_expression) for part in dataset.get_fragments()}
    for path in paths:
        partitions.setdefault(path, {})
    names = dict.fromkeys(name for keys in partitions.values() for name in keys if name not in schema.names)
    found = [pa.field(name, pa.array([keys.get(name) for keys in partitions.values()]).type) for name in names]
    kept = {path: {name: keys.get(name) for name in names} for path, keys in partitions.items()}
    return JsonLines(address, pa.schema([*schema, *found]), kept)


def _blocks_of(address: Address, path: str) -> Iterator[bytes]:
    with address.system.open_input_stream(path, compression="detect") as stream:
        yield from _whole_lines(stream)


def _parsed(block: bytes, parsing: Any) -> pa.Table:
    options = pajson.ReadOptions(block_size=len(block) + 1, use_threads=False)
    return pajson.read_json(pa.BufferReader(block), read_options=options, parse_options=parsing)


def _whole_lines(stream: Any) -> Iterator[bytes]:
    """Yield a stream's bytes in blocks that end with a line."""
    rest = b""
    while block := stream.read(BLOCK_BYTES):
        whole, end, rest = (rest + block).rpartition(b"\n")
        if (whole + end).strip():
            yield whole + end
    if rest.strip():
        yield rest


def read_json_arrays(address: Address, paths: Sequence[str]) -> pa.Table:
    """Return files that hold one array of objects each; they are read whole."""
    import orjson

    rows: list[Any] = []
    for path in paths:
        with address.system.open_input_stream(path) as stream:
            try:
                told = orjson.loads(stream.read())
            except orjson.JSONDecodeError as error:
                raise InputError(
                    f"{path} is no JSON ({error}). One object per line is JSON lines: name the file .jsonl."
                ) from None
        if not isinstance(told, list) or not all(isinstance(row, dict) for row in told):
            raise InputError(f"{path} holds no array of objects; each row is one object.")
        rows += told
    names = list(dict.fromkeys(name for row in rows for name in row))
    return pa.table({name: pa.array([row.get(name) for row in rows]) for name in names})

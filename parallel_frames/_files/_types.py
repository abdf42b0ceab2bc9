"""Arrow types of what a job adds: decided by the schema alone, the same in every part; and pandas' pandas for them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pandas as pd
import pyarrow as pa

from parallel_frames._columns import Unanswered, merge_outcomes
from parallel_frames._state import Answers
from parallel_frames.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from parallel_frames._columns import Layout
    from parallel_frames._files._source import Source
    from parallel_frames._model import Json, Schema

PANDAS: Final = b"pandas"
# Schemas in a file's metadata, which their readers believe rather than the file: a new column is in none of them, and
# without them the file's own schema is read. (pandas' is completed; Arrow writes ``ARROW:schema`` with each file.)
SCHEMAS_OF_OTHERS: Final = frozenset({
    b"org.apache.spark.sql.parquet.row.metadata", b"parquet.avro.schema", b"avro.schema", b"iceberg.schema",
    b"parquet.proto.descriptor", b"thrift.descriptor",
})  # fmt: skip
VIEWS: Final = {"string_view": pa.large_string(), "binary_view": pa.large_binary()}
NULLABLE: Final = {"int64": "Int64", "double": "Float64", "bool": "boolean"}
TEXT_LABELS: Final = {
    "name": None,
    "field_name": None,
    "pandas_type": "unicode",
    "numpy_type": "object",
    "metadata": {"encoding": "UTF-8"},
}
PROVENANCE: Final = (pa.string(), pa.string(), pa.timestamp("us", tz="UTC"), pa.string(), pa.float64())


def added_types(schema: Schema, layout: Layout, *, has_cost: bool = True) -> dict[str, pa.DataType]:
    """Return the type of each column that a job adds, those included that say which run answered a row."""
    types = PROVENANCE if has_cost else PROVENANCE[:-1]
    return output_types(schema, layout) | dict(zip(map(str, layout.provenance), types, strict=False))


def output_types(schema: Schema, layout: Layout) -> dict[str, pa.DataType]:
    """Return the type of each column that a job adds, read off the merge of no rows."""
    frame = merge_outcomes(
        pd.DataFrame(index=pd.RangeIndex(0)),
        [],
        pd.RangeIndex(0).to_numpy(dtype="int64"),
        schema,
        answers=Answers.of([]),
        unanswered=lambda _: Unanswered("not_sent", ""),
        layout=layout,
        dtype_backend="pyarrow",
    ).frame
    return {str(label): plain_type(pa.Array.from_pandas(frame[label]).type) for label in layout.all}


def plain_type(type_: pa.DataType) -> pa.DataType:
    """Return a category as its text: a dictionary column written to Parquet breaks a plain pd.read_parquet."""
    return pa.string() if pa.types.is_dictionary(type_) or type_ == pa.null() else type_


def check_existing(schema: pa.Schema, types: Mapping[str, pa.DataType], *, shown: str) -> None:
    """Refuse where the source has a column of an output's name whose values the output's type cannot hold."""
    for name, type_ in types.items():
        if name in schema.names and not holds(type_, schema.field(name).type):
            raise _misfit(shown, name, schema.field(name).type, type_, "one column cannot hold both")


def check_values(batch: pa.RecordBatch, types: Mapping[str, pa.DataType], *, start: int, shown: str) -> None:
    """Refuse where a value of such a column is none of the output's type, though their types go together."""
    for name in at_risk(batch.schema, types):
        column = batch.column(name)
        try:
            as_type(column, types[name])
        except pa.ArrowException as error:
            rows = (
                f"one of the rows {start:,} to {start + batch.num_rows - 1:,} holds what is no {types[name]} ({error})"
            )
            raise _misfit(shown, name, column.type, types[name], rows) from error


def _misfit(shown: str, name: str, old: pa.DataType, new: pa.DataType, why: str) -> InputError:
    return InputError(
        f"{shown} has {name!r} as {old}, and the answers to it are {new}: {why}. Nothing was sent. Pass `prefix=...` "
        "or `if_exists='suffix'` for a column of its own, or give the schema the column's type."
    )


def at_risk(schema: pa.Schema, types: Mapping[str, pa.DataType]) -> list[str]:
    """Return the source's columns that take another type in the target."""
    return [name for name, type_ in types.items() if name in schema.names and not schema.field(name).type.equals(type_)]


def as_type(array: Any, type_: pa.DataType) -> Any:
    """Return a column in another type; it raises where a value would change."""
    if array.type.equals(type_):
        return array
    if pa.types.is_dictionary(array.type) and not pa.types.is_dictionary(type_):
        array = array.cast(array.type.value_type)
    return array.cast(type_)


def holds(new: pa.DataType, old: pa.DataType, *, exact: bool = False) -> bool:
    """Return whether values of the old type can be values of the new type; `exact`: and no float is spelled longer."""
    new, old = (type_.value_type if pa.types.is_dictionary(type_) else type_ for type_ in (new, old))
    if new.equals(old) or pa.types.is_null(old):
        return True
    if _is_list(new) and _is_list(old):
        return holds(new.value_type, old.value_type, exact=exact)
    if pa.types.is_struct(new) and pa.types.is_struct(old):
        names = [field.name for field in new] == [field.name for field in old]
        return names and all(holds(one.type, other.type, exact=exact) for one, other in zip(new, old, strict=True))
    same = (
        (pa.types.is_integer, pa.types.is_integer),
        (pa.types.is_floating, pa.types.is_integer),
        (pa.types.is_floating, lambda t: pa.types.is_floating(t) and not exact),  # 0.1 of 32 bits is another of 64
        (pa.types.is_decimal, pa.types.is_decimal),
        (_is_text, _is_text),
        (_is_binary, _is_binary),
        (pa.types.is_date, pa.types.is_date),
        (pa.types.is_time, pa.types.is_time),
        (pa.types.is_duration, pa.types.is_duration),
        # A time without a zone is a time on some wall: in UTC it would be another one.
        (pa.types.is_timestamp, lambda t: pa.types.is_timestamp(t) and (t.tz is None) == (new.tz is None)),
    )
    return any(of_new(new) and of_old(old) for of_new, of_old in same)


def _is_list(type_: pa.DataType) -> bool:
    return bool(pa.types.is_list(type_) or pa.types.is_large_list(type_))


def _is_text(type_: pa.DataType) -> bool:
    return bool(pa.types.is_string(type_) or pa.types.is_large_string(type_) or str(type_) == "string_view")


def _is_binary(type_: pa.DataType) -> bool:
    return bool(pa.types.is_binary(type_) or pa.types.is_large_binary(type_) or str(type_) == "binary_view")


def target_schema(source: Source, types: Mapping[str, pa.DataType], *, rows: int, attrs: Mapping[str, Json]) -> Any:
    """Return the schema of the target: the source's fields and metadata, with the new columns in both.

    Metadata that holds another program's schema is left out.
    """
    fields = {field.name: field.with_type(widened(field.type)) for field in source.schema}
    fields |= {
        name: pa.field(name, type_, metadata=fields[name].metadata if name in fields else None)
        for name, type_ in types.items()
    }
    is_one = len(source.files) == 1
    metadata = target_metadata(source.schema, types, rows=rows, is_one=is_one, attrs=attrs)
    return pa.schema(list(fields.values()), metadata=metadata)


def target_metadata(
    source: pa.Schema, types: Mapping[str, pa.DataType], *, rows: int, is_one: bool, attrs: Mapping[str, Json]
) -> dict[bytes, bytes]:
    """Return the source's metadata, completed by the new columns and attrs, without the schemas of other programs."""
    metadata = {key: value for key, value in (source.metadata or {}).items() if key not in SCHEMAS_OF_OTHERS}
    pandas = _pandas_metadata(metadata.get(PANDAS), types, rows=rows, is_one=is_one)
    metadata[PANDAS] = json.dumps(pandas).encode()
    metadata[b"PANDAS_ATTRS"] = json.dumps(attrs).encode()
    return metadata


def widened(type_: pa.DataType) -> pa.DataType:
    """Return a type whose dictionaries have room for the values of all files together, at every depth."""
    if pa.types.is_dictionary(type_):
        return pa.dictionary(pa.int32(), type_.value_type, ordered=type_.ordered)
    if pa.types.is_list(type_) or pa.types.is_large_list(type_):
        make = pa.list_ if pa.types.is_list(type_) else pa.large_list
        return make(type_.value_field.with_type(widened(type_.value_type)))
    if pa.types.is_struct(type_):
        return pa.struct([field.with_type(widened(field.type)) for field in type_])
    return type_


def _pandas_metadata(
    stored: bytes | None, types: Mapping[str, pa.DataType], *, rows: int, is_one: bool
) -> dict[str, Json]:
    """Return what pandas says of the columns, with a line for each new one and the right number of rows."""
    pandas: dict[str, Json] = (
        json.loads(stored) if stored else {"index_columns": [], "column_indexes": [], "columns": []}
    )
    pandas["index_columns"] = [
        each if not isinstance(each, dict) or (is_one and _length(each) == rows)
        else {**each, "start": 0, "stop": rows, "step": 1}
        for each in pandas.get("index_columns", [])
    ]  # fmt: skip
    labels = pandas.get("column_indexes", [])
    if len(labels) > 1 or any(each.get("pandas_type") not in ("unicode", "string", "empty") for each in labels):
        pandas["column_indexes"] = [TEXT_LABELS]  # the new columns' labels are texts
    kept = [each for each in pandas.get("columns", []) if each.get("field_name", each.get("name")) not in types]
    pandas["columns"] = kept + [_pandas_line(name, type_) for name, type_ in types.items()]
    pandas.setdefault("pandas_version", pd.__version__)
    return pandas


def _length(index: Mapping[str, Any]) -> int | None:
    """Return how many rows a RangeIndex has in pandas' pandas."""
    try:
        return len(range(index["start"], index["stop"], index["step"]))
    except (KeyError, TypeError, ValueError):
        return None


def _pandas_line(name: str, type_: pa.DataType) -> dict[str, Json]:
    known = NULLABLE.get(str(type_))
    pandas_type = {"int64": "int64", "double": "float64", "bool": "bool"}.get(str(type_), "unicode")
    if known is None and not pa.types.is_string(type_):
        pandas_type = "datetime" if pa.types.is_timestamp(type_) else "empty" if pa.types.is_nested(type_) else "object"
    return {
        "name": name,
        "field_name": name,
        "pandas_type": pandas_type,
        "numpy_type": known or "object",
        "metadata": None,
    }

"""The files of one source as one table: which types of a column go together, and batches in the type of all files.

Types go together where a row has the same key in each of them: it must not matter which file a row is in.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from parallel_frames._files._types import PANDAS, VIEWS, as_type, holds, widened
from parallel_frames.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(frozen=True, slots=True)
class Parts:
    """What the files of a source are together.

    Attributes
    ----------
    mixed : dict of str to str
        The columns that have several types, each with the file that it has the type of all files from. Whether their
        values fit into it is known once they are read.
    """

    schema: pa.Schema
    mixed: Mapping[str, str]

    def cast(self, batch: pa.RecordBatch, *, path: str) -> pa.RecordBatch:
        """Return a batch of one file in the types of all files."""
        if self.mixed.keys().isdisjoint(batch.schema.names):
            return batch
        columns = []
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            type_ = self.schema.field(name).type if name in self.mixed else column.type
            try:
                columns.append(as_type(column, type_))
            except pa.ArrowException as error:
                raise InputError(
                    f"{path} has the column {name!r} as {column.type}, and with {self.mixed[name]} it becomes {type_}, "
                    f"which cannot hold one of its values ({error}). Nothing was sent. Give the column one type in "
                    "every file, or enrich them one by one."
                ) from error
        return pa.record_batch(columns, names=batch.schema.names)


def join_parts(files: Iterable[tuple[str, pa.Schema]]) -> Parts:
    """Return what files are together, whose columns are found by name; order and metadata are those of the first."""
    fields: dict[str, pa.Field] = {}
    deciding: dict[str, str] = {}
    mixed: set[str] = set()
    first: tuple[str, pa.Schema] | None = None
    for path, schema in files:
        _check_names(schema.names, where=path)
        if first is None:
            first = path, schema
            fields = {field.name: field for field in schema}
            deciding = dict.fromkeys(fields, path)
        if lone := {*fields}.symmetric_difference(schema.names):
            name = min(lone)
            lacking = path if name in fields else first[0]
            raise _differ(path, first[0], f"{name!r} is missing in {lacking}")
        for field in schema:
            known = fields[field.name]
            if known.type.equals(field.type) and known.nullable >= field.nullable:
                continue
            type_ = common_type(known.type, field.type)
            if type_ is None:
                words = f"{field.name!r} is {_spelled(field.type)} in the one and {_spelled(known.type)} in the other"
                raise _differ(path, deciding[field.name], words)
            if not known.type.equals(field.type):
                mixed.add(field.name)
            if not known.type.equals(type_):
                deciding[field.name] = path
            fields[field.name] = known.with_type(type_).with_nullable(known.nullable or field.nullable)
    metadata = _pandas_of(first[1], fields) if first else None
    return Parts(pa.schema(list(fields.values()), metadata=metadata), {name: deciding[name] for name in mixed})


def common_type(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    """Return the type in which the values of both have the keys that they have in their own; None if there is none."""
    orders = [type_.ordered if pa.types.is_dictionary(type_) else None for type_ in (one, other)]
    if orders[0] is not orders[1] and pa.null() not in (one, other):  # a category, and none or another kind of one
        one, other = (type_.value_type if pa.types.is_dictionary(type_) else type_ for type_ in (one, other))
    schemas = [pa.schema([("", VIEWS.get(str(type_), type_))]) for type_ in (one, other)]
    try:
        common = widened(pa.unify_schemas(schemas, promote_options="permissive").field(0).type)
    except pa.ArrowException:
        return None
    return common if holds(common, one, exact=True) and holds(common, other, exact=True) else None


def _spelled(type_: pa.DataType) -> str:
    """Return a type in words; those of pandas spell their frequency or bounds nowhere else."""
    if isinstance(type_, pa.ExtensionType):
        return f"{type_.extension_name} {type_.__arrow_ext_serialize__().decode(errors='replace')}"
    return str(type_)


def _check_names(names: list[str], *, where: str) -> None:
    for name, times in Counter(names).items():
        if times > 1:
            called = f"that are called {name!r}" if name else "without a name"
            raise InputError(
                f"{where} has {times} columns {called}: which of them is meant is ambiguous. Nothing "
                "was sent. Rename them, or leave all but one out of the file."
            )


def _differ(path: str, other: str, difference: str) -> InputError:
    return InputError(
        f"{path} and {other} have different columns: {difference}. Nothing was sent. Give them the same columns, or "
        "enrich them one by one."
    )


def _pandas_of(first: pa.Schema, fields: Mapping[str, pa.Field]) -> dict[bytes, bytes] | None:
    """Return the metadata of the first file, in which pandas' dtype of a column goes where its type is another now."""
    metadata: dict[bytes, bytes] | None = first.metadata
    changed = {field.name for field in first if not fields[field.name].type.equals(field.type)}
    if not changed or metadata is None or PANDAS not in metadata:
        return metadata
    pandas = json.loads(metadata[PANDAS])
    for line in pandas.get("columns", []):
        if line.get("field_name", line.get("name")) in changed:
            line["numpy_type"] = "object"
            line["pandas_type"] = line["pandas_type"].replace("categorical", "unicode")
    return {**metadata, PANDAS: json.dumps(pandas).encode()}

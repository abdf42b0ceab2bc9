"""The columns in which nouns are stored, and nouns as Arrow tables and back."""

from __future__ import annotations

from dataclasses import fields
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from parallel_frames._model import Intent, Outcome, Receipt, RunId

if TYPE_CHECKING:
    from collections.abc import Iterable

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


def table_of(nouns: Iterable[Any], schema: pa.Schema) -> pa.Table:
    """Return nouns as a table, a column at a time."""
    nouns = list(nouns)
    columns = [pa.array(list(map(attrgetter(name), nouns)), schema.field(name).type) for name in schema.names]
    return pa.Table.from_arrays(columns, schema=schema)


def receipts_of(table: pa.Table) -> list[Receipt]:
    """Return the receipts of a table."""
    names = (column.name for column in fields(Receipt))
    return list(map(Receipt, *(table.column(name).to_pylist() for name in names)))


def intent_of(number: int, table: pa.Table | None) -> Intent:
    """Return an intent; one that cannot be read has no runs, because nobody knows which it meant."""
    if table is None or not table.num_rows:
        return Intent(number, "", (), ())
    columns = table.to_pydict()
    runs = tuple(map(RunId, columns["key"], columns["attempt"]))
    return Intent(number, columns["group_id"][0], runs, tuple(columns["row"]))

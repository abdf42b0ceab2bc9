"""Nouns as Arrow tables and back: the columns in which they are stored."""

from __future__ import annotations

from dataclasses import fields
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from parallel_frames._model import Outcome, Receipt

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


def table_of(nouns: Iterable[Any], schema: pa.Schema) -> pa.Table:
    """Return frozen nouns as a table, a column at a time."""
    nouns = list(nouns)
    columns = [pa.array(list(map(attrgetter(name), nouns)), schema.field(name).type) for name in schema.names]
    return pa.Table.from_arrays(columns, schema=schema)


def outcomes_of(table: pa.Table) -> list[Outcome]:
    """Return the outcomes of a table."""
    return list(map(Outcome, *(table.column(name).to_pylist() for name in OUTCOME_SCHEMA.names)))


def receipts_of(table: pa.Table) -> list[Receipt]:
    """Return the receipts of a table."""
    names = (column.name for column in fields(Receipt))
    return list(map(Receipt, *(table.column(name).to_pylist() for name in names)))

"""Nouns as Arrow tables and back: the columns of a checkpoint's parts."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from parallel_frames._model import Intent, Outcome, RunId

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

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
    columns = [pa.array([getattr(noun, name) for noun in nouns], schema.field(name).type) for name in schema.names]
    return pa.Table.from_arrays(columns, schema=schema)


def intent_of(number: int, table: pa.Table | None) -> Intent:
    """Return an intent; one that cannot be read is an intent of nobody knows which runs."""
    if table is None or not table.num_rows:
        return Intent(number, "", (), ())
    columns = table.to_pydict()
    runs = tuple(map(RunId, columns["key"], columns["attempt"]))
    return Intent(number, columns["group_id"][0], runs, tuple(columns["row"]))


def stale_table(stale: Mapping[str, int]) -> pa.Table:
    """Return what a refresh is to ask anew: key and the attempt that it found."""
    return pa.table({"key": pa.array(stale.keys(), pa.string()), "attempt": pa.array(stale.values(), pa.int32())})


def stale_of(table: pa.Table) -> dict[str, int]:
    """Return the attempt of each stale key."""
    return dict(zip(table.column("key").to_pylist(), table.column("attempt").to_pylist(), strict=True))

"""What only a checkpoint keeps, as Arrow tables and back: batches in doubt, and what a refresh is to ask anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from parallel_frames._model import Intent, RunId

if TYPE_CHECKING:
    from collections.abc import Mapping


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

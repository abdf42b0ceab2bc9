"""A checkpoint's parts, read into the index: keys and states only, one part at a time."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from parallel_frames._checkpoint import cursors_of, intents_first, list_parts, read_intent, read_part, replaced_by

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from parallel_frames._checkpoint import Place
    from parallel_frames._files._index import Index
    from parallel_frames._model import Intent

OUTCOME_COLUMNS: Final = ["key", "attempt", "status", "group_id", "run_id", "modified_at", "created_at"]
RECEIPT_COLUMNS: Final = ["key", "attempt", "group_id", "run_id"]


@dataclass(frozen=True, slots=True)
class Recalled:
    """What is small enough to be held: batches in doubt, and the cursor of each group's stream."""

    intents: list[Intent] = field(default_factory=list)
    cursors: dict[str, str] = field(default_factory=dict)

    @property
    def unreadable(self) -> list[int]:
        """Numbers of intents of which nobody knows what they meant to send."""
        return [intent.number for intent in self.intents if not intent.runs]


def recall_into(index: Index, folder: Place, *, repair: bool) -> Recalled:
    """Read all that is stored into the index; `repair` sets aside what cannot be read, and needs the folder's lock."""
    index.forget_checkpoint()
    cursors: dict[str, str] = {}
    intents = _recall_receipts(index, folder / "receipts", repair=repair)
    outcomes = [(number, path) for number, _, path in list_parts(folder / "outcomes")]
    for number, table, replaced in _read_parts(outcomes, columns=OUTCOME_COLUMNS, repair=repair):
        index.forget_parts(replaced)
        index.add_outcomes(number, table.to_pydict())
        cursors |= cursors_of(table)
    for intent in intents:
        if intent.runs:
            index.add_intent(intent.group_id, intent.runs)
    index.find_known()
    return Recalled(intents, cursors)


def _recall_receipts(index: Index, place: Place, *, repair: bool) -> list[Intent]:
    parts = intents_first(place)
    intents = {number: read_intent(number, path) for number, is_intent, path in parts if is_intent}
    receipts = [(number, path) for number, is_intent, path in parts if not is_intent]
    for number, table, _ in _read_parts(receipts, columns=RECEIPT_COLUMNS, repair=repair):
        if intents.pop(number, None) is not None and repair:  # both are there: the receipt wins
            (place / f"{number:06d}.intent.parquet").remove()
        index.add_receipts(table.to_pydict())
    return list(intents.values())


def _read_parts(
    parts: Iterable[tuple[int, Place]], *, columns: list[str], repair: bool
) -> Iterator[tuple[int, pa.Table, set[int]]]:
    """Yield number and table of each part, the oldest first, and which of those before it it holds whole.

    These are what a compaction put together and died before it removed. They go, once what replaces them is known to
    be sound.
    """
    there: dict[int, Place] = {}
    for number, path in parts:
        table = read_part(path, repair=repair, columns=columns)
        if table is None or table.column_names != columns:
            continue
        replaced = replaced_by(table) & there.keys()
        if replaced and repair and read_part(path) is None:
            continue
        for old in replaced:
            gone = there.pop(old)
            if repair:
                gone.remove()
        there[number] = path
        yield number, table, replaced


def count_outcomes(folder: Place) -> int:
    """Return how many outcomes are stored, without an index."""
    parts = ((number, path) for number, _, path in list_parts(folder / "outcomes"))
    return sum(table.num_rows for _, table, _ in _read_parts(parts, columns=["key"], repair=False))


def stale_table_of(pairs: Iterator[tuple[str, int]], *, at_once: int = 100_000) -> pa.Table:
    """Return marked attempts as the table that a checkpoint keeps of an unfinished refresh."""
    schema = pa.schema([("key", pa.string()), ("attempt", pa.int32())])
    batches = []
    while chunk := list(islice(pairs, at_once)):
        keys, attempts = zip(*chunk, strict=True)
        batches.append(pa.record_batch([pa.array(keys, pa.string()), pa.array(attempts, pa.int32())], schema=schema))
    return pa.Table.from_batches(batches, schema=schema)

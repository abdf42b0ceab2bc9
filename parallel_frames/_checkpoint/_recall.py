"""What a job's folder holds, read back part by part: by its writer, who repairs it, or by somebody who only looks.

Answers stay where they are: only keys, states and times are read here.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from parallel_frames._checkpoint._parts import (
    RECEIPT_SCHEMA,
    STALE_SCHEMA,
    intent_of,
    list_parts,
    read_part,
    read_parts,
    receipts_of,
    set_aside,
)
from parallel_frames._state import STATE_SCHEMA
from parallel_frames.errors import CheckpointCorruptError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from parallel_frames._checkpoint._paths import StoragePath
    from parallel_frames._model import Intent
    from parallel_frames._state import Index

CURSORS: Final = b"parallel_frames.cursors"
REPLACES: Final = b"parallel_frames.replaces"


@dataclass(frozen=True, slots=True)
class Recalled:
    """What the engine needs of a folder beside the index: batches in doubt, and the cursor of each group's stream."""

    intents: list[Intent] = field(default_factory=list)
    cursors: dict[str, str] = field(default_factory=dict)

    @property
    def unreadable_intents(self) -> tuple[int, ...]:
        """Numbers of intents of which it is not known what they meant to send."""
        return tuple(intent.number for intent in self.intents if not intent.runs)


def recall_folder(folder: StoragePath, index: Index, *, repair: bool) -> Recalled:
    """Read all that is stored into `index`; `repair` sets aside what cannot be read, and needs the folder's lock."""
    intents = _recall_receipts(folder / "receipts", index, repair=repair)
    cursors: dict[str, str] = {}
    for number, table in _read_whole(folder / "outcomes", STATE_SCHEMA, repair=repair):
        index.add_outcomes(number, table)
        cursors = {**cursors_of(table), **cursors}  # the newest part counts
    for intent in intents:
        if intent.runs:
            index.add_intent(intent.number, intent.group_id, intent.runs)
    return Recalled(intents, cursors)


def _recall_receipts(place: StoragePath, index: Index, *, repair: bool) -> list[Intent]:
    # Intents first: while their writer is at work they are gone in a moment, and a receipt has taken their place.
    intents = {number: read_intent(number, path) for number, is_intent, path in list_parts(place) if is_intent}
    for number, table in _read_whole(place, RECEIPT_SCHEMA, repair=repair):
        if intents.pop(number, None) is not None and repair:  # both are there: the receipt wins
            (place / f"{number:06d}.intent.parquet").remove()
        index.add_receipts(receipts_of(table))
    return list(intents.values())


def _read_whole(place: StoragePath, schema: pa.Schema, *, repair: bool) -> Iterator[tuple[int, pa.Table]]:
    """Yield number and table of each part, the newest first, but for parts that a newer one holds whole.

    Those are what a compaction put together and died before it removed. They are removed here, once the part that
    replaces them is known to be sound.
    """
    parts = [(number, path) for number, is_intent, path in list_parts(place) if not is_intent][::-1]
    replaced: set[int] = set()
    tables = read_parts([path for _, path in parts], repair=repair, columns=schema.names)
    for (number, path), table in zip(parts, tables, strict=True):
        if number in replaced:
            if repair:
                path.remove()
            continue
        fitted = None if table is None else fit_table(table, schema)
        if fitted is None or table is None:
            if table is not None and repair:
                set_aside(path, reason=_described(path))
            continue
        olds = replaced_by(table)
        if olds and repair and read_part(path) is None:  # columns that were not read are torn
            continue
        replaced |= olds
        yield number, fitted


def read_intent(number: int, path: StoragePath) -> Intent:
    """Return a batch in doubt."""
    table = read_part(path, repair=False)
    return intent_of(number, None if table is None else fit_table(table, RECEIPT_SCHEMA))


def fit_table(table: pa.Table, schema: pa.Schema) -> pa.Table | None:
    """Return a part in the types in which it is stored, whatever rewrote it; None where it is another table."""
    if table.schema.equals(schema):
        return table
    if not set(schema.names) <= set(table.column_names):
        return None
    try:
        return table.select(schema.names).cast(schema).replace_schema_metadata(table.schema.metadata)
    except pa.ArrowException:
        return None


def _described(path: StoragePath) -> str:
    table = read_part(path, repair=False)
    columns = [] if table is None else [f"{column.name} ({column.type})" for column in table.schema]
    return "it has the columns " + ", ".join(columns)


def cursors_of(table: pa.Table) -> dict[str, str]:
    """Return the cursors of the streams that an outcomes part covers."""
    cursors: dict[str, str] = json.loads((table.schema.metadata or {}).get(CURSORS, b"{}"))
    return cursors


def replaced_by(table: pa.Table) -> set[int]:
    """Return the numbers of the parts that a part holds whole: a compaction put them together."""
    return set(json.loads((table.schema.metadata or {}).get(REPLACES, b"[]")))


def read_stale(folder: StoragePath) -> list[tuple[str, int]] | None:
    """Return the attempts that an unfinished refresh was to ask again; None where no refresh broke off."""
    path = folder / "refresh.parquet"
    if not path.exists():
        return None
    table = read_part(path, repair=False)
    if table is None:
        raise CheckpointCorruptError(
            f"{path} is damaged, so it cannot be known which rows an unfinished refresh has asked already. Remove "
            "it and pass refresh=True to ask every row again, or leave refresh out to keep what there is.",
            path=folder,
        )
    table = table.select(STALE_SCHEMA.names)
    return list(zip(table.column("key").to_pylist(), table.column("attempt").to_pylist(), strict=True))

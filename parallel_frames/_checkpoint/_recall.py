"""What a job's folder holds, read back: by the writer who repairs it, or by somebody who only looks."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from parallel_frames._checkpoint._files import (
    list_parts,
    parse_part,
    read_part,
    read_parts,
    read_patiently,
    read_stored,
    set_aside,
)
from parallel_frames._checkpoint._header import read_header
from parallel_frames._checkpoint._tables import intent_of, stale_of
from parallel_frames._state import OUTCOME_SCHEMA, RECEIPT_SCHEMA, Archive, Ledger, encode_table, receipts_of
from parallel_frames.errors import CheckpointCorruptError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from parallel_frames._checkpoint._places import Place
    from parallel_frames._model import Intent, Outcome, Receipt

CURSORS: Final = b"parallel_frames.cursors"
REPLACES: Final = b"parallel_frames.replaces"


@dataclass(frozen=True, slots=True)
class Remembered:
    """Everything a checkpoint holds of a job; `paid` are its receipts as a table."""

    archive: Archive = field(default_factory=Archive)
    paid: pa.Table = field(default_factory=RECEIPT_SCHEMA.empty_table)
    intents: list[Intent] = field(default_factory=list)
    cursors: dict[str, str] = field(default_factory=dict)

    @property
    def outcomes(self) -> list[Outcome]:
        """The outcomes, as they are stored."""
        return list(self.archive)

    @property
    def receipts(self) -> list[Receipt]:
        """The receipts, as they are stored."""
        return receipts_of(self.paid)

    @property
    def groups(self) -> list[str]:
        """The groups that anything here belongs to."""
        told = [
            *self.paid.column("group_id").unique().to_pylist(),
            *self.archive.groups,
            *(outcome.group_id for outcome in self.archive.rest),
            *(intent.group_id for intent in self.intents),
        ]
        return list(dict.fromkeys(told))

    def ledger(self) -> Ledger:
        """Return a ledger that knows all of it, but for intents that cannot be read."""
        ledger = Ledger()
        ledger.recall_archive(self.archive, receipts_of(self.archive.without_outcome(self.paid)))
        for intent in self.intents:
            if intent.runs:
                ledger.open_intent(intent)
        return ledger


@dataclass(frozen=True, slots=True)
class Peek:
    """What somebody sees who only looks: the header, what is stored, and what an unfinished refresh is to ask anew."""

    header: dict[str, Any]
    remembered: Remembered
    stale: dict[str, int] | None


def peek_folder(folder: Place) -> Peek | None:
    """Return what a job's folder holds without a lock and without changing it; None where there is none."""
    header = read_header(folder)
    if header is None:
        return None
    return read_patiently(lambda: Peek(header, recall_folder(folder, repair=False), read_stale(folder)))


def recall_folder(folder: Place, *, repair: bool) -> Remembered:
    """Return all that is stored; `repair` sets aside what cannot be read, and needs the folder's lock."""
    receipts: dict[int, pa.Table] = {}
    intents: dict[int, Intent] = {}
    replaced: set[int] = set()
    parts = intents_first(folder / "receipts")
    tables = read_parts([path for _, _, path in parts], repair=False)
    for (number, is_intent, path), read in zip(parts, tables, strict=True):
        # A damaged intent stays until its batch counts as decided; anything else damaged is set aside.
        table = read_part(path) if read is None and repair and not is_intent else read
        ours = None if table is None else _fitted(table, RECEIPT_SCHEMA)
        if table is not None and ours is None and repair and not is_intent:
            set_aside(path, reason=f"it has {_described(table)}")
        if is_intent:
            intents[number] = intent_of(number, ours)
            continue
        if table is None or ours is None:
            continue
        if intents.pop(number, None) is not None and repair:  # both are there: the receipt wins
            (path.parent / f"{number:06d}.intent.parquet").remove()
        replaced |= replaced_by(table)
        receipts[number] = ours
    if repair:
        _remove_replaced(parts, replaced)
    kept = [table for number, table in receipts.items() if number not in replaced]
    paid = pa.concat_tables([RECEIPT_SCHEMA.empty_table(), *kept])
    archive, cursors = _recall_outcomes(folder / "outcomes", repair=repair)
    return Remembered(archive, paid, list(intents.values()), cursors)


def intents_first(place: Place) -> list[tuple[int, bool, Place]]:
    """Return the parts of receipts, intents first: at work, they are gone in a moment."""
    return sorted(list_parts(place), key=lambda part: not part[1])


def read_intent(number: int, path: Place) -> Intent:
    """Return a batch in doubt; one whose file cannot be read is an intent of nobody knows which runs."""
    table = read_part(path, repair=False)
    return intent_of(number, None if table is None else _fitted(table, RECEIPT_SCHEMA))


def _recall_outcomes(place: Place, *, repair: bool) -> tuple[Archive, dict[str, str]]:
    archive, stored = Archive(), dict[int, bytes]()
    cursors: dict[str, str] = {}
    parts = list(list_parts(place))
    replaced: set[int] = set()
    every = read_parts([path for _, _, path in parts], repair=repair, read=read_stored)
    for (number, _, path), part in zip(parts, every, strict=True):
        if part is None:
            continue
        table = _fitted(part.table, OUTCOME_SCHEMA)
        if table is None:
            if repair:
                set_aside(path, reason=f"it has {_described(part.table)}")
            continue
        cursors |= cursors_of(part.table)
        replaced |= replaced_by(part.table)
        stored[number] = part.data if table is part.table else encode_table(table)
        archive.add(table, stored[number])  # while the next ones are read
    if not replaced.isdisjoint(stored):  # a compaction died before it tidied up
        archive = Archive()
        for number, data in stored.items():
            if number not in replaced:
                archive.add(*parse_part(data))
    archive.settle()
    if repair:
        _remove_replaced(parts, replaced)
    return archive, cursors


def _fitted(table: pa.Table, schema: pa.Schema) -> pa.Table | None:
    """Return a part in the types in which it is stored, whoever wrote it anew; None where it is another table."""
    if table.schema.equals(schema):
        return table
    if not set(schema.names) <= set(table.column_names):
        return None
    try:
        return table.select(schema.names).cast(schema)
    except pa.ArrowException:
        return None


def _described(table: pa.Table) -> str:
    return "the columns " + ", ".join(f"{field.name} ({field.type})" for field in table.schema)


def _remove_replaced(parts: Iterable[tuple[int, bool, Place]], replaced: set[int]) -> None:
    """Remove what a compaction put together and died before it removed; parts that replace it were read whole."""
    for number, is_intent, path in parts:
        if number in replaced and not is_intent:
            path.remove()


def cursors_of(table: pa.Table) -> dict[str, str]:
    """Return the cursors of the streams that an outcomes part covers."""
    cursors: dict[str, str] = json.loads((table.schema.metadata or {}).get(CURSORS, b"{}"))
    return cursors


def replaced_by(table: pa.Table) -> set[int]:
    """Return the numbers of the parts that a part holds whole: a compaction put them together."""
    return set(json.loads((table.schema.metadata or {}).get(REPLACES, b"[]")))


def read_stale(folder: Place) -> dict[str, int] | None:
    """Return the attempts that a refresh found and was to ask anew when it broke off; None if none did."""
    path = folder / "refresh.parquet"
    if not path.exists():
        return None
    table = read_part(path, repair=False)
    if table is None:
        raise CheckpointCorruptError(
            f"{path} is damaged, so it cannot be told which rows an unfinished refresh has asked already. Remove "
            "it and say refresh=True to ask every row anew, or leave refresh out to keep what there is.",
            path=folder,
        )
    return stale_of(table)

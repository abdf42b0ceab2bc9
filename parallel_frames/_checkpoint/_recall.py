"""What a job's folder holds, read back: by the writer who repairs it, or by somebody who only looks."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from parallel_frames._checkpoint._files import list_parts, read_part, read_parts, read_patiently, set_aside
from parallel_frames._checkpoint._header import read_header
from parallel_frames._checkpoint._tables import (
    OUTCOME_SCHEMA,
    RECEIPT_SCHEMA,
    intent_of,
    outcomes_of,
    receipts_of,
    stale_of,
)
from parallel_frames.errors import CheckpointCorruptError

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pyarrow as pa

    from parallel_frames._checkpoint._places import Place
    from parallel_frames._model import Intent, Outcome, Receipt

CURSORS: Final = b"parallel_frames.cursors"
REPLACES: Final = b"parallel_frames.replaces"


@dataclass(frozen=True, slots=True)
class Remembered:
    """Everything a checkpoint holds of a job."""

    receipts: list[Receipt] = field(default_factory=list)
    intents: list[Intent] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    cursors: dict[str, str] = field(default_factory=dict)


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
    receipts: dict[tuple[str, int, str], Receipt] = {}
    intents: dict[int, Intent] = {}
    replaced: set[int] = set()
    parts = intents_first(folder / "receipts")
    tables = read_parts([path for _, _, path in parts], repair=False)
    for (number, is_intent, path), read in zip(parts, tables, strict=True):
        # A damaged intent stays until its batch counts as decided; anything else damaged is set aside.
        table = read_part(path) if read is None and repair and not is_intent else read
        if table is not None and not set(RECEIPT_SCHEMA.names) <= set(table.column_names):
            if repair and not is_intent:
                set_aside(path, reason=f"it has the columns {table.column_names}")
            table = None
        if is_intent:
            intents[number] = intent_of(number, table)
            continue
        if table is None:
            continue
        if intents.pop(number, None) is not None and repair:  # both are there: the receipt wins
            (path.parent / f"{number:06d}.intent.parquet").remove()
        replaced |= replaced_by(table)
        receipts |= {(receipt.key, receipt.attempt, receipt.run_id): receipt for receipt in receipts_of(table)}
    if repair:
        _remove_replaced(parts, replaced)
    outcomes, cursors = _recall_outcomes(folder / "outcomes", repair=repair)
    return Remembered(list(receipts.values()), list(intents.values()), outcomes, cursors)


def intents_first(place: Place) -> list[tuple[int, bool, Place]]:
    """Return the parts of receipts, intents first: at work, they are gone in a moment."""
    return sorted(list_parts(place), key=lambda part: not part[1])


def read_intent(number: int, path: Place) -> Intent:
    """Return a batch in doubt; one whose file cannot be read is an intent of nobody knows which runs."""
    table = read_part(path, repair=False)
    if table is not None and not set(RECEIPT_SCHEMA.names) <= set(table.column_names):
        table = None
    return intent_of(number, table)


def _recall_outcomes(place: Place, *, repair: bool) -> tuple[list[Outcome], dict[str, str]]:
    outcomes: list[Outcome] = []
    cursors: dict[str, str] = {}
    parts = list(list_parts(place))
    replaced: set[int] = set()
    tables = read_parts([path for _, _, path in parts], repair=repair)
    for (_, _, path), table in zip(parts, tables, strict=True):
        if table is None:
            continue
        if not set(OUTCOME_SCHEMA.names) <= set(table.column_names):
            if repair:
                set_aside(path, reason=f"it has the columns {table.column_names}")
            continue
        cursors |= cursors_of(table)
        replaced |= replaced_by(table)
        outcomes += outcomes_of(table)
    if replaced.intersection(number for number, _, _ in parts):  # a compaction died before it tidied up
        outcomes = list({(each.key, each.attempt, each.run_id): each for each in outcomes}.values())
        if repair:
            _remove_replaced(parts, replaced)
    return outcomes, cursors


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

"""What a job's folder holds, read back part by part: its writer repairs it, a reader changes nothing.

Answers stay where they are: only keys, states and times are read here.
"""

# Arrow makes its functions when it is imported.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from parallel_frames._checkpoint._parts import (
    OUTCOME_SCHEMA,
    RECEIPT_SCHEMA,
    STALE_SCHEMA,
    intent_of,
    list_parts,
    read_part,
    read_parts,
    receipts_of,
    set_aside,
)
from parallel_frames._model import TERMINAL, Outcome
from parallel_frames._state import RUN_SCHEMA, STATE_SCHEMA
from parallel_frames.errors import CheckpointCorruptError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from parallel_frames._checkpoint._paths import StoragePath
    from parallel_frames._model import Intent, Receipt
    from parallel_frames._state import Index

CURSORS: Final = b"parallel_frames.cursors"
REPLACES: Final = b"parallel_frames.replaces"
HEX: Final = np.isin(np.arange(256), np.frombuffer(b"0123456789abcdef", np.uint8))
MAX_ATTEMPTS: Final = 1_000_000  # as in what a run's metadata is read as


@dataclass(frozen=True, slots=True)
class Recalled:
    """What the engine needs of a folder besides the index: batches in doubt, and the cursor of each group's stream."""

    intents: list[Intent] = field(default_factory=list)
    cursors: dict[str, str] = field(default_factory=dict)


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
    for number, runs in _read_whole(place, RUN_SCHEMA, repair=repair):
        if intents.pop(number, None) is not None and repair:  # both are there: the receipt wins
            (place / f"{number:06d}.intent.parquet").remove()
        index.add_receipts(runs)
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
        if table is None:
            continue
        fitted = fit_table(table, schema)
        flaw = _described(path) if fitted is None else find_flaw(fitted)
        if fitted is None or flaw is not None:
            if repair:
                set_aside(path, reason=str(flaw))
            continue
        olds = replaced_by(table)
        if olds and repair and read_part(path) is None:  # columns that were not read are torn
            continue
        replaced |= olds
        yield number, fitted


def read_intent(number: int, path: StoragePath) -> Intent:
    """Return a batch in doubt."""
    table = read_part(path, repair=False)
    fitted = None if table is None else fit_table(table, RECEIPT_SCHEMA)
    is_sound = fitted is not None and find_flaw(fitted.drop_columns(["run_id"])) is None  # it has no ids yet
    return intent_of(number, fitted if is_sound else None)


def fit_table(table: pa.Table, schema: pa.Schema) -> pa.Table | None:
    """Return a part in the types in which it is stored, whatever rewrote it; None where it is another table."""
    if table.schema.equals(schema):
        return table
    if not set(schema.names) <= set(table.column_names):
        return None
    try:
        return table.select(schema.names).cast(schema).replace_schema_metadata(table.schema.metadata)
    except (pa.ArrowException, KeyError):  # the latter: a column's name twice
        return None


def _are_keys(column: pa.ChunkedArray) -> pa.ChunkedArray:
    are_long = pc.fill_null(pc.equal(pc.binary_length(column), 32), False)  # noqa: FBT003 - Arrow's signature
    if pc.all(are_long).as_py() and all(map(_is_hex, column.chunks)):  # a regular expression takes many times as long
        return are_long
    return pc.match_substring_regex(column, "^[0-9a-f]{32}$")


def _is_hex(chunk: pa.StringArray) -> bool:
    if not len(chunk):
        return True
    offsets = np.frombuffer(chunk.buffers()[1], np.int32)[chunk.offset : chunk.offset + len(chunk) + 1]
    return bool(HEX[np.frombuffer(chunk.buffers()[2], np.uint8)[offsets[0] : offsets[-1]]].all())


# What the values of a part's columns are, whoever wrote it; a value that is none of these is no part of ours.
VALUES: Final[Mapping[str, Callable[[pa.ChunkedArray], pa.ChunkedArray]]] = {
    "key": _are_keys,
    "attempt": lambda column: pc.and_(pc.greater_equal(column, 0), pc.less(column, MAX_ATTEMPTS)),
    "run_id": lambda column: pc.greater(pc.binary_length(column), 0),
    "group_id": lambda column: pc.greater(pc.binary_length(column), 0),
    "status": lambda column: pc.is_in(column, value_set=pa.array(sorted(TERMINAL))),
}


def find_flaw(table: pa.Table) -> str | None:
    """Return what a part holds that none of ours does, in words; None for nothing."""
    for name, are_right in VALUES.items():
        if name not in table.column_names:
            continue
        column = table.column(name)
        wrong = pc.invert(pc.fill_null(are_right(column), False))  # noqa: FBT003 - Arrow's signature
        if pc.any(wrong).as_py():
            return f"it holds the {name} {column.filter(wrong)[0].as_py()!r}"[:200]
    return None


def sound_table(table: pa.Table | None, schema: pa.Schema) -> pa.Table | None:
    """Return a part in the types in which it is stored; None where it cannot be read or is no part of ours."""
    fitted = None if table is None else fit_table(table, schema)
    return fitted if fitted is None or find_flaw(fitted) is None else None


def _described(path: StoragePath) -> str:
    table = read_part(path, repair=False)
    columns = [] if table is None else [f"{column.name} ({column.type})" for column in table.schema]
    return "it has the columns " + ", ".join(columns)


def cursors_of(table: pa.Table) -> dict[str, str]:
    """Return the cursors of the streams that an outcomes part covers."""
    cursors = _metadata(table, CURSORS)
    if not isinstance(cursors, dict):  # without a cursor, the events are taken again
        return {}
    return {group_id: cursor for group_id, cursor in cursors.items() if cursor and isinstance(cursor, str)}


def replaced_by(table: pa.Table) -> set[int]:
    """Return the numbers of the parts that a part holds whole: a compaction put them together."""
    numbers = _metadata(table, REPLACES)
    return {number for number in numbers if isinstance(number, int)} if isinstance(numbers, list) else set()


def _metadata(table: pa.Table, name: bytes) -> object:
    try:
        return json.loads((table.schema.metadata or {}).get(name, b"null"))
    except (ValueError, RecursionError):
        return None


def read_answers(folder: StoragePath, *, of: Callable[[set[str]], set[str]]) -> Iterator[list[Outcome]]:
    """Yield completed runs in a job's folder, a part at a time, without changing it.

    `of` picks from the keys that a part has answers to; answers are read where it picks any.
    """
    for number, states in _read_whole(folder / "outcomes", STATE_SCHEMA, repair=False):
        completed = states.filter(pc.equal(states.column("status"), "completed"))
        keys = of(set(completed.column("key").to_pylist()))
        path = folder / "outcomes" / f"{number:06d}.parquet"
        table = sound_table(read_part(path, repair=False), OUTCOME_SCHEMA) if keys else None
        if table is not None:
            is_wanted = pc.is_in(table.column("key"), value_set=pa.array(sorted(keys)))
            wanted = table.filter(pc.and_(is_wanted, pc.equal(table.column("status"), "completed")))
            yield [Outcome(**line) for line in wanted.to_pylist()]


def read_outcomes(folder: StoragePath, part: int, columns: Sequence[str]) -> pa.Table | None:
    """Return columns of a part of the outcomes, without changing it; None where it is damaged or gone."""
    path = folder / "outcomes" / f"{part:06d}.parquet"
    table = read_part(path, repair=False, columns=list(columns)) if path.exists() else None
    return None if table is None else fit_table(table, pa.schema([OUTCOME_SCHEMA.field(name) for name in columns]))


def read_receipts(folder: StoragePath) -> Iterator[list[Receipt]]:
    """Yield which runs a job's folder knows, a part at a time, without changing it."""
    for _, table in _read_whole(folder / "receipts", RECEIPT_SCHEMA, repair=False):
        yield receipts_of(table)


def read_stale(folder: StoragePath) -> list[tuple[str, int]] | None:
    """Return the attempts that an unfinished refresh was to ask again; None where no refresh broke off."""
    path = folder / "refresh.parquet"
    if not path.exists():
        return None
    table = read_part(path, repair=False)
    fitted = None if table is None else fit_table(table, STALE_SCHEMA)
    if fitted is None or find_flaw(_counted_from_0(fitted)) is not None:
        raise CheckpointCorruptError(
            f"{path} is damaged, so it cannot be known which rows an unfinished refresh has asked already. Remove "
            "it and pass `refresh=True` to ask every row again, or leave `refresh` out to keep what there is.",
            path=folder,
        )
    return list(zip(*fitted.to_pydict().values(), strict=True))


def _counted_from_0(marked: pa.Table) -> pa.Table:
    """Return the attempts of a refresh one higher: an input that had no answer is marked as attempt -1."""
    return marked.set_column(1, "attempt", pc.add(marked.column("attempt"), 1))

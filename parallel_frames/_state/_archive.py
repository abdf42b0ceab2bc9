"""Answers by the million, kept as the Parquet they are stored as: found by key, made into an `Outcome` when asked for.

What is usually known of a key is one answer to its first attempt. As Python objects a million of those take gigabytes,
and longer to make than their files take to read; here they take their files' own bytes, which are a tenth of what is
in them, and one dictionary. Whatever is less usual is kept as objects, in the ledger's own books.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from parallel_frames._model import Outcome, RunId
from parallel_frames._state._tables import OUTCOME_SCHEMA, outcomes_of, table_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Rows: TypeAlias = "np.ndarray[Any, np.dtype[np.int64]]"
Mask: TypeAlias = "np.ndarray[Any, np.dtype[np.bool_]]"

PIECE: Final = 10_000


def encode(outcomes: Sequence[Outcome]) -> tuple[pa.Table, bytes]:
    """Return outcomes as a part, for `Archive.append`: as a table, and as Parquet."""
    table = table_of(outcomes, OUTCOME_SCHEMA)
    return table, encode_table(table)


def encode_table(table: pa.Table) -> bytes:
    """Return a table as Parquet."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    data: bytes = sink.getvalue().to_pybytes()
    return data


def equal(left: Any, right: Any) -> Mask:
    """Return where two columns, or a column and a value, are equal."""
    return np.array(pc.call_function("equal", [left, right]).fill_null(False))  # noqa: FBT003 - Arrow's own


@dataclass(slots=True)
class Block:
    """One part: its bytes, and of each row who it is and whether it is archived."""

    data: bytes
    start: int
    run_ids: pa.ChunkedArray
    group_ids: pa.ChunkedArray
    held: Mask

    def read(self, names: Sequence[str] = OUTCOME_SCHEMA.names) -> pa.Table:
        """Return columns of the part."""
        return pq.read_table(pa.BufferReader(self.data), columns=list(names))

    def of_held(self, column: pa.ChunkedArray) -> pa.ChunkedArray:
        """Return the cells of the rows that are archived."""
        return column if self.held.all() else column.filter(pa.array(self.held))


class Archive:
    """Answers to first attempts, kept as Parquet.

    What a checkpoint stores is `add`ed part by part and `settle`d: a key is archived where its first attempt has one
    outcome, a completed one. What comes later is `append`ed. Each takes what it takes as Parquet, and about 250 bytes
    to be found by.

    Attributes
    ----------
    rest : list of Outcome
        What is stored and not archived, in the order in which it is stored.
    """

    def __init__(self) -> None:
        self.rest: list[Outcome] = []
        self._blocks: list[Block] = []
        self._starts: list[int] = []
        self._places: dict[str, int] = {}
        self._counts: Counter[str] = Counter()
        self._by_run_id: dict[str, str] | None = None

    def add(self, table: pa.Table, data: bytes) -> None:
        """Take one more stored part, as a table and as the bytes it was read from."""
        self._add(table, data, equal(table.column("status"), "completed") & equal(table.column("attempt"), 0))

    def append(self, table: pa.Table, data: bytes, *, held: Sequence[bool]) -> None:
        """Take answers that are new; `held` says which of them are to be archived."""
        self._add(table, data, np.array(held, dtype=bool))
        self._count(self._blocks[-1])
        if self._by_run_id is not None:
            self._by_run_id |= self._ids_of(self._blocks[-1])

    def _add(self, table: pa.Table, data: bytes, held: Mask) -> None:
        start = self._blocks[-1].start + len(self._blocks[-1].held) if self._blocks else 0
        block = Block(data, start, table.column("run_id"), table.column("group_id"), held)
        self._starts.append(start)
        self._blocks.append(block)
        places = np.flatnonzero(held) + start
        self._places.update(zip(block.of_held(table.column("key")).to_pylist(), places.tolist(), strict=True))

    def settle(self) -> None:
        """Make `rest`: the rows that are not archived, and both rows of a key where one attempt has two outcomes."""
        answers = sum(np.count_nonzero(block.held) for block in self._blocks)
        self.rest = self._read_rest()
        if len(self._places) < answers or any(each.attempt == 0 and each.key in self._places for each in self.rest):
            self._keep_only_single()
            self.rest = self._read_rest()
        for block in self._blocks:
            self._count(block)

    def _read_rest(self) -> list[Outcome]:
        told = (block.read().filter(pa.array(~block.held)) for block in self._blocks if not block.held.all())
        return list(chain.from_iterable(map(outcomes_of, told)))

    def _keep_only_single(self) -> None:
        keys = [block.read(["key"]).column("key").to_pylist() for block in self._blocks]
        times = Counter(chain.from_iterable(keys))
        for block, told in zip(self._blocks, keys, strict=True):
            block.held &= np.fromiter((times[key] == 1 for key in told), bool, len(told))
        self._places = {key: place for key, place in self._places.items() if times[key] == 1}

    def _count(self, block: Block) -> None:
        for group in block.of_held(block.group_ids).value_counts().to_pylist():
            self._counts[group["values"]] += group["counts"]

    def _ids_of(self, block: Block) -> dict[str, str]:
        keys, run_ids = block.read(["key"]).column("key"), block.run_ids
        return dict(zip(block.of_held(run_ids).to_pylist(), block.of_held(keys).to_pylist(), strict=True))

    def __iter__(self) -> Iterator[Outcome]:
        """Yield every stored outcome, archived or not."""
        for block in self._blocks:
            yield from outcomes_of(block.read())

    # What is archived

    @property
    def places(self) -> dict[str, int]:
        """Where the answer of each archived key is, for `read`; nobody changes it."""
        return self._places

    def __len__(self) -> int:
        """How many keys are archived."""
        return len(self._places)

    def __contains__(self, key: str) -> bool:
        """Whether a key is archived: its first attempt has completed."""
        return key in self._places

    @property
    def groups(self) -> list[str]:
        """The groups that archived answers came from."""
        return list(self._counts)

    def count(self, group_id: str) -> int:
        """Return how many archived answers came from a group."""
        return self._counts[group_id]

    def run_ids(self, group_id: str) -> set[str]:
        """Return the ids of a group's runs that are archived."""
        told: set[str] = set()
        for block in self._blocks if self._counts[group_id] else ():
            ours = equal(block.group_ids, group_id) & block.held
            told.update(block.run_ids.filter(pa.array(ours)).to_pylist())
        return told

    def holds(self, key: str, *, run_id: str) -> bool:
        """Return whether a key's answer is archived under this id."""
        place = self._places.get(key)
        if place is None:
            return False
        block = self._blocks[bisect_right(self._starts, place) - 1]
        return bool(block.run_ids[place - block.start].as_py() == run_id)

    def identify(self, run_id: str) -> RunId | None:
        """Return the archived run that has an id."""
        if self._by_run_id is None:
            self._by_run_id = {}
            for block in self._blocks:
                self._by_run_id |= self._ids_of(block)
        key = self._by_run_id.get(run_id)
        return None if key is None else RunId(key, 0)

    def read(self, places: Rows, names: Sequence[str] = OUTCOME_SCHEMA.names) -> Iterator[tuple[Rows, pa.Table]]:
        """Yield the answers at these places, a piece at a time in the order in which they are stored.

        Each piece says which of the places its rows are.
        """
        order = np.argsort(places, kind="stable")
        sorted_places = places[order]
        bounds = [*np.searchsorted(sorted_places, self._starts).tolist(), len(places)]
        for block, (first, end) in zip(self._blocks, pairwise(bounds), strict=False):  # others may append meanwhile
            if first == end:
                continue
            part = block.read(names)
            for start in range(first, end, PIECE):
                piece = slice(start, min(start + PIECE, end))
                yield order[piece], part.take(pa.array(sorted_places[piece] - block.start))

    def without_outcome(self, receipts: pa.Table) -> pa.Table:
        """Return the receipts that are not of an archived answer, the same run under the same id."""
        if not self._places or not len(receipts):
            return receipts
        run_ids = pa.chunked_array([chunk for block in self._blocks for chunk in block.run_ids.chunks])
        places = pa.array(map(self._places.get, receipts.column("key").to_pylist()), pa.int64())
        same = equal(run_ids.combine_chunks().take(places), receipts.column("run_id"))
        return receipts.filter(pa.array(~(same & equal(receipts.column("attempt"), 0))))

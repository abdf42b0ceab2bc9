"""What is known of each distinct input, read from the parts of the store in which answers lie, some at a time."""

from __future__ import annotations

from dataclasses import fields
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
import pyarrow as pa

from parallel_frames._model import Outcome
from parallel_frames._state._rules import COMPLETED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    ReadPart: TypeAlias = Callable[[int, Sequence[str]], pa.Table | None]
    Entries: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]

PIECE: Final = 10_000
NAMES: Final = tuple(field.name for field in fields(Outcome))
NOWHERE: Final = -1


class Answers:
    """The outcomes of the inputs of a plan, one entry each.

    Parameters
    ----------
    read : callable
        Returns columns of a part of the store, or None where the part is damaged: its entries have no outcome then.
    places : numpy.ndarray of int64, shape (entries, 3)
        For each entry the part and the offset of its outcome there, and its status code; -1 where there is none.
    """

    def __init__(self, read: ReadPart, places: Entries) -> None:
        self._read = read
        self._parts, self._offsets, self._codes = places.T

    @classmethod
    def of(cls, outcomes: Sequence[Outcome | None]) -> Answers:
        """Return these outcomes, one for each entry or None, as answers."""
        there = [outcome for outcome in outcomes if outcome is not None]
        table = pa.table({name: pa.array([getattr(outcome, name) for outcome in there]) for name in NAMES})
        places = np.full((len(outcomes), 3), NOWHERE, dtype=np.int64)
        entries = [entry for entry, outcome in enumerate(outcomes) if outcome is not None]
        places[entries, 0] = 0
        places[entries, 1] = np.arange(len(there))
        places[entries, 2] = [COMPLETED if outcome.status == "completed" else COMPLETED + 1 for outcome in there]
        return cls(lambda _, names: table.select(list(names)), places)

    def __len__(self) -> int:
        """How many entries there are."""
        return len(self._parts)

    def completed(self, *names: str) -> Iterator[tuple[Entries, list[Any]]]:
        """Yield attributes of the completed outcomes, some at a time, and which entries they are.

        Each item is the entries and a list of values; of lists, where several names were given. The order is the
        same for every attribute.
        """
        for entries, table in self._pieces(np.flatnonzero(self._codes == COMPLETED), names):
            values = [table.column(name).to_pylist() for name in names]
            yield entries, values[0] if len(names) == 1 else values

    def others(self) -> dict[int, Outcome]:
        """Return the outcomes that are not completed, by their entries."""
        return dict(self._outcomes(np.flatnonzero(self._codes > COMPLETED)))

    def outcomes(self) -> Iterator[tuple[int, Outcome]]:
        """Yield each outcome with its entry, in the order in which they are stored."""
        return self._outcomes(np.flatnonzero(self._codes >= COMPLETED))

    def _outcomes(self, entries: Entries) -> Iterator[tuple[int, Outcome]]:
        for these, table in self._pieces(entries, NAMES):
            outcomes = map(Outcome, *(table.column(name).to_pylist() for name in NAMES))
            yield from zip(these.tolist(), outcomes, strict=True)

    def _pieces(self, entries: Entries, names: Sequence[str]) -> Iterator[tuple[Entries, pa.Table]]:
        """Yield columns of the outcomes of these entries, part by part, and which entries each row is."""
        order = entries[np.lexsort((self._offsets[entries], self._parts[entries]))]
        parts = self._parts[order]
        starts = np.flatnonzero(np.diff(parts, prepend=NOWHERE - 1))
        for start, end in pairwise([*starts.tolist(), len(order)]):
            table = self._read(int(parts[start]), names)
            if table is None:
                continue
            for first in range(start, end, PIECE):
                these = order[first : min(first + PIECE, end)]
                yield these, table.take(pa.array(self._offsets[these]))

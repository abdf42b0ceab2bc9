"""What stands for keys: of each an outcome or nothing, of which few need be objects at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from parallel_frames._state._archive import PIECE, Archive
from parallel_frames._state._tables import outcomes_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from parallel_frames._model import Outcome

    Entries = np.ndarray[Any, np.dtype[np.int64]]


class Answers:
    """What stands for keys, one entry each.

    Parameters
    ----------
    told : mapping of int to Outcome
        Outcomes by their entries.
    size : int
        How many entries there are.
    archive : Archive, optional
    places : numpy.ndarray of int64, optional
        For each entry where its answer is in the archive, or -1.
    """

    def __init__(
        self, told: Mapping[int, Outcome], size: int, *, archive: Archive | None = None, places: Entries | None = None
    ) -> None:
        self._told = told
        self._size = size
        self._archive = archive or Archive()
        self._entries = np.flatnonzero(places >= 0) if places is not None else np.empty(0, np.int64)
        self._places = places[self._entries] if places is not None else self._entries

    @classmethod
    def of(cls, outcomes: Sequence[Outcome | None]) -> Answers:
        """Return these outcomes, one for each entry or None, as answers."""
        return cls({at: known for at, known in enumerate(outcomes) if known is not None}, len(outcomes))

    def __len__(self) -> int:
        """How many entries there are."""
        return self._size

    def completed(self, name: str) -> Iterator[tuple[Entries, list[Any]]]:
        """Yield one attribute of the completed outcomes, some at a time, and which entries they are.

        The order is the archive's own and then that of the others; it is the same for every attribute.
        """
        for at, table in self._archive.read(self._places, [name]) if len(self._places) else ():
            yield self._entries[at], table.column(name).to_pylist()
        ours = [entry for entry, known in self._told.items() if known.status == "completed"]
        for start in range(0, len(ours), PIECE):
            entries = ours[start : start + PIECE]
            yield np.array(entries), [getattr(self._told[entry], name) for entry in entries]

    def others(self) -> dict[int, Outcome]:
        """Return the outcomes that are not completed, by their entries."""
        return {entry: known for entry, known in self._told.items() if known.status != "completed"}

    def outcomes(self) -> list[Outcome | None]:
        """Return all of them as objects."""
        told: list[Outcome | None] = [None] * self._size
        for entry, known in self._told.items():
            told[entry] = known
        for at, table in self._archive.read(self._places) if len(self._places) else ():
            for entry, outcome in zip(self._entries[at].tolist(), outcomes_of(table), strict=True):
                told[entry] = outcome
        return told

"""What stands for keys: of each an outcome or nothing, of which few need be objects at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from parallel_frames._ledger._archive import Archive
from parallel_frames._ledger._tables import outcomes_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from parallel_frames._model import Outcome

    Entries = np.ndarray[Any, np.dtype[np.int64]]

SLICE: Final = 10_000


class Answers:
    """What stands for keys, one entry each.

    Parameters
    ----------
    told : sequence of (Outcome or None)
        For each key its outcome; None where there is none, or where it is archived.
    archive : Archive, optional
    places : numpy.ndarray of int64, optional
        For each key where its answer is in the archive, or -1.
    """

    def __init__(
        self, told: Sequence[Outcome | None], *, archive: Archive | None = None, places: Entries | None = None
    ) -> None:
        self._told = told
        self._archive = archive or Archive()
        self._entries = np.flatnonzero(places >= 0) if places is not None else np.empty(0, np.int64)
        self._places = places[self._entries] if places is not None else self._entries

    def __len__(self) -> int:
        """How many keys there are."""
        return len(self._told)

    def completed(self, name: str) -> Iterator[tuple[Entries, list[Any]]]:
        """Yield one attribute of the completed outcomes, at most `SLICE` at a time, and which entries they are.

        The order is the archive's own and then that of the entries; it is the same for every attribute.
        """
        for at, table in self._archive.read(self._places, [name]) if len(self._places) else ():
            yield self._entries[at], table.column(name).to_pylist()
        for start in range(0, len(self._told), SLICE):
            told = self._told[start : start + SLICE]
            ours = [at for at, known in enumerate(told) if known is not None and known.status == "completed"]
            if ours:
                yield np.array(ours) + start, [getattr(told[at], name) for at in ours]

    def others(self) -> dict[int, Outcome]:
        """Return the outcomes that are not completed, by their entries."""
        return {at: known for at, known in enumerate(self._told) if known is not None and known.status != "completed"}

    def outcomes(self) -> list[Outcome | None]:
        """Return all of them as objects."""
        told = list(self._told)
        for at, table in self._archive.read(self._places) if len(self._places) else ():
            for entry, outcome in zip(self._entries[at].tolist(), outcomes_of(table), strict=True):
                told[entry] = outcome
        return told

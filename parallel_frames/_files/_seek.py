"""Recognising a run by its input alone: for a service that tells neither metadata nor an id that we know.

A frame has all its inputs in memory and looks among them. A file need not: the input that is echoed has a key, and the
index says whether a run with that key was lost.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from parallel_frames._inputs import canonical_of_json, make_key
from parallel_frames._model import RunId
from parallel_frames._service import possible_inputs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from parallel_frames._files._agenda import Agenda
    from parallel_frames._files._ask import Asked
    from parallel_frames._model import RunEvent


@dataclass(frozen=True, slots=True)
class ByInput:
    """Recognises, each once, runs that are to be sent, or were meant to be, by the input that they were sent with.

    Attributes
    ----------
    doubtful : mapping of str to int
        Keys and attempts of batches of which it is not known whether they were created.
    """

    asked: Asked
    agenda: Agenda
    doubtful: Mapping[str, int]
    _seen: dict[str, int] = field(default_factory=dict)  # of equal rows that are kept apart

    def __call__(self, event: RunEvent) -> RunId | None:
        """Return which run an event tells of; None for what may be anybody's."""
        for sent in possible_inputs(event):
            for key in self._keys_of(canonical_of_json(sent)):
                attempt = self.agenda.attempt_to_send(key) if key not in self.doubtful else self.doubtful[key]
                if attempt is not None and self.agenda.index.claim(bytes.fromhex(key)):
                    return RunId(key, attempt)
        return None

    def _keys_of(self, canonical: bytes) -> Iterator[str]:
        """Yield the keys of the rows that send this, but for equal rows that were looked at before."""
        job = self.asked.job.hash
        shared = make_key(canonical, job)
        if self.asked.call.dedupe:
            yield shared
            return
        for occurrence in range(self._seen.get(shared, 0), self.agenda.index.equals_of(shared)):
            self._seen[shared] = occurrence + 1
            yield make_key(canonical, job, occurrence=occurrence)

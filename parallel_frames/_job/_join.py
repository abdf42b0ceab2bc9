"""Which rows the runs of a group answer that carry no key of ours: by their input, or by the row number they name.

A run of ours carries its key, which is the strongest proof. Another program's is known by its input being equal to
what the row sends; failing that by the number of the row in its metadata. A weaker proof never replaces a stronger one.
"""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING, Final

from parallel_frames._inputs import canonical_of_json
from parallel_frames._model import TERMINAL, RunId
from parallel_frames._service import possible_inputs
from parallel_frames._state import read_identity
from parallel_frames.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Any

    from parallel_frames._job._source import RowSource
    from parallel_frames._model import RunEvent
    from parallel_frames._state import Index

logger = logging.getLogger("parallel_frames")

WAYS: Final[tuple[str, ...]] = ("key", "input", "row", "unmatched")


class InputMatcher:
    """Finds rows by the inputs that a service echoes; equal rows that are kept apart get a run each."""

    def __init__(self, source: RowSource[Any], index: Index) -> None:
        self._source = source
        self._index = index
        self._left: dict[bytes, Iterator[str]] = {}

    def find(self, event: RunEvent, *, accept: Callable[[str], RunId | None]) -> RunId | None:
        """Return the first run that `accept` makes of a key with this input; each key is offered once."""
        for canonical in _canonical_inputs(event):
            if canonical not in self._left:
                self._left[canonical] = iter(self._source.keys_of_input(self._index, canonical))
            for key in self._left[canonical]:
                if (run := accept(key)) is not None:
                    return run
        return None

    def knows(self, event: RunEvent) -> bool:
        """Return whether a row has this input, whether or not it needs a run."""
        keys = (self._source.keys_of_input(self._index, canonical) for canonical in _canonical_inputs(event))
        return any(True for some in keys for _ in some)


def _canonical_inputs(event: RunEvent) -> Iterator[bytes]:
    for sent in possible_inputs(event):
        try:
            yield canonical_of_json(sent)
        except InputError:  # no row sends such JSON
            continue


class Joiner:
    """Joins the runs of one group to the rows of a source.

    Parameters
    ----------
    wanted : callable
        Returns as which attempt a run may answer a key; None for a key that needs no answer.
    ways : dict of str to str
        Filled with which of the `WAYS` each run, by its id, was matched in.
    """

    def __init__(
        self, source: RowSource[Any], index: Index, *, wanted: Callable[[str], int | None], ways: dict[str, str]
    ) -> None:
        self._ways = ways
        self._source = source
        self._index = index
        self._wanted = wanted
        self._known: dict[str, tuple[int | None, RunId]] = {}  # by the run's id, with the row it names
        self._others: dict[str, RunEvent] = {}

    def add(self, event: RunEvent, run: RunId | None) -> None:
        """Take a run of the group; `run` says whose it is, where that is known."""
        if run is None:
            self._others[event.run_id] = event
        elif self._index.has_key(run.key):
            self._known[event.run_id] = _row_of(event), run

    def finish(self) -> list[tuple[RunEvent, RunId]]:
        """Return each key's best run among those whose owner was not known.

        Runs with a key that the source lacks, and those of inputs that are answered already, are none of them.
        """
        for run_id in self._known:
            self._ways.setdefault(run_id, "key")  # where it was joined before, that is how it is known
        taken = {run for _, run in self._known.values()}
        matcher = InputMatcher(self._source, self._index)
        joined: list[tuple[RunEvent, RunId]] = []
        rest: list[RunEvent] = []

        def accept(key: str) -> RunId | None:
            attempt = self._wanted(key)
            run = None if attempt is None else RunId(key, attempt)
            return None if run in taken else run

        claims = [(row, run.key) for row, run in self._known.values()]
        for event in sorted(self._others.values(), key=_rank, reverse=True):
            if run := matcher.find(event, accept=accept):
                joined.append((event, run))
                taken.add(run)
                claims.append((_row_of(event), run.key))
            is_known = run is not None or matcher.knows(event)
            self._ways[event.run_id] = "input" if is_known else "unmatched"
            if not is_known:
                rest.append(event)
        for event, key in self._match_by_row(rest, claims):
            self._ways[event.run_id] = "row"
            if run := accept(key):
                joined.append((event, run))
                taken.add(run)
        return joined

    def _match_by_row(
        self, rest: Sequence[RunEvent], claims: Sequence[tuple[int | None, str]]
    ) -> list[tuple[RunEvent, str]]:
        """Return runs that are known by nothing but a row number, where those numbers may be believed."""
        named = {row for event in rest if (row := _row_of(event)) is not None}
        keys = self._index.keys_at(named | {row for row, _ in claims if row is not None})
        if not self._are_numbers_trusted(rest, claims, keys):
            return []
        times = Counter(map(_row_of, rest))
        answered = {key for _, key in claims}
        found = []
        for event in rest:
            row = _row_of(event)
            key = None if row is None else keys.get(row)
            if key is not None and times[row] == 1 and key not in answered and read_identity(event.metadata) is None:
                found.append((event, key))
        return found

    def _are_numbers_trusted(
        self, rest: Sequence[RunEvent], claims: Sequence[tuple[int | None, str]], keys: Mapping[int, str]
    ) -> bool:
        """Return whether row numbers in metadata may be believed: one that does not fit makes all of them worthless.

        They do not where a run that is known otherwise has another number, a number is of no row, a label is another
        row's, or inputs are of our form and a run's is none of them.
        """
        if any(row is not None and keys.get(row) != key for row, key in claims):
            return False
        named = [event for event in rest if _row_of(event) is not None]
        if any(self._is_of_our_form(event) or (claims and event.input is not None) for event in named):
            return False
        for event in rest:
            row, label = _row_of(event), (event.metadata or {}).get("index")
            if row is None or read_identity(event.metadata) is not None:
                continue
            if row >= self._index.rows:
                return False
            text = self._source.label_text(row) if isinstance(label, str) and self._is_first(row, keys) else None
            if text not in (None, label):
                return False
        return True

    def _is_of_our_form(self, event: RunEvent) -> bool:
        """Return whether an input has the names that a row sends, and so is another row's."""
        names = set(self._source.prepared.selection.names)
        return any(isinstance(sent, dict) and sent and names.issuperset(sent) for sent in possible_inputs(event))

    def _is_first(self, row: int, keys: Mapping[int, str]) -> bool:
        """Return whether a row is the first of those with its input: the one whose label its run carries."""
        key = keys.get(row)
        return key is not None and self._index.rows_of([key])[key][0] == row


def count_matches(group_ids: Sequence[str], ways: Mapping[str, str]) -> dict[str, int]:
    """Return how many runs of these groups were matched in which of the `WAYS`, and log it."""
    counts = {**dict.fromkeys(WAYS, 0), **Counter(ways.values())}
    in_words = ", ".join(f"{counts[way]:,} by {way}" for way in WAYS[:3])
    logger.info("%s: runs matched %s; %d belong to no row", ", ".join(group_ids), in_words, counts["unmatched"])
    if counts["row"]:
        logger.warning(
            "%d runs were matched by the row number in their metadata alone: right only if the rows stand in the order "
            "in which they were sent.",
            counts["row"],
        )
    return counts


def _row_of(event: RunEvent) -> int | None:
    """Return the number of the row that a run's metadata names."""
    row = (event.metadata or {}).get("row")
    text = str(row) if isinstance(row, str | int) and not isinstance(row, bool) else ""
    return int(text) if text.isdecimal() and len(text) < 16 else None


def _rank(event: RunEvent) -> tuple[bool, bool, str, str]:
    """Return what orders runs of one input: answers, then what is under way, then failures; the newest first."""
    return event.status == "completed", event.status not in TERMINAL, event.modified_at or "", event.run_id

"""Which rows the runs of a group answer that carry no key of ours: by their input, or by the row number they name.

A run of ours carries its key, which is the strongest proof. Another program's is known by its input being equal to
what the row sends; failing that by the number of the row in its metadata. A weaker proof never replaces a stronger one.
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from parallel_frames._format import format_count, format_option
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
OTHER_PROCESSOR: Final = "other processor"
OTHER_QUESTION: Final = "other question"


@dataclass(slots=True)
class Matches:
    """How the runs of groups that a call names were matched to rows, each by its id.

    Attributes
    ----------
    ways : dict of str to str
        Which of the `WAYS` each run was matched in.
    adopted : dict of str to (str, str or None)
        Runs that answer what was still to be sent: whose they are, in words, and their processor, where it is known.
    left : dict of str to (str, str or None)
        Runs that answer another question, or come from another processor: which of the two, and their processor.
    """

    ways: dict[str, str] = field(default_factory=dict)
    adopted: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    left: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    group_processor: str | None = None  # of all runs of a group, which is so in the seed's dialect only

    def adopted_text(self) -> str | None:
        """Return how many runs were adopted, whose, and from which processors; None where none was."""
        if not self.adopted:
            return None
        counts = Counter(whose + _on(processor) for whose, processor in self.adopted.values())
        parts = "; ".join(who if len(counts) == 1 else f"{count:,} {who}" for who, count in counts.most_common())
        return f"{format_count(len(self.adopted), 'run')} of the group adopted, paid before ({parts})"

    def left_texts(self, processor: str) -> list[str]:
        """Return what was not adopted and why, and what to type to have it all the same."""
        texts = []
        for (why, other), count in Counter(self.left.values()).most_common():
            runs = f"{format_count(count, 'run')} of the group not adopted: "
            if why == OTHER_PROCESSOR:
                texts.append(
                    f"{runs}{_verb(count)} on {other!r}, and this call asks {processor!r}. "
                    f"{format_option('processor', other)} adopts them; `collect` takes what the group holds as it is."
                )
            else:
                texts.append(
                    f"{runs}by their key {_verb(count)} another question's (another description, schema, option or "
                    "processor). `collect` takes what the group holds as it is."
                )
        return texts


def refuse_other_question(matches: Matches, processor: str, *, to_send: int) -> None:
    """Refuse to send to a group that would ask something else: in the seed's dialect a group has one question."""
    is_other = matches.group_processor not in (None, processor)
    if not to_send or matches.group_processor is None or not (matches.left or is_other):
        return
    asks = f"{matches.group_processor!r}, and this call {processor!r}" if is_other else "another question"
    raise InputError(
        f"A group that `group_id` names asks {asks}: this service gives every run of a group the group's own question "
        f"and processor, so that the {format_count(to_send, 'run')} to send would be answered wrongly. Nothing was "
        "sent. Leave out `group_id`, and they go to a new group; `collect` takes what the group holds as it is."
    )


def _on(processor: str | None) -> str:
    return "" if processor is None else f", on {processor}"


def _verb(count: int) -> str:
    return "it is" if count == 1 else "they are"


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
    matches : Matches
        Filled with how each run was matched.
    processor : str, optional
        The processor whose runs alone are adopted, where they are of the same question. Default: what there is.
    """

    def __init__(
        self,
        source: RowSource[Any],
        index: Index,
        *,
        wanted: Callable[[str], int | None],
        matches: Matches,
        processor: str | None = None,
    ) -> None:
        self._matches = matches
        self._processor = processor
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
            if self._wanted(run.key) == run.attempt:
                self._matches.adopted[event.run_id] = "asked by an earlier call", event.processor
            self._known[event.run_id] = _row_of(event), run

    def finish(self, *, processor: str | None = None) -> list[tuple[RunEvent, RunId]]:
        """Return each key's best run among those whose owner was not known.

        Runs of inputs that are answered already, and those of another question or processor, are none of them;
        `processor` is the group's, for runs that do not state one.
        """
        ways = self._matches.ways
        if processor not in (None, self._processor) or self._matches.group_processor is None:
            self._matches.group_processor = processor
        for run_id in self._known:
            ways.setdefault(run_id, "key")  # where it was joined before, that is how it is known
        taken = {run for _, run in self._known.values()}
        matcher = InputMatcher(self._source, self._index)
        joined: list[tuple[RunEvent, RunId]] = []
        rest: list[RunEvent] = []

        def accept(key: str) -> RunId | None:
            attempt = self._wanted(key)
            run = None if attempt is None else RunId(key, attempt)
            return None if run in taken else run

        claims = [(row, run.key) for row, run in self._known.values()]
        for event in self._candidates(matcher, processor):
            if run := matcher.find(event, accept=accept):
                joined.append((event, run))
                taken.add(run)
                claims.append((_row_of(event), run.key))
            is_known = run is not None or matcher.knows(event)
            ways[event.run_id] = "input" if is_known else "unmatched"
            if not is_known:
                rest.append(event)
        for event, key in self._match_by_row(rest, claims):
            ways[event.run_id] = "row"
            if run := accept(key):
                joined.append((event, run))
                taken.add(run)
        for event, _ in joined:
            self._matches.adopted[event.run_id] = "asked by another program", event.processor or processor
        return joined

    def _candidates(self, matcher: InputMatcher, processor: str | None) -> list[RunEvent]:
        """Return the runs of unknown owners that may answer this job, the best ones first, and note the others."""
        found = []
        for event in self._others.values():
            answered_by = event.processor or processor
            is_ours = read_identity(event.metadata) is not None  # and of another job, or of other rows
            if self._processor is None or not (is_ours or answered_by not in (None, self._processor)):
                found.append(event)
                continue
            self._matches.ways[event.run_id] = "unmatched"
            if not is_ours:
                self._matches.left[event.run_id] = OTHER_PROCESSOR, answered_by
            elif matcher.knows(event):
                self._matches.left[event.run_id] = OTHER_QUESTION, None
        if processor is not None and self._matches.left:
            return []  # where a group has a processor, it has one question, too: another one
        return sorted(found, key=_rank, reverse=True)

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


def count_matches(ways: Mapping[str, str]) -> dict[str, int]:
    """Return how many runs were matched in which of the `WAYS`."""
    return {**dict.fromkeys(WAYS, 0), **Counter(ways.values())}


def log_matches(group_ids: Sequence[str], matches: Matches) -> None:
    """Log how many runs of these groups were matched in which of the `WAYS`, and their processors."""
    counts = count_matches(matches.ways)
    processors = ", ".join(sorted({each for _, each in matches.adopted.values() if each is not None}))
    in_words = ", ".join(f"{counts[way]:,} by {way}" for way in WAYS[:3])
    logger.info(
        "%s: runs matched %s%s; %d belong to no row",
        ", ".join(group_ids), in_words, processors and f", on {processors}", counts["unmatched"],
    )  # fmt: skip
    if counts["row"]:
        logger.warning(
            "%d runs were matched by the row number in their metadata alone: right only if the rows stand in the order "
            "in which they were sent.",
            counts["row"],
        )


def _row_of(event: RunEvent) -> int | None:
    """Return the number of the row that a run's metadata names."""
    row = (event.metadata or {}).get("row")
    text = str(row) if isinstance(row, str | int) and not isinstance(row, bool) else ""
    return int(text) if text.isdecimal() and len(text) < 16 else None


def _rank(event: RunEvent) -> tuple[bool, bool, str, str]:
    """Return what orders runs of one input: answers, then what is under way, then failures; the newest first."""
    return event.status == "completed", event.status not in TERMINAL, event.modified_at or "", event.run_id

"""Where the rows of a job come from, and the feed that the engine reads runs from: the same for every end."""

from __future__ import annotations

from collections import Counter
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, TypeAlias, TypeVar

import numpy as np
import pandas as pd

from parallel_frames._columns import PANDAS_3, Level, level_of, merge_outcomes
from parallel_frames._inputs import canonical_of_sent, make_key
from parallel_frames._job._join import InputMatcher, Joiner, Matches
from parallel_frames._job._plan import index_labels, make_plan
from parallel_frames._job._row_filter import choose_rows
from parallel_frames._model import OUTSIDE, OutgoingRun, RunId
from parallel_frames._state import MemoryIndex

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence

    from parallel_frames._columns import Layout
    from parallel_frames._job._prepare import PreparedCall
    from parallel_frames._job._row_filter import Mask
    from parallel_frames._job._runner import Results
    from parallel_frames._model import Plan, RowRuns, RunEvent
    from parallel_frames._state import Answers, Index, Step

IndexT = TypeVar("IndexT", bound="Index")
Prices: TypeAlias = "Mapping[str, float | None]"
Levels: TypeAlias = "np.ndarray[Any, np.dtype[np.int8]]"
ROWS_AT_ONCE: Final = 1_000
SAMPLES: Final = 8  # of a call's inputs, kept in the checkpoint's header


class Piece(NamedTuple):
    """Consecutive rows with their new columns, the asked ones of them by status, and which were asked about."""

    frame: pd.DataFrame
    counts: Mapping[str, int]
    asked: np.ndarray[Any, np.dtype[np.bool_]]


class RowSource(Protocol[IndexT]):
    """The rows of one job, wherever they are."""

    @property
    def prepared(self) -> PreparedCall:
        """The call."""
        ...

    @property
    def name(self) -> str | None:
        """What tells these rows from other rows of the same shape: a file's address."""
        ...

    @property
    def first_runs(self) -> Sequence[OutgoingRun]:
        """A few runs, the first ones: what the checkpoint's header remembers of a call. Known after `scan`."""
        ...

    @property
    def gaps(self) -> Mapping[Hashable, int]:
        """How many of the rows to ask about lack a value in each of the expected columns; known after `scan`."""
        ...

    def make_index(self) -> IndexT:
        """Return an empty index for these rows."""
        ...

    def scan(self, index: IndexT) -> None:
        """Read all rows once, and put the key of each into the index."""
        ...

    def read(self, index: IndexT) -> Iterator[list[OutgoingRun]]:
        """Yield what the index planned to send, in the order of the rows, some at a time."""
        ...

    def find(self, index: IndexT, steps: Sequence[Step]) -> list[OutgoingRun]:
        """Return the runs of these steps."""
        ...

    def label(self, row: int) -> Hashable:
        """Return the index label of a row."""
        ...

    def label_text(self, row: int) -> str | None:
        """Return that label as the metadata of the row's run carry it; None where it is too long for them."""
        ...

    def keys_of_input(self, index: IndexT, canonical: bytes) -> Iterable[str]:
        """Return the keys of the rows that send this input: one, or one for each of equal rows that are kept apart."""
        ...

    def pieces(self, results: Results[IndexT], layout: Layout) -> Iterator[Piece]:
        """Yield all rows with their new columns, some at a time."""
        ...


class EscalatingSource(RowSource[IndexT], Protocol[IndexT]):
    """Rows of which some may be asked about again, by the answers that they have."""

    def levels(self, results: Results[IndexT]) -> Levels:
        """Return of each row how good its answer is: a `Level`."""
        ...

    def narrowed(self, prepared: PreparedCall, chosen: Mask, *, answered: Mask) -> EscalatingSource[IndexT]:
        """Return some of these rows for another job; the `answered` ones have an answer already."""
        ...


class FrameSource:
    """The rows of a DataFrame, whose inputs are rendered once and kept.

    Parameters
    ----------
    prepared : PreparedCall
        Its frame holds the rows.
    chosen : numpy.ndarray of bool, optional
        Which rows to ask about. Default: those that the call chooses.
    answered : numpy.ndarray of bool, optional
        Which rows have an answer elsewhere. Default: none.
    """

    def __init__(self, prepared: PreparedCall, *, chosen: Mask | None = None, answered: Mask | None = None) -> None:
        call = prepared.call
        self.prepared = prepared
        self.name = None
        self._answered = answered
        self.plan: Plan = make_plan(
            prepared.frame,
            prepared.job,
            selection=prepared.selection,
            chosen=choose_rows(prepared.frame, call.where, layout=prepared.layout) if chosen is None else chosen,
            dedupe=call.dedupe,
            metadata=call.metadata,
        )
        self.first_runs = [outgoing_run(self.plan, entry) for entry in range(min(SAMPLES, len(self.plan.keys)))]
        self._entries: dict[int, int] | None = None
        self._keys_of_inputs: dict[bytes, list[str]] | None = None

    @property
    def gaps(self) -> Counter[Hashable]:
        """How many of the rows asked about lack a value in each of the columns that are expected."""
        return count_gaps(self.prepared.frame, self.plan.row_runs, self.prepared.expected)

    def make_index(self) -> MemoryIndex:
        """Return an empty index: what a frame's rows need fits memory as the frame does."""
        return MemoryIndex()

    def scan(self, index: MemoryIndex) -> None:
        """Put the key of each row into the index."""
        index.add_rows(0, self.plan.keys, self.plan.row_runs)
        index.end_rows()
        if self._answered is not None:
            runs = np.unique(self.plan.row_runs[self._answered & (self.plan.row_runs >= 0)])
            index.note_answered(self.plan.keys[run] for run in map(int, runs))

    def read(self, index: MemoryIndex) -> Iterator[list[OutgoingRun]]:
        """Yield what the index planned to send."""
        for start in range(0, index.last_step() + 1, ROWS_AT_ONCE):
            if steps := index.steps_between(start, start + ROWS_AT_ONCE):
                yield self.find(index, steps)

    def find(self, index: MemoryIndex, steps: Sequence[Step]) -> list[OutgoingRun]:  # noqa: ARG002 - a file's source asks it
        """Return the runs of these steps."""
        if self._entries is None:
            self._entries = {row: entry for entry, row in enumerate(self.plan.positions)}
        return [outgoing_run(self.plan, self._entries[step.row], step) for step in steps]

    def label(self, row: int) -> Hashable:
        """Return the index label of a row."""
        label: Hashable = self.prepared.frame.index[row]
        return label

    def label_text(self, row: int) -> str | None:
        """Return the label as text."""
        return index_labels(self.prepared.frame, [row])[0]

    def keys_of_input(self, index: MemoryIndex, canonical: bytes) -> Iterator[str]:
        """Yield the keys of the rows that send this input."""
        yield from keys_of_input(index, canonical, self.prepared, sent_as=self._keys_sent_as)

    def _keys_sent_as(self, canonical: bytes) -> Sequence[str]:
        """Return the keys of rows that send this."""
        if self._keys_of_inputs is None:
            self._keys_of_inputs = {}
            for key, sent in zip(self.plan.keys, self.plan.inputs, strict=True):
                self._keys_of_inputs.setdefault(canonical_of_sent(sent), []).append(key)
        return self._keys_of_inputs.get(canonical, ())

    def pieces(self, results: Results[MemoryIndex], layout: Layout) -> Iterator[Piece]:
        """Yield the frame with its new columns, as one piece."""
        answers, sent = results.by_input()
        keys = {key for key, was_sent in zip(self.plan.keys, sent, strict=True) if was_sent} if sent else set()
        processors = results.processors or [self.prepared.job.processor] * len(answers)
        merged = merge_outcomes(
            self.prepared.frame,
            self.plan.keys,
            self.plan.row_runs,
            self.prepared.schema,
            answers=answers,
            unanswered=lambda key: results.unanswered(key, is_sent=key in keys),
            layout=layout,
            dtype_backend=self.prepared.call.dtype_backend,
            unsettled=results.unsettled,
            processors=processors,
            renewal=self.prepared.renewal,
        )
        results.kept = Counter(merged.kept)
        call, frame = self.prepared.call, merged.frame
        if layout.provenance:
            frame = add_provenance(
                frame,
                self.plan.row_runs,
                answers,
                labels=layout.provenance,
                dtype_backend=call.dtype_backend,
                processors=processors,
                prices=prices_of(self.prepared),
                first_rows=self.plan.positions,
            )
        yield Piece(frame, merged.counts, self.plan.row_runs != OUTSIDE)

    def levels(self, results: Results[MemoryIndex]) -> Levels:
        """Return of each row how good its answer is: a `Level`."""
        of_runs = np.append(level_of(results.grades(self.prepared.schema)), [Level.UNKNOWN] * 2)
        levels: Levels = of_runs.astype(np.int8)[self.plan.row_runs]  # -1 and -2 are rows without a run
        return levels

    def narrowed(self, prepared: PreparedCall, chosen: Mask, *, answered: Mask) -> FrameSource:
        """Return some of these rows for another job; the `answered` ones have an answer already."""
        return FrameSource(prepared, chosen=chosen, answered=answered)


def add_provenance(
    frame: pd.DataFrame,
    row_runs: RowRuns,
    answers: Answers,
    *,
    labels: Sequence[Hashable],
    dtype_backend: str,
    processors: Sequence[str],
    prices: Prices | None = None,
    first_rows: Sequence[int] = (),
) -> pd.DataFrame:
    """Return an enriched frame with which run of which group answered each row, when, on what processor, at what price.

    `processors` are those of the runs. Without `prices` there is no such column; of the rows that share a run, the one
    among `first_rows` bears its price.
    """
    # A row without a run is the entry -1 or -2: one of the two that stay empty at the end.
    names = [*processors, "", ""]
    of_runs: list[tuple[Any, ...]] = [(None, None, None, False)] * len(names)
    for entries, columns in answers.completed("run_id", "group_id", "modified_at"):
        for entry, facts in zip(entries.tolist(), zip(*columns, strict=True), strict=True):
            of_runs[entry] = (*facts, True)
    for entry, outcome in answers.others().items():
        of_runs[entry] = (outcome.run_id, outcome.group_id, outcome.modified_at, outcome.is_billed)
    of_rows = [of_runs[entry] for entry in row_runs.tolist()]
    by = [names[entry] for entry in row_runs.tolist()]
    run_ids, group_ids, times, billed = map(list, zip(*of_rows, strict=True)) if of_rows else ([], [], [], [])
    has_run = np.array([run_id is not None for run_id in run_ids], dtype=bool)
    moments = pd.to_datetime(pd.Series(times, dtype=object), utc=True, errors="coerce", format="ISO8601")
    text, time, number = "string", None, "Float64"
    if dtype_backend == "pyarrow":
        text, time, number = "string[pyarrow]", "timestamp[us, tz=UTC][pyarrow]", "double[pyarrow]"
    made = [
        pd.Series(run_ids, index=frame.index, dtype=text),
        pd.Series(group_ids, index=frame.index, dtype=text),
        pd.Series(moments.dt.as_unit("us").array, index=frame.index, dtype=time),
        pd.Series([name if run_id else None for name, run_id in zip(by, run_ids, strict=True)], frame.index, text),
    ]
    if prices is not None:
        paid = np.zeros(len(frame), dtype=bool)
        paid[list(first_rows)] = True
        paid &= np.array(billed, dtype=bool)
        costs = [prices[name] if is_paid else 0.0 for name, is_paid in zip(by, paid.tolist(), strict=True)]
        made.append(pd.Series(costs, frame.index, dtype=number))
    for label, column in zip(labels[: len(made)], made, strict=True):
        # A row that no run answered keeps what it had.
        frame[label] = column.where(has_run, frame[label].astype(column.dtype)) if label in frame.columns else column
    return frame


def prices_of(prepared: PreparedCall) -> Prices:
    """Return the dollars of a run by processor; None where they are not known."""
    prices = {each.price.processor: each.price.per_run for each in (prepared, *prepared.later)}
    return {name: None if per_run is None else float(per_run) for name, per_run in prices.items()}


def keys_of_input(
    index: Index, canonical: bytes, prepared: PreparedCall, *, sent_as: Callable[[bytes], Iterable[str]]
) -> Iterator[str]:
    """Yield the keys of an input that the source has: one, or one for each of equal rows that are kept apart.

    A Decimal's key is of a number, and what it sends a text: such rows are known by what they send (`sent_as`).
    """
    hashed = set()
    for occurrence in [None] if prepared.call.dedupe else count():
        key = make_key(canonical, prepared.job.hash, occurrence=occurrence)
        if not index.has_key(key):
            break
        hashed.add(key)
        yield key
    yield from (key for key in sent_as(canonical) if key not in hashed)


def count_gaps(df: pd.DataFrame, row_runs: RowRuns, labels: Sequence[Hashable]) -> Counter[Hashable]:
    """Return in how many of the rows that have a run each of these columns lacks a value, where it does."""
    is_sent = row_runs >= 0
    return +Counter({label: int((df[label].isna().to_numpy(bool) & is_sent).sum()) for label in labels})


def copied(df: pd.DataFrame) -> pd.DataFrame:
    """Return the frame as it is now: what the caller does to it meanwhile moves no row."""
    return df.copy(deep=not PANDAS_3)  # pandas 3 copies on write


def outgoing_run(plan: Plan, entry: int, step: Step | None = None) -> OutgoingRun:
    """Return an entry of a plan as a run: of the attempt and for the rows that a step says."""
    attempt = 0 if step is None else step.attempt
    return OutgoingRun(
        plan.inputs[entry],
        plan.metadata_of(entry, attempt),
        RunId(plan.keys[entry], attempt),
        plan.positions[entry],
        1 if step is None else step.rows,
    )


class IndexedFeed:
    """The engine's `RunFeed`: the index says what is to be sent, the source what that is."""

    def __init__(self, source: RowSource[Any], index: Index, matches: Matches | None = None) -> None:
        self._source = source
        self._index = index
        self.matches = Matches() if matches is None else matches  # of the groups that the call names

    def decide(self) -> int:
        """Decide what is to be sent, and return how many runs that is."""
        return self._index.decide_sending()

    def read(self) -> Iterator[list[OutgoingRun]]:
        """Yield what was decided last."""
        return self._source.read(self._index)

    def find(self, keys: Sequence[str]) -> list[OutgoingRun]:
        """Return what is to be sent now of these inputs."""
        steps = self._index.steps_of(keys)
        return self._source.find(self._index, steps) if steps else []

    def recognise(self, wanted: Mapping[str, int], *, or_to_send: bool = False) -> Callable[[RunEvent], RunId | None]:
        """Return what identifies, each once, runs by the input that the service echoes."""
        matcher = InputMatcher(self._source, self._index)

        def accept(key: str) -> RunId | None:
            attempt = self._attempt_of(key, wanted, or_to_send=or_to_send)
            return None if attempt is None else RunId(key, attempt)

        def find(event: RunEvent) -> RunId | None:
            if event.processor not in (None, self._source.prepared.job.processor):
                return None
            return matcher.find(event, accept=accept)

        return find

    def join(self, wanted: Mapping[str, int]) -> Joiner:
        """Return what joins another program's runs to the rows of these keys, and to those that are to be sent."""
        attempt_of = partial(self._attempt_of, wanted=wanted, or_to_send=True)
        processor = self._source.prepared.job.processor
        return Joiner(self._source, self._index, wanted=attempt_of, matches=self.matches, processor=processor)

    def _attempt_of(self, key: str, wanted: Mapping[str, int], *, or_to_send: bool) -> int | None:
        if key in wanted:
            return wanted[key]
        steps = self._index.steps_of([key]) if or_to_send else []
        return steps[0].attempt if steps else None

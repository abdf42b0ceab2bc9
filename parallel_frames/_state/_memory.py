"""What is known of every row and every run of a frame's job, in memory.

It knows which inputs of the frame are distinct, what the checkpoint holds of each, and in which part of the store an
answer lies. It holds no answers and no rules: `next_step` says what an input needs. Each distinct key is an entry, a
number; everything else is an array with a place for each entry. `DiskIndex` does the same for files, whose rows need
not fit memory.
"""

# Arrow makes its functions when it is imported.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from parallel_frames._model import RunId
from parallel_frames._state._group import GroupState
from parallel_frames._state._index import JobStatus, Step, are_billed, ended_at, locked
from parallel_frames._state._rules import (
    ANSWERED,
    AWAITED,
    COMPLETED,
    LEFT_OUT,
    NEVER,
    STATUS_CODES,
    STATUS_NAMES,
    next_step,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence


Integers: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]
Flags: TypeAlias = np.ndarray[Any, np.dtype[np.bool_]]
Times: TypeAlias = np.ndarray[Any, np.dtype[np.object_]]

NONE: Final = -1  # in arrays: no attempt, no status, no part
CODES: Final = pa.array(sorted(STATUS_CODES, key=STATUS_CODES.__getitem__))


@dataclass(slots=True)
class _Runs:
    """Runs by column: receipts or an open batch, whose runs have no ids yet."""

    entries: Integers
    attempts: Integers
    groups: Integers
    run_ids: pa.Array

    @property
    def ranks(self) -> Integers:
        """What orders all that is known of an entry.

        The newest attempt counts; of one attempt an outcome before a receipt, and a completed one before a failed one.
        """
        return self.attempts * 4


@dataclass(slots=True)
class _Outcomes(_Runs):
    """The outcomes of a part of the store, of which `base` precede them there."""

    statuses: Integers = field(kw_only=True)
    billed: Flags = field(kw_only=True)
    ended: pa.Array = field(kw_only=True)
    part: int = field(kw_only=True)
    base: int = 0

    @property
    def ranks(self) -> Integers:
        """What orders all that is known of an entry."""
        return self.attempts * 4 + 3 - self.statuses


class MemoryIndex:
    """The index of one call, in memory.

    Attributes
    ----------
    rows, chosen, skipped, runs : int
        Rows of the source, those asked about, of these the ones with nothing to send, and distinct inputs.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._keys: list[str] = []  # of the entries: those of the source in the order of its rows, then others
        self._entries: dict[str, int] = {}
        self._row_entries: Integers = np.empty(0, np.int64)
        self._rows_by_entry: Integers | None = None
        self._first_rows: Integers = np.empty(0, np.int64)
        self._row_counts: Integers = np.empty(0, np.int64)
        self._elsewhere: set[int] = set()
        self.rows = self.chosen = self.skipped = self.runs = 0
        self.forget_checkpoint()
        self.configure()

    def configure(self, *, retry_failed: bool = True, stale_before: str = NEVER, limit: int | None = None) -> None:
        """Set what `status` goes by: the options of `next_step`, and how many distinct inputs are looked at."""
        with self._lock:
            # Few inputs differ in what the rule goes by.
            self._rule = cache(partial(next_step, retry_failed=retry_failed, stale_before=stale_before))
            self._stale_before, self._limit = stale_before, limit
            self._status: JobStatus | None = None

    def _entry(self, key: str) -> int:
        entry = self._entries.get(key)
        if entry is None:
            entry = self._entries[key] = len(self._keys)
            self._keys.append(key)
        return entry

    def _entries_of(self, keys: Sequence[str]) -> Integers:
        return np.fromiter(map(self._entry, keys), np.int64, len(keys))

    # Rows of the source

    @locked
    def add_rows(self, start: int, keys: Sequence[str], row_runs: Sequence[int] | Integers) -> None:
        """Add consecutive rows; `row_runs` holds each row's place in `keys`, -1 (nothing to send) or -2 (not asked)."""
        if start != self.rows:
            raise ValueError(f"Row {start} cannot be added after {self.rows}.")
        places = np.append(self._entries_of(keys), [-2, -1])  # the last two are what -2 and -1 pick
        entries = places[np.asarray(row_runs, dtype=np.int64)]
        self._row_entries = np.append(self._row_entries, entries)
        self.rows += len(entries)
        self.chosen += int(np.sum(entries >= -1))
        self.skipped += int(np.sum(entries == -1))

    @locked
    def end_rows(self) -> None:
        """Group equal rows, once all are added."""
        rows = np.flatnonzero(self._row_entries >= 0)
        entries, firsts, counts = np.unique(self._row_entries[rows], return_index=True, return_counts=True)
        self.runs = len(entries)
        if not np.array_equal(entries, np.arange(self.runs)):
            raise ValueError("Keys must be those of asked rows, in their order.")
        self._first_rows, self._row_counts = rows[firsts], counts

    @locked
    def note_answered(self, keys: Iterable[str]) -> None:
        """Record that these inputs have an answer elsewhere: what failed here is not asked again for their sake."""
        self._elsewhere.update(self._entries[key] for key in keys)
        self._status = None

    @locked
    def rows_of(self, keys: Iterable[str]) -> dict[str, list[int]]:
        """Return the rows of each key that the source has."""
        if self._rows_by_entry is None:
            order = np.argsort(self._row_entries, kind="stable")
            self._rows_by_entry = order[np.searchsorted(self._row_entries[order], 0) :]
            self._row_starts = np.append(0, np.cumsum(self._row_counts))
        found = {}
        for key in keys:
            entry = self._entries.get(key, self.runs)
            if entry < self.runs:
                found[key] = self._rows_by_entry[self._row_starts[entry] : self._row_starts[entry + 1]].tolist()
        return found

    @locked
    def keys_at(self, rows: Iterable[int]) -> dict[int, str]:
        """Return the keys of those of these rows that are asked about and have something to send."""
        entries = {row: int(self._row_entries[row]) for row in rows if row < self.rows}
        return {row: self._keys[entry] for row, entry in entries.items() if entry >= 0}

    # What the checkpoint holds

    @property
    def groups(self) -> list[str]:
        """Every group that receipts, outcomes or intents name."""
        return list(self._groups)

    def _group(self, name: str) -> int:
        return self._groups.setdefault(name, len(self._groups))

    @locked
    def add_outcomes(self, part: int, states: pa.Table) -> None:
        """Add the outcomes of a part of the store: a table of `STATE_SCHEMA`."""
        statuses = pc.index_in(states.column("status"), CODES).to_numpy().astype(np.int64)
        self._outcomes.append(
            _Outcomes(
                *self._read_runs(states),
                statuses=statuses,
                billed=are_billed(states).to_numpy(zero_copy_only=False),
                ended=ended_at(states),
                part=part,
            )
        )
        self._note_change()

    @locked
    def add_receipts(self, runs: pa.Table) -> None:
        """Add runs that are paid for: a table of `RUN_SCHEMA`."""
        self._receipts.append(_Runs(*self._read_runs(runs)))
        self._note_change()

    def _read_runs(self, runs: pa.Table) -> tuple[Integers, Integers, Integers, pa.Array]:
        names = runs.column("group_id").combine_chunks().dictionary_encode()
        groups = np.array(list(map(self._group, names.dictionary.to_pylist())), np.int64)
        entries = self._entries_of(runs.column("key").to_pylist())
        attempts = runs.column("attempt").to_numpy().astype(np.int64)
        return entries, attempts, groups[names.indices.to_numpy()], runs.column("run_id").combine_chunks()

    @locked
    def add_intent(self, number: int, group_id: str, runs: Sequence[RunId]) -> None:
        """Add a batch of which it is not known whether it was created."""
        attempts = np.array([run.attempt for run in runs], np.int64)
        groups = np.full(len(runs), self._group(group_id), np.int64)
        entries = self._entries_of([run.key for run in runs])
        self._intents[number] = _Runs(entries, attempts, groups, pa.nulls(len(runs)))
        self._note_change()

    @locked
    def drop_intent(self, number: int) -> None:
        """Forget a batch that is decided."""
        if self._intents.pop(number, None) is not None:
            self._note_change()

    @locked
    def move_parts(self, moves: Mapping[int, tuple[int, int]]) -> None:
        """Record that parts were put together: of each its new part, and the place of its first outcome there."""
        for runs in self._outcomes:
            if runs.part in moves:
                runs.part, base = moves[runs.part]
                runs.base += base
        self._note_change()

    @locked
    def parts(self) -> list[int]:
        """Return the parts of the store in which outcomes lie."""
        return sorted({runs.part for runs in self._outcomes if len(runs.entries)})

    @locked
    def drop_part(self, part: int) -> None:
        """Forget the outcomes of a part that cannot be read any more."""
        self._outcomes[:] = [runs for runs in self._outcomes if runs.part != part]
        self._note_change()

    @locked
    def forget_checkpoint(self) -> None:
        """Forget what the checkpoint holds, to read it again."""
        self._groups: dict[str, int] = {}
        self._outcomes: list[_Outcomes] = []
        self._receipts: list[_Runs] = []
        self._intents: dict[int, _Runs] = {}
        self._marked: dict[int, int] = {}
        self._is_refreshing = False
        self._note_change()

    def _note_change(self) -> None:
        self._is_current, self._status = False, None

    def _derive(self) -> None:
        """Find of each entry the newest attempt, what became of it, and where its newest answer lies.

        An answer counts until a newer attempt completes, whatever became of those between.
        """
        if self._is_current:
            return
        count = len(self._keys)
        ranks, answered = np.full(count, NONE), np.full(count, NONE)
        for runs in (*self._outcomes, *self._receipts, *self._intents.values()):
            np.maximum.at(ranks, runs.entries, runs.ranks)
        for runs in self._outcomes:
            completed = runs.statuses == COMPLETED
            np.maximum.at(answered, runs.entries[completed], runs.attempts[completed])
        self._ranks, self._answered = ranks, answered
        self._newest = ranks >> 2  # -1 stays -1
        self._tried = np.where((ranks >= 0) & (ranks & 3 > 0), 3 - (ranks & 3), NONE)
        self._parts, self._offsets = np.full(count, NONE), np.full(count, NONE)
        for runs in self._outcomes:
            at = self._places_of_answers(runs)
            self._parts[runs.entries[at]] = runs.part
            self._offsets[runs.entries[at]] = at + runs.base
        self._unbilled = self._count_unbilled()
        self._is_current = True

    def _count_unbilled(self) -> int:
        """Return how many attempts at the source's inputs are not billed."""

        def attempts(runs: _Outcomes, chosen: Any) -> set[tuple[int, int]]:
            places = np.flatnonzero(chosen & (runs.entries < self.runs))
            return set(zip(runs.entries[places].tolist(), runs.attempts[places].tolist(), strict=True))

        unbilled = {run for runs in self._outcomes for run in attempts(runs, ~runs.billed)}
        if unbilled:  # an attempt that exists twice may have completed, too
            entries = np.array([entry for entry, _ in unbilled])
            for runs in self._outcomes:
                unbilled -= attempts(runs, runs.billed & np.isin(runs.entries, entries))
        return len(unbilled)

    def _places_of_answers(self, runs: _Outcomes) -> Integers:
        """Return which of a part's outcomes are the newest answer of their entry, or else its newest failure."""
        answered = self._answered[runs.entries]
        is_answer = (runs.attempts == answered) & (runs.statuses == COMPLETED)
        return np.flatnonzero(is_answer | ((answered < 0) & (runs.ranks == self._ranks[runs.entries])))

    def _tried_at(self) -> Times:
        """Return when the newest attempt of each entry ended."""
        times = np.full(len(self._keys), None, dtype=object)
        for runs in self._outcomes:
            newest = runs.ranks == self._ranks[runs.entries]
            times[runs.entries[newest]] = runs.ended.to_numpy(zero_copy_only=False)[newest]
        return times

    # A refresh

    @locked
    def begin_refresh(self, unfinished: Iterable[tuple[str, int]]) -> None:
        """Mark the newest attempt of each input, but for what an unfinished refresh had marked.

        An input without an answer is marked -1: once it has one, the refresh does not ask it a second time.
        """
        self.recall_refresh(unfinished)
        self._is_refreshing = True
        self._derive()
        newest = np.where(self._tried >= 0, self._newest, -1)[: self.runs]
        self._marked = dict(enumerate(newest.tolist())) | self._marked
        self._status = None

    @locked
    def recall_refresh(self, unfinished: Iterable[tuple[str, int]]) -> None:
        """Know what an unfinished refresh had marked, without continuing it: `is_refreshed` says when it is over."""
        self._marked = {self._entry(key): attempt for key, attempt in unfinished}
        self._is_current = False  # there may be further entries

    @property
    def has_marks(self) -> bool:
        """Whether a refresh is not over yet."""
        return bool(self._marked)

    @locked
    def marked_attempts(self, *, of_others: bool = False) -> list[tuple[str, int]]:
        """Return the marked attempts; `of_others`: only those of inputs that this source does not have."""
        return [
            (self._keys[entry], attempt)
            for entry, attempt in self._marked.items()
            if not of_others or entry >= self.runs
        ]

    @locked
    def is_refreshed(self) -> bool:
        """Return whether each marked input of this source was asked again, and that has ended."""
        self._derive()
        return not any(
            entry < self.runs and (self._tried[entry] < 0 or self._newest[entry] <= attempt)
            for entry, attempt in self._marked.items()
        )

    # What is to be done

    @property
    def _within(self) -> int:
        """How many inputs are within the limit."""
        return self.runs if self._limit is None else min(self._limit, self.runs)

    def _decide(self, entries: Integers) -> Integers:
        """Return the step of each of these inputs."""
        self._derive()
        newest, tried, answered = (
            [None if value < 0 else value for value in values[entries].tolist()]
            for values in (self._newest, self._tried, self._answered)
        )
        if self._elsewhere:
            answered = [
                0 if attempt is None and entry in self._elsewhere else attempt
                for entry, attempt in zip(entries.tolist(), answered, strict=True)
            ]
        unknown = [None] * len(entries)
        times = unknown if self._stale_before == NEVER else self._tried_at()[entries].tolist()
        marks = [self._marked.get(entry) for entry in entries.tolist()] if self._is_refreshing else unknown
        return np.fromiter(map(self._rule, newest, tried, answered, times, marks), np.int64, len(entries))

    @locked
    def status(self) -> JobStatus:
        """Decide for each input within the limit what it needs now, and return the numbers."""
        if self._status is None:
            self._steps = np.full(self.runs, LEFT_OUT)
            self._steps[: self._within] = self._decide(np.arange(self._within))
            self._status = self._count()
        return self._status

    def _count(self) -> JobStatus:
        steps, counts, newest = self._steps, self._row_counts, self._newest[: self.runs]
        known = newest >= 0
        within, to_send = steps != LEFT_OUT, steps >= 0
        is_done = steps == ANSWERED
        failed = is_done & (self._answered[: self.runs] < 0)
        awaited = steps == AWAITED
        in_doubt = np.zeros(len(self._keys), bool)
        for batch in self._intents.values():
            in_doubt[batch.entries[batch.attempts == self._newest[batch.entries]]] = True

        def total(where: Any, of: Integers | None = None) -> int:
            return int(np.sum(where if of is None else of[where]))

        return JobStatus(
            rows=self.rows,
            chosen=self.chosen,
            skipped=self.skipped,
            runs=self.runs,
            left_out=total(~within),
            answered=total(is_done),
            failed=total(failed),
            awaited=total(awaited),
            in_doubt=total(awaited & in_doubt[: self.runs]),
            to_send=total(to_send),
            rows_answered=total(is_done, counts),
            rows_failed=total(failed, counts),
            rows_open=total(awaited | to_send, counts),
            sent=total(known, newest + 1),
            billed=total(known, newest + 1) - self._unbilled,
            known=total(known),
            keys=total(self._newest >= 0),
        )

    @locked
    def answer_times(self) -> tuple[str | None, str | None]:
        """Return when the oldest and the newest answer of the source came that are not asked again."""
        self.status()
        oldest, newest = [], []
        for runs in self._outcomes:
            places = self._places_of_answers(runs)
            entries = runs.entries[places]
            ours = entries < self.runs
            is_kept = self._steps[entries[ours]] == ANSWERED
            times = pc.min_max(runs.ended.take(pa.array(places[ours][is_kept]))).as_py()
            oldest.append(times["min"])
            newest.append(times["max"])
        return min(filter(None, oldest), default=None), max(filter(None, newest), default=None)

    @locked
    def decide_sending(self) -> int:
        """Decide what is to be sent, for `steps_between`, and return how many runs that is.

        It stays as it is while it is read, whoever asks for numbers meanwhile: what fails during a call is for the next
        call to send again.
        """
        to_send = self.status().to_send
        self._feed = np.flatnonzero(self._steps >= 0)
        self._feed_rows, self._feed_steps = self._first_rows[self._feed], self._steps[self._feed]
        return to_send

    @locked
    def steps_between(self, start: int, end: int) -> list[Step]:
        """Return what is to be sent of the rows from `start` up to `end`, in their order."""
        some = slice(*np.searchsorted(self._feed_rows, [start, end]))
        return self._as_steps(self._feed[some], self._feed_steps[some])

    @locked
    def steps_of(self, keys: Iterable[str]) -> list[Step]:
        """Return what is to be sent now of these inputs, in the order of their rows: the rule is asked again."""
        entries = np.array(sorted({self._entries.get(key, self.runs) for key in keys}), np.int64)
        entries = entries[entries < self._within]
        steps = self._decide(entries)
        return self._as_steps(entries[steps >= 0], steps[steps >= 0])

    def _as_steps(self, entries: Integers, attempts: Integers) -> list[Step]:
        keys = [self._keys[entry] for entry in entries.tolist()]
        rows, counts = self._first_rows[entries].tolist(), self._row_counts[entries].tolist()
        return list(map(Step, rows, keys, attempts.tolist(), counts))

    @locked
    def last_step(self) -> int:
        """Return the last row with something to send; -1 where there is none."""
        return int(self._feed_rows[-1]) if len(self._feed_rows) else -1

    @locked
    def limit_for(self, runs: int) -> int:
        """Return the ``limit`` with which only so many of the planned runs would be sent."""
        to_send = np.flatnonzero(self._steps >= 0)
        return int(to_send[runs]) if runs < len(to_send) else 0

    @locked
    def has_key(self, key: str) -> bool:
        """Return whether the source has a row with this key."""
        return self._entries.get(key, self.runs) < self.runs

    @locked
    def count_undated(self) -> int:
        """Return how many of the source's answers have no time, so that it cannot be known whether they are old."""
        self._derive()
        answered = (self._answered[: self.runs] >= 0).tolist()
        times = self._tried_at()[: self.runs].tolist()
        return sum(has_answer and at is None for has_answer, at in zip(answered, times, strict=True))

    # Groups

    @locked
    def group_state(self, group_id: str, *, cursor: str | None = None) -> GroupState:
        """Return what is known of one group, without its open batches."""
        number, state = self._group(group_id), GroupState(group_id, has_key=self.has_key)
        state.cursor.durable = cursor
        for outcomes in self._outcomes:
            ours = np.flatnonzero(outcomes.groups == number)
            names = map(STATUS_NAMES.__getitem__, outcomes.statuses[ours].tolist())
            for (run, run_id), status in zip(self._named(outcomes, ours), names, strict=True):
                state.add_outcome(run, run_id=run_id, status=status)
        for receipts in self._receipts:
            for run, run_id in self._named(receipts, np.flatnonzero(receipts.groups == number)):
                state.add_paid(run, run_id=run_id)
        state.waiting = self.waiting(group_id)
        return state

    def _named(self, runs: _Runs, places: Integers) -> Iterator[tuple[RunId, str]]:
        return zip(self._runs_at(runs, places), runs.run_ids.take(pa.array(places)).to_pylist(), strict=True)

    def _runs_at(self, runs: _Runs, places: Integers) -> list[RunId]:
        keys = [self._keys[entry] for entry in runs.entries[places].tolist()]
        return list(map(RunId, keys, runs.attempts[places].tolist()))

    @locked
    def waiting(self, group_id: str) -> dict[RunId, int]:
        """Return the group's unfinished runs that answer rows within the limit, and how many rows share each."""
        self._derive()
        number = self._group(group_id)
        found: dict[RunId, int] = {}
        for runs in (*self._receipts, *self._intents.values()):
            entries = runs.entries
            open_ = (runs.groups == number) & (entries < self._within)
            open_ &= (runs.attempts == self._newest[entries]) & (self._tried[entries] < 0)
            places = np.flatnonzero(open_)
            found |= dict(zip(self._runs_at(runs, places), self._row_counts[entries[places]].tolist(), strict=True))
        return found

    # Answers

    @locked
    def answers(self) -> Integers:
        """Return of each distinct input, in the order of first rows: part, offset, status code, and if it was sent.

        The first three are of the newest answer, or else of the newest attempt's failure; -1 without either.
        """
        self._derive()
        statuses = np.where(self._answered >= 0, COMPLETED, self._tried)
        columns = (self._parts, self._offsets, statuses, self._newest >= 0)
        return np.stack([column[: self.runs] for column in columns], axis=1).astype(np.int64)

    @locked
    def done(self) -> list[bool]:
        """Return for each distinct input, in the order of first rows, whether nothing is left to do for it."""
        self.status()
        done: list[bool] = (self._steps == ANSWERED).tolist()
        return done

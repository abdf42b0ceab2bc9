"""The rows of a file as a `RowSource`: with the keys of a frame's rows, so that each serves the other's checkpoint.

The source is read once for the keys of all rows, again, a batch at a time, for what is to be sent, and a last time to
be written with its answers; a row that sends something else by then stops the job.
"""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from parallel_frames._columns import Level, grade_outcomes, level_of, merge_outcomes
from parallel_frames._files._batches import frame_of, take
from parallel_frames._files._row_order import BestInOrder, RowOrderReader
from parallel_frames._files._temporary import temporary_folder
from parallel_frames._files._types import as_type, at_risk, check_values, output_types
from parallel_frames._inputs import canonical_of_sent, make_key, make_keys, render_inputs
from parallel_frames._job._escalate import EscalatedResults
from parallel_frames._job._plan import make_plan
from parallel_frames._job._row_filter import choose_rows
from parallel_frames._job._source import (
    ROWS_AT_ONCE,
    SAMPLES,
    Piece,
    add_provenance,
    count_gaps,
    keys_of_input,
    outgoing_run,
    prices_of,
)
from parallel_frames._model import OUTSIDE, SKIPPED
from parallel_frames._state import Answers, DiskIndex
from parallel_frames.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence

    from parallel_frames._columns import Layout, Merged, Unanswered
    from parallel_frames._files._prepare import PreparedFile
    from parallel_frames._job._prepare import PreparedCall
    from parallel_frames._job._row_filter import Mask
    from parallel_frames._job._runner import Results
    from parallel_frames._job._source import Levels
    from parallel_frames._model import Outcome, OutgoingRun, Plan, RowRuns
    from parallel_frames._state import Step


class FileSource:
    """The rows of a file.

    Attributes
    ----------
    chosen : numpy.ndarray of bool, optional
        Which rows to ask about. Default: those that the call chooses.
    answered : numpy.ndarray of bool, optional
        Which rows have an answer elsewhere. Default: none.
    first_runs : list of OutgoingRun
        A few runs, the first ones; known after `scan`.
    gaps : Counter of label
        How many rows lack a value in each of the columns that are expected; known after `scan`.
    """

    def __init__(self, file: PreparedFile, *, chosen: Mask | None = None, answered: Mask | None = None) -> None:
        self.file = file
        self._chosen = chosen
        self._answered = answered
        self.first_runs: list[OutgoingRun] = []
        self.gaps: Counter[Hashable] = Counter()

    @property
    def prepared(self) -> PreparedCall:
        """The call."""
        return self.file.prepared

    @property
    def name(self) -> str:
        """The address of the source."""
        return self.file.source.shown

    def label(self, row: int) -> int:
        """Return the number of a row, which is what a file has for an index."""
        return row

    def label_text(self, row: int) -> str:
        """Return that number as text."""
        return str(row)

    # Runs

    def make_index(self) -> DiskIndex:
        """Return an empty index, in a temporary database: the rows need not fit memory."""
        return DiskIndex()

    def scan(self, index: DiskIndex) -> None:
        """Read the whole source once, and put the key of each row into the index."""
        source, added = self.file.source, self.file.added
        for start, batch in source.batches([*self.file.columns, *at_risk(source.schema, added), *sorted(source.mixed)]):
            check_values(batch, added, start=start, shown=source.shown)
            df = frame_of(batch.select(list(self.file.columns)), start)
            rows = slice(start, start + batch.num_rows)
            if self._chosen is None:
                chosen = choose_rows(df, self.prepared.call.where, layout=self.prepared.layout)
            else:
                chosen = self._chosen[rows]
            plan = self._plan(df, occurrences=partial(index.count_equals, start), chosen=chosen)
            self.gaps += count_gaps(df, plan.row_runs, self.prepared.expected)
            if not self.first_runs:
                first = replace(plan, positions=[start + row for row in plan.positions])
                self.first_runs = [outgoing_run(first, entry) for entry in range(min(SAMPLES, len(plan.keys)))]
            index.add_rows(start, plan.keys, plan.row_runs.tolist())
            if self._answered is not None:
                index.note_answered(plan.keys[run] for run in map(int, plan.row_runs[self._answered[rows]]) if run >= 0)
        index.end_rows()

    def read(self, index: DiskIndex) -> Iterator[list[OutgoingRun]]:
        """Read the source again, and yield what the index planned to send, a batch at a time.

        Raises
        ------
        SourceError
            A row sends something else than when it was read first.
        """
        last = index.last_step()
        for start, batch in self.file.source.batches(self.file.columns) if last >= 0 else ():
            if start > last:
                return
            if steps := index.steps_between(start, start + batch.num_rows):
                yield self._runs_of(index, batch, start, steps)

    def find(self, index: DiskIndex, steps: Sequence[Step]) -> list[OutgoingRun]:
        """Read the source again up to the last of these steps, and return their runs."""
        runs: list[OutgoingRun] = []
        for start, batch in self.file.source.batches(self.file.columns):
            here = [step for step in steps if start <= step.row < start + batch.num_rows]
            if here:
                runs += self._runs_of(index, batch, start, here)
            if start + batch.num_rows > steps[-1].row:
                break
        return runs

    def keys_of_input(self, index: DiskIndex, canonical: bytes) -> Iterator[str]:
        """Yield the keys of the rows that send this input."""
        yield from keys_of_input(index, canonical, self.prepared, sent_as=partial(self._keys_sent_as, index))

    def _keys_sent_as(self, index: DiskIndex, canonical: bytes) -> list[str]:
        """Return the keys of rows that are read as something else than what they send, which is this."""
        file, job_hash = self.file, self.prepared.job.hash
        if not any("decimal" in str(file.source.schema.field(name).type) for name in file.columns):
            return []
        if not index.has_echoes:  # the source is read for them once, and only where an input is not known otherwise
            for start, batch in file.source.batches(file.columns):
                keys = {row: key for row, key, _ in index.rows_between(start, start + batch.num_rows) if key}
                df = frame_of(take(batch.select(list(file.columns)), [row - start for row in keys]), 0)
                sent = render_inputs(df, self.prepared.selection).sent
                echoes = make_keys([text and canonical_of_sent(text) for text in sent], job_hash)
                index.add_echoes((echo, key) for echo, key in zip(echoes, keys.values(), strict=True) if echo)
            index.has_echoes = True
        return index.keys_of_echo(make_key(canonical, job_hash))

    def _plan(
        self, df: pd.DataFrame, *, occurrences: Callable[[list[str | None]], list[int]], chosen: Any = None
    ) -> Plan:
        """Return the runs of some rows; `occurrences` says by their shared keys which of the equal rows each is."""
        job, call = self.prepared.job, self.prepared.call
        return make_plan(
            df,
            job,
            selection=self.prepared.selection,
            chosen=chosen,
            dedupe=call.dedupe,
            occurrences=lambda canonicals: occurrences(make_keys(canonicals, job.hash)),
            metadata=call.metadata,
        )

    def _runs_of(self, index: DiskIndex, batch: pa.RecordBatch, start: int, steps: Sequence[Step]) -> list[OutgoingRun]:
        """Return the runs of these steps, whose rows are in the batch."""
        rows = [step.row for step in steps]
        df = frame_of(take(batch, [row - start for row in rows]), 0)
        df.index = pd.Index(rows)
        plan = self._plan(df, occurrences=lambda _: index.occurrences_of(rows))
        if list(plan.keys) != [step.key for step in steps]:
            raise self._changed()
        plan = replace(plan, positions=rows)
        return [outgoing_run(plan, entry, step) for entry, step in enumerate(steps)]

    def _check_same(self, index: DiskIndex, batch: pa.RecordBatch, start: int, known: Mapping[int, str | None]) -> None:
        """Raise SourceError where a row of a batch does not send what it sent when the source was first read.

        A file may change without a change of its size and time; an answer must not land on another row.
        """
        if not known:
            return
        df = frame_of(take(batch.select(list(self.file.columns)), [row - start for row in known]), 0)
        rendered = render_inputs(df, self.prepared.selection)
        dedupe = self.prepared.call.dedupe
        numbers = None if dedupe else index.occurrences_of(known)
        keys = make_keys(rendered.canonical, self.prepared.job.hash, dedupe=dedupe, occurrences=numbers)
        if keys != list(known.values()):
            raise self._changed()

    def _changed(self) -> SourceError:
        shown = self.file.source.shown
        return SourceError(
            f"{shown} changed while the job ran: its rows do not send what they sent when it began. Nothing was "
            "written to the target. Run the same again: what is answered is kept, and only inputs that are new "
            "are paid.",
            path=shown,
        )

    def narrowed(self, prepared: PreparedCall, chosen: Mask, *, answered: Mask) -> FileSource:
        """Return some of these rows for another job; the `answered` ones have an answer already."""
        return FileSource(replace(self.file, prepared=prepared), chosen=chosen, answered=answered)

    # Answers

    def levels(self, results: Results[DiskIndex]) -> Levels:
        """Return of each row how good its answer is: a `Level`."""
        rows = results.index.rows
        levels = np.full(rows, Level.UNKNOWN, dtype=np.int8)
        with temporary_folder() as folder:
            answers = RowOrderReader(results.index, results.read, folder=folder, basis=True)
            for start in range(0, rows, ROWS_AT_ONCE):
                found = answers.between(start, min(start + ROWS_AT_ONCE, rows))
                grades = grade_outcomes(list(found.values()), self.prepared.schema)
                levels[list(found)] = level_of(np.array(grades, dtype=np.int64))
        return levels

    def pieces(self, results: Results[DiskIndex], layout: Layout) -> Iterator[Piece]:
        """Yield all rows with their new columns as frames, some at a time: for what is known to fit memory."""
        types = output_types(self.prepared.schema, layout) | self.file.added
        with self.answers_in_order(results, layout) as answers:
            for start, table, counts, asked in self.tables(results, answers, layout=layout, types=types):
                yield Piece(frame_of(table, start), counts, asked)

    @contextmanager
    def answers_in_order(self, results: Results[DiskIndex], layout: Layout) -> Iterator[RowOrderReader | BestInOrder]:
        """Give every row's answer in the order of the rows; what does not fit memory is in a temporary folder."""
        with temporary_folder() as folder:
            if isinstance(results, EscalatedResults):
                yield BestInOrder(results, folder=folder)
                return
            wants_basis = bool(layout.evidence or layout.basis)
            yield RowOrderReader(results.index, results.read, folder=folder, basis=wants_basis)

    def tables(
        self,
        results: Results[DiskIndex],
        answers: RowOrderReader | BestInOrder,
        *,
        layout: Layout,
        types: Mapping[str, pa.DataType],
    ) -> Iterator[tuple[int, pa.Table, Mapping[str, int], np.ndarray[Any, np.dtype[np.bool_]]]]:
        """Yield each batch of the source with its new columns, and its first row, its asked rows by status and mask.

        Raises
        ------
        SourceError
            The rows are not what they were when they were asked about.
        """
        rows = 0
        results.kept.clear()
        for start, batch in self.file.source.batches():
            rows += batch.num_rows
            known = answers.between(start, start + batch.num_rows)
            best = answers if isinstance(answers, BestInOrder) else None
            columns = {name: batch.column(name) for name in batch.schema.names}
            merged, row_runs = self._merge(results, batch, start, known, layout=layout, types=types, best=best)
            for label in layout.made:
                columns[str(label)] = as_type(pa.Array.from_pandas(merged.frame[label]), types[str(label)])
            yield start, pa.table(columns), merged.counts, row_runs != OUTSIDE
        if rows != results.index.rows:
            raise self._changed()

    def _merge(
        self,
        results: Results[DiskIndex],
        batch: pa.RecordBatch,
        start: int,
        known: Mapping[int, Outcome],
        *,
        layout: Layout,
        types: Mapping[str, pa.DataType],
        best: BestInOrder | None,
    ) -> tuple[Merged, RowRuns]:
        """Return a batch's new columns, and which run each row has; `best` has chosen the answers."""
        asked = results.index.rows_between(start, start + batch.num_rows)
        self._check_same(results.index, batch, start, {row: key for row, key, _ in asked})
        rows = [row for row, key, _ in asked if key is not None]
        keys = [key for _, key, _ in asked if key is not None]
        sent = {key for _, key, was_sent in asked if was_sent and key is not None}
        row_runs = np.full(batch.num_rows, OUTSIDE, dtype=np.int64)
        row_runs[[row - start for row, _, _ in asked]] = SKIPPED
        row_runs[[row - start for row in rows]] = np.arange(len(rows))
        call = self.prepared.call
        waiting: dict[str, Unanswered] = {}
        processors = [call.processor] * len(rows)
        if best is not None:
            waiting = {key: best.waiting[row] for row, key in zip(rows, keys, strict=True) if row in best.waiting}
            processors = [best.processors.get(row, "") for row in rows]
        existing = [name for name in batch.schema.names if name in types]
        answers = Answers.of([known.get(row) for row in rows])
        merged = merge_outcomes(
            self._existing(batch, start, existing, types),
            keys,
            row_runs,
            self.prepared.schema,
            answers=answers,
            unanswered=lambda key: waiting.get(key) or results.unanswered(key, is_sent=key in sent),
            unsettled=waiting,
            processors=processors,
            layout=layout,
            dtype_backend="pyarrow",
            renewal=self.prepared.renewal,
        )
        results.kept.update(merged.kept)
        if layout.provenance:
            first = results.index.first_rows_between(start, start + batch.num_rows)
            frame = add_provenance(
                merged.frame,
                row_runs,
                answers,
                labels=layout.provenance,
                dtype_backend="pyarrow",
                processors=processors,
                prices=prices_of(self.prepared),
                first_rows=[row - start for row in first],
            )
            merged = replace(merged, frame=frame)
        return merged, row_runs

    @staticmethod
    def _existing(
        batch: pa.RecordBatch, start: int, names: Sequence[str], types: Mapping[str, pa.DataType]
    ) -> pd.DataFrame:
        """Return the columns that answers are merged into, in the answers' own types."""
        if not names:
            return pd.DataFrame(index=pd.RangeIndex(start, start + batch.num_rows))
        return frame_of(pa.table({name: as_type(batch.column(name), types[name]) for name in names}), start)

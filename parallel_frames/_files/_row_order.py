"""Answers, brought from the order in which they arrived into the order of the rows, in bounded memory.

The index says which row takes which answer from which part. Parts are read once, in order; each answer goes into the
bucket of its row, and buckets that fill memory go to disk. Then a bucket holds all answers of consecutive rows.
"""

from __future__ import annotations

import bisect
import itertools
from collections import defaultdict
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
from pyarrow import feather

from parallel_frames._columns import Level, grade_outcomes
from parallel_frames._job._escalate import JobAnswers
from parallel_frames._model import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from parallel_frames._columns import Unanswered
    from parallel_frames._job._escalate import EscalatedResults
    from parallel_frames._state import DiskIndex
    from parallel_frames._state._answers import ReadPart

BUCKET_ROWS: Final = 20_000
BUFFER_BYTES: Final = 48 * 2**20
COLUMNS: Final = [
    "key", "attempt", "run_id", "group_id", "status", "output", "output_type", "basis", "error", "created_at",
    "modified_at",
]  # fmt: skip


def _row(answer: tuple[int, Outcome]) -> int:
    return answer[0]


class RowOrderReader:
    """Every row's answer, in the order of the rows.

    Parameters
    ----------
    read : callable
        Returns columns of a part of the store, or None where the part is damaged: its rows have no answer then.
    folder : Path
        An empty folder for what does not fit memory.
    basis : bool
        Whether evidence is wanted; it is most of an answer.
    """

    def __init__(self, index: DiskIndex, read: ReadPart, *, folder: Path, basis: bool) -> None:
        self._folder = folder
        self._columns = [name for name in COLUMNS if basis or name != "basis"]
        self._buffers: defaultdict[int, list[pa.Table]] = defaultdict(list)
        self._bytes = 0
        self._files: defaultdict[int, list[Path]] = defaultdict(list)
        self._numbers = itertools.count()
        self._bucket = -1
        self._answers: list[tuple[int, Outcome]] = []
        part, table = -1, None
        for number, lines in index.answers_by_part():
            if number != part:
                part, table = number, read(number, self._columns)
            if table is not None:
                self._take(table, lines)

    def _take(self, table: pa.Table, lines: list[tuple[int, int]]) -> None:
        """Put the answers of some rows into their buckets."""
        of_buckets: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
        for offset, row in lines:
            of_buckets[row // BUCKET_ROWS].append((offset, row))
        for bucket, taken in of_buckets.items():
            offsets, rows = zip(*taken, strict=True)
            found = table.take(pa.array(offsets, pa.int64())).append_column("row", pa.array(rows, pa.int64()))
            self._buffers[bucket].append(found)
            self._bytes += found.nbytes
        if self._bytes > BUFFER_BYTES:
            self._spill()

    def _spill(self) -> None:
        for bucket, tables in self._buffers.items():
            path = self._folder / f"{bucket}-{next(self._numbers)}.arrow"
            feather.write_feather(pa.concat_tables(tables), path, compression="lz4")
            self._files[bucket].append(path)
        self._buffers.clear()
        self._bytes = 0

    def between(self, start: int, end: int) -> dict[int, Outcome]:
        """Return the answers of the rows from `start` up to `end`; to be asked in the order of the rows."""
        found: dict[int, Outcome] = {}
        for bucket in range(start // BUCKET_ROWS, max(start, end - 1) // BUCKET_ROWS + 1):
            if bucket != self._bucket:
                self._bucket, self._answers = bucket, sorted(self._read(bucket), key=_row)
            first, after = (bisect.bisect_left(self._answers, row, key=_row) for row in (start, end))
            found.update(self._answers[first:after])
        return found

    def _read(self, bucket: int) -> Iterator[tuple[int, Outcome]]:
        spilt = [feather.read_table(path, memory_map=False) for path in self._files.pop(bucket, [])]
        for table in [*spilt, *self._buffers.pop(bucket, [])]:
            columns = {name: table.column(name).to_pylist() for name in table.column_names}
            rows = columns.pop("row")
            nothing = [None] * len(rows)
            values = [columns.get(name, nothing) for name in COLUMNS]
            for row, key, attempt, run_id, group_id, status, output, kind, basis, error, created, modified in zip(
                rows, *values, strict=True
            ):
                yield row, Outcome(
                    key, attempt, run_id, group_id, status, output, kind, basis, error,
                    created_at=created, modified_at=modified,
                )  # fmt: skip


class BestInOrder:
    """Every row's best answer of several jobs, in the order of the rows.

    Attributes
    ----------
    processors : dict of int to str
        The processor of each answer that `between` returned last, by row.
    waiting : dict of int to Unanswered
        The rows of these for which a further processor has not answered, and why.
    """

    def __init__(self, results: EscalatedResults, *, folder: Path) -> None:
        self._results = results
        self._readers = []
        for number, own in enumerate(results.jobs):
            place = folder / str(number)
            place.mkdir()
            self._readers.append(RowOrderReader(own.index, own.read, folder=place, basis=True))
        self.processors: dict[int, str] = {}
        self.waiting: dict[int, Unanswered] = {}

    def between(self, start: int, end: int) -> dict[int, Outcome]:
        """Return the best answers of the rows from `start` up to `end`; to be asked in the order of the rows."""
        found = [reader.between(start, end) for reader in self._readers]
        answers = (self._grade(job, outcomes, start, end) for job, outcomes in enumerate(found))
        best = self._results.choose(end - start, answers)
        chosen = {start + at: job for at, job in enumerate(map(int, best.jobs)) if start + at in found[job]}
        self.processors = {row: self._results.names[job] for row, job in chosen.items()}
        self.waiting = {start + at: reason for at, reason in best.waiting.items()}
        return {row: found[job][row] for row, job in chosen.items()}

    def _grade(self, job: int, outcomes: dict[int, Outcome], start: int, end: int) -> JobAnswers:
        grades = dict(zip(outcomes, grade_outcomes(list(outcomes.values()), self._results.schema), strict=True))
        asked = [line for line in self._results.jobs[job].index.rows_between(start, end) if line[1]]
        return JobAnswers(
            np.array([row - start for row, _, _ in asked], np.int64),
            np.array([grades.get(row, Level.UNKNOWN) for row, _, _ in asked], np.int64),
            [(key, is_sent) for _, key, is_sent in asked],
        )

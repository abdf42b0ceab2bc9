"""Staged inputs as a `RowSource` of the one runner: keys are taken as they are, and grouped here."""

# Arrow makes its functions when it is imported.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np
import orjson
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from parallel_frames._checkpoint import STAGED_SCHEMA, read_hashed
from parallel_frames._columns import STATUS_COLUMN, merge_outcomes
from parallel_frames._files._row_order import RowOrderReader
from parallel_frames._files._temporary import temporary_folder
from parallel_frames._format import format_count
from parallel_frames._inputs import canonical_of_sent, make_keys
from parallel_frames._job._source import ROWS_AT_ONCE, SAMPLES, Piece, keys_of_input
from parallel_frames._model import OutgoingRun, RunId
from parallel_frames._state import Answers, StagedIndex
from parallel_frames.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence

    from parallel_frames._checkpoint import StoragePath
    from parallel_frames._columns import Layout
    from parallel_frames._job._prepare import PreparedCall
    from parallel_frames._job._runner import Results
    from parallel_frames._model import Json, Outcome
    from parallel_frames._state import StagedInput, Step

BATCH: Final = 10_000


class StagedSource:
    """The distinct inputs of a frame that an engine holds.

    Parameters
    ----------
    files : mapping of StoragePath to pairs of int
        The staged files: how many lines each has by the engine's account, and how many batches of rows each is of.
    """

    def __init__(self, prepared: PreparedCall, files: Mapping[StoragePath, tuple[int, int]]) -> None:
        self.prepared = prepared
        self.name = None
        self.first_runs: list[OutgoingRun] = []
        self.gaps: Mapping[Hashable, int] = {}  # the workers saw the rows, and did not count them
        self.files = files

    def make_index(self) -> StagedIndex:
        """Return an empty index."""
        return StagedIndex()

    def scan(self, index: StagedIndex) -> None:
        """Read the staged files into the index, once."""
        errors: list[str] = []
        for file, (lines, batches) in self.files.items():
            table = read_hashed(file.parent, file.name)
            if table is None or table.num_rows != lines or not table.schema.equals(STAGED_SCHEMA):
                raise self._unseen(file, lines, 0 if table is None else table.num_rows)
            errors += table.column("error").drop_null().to_pylist()
            _take(table, index, batches)
        if errors:
            more = f" (and {format_count(len(errors) - 1, 'more partition')} with such a row)" if errors[1:] else ""
            raise InputError(f"{errors[0]}{more} Nothing was sent.")
        index.end_rows()
        first = range(min(SAMPLES, index.runs))
        self.first_runs = [self._run(each, each.row, 0) for each in index.inputs_at(first)]

    def _unseen(self, file: StoragePath, lines: int, seen: int) -> InputError:
        return InputError(
            f"The workers wrote {format_count(len(self.files), 'file')} of inputs, and {file} holds "
            f"{format_count(seen, 'line')} of its {lines:,} from here: not all of the cluster reaches the same place. "
            "Nothing was sent. Pass `checkpoint=...` with a folder or an address that every machine sees, such as "
            "'s3://bucket/companies.ckpt'."
        )

    @staticmethod
    def _run(given: StagedInput, row: int, attempt: int) -> OutgoingRun:
        metadata: dict[str, Json] = {"key": given.key, "attempt": str(attempt)}
        if given.label is not None:
            metadata["index"] = given.label
        if given.metadata is not None:
            metadata = {**orjson.loads(given.metadata), **metadata}
        return OutgoingRun(given.sent, metadata, RunId(given.key, attempt), row, given.rows)

    def read(self, index: StagedIndex) -> Iterator[list[OutgoingRun]]:
        """Yield what the index planned to send, in the order of the keys."""
        for start in range(0, index.last_step() + 1, ROWS_AT_ONCE):
            if steps := index.steps_between(start, start + ROWS_AT_ONCE):
                yield self.find(index, steps)

    def find(self, index: StagedIndex, steps: Sequence[Step]) -> list[OutgoingRun]:
        """Return the runs of these steps."""
        found = index.inputs_at(step.row for step in steps)
        return [self._run(given, step.row, step.attempt) for given, step in zip(found, steps, strict=True)]

    def label(self, row: int) -> int:
        """Return the number of an input: which rows have it, the engine knows."""
        return row

    def label_text(self, row: int) -> str:
        """Return that number as text."""
        return str(row)

    def keys_of_input(self, index: StagedIndex, canonical: bytes) -> Iterable[str]:
        """Yield the keys of the rows that send this input."""
        yield from keys_of_input(index, canonical, self.prepared, sent_as=partial(self._keys_sent_as, index))

    def _keys_sent_as(self, index: StagedIndex, canonical: bytes) -> list[str]:
        """Return the keys of inputs that are read as something else than what they send, which is this."""
        job_hash = self.prepared.job.hash
        if not index.has_echoes:
            for inputs in index.all_inputs(BATCH):
                echoes = make_keys([canonical_of_sent(each.sent) for each in inputs], job_hash)
                index.add_echoes((echo, each.key) for echo, each in zip(echoes, inputs, strict=True) if echo)
            index.has_echoes = True
        (echo,) = make_keys([canonical], job_hash)
        return index.keys_of_echo(echo or "")

    def pieces(self, results: Results[StagedIndex], layout: Layout) -> Iterator[Piece]:
        """Yield the distinct inputs with their answers, some at a time; counts are those of the rows that have them."""
        for piece, _ in self.answered(results, layout):
            yield piece

    def answered(
        self, results: Results[StagedIndex], layout: Layout
    ) -> Iterator[tuple[Piece, list[tuple[str, Outcome | None, bool]]]]:
        """Yield the distinct inputs with their answers in columns, and as key, outcome, and if it was sent."""
        index = results.index
        if not index.runs:
            counts = {"skipped": index.skipped} if index.skipped else {}
            yield Piece(pd.DataFrame({label: [] for label in layout.all}), counts, np.zeros(0, dtype=bool)), []
        with temporary_folder() as folder:
            wants_basis = bool(layout.evidence or layout.basis)
            reader = RowOrderReader(index, results.read, folder=folder, basis=wants_basis)
            for inputs in index.all_inputs(BATCH):
                start, end = inputs[0].row, inputs[-1].row + 1
                known = reader.between(start, end)
                sent = [was_sent for _, _, was_sent in index.rows_between(start, end)]
                outcomes = [known.get(row) for row in range(start, end)]
                piece = self._piece(results, inputs, outcomes, sent, layout)
                if start == 0 and index.skipped:
                    piece = piece._replace(counts=Counter(piece.counts) + Counter(skipped=index.skipped))
                keys = [each.key for each in inputs]
                yield piece, list(zip(keys, outcomes, sent, strict=True))

    def _piece(
        self,
        results: Results[StagedIndex],
        inputs: Sequence[StagedInput],
        outcomes: Sequence[Outcome | None],
        sent: Sequence[bool],
        layout: Layout,
    ) -> Piece:
        keys = [each.key for each in inputs]
        were_sent = {key for key, was_sent in zip(keys, sent, strict=True) if was_sent}
        status = STATUS_COLUMN if layout.status is None else layout.status
        frame = merge_outcomes(
            pd.DataFrame(index=pd.Index([each.label for each in inputs], dtype=object)),
            keys,
            np.arange(len(keys)),
            self.prepared.schema,
            answers=Answers.of(outcomes),
            unanswered=lambda key: results.unanswered(key, is_sent=key in were_sent),
            layout=replace(layout, status=status),
            processors=[self.prepared.job.processor] * len(keys),
            dtype_backend=self.prepared.call.dtype_backend,
        ).frame
        counts: Counter[str] = Counter()
        for word, each in zip(frame[status].tolist(), inputs, strict=True):
            counts[word] += each.rows
        if layout.status is None:
            frame = frame.drop(columns=status)
        frame.insert(0, "input", [each.sent.decode() for each in inputs], allow_duplicates=True)
        return Piece(frame, counts, np.ones(len(keys), dtype=bool))


def _take(table: pa.Table, index: StagedIndex, batches: int) -> None:
    """Put the lines of one staged file into the index; it is of so many batches of the same rows."""
    rows = pc.multiply(table.column("rows"), batches)
    table = table.set_column(STAGED_SCHEMA.get_field_index("rows"), "rows", rows)
    has_key = pc.is_valid(table.column("key"))
    lines = table.filter(has_key)
    for start in range(0, lines.num_rows, BATCH):
        columns = [lines.column(name).slice(start, BATCH).to_pylist() for name in STAGED_SCHEMA.names[:5]]
        index.add_inputs(list(zip(*columns, strict=True)))
    asked = pc.sum(lines.column("rows")).as_py() or 0
    others = table.filter(pc.invert(has_key))
    skipped = pc.sum(others.filter(pc.is_valid(others.column("sent"))).column("rows")).as_py() or 0
    index.add_counts(rows=pc.sum(table.column("rows")).as_py() or 0, skipped=skipped, chosen=asked + skipped)

"""Answers by key: written by the driver, once and for all, and looked up by an engine's workers.

A worker merges them as pandas does, by the same function, so that the columns are the same.
"""

from __future__ import annotations

import threading
from copy import deepcopy
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import pyarrow as pa

from parallel_frames._checkpoint import ANSWER_SCHEMA, make_keyed_folder, place_of, read_hashed, write_hashed
from parallel_frames._columns import Unanswered, merge_outcomes
from parallel_frames._job._source import add_provenance
from parallel_frames._state import STATUS_NAMES, Answers
from parallel_frames.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pandas as pd

    from parallel_frames._checkpoint import StoragePath
    from parallel_frames._columns import Layout, Renewal
    from parallel_frames._distributed._keys import KeyMaker
    from parallel_frames._model import Outcome, Plan, Schema

PART_BYTES: Final = 32 * 2**20
MOST_HELD: Final = 256 * 2**20  # of answers in a worker's memory; what is more is read for each batch
ABSENT: Final = "this row was not in the frame when the call was made"
STATUSES: Final[Mapping[str, int]] = {status: code for code, status in STATUS_NAMES.items()}


class AnswerWriter:
    """Writes answers in the order of their keys into files of a bounded size.

    Attributes
    ----------
    files : list of str
        The names of those that are written.
    """

    def __init__(self, folder: StoragePath) -> None:
        self.files: list[str] = []
        self._folder = folder
        self._tables: list[pa.Table] = []

    def add(self, answers: Iterable[tuple[str, Outcome | Unanswered]]) -> None:
        """Add answers: the key, and what came of it."""
        lines = [
            (bytes.fromhex(key), None, of.status, None, None, of.reason, None, None, None)
            if isinstance(of, Unanswered)
            else (
                bytes.fromhex(key), of.attempt, of.status, of.output, of.basis, of.error, of.run_id, of.group_id,
                of.modified_at,
            )
            for key, of in answers
        ]  # fmt: skip
        if not lines:
            return
        columns = zip(*lines, strict=True)
        arrays = [pa.array(column, field.type) for column, field in zip(columns, ANSWER_SCHEMA, strict=True)]
        self._tables.append(pa.Table.from_arrays(arrays, schema=ANSWER_SCHEMA))
        if sum(table.nbytes for table in self._tables) > PART_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        if self._tables:
            make_keyed_folder(self._folder)
            self.files.append(write_hashed(self._folder, pa.concat_tables(self._tables)))
            self._tables = []


@dataclass(frozen=True, slots=True)
class AnswerLookup:
    """What travels to workers to give a batch of rows its new columns; it has no client and no secret.

    Attributes
    ----------
    folder : str
        The address of the files.
    files : tuple of str
        Their names, which are hashes of what they hold: they are a snapshot.
    attrs : mapping
        Those of the enriched frame.
    """

    keys: KeyMaker
    schema: Schema
    layout: Layout
    renewal: Renewal | None
    dtype_backend: Literal["numpy_nullable", "pyarrow"]
    folder: str
    files: tuple[str, ...]
    attrs: Mapping[Any, Any] = field(default_factory=dict, repr=False, compare=False)

    def __dask_tokenize__(self) -> tuple[Any, ...]:
        """Return what decides the columns: with nothing new, the same call gives the same graph."""
        question = (self.keys.job.hash, self.keys.selection.identity, self.keys.where, repr(self.schema.columns))
        return (*question, self.schema.model, repr(self.layout), self.renewal, self.dtype_backend, self.files)

    def __call__(self, df: pd.DataFrame) -> pd.DataFrame:
        """Return a batch with its new columns."""
        return self.merge(df, self.keys.plan(df))

    def merge(self, df: pd.DataFrame, plan: Plan) -> pd.DataFrame:
        """Return a frame with its new columns; the plan says which input each row has."""
        names = ["status", "output", "error"]
        names += ["basis"] * bool(self.layout.evidence or self.layout.basis)
        names += ["run_id", "group_id"] * bool(self.layout.provenance)
        names += ["modified_at"] * bool(self.layout.provenance or self.renewal)
        names += ["attempt"] * bool(self.renewal)
        found = NOTHING if not plan.keys else _load(self.folder, self.files, tuple(names)).find(plan)
        processors = [plan.job.processor] * len(plan.keys)
        frame = merge_outcomes(
            df,
            plan.keys,
            plan.row_runs,
            self.schema,
            answers=found.answers,
            unanswered=lambda key: found.unanswered.get(key, Unanswered("not_sent", ABSENT)),
            layout=self.layout,
            processors=processors,
            dtype_backend=self.dtype_backend,
            renewal=self.renewal,
        ).frame
        if self.layout.provenance:
            frame = add_provenance(
                frame,
                plan.row_runs,
                found.answers,
                labels=self.layout.provenance,
                dtype_backend=self.dtype_backend,
                processors=processors,
            )
        frame.attrs = deepcopy(dict(self.attrs))
        return frame


@dataclass(frozen=True, slots=True)
class _Found:
    """The outcomes of a plan's inputs, and why those without one have none."""

    answers: Answers
    unanswered: Mapping[str, Unanswered]


NOTHING: Final = _Found(Answers.of([]), {})  # of a batch without inputs, such as the one that declares the columns


class _AnswerFiles:
    """The files of one snapshot in a worker: their keys are in memory, and their columns too, up to `MOST_HELD`."""

    def __init__(self, folder: str, files: Sequence[str], names: Sequence[str]) -> None:
        self._folder = place_of(folder)
        self._files = files
        self._held: list[pa.Table] | None = []
        keys, codes, self._starts = [np.zeros(0, "S16")], [np.zeros(0, np.int8)], [0]
        for number in range(len(files)):
            table = self._read_file(number, ["key", *names])
            keys.append(np.frombuffer(table.column("key").combine_chunks().buffers()[1], "S16", table.num_rows))
            codes.append(np.array([STATUSES.get(status, -1) for status in table.column("status").to_pylist()], np.int8))
            self._starts.append(self._starts[-1] + table.num_rows)
            if self._held is not None:
                self._held.append(table.select(list(names)))
                if sum(each.nbytes for each in self._held) > MOST_HELD:
                    self._held = None
        self._keys, self._codes = np.concatenate(keys), np.concatenate(codes)

    def _read_file(self, number: int, names: Sequence[str]) -> pa.Table:
        table = read_hashed(self._folder, self._files[number], names)
        if table is None:
            raise CheckpointError(
                f"{self._folder / self._files[number]} cannot be read on this worker, and holds answers of this lazy "
                "frame. Nothing is lost: make the same call again for a new one, with a `checkpoint=...` that every "
                "machine sees.",
                path=self._folder,
            )
        return table

    def _read(self, number: int, names: Sequence[str]) -> pa.Table:
        held = None if self._held is None else self._held[number]
        if held is not None and set(names) <= set(held.column_names):
            return held.select(list(names))
        there = [name for name in names if name in ANSWER_SCHEMA.names and name != "key"]
        table = self._read_file(number, there)
        nothing = pa.nulls(table.num_rows, pa.string())
        return pa.table({name: table.column(name) if name in there else nothing for name in names})

    def find(self, plan: Plan) -> _Found:
        """Return the answers of a plan's inputs."""
        wanted = np.frombuffer(b"".join(map(bytes.fromhex, plan.keys)), "S16")
        at = np.searchsorted(self._keys, wanted)
        at[at == len(self._keys)] = 0
        is_there = self._keys[at] == wanted if len(self._keys) else np.zeros(len(wanted), bool)
        parts = np.searchsorted(self._starts, at, side="right") - 1
        offsets = at - np.array(self._starts)[parts]
        codes = np.where(is_there, self._codes[at], -1) if len(self._keys) else np.full(len(wanted), -1)
        places = np.column_stack([parts, offsets, codes]).astype(np.int64)
        unanswered = {}
        for part in np.unique(parts[is_there & (codes < 0)]).tolist():
            entries = np.flatnonzero(is_there & (codes < 0) & (parts == part))
            lines = self._read(part, ["status", "error"]).take(pa.array(offsets[entries])).to_pylist()
            for entry, line in zip(entries.tolist(), lines, strict=True):
                unanswered[plan.keys[entry]] = Unanswered(line["status"], line["error"])
        return _Found(Answers(self._read, places), unanswered)


_loading = threading.Lock()  # the threads of a worker load a snapshot once


def _load(folder: str, files: tuple[str, ...], names: tuple[str, ...]) -> _AnswerFiles:
    with _loading:
        return _loaded(folder, files, names)


@lru_cache(maxsize=2)
def _loaded(folder: str, files: tuple[str, ...], names: tuple[str, ...]) -> _AnswerFiles:
    return _AnswerFiles(folder, files, names)

"""What travels to an engine's workers to make the keys of rows. It has no client and no secret, and nothing pays there.

A key is a function of the row alone, so an engine may make it as often as it likes, in any partition.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import orjson
import pyarrow as pa

from parallel_frames._checkpoint import STAGED_SCHEMA, make_keyed_folder, place_of, write_hashed
from parallel_frames._job._plan import make_plan
from parallel_frames._job._row_filter import choose_rows
from parallel_frames._model import OUTSIDE, Options
from parallel_frames.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    import pandas as pd

    from parallel_frames._columns import Layout
    from parallel_frames._inputs import Selection
    from parallel_frames._job._prepare import PreparedCall
    from parallel_frames._model import Job, Plan


@dataclass(frozen=True, slots=True)
class KeyMaker:
    """Makes the keys of a batch of rows.

    Attributes
    ----------
    job : Job
        Without the options, which may hold secrets.
    """

    job: Job
    selection: Selection
    layout: Layout
    where: Any
    metadata: Mapping[str, Hashable] | None

    @classmethod
    def of(cls, prepared: PreparedCall) -> KeyMaker:
        """Return what makes the keys of a call."""
        job = replace(prepared.job, identity={}, options=Options())
        return cls(job, prepared.selection, prepared.layout, prepared.call.where, prepared.call.metadata)

    def plan(self, df: pd.DataFrame, *, metadata: bool = False) -> Plan:
        """Return the distinct inputs of a batch, and which of them each row has."""
        return make_plan(
            df,
            self.job,
            selection=self.selection,
            chosen=choose_rows(df, self.where, layout=self.layout),
            metadata=self.metadata if metadata else None,
        )


class StagedFile(NamedTuple):
    """A file that a worker wrote, and how many lines are in it: what comes back to the driver."""

    name: str
    lines: int


@dataclass(frozen=True, slots=True)
class InputStager:
    """Writes the distinct inputs of batches into a folder that the driver reads.

    Attributes
    ----------
    folder : str
        The address of the folder.
    """

    keys: KeyMaker
    folder: str

    def __call__(self, df: pd.DataFrame, partition: int | str, *, has_labels: bool = True) -> StagedFile:
        """Write the distinct inputs of one batch; the same batch gives the same file, however often it is written."""
        table = stage_inputs(df, self.keys, partition=partition, has_labels=has_labels)
        folder = place_of(self.folder)
        make_keyed_folder(folder)  # on another machine's disk it is missing: the driver notices, and can say so
        return StagedFile(write_hashed(folder, table), table.num_rows)


def stage_inputs(df: pd.DataFrame, keys: KeyMaker, *, partition: int | str, has_labels: bool = True) -> pa.Table:
    """Return the distinct inputs of a batch as a table of `STAGED_SCHEMA`.

    Without labels, the index is only a count within the batch, and is not sent. What cannot be sent is a line of its
    own: an error that a worker raised would be tried again, and be hidden in the engine's own.
    """
    try:
        plan = keys.plan(df, metadata=True)
    except InputError as error:
        message = f"{error}".removesuffix(" Nothing was sent.")
        name = partition if isinstance(partition, str) else f"Partition {partition}"
        return _table([[None], [None], [None], [None], [len(df)], [f"{name}: {message}"]])
    runs = plan.row_runs[plan.row_runs >= 0]
    rows = np.bincount(runs, minlength=len(plan.keys)).tolist()
    details = [None] * len(rows) if plan.metadata is None else [orjson.dumps(each).decode() for each in plan.metadata]
    outside = int((plan.row_runs == OUTSIDE).sum())
    # A line without a key counts rows: those with nothing to send, and those that are not asked about.
    return _table(
        [
            [*map(bytes.fromhex, plan.keys), None, None],
            [*plan.inputs, b"", None],
            [*(plan.labels if has_labels else [None] * len(rows)), None, None],
            [*details, None, None],
            [*rows, plan.skipped, outside],
            [None] * (len(rows) + 2),
        ]
    )


def _table(columns: list[list[Any]]) -> pa.Table:
    arrays = [pa.array(column, field.type) for column, field in zip(columns, STAGED_SCHEMA, strict=True)]
    return pa.Table.from_arrays(arrays, schema=STAGED_SCHEMA)

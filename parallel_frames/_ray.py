"""Datasets of Ray, enriched block by block; ``pf.enrich(ds, schema)`` and the other functions import it.

The workers make the keys of the rows and look the answers up; this process sends.
"""

# Ray is too large for the environment that checks types.
# pyright: reportMissingImports=false

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import ray
from ray.data import Dataset

from parallel_frames._distributed import StagedFile, empty_frame, merge_table, stage_table
from parallel_frames._files._batches import frame_of
from parallel_frames._format import shorten
from parallel_frames.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    import pandas as pd

    from parallel_frames._distributed import AnswerLookup, InputStager

SAMPLE: Final = 1_000
WIDEST: Final = 100


class RayDataset:
    """A dataset of Ray as an `EngineFrame`."""

    engine = "ray"
    partitions = 0  # Ray counts blocks when it computes them
    is_arrow = True

    def __init__(self, ds: Dataset) -> None:
        self._ds = ds
        nodes = {node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]}
        self.is_local = nodes <= {ray.util.get_node_ip_address()}

    def empty(self) -> pd.DataFrame:
        """Return the columns; Ray computes a row where it does not know them yet."""
        schema = self._ds.schema()
        if schema is None:
            raise InputError("Ray knows no columns of this dataset, because it has no rows. Nothing was sent.")
        # Where a column is of Python's objects, its Arrow type is that of each block.
        types = [type_ if isinstance(type_, pa.DataType) else pa.null() for type_ in schema.types]
        return empty_frame(pa.schema(zip(schema.names, types, strict=True)))

    def sample(self, labels: Sequence[Hashable]) -> pd.DataFrame:
        """Return the first rows."""
        some = self._ds.select_columns([*map(str, labels)]).limit(SAMPLE)
        batches = list(some.iter_batches(batch_format="pyarrow", batch_size=SAMPLE))
        return frame_of(batches[0], 0) if batches else self.empty()[list(labels)]

    def stage(self, stager: InputStager, columns: Sequence[Hashable] | None) -> list[StagedFile]:
        """Compute the keys, a block at a time."""
        ds = self._ds if columns is None else self._ds.select_columns([*map(str, columns)])
        return [StagedFile(**row) for row in _map_blocks(ds, partial(_stage, stager)).take_all()]

    def merge(self, lookup: AnswerLookup) -> Dataset:
        """Return the lazy dataset."""
        return _map_blocks(self._ds, partial(merge_table, lookup))


def _map_blocks(ds: Dataset, function: Any) -> Dataset:
    return ds.map_batches(function, batch_format="pyarrow", batch_size=None)


def _stage(stager: InputStager, block: pa.Table) -> pa.Table:
    # Blocks have no number: one is named by its first row.
    first = shorten(repr(next(iter(block.slice(0, 1).to_pylist()), {})), WIDEST)
    file = stage_table(stager, block, f"The block that begins with {first}")
    return pa.Table.from_pylist([file._asdict()])


def wrap_frame(ds: Any) -> RayDataset | None:
    """Return a dataset of Ray for the functions of this package; None for what is no such dataset."""
    return RayDataset(ds) if isinstance(ds, Dataset) else None

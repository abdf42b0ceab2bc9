"""`ddf.parallel`: frames of Dask, enriched without bringing their rows together. Importing it registers the accessor.

The workers make the keys of the rows and look the answers up; this process sends. ``pf.enrich(ddf, schema)`` does the
same as ``ddf.parallel.enrich(schema)``.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import pandas as pd
from dask.base import get_scheduler
from dask.dataframe import DataFrame
from dask.dataframe.extensions import register_dataframe_accessor

from parallel_frames._distributed import StagedFile
from parallel_frames.accessor import EngineMethods

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    from parallel_frames._distributed import AnswerLookup, InputStager

SAMPLE = 1_000
STAGED = pd.DataFrame({"name": pd.Series(dtype=object), "lines": pd.Series(dtype="int64")})


class DaskFrame:
    """A frame of Dask as an `EngineFrame`."""

    engine = "dask"
    is_arrow = False

    def __init__(self, ddf: DataFrame) -> None:
        self._ddf: Any = ddf
        self.partitions: int = ddf.npartitions
        self.is_local = _is_local(ddf)

    def empty(self) -> pd.DataFrame:
        """Return Dask's own frame of no rows."""
        meta: pd.DataFrame = self._ddf._meta
        return meta

    def sample(self, labels: Sequence[Hashable]) -> pd.DataFrame:
        """Return the first rows."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of fewer rows than were asked for
            sample: pd.DataFrame = self._ddf[list(labels)].head(SAMPLE, npartitions=-1)
        return sample

    def stage(self, stager: InputStager, columns: Sequence[Hashable] | None) -> list[StagedFile]:
        """Compute the keys, a partition at a time."""
        ddf = self._ddf if columns is None else self._ddf[list(columns)]
        files = ddf.map_partitions(_stage, stager, meta=STAGED, enforce_metadata=False, clear_divisions=True).compute()
        return [StagedFile(name, int(lines)) for name, lines in zip(files["name"], files["lines"], strict=True)]

    def merge(self, lookup: AnswerLookup) -> DataFrame:
        """Return the lazy frame."""
        return self._ddf.map_partitions(lookup, meta=lookup(self.empty()), enforce_metadata=False)


def _stage(df: pd.DataFrame, stager: InputStager, partition_info: Mapping[str, Any] | None = None) -> pd.DataFrame:
    partition = 0 if partition_info is None else int(partition_info["number"])
    return pd.DataFrame([stager(df, partition)], columns=STAGED.columns)


def _is_local(ddf: DataFrame) -> bool:
    """Return whether all that computes a frame is on this machine, by the addresses of the workers."""
    scheduler = get_scheduler(collections=[ddf])
    client = getattr(scheduler, "__self__", None)
    if client is None:
        return True  # threads of this process, or processes that it starts
    places = [address.partition("://") for address in client.nthreads()]
    return all(kind == "inproc" or host.startswith(("127.", "[::1]", "localhost")) for kind, _, host in places)


def wrap_frame(ddf: Any) -> DaskFrame | None:
    """Return a frame of Dask for the functions of this package; None for what is no such frame."""
    return DaskFrame(ddf) if isinstance(ddf, DataFrame) else None


@register_dataframe_accessor("parallel")
class DaskAccessor(EngineMethods[Any]):  # the functions are typed for frames of pandas
    """Enrich a Dask frame with the web: the accessor ``ddf.parallel``.

    The options are those of `parallel_frames.enrich`, and mean the same.
    """

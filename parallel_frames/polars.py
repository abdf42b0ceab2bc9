"""`df.parallel` and `lf.parallel` of polars: ``import parallel_frames.polars`` registers them.

The functions of the package take frames of polars without it. Of a lazy frame polars makes the keys and looks the
answers up; nothing that it evaluates sends anything.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from parallel_frames._distributed import StagedFile, empty_frame, look_up, stage_table
from parallel_frames._files._batches import frame_of
from parallel_frames.accessor import FrameMethods, aenrich, enrich, plan, share_documentation, submit
from parallel_frames.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence
    from typing import Unpack

    import pandas as pd

    from parallel_frames._distributed import AnswerLookup, InputStager
    from parallel_frames._job._handle import Enrichment
    from parallel_frames._job._options import EnrichOptions, SchemaLike
    from parallel_frames._job._preview import EnrichmentPlan

SAMPLE: Final = 1_000
NUMBER: Final = "parallel_frames_row"
STAGED: Final = pl.Schema({"name": pl.String, "lines": pl.Int64})


@pl.api.register_dataframe_namespace("parallel")
class PolarsNamespace(FrameMethods[pl.DataFrame]):
    """Enrich this frame with the web: the accessor ``df.parallel`` of polars frames.

    Its methods are the functions of `parallel_frames` with the frame as their first argument, and return polars frames.

    Examples
    --------
    >>> import polars as pl, parallel_frames as pf, parallel_frames.polars
    >>> df = pl.DataFrame({"company": ["Acme", "Globex"]})
    >>> with pf.offline(answers={"Acme": {"founded": 1949}, "Globex": {"founded": 1989}}, latency=0):
    ...     out = df.parallel.enrich({"founded": int})
    >>> out.select("company", "founded").rows()
    [('Acme', 1949), ('Globex', 1989)]
    """

    __slots__ = ()


@pl.api.register_lazyframe_namespace("parallel")
class PolarsLazyNamespace:
    """Enrich this frame with the web: the accessor ``lf.parallel`` of lazy polars frames.

    Its methods are the functions of `parallel_frames` with the frame as their first argument. Polars makes the keys of
    the rows, and this process sends at once. The lazy frame that is returned looks the answers up, and sends nothing.

    Examples
    --------
    >>> import polars as pl, parallel_frames as pf, parallel_frames.polars
    >>> lf = pl.LazyFrame({"company": ["Acme", "Globex", "Acme"]})
    >>> with pf.offline(answers={"Acme": {"founded": 1949}, "Globex": {"founded": 1989}}, latency=0) as sim:
    ...     out = lf.parallel.enrich({"founded": int})
    >>> out.select("company", "founded").collect().rows()
    [('Acme', 1949), ('Globex', 1989), ('Acme', 1949)]
    >>> sim.counts.runs
    2
    """

    __slots__ = ("_lf",)

    def __init__(self, lf: pl.LazyFrame) -> None:
        self._lf = lf

    def __repr__(self) -> str:
        return "lf.parallel: .enrich(), .aenrich(), .plan(), .submit()"

    def enrich(self, schema: SchemaLike, **options: Unpack[EnrichOptions]) -> pl.LazyFrame:
        """See `parallel_frames.enrich`."""
        return enrich(self._lf, schema, **options)

    async def aenrich(self, schema: SchemaLike, **options: Unpack[EnrichOptions]) -> pl.LazyFrame:
        """See `parallel_frames.aenrich`."""
        return await aenrich(self._lf, schema, **options)

    def plan(self, schema: SchemaLike, **options: Unpack[EnrichOptions]) -> EnrichmentPlan:
        """See `parallel_frames.plan`."""
        return plan(self._lf, schema, **options)

    def submit(self, schema: SchemaLike, **options: Unpack[EnrichOptions]) -> Enrichment:
        """See `parallel_frames.submit`; the result of the handle is a lazy frame."""
        return submit(self._lf, schema, **options)


share_documentation(PolarsLazyNamespace)


class PolarsLazyFrame:
    """A lazy frame of polars as an `EngineFrame`."""

    engine = "polars"
    partitions = 0  # the streaming engine divides rows as it likes
    is_local = True
    is_arrow = True

    def __init__(self, lf: pl.LazyFrame) -> None:
        self._lf = lf

    def empty(self) -> pd.DataFrame:
        """Return the columns, without evaluating the frame."""
        return empty_frame(self._lf.collect_schema().to_frame().to_arrow().schema)

    def sample(self, labels: Sequence[Hashable]) -> pd.DataFrame:
        """Return the first rows."""
        return frame_of(self._lf.select(map(str, labels)).head(SAMPLE).collect().to_arrow(), 0)

    def stage(self, stager: InputStager, columns: Sequence[Hashable] | None) -> list[StagedFile]:
        """Compute the keys, a batch at a time."""
        lf = self._lf if columns is None else self._lf.select(map(str, columns))
        files = lf.with_row_index(NUMBER).map_batches(partial(_stage, stager), schema=STAGED, streamable=True)
        return [StagedFile(*row) for row in files.collect(engine="streaming").rows()]

    def merge(self, lookup: AnswerLookup) -> pl.LazyFrame:
        """Return the lazy frame."""
        schema = _merge(lookup, self._lf.collect_schema().to_frame()).schema
        return self._lf.map_batches(partial(_merge, lookup), schema=schema, streamable=True)


def _stage(stager: InputStager, batch: pl.DataFrame) -> pl.DataFrame:
    start: int = batch.item(0, NUMBER) if len(batch) else 0
    file = stage_table(stager, batch.drop(NUMBER).to_arrow(), f"The batch from row {start} on", start=start)
    return pl.DataFrame([file], schema=STAGED, orient="row")


def _merge(lookup: AnswerLookup, batch: pl.DataFrame) -> pl.DataFrame:
    return batch.with_columns(pl.DataFrame(look_up(lookup, batch.to_arrow())).get_columns())


def wrap_frame(lf: Any) -> PolarsLazyFrame | None:
    """Return a lazy frame for the functions of this package; None for what is no such frame.

    Raises
    ------
    InputError
        The version of polars divides structs in ways that Arrow cannot read, and asks functions for too few columns.
    """
    if not isinstance(lf, pl.LazyFrame):
        return None
    if pl.__version__.startswith(("0.", "1.")):
        raise InputError(
            f"Lazy frames need polars 2.0 or later, and this is {pl.__version__}. Nothing was sent. Pass "
            "`lf.collect()`, or install a newer polars."
        )
    return PolarsLazyFrame(lf)

"""`df.parallel` of polars: ``import parallel_frames.polars`` registers it.

The functions of the package take frames of polars without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from parallel_frames.accessor import aenrich, collect, compare, enrich, plan, preview, share_documentation, submit

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence
    from typing import Unpack

    from parallel_frames._job._comparison import Comparison
    from parallel_frames._job._handle import Enrichment
    from parallel_frames._job._options import EnrichOptions, Frame, FrameOptions, Processor, SchemaLike
    from parallel_frames._job._preview import EnrichmentPlan
    from parallel_frames._job._sample import EnrichmentPreview


@pl.api.register_dataframe_namespace("parallel")
class PolarsNamespace:
    """Enrich this frame with the web: what ``df.parallel`` is on a frame of polars.

    Its methods are the functions of `parallel_frames` with the frame in their first place; frames that they return are
    of polars.

    Examples
    --------
    >>> import polars as pl, parallel_frames as pf, parallel_frames.polars
    >>> df = pl.DataFrame({"company": ["Acme", "Globex"]})
    >>> with pf.offline(answers={"Acme": {"founded": 1949}, "Globex": {"founded": 1989}}, latency=0):
    ...     out = df.parallel.enrich({"founded": int})
    >>> out.select("company", "founded").rows()
    [('Acme', 1949), ('Globex', 1989)]
    """

    __slots__ = ("_df",)

    def __init__(self, df: pl.DataFrame) -> None:
        self._df = df

    def __repr__(self) -> str:
        return "df.parallel: .enrich(), .aenrich(), .plan(), .preview(), .compare(), .submit(), .collect()"

    def enrich(self, schema: SchemaLike, **options: Unpack[EnrichOptions]) -> pl.DataFrame:
        """See `parallel_frames.enrich`."""
        return enrich(self._df, schema, **options)

    async def aenrich(self, schema: SchemaLike, **options: Unpack[EnrichOptions]) -> pl.DataFrame:
        """See `parallel_frames.aenrich`."""
        return await aenrich(self._df, schema, **options)

    def plan(self, schema: SchemaLike, **options: Unpack[EnrichOptions]) -> EnrichmentPlan:
        """See `parallel_frames.plan`."""
        return plan(self._df, schema, **options)

    def preview(self, schema: SchemaLike, *, n: int = 3, **options: Unpack[EnrichOptions]) -> EnrichmentPreview:
        """See `parallel_frames.preview`."""
        return preview(self._df, schema, n=n, **options)

    def compare(
        self,
        schema: SchemaLike,
        *,
        processors: Sequence[Processor | str] = ("lite", "base", "core"),
        truth: Frame | Mapping[str, Hashable] | None = None,
        tolerance: float | Mapping[str, float] = 0.01,
        **options: Unpack[EnrichOptions],
    ) -> Comparison:
        """See `parallel_frames.compare`; the frames of what it returns are of pandas."""
        return compare(self._df, schema, processors=processors, truth=truth, tolerance=tolerance, **options)

    def submit(self, schema: SchemaLike, **options: Unpack[EnrichOptions]) -> Enrichment:
        """See `parallel_frames.submit`; frames of the handle are of polars, too."""
        return submit(self._df, schema, **options)

    def collect(
        self,
        group_id: str | Sequence[str],
        schema: SchemaLike,
        *,
        processor: str | None = None,
        **options: Unpack[FrameOptions],
    ) -> pl.DataFrame:
        """See `parallel_frames.collect`."""
        return collect(self._df, group_id, schema, processor=processor, **options)


share_documentation(PolarsNamespace)

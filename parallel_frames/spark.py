"""`psdf.parallel`: frames of pandas-on-Spark, enriched where they are. Importing this registers the accessor.

``pf.enrich(sdf, schema)`` and the other functions take a `pyspark.sql.DataFrame` without this import, which imports
`pyspark.pandas`; where that cannot be imported (it needs a pandas before 3), there is no accessor.
"""

# pyright: reportMissingImports=false

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from parallel_frames import accessor
from parallel_frames._distributed import stage_frame
from parallel_frames._spark import wrap_frame
from parallel_frames._tracebacks import decorate_methods
from parallel_frames.errors import InputError, user_facing

if TYPE_CHECKING:
    from parallel_frames._job._handle import Enrichment
    from parallel_frames._job._preview import EnrichmentPlan


@user_facing
def stage(sdf: Any, schema: Any, **options: Any) -> EnrichmentPlan:
    """Make the keys on the executors, and leave what is to be sent in the checkpoint. It sends nothing.

    For jobs of days, which no cluster need wait for: ``parallel-frames send CHECKPOINT`` sends it from any machine,
    and `parallel_frames.enrich` of the same frame finds everything answered afterwards.

    Parameters
    ----------
    sdf : pyspark.sql.DataFrame or pyspark.pandas.DataFrame
    schema, **options
        As for `parallel_frames.enrich`, but for those that concern the sending, such as ``max_cost``.

    Returns
    -------
    EnrichmentPlan
        What is to be sent, and what it will cost.
    """
    frame = wrap_frame(sdf)
    if frame is None:
        raise InputError(f"`stage` is for frames of Spark, and this is a {type(sdf).__name__}. Nothing was staged.")
    return stage_frame(frame, schema, options)


class PandasOnSparkAccessor:
    """Enrich a frame of pandas-on-Spark with the web: what ``psdf.parallel`` is.

    The options are those of `parallel_frames.enrich`, and mean the same.
    """

    def __init__(self, psdf: Any) -> None:
        self._psdf = psdf

    def enrich(self, schema: Any, **options: Any) -> Any:
        """Send every distinct input, wait for the answers, and return a lazy frame that has them.

        Parameters
        ----------
        schema, **options
            As for `parallel_frames.enrich`. ``checkpoint`` must be a place that this process and all executors reach;
            ``where`` is ``"missing"``, ``"failed"`` or a function of a batch of rows, ``limit`` counts distinct inputs
            in the order of their keys. ``dedupe=False``, ``group_id``, ``on_row`` and ``dtype_backend`` are refused.

        Returns
        -------
        pyspark.pandas.DataFrame
            The same rows, index and columns, and the new columns. It is a snapshot: what it gives is decided now, and
            no computation of it sends anything.

        Raises
        ------
        InputError, ConfigurationError, ServiceError, CheckpointError
            As `parallel_frames.enrich` does.
        """
        return accessor.enrich(self._psdf, schema, **options)

    async def aenrich(self, schema: Any, **options: Any) -> Any:
        """Do what `enrich` does without blocking the event loop."""
        return await accessor.aenrich(self._psdf, schema, **options)

    def plan(self, schema: Any, **options: Any) -> EnrichmentPlan:
        """Make the keys on the executors, and say what `enrich` would send and cost. It sends nothing."""
        return accessor.plan(self._psdf, schema, **options)

    def submit(self, schema: Any, **options: Any) -> Enrichment:
        """Send what `enrich` would send, and return a handle; its ``result()`` waits, and returns the lazy frame."""
        return accessor.submit(self._psdf, schema, **options)

    def stage(self, schema: Any, **options: Any) -> EnrichmentPlan:
        """Do what `parallel_frames.spark.stage` does."""
        return stage(self._psdf, schema, **options)


decorate_methods(PandasOnSparkAccessor, user_facing)

with suppress(ImportError, AttributeError):  # an older pyspark uses names that a newer numpy has not
    from pyspark.pandas.extensions import register_dataframe_accessor

    register_dataframe_accessor("parallel")(PandasOnSparkAccessor)

"""`psdf.parallel`: frames of pandas-on-Spark, enriched where they are. Importing this registers the accessor.

``pf.enrich(sdf, schema)`` and the other functions take a `pyspark.sql.DataFrame` without this import, which imports
`pyspark.pandas`; where that cannot be imported (it needs a pandas before 3), there is no accessor.
"""

# pyright: reportMissingImports=false

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from parallel_frames._distributed import stage_frame
from parallel_frames._spark import wrap_frame
from parallel_frames.accessor import EngineMethods
from parallel_frames.errors import InputError, user_facing

if TYPE_CHECKING:
    from parallel_frames._job._preview import EnrichmentPlan


@user_facing
def stage(sdf: Any, schema: Any, **options: Any) -> EnrichmentPlan:
    """Make the keys on the executors, and write the inputs into the checkpoint. It sends nothing.

    This is for jobs that run for days. ``parallel-frames send CHECKPOINT`` sends the inputs from any machine, so the
    cluster need not wait; afterwards `parallel_frames.enrich` of the same frame finds everything answered.

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
        raise InputError(f"`stage` takes a Spark frame, and this is a {type(sdf).__name__}. Nothing was staged.")
    return stage_frame(frame, schema, options)


class PandasOnSparkAccessor(EngineMethods[Any]):
    """Enrich a pandas-on-Spark frame with the web: the accessor ``psdf.parallel``.

    The options are those of `parallel_frames.enrich`, and mean the same.
    """


with suppress(ImportError, AttributeError):  # an older pyspark uses names that a newer numpy has not
    from pyspark.pandas.extensions import register_dataframe_accessor

    register_dataframe_accessor("parallel")(PandasOnSparkAccessor)

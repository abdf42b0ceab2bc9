"""Enrich a pandas DataFrame with the web, without ever losing or double-paying a row.

>>> import pandas as pd
>>> import parallel_frames as pf
>>> df = pd.DataFrame({"country": ["France", "Japan"]})
>>> with pf.offline(answers={"France": {"capital": "Paris"}, "Japan": {"capital": "Tokyo"}}, latency=0):
...     out = df.parallel.enrich({"capital": "the capital city"})
>>> out["capital"].tolist()
['Paris', 'Tokyo']

Importing it registers ``df.parallel`` and does nothing else.
"""

from importlib.metadata import version as _version
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

from parallel_frames import errors
from parallel_frames._job._defaults import options
from parallel_frames._log import WarningHandler as _WarningHandler
from parallel_frames._log import logger as _logger
from parallel_frames.accessor import (
    ParallelAccessor,
    ParallelSeriesAccessor,
    aenrich,
    collect,
    compare,
    enrich,
    plan,
    preview,
    report,
    submit,
)

if _TYPE_CHECKING:
    from parallel_frames._checkpoint import Checkpoint
    from parallel_frames._columns import citations, confidence, low_confidence
    from parallel_frames._doctor import Diagnosis, doctor
    from parallel_frames._files import EnrichedParquet, enrich_parquet, plan_parquet
    from parallel_frames._files._diff import diff
    from parallel_frames._job._comparison import Comparison
    from parallel_frames._job._explode import explode
    from parallel_frames._job._handle import Enrichment, last
    from parallel_frames._job._lint import lint
    from parallel_frames._job._offline import offline
    from parallel_frames._job._preview import EnrichmentPlan
    from parallel_frames._job._rows import Row
    from parallel_frames._job._sample import EnrichmentPreview
    from parallel_frames._job._warnings import tool_calls, warnings
    from parallel_frames._service import Client
    from parallel_frames._ui import Diff, Report

_logger.addHandler(_WarningHandler())
__version__ = _version("parallel-frames")
__all__ = [
    "Checkpoint",
    "Client",
    "Comparison",
    "Diagnosis",
    "Diff",
    "EnrichedParquet",
    "Enrichment",
    "EnrichmentPlan",
    "EnrichmentPreview",
    "ParallelAccessor",
    "ParallelSeriesAccessor",
    "Report",
    "Row",
    "aenrich",
    "citations",
    "collect",
    "compare",
    "confidence",
    "diff",
    "doctor",
    "enrich",
    "enrich_parquet",
    "errors",
    "explode",
    "last",
    "lint",
    "low_confidence",
    "offline",
    "options",
    "plan",
    "plan_parquet",
    "preview",
    "report",
    "submit",
    "tool_calls",
    "warnings",
]

_LAZY = {
    "Checkpoint": "_checkpoint",
    "Client": "_service",
    "Diff": "_ui",
    "Diagnosis": "_doctor",
    "Comparison": "_job._comparison",
    "EnrichedParquet": "_files",
    "Enrichment": "_job._handle",
    "EnrichmentPlan": "_job._preview",
    "EnrichmentPreview": "_job._sample",
    "Report": "_ui",
    "Row": "_job._rows",
    "citations": "_columns",
    "confidence": "_columns",
    "diff": "_files._diff",
    "doctor": "_doctor",
    "enrich_parquet": "_files",
    "explode": "_job._explode",
    "last": "_job._handle",
    "lint": "_job._lint",
    "low_confidence": "_columns",
    "offline": "_job._offline",
    "plan_parquet": "_files",
    "tool_calls": "_job._warnings",
    "warnings": "_job._warnings",
}


if not _TYPE_CHECKING:  # a type checker would take it for a promise of every name

    def __getattr__(name: str) -> _Any:
        """Import what costs time to import (httpx, pyarrow) only when it is used."""
        if name in _LAZY:
            from importlib import import_module

            found = globals()[name] = getattr(import_module(f"parallel_frames.{_LAZY[name]}"), name)
            return found
        raise AttributeError(f"module 'parallel_frames' has no attribute {name!r}")

    def __dir__() -> list[str]:
        """Show what is imported later, too."""
        return sorted({*globals(), *__all__})

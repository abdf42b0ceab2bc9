"""Engines that hold their rows in parts: whether a call is made inside a task of one, and what to do in its place.

A task runs once for each part of the rows and as often as its engine likes, so a call inside it would pay for equal
rows in each part, and again whenever the task is repeated. A checkpoint that the call names prevents both: then one
task writes to it at a time. An engine is asked only where the program has imported it.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from parallel_frames._format import format_code, format_option
from parallel_frames.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import FrameType

NAMES: Final = {"dask": "Dask", "pyspark": "Spark", "ray": "Ray"}


def refuse_task() -> None:
    """Raise where the calling thread runs a task of an engine."""
    library = next((name for name, is_task in TASKS.items() if name in sys.modules and is_task()), None)
    if library is not None:
        raise InputError(
            f"This is a task of {NAMES[library]}, which runs for each part of the rows, and again when it is repeated: "
            "equal rows in two parts, and each repetition, would be paid for. Nothing was sent. In the program that "
            f"made the task, pass the whole frame to {format_code('pf.enrich(df, schema)')}. Where one task has all "
            "rows, name a checkpoint that each machine reaches, as in "
            f"{format_option('checkpoint', 's3://bucket/companies.ckpt')}."
        )


def _in_dask() -> bool:
    """Return whether Dask called this code: its threads have no mark, and an inference of `meta` has no worker."""
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if str(frame.f_globals.get("__name__")).partition(".")[0] in ("dask", "distributed"):
            return True
        frame = frame.f_back
    return False


def _in_spark() -> bool:
    context = getattr(sys.modules["pyspark"], "TaskContext", None)
    return context is not None and context.get() is not None


def _in_ray() -> bool:
    ray = sys.modules["ray"]
    # Asked before it is initialised, it would start a cluster; asked for its task, the driver's would warn.
    return bool(ray.is_initialized() and ray.get_runtime_context().worker.mode == ray.WORKER_MODE)


TASKS: Final[Mapping[str, Callable[[], bool]]] = {"dask": _in_dask, "pyspark": _in_spark, "ray": _in_ray}

"""The offline service: a real HTTP server on loopback that speaks the Task Group API, faults included.

For tests of your own pipelines, demonstrations without a key, and this package's own tests::

    from parallel_frames.simulator import Simulator

    with Simulator() as sim:
        ...  # point any client at sim.url

Needs its own extra: ``pip install 'parallel-frames[simulator]'``. The package itself never imports this.
"""

from __future__ import annotations

try:
    import httptools as _httptools  # noqa: F401 - all three are checked, so that one message says what to do
    import starlette as _starlette  # noqa: F401
    import uvicorn as _uvicorn  # noqa: F401
except ImportError as error:
    raise ImportError(
        f"the simulator needs {error.name}: pip install 'parallel-frames[simulator]'", name=error.name
    ) from error

from . import faults
from ._answers import ActionRequired, Answer, Cancelled, Failure, Stuck
from ._records import Counts, SeenRequest, SimulatedRun
from ._service import lognormal
from ._simulator import Simulator, serve
from .faults import Fault

__all__ = [
    "ActionRequired",
    "Answer",
    "Cancelled",
    "Counts",
    "Failure",
    "Fault",
    "SeenRequest",
    "SimulatedRun",
    "Simulator",
    "Stuck",
    "faults",
    "lognormal",
    "serve",
]

"""The simulator as a program: one line with its address, then requests until a signal."""

from __future__ import annotations

import signal
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ._simulator import Simulator

if TYPE_CHECKING:
    from collections.abc import Iterator


def serve(answers: Any = None, *, port: int = 0, **options: Any) -> None:
    """Run a simulator until the process is told to stop.

    Prints one line with the URL on standard output, then answers requests until SIGINT or SIGTERM, and returns.

    Parameters
    ----------
    answers : None, callable, mapping or DataFrame, default None
        As for `Simulator`.
    port : int, default 0
        Where to listen; 0 takes a free port.
    **options
        Every other option of `Simulator`.

    Examples
    --------
    >>> from parallel_frames.simulator import serve
    >>> serve(port=8787, latency=(1, 5))  # doctest: +SKIP
    http://127.0.0.1:8787
    """
    leave = threading.Event()
    with _signals(leave), Simulator(answers, port=port, **options) as simulator:
        sys.stdout.write(f"{simulator.url}\n")
        sys.stdout.flush()
        leave.wait()


@contextmanager
def _signals(leave: threading.Event) -> Iterator[None]:
    """Let SIGINT and SIGTERM set the event; elsewhere than in the main thread nothing can be done about signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    wanted = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda *_: leave.set()) for number in wanted}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

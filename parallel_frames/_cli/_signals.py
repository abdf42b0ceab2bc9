"""What the system tells the program to do: to end is to be interrupted, so that a job says how it resumes."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from parallel_frames._cli._exits import Exit
from parallel_frames._runtime import interrupt

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

ENDS: Final = {"SIGTERM": Exit.TERMINATED, "SIGHUP": Exit.HUNG_UP}


@dataclass(slots=True)
class Heard:
    """Which signal ended the program, once one did."""

    name: str | None = None

    @property
    def code(self) -> Exit:
        """The exit code that it means."""
        return Exit.INTERRUPTED if self.name is None else ENDS[self.name]

    def __str__(self) -> str:
        return "interrupted." if self.name is None else f"ended by {self.name}."


@contextmanager
def hearing_signals() -> Iterator[Heard]:
    """Let SIGTERM and SIGHUP do what Ctrl-C does, where they would have killed the program without a word."""
    heard = Heard()
    before = {}

    def end(number: int, frame: FrameType | None) -> None:
        heard.name = heard.name or signal.Signals(number).name
        interrupt(number, frame)

    if threading.current_thread() is threading.main_thread():
        numbers = [number for name in ENDS if (number := getattr(signal, name, None)) is not None]
        free = [number for number in numbers if signal.getsignal(number) is signal.SIG_DFL]  # nohup ignores SIGHUP
        before = {number: signal.signal(number, end) for number in free}
    try:
        yield heard
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

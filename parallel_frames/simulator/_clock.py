"""Simulated time, and what is due in it.

Owns the one clock every other part of the simulator reads, and the one heap of scheduled actions (a run starts, a run
finishes, a late batch is created), driven by a single timer of the event loop. Refuses to know what those actions do.
Time passes while the server is down, as it does for the real service: what became due meanwhile happens when the
server is back.
"""

from __future__ import annotations

import heapq
import time
from itertools import count
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio
    import threading
    from collections.abc import Callable

REAL = getattr(time, "clock_gettime", None)  # not what a test freezes
SLICE = 500  # actions per turn of the event loop, so that requests are answered in between


def real_time() -> float:
    """Return the seconds of the system's monotonic clock, also in tests that freeze Python's own clocks."""
    return time.monotonic() if REAL is None else REAL(time.CLOCK_MONOTONIC)


class Clock:
    """Seconds since the simulator was made, `speed` times as fast as the wall's."""

    def __init__(self, *, speed: float = 1.0) -> None:
        self._base = (real_time(), 0.0, _checked(speed))  # one tuple: read and replaced atomically
        self._epoch = time.time()

    @property
    def speed(self) -> float:
        """How many simulated seconds pass in one second of the wall."""
        return self._base[2]

    @speed.setter
    def speed(self, speed: float) -> None:
        wall, simulated, old = self._base
        now = real_time()
        self._base = (now, simulated + (now - wall) * old, _checked(speed))

    def advance(self, seconds: float) -> None:
        wall, simulated, speed = self._base
        self._base = (wall, simulated + seconds, speed)

    def now(self) -> float:
        wall, simulated, speed = self._base
        return simulated + (real_time() - wall) * speed

    def wall(self, seconds: float) -> float:
        """Return how long `seconds` simulated seconds take on the wall's clock."""
        return seconds / self.speed

    def moment(self, at: float) -> str:
        micros = round((self._epoch + at) * 1e6)
        return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(micros // 10**6))}.{micros % 10**6:06d}Z"


def _checked(speed: float) -> float:
    if not speed > 0:
        raise ValueError(f"speed must be above 0, got {speed!r}")
    return float(speed)


class Scheduler:
    """Runs actions at simulated moments, in order, on one timer.

    They run with `lock` held; `after` is called once at the end of each turn.
    """

    def __init__(self, clock: Clock, *, lock: threading.RLock, after: Callable[[], None]) -> None:
        self._clock = clock
        self._lock = lock
        self._after = after
        self._due: list[tuple[float, int, Callable[[Any], None], Any]] = []
        self._order = count()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.Handle | None = None
        self._timer_due = float("inf")

    def add(self, due: float, action: Callable[[Any], None], subject: Any) -> None:
        """Schedule `action(subject)` for the simulated moment `due`; call `arm` when all are added."""
        heapq.heappush(self._due, (due, next(self._order), action, subject))

    def run_on(self, loop: asyncio.AbstractEventLoop) -> None:
        """Run actions in this event loop, beginning with those overdue."""
        with self._lock:
            self._loop = loop
            self.arm(again=True)

    def halt(self) -> None:
        """Stop running actions; those scheduled are kept."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
            self._loop = self._timer = None

    def reschedule(self, action: Callable[[], None] | None = None) -> None:
        """Set the timer again and run `action` in the event loop's thread; from any thread."""
        with self._lock:
            if self._loop is None:
                return
            self._loop.call_soon_threadsafe(lambda: self.arm(again=True))
            if action is not None:
                self._loop.call_soon_threadsafe(action)

    def arm(self, *, again: bool = False) -> None:
        """Set the timer to the earliest action; in the event loop's thread only."""
        if self._loop is None or not self._due:
            return
        due = self._due[0][0]
        if self._timer is not None:
            if due >= self._timer_due and not again:
                return
            self._timer.cancel()
        delay = max(0.0, self._clock.wall(due - self._clock.now()))
        self._timer_due = due
        self._timer = self._loop.call_later(delay, self._turn)

    def _turn(self) -> None:
        with self._lock:
            self._timer = None
            now = self._clock.now()
            for _ in range(SLICE):
                if not self._due or self._due[0][0] > now:
                    break
                _, _, action, subject = heapq.heappop(self._due)
                action(subject)
            self._after()
            self.arm()

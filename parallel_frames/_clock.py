"""When the next batch may start, how long until the next try, and the clock all of that is told by.

It knows nothing of HTTP or of rows: numbers go in, seconds come out. One `Pacer` serves one account of one host in
this process, whichever thread or event loop asks, so it is guarded by a lock and never sleeps itself.
"""

from __future__ import annotations

import asyncio
import math
import os
import random
import threading
import time
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from parallel_frames.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

SPEED_VARIABLE: Final = "PARALLEL_FRAMES_CLOCK_SPEED"
WINDOW: Final = 60.0
SMALL_BATCH: Final = 100
WAIT_WITHOUT_ADVICE: Final = 5.0
LEAST_WAIT: Final = 0.5


@dataclass(frozen=True, slots=True)
class Clock:
    """Seconds that may pass faster than the wall's: the one clock of settling, backoff, pacing and timeouts.

    Parameters
    ----------
    speed : float, default 1.0
        Seconds of this clock per second of the wall.
    """

    speed: float = 1.0

    @classmethod
    def from_environment(cls) -> Clock:
        """Return the clock that PARALLEL_FRAMES_CLOCK_SPEED asks for, so that child processes follow."""
        told = os.environ.get(SPEED_VARIABLE) or "1"
        try:
            speed = float(told)
        except ValueError:
            speed = math.nan
        if not 0 < speed < math.inf:
            raise ConfigurationError(
                f"{SPEED_VARIABLE}={told!r} is not the speed of a clock: expected a number above 0."
            )
        return cls(speed)

    def now(self) -> float:
        """Return this clock's monotonic seconds."""
        return time.monotonic() * self.speed

    def real(self, seconds: float) -> float:
        """Return how many of the wall's seconds that many of ours are."""
        return seconds / self.speed

    async def sleep(self, seconds: float) -> None:
        """Wait that many of our seconds."""
        await asyncio.sleep(max(0.0, seconds / self.speed))


@dataclass(frozen=True, slots=True)
class Backoff:
    """Growing waits with jitter between tries that keep failing.

    Parameters
    ----------
    first, limit : float
        The first wait and the longest, in seconds.
    tries : int
        How many waits there are before giving up.
    """

    first: float = 0.5
    limit: float = 30.0
    tries: int = 8

    def wait(self, attempt: int) -> float:
        """Return the wait before try number `attempt` + 1, counted from 0, jittered between half and whole."""
        return min(self.limit, self.first * 2.0 ** min(attempt, 60)) * random.uniform(0.5, 1.0)  # noqa: S311 - not a secret


class Pacer:
    """A sliding window of creations, each counted when its response arrives.

    Counting at the response, and not at the request, keeps our window behind the service's under any latency, so
    that a fixed, a sliding and a token-bucket limit are all met without a single refusal.

    Whoever sends joins with the limit it was given; of all who are in, the lowest holds.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._limits: list[float] = []
        self._done: deque[tuple[float, int]] = deque()
        self._in_window = 0
        self._in_flight = 0
        self._not_before = 0.0
        self._small_until = -math.inf

    @contextmanager
    def joined(self, max_per_minute: int | None) -> Iterator[Pacer]:
        """Take part with a limit of one's own, in creations per 60 seconds; None for no limit."""
        limit = math.inf if max_per_minute is None else float(max_per_minute)
        with self._lock:
            self._limits.append(limit)
        try:
            yield self
        finally:
            with self._lock:
                self._limits.remove(limit)

    def take(self, wanted: int, *, now: float) -> tuple[int, float]:
        """Reserve up to `wanted` creations.

        Returns
        -------
        granted : int
            How many may be sent at once, 0 if none; each grant is given back by `finish`.
        wait : float
            Seconds until it is worth asking again when nothing was granted.
        """
        with self._lock:
            if now < self._not_before:
                return 0, self._not_before - now
            self._forget(now)
            limit = min(self._limits, default=math.inf)
            room = limit - self._in_window - self._in_flight
            small = min(SMALL_BATCH, max(1.0, limit / 20))
            if now < self._small_until:
                wanted = min(wanted, int(small))  # somebody else uses this account: a small batch still fits
            least = min(wanted, small)
            if room < least:
                return 0, self._until(least - room, now=now)
            granted = int(min(wanted, room))
            self._in_flight += granted
            return granted, 0.0

    def _forget(self, now: float) -> None:
        while self._done and self._done[0][0] <= now - WINDOW:
            self._in_window -= self._done.popleft()[1]

    def _until(self, missing: float, *, now: float) -> float:
        """Return the seconds until that much has left the window; what is in flight enters it only later."""
        for at, count in self._done:
            missing -= count
            if missing <= 0:
                return max(at + WINDOW - now, 0.001)
        return 0.05

    def finish(self, granted: int, *, created: int, now: float) -> None:
        """Give a grant back when its response has arrived: `created` of it count from now on."""
        with self._lock:
            self._in_flight -= granted
            if created:
                self._done.append((now, created))
                self._in_window += created

    def refuse(self, retry_after: float | None, *, now: float) -> None:
        """Take note of a 429: nobody sends before its Retry-After, and batches are small for a minute after it."""
        wait = WAIT_WITHOUT_ADVICE if retry_after is None else max(retry_after, LEAST_WAIT)
        with self._lock:
            self._not_before = max(self._not_before, now + wait)
            self._small_until = self._not_before + WINDOW


_pacers: dict[tuple[str, str, float], Pacer] = {}
_pacers_lock = threading.Lock()


def shared_pacer(host: str, *, account: str, clock: Clock) -> Pacer:
    """Return this process's one pacer for an account of a host."""
    with _pacers_lock:
        return _pacers.setdefault((host, account, clock.speed), Pacer())

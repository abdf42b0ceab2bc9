"""Time: a clock that may run faster, and waits between tries. Nothing here sleeps but `Clock.sleep`."""

from __future__ import annotations

import asyncio
import math
import os
import random
from dataclasses import dataclass
from typing import Final

from parallel_frames._runtime import real_time
from parallel_frames.errors import ConfigurationError

SPEED_VARIABLE: Final = "PARALLEL_FRAMES_CLOCK_SPEED"


@dataclass(frozen=True, slots=True)
class Clock:
    """A monotonic clock that may run faster than real time: for settling, backoff, pacing and timeouts.

    Parameters
    ----------
    speed : float, default 1.0
        Seconds of this clock per real second.
    """

    speed: float = 1.0

    @classmethod
    def from_environment(cls) -> Clock:
        """Return the clock that PARALLEL_FRAMES_CLOCK_SPEED asks for; child processes inherit it."""
        value = os.environ.get(SPEED_VARIABLE) or "1"
        try:
            speed = float(value)
        except ValueError:
            speed = math.nan
        if not 0 < speed < math.inf:
            raise ConfigurationError(f"{SPEED_VARIABLE} must be a number above 0, not {value!r}.")
        return cls(speed)

    def now(self) -> float:
        """Return this clock's monotonic seconds."""
        return real_time() * self.speed

    def real(self, seconds: float) -> float:
        """Return how many real seconds that many of this clock's are."""
        return seconds / self.speed

    async def sleep(self, seconds: float) -> None:
        """Wait that many of this clock's seconds."""
        await asyncio.sleep(max(0.0, seconds / self.speed))


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential backoff with jitter.

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
        """Return the seconds before try number `attempt` + 1, counted from 0; jitter takes up to half of them off."""
        # A stream may reconnect for days: 2.0 to the power of its attempts would overflow.
        return min(self.limit, self.first * 2.0 ** min(attempt, 60)) * random.uniform(0.5, 1.0)  # noqa: S311 - not a secret

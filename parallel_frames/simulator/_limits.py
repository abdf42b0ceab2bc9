"""The rate limit in three kinds of windows, and the account's credit.

Pure bookkeeping in simulated time; knows neither HTTP nor runs.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable

Window = Literal["sliding", "fixed", "bucket"]
MINUTE = 60.0
EPSILON = 1e-9  # what floating point may lose of a run or a dollar

DOLLARS_PER_1000 = {
    "lite": 5,
    "base": 10,
    "core": 25,
    "core2x": 50,
    "pro": 100,
    "ultra": 300,
    "ultra2x": 600,
    "ultra4x": 1200,
    "ultra8x": 2400,
}


class RateLimit:
    """At most `per_minute` creations a minute; a batch passes whole or not at all."""

    def __init__(self, per_minute: int | None, *, window: Window) -> None:
        if window not in ("sliding", "fixed", "bucket"):
            raise ValueError(f'window must be "sliding", "fixed" or "bucket", got {window!r}')
        self.per_minute = per_minute
        self.window = window
        self._passed: deque[tuple[float, int]] = deque()
        self._tokens: float | None = None
        self._refilled = 0.0

    def take(self, runs: int, *, now: float) -> float | None:
        """Count `runs` creations and return None, or count none and return the seconds to wait."""
        if self.per_minute is None:
            return None
        if runs > self.per_minute:
            return MINUTE
        return self._take_token(runs, now) if self.window == "bucket" else self._take_window(runs, now)

    def _take_window(self, runs: int, now: float) -> float | None:
        """Take from the last 60 s, or from this minute of the clock."""
        sliding = self.window == "sliding"
        start = now - MINUTE if sliding else now // MINUTE * MINUTE
        # A minute of the clock begins with its first moment; the last 60 s end 60 s after a batch, to the moment.
        while self._passed and (self._passed[0][0] < start or (sliding and self._passed[0][0] == start)):
            self._passed.popleft()
        over = sum(n for _, n in self._passed) + runs - (self.per_minute or 0)
        if over <= 0:
            self._passed.append((now, runs))
            return None
        if not sliding:
            return start + MINUTE - now
        for at, n in self._passed:
            over -= n
            if over <= 0:
                return at + MINUTE - now
        return MINUTE

    def _take_token(self, runs: int, now: float) -> float | None:
        """Take from a bucket that holds a minute's worth and refills evenly."""
        size = float(self.per_minute or 0)
        tokens = size if self._tokens is None else self._tokens
        tokens = min(size, tokens + (now - self._refilled) * size / MINUTE)
        self._refilled = now
        short = runs - tokens
        if short > EPSILON:
            self._tokens = tokens
            return short * MINUTE / size
        self._tokens = max(0.0, -short)
        return None


class Credit:
    """An account's dollars: a run in flight reserves a multiple of its price, a completed one costs its price."""

    def __init__(self, dollars: float | None, *, price: float | None, reserve: float) -> None:
        self.dollars = dollars
        self.reserved = 0.0
        self._price = price
        self._reserve = reserve

    def price(self, processor: str) -> float:
        """Return the dollars one run of this processor costs; an unknown name costs what base does."""
        if self._price is not None:
            return self._price
        return DOLLARS_PER_1000.get(processor.removesuffix("-fast"), 10) / 1000

    def _needed(self, processors: Iterable[str]) -> float:
        return sum(map(self.price, processors)) * self._reserve

    def fits(self, processors: Iterable[str]) -> bool:
        """Return whether there is credit for these runs and those in flight."""
        return self.dollars is None or self.reserved + self._needed(processors) <= self.dollars + EPSILON

    def reserve(self, processors: Iterable[str]) -> None:
        if self.dollars is not None:
            self.reserved += self._needed(processors)

    def settle(self, processor: str, *, charged: bool) -> None:
        """Release a run's reservation, and charge it when it completed."""
        if self.dollars is None:
            return
        price = self.price(processor)
        self.reserved = max(0.0, self.reserved - price * self._reserve)
        self.dollars -= price if charged else 0.0

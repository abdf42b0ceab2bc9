"""How far an enrichment is, in rows and dollars: numbers only, no screen."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from parallel_frames._prices import duration_text

if TYPE_CHECKING:
    from parallel_frames._model import Outcome

RECENT_SECONDS: Final = 60.0
SAMPLE_SECONDS: Final = 0.5


@dataclass(slots=True, kw_only=True)
class Tally:
    """What is done and what is left.

    Attributes
    ----------
    rows, done, failed : int
        Rows that get an outcome in this call, those that have one, and of these the ones that did not complete.
    in_flight : int
        Runs sent and not finished.
    per_run, spent : float or None
        US dollars of one run, and of all so far; None where the price is not known.
    """

    rows: int
    done: int = 0
    failed: int = 0
    in_flight: int = 0
    per_run: float | None = None
    spent: float | None = None
    _early: int = 0  # runs that ended before it was told that they were sent
    _samples: deque[tuple[float, int]] = field(default_factory=deque)

    def send(self, runs: int) -> None:
        """Take note that so many more runs are paid for, or were not after all."""
        early = min(self._early, max(0, runs))
        self._early -= early
        self.in_flight = max(0, self.in_flight + runs - early)
        if self.spent is not None and self.per_run is not None:
            self.spent += runs * self.per_run

    def finish(self, outcome: Outcome, *, rows: int, now: float) -> None:
        """Take note of an outcome, which answers so many rows."""
        if self.in_flight:
            self.in_flight -= 1
        else:
            self._early += 1
        self.sample(now)
        self.done += rows
        if outcome.status != "completed":
            self.failed += rows

    def sample(self, now: float) -> None:
        """Remember how far it was at this moment, for the rate; no more than one minute back."""
        if not self._samples or now - self._samples[-1][0] >= SAMPLE_SECONDS:
            self._samples.append((now, self.done))
        while now - self._samples[0][0] > RECENT_SECONDS and len(self._samples) > 1:
            self._samples.popleft()

    def rows_per_minute(self, now: float) -> float | None:
        """Return the rate of the last minute, or of as much of it as there was; None before there is one."""
        if not self._samples:
            return None
        then, done = self._samples[0]
        elapsed = now - then
        return None if elapsed < 1.0 or self.done == done else (self.done - done) / elapsed * 60.0

    def parts(self, now: float) -> list[str]:
        """Return everything but the count of rows, in words; what matters most first, for narrow screens."""
        rate = self.rows_per_minute(now)
        told = []
        if rate and self.done < self.rows:
            told.append(f"{duration_text((self.rows - self.done) / rate * 60.0)} left")
        if self.failed:
            told.append(f"{self.failed:,} failed")
        if self.in_flight and self.done < self.rows:  # an outcome may be heard of before its run counts as sent
            told.append(f"{self.in_flight:,} in flight")
        if rate is not None:
            told.append(f"{rate:,.0f}/min")
        if self.spent is not None:
            told.append(f"${self.spent:,.2f}")
        return told

    def text(self, now: float) -> str:
        """Return how far it is, as one line."""
        return " · ".join([f"{self.done:,} of {self.rows:,} rows", *self.parts(now)])

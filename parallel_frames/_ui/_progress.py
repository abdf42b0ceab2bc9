"""What is shown while an enrichment runs, and when: a line before the first run is sent, a bar, and news.

Numbers are `ProgressCounts`, drawing is `_screen`'s. In a terminal and in a notebook there is a bar; where the output
goes into a file or a log, a line now and then. With ``progress=False`` all of it goes to the log only.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from parallel_frames._format import format_count, format_dollars, format_duration
from parallel_frames._ui._screen import SEPARATOR, Screen, in_notebook, in_terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from decimal import Decimal

    from parallel_frames._model import Outcome

logger = logging.getLogger("parallel_frames")

DRAW_EVERY: Final = 0.2
LINE_EVERY: Final = 60.0
NEWS_SECONDS: Final = 1.0
RATE_SECONDS: Final = 60.0
SAMPLE_EVERY: Final = 0.5
WORKING: Final = "enriching"


@dataclass(slots=True, kw_only=True)
class ProgressCounts:
    """How far an enrichment is, in rows and dollars.

    Attributes
    ----------
    rows, done, failed : int
        Rows that get an outcome in this call, those that have one, and of these the ones that did not complete.
    in_flight : int
        Runs sent and not finished.
    per_run, spent : decimal.Decimal or None
        US dollars of one run, and of all so far; None where the price is not known.
    extra_cost : str
        What is billed on top, in words.
    """

    rows: int
    done: int = 0
    failed: int = 0
    in_flight: int = 0
    per_run: Decimal | None = None
    spent: Decimal | None = None
    extra_cost: str = ""
    _early: int = 0  # runs whose outcome came before the answer to the POST that sent them
    _samples: deque[tuple[float, int]] = field(default_factory=deque)

    def add_sent(self, runs: int) -> None:
        """Count runs that are paid for; a negative number takes back some that were not."""
        early = min(self._early, max(0, runs))
        self._early -= early
        self.in_flight = max(0, self.in_flight + runs - early)
        if self.spent is not None and self.per_run is not None:
            self.spent += runs * self.per_run

    def add_outcome(self, outcome: Outcome, *, rows: int, now: float) -> None:
        """Count an outcome that answers so many rows."""
        if self.in_flight:
            self.in_flight -= 1
        else:
            self._early += 1
        self.sample(now)
        self.done += rows
        if outcome.status != "completed":
            self.failed += rows
        if not outcome.is_billed and self.spent is not None and self.per_run is not None:
            self.spent -= self.per_run

    def sample(self, now: float) -> None:
        """Keep the rows done at this moment for the rate, and drop what is older than a minute."""
        if not self._samples or now - self._samples[-1][0] >= SAMPLE_EVERY:
            self._samples.append((now, self.done))
        while now - self._samples[0][0] > RATE_SECONDS and len(self._samples) > 1:
            self._samples.popleft()

    def rows_per_minute(self, now: float) -> float | None:
        """Return the rate of the last minute, or of as much of it as there was; None before there is one."""
        if not self._samples:
            return None
        then, done = self._samples[0]
        elapsed = now - then
        return None if elapsed < 1.0 or self.done == done else (self.done - done) / elapsed * 60.0

    def figures(self, now: float) -> list[str]:
        """Return everything but the rows as texts, the most important first, for narrow screens."""
        rate = self.rows_per_minute(now)
        left = self.rows - self.done
        figures = []
        if rate and left > 0:
            figures.append(f"{format_duration(left / rate * 60.0, estimate=True)} left")
        if self.failed:
            figures.append(f"{self.failed:,} failed")
        if self.in_flight and left > 0:  # an outcome may arrive before its run counts as sent
            figures.append(f"{self.in_flight:,} in flight")
        if rate is not None:
            figures.append(f"{rate:,.0f}/min")
        if self.spent is not None:
            figures.append(format_dollars(self.spent, extra=self.extra_cost))
        return figures

    def text(self, now: float) -> str:
        """Return how far it is, as one line."""
        return SEPARATOR.join([f"{self.done:,} of {format_count(self.rows, 'row')}", *self.figures(now)])


class Progress:
    """The engine's observer that a person sees. None of its methods fails or waits, whatever becomes of the screen."""

    def __init__(self, *, lines: bool, bar: bool) -> None:
        self._screen = Screen(lines=lines, bar=bar)
        self._counts = ProgressCounts(rows=0)
        self._url_of: Callable[[str], str] | None = None
        self._groups: set[str] = set()
        self._next_draw = 0.0
        self._last_line = time.monotonic()
        self._end_word: str | None = None  # the word for an end with rows left; None before anything is awaited
        self._timer: asyncio.TimerHandle | None = None

    def begin(
        self,
        *,
        rows: int,
        answered: int,
        failed: int,
        in_flight: int,
        per_run: Decimal | None,
        spent: Decimal | None,
        extra_cost: str,
        url_of: Callable[[str], str],
    ) -> None:
        """Set what there is to do, before anything is done; `url_of` returns the address of a group."""
        self._url_of = url_of
        self._counts = ProgressCounts(
            rows=rows, done=answered, failed=failed, in_flight=in_flight, per_run=per_run, spent=spent,
            extra_cost=extra_cost,
        )  # fmt: skip

    def line(self, text: str) -> None:
        """Show and log a line."""
        logger.info("%s", text)
        self._screen.write_line(text)

    def warn(self, text: str) -> None:
        """Show and log a warning."""
        # Without a handler Python itself prints what is logged, and what is shown would stand there twice.
        if logger.hasHandlers() or not self._screen.shows_lines:
            logger.warning("%s", text)
        self._screen.write_line(f"Warning: {text}")

    # The engine's observer

    def started(self, *, rows: int, waiting: int) -> None:
        """Open the bar, and report from now on even if no run ends for long."""
        logger.info("%s, waiting for %s", format_count(rows, "row"), format_count(waiting, "run"))
        self._counts.sample(time.monotonic())
        self._end_word = "stopped"
        with suppress(RuntimeError):  # no loop runs, so nothing can be silent for long
            self._schedule_report(asyncio.get_running_loop())
        self._next_draw = time.monotonic() + DRAW_EVERY
        self._screen.open_bar(WORKING, rows=self._counts.rows, done=self._counts.done)

    def opened(self, group_id: str) -> None:
        """Show a group's address, once."""
        if group_id not in self._groups and self._url_of is not None:
            self._groups.add(group_id)
            self.line(f"group {self._url_of(group_id)}")

    def sent(self, runs: int) -> None:
        """Count runs that are paid for."""
        self._counts.add_sent(runs)
        self._draw()

    def finished(self, outcome: Outcome, *, rows: int) -> None:
        """Count an outcome that answers so many rows."""
        now = time.monotonic()
        self._counts.add_outcome(outcome, rows=rows, now=now)
        self._screen.advance(rows)
        self._draw()
        self._report_if_due(now)

    def note(self, message: str) -> None:
        """Log a message, and show it in place of the bar's title for a moment."""
        logger.info("%s", message)
        self._screen.set_title(message, min_width=len(WORKING))
        self._next_draw = time.monotonic() + DRAW_EVERY + NEWS_SECONDS

    def _draw(self) -> None:
        now = time.monotonic()
        if now >= self._next_draw:  # tens of thousands of events a second would draw nothing else
            self._next_draw = now + DRAW_EVERY
            self._screen.set_figures(WORKING, self._counts.figures(now))

    def _report(self, text: str) -> None:
        """Log how far it is, and show it where no bar does."""
        logger.info("%s", text)
        if not self._screen.has_bar:
            self._screen.write_line(text)

    def _report_if_due(self, now: float) -> None:
        if now - self._last_line >= LINE_EVERY:
            self._last_line = now
            self._report(self._counts.text(now))

    def _schedule_report(self, loop: asyncio.AbstractEventLoop) -> None:
        def report() -> None:
            self._draw()
            self._report_if_due(time.monotonic())
            self._schedule_report(loop)

        due = max(self._last_line + LINE_EVERY - time.monotonic(), LINE_EVERY / 10)
        self._timer = loop.call_later(due, report)

    # The end

    def leave_as(self, word: str) -> None:
        """End with this word where rows are left, rather than as stopped."""
        if self._end_word is not None:
            self._end_word = word

    def _last_word(self) -> str:
        return "enriched" if self._counts.done >= self._counts.rows else self._end_word or "stopped"

    def report_end(self) -> None:
        """Report how far it came, unless nothing was awaited."""
        if self._end_word is not None:
            self._report(f"{self._last_word()}: {self._counts.text(time.monotonic())}")

    def close(self) -> None:
        """Leave the bar with its last figures; nothing is shown from now on."""
        if self._timer is not None:
            self._timer.cancel()
        self._screen.set_figures(self._last_word(), self._counts.figures(time.monotonic()))
        self._screen.close()
        self._end_word = self._timer = None


@contextmanager
def showing(progress: bool | None) -> Iterator[Progress]:  # noqa: FBT001 - the user's own option
    """Give a progress that is closed in the end; None shows a bar in a terminal and in a notebook."""
    bar = progress if progress is not None else in_notebook() or in_terminal()
    shown = Progress(lines=progress is not False, bar=bar)  # what is paid is stated in a pipe, too
    try:
        yield shown
        shown.report_end()
    finally:
        shown.close()

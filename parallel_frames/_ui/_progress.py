"""What a person sees while an enrichment runs: a line before the first run is sent, a bar, and news.

In a terminal and in a notebook there is a bar; where the output is piped into a file or a log, a line now and then
instead. With ``progress=False`` all of it goes to the log only. Nothing here may break an enrichment, or make it
wait: a screen that cannot be written is not written any more.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from textwrap import shorten
from typing import TYPE_CHECKING, Any, Final

from parallel_frames._format import format_dollars, format_duration
from parallel_frames._ui._screen import (
    SEPARATOR,
    ask,
    bar_class,
    bar_file,
    bar_width,
    in_notebook,
    in_terminal,
    print_line,
    readable,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from decimal import Decimal

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
    per_run, spent : decimal.Decimal or None
        US dollars of one run, and of all so far; None where the price is not known.
    """

    rows: int
    done: int = 0
    failed: int = 0
    in_flight: int = 0
    per_run: Decimal | None = None
    spent: Decimal | None = None
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
            told.append(f"{format_duration((self.rows - self.done) / rate * 60.0, estimate=True)} left")
        if self.failed:
            told.append(f"{self.failed:,} failed")
        if self.in_flight and self.done < self.rows:  # an outcome may be heard of before its run counts as sent
            told.append(f"{self.in_flight:,} in flight")
        if rate is not None:
            told.append(f"{rate:,.0f}/min")
        if self.spent is not None:
            told.append(format_dollars(self.spent))
        return told

    def text(self, now: float) -> str:
        """Return how far it is, as one line."""
        return " · ".join([f"{self.done:,} of {self.rows:,} rows", *self.parts(now)])


__all__ = ["Progress", "Tally", "ask", "readable", "showing"]

logger = logging.getLogger("parallel_frames")

DRAW_EVERY: Final = 0.2
LINE_EVERY: Final = 60.0
WORKING: Final = "enriching"
FORMAT: Final = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} rows{postfix}"
LEAST_BAR: Final = len(": 100%|██████|  rows")


class Progress:
    """Tells of one enrichment; the engine's observer."""

    def __init__(self, *, lines: bool, bar: bool) -> None:
        self._lines = lines
        self._shows_bar = bar
        self._bar: Any = None
        self._tally = Tally(rows=0)
        self._url_of: Callable[[str], str] | None = None
        self._groups: set[str] = set()
        self._drawn = self._lined = time.monotonic()
        self._left_as: str | None = None  # the word for an end with rows left; None before anything is awaited
        self._timer: asyncio.TimerHandle | None = None

    # Lines

    def line(self, text: str) -> None:
        """Say one line, whatever else is on the screen."""
        logger.info("%s", text)
        self._print(text)

    def warn(self, text: str) -> None:
        """Say one line that asks for attention."""
        logger.warning("%s", text)
        self._print(f"Warning: {text}")

    def _print(self, text: str) -> None:
        if self._lines:
            self._safely(lambda: print_line(text))

    # Numbers

    def begin(
        self,
        *,
        rows: int,
        answered: int,
        failed: int,
        in_flight: int,
        per_run: Decimal | None,
        spent: Decimal | None,
        url_of: Callable[[str], str],
    ) -> None:
        """Take note of what there is to do, before anything is done.

        Parameters
        ----------
        rows, answered, failed : int
            Rows that have an outcome in the end, those that have one already, and of these the failed ones.
        in_flight : int
            Runs that were sent before and are awaited.
        per_run, spent : decimal.Decimal or None
            US dollars of one run, and of what was sent for these rows before.
        url_of : callable
            Returns where a group can be looked at.
        """
        self._url_of = url_of
        self._tally = Tally(rows=rows, done=answered, failed=failed, in_flight=in_flight, per_run=per_run, spent=spent)

    def started(self, *, rows: int, waiting: int) -> None:
        """Begin: so many runs are waited for."""
        logger.info("%d rows, waiting for %d runs", rows, waiting)
        self._tally.sample(time.monotonic())
        self._left_as = "stopped"
        with suppress(RuntimeError):  # nothing runs that could be silent for long
            self._tell_later(asyncio.get_running_loop())
        if self._shows_bar:
            self._safely(self._open_bar)

    def _open_bar(self) -> None:
        self._bar = bar_class()(
            total=self._tally.rows,
            initial=self._tally.done,
            unit="row",
            desc=WORKING,
            file=bar_file(),
            leave=True,
            dynamic_ncols=True,
            bar_format=FORMAT,
        )

    def opened(self, group_id: str) -> None:
        """Say where a group can be looked at, once."""
        if group_id in self._groups or self._url_of is None:
            return
        self._groups.add(group_id)
        self.line(f"group {self._url_of(group_id)}")

    def sent(self, runs: int) -> None:
        """Take note that so many more runs are paid for."""
        self._tally.send(runs)
        self._draw()

    def finished(self, outcome: Outcome, *, rows: int) -> None:
        """Take note that a run has an outcome, which answers so many rows."""
        now = time.monotonic()
        self._tally.finish(outcome, rows=rows, now=now)
        if self._bar is not None and rows:
            self._safely(lambda: self._bar.update(rows))
        self._draw()
        self._tell_now_and_then(now)

    def _tell_now_and_then(self, now: float) -> None:
        if now - self._lined >= LINE_EVERY:
            self._lined = now
            self._tell(self._tally.text(now))

    def _tell_later(self, loop: asyncio.AbstractEventLoop) -> None:
        """Tell how far it is also where no run ends for long."""

        def tell() -> None:
            self._draw()
            self._tell_now_and_then(time.monotonic())
            self._tell_later(loop)

        due = max(self._lined + LINE_EVERY - time.monotonic(), LINE_EVERY / 10)
        self._timer = loop.call_later(due, tell)

    def _tell(self, text: str) -> None:
        """Say how far it is where no bar does."""
        logger.info("%s", text)
        if not self._shows_bar:
            self._print(text)

    def note(self, message: str) -> None:
        """Show or log something worth a line."""
        logger.info("%s", message)
        if self._bar is not None:
            room = bar_width(self._bar) - LEAST_BAR - 2 * len(str(self._tally.rows)) - 1
            told = shorten(message, max(len(WORKING), min(60, room)), placeholder=" …")
            self._safely(lambda: self._bar.set_description_str(self._readable(told)))
            self._drawn = time.monotonic() + 1.0  # it stands for a moment at least

    def _draw(self) -> None:
        now = time.monotonic()
        if self._bar is None or now - self._drawn < DRAW_EVERY:
            return
        self._drawn = now
        self._safely(lambda: self._describe(WORKING, now))

    def _describe(self, what: str, now: float) -> None:
        self._bar.set_description_str(what, refresh=False)
        rows = f"{self._tally.done}/{self._tally.rows}"
        room = bar_width(self._bar) - LEAST_BAR - len(what) - len(rows) - len(", ")
        parts = self._tally.parts(now)
        while parts and len(SEPARATOR.join(parts)) > room:  # what matters least stands last
            parts.pop()
        self._bar.set_postfix_str(self._readable(SEPARATOR.join(parts)))

    def _readable(self, text: str) -> str:
        return readable(text, encoding=getattr(bar_file(), "encoding", None))

    # The end

    def leave_as(self, word: str) -> None:
        """End with this word where rows are left, rather than as stopped."""
        if self._left_as is not None:
            self._left_as = word

    def _last_word(self) -> str:
        return "enriched" if self._tally.done >= self._tally.rows else self._left_as or "stopped"

    def tell_end(self) -> None:
        """Say how far it came, unless nothing was awaited."""
        if self._left_as is not None:
            self._tell(f"{self._last_word()}: {self._tally.text(time.monotonic())}")

    def close(self) -> None:
        """Leave the bar as it stands."""
        if self._timer is not None:
            self._timer.cancel()
        if self._bar is not None:
            self._safely(lambda: self._describe(self._last_word(), time.monotonic()))
        if self._bar is not None:
            self._safely(self._bar.close)
        self._bar = self._left_as = self._timer = None
        self._lines = False

    def _safely(self, show: Callable[[], object]) -> None:
        """Show something; a screen that fails is left alone from then on."""
        try:
            show()
        except Exception as error:  # noqa: BLE001 - a screen must not cost what was paid for
            logger.debug("progress cannot be shown: %s: %s", type(error).__name__, error)
            self._bar, self._lines, self._shows_bar = None, False, False


@contextmanager
def showing(progress: bool | None) -> Iterator[Progress]:  # noqa: FBT001 - the user's own option
    """Give a progress that is closed in the end; None shows a bar where a person looks."""
    bar = progress if progress is not None else in_notebook() or in_terminal()
    teller = Progress(lines=progress is not False, bar=bar)  # what is paid is said, also where nobody looks
    try:
        yield teller
        teller.tell_end()
    finally:
        teller.close()

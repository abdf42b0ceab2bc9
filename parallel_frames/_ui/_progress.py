"""What is shown while an enrichment runs, and when: what it will do, how far it is, news, and how it ended.

Numbers are `ProgressCounts`, drawing is a screen's: a card in a Jupyter notebook, marimo's bar in marimo, tqdm's in a
terminal; where the output goes into a file or a log, a line now and then. With ``progress=False`` all of it goes to the
log only.
"""

from __future__ import annotations

import asyncio
import logging
import shlex
import time
from collections import deque
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from parallel_frames._format import format_costs, format_count, format_duration
from parallel_frames._log import current_screen
from parallel_frames._ui._card import Card
from parallel_frames._ui._screen import (
    SEPARATOR,
    MarimoScreen,
    Screen,
    end_line,
    first_line,
    in_marimo,
    in_notebook,
    in_terminal,
)
from parallel_frames.errors import EnrichmentError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from parallel_frames._model import Outcome

logger = logging.getLogger("parallel_frames")

DRAW_EVERY: Final = 0.2
LINE_EVERY: Final = 60.0
NEWS_SECONDS: Final = 1.0
RATE_SECONDS: Final = 60.0
# A time that is left is shown once so many rows, or this share of them, and so many seconds are behind.
STEADY_ROWS: Final = 1_000
STEADY_SHARE: Final = 0.05
STEADY_SECONDS: Final = 5.0
SAMPLE_EVERY: Final = 0.5
WORKING: Final = "enriching"
SENDING: Final = "sending"
IDLE: Final = "nothing new was sent or paid"
UNANSWERED: Final = ("pending", "not_sent")

report_call: ContextVar[str | None] = ContextVar("report_call", default="pf.last().report()")
"""What to type for the report, if there is one; the command line has its own way, which needs the checkpoint."""


bar_fits: ContextVar[bool] = ContextVar("bar_fits", default=True)
"""Whether a terminal has room for a bar; a command line leaves it out, and keeps the lines."""


@dataclass(slots=True, kw_only=True)
class ProgressCounts:
    """How far an enrichment is, in rows and dollars.

    Attributes
    ----------
    rows : int
        Rows that the call asks about.
    done, failed, skipped : int
        Rows that have their status, and of these the ones that did not complete, and those with nothing to send.
    left_out : int
        Rows beyond the limit.
    in_flight : int
        Runs sent and not finished.
    runs, sent : int
        Runs in all, and those that the service has: earlier calls sent some of them, perhaps.
    per_run, spent, before : decimal.Decimal or None
        US dollars of one run, of all so far, and of these what earlier calls paid; None where the price is not known.
    extra_cost : str
        What is billed on top of that, in words.
    unit : str
        What the rows are: a comparison counts one answer for each row and processor.
    """

    rows: int
    done: int = 0
    failed: int = 0
    skipped: int = 0
    left_out: int = 0
    in_flight: int = 0
    runs: int = 0
    sent: int = 0
    per_run: Decimal | None = None
    spent: Decimal | None = None
    before: Decimal | None = None
    extra_cost: str = ""
    unit: str = "row"
    _early: int = 0  # runs whose outcome came before the answer to the POST that sent them
    _start: tuple[float, int] | None = None  # when it began, and the rows that were done then
    _samples: deque[tuple[float, int]] = field(default_factory=deque)

    def add_sent(self, runs: int) -> None:
        """Count runs that are paid for; a negative number takes back some that were not."""
        early = min(self._early, max(0, runs))
        self._early -= early
        self.in_flight = max(0, self.in_flight + runs - early)
        self.sent += runs
        if self.spent is not None and self.per_run is not None:
            self.spent += runs * self.per_run

    def add_before(self, runs: int) -> None:
        """Count runs that were paid for before, and not by this call."""
        if self.before is not None and self.per_run is not None:
            self.before += runs * self.per_run

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

    @property
    def statuses(self) -> dict[str, int]:
        """Rows by status, as far as it is known before the answers are judged."""
        completed = self.done - self.failed - self.skipped
        return {"completed": completed, "failed": self.failed, "skipped": self.skipped}

    @property
    def left(self) -> int:
        """Rows that are still to get their status."""
        return self.rows - self.left_out - self.done

    @property
    def cost(self) -> str | None:
        """What this call costs, and what earlier ones did; None where the price is not known."""
        if self.spent is None:
            return None
        spent = max(self.spent, Decimal(0))  # a failure may be known before its run counts as sent
        # A run that an earlier call sent, and that fails now, lowers what that one paid.
        before = min(self.before or Decimal(0), spent)
        return format_costs(spent - before, before=before, extra=self.extra_cost)

    def sample(self, now: float) -> None:
        """Keep the rows done at this moment for the rate, and drop what is older than a minute."""
        if self._start is None:
            self._start = (now, self.done)
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

    def is_steady(self, now: float) -> bool:
        """Return whether the rate says how long the rest takes: the first answers of many runs in flight come late."""
        if self._start is None:
            return False
        (then, before), total = self._start, self.rows - self.left_out
        enough = min(STEADY_ROWS, STEADY_SHARE * (total - before))
        return now - then >= STEADY_SECONDS and self.done - before >= enough

    def figures(self, now: float, *, has_ended: bool = False) -> list[str]:
        """Return everything but the rows as texts, the most important first, for narrow screens."""
        rate = None if has_ended else self.rows_per_minute(now)
        figures = []
        if rate and self.left > 0 and self.is_steady(now):
            figures.append(f"{format_duration(self.left / rate * 60.0, estimate=True)} left")
        if self.failed:
            figures.append(f"{self.failed:,} failed")
        if self.in_flight and self.left > 0:  # an outcome may arrive before its run counts as sent
            figures.append(f"{self.in_flight:,} in flight")
        if rate is not None:
            figures.append(f"{rate:,.0f}/min")
        if self.cost is not None:
            figures.append(self.cost)
        return figures

    def text(self, now: float) -> str:
        """Return how far it is, as one line."""
        return SEPARATOR.join([self._rows_done, *self.figures(now)])

    @property
    def _rows_done(self) -> str:
        return f"{self.done:,} of {format_count(self.rows, self.unit)}"

    def end_figures(self, *, idle: str | None, report: str | None) -> list[str]:
        """Return how far it came, but for the rows by status; `report` is what to type for more.

        `idle` is what to say in place of the cost where nothing was sent.
        """
        return [self._rows_done, *filter(None, [idle or self.cost]), *([f"report: {report}"] if report else [])]

    def sent_figures(self, *, idle: str | None = None) -> list[str]:
        """Return how much of what was to be sent the service has."""
        return [f"{self.sent:,} of {format_count(self.runs, 'run')} sent", *filter(None, [idle or self.cost])]


class Progress:
    """The engine's observer that a person sees. None of its methods fails or waits, whatever becomes of the screen."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._counts = ProgressCounts(rows=0)
        self._statuses: Mapping[str, int] | None = None
        self._url_of: Callable[[str], str] | None = None
        self._groups: set[str] = set()
        self._checkpoint: str | None = None
        self._has_begun = self._is_submit = self._simulated = False
        self._next_draw = 0.0
        self._last_line = time.monotonic()
        self._done_word = "enriched"
        self._end_word: str | None = None  # the word for an end with rows left; None before anything is awaited
        self._timer: asyncio.TimerHandle | None = None

    def begin(
        self,
        counts: ProgressCounts,
        *,
        url_of: Callable[[str], str] | None,
        checkpoint: str | None = None,
        only_sending: bool = False,
        done: str = "enriched",
    ) -> None:
        """Set what there is to do, before anything is done; `url_of` returns the address of a group.

        `done` is the word for an end with no row left.
        """
        self._has_begun, self._done_word = True, done
        self._url_of, self._checkpoint, self._is_submit = url_of, checkpoint, only_sending
        self._counts = counts

    def announce(self, essence: str, facts: Sequence[str], *, simulated: bool) -> None:
        """Show and log what will be done."""
        self.label(simulated=simulated)
        logger.info("%s", first_line(essence, facts, simulated=simulated))
        self._screen.announce(essence, facts, simulated=simulated)

    def label(self, *, simulated: bool) -> None:
        """Label the end, too, where answers are a simulator's."""
        self._simulated |= simulated

    def warn(self, text: str) -> None:
        """Log a warning, which shows it: see `_log`."""
        logger.warning("%s", text)

    # The engine's observer

    def started(self, *, rows: int, waiting: int) -> None:
        """Open the bar, and report from now on even if no run ends for long."""
        logger.info("%s, waiting for %s", format_count(rows, self._counts.unit), format_count(waiting, "run"))
        counts = self._counts
        counts.sample(time.monotonic())
        self._end_word = "stopped"
        with suppress(RuntimeError):  # no loop runs, so nothing can be silent for long
            self._schedule_report(asyncio.get_running_loop())
        self._next_draw = time.monotonic() + DRAW_EVERY
        if self._is_submit:
            self._screen.open_bar(SENDING, unit="run", total=counts.runs, counts=self._shown_counts)
        else:
            self._screen.open_bar(WORKING, unit=counts.unit, total=counts.rows, counts=self._shown_counts)

    def opened(self, group_id: str) -> None:
        """Show a group's address, once."""
        if group_id not in self._groups and self._url_of is not None:
            self._groups.add(group_id)
            address = self._url_of(group_id)
            logger.info("group %s", address)
            self._screen.show_group(address)

    def sent(self, runs: int) -> None:
        """Count runs that are paid for."""
        self._counts.add_sent(runs)
        if self._is_submit:
            self._screen.advance(runs)
        self._draw()

    def found(self, runs: int) -> None:
        """Count runs that were paid for before, and not by this call."""
        self._counts.add_before(runs)
        self.sent(runs)

    def finished(self, outcome: Outcome, *, rows: int) -> None:
        """Count an outcome that answers so many rows."""
        now = time.monotonic()
        self._counts.add_outcome(outcome, rows=rows, now=now)
        if not self._is_submit:
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
            self._screen.set_figures(SENDING if self._is_submit else WORKING, self._figures(now), self._shown_counts)

    @property
    def _shown_counts(self) -> Mapping[str, int]:
        """Rows by status, or runs that the service has where only these count."""
        if self._is_submit:
            return {"pending": self._counts.sent}
        return self._counts.statuses if self._statuses is None else self._statuses

    def _figures(self, now: float, *, has_ended: bool = False) -> list[str]:
        if self._is_submit:
            return [] if self._counts.cost is None else [self._counts.cost]
        return self._counts.figures(now, has_ended=has_ended)

    def _report_if_due(self, now: float) -> None:
        """Log how far it is, and show it where no bar does."""
        if now - self._last_line < LINE_EVERY:
            return
        self._last_line = now
        text = SEPARATOR.join(self._counts.sent_figures()) if self._is_submit else self._counts.text(now)
        logger.info("%s", text)
        if not self._screen.has_bar:
            self._screen.write_line(text)

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

    def count(self, statuses: Mapping[str, int]) -> None:
        """Take the rows by status, once their answers are judged."""
        self._statuses = statuses
        if sum(statuses.values()) == self._counts.rows:  # all of them, and not only those that were handed over
            self._counts.done = self._counts.rows - sum(statuses.get(name, 0) for name in UNANSWERED)

    def sum_up(
        self,
        counts: ProgressCounts,
        statuses: Mapping[str, int],
        *,
        processors: Sequence[str],
        checkpoint: str | None,
        simulated: bool,
    ) -> None:
        """Take how the jobs of several processors ended together, each of which has shown its own end."""
        names = " → ".join(processors)
        self.begin(counts, url_of=None, checkpoint=checkpoint, done=f"enriched on {names}")
        self.label(simulated=simulated)
        if self._screen.is_apart:  # a card has a head, also where nothing is announced
            self._screen.announce(f"{format_count(counts.rows, 'row')} on {names}", [], simulated=simulated)
        self.count(statuses)
        self._end_word = "stopped"

    def _last_word(self) -> str:
        is_whole = self._counts.left <= 0 and not self._is_submit
        return self._done_word if is_whole else self._end_word or "stopped"

    def report_end(self) -> None:
        """Show and log how it ended; where nothing was awaited, that nothing was paid."""
        if not self._has_begun:
            return
        counts: Mapping[str, int] = {}
        idle = self._idle_text if self._end_word is None else None
        if self._is_submit:
            word = "stopped" if self._end_word == "stopped" else ""
            figures = self._counts.sent_figures(idle=idle)
        else:
            word, counts = self._last_word(), self._shown_counts
            figures = self._counts.end_figures(idle=idle, report=self._report_call())
        logger.info("%s", end_line(word, figures, counts, simulated=self._simulated))
        if self._end_word is not None:
            self._leave_bar()
        self._screen.end(word, figures, counts, simulated=self._simulated)
        self._end_word = None

    @property
    def _idle_text(self) -> str:
        """What a call says that needed no run, and where its answers are from."""
        if self._is_submit or self._counts.done == self._counts.skipped:
            return IDLE
        return f"{IDLE}: the answers are from {'an earlier call' if self._checkpoint is None else 'the checkpoint'}"

    def _report_call(self) -> str | None:
        """Return what to type for the report; None where there is no way to it."""
        call = report_call.get()
        if call is None or "{checkpoint}" not in call:
            return call
        return None if self._checkpoint is None else call.format(checkpoint=shlex.quote(self._checkpoint))

    def _leave_bar(self) -> None:
        figures = self._figures(time.monotonic(), has_ended=True)
        self._screen.set_figures(self._last_word(), figures, self._shown_counts)

    def close(self) -> None:
        """Leave the bar with its last figures; nothing is shown from now on."""
        if self._timer is not None:
            self._timer.cancel()
        if self._end_word is not None:
            self._leave_bar()
        self._screen.close()
        self._end_word = self._timer = None


def make_screen(progress: bool | None) -> Screen:  # noqa: FBT001 - the user's own option
    """Return where an enrichment is shown; None is a bar in a terminal and in a notebook, and lines elsewhere."""
    if progress is False:
        return Screen(lines=False, bar=False)
    if in_notebook():
        return Card()
    if in_marimo():
        return MarimoScreen(lines=True, bar=True)
    # What is paid is stated in a pipe, too.
    return Screen(lines=True, bar=bar_fits.get() and (in_terminal() if progress is None else True))


@contextmanager
def showing(progress: bool | None) -> Iterator[Progress]:  # noqa: FBT001 - the user's own option
    """Give a progress that is closed in the end, to which warnings go meanwhile."""
    screen = make_screen(progress)
    shown = Progress(screen)
    token = current_screen.set(screen if screen.shows_lines else None)
    try:
        try:
            yield shown
        except EnrichmentError:  # every row has its status
            shown.report_end()
            raise
        shown.report_end()
    finally:
        shown.close()
        with suppress(ValueError):  # a coroutine that is only collected as garbage ends in another context
            current_screen.reset(token)

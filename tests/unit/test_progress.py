"""Progress: true numbers, few words, and no effect on the enrichment, whatever becomes of the screen."""

from __future__ import annotations

import asyncio
import io
import logging
import re
import threading
from contextlib import redirect_stderr
from decimal import Decimal

import pytest

from parallel_frames._model import Outcome
from parallel_frames._ui import Progress, ProgressCounts, ask, report_call, showing
from parallel_frames._ui._screen import Screen, readable, wrap_parts
from parallel_frames.errors import InputError


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    encoding = "utf-8"

    def isatty(self):
        return True


class Broken(Terminal):
    """A terminal that is gone."""

    def write(self, text):
        raise BrokenPipeError("gone")


def outcome(key, status="completed"):
    """Return an outcome of a key."""
    return Outcome(key, 0, f"trun_{key}", "tgrp_1", status)


def begin(progress, rows=10, only_sending=False, **facts):
    """Begin with a cent per run."""
    known = {"runs": rows, "per_run": Decimal("0.01"), "spent": Decimal(0), "before": Decimal(0)}
    counts = ProgressCounts(rows=rows, **known | facts)
    progress.begin(counts, url_of=lambda group: f"https://x.example/{group}", only_sending=only_sending)


def work(progress):
    """Send five runs and finish two of them, one badly."""
    begin(progress)
    progress.started(rows=10, waiting=10)
    progress.opened("tgrp_1")
    progress.opened("tgrp_1")
    progress.sent(5)
    progress.note("waiting 37 s for the rate limit")
    progress.finished(outcome("a"), rows=1)
    progress.finished(outcome("b", "failed"), rows=1)
    progress.close()
    progress.announce("too late", [], simulated=False)


def test_a_terminal_shows_a_bar_in_rows():
    """It has rows done, failed, in flight and dollars; the group's address appears once; it ends as stopped."""
    screen = Terminal()
    with redirect_stderr(screen), showing(None) as progress:
        work(progress)
    text = screen.getvalue()
    last = text.split("\r")[-1]
    assert "stopped" in last
    assert "2/10 rows" in last
    assert re.search(r"1 failed · 3 in flight · \$0\.04", last)
    assert text.count("https://x.example/tgrp_1") == 1
    assert "too late" not in text
    assert not [thread for thread in threading.enumerate() if "tqdm" in type(thread).__name__.lower()]


def test_a_resume_begins_where_it_was():
    """The bar starts at what is answered, and the rate counts only what is new."""
    screen = Terminal()
    with redirect_stderr(screen), showing(None) as progress:
        begin(progress, rows=100, done=90, failed=2, in_flight=3, spent=Decimal("0.9"), before=Decimal("0.9"))
        progress.started(rows=100, waiting=10)
        progress.close()
    assert "90/100 rows" in screen.getvalue()
    assert "2 failed · 3 in flight · $0.00 now, $0.90 before" in screen.getvalue()


def test_a_run_that_ends_before_it_counts_as_sent_is_not_in_flight():
    """Events may come before the answer to the POST that made them; what turns out never sent is taken back."""
    counts = ProgressCounts(rows=4, per_run=Decimal("0.01"), spent=Decimal(0))
    counts.add_outcome(outcome("a"), rows=1, now=0.0)
    counts.add_outcome(outcome("b"), rows=1, now=0.0)
    counts.add_sent(4)
    assert (counts.in_flight, counts.spent) == (2, Decimal("0.04"))
    counts.add_sent(-1)
    counts.add_outcome(outcome("c"), rows=1, now=0.0)
    assert (counts.in_flight, counts.done, counts.spent) == (0, 3, Decimal("0.03"))


def test_a_pipe_gets_lines_and_no_bar(capsys, caplog):
    """In a pipe there is no bar, and a short job prints nothing but its lines."""
    with caplog.at_level(logging.INFO, logger="parallel_frames"), showing(None) as progress:
        work(progress)
    assert capsys.readouterr().err == "group https://x.example/tgrp_1\n"
    assert "waiting 37 s for the rate limit" in caplog.text


def test_silence_is_silent(capsys, caplog):
    """progress=False shows nothing, and logs it all the same."""
    with caplog.at_level(logging.INFO, logger="parallel_frames"), showing(False) as progress:
        progress.warn("price not known")
        work(progress)
    assert capsys.readouterr() == ("", "")
    assert "price not known" in caplog.text


@pytest.mark.parametrize("screen", [None, Broken(), io.StringIO()], ids=["none", "broken", "closed"])
def test_a_screen_that_fails_breaks_nothing(screen):
    """A missing, broken or closed error stream is not written again, and the enrichment continues."""
    if type(screen) is io.StringIO:
        screen.close()
    with redirect_stderr(screen), showing(True) as progress:
        progress.announce("12 rows → 12 runs", [], simulated=False)
        work(progress)


def test_rate_and_time_left_follow_from_the_last_minute():
    """The rate counts the last minute only, and the time left is computed from it."""
    counts = ProgressCounts(rows=1000, done=400, per_run=Decimal("0.01"), spent=Decimal(4))
    counts.sample(0.0)
    for n in range(300):
        counts.add_outcome(outcome(str(n)), rows=1, now=n * 0.4)  # 150 a minute
    assert counts.rows_per_minute(120.0) == pytest.approx(150, rel=0.02)
    assert counts.text(120.0) == "700 of 1,000 rows · ~2 min left · 150/min · $4.00"


def test_a_shared_run_is_all_of_its_rows():
    """A run that answers three rows adds three, whether it completed or failed."""
    counts = ProgressCounts(rows=5)
    counts.add_sent(2)
    counts.add_outcome(outcome("a", "failed"), rows=3, now=0.0)
    counts.add_outcome(outcome("b"), rows=2, now=2.0)
    assert (counts.done, counts.failed, counts.in_flight) == (5, 3, 0)


def test_nothing_is_in_flight_once_all_is_done():
    """Answers that overtake the acknowledgement of their batch leave no runs that never end."""
    counts = ProgressCounts(rows=2)
    counts.add_outcome(outcome("a"), rows=1, now=0.0)
    counts.add_sent(2)
    assert counts.text(0.0) == "1 of 2 rows · 1 in flight"
    counts.add_outcome(outcome("b"), rows=1, now=0.0)
    assert counts.text(0.0) == "2 of 2 rows"


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "unknown-8", None])
def test_text_is_shown_as_the_stream_can(encoding):
    """What an encoding lacks is written plainly."""
    text = readable("3 rows → 2 runs · $0.01", encoding=encoding)
    assert text == ("3 rows → 2 runs · $0.01" if encoding is None else "3 rows -> 2 runs - $0.01")


def test_a_long_line_breaks_between_its_parts():
    """On a narrow terminal the line before the first run is several, none wider than it and none cut."""
    line = "500 rows → 431 runs · 69 runs already answered (2026-11-20) · $4.31 · ~2 min · sends company, website"
    lines = wrap_parts(line, width=40).splitlines()
    assert max(map(len, lines)) <= 40
    assert " · ".join(part.strip() for part in lines) == line
    assert wrap_parts(line, width=200) == line


def test_a_question_needs_a_terminal_or_a_notebook():
    """Without a terminal and without a notebook it is an error that says what to do in a script."""
    with pytest.raises(InputError, match=r"`confirm=True`.*`max_cost=...`"):
        ask("Send 3 runs ($0.03)?")


def test_progress_counts_nothing_before_it_begins():
    """A progress that only showed lines can be closed."""
    progress = Progress(Screen(lines=True, bar=True))
    progress.finished(outcome("a"), rows=1)
    progress.close()


def test_an_interrupted_line_keeps_no_other_thread_waiting():
    """Whoever was interrupted while writing, a line in another thread is written all the same."""
    from tqdm import tqdm

    done = threading.Event()

    def write():
        with showing(True) as progress:
            begin(progress)
            progress.started(rows=10, waiting=10)
            progress.announce("from another thread", [], simulated=False)
        done.set()

    with redirect_stderr(Terminal()), tqdm.get_lock():  # as a Ctrl-C may leave it
        threading.Thread(target=write, daemon=True).start()
        assert done.wait(10)


def test_no_time_is_left_before_it_can_be_known_or_after_the_end():
    """The first of many answers in flight say nothing of the rate, and who was stopped waits for nothing."""
    counts = ProgressCounts(rows=200, spent=Decimal(0), in_flight=199)
    for second in range(10):
        counts.sample(float(second))
    counts.done = 1
    assert counts.figures(20.0) == ["199 in flight", "3/min", "$0.00"]
    counts.done = 20
    assert counts.figures(20.0)[0] == "~3 min left"
    assert counts.figures(20.0, has_ended=True) == ["199 in flight", "$0.00"]
    resumed = ProgressCounts(rows=200, done=100)
    resumed.sample(0.0)
    resumed.done = 105
    assert not resumed.is_steady(4.0)
    assert resumed.is_steady(5.0)


def test_bars_of_the_users_own_are_left_as_they_are():
    """A bar of ours changes neither tqdm's lock nor its monitor."""
    from tqdm import tqdm

    with redirect_stderr(Terminal()), showing(True) as progress:
        work(progress)
    assert tqdm.monitor_interval == 10
    assert type(tqdm.get_lock()).__module__.startswith("tqdm")


def test_a_long_silence_is_broken_now_and_then(capsys, monkeypatch):
    """A line says how far it is although no run ends, and none comes after the end."""
    monkeypatch.setattr("parallel_frames._ui._progress.LINE_EVERY", 0.02)

    async def wait():
        with showing(None) as progress:
            begin(progress)
            progress.started(rows=10, waiting=10)
            progress.sent(5)
            await asyncio.sleep(0.3)
        lines = capsys.readouterr().err.splitlines()
        await asyncio.sleep(0.1)
        return lines

    *lines, last = asyncio.run(wait())
    assert 3 < len(lines) < 16
    assert set(lines) == {"0 of 10 rows · 5 in flight · $0.05"}
    assert last == "stopped: 0 of 10 rows · $0.05 · report: pf.last().report()"
    assert capsys.readouterr().err == ""


def test_a_line_reports_the_end_where_there_is_no_bar(capsys, caplog):
    """The log and a pipe get how far it came, by status as far as it is known, the dollars, and where to read more."""
    with caplog.at_level(logging.INFO, logger="parallel_frames"), showing(None) as progress:
        begin(progress)
        progress.started(rows=10, waiting=10)
        progress.finished(outcome("a"), rows=1)
        progress.finished(outcome("b", "failed"), rows=2)
    line = "stopped: 3 of 10 rows · 1 completed · 2 failed · $0.00 · report: pf.last().report()"
    assert capsys.readouterr().err == f"{line}\n"
    assert caplog.messages[-1] == line


def test_the_last_line_counts_judged_answers(capsys):
    """Once answers are judged, the invalid ones are counted, and rows that need no run."""
    with showing(None) as progress:
        begin(progress, rows=6, done=2, skipped=2)
        progress.started(rows=6, waiting=4)
        progress.sent(4)
        for key in "abcd":
            progress.finished(outcome(key), rows=1)
        progress.count({"completed": 3, "invalid": 1, "skipped": 2})
    line = "enriched: 6 of 6 rows · 3 completed · 1 invalid · 2 skipped · $0.04 · report: pf.last().report()\n"
    assert capsys.readouterr().err == line


def test_the_report_is_named_as_it_is_had(capsys):
    """On the command line that is a command with the checkpoint, and without one there is none."""
    token = report_call.set("parallel-frames report {checkpoint}")
    try:
        for checkpoint in ("my answers.ckpt", None):
            with showing(None) as progress:
                counts = ProgressCounts(rows=1, runs=1)
                progress.begin(counts, url_of=str, checkpoint=checkpoint)
                progress.started(rows=1, waiting=1)
                progress.finished(outcome("a"), rows=1)
    finally:
        report_call.reset(token)
    assert capsys.readouterr().err.splitlines() == [
        "enriched: 1 of 1 row · 1 completed · report: parallel-frames report 'my answers.ckpt'",
        "enriched: 1 of 1 row · 1 completed",
    ]


@pytest.mark.parametrize(("word", "end"), [("sent", "10 of 10 runs sent"), (None, "stopped: 10 of 10 runs sent")])
def test_a_submit_counts_what_was_sent(capsys, word, end):
    """Rows without an answer are no news then; one that was stopped says so."""
    with showing(None) as progress:
        begin(progress, only_sending=True, sent=3, spent=Decimal("0.03"), before=Decimal("0.03"))
        progress.started(rows=10, waiting=10)
        progress.sent(7)
        if word is not None:
            progress.leave_as(word)
    assert capsys.readouterr().err.startswith(f"{end} · $0.07 now, $0.03 before")


def test_dollars_are_of_this_call_and_in_all():
    """What earlier calls paid is named where they did; what fails is not billed, whoever sent it."""
    counts = ProgressCounts(rows=9, per_run=Decimal("0.01"), spent=Decimal("0.05"), before=Decimal("0.05"), in_flight=1)
    counts.add_sent(3)
    assert counts.cost == "$0.03 now, $0.05 before"
    counts.add_outcome(outcome("a", "failed"), rows=1, now=0.0)
    assert counts.cost == "$0.02 now, $0.05 before"
    alone = ProgressCounts(rows=9, per_run=Decimal("0.01"), spent=Decimal(0), before=Decimal(0), extra_cost="plus x")
    alone.add_sent(3)
    assert alone.cost == "$0.03 plus x"
    assert ProgressCounts(rows=9).cost is None


def test_an_error_has_its_own_words(capsys):
    """Where an enrichment ends with an error, no line is shown with it."""

    def fail():
        with showing(None) as progress:
            begin(progress)
            progress.started(rows=10, waiting=10)
            raise ValueError("enough")

    with pytest.raises(ValueError, match="enough"):
        fail()
    assert capsys.readouterr().err == ""

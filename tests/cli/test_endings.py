"""How the program ends: closed and full streams, readers that leave, signals. What was paid for is never lost by it."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from parallel_frames.simulator import Simulator

from .conftest import PROGRAM, point_at, size

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX streams and signals")
SIZE = ("--column", "size (int): letters of the name", "--yes")

# The signal may be faster than the answer to the request.
STOPPED = re.compile(
    r"Stopped: 0 of 2 rows are answered, 2 runs sent(?:, of which 2 may not have been created)? \(group (\w+)\)"
)


@pytest.fixture
def rows(place):
    """Write a table of two companies."""
    pd.DataFrame({"company": ["Acme", "Globex"]}).to_csv("rows.csv", index=False)


def shell(program, words, streams):
    """Run a command with its streams led elsewhere by a shell."""
    line = f"{shlex.join(map(str, [*program, *words]))} {streams}"
    return subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=100, check=False)


@pytest.mark.parametrize(
    ("words", "streams", "stream"),
    [
        (("enrich", "rows.csv", "-", *SIZE), ">&-", "output"),
        (("submit", "rows.csv", *SIZE), ">&-", "output"),
        (("enrich", "-", "out.jsonl", *SIZE), "<&-", "input"),
    ],
)
def test_a_closed_stream_is_told_before_anything_is_sent(rows, pointed, words, streams, stream):
    """Exit code 2 and one line; nothing was paid."""
    done = shell(PROGRAM, words, streams)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert f"The standard {stream} is closed" in done.stderr
    assert pointed.counts.runs == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_output_is_resumable(rows, program, pointed):
    """What was paid for cannot be printed: exit code 3, and the same command resumes without paying again."""
    words = ("enrich", "rows.csv", *SIZE, "--no-progress")
    done = shell([program], words, ">/dev/full")
    assert done.returncode == 3
    assert "The standard output cannot be written (No space left on device)." in done.stderr
    assert f"To resume: parallel-frames {shlex.join(words)}" in done.stderr
    assert "Exception ignored" not in done.stderr
    again = shell([program], words, "")
    assert [json.loads(line)["size"] for line in again.stdout.splitlines()] == [4, 6]
    summary = shell([program], ("enrich", "rows.csv", "out.parquet", *SIZE, "--json"), ">/dev/full")
    assert (summary.returncode, "are in out.parquet" in summary.stderr) == (3, True)
    collected = shell([program], ("collect", pointed.group_ids[0]), ">/dev/full")
    assert (collected.returncode, "To resume: " in collected.stderr) == (3, True)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("target", ["out.parquet", "out.csv"])
def test_a_full_error_stream_decides_nothing(rows, program, pointed, place, target):
    """Talk that cannot be heard stops no job."""
    done = shell([program], ("enrich", "rows.csv", target, *SIZE), "2>/dev/full")
    assert done.returncode == 0
    assert (place / target).exists()


def test_a_reader_that_leaves_is_no_error(rows):
    """`| head` ends the program as it ends others: 141, without a word."""
    words = shlex.join([*PROGRAM, "plan", "rows.csv", "--column", "ceo: name", "--json"])
    line = f"{words} | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=100, check=False)
    assert (done.stdout, done.stderr) == ("141\n", "")


@pytest.mark.parametrize(
    ("number", "code", "ignored"),
    [(signal.SIGTERM, 143, False), (signal.SIGHUP, 129, False), (signal.SIGTERM, 143, True)],
    ids=["term", "hup", "term in the background"],
)
def test_a_signal_is_an_interrupt_that_says_how_to_go_on(rows, start, monkeypatch, place, number, code, ignored):
    """cron, systemd and docker end a job as Ctrl-C does, also where a shell had SIGINT ignored."""
    with Simulator(size, latency=60, speed=1) as sim:
        point_at(sim, monkeypatch)
        before = signal.getsignal(signal.SIGINT)
        try:
            if ignored:
                signal.signal(signal.SIGINT, signal.SIG_IGN)
            process = start("enrich", "rows.csv", "out.csv", *SIZE)
        finally:
            signal.signal(signal.SIGINT, before)
        sim.wait_until(lambda counts: counts.runs == 2, timeout=60)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert f"ended by {number.name}." in err
    assert "To resume: parallel-frames enrich rows.csv out.csv" in err
    assert not (place / "out.csv").exists()


def test_an_interrupt_without_a_checkpoint_names_the_group(rows, start, monkeypatch):
    """The same command would pay again for what only its group remembers, so it is not advised."""
    with Simulator(size, latency=60, speed=1) as sim:
        point_at(sim, monkeypatch)
        process = start("enrich", "rows.csv", "out.csv", *SIZE, "--checkpoint", "none")
        sim.wait_until(lambda counts: counts.runs == 2, timeout=60)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 143, err
    assert STOPPED.search(err)[1] == sim.group_ids[0]
    assert "ended by SIGTERM. There is no checkpoint. To fetch the answers: parallel-frames collect tgrp_" in err
    assert "To resume" not in err
    assert "pf." not in err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_an_output_that_fails_without_a_checkpoint_names_the_group(rows, program, pointed):
    """What was paid for cannot be printed, and the same command would pay again: the group's name is what helps."""
    words = ("enrich", "rows.csv", *SIZE, "--no-progress", "--checkpoint", "none")
    done = shell([program], words, ">/dev/full")
    assert done.returncode == 3
    fetch = f"There is no checkpoint. To fetch the answers: parallel-frames collect {pointed.group_ids[0]}"
    assert f"The standard output cannot be written (No space left on device). {fetch}" in done.stderr
    summary = shell([program], (*words, "-o", "out.csv", "--json"), ">/dev/full")
    assert (summary.returncode, "are in out.csv." in summary.stderr) == (3, True)
    assert "To resume" not in done.stderr + summary.stderr


def test_a_target_that_fails_without_a_checkpoint_names_the_group(rows, start, monkeypatch, place):
    """The directory of the target went away meanwhile."""
    (place / "there").mkdir()
    with Simulator(size, latency=60, speed=20) as sim:
        point_at(sim, monkeypatch)
        process = start("enrich", "rows.csv", "there/out.csv", *SIZE, "--checkpoint", "none")
        sim.wait_until(lambda counts: counts.runs == 2, timeout=60)
        (place / "there").rmdir()
        _, err = process.communicate(timeout=60)
        assert process.returncode == 3
        assert f"To fetch the answers: parallel-frames collect {sim.group_ids[0]}" in err
        assert "To resume" not in err


def test_warnings_and_progress_spell_options_as_flags(rows, start, monkeypatch):
    """What is shown while a command runs speaks as its errors do: on the screen and in the log."""
    words = ("enrich", "rows.csv", "-o", "out.csv", *SIZE, "--overwrite")
    with Simulator(size, latency=6000, speed=20) as sim:
        point_at(sim, monkeypatch)
        process = start(*words, "--checkpoint", "none")
        sim.wait_until(lambda counts: counts.runs == 2, timeout=60)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        assert STOPPED.search(err)[1] == sim.group_ids[0]
        assert "`" not in err
        again = (*words, "--refresh", "--timeout", "2")
        assert start(*again).wait(60) == 1
        for quiet in ((), ("--no-progress",)):
            _, err = start(*again, *quiet).communicate(timeout=60)
            assert "this continues a refresh that is not over" in err
            assert "--older-than asks by age instead." in err
            assert "`" not in err


def test_a_refused_request_is_not_to_be_repeated(run, pointed):
    """Where the same command would be refused again, it is not advised, and nothing of Python."""
    done = run("collect", "tgrp_nowhere", "--output", "out.jsonl")
    assert done.exit_code == 3
    assert "To resume" not in done.stderr
    assert "another dialect (--api)?" in done.stderr
    assert "group_id=" not in done.stderr
    assert not Path("out.jsonl").exists()


def test_ctrl_d_at_the_question_is_no(rows, program, pointed):
    """No answer is no yes: exit code 2."""
    pexpect = pytest.importorskip("pexpect")
    child = pexpect.spawn(str(program), ["enrich", "rows.csv", "out.csv", *SIZE[:2]], timeout=60)
    child.expect(r"\[y/N\]")
    child.sendeof()
    child.expect(pexpect.EOF)
    child.close()
    assert (child.exitstatus, pointed.counts.runs) == (2, 0)

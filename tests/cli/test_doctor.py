"""`doctor`: the table, its exit codes, what it asks, and what it says where it is interrupted."""

from __future__ import annotations

import json
import os
import signal

import pytest

from parallel_frames.simulator import Simulator, faults

from .conftest import PROGRAM, point_at

KEY = "not-a-real-key"


@pytest.fixture
def examine(run, monkeypatch):
    """Run the command against a simulator with faults; give the result and the simulator."""

    def invoke(*words, trouble=()):
        with Simulator(latency=0, faults=trouble) as sim:
            point_at(sim, monkeypatch)
            return run("doctor", *words), sim

    return invoke


def test_a_service_as_assumed_is_exit_code_0(examine):
    """The price is stated, and the table printed; three runs are paid for."""
    done, sim = examine("--yes")
    assert done.exit_code == 0
    assert done.stderr.startswith("Sends 3 runs on lite for $0.015, ~35 s")
    assert " · published · 20 ok · 3 runs on lite, $0.015" in done.stdout.splitlines()[0]
    assert sim.counts.runs == 3


def test_what_breaks_is_exit_code_1_and_can_be_attached(examine, place):
    """The same value for people, machines and a file; options are spelled for a shell, and no secret is in it."""
    done, _ = examine(
        "--yes", "--json", "--output", "doctor.json",
        trouble=[faults.lose_fields(("metadata", "input"), on=["events", "list_runs"])],
    )  # fmt: skip
    assert done.exit_code == 1
    found = json.loads(done.stdout)
    assert json.loads((place / "doctor.json").read_text()) == found
    broken = {check["name"]: check["meaning"] for check in found["checks"] if check["verdict"] == "breaks"}
    assert list(broken) == ["metadata"]
    assert "except with --max-in-flight 1." in broken["metadata"]
    assert KEY not in done.stdout + done.stderr


def test_without_a_key_this_machine_is_checked(run):
    """No question, no network: a table of what is local, and what to set."""
    done = run("doctor", "--base-url", "https://api.example")
    assert done.exit_code == 1
    assert "Set PARALLEL_API_KEY" in " ".join(done.stdout.split())
    assert done.stdout.startswith("api.example · 3 ok · 1 breaks · nothing was sent\n")


def test_offline_needs_no_key_and_is_labelled(run):
    """A simulator answers, nothing is asked, and the table says so."""
    done = run("doctor", "--offline", "--api", "seed")
    assert done.exit_code == 0
    assert done.stdout.splitlines()[0].startswith("simulator · seed · ")
    assert done.stdout.splitlines()[0].endswith(" · SIMULATED")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "3 runs on lite for $0.015, ~35 s, and there is neither a terminal nor a notebook to ask in."),
        ([], "Pass --yes to send without asking."),
        (["--yes", "--output", "nowhere/doctor.json"], "there is no such directory"),
        (["--yes", "--output", "."], "is a directory"),
    ],
)  # fmt: skip
def test_nothing_is_sent_where_it_cannot_end_well(examine, words, message):
    """Exit code 2, before anything is paid."""
    done, sim = examine(*words)
    assert done.exit_code == 2
    assert message in done.stderr
    assert sim.requests() == []


@pytest.mark.skipif(os.name == "nt", reason="needs a terminal")
@pytest.mark.parametrize(("answer", "code", "runs"), [("y", 0, 3), ("n", 2, 0)])
def test_it_asks_before_it_pays(monkeypatch, answer, code, runs):
    """At a terminal, with the price."""
    pexpect = pytest.importorskip("pexpect")
    with Simulator(latency=0) as sim:
        point_at(sim, monkeypatch)
        child = pexpect.spawn(PROGRAM[0], [*PROGRAM[1:], "doctor"], timeout=60, dimensions=(24, 400))
        child.expect(r"with 3 runs on lite for \$0\.015, ~35 s\? \[y/N\]")
        child.sendline(answer)
        child.expect(pexpect.EOF)
        child.close()
    assert child.exitstatus == code
    assert sim.counts.runs == runs


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_interrupted_it_says_what_was_paid(start, monkeypatch):
    """Runs that are under way may be billed; the group with their answers is named."""
    with Simulator(latency=600) as sim:
        point_at(sim, monkeypatch)
        process = start("doctor", "--yes")
        sim.wait_until(lambda counts: counts.streams == 1, timeout=60)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert f"Stopped: 3 runs sent, at most $0.015 billed. The answers are in group {sim.group_ids[0]}." in err
    assert "To resume" not in err
    assert out == ""

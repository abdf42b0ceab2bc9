"""`status` and `collect`: every finished run is written once, whatever is cut or killed."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass

import pandas as pd
import pytest

import parallel_frames as pf
from parallel_frames.simulator import Simulator, faults

from .conftest import point_at, size


@dataclass(frozen=True, slots=True, kw_only=True)
class Chatty(faults.StreamFault):
    """Streams that end with an event of the group's own, with an id that is new each time."""

    async def bend(self, frames, *, rng):
        """Add it."""
        async for chunk in frames:
            yield chunk
        event = {"type": "task_group_status", "event_id": f"evt_{rng.random()}", "status": {"is_active": False}}
        yield [b"data: " + json.dumps(event).encode() + b"\n\n"]


def submit(sim, names, *, api="auto"):
    """Send companies, and return the group."""
    client = pf.Client(api_key="not-a-real-key", base_url=sim.url, clock_speed=sim.speed, api=api, max_per_minute=None)
    df = pd.DataFrame({"company": list(names)})
    run = pf.submit(df, {"size": int}, client=client, checkpoint=None, progress=False)
    return run.group_ids[-1]


def companies(number):
    """Return so many names."""
    return [f"Company {n}" for n in range(number)]


def lines_of(path):
    """Return what a file of JSON lines holds."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_status_tells_people_and_machines(run, pointed):
    """Counts, address and metadata of a group."""
    group_id = submit(pointed, ["Acme", "Nobody"])
    pointed.wait_until(lambda counts: counts.completed + counts.failed == 2)
    told = json.loads(run("status", group_id, "--json").stdout)
    assert (told["runs"], told["counts"]["failed"], told["is_active"]) == (2, 1, False)
    assert told["metadata"]["processor"] == "base"
    assert "2 runs: " in run("status", group_id, "--watch").stdout


def test_an_unknown_group_is_exit_code_3(run, pointed):
    """The service does not know it."""
    assert run("status", "tgrp_nowhere").exit_code == 3
    assert run("collect", "tgrp_nowhere").exit_code == 3


@pytest.mark.parametrize("api", ["published", "seed"])
@pytest.mark.parametrize("follow", [[], ["--follow"]])
def test_a_line_per_run_with_input_and_output(run, monkeypatch, place, api, follow):
    """What a row sent, what came back and why it failed stand in its line, in both dialects."""
    with Simulator(size, latency=0.5, speed=20, dialect=api) as sim:
        point_at(sim, monkeypatch)
        group_id = submit(sim, ["Acme", "Nobody"], api=api)
        sim.wait_until(lambda counts: counts.completed + counts.failed == 2)
        done = run("collect", group_id, *follow, "--output", "out.jsonl")
    assert done.exit_code == 0, done.stderr
    good, bad = sorted(lines_of(place / "out.jsonl"), key=lambda line: line["status"])
    assert list(good) == ["event_id", "run_id", "group_id", "status", "input", "output", "basis", "metadata", "error"]
    assert (good["input"], good["output"]) == ({"company": "Acme"}, {"size": 4})
    assert (bad["status"], bad["error"]["message"]) == ("failed", "no such company")
    assert bool(good["event_id"]) == bool(follow)


@pytest.mark.parametrize("api", ["published", "seed"])
def test_killed_anywhere_it_goes_on_without_loss_or_duplicate(start, monkeypatch, place, api):
    """SIGKILL while it follows, torn lines and cut streams: in the end each run stands there once, with its output."""
    out = place / "out.jsonl"
    trouble = [faults.cut_stream(after=40)]
    with Simulator(size, latency=(1, 80), speed=20, dialect=api, max_per_minute=None, faults=trouble) as sim:
        point_at(sim, monkeypatch)
        group_id = submit(sim, companies(600), api=api)
        for _ in range(3):
            before = out.read_bytes().count(b"\n") if out.exists() else 0
            process = start("collect", group_id, "--follow", "--output", out)
            deadline = time.monotonic() + 30
            while process.poll() is None and time.monotonic() < deadline:
                if out.exists() and out.read_bytes().count(b"\n") > before + 20:
                    break
                time.sleep(0.01)
            process.kill()
            process.wait()
            with out.open("ab") as handle:
                handle.write(b'{"event_id":"evt_torn","run_')
        last = start("collect", group_id, "--follow", "--output", out)
        _, err = last.communicate(timeout=100)
        assert last.returncode == 0, err
        lines = lines_of(out)
        assert sorted(line["run_id"] for line in lines) == sorted(run.run_id for run in sim.runs())
        assert all(line["output"] == {"size": len(line["input"]["company"])} for line in lines)


def test_outputs_that_the_stream_leaves_out_are_fetched(run, monkeypatch, place):
    """A service whose events come without outputs is asked for them."""
    with Simulator(size, latency=(1, 20), speed=20, events_honour_include_output=False) as sim:
        point_at(sim, monkeypatch)
        group_id = submit(sim, companies(30))
        assert run("collect", group_id, "--follow", "--output", "out.jsonl").exit_code == 0
    assert [line["output"] for line in lines_of(place / "out.jsonl")].count(None) == 0


@pytest.mark.parametrize("policy", ["refuse", "start", "end"])
def test_a_forgotten_cursor_loses_nothing(run, monkeypatch, place, policy):
    """Whatever a service makes of a cursor that it does not know, every run is there in the end."""
    with Simulator(size, latency=0.5, speed=20, unknown_cursor=policy) as sim:
        point_at(sim, monkeypatch)
        group_id = submit(sim, companies(5))
        line = {"event_id": "evt_unknown", "run_id": "one more", "group_id": group_id}
        (place / "out.jsonl").write_text(json.dumps(line, separators=(",", ":")) + "\n")
        assert run("collect", group_id, "--follow", "--output", "out.jsonl").exit_code == 0
    assert len(lines_of(place / "out.jsonl")) == 6


def test_the_start_may_be_named(run, monkeypatch, place):
    """Only what came after the named event is written, into a pipe too."""
    with Simulator(size, latency=0.5, speed=20) as sim:
        point_at(sim, monkeypatch)
        group_id = submit(sim, companies(9))
        sim.wait_until(lambda counts: counts.completed == 9)
        whole = [json.loads(line) for line in run("collect", group_id, "--follow").stdout.splitlines()]
        rest = run("collect", group_id, "--follow", "--last-event-id", whole[5]["event_id"])
    assert [json.loads(line) for line in rest.stdout.splitlines()] == whole[6:]


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgetful(faults.StreamFault):
    """Streams and lists in which completed runs have no output, as after the end of their retention."""

    async def bend(self, frames, *, rng):
        """Take it away."""
        async for chunk in frames:
            yield list(map(self._changed, chunk))

    def _changed(self, data):
        if not data.startswith(b"data: "):
            return data
        return b"data: " + json.dumps(json.loads(data[6:]) | {"output": None}).encode() + b"\n\n"


@pytest.mark.parametrize("follow", [[], ["--follow"]])
def test_runs_that_have_lost_their_output_are_named(run, monkeypatch, place, follow):
    """What failed is written; the error names the run that completed without an output, and says what is missing."""
    gone = [Forgetful(on=frozenset({"events", "list_runs"})), faults.status(404, on="result")]
    with Simulator(size, latency=0.5, speed=1_000, faults=gone) as sim:
        point_at(sim, monkeypatch)
        group_id = submit(sim, ["Acme", "Nobody"])
        sim.wait_until(lambda counts: counts.completed == 1)
        lost = next(each.run_id for each in sim.runs() if each.input["company"] == "Acme")
        done = run("collect", group_id, *follow, "--output", "out.jsonl")
    assert done.exit_code == 3
    assert f"run {lost} of group {group_id} completed, but the service shows no output of it" in done.stderr
    assert [line["status"] for line in lines_of(place / "out.jsonl")] == ["failed"]


@pytest.mark.parametrize("text", ["id,name\n1,Acme\n", "no end", '{"a": 1}\n'])
def test_a_file_that_is_not_its_own_is_left_alone(run, pointed, place, text):
    """Another program's file is neither cut nor appended to."""
    (place / "out.jsonl").write_text(text)
    done = run("collect", submit(pointed, ["Acme"]), "--output", "out.jsonl")
    assert done.exit_code == 2
    assert (place / "out.jsonl").read_text() == text


def test_another_groups_file_is_left_alone(run, pointed, place):
    """Two groups are never mixed without a word."""
    one, other = submit(pointed, ["Acme"]), submit(pointed, ["Globex"])
    assert run("collect", one, "--follow", "--output", "out.jsonl").exit_code == 0
    text = (place / "out.jsonl").read_text()
    done = run("collect", other, "--output", "out.jsonl")
    assert done.exit_code == 2
    assert f"out.jsonl holds runs of the group {one}" in done.stderr
    assert (place / "out.jsonl").read_text() == text


@pytest.mark.skipif(os.name == "nt", reason="POSIX devices")
@pytest.mark.parametrize("output", ["/dev/null", "/dev/zero", "."])
def test_what_is_no_file_is_refused(run, pointed, output):
    """A device is never read to its end, which it may not have; the error says how to write into a pipe."""
    done = run("collect", "tgrp_any", "--output", output)
    assert done.exit_code == 2
    assert "is not a regular file; name one, or pass - to write into a pipe" in done.stderr


def test_a_line_without_end_is_not_read_whole(run, pointed, place):
    """A file of zeros is refused, whatever its size."""
    with (place / "out.jsonl").open("wb") as file:
        file.truncate(2**27)
    assert run("collect", "tgrp_any", "--output", "out.jsonl").exit_code == 2
    assert (place / "out.jsonl").stat().st_size == 2**27


def test_status_events_with_new_ids_are_no_news(run, monkeypatch, place):
    """A finished group is followed to its end, in a few requests, however its streams end."""
    with Simulator(size, latency=0, faults=[Chatty()], unknown_cursor="start") as sim:
        point_at(sim, monkeypatch)
        group_id = submit(sim, companies(3))
        sim.wait_until(lambda counts: counts.completed == 3)
        before = sim.counts.requests
        assert run("collect", group_id, "--follow", "--output", "out.jsonl").exit_code == 0
        assert sim.counts.requests - before < 15
    assert len(lines_of(place / "out.jsonl")) == 3


def test_a_group_that_still_runs_is_no_finished_one(run, monkeypatch, place):
    """How many runs are missing is said, with what waits for them; a file of another format is refused."""
    with Simulator(size, latency=600, speed=1) as sim:
        point_at(sim, monkeypatch)
        group_id = submit(sim, companies(5))
        early = run("collect", group_id, "-o", "runs.jsonl")
        said = "0 of 5 runs written, 5 still running; add --follow to wait for them.\n"
        assert (early.exit_code, early.stderr) == (1, said)
        refused = run("collect", group_id, "-o", "runs.csv")
    assert (refused.exit_code, "collect writes JSON lines, and runs.csv names another" in refused.stderr) == (2, True)
    assert not (place / "runs.csv").exists()

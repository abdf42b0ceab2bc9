"""A group that the service does not know any more: what it answered counts, new rows go to a new group.

What is undecided in it is neither guessed nor bought again, until its user asks these rows again.
"""

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

import parallel_frames as pf
from parallel_frames._checkpoint import open_store
from parallel_frames._job._handle import frame_enrichment
from parallel_frames._job._options import Call
from parallel_frames._model import RunId
from parallel_frames.errors import RejectedError
from parallel_frames.simulator import Simulator, faults

CLIENT = """
import os, sys
import pandas as pd
import parallel_frames as pf

count = 0

def hook(event, arguments):
    global count
    if event in ("open", "os.rename", "os.link", "os.remove") and str(arguments[0]).startswith(sys.argv[1]):
        if event != "open" or arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            count += 1
            if count == int(sys.argv[4]):
                os._exit(9)

sys.addaudithook(hook)
client = pf.Client(api_key="key", base_url=sys.argv[2], clock_speed=1000)
df = pd.DataFrame({"company": [f"company {n}" for n in range(6)]})
refresh = sys.argv[3] == "refresh"
options = {"checkpoint": sys.argv[1], "refresh": refresh, "on_mismatch": "new"}
df.parallel.enrich({"name": str}, client=client, progress=False, **options)
os._exit(0)
"""


@pytest.fixture(params=["published", "seed"])
def api(request: pytest.FixtureRequest) -> str:
    """Give each dialect."""
    return str(request.param)


@pytest.fixture(params=["frame", "file"])
def enrich(request: pytest.FixtureRequest, engine: SimpleNamespace, tmp_path: Path) -> Any:
    """Enrich a frame, or the same rows as a file."""

    def of_file(sim: Simulator, df: pd.DataFrame, checkpoint: Path, **options: Any) -> pd.DataFrame:
        source, target = tmp_path / "in.parquet", tmp_path / "out.parquet"
        df.to_parquet(source)
        options |= {"checkpoint": checkpoint, "client": engine.client(sim), "progress": False, "overwrite": True}
        pf.enrich_parquet(source, target, engine.SCHEMA, **options)
        return pd.read_parquet(target)

    return engine.enrich if request.param == "frame" else of_file


@pytest.fixture
def start(engine: SimpleNamespace, api: str) -> Iterator[Any]:
    """Start a service in place of the last one, at the same address: it knows none of its groups."""
    running: list[Simulator] = []

    def start(**options: Any) -> Simulator:
        options = {"latency": 1, "speed": engine.SPEED, "dialect": api, **options}
        if running:
            running[-1].__exit__(None, None, None)
            options["port"] = int(running[-1].url.rpartition(":")[2])
        running.append(Simulator(engine.answer, **options).__enter__())
        return running[-1]

    yield start
    running[-1].__exit__(None, None, None)


def submit(sim: Simulator, df: pd.DataFrame, checkpoint: Path, engine: SimpleNamespace) -> None:
    """Send rows, and wait for no answer."""
    df.parallel.submit(engine.SCHEMA, client=engine.client(sim), checkpoint=checkpoint, progress=False)


def leave_intent(sim: Simulator, checkpoint: Path, df: pd.DataFrame) -> None:
    """Leave what a process leaves that dies between an intent and its receipt."""
    enrichment = frame_enrichment(df, {"name": str}, Call())
    (header,) = checkpoint.glob("*/header.json")
    with open_store(header.parent, enrichment.plan.job, host=sim.url.removeprefix("http://")) as store:
        runs = [RunId(key, 0) for key in enrichment.plan.keys]
        asyncio.run(store.write_intent(store.groups[-1], runs=runs, rows=list(enrichment.plan.positions)))


def test_new_rows_go_to_a_new_group_where_all_of_the_old_one_is_decided(start, enrich, engine, tmp_path):
    """Answers and failures of a gone group are stored; the call says that it may go on without it, once and again."""
    df = pd.concat([engine.frame(1, 2), pd.DataFrame({"company": ["bad"]})], ignore_index=True)
    enrich(start(), df, tmp_path / "ck")
    for count in (2, 4):
        sim = start()
        more = pd.concat([df, engine.frame(*range(10, 10 + count))], ignore_index=True)
        with pytest.raises(RejectedError, match="`on_mismatch='new'` sends new rows to a new group"):
            enrich(sim, more, tmp_path / "ck", retry_failed=False)
        assert (sim.counts.runs, sim.counts.groups) == (0, 0)
        out = enrich(sim, more, tmp_path / "ck", retry_failed=False, on_mismatch="new")
        assert out["parallel_status"].tolist() == ["completed"] * 2 + ["failed"] + ["completed"] * count
        assert (sim.counts.runs, sim.counts.groups) == (2, 1)
    # The group that new rows go to is known: that an older one is gone is no reason to stop.
    enrich(sim, pd.concat([more, engine.frame(20)]), tmp_path / "ck", retry_failed=False)
    assert (sim.counts.runs, sim.counts.groups) == (3, 1)


def test_what_is_undecided_in_a_gone_group_waits_until_its_rows_are_asked_again(start, enrich, engine, tmp_path):
    """Runs without an outcome and a batch in doubt stay pending, with what to type; the other rows are answered."""
    sim = start(latency=50_000)
    submit(sim, engine.frame(1), tmp_path / "ck", engine)
    leave_intent(sim, tmp_path / "ck", engine.frame(2))
    group = sim.group_ids[0]
    sim = start()
    for sent in (1, 1):
        out = enrich(sim, engine.frame(1, 2, 3), tmp_path / "ck", on_mismatch="new")
        assert out["parallel_status"].tolist() == ["pending", "pending", "completed"]
        assert sim.counts.runs == sent
    known, doubtful = out["parallel_error"].tolist()[:2]
    assert known.startswith("run trun_")
    assert doubtful.startswith(f"it may be in group {group}, which the service does not know (404)")
    assert "`refresh=True` for these rows alone asks, and pays for, them again" in known
    out = enrich(sim, engine.frame(1, 2), tmp_path / "ck", refresh=True)
    assert out["name"].tolist() == ["COMPANY 1", "COMPANY 2"]
    assert sim.counts.runs == 3
    assert set(engine.paid(sim).values()) == {1}
    out = enrich(start(), engine.frame(1, 2, 3), tmp_path / "ck")
    assert out["name"].tolist() == ["COMPANY 1", "COMPANY 2", "COMPANY 3"]


def test_what_asks_the_undecided_runs_again_is_said_with_its_price(start, engine, tmp_path, capsys):
    """A frame's rows are chosen by their status; of a file, what its rows alone cost, and what all."""
    submit(start(latency=50_000), engine.frame(1), tmp_path / "ck", engine)
    options = {"client": engine.client(start()), "checkpoint": tmp_path / "ck", "on_mismatch": "new"}
    out = engine.frame(1, 2, 3).parallel.enrich(engine.SCHEMA, **options)
    choice = "`refresh=True` with `where=out['parallel_status'] == 'pending'` asks them again, for $0.01"
    assert f"1 run in groups that are gone: {choice}" in capsys.readouterr().err
    engine.frame(1, 2, 3).to_parquet(tmp_path / "in.parquet")
    pf.enrich_parquet(tmp_path / "in.parquet", tmp_path / "out.parquet", engine.SCHEMA, **options)
    assert "comes to $0.01 if their rows are passed alone with `refresh=True`, and to $0.03" in capsys.readouterr().err
    again = out.parallel.enrich(engine.SCHEMA, refresh=True, where=out["parallel_status"] == "pending", **options)
    assert again["name"].tolist() == ["COMPANY 1", "COMPANY 2", "COMPANY 3"]


def test_a_group_that_comes_back_within_the_settle_time_is_not_lost(start, engine, tmp_path):
    """A refresh gives a run up only where the service still does not know its group after that time."""
    sim = start(latency=50_000)
    submit(sim, engine.frame(1), tmp_path, engine)
    sim.add_faults(faults.status(404, on="status", nth=1))
    with pytest.raises(RejectedError, match=r"(?s)It is known again now: run the same again.*safe in"):
        engine.enrich(sim, engine.frame(1), tmp_path, refresh=True, timeout=100)
    assert sim.counts.runs == 1


def test_a_gone_group_stops_the_call_where_it_may_hold_more_than_is_known(start, engine, tmp_path):
    """A named group, one that only the frame knows, and a checkpoint that lost a part: an error says what to do."""
    out = engine.enrich(start(), engine.frame(1), tmp_path / "first")
    sim, more = start(), engine.frame(1, 2)
    group_id = out.attrs["parallel"]["enrichments"][-1]["group_ids"][-1]
    with pytest.raises(RejectedError, match="leave out `group_id`"):
        engine.enrich(sim, more, tmp_path / "first", group_id=group_id)
    with pytest.raises(RejectedError, match=r"attrs name it.*`refresh=True`"):
        engine.enrich(sim, out, tmp_path / "other")
    (part,) = tmp_path.glob("first/*/receipts/000001.parquet")
    part.write_bytes(part.read_bytes()[:99])
    with pytest.raises(RejectedError, match="remove that file") as caught:
        engine.enrich(sim, more, tmp_path / "first")
    assert (sim.counts.runs, sim.counts.groups) == (0, 0)
    Path(str(caught.value).partition(" is damaged")[0].rpartition(" ")[2]).unlink()
    leave_intent(sim, tmp_path / "first", engine.frame(2))
    (intent,) = tmp_path.glob("first/*/receipts/*.intent.parquet")
    intent.write_bytes(b"")
    with pytest.raises(RejectedError, match=f"{intent.name} is damaged and may be of a batch in it"):
        engine.enrich(sim, more, tmp_path / "first")
    intent.unlink()
    out = engine.enrich(sim, more, tmp_path / "first", on_mismatch="new")
    assert out["name"].tolist() == ["COMPANY 1", "COMPANY 2"]
    assert sim.counts.runs == 1


@pytest.mark.parametrize("mode", ["resume", "refresh"])
def test_killed_between_a_gone_group_and_the_new_one_it_pays_once(start, engine, forks, tmp_path, api, mode):
    """Whichever write was the last of the process that noticed, the next one sends each attempt once."""
    first = 1 + 2 * (api == "seed") + 4 * (mode == "refresh")  # each takes other steps
    sim = start(speed=1000, latency=0)
    for step in range(first, 100, 8):
        folder = tmp_path / str(step)
        client = pf.Client(api_key="key", base_url=sim.url, clock_speed=1000)
        engine.frame(0, 1).parallel.enrich(engine.SCHEMA, client=client, checkpoint=folder, progress=False)
        leave_intent(sim, folder, engine.frame(2))
        sim = start(speed=1000, latency=0)
        arguments = [sys.executable, "-c", CLIENT, str(folder), sim.url, mode]
        ended = forks.start([*arguments, str(step)]).wait()
        if mode == "resume" or [*folder.rglob("refresh.parquet")] or not sim.counts.runs:  # not over when it was killed
            assert forks.start([*arguments, "0"]).wait() == 0
        assert set(engine.paid(sim).values()) == {1}
        assert sim.counts.runs == (3 if mode == "resume" else 6)
        if ended == 0:
            break
    assert step > first

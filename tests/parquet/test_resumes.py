"""Checkpoints that are damaged, old, in use, or belong to other rows: nothing is paid twice."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import parallel_frames as pf
from parallel_frames.simulator import Simulator, faults

Enrich = Callable[..., pf.EnrichedParquet]
Begin = Callable[..., Any]
CALL = """
import json
import sys
import parallel_frames as pf

client = pf.Client(api_key="key", base_url=sys.argv[3], max_per_minute=None)
options = json.loads(sys.argv[4])
pf.enrich_parquet(sys.argv[1], sys.argv[2], {"name": str, "length": int}, client=client, progress=False, **options)
"""


def write(path: Path, numbers: range) -> Path:
    """Write one row per number."""
    pq.write_table(pa.table({"company": [f"company {n}" for n in numbers]}), path)
    return path


@pytest.fixture
def begin(forks: Any) -> Begin:
    """Begin a call in another process."""

    def start(source: Path, target: Path, sim: Simulator, **options: Any) -> Any:
        environment = {**os.environ, "PARALLEL_FRAMES_CLOCK_SPEED": str(sim.speed)}
        command = [sys.executable, "-c", CALL, str(source), str(target), sim.url, json.dumps(options)]
        return forks.start(command, stderr=subprocess.PIPE, env=environment)

    return start


def right(target: Path) -> bool:
    """Return whether every row has its own answer."""
    out = pd.read_parquet(target)
    return out["name"].tolist() == out["company"].str.upper().tolist()


def test_a_batch_in_doubt_is_settled_though_its_rows_have_changed(
    tmp_path: Path, begin: Begin, sim: Simulator, enrich: Enrich, files: SimpleNamespace
) -> None:
    """Killed before the answer to a POST came, then edited: rows that stayed are adopted, new ones paid."""
    source = write(tmp_path / "in.parquet", range(400))
    sim.add_faults(faults.slow(60_000, on="add_runs", when="after"))
    child = begin(source, tmp_path / "out.parquet", sim)
    sim.wait_until(lambda counts: counts.runs > 0, timeout=60)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert list(Path(os.environ["XDG_CACHE_HOME"]).rglob("*.intent.parquet"))
    sim.clear_faults()
    write(source, range(200, 500))
    done = enrich(source, tmp_path / "out.parquet")
    assert done.counts == {"completed": 300}
    assert right(tmp_path / "out.parquet")
    files.assert_paid_once(sim, runs=500)


@pytest.mark.parametrize("lost", ["receipts", "outcomes", "both", "torn"])
def test_what_a_checkpoint_lost_is_found_on_the_service(
    tmp_path: Path, sim: Simulator, enrich: Enrich, files: SimpleNamespace, lost: str
) -> None:
    """Whole folders that are gone, and parts that are torn, cost nothing: the groups are looked at first."""
    source = write(tmp_path / "in.parquet", range(300))
    done = enrich(source, tmp_path / "out.parquet")
    folder = Path(done.checkpoint)
    for name in ("receipts", "outcomes"):
        if lost in (name, "both"):
            shutil.rmtree(folder / name)
        elif lost == "torn":
            for path in (folder / name).glob("*.parquet"):
                path.write_bytes(path.read_bytes()[:100])
    write(source, range(310))
    done = enrich(source, tmp_path / "out.parquet", overwrite=True)
    assert done.counts == {"completed": 310}
    assert right(tmp_path / "out.parquet")
    files.assert_paid_once(sim, runs=310)


def test_two_calls_on_one_checkpoint_are_one_too_many(
    tmp_path: Path, begin: Begin, sim: Simulator, enrich: Enrich
) -> None:
    """The second one is refused and pays nothing; the first one goes on."""
    source = write(tmp_path / "in.parquet", range(50))
    sim.speed = 5.0
    child = begin(source, tmp_path / "out.parquet", sim)
    sim.wait_until(lambda counts: counts.runs == 50, timeout=60)
    with pytest.raises(pf.errors.CheckpointLockedError, match="is being written by process"):
        enrich(source, tmp_path / "out.parquet")
    _, trouble = child.communicate(timeout=60)
    assert child.returncode == 0, trouble.decode()
    assert right(tmp_path / "out.parquet")
    assert sim.counts.runs == 50


@pytest.mark.parametrize("moment", ["in mid-POST", "while runs are under way"])
@pytest.mark.parametrize("options", [{}, {"dialect": "seed", "seed_echo_metadata": False}], ids=["published", "seed"])
def test_equal_rows_kept_apart_survive_a_kill(
    tmp_path: Path,
    begin: Begin,
    enrich: Enrich,
    files: SimpleNamespace,
    moment: str,
    options: dict[str, Any],
) -> None:
    """dedupe=False, then SIGKILL: every row has one run, and the same call finds each by its own key."""
    source = tmp_path / "in.parquet"
    names = [f"company {n % 40}" for n in range(120)]
    pq.write_table(pa.table({"company": names}), source, row_group_size=50)
    with Simulator(files.answer, latency=(20, 60), max_per_minute=None, speed=20, **options) as sim:
        if moment == "in mid-POST":
            sim.add_faults(faults.slow(60_000, on="add_runs", when="after"))
        child = begin(source, tmp_path / "out.parquet", sim, dedupe=False)
        most = 0 if moment == "in mid-POST" else 119
        sim.wait_until(lambda counts: counts.runs > most, timeout=60)
        child.send_signal(signal.SIGKILL)
        child.communicate()
        sim.clear_faults()
        sim.speed = files.SPEED
        done = enrich(source, tmp_path / "out.parquet", client={"base_url": sim.url}, dedupe=False)
        assert (done.counts, sim.counts.runs, sim.counts.duplicates) == ({"completed": 120}, 120, 0)
        assert right(tmp_path / "out.parquet")


@pytest.mark.parametrize("dedupe", [True, False])
@pytest.mark.parametrize("ids", [True, False])
def test_a_restored_checkpoint_finds_runs_by_their_input_alone(
    tmp_path: Path, enrich: Enrich, files: SimpleNamespace, dedupe: bool, ids: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service that echoes no metadata, and an older copy of the checkpoint: what was sent since is not paid again."""
    monkeypatch.setattr("parallel_frames._engine._submit.MAX_RUNS_PER_GROUP", 50)
    source = tmp_path / "in.parquet"
    pq.write_table(pa.table({"company": [f"company {n % 90}" for n in range(120)]}), source, row_group_size=50)
    runs = 90 if dedupe else 120
    options = {"dialect": "seed", "seed_echo_metadata": False, "seed_answer_ids": ids}
    with Simulator(files.answer, latency=(5, 20), max_per_minute=None, speed=files.SPEED, **options) as sim:
        call: dict[str, Any] = {"client": {"base_url": sim.url}, "checkpoint": tmp_path / "ck", "dedupe": dedupe}
        enrich(source, None, wait=False, **call)
        assert sim.counts.runs == runs
        (header,) = (tmp_path / "ck").rglob("header.json")
        for name in ("receipts", "outcomes"):
            for path in sorted((header.parent / name).glob("*.parquet"))[1:]:
                path.unlink()
        done = enrich(source, tmp_path / "out.parquet", **call)
        assert (done.counts, sim.counts.runs) == ({"completed": 120}, runs)
        assert right(tmp_path / "out.parquet")


def test_runs_that_could_be_anybodys_stop_a_file_as_they_stop_a_frame(
    tmp_path: Path, enrich: Enrich, files: SimpleNamespace
) -> None:
    """Where not even the input is echoed nothing can be decided: nothing is sent, and the call can be resumed."""
    source = write(tmp_path / "in.parquet", range(30))
    options = {"dialect": "seed", "seed_echo_metadata": False, "seed_echo_input": False}
    with Simulator(files.answer, latency=(5, 20), max_per_minute=None, speed=1000.0, **options) as sim:
        call: dict[str, Any] = {"client": {"base_url": sim.url, "clock_speed": 1000.0}, "checkpoint": tmp_path / "ck"}
        enrich(source, None, wait=False, **call)
        for path in [*(tmp_path / "ck").rglob("receipts/*.parquet"), *(tmp_path / "ck").rglob("outcomes/*.parquet")]:
            path.unlink()
        with pytest.raises(pf.errors.UndecidedError, match="could be anybody's"):
            enrich(source, tmp_path / "out.parquet", **call)
        assert sim.counts.runs == 30


def test_a_frame_and_a_file_keep_equal_rows_apart_by_the_same_keys(
    tmp_path: Path, sim: Simulator, enrich: Enrich, files: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which of the equal rows a row is counts over batches, and counts the rows that are not asked about."""
    monkeypatch.setattr("parallel_frames._files._batches.BATCH_ROWS", 7)
    df = pd.DataFrame({"company": [f"company {n % 4}" for n in range(50)]})
    df.to_parquet(tmp_path / "in.parquet")
    client = pf.Client(api_key="key", base_url=sim.url, clock_speed=files.SPEED)
    call: dict[str, Any] = {"dedupe": False, "checkpoint": tmp_path / "ck"}
    df.parallel.enrich(files.SCHEMA, client=client, progress=False, where=df.index >= 40, **call)
    assert sim.counts.runs == 10
    plan = pf.plan_parquet(tmp_path / "in.parquet", files.SCHEMA, client=client, **call)
    assert (plan.answered, plan.to_send, plan.duplicates) == (10, 40, 0)
    done = enrich(tmp_path / "in.parquet", tmp_path / "some.parquet", where=lambda df: df.index % 3 == 0, **call)
    assert (done.counts, sim.counts.runs) == ({"completed": 17}, 10 + 14)
    enrich(tmp_path / "in.parquet", tmp_path / "out.parquet", **call)
    assert right(tmp_path / "out.parquet")
    out = df.parallel.enrich(files.SCHEMA, client=client, progress=False, **call)
    assert set(out["parallel_status"]) == {"completed"}
    files.assert_paid_once(sim, runs=50)


def test_a_checkpoint_that_moved_goes_on_elsewhere(
    tmp_path: Path, sim: Simulator, enrich: Enrich, files: SimpleNamespace
) -> None:
    """The folder is all there is of a job: copied, it serves the same rows from another place."""
    source = write(tmp_path / "in.parquet", range(50))
    enrich(source, None, wait=False, checkpoint=tmp_path / "ck")
    other = tmp_path / "other"
    shutil.copytree(tmp_path / "ck", other / "ck")
    shutil.copy(source, other / "rows.parquet")
    enrich(other / "rows.parquet", other / "out.parquet", checkpoint=other / "ck")
    assert right(other / "out.parquet")
    files.assert_paid_once(sim, runs=50)


def test_rows_that_are_all_strangers_stop_the_call(tmp_path: Path, sim: Simulator, enrich: Enrich) -> None:
    """A column that was renamed makes every row a new input: an error says so before anything is paid."""
    source = write(tmp_path / "in.parquet", range(50))
    enrich(source, tmp_path / "out.parquet")
    table = pq.read_table(source)
    pq.write_table(table.append_column("nr", pa.array(range(50))), source)
    for call in (enrich, _plan(sim)):
        with pytest.raises(pf.errors.CheckpointMismatchError, match=r"(?s)only 0 of.*stored, row 0.*now, row 0.*nr"):
            call(source, tmp_path / "out.parquet", overwrite=True)
    assert sim.counts.runs == 50
    other = write(tmp_path / "other.parquet", range(50, 100))
    assert _plan(sim)(other, tmp_path / "out.parquet").to_send == 50  # of another file as many new rows are expected
    enrich(source, tmp_path / "out.parquet", overwrite=True, on_mismatch="new", limit=1)
    assert sim.counts.runs == 51


def _plan(sim: Simulator) -> Callable[..., Any]:
    def plan(source: Path, target: Path, **_: Any) -> Any:
        client = pf.Client(api_key="key", base_url=sim.url)
        return pf.plan_parquet(source, {"name": str, "length": int}, target=target, client=client)

    return plan


def test_a_refresh_that_is_killed_goes_on(
    tmp_path: Path, begin: Begin, sim: Simulator, enrich: Enrich, files: SimpleNamespace
) -> None:
    """Rows that the killed refresh asked already are not asked a third time."""
    source = write(tmp_path / "in.parquet", range(1_500))
    enrich(source, tmp_path / "out.parquet")
    child = begin(source, tmp_path / "out.parquet", sim, refresh=True, overwrite=True)
    sim.wait_until(lambda counts: counts.runs > 1_500, timeout=60)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    done = enrich(source, tmp_path / "out.parquet", overwrite=True, refresh=True)
    assert (done.counts, done.cost) == ({"completed": 1_500}, 30.0)
    assert sim.counts.runs == 3_000
    assert set(files.paid(sim).values()) == {1}


def test_the_same_call_completes_a_target_that_its_limit_left_open(
    tmp_path: Path, sim: Simulator, enrich: Enrich
) -> None:
    """It needs no `overwrite`, and pays for the rest only; a target of another question stays."""
    source, target = write(tmp_path / "in.parquet", range(4)), tmp_path / "out.parquet"
    assert enrich(source, target, limit=1).counts == {"completed": 1, "not_sent": 3}
    with pytest.raises(pf.errors.InputError, match="exists"):
        enrich(source, target, processor="lite")
    assert enrich(source, target).counts == {"completed": 4}
    assert sim.counts.runs == 4

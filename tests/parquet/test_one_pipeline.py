"""What frames and files share: one handle, one preflight, one set of options, one look at each group."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

import parallel_frames as pf
from parallel_frames.errors import CostError, RejectedError
from parallel_frames.simulator import Simulator, faults

Enrich = Callable[..., pf.EnrichedParquet]


def client(sim: Simulator, files: SimpleNamespace) -> pf.Client:
    """Return a client on the simulator's clock."""
    return pf.Client(api_key="key", base_url=sim.url, clock_speed=files.SPEED, max_per_minute=None)


@pytest.fixture
def source(tmp_path: Path, files: SimpleNamespace) -> Path:
    """Give a file of ten rows, of which two are equal and one fails."""
    path = tmp_path / "in.parquet"
    pd.DataFrame({"company": ["bad", "company 0", *(f"company {n}" for n in range(8))]}).to_parquet(path)
    return path


def test_the_handle_of_a_file_answers_as_that_of_a_frame(
    source: Path, tmp_path: Path, enrich: Enrich, sim: Simulator
) -> None:
    """Status, rows, errors, report, cost and groups are there while the answers are in files alone."""
    done = enrich(source, tmp_path / "out.parquet")
    run = pf.last()
    assert run is not None
    assert run.status() == done.counts == {"completed": 9, "failed": 1}
    assert (run.group_ids, run.checkpoint, run.cost) == (done.group_ids, done.checkpoint, done.cost)
    rows = {row.position: row for row in run}
    assert sorted(rows) == list(range(10))
    assert rows[1].values == rows[2].values == {"name": "COMPANY 0", "length": 9}
    assert run.errors()["parallel_error"].tolist() == ["no such company"]
    assert run.partial()["name"].isna().tolist() == [True] + [False] * 9
    assert run.report().counts == done.counts
    requests = sim.counts.requests
    assert run.result().counts == done.counts
    assert sim.counts.requests == requests


def test_on_row_gets_the_rows_of_a_file(source: Path, tmp_path: Path, enrich: Enrich) -> None:
    """Each row is handed over once, those that were answered before included."""
    for _ in range(2):
        seen: list[pf.Row] = []
        enrich(source, tmp_path / "out.parquet", overwrite=True, retry_failed=False, on_row=seen.append)
        assert sorted(row.index for row in seen) == list(range(10))
        assert Counter(row.status for row in seen) == {"completed": 9, "failed": 1}


def test_a_file_stops_sending_when_it_is_told_to(tmp_path: Path, enrich: Enrich, files: SimpleNamespace) -> None:
    """What is sent is awaited, the rest is not_sent, and resume() of the handle sends it."""
    files.rows(*range(60)).to_parquet(tmp_path / "in.parquet")
    stop = [True]

    def on_row(row: pf.Row) -> None:
        run = pf.last()
        if stop and run is not None:
            run.stop_sending()

    done = enrich(tmp_path / "in.parquet", tmp_path / "out.parquet", overwrite=True, max_in_flight=10, on_row=on_row)
    assert done.counts["not_sent"] > 0
    stop.clear()
    run = pf.last()
    assert run is not None
    assert run.resume().counts == {"completed": 60}


def test_a_file_completes_a_group_that_is_named(
    source: Path, tmp_path: Path, enrich: Enrich, sim: Simulator, files: SimpleNamespace
) -> None:
    """Runs of ours in the group are adopted, in another checkpoint too; only what is not there is sent."""
    df = pd.read_parquet(source)
    df.head(5).parallel.enrich(files.SCHEMA, checkpoint=None, client=client(sim, files), progress=False)
    run = pf.last()
    assert run is not None
    before = sim.counts.runs
    done = enrich(source, tmp_path / "out.parquet", group_id=run.group_ids[0], retry_failed=False)
    assert done.counts == {"completed": 9, "failed": 1}
    assert (before, sim.counts.runs, sim.counts.duplicates) == (4, 9, 0)


def test_a_budget_names_the_limit_and_what_is_safe_for_files_too(
    source: Path, tmp_path: Path, enrich: Enrich, sim: Simulator
) -> None:
    """A file's CostError has the `limit=` that would do, and once something was paid says where that is."""
    with pytest.raises(CostError) as refused:
        enrich(source, tmp_path / "out.parquet", max_cost=0.03)
    assert refused.value.limit == 3
    assert sim.counts.posts == 0
    enrich(source, tmp_path / "out.parquet", limit=3)
    with pytest.raises(CostError) as refused:
        enrich(source, tmp_path / "out.parquet", overwrite=True, max_cost=0.05, retry_failed=False)
    assert refused.value.limit == 6  # one of the three failed, and is not billed
    assert "3 runs sent" in str(refused.value.safety)


def test_a_resume_lists_each_group_once(tmp_path: Path, enrich: Enrich, sim: Simulator, files: SimpleNamespace) -> None:
    """A file whose job is under way looks at its group one time before it sends what is new."""
    files.rows(*range(20)).to_parquet(tmp_path / "in.parquet")
    sim.add_faults(faults.stick_runs())
    enrich(tmp_path / "in.parquet", None, checkpoint=tmp_path / "ck", wait=False)
    sim.clear_faults()
    files.rows(*range(25)).to_parquet(tmp_path / "in.parquet")
    before = len(sim.requests())
    enrich(tmp_path / "in.parquet", None, checkpoint=tmp_path / "ck", wait=False, on_mismatch="new")
    lists = [request.query for request in sim.requests()[before:] if request.endpoint == "list_runs"]
    assert len([query for query in lists if "status=completed" not in query]) == 1  # those fetch outputs
    files.assert_paid_once(sim, runs=25)


def test_a_file_says_what_failed_and_what_its_input_schema_lacks(
    source: Path, tmp_path: Path, sim: Simulator, files: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    """The announcement and the warnings are those of frames."""
    options = {"retry_failed": False, "overwrite": True, "input_schema": {"firm": str}, "client": client(sim, files)}
    for _ in range(2):
        pf.enrich_parquet(source, tmp_path / "out.parquet", files.SCHEMA, **options)
    lines = capsys.readouterr().err
    assert "1 of them failed, not tried again" in lines
    assert "Warning: input_schema: " in lines
    assert "firm" in lines


@pytest.mark.parametrize("backend", ["numpy_nullable", "pyarrow"])
def test_a_frame_has_provenance(sim: Simulator, files: SimpleNamespace, backend: str) -> None:
    """Each row says which run of which group answered it, and when; a row without a run does not."""
    df = pd.DataFrame({"company": ["company 1", None, "company 1"]})
    out = df.parallel.enrich(
        files.SCHEMA, provenance=True, client=client(sim, files), progress=False, dtype_backend=backend
    )
    (run,) = sim.runs()
    assert out["parallel_run_id"].fillna("").tolist() == [run.run_id, "", run.run_id]
    assert out["parallel_group_id"].dropna().unique().tolist() == list(sim.group_ids)
    assert out["parallel_answered_at"].isna().tolist() == [False, True, False]
    again = out.parallel.enrich(files.SCHEMA, if_exists="fill", provenance=True, client=client(sim, files))
    assert sim.counts.runs == 1
    assert again["parallel_run_id"].fillna("").tolist() == out["parallel_run_id"].fillna("").tolist()


@pytest.mark.parametrize("backend", ["numpy_nullable", "pyarrow"])
def test_provenance_says_what_each_row_cost(
    tmp_path: Path, sim: Simulator, files: SimpleNamespace, backend: str
) -> None:
    """Of equal rows the first bears the price, what failed is free; a row asked later has its own processor."""
    df = pd.DataFrame({"company": ["company 1", "bad", "company 1", None, "company 2"]})
    df.to_parquet(tmp_path / "in.parquet")
    first = {"processor": "core", "limit": 2, "provenance": True, "client": client(sim, files), "progress": False}
    later = {**first, "processor": "pro", "limit": None, "if_exists": "fill", "dtype_backend": backend}
    out = df.parallel.enrich(files.SCHEMA, dtype_backend=backend, **first)
    again = out.parallel.enrich(files.SCHEMA, where=[*[False] * 4, True], **later)
    pf.enrich_parquet(tmp_path / "in.parquet", tmp_path / "out.parquet", files.SCHEMA, checkpoint="auto", **first)
    assert str(out["parallel_cost"].dtype) == {"numpy_nullable": "Float64", "pyarrow": "double[pyarrow]"}[backend]

    def cells(frame: pd.DataFrame) -> list[Any]:
        return frame[["parallel_processor", "parallel_cost"]].astype(object).fillna("").to_numpy().tolist()

    assert cells(out) == [
        ["core", 0.025], ["core", 0.0], ["core", 0.0], ["", 0.0], ["", 0.0],
    ]  # fmt: skip
    assert cells(again) == [
        ["core", 0.025], ["core", 0.0], ["core", 0.0], ["", 0.0], ["pro", 0.1],
    ]  # fmt: skip
    written = pd.read_parquet(tmp_path / "out.parquet")
    assert cells(written) == cells(out)
    assert str(written["parallel_cost"].dtype) == "Float64"


def test_the_cost_of_a_processor_without_a_price_is_missing(files: SimpleNamespace) -> None:
    """It is not known; what is not billed is 0.0 all the same."""
    with Simulator(files.answer, latency=0, more_processors=["own"]) as sim:
        df = pd.DataFrame({"company": ["company 1", "bad"]})
        options = {"processor": "own", "provenance": True, "client": client(sim, files), "progress": False}
        out = df.parallel.enrich(files.SCHEMA, **options)
    assert out["parallel_cost"].fillna(-1).tolist() == [-1.0, 0.0]


def test_a_frame_asks_old_answers_again(files: SimpleNamespace, tmp_path: Path) -> None:
    """`older_than` means for a frame what it means for a file, and shares the checkpoint with it."""
    df = files.rows(1, 2)
    df.to_parquet(tmp_path / "in.parquet")
    with pf.offline(files.answer, latency=0) as sim:
        df.parallel.enrich(files.SCHEMA, progress=False)
        df.parallel.enrich(files.SCHEMA, older_than="30d", progress=False)
        assert sim.counts.runs == 2
        assert df.parallel.plan(files.SCHEMA, older_than=0).to_send == 2
        df.parallel.enrich(files.SCHEMA, older_than=0, progress=False)
        options = {"checkpoint": "auto", "older_than": "30d", "progress": False}
        pf.enrich_parquet(tmp_path / "in.parquet", tmp_path / "out.parquet", files.SCHEMA, **options)
        files.assert_paid_once(sim, runs=4)


def test_a_named_group_of_nobody_is_an_error(source: Path, tmp_path: Path, enrich: Enrich, sim: Simulator) -> None:
    """A file says that the service does not know the group, and sends nothing."""
    with pytest.raises(RejectedError, match="tgrp_1"):
        enrich(source, tmp_path / "out.parquet", group_id="tgrp_1")
    assert sim.counts.runs == 0

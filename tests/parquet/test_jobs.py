"""What a call does with the rows of a file: who is asked, who is asked again, and what the target and manifest say."""

import asyncio
import json
import re
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


def write(path: Path, *numbers: int, **columns: list[Any]) -> Path:
    """Write one row per number."""
    pq.write_table(pa.table({"company": [f"company {n}" for n in numbers], **columns}), path, row_group_size=50)
    return path


def read(path: Path) -> pd.DataFrame:
    """Read a target."""
    return pd.read_parquet(path)


def right(out: pd.DataFrame) -> bool:
    """Return whether every row has its own answer."""
    return out["name"].tolist() == out["company"].str.upper().tolist()


def test_equal_rows_anywhere_in_the_source_share_one_run(
    tmp_path: Path, sim: Simulator, enrich: Enrich, files: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Duplicates in other batches, files and windows are not paid again, and each row has its answer."""
    monkeypatch.setattr("parallel_frames._engine._submit.MAX_RUNS_PER_GROUP", 40)
    monkeypatch.setattr("parallel_frames._files._batches.BATCH_ROWS", 64)
    monkeypatch.setattr("parallel_frames._files._row_order.BUCKET_ROWS", 37)
    monkeypatch.setattr("parallel_frames._files._row_order.BUFFER_BYTES", 2_000)
    (tmp_path / "in").mkdir()
    write(tmp_path / "in" / "a.parquet", *range(150), *range(30))
    write(tmp_path / "in" / "b.parquet", *range(100, 200), *range(50))
    done = enrich(tmp_path / "in", tmp_path / "out")
    out = read(tmp_path / "out")
    assert (done.rows, done.counts, done.cost) == (330, {"completed": 330}, 2.0)
    assert len(done.group_ids) >= 5
    assert right(out)
    files.assert_paid_once(sim, runs=200)


def test_groups_do_not_wait_for_each_others_answers(
    tmp_path: Path, enrich: Enrich, files: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rate limit is used throughout: the last window is sent before the first one has an answer."""
    monkeypatch.setattr("parallel_frames._engine._submit.MAX_RUNS_PER_GROUP", 50)
    write(tmp_path / "in.parquet", *range(250))
    with Simulator(files.answer, latency=400.0, max_per_minute=60, speed=120.0) as sim:
        client = pf.Client(api_key="key", base_url=sim.url, clock_speed=120.0, max_per_minute=60)
        pf.enrich_parquet(
            tmp_path / "in.parquet", tmp_path / "out.parquet", files.SCHEMA, client=client, progress=False
        )
        runs = sim.runs()
    assert len({run.group_id for run in runs}) == 5
    created = [run.created_at for run in runs]
    assert max(created) < min(run.finished_at for run in runs if run.finished_at is not None)
    assert max(created) - min(created) < 300  # 250 runs at 60 a minute take 240 s after the first 60
    assert right(read(tmp_path / "out.parquet"))


def test_only_so_many_runs_wait_at_once(
    tmp_path: Path, sim: Simulator, enrich: Enrich, files: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`max_in_flight` holds across groups, and all is answered."""
    monkeypatch.setattr("parallel_frames._engine._submit.MAX_RUNS_PER_GROUP", 20)
    enrich(write(tmp_path / "in.parquet", *range(130)), tmp_path / "out.parquet", max_in_flight=30)
    assert right(read(tmp_path / "out.parquet"))
    files.assert_paid_once(sim, runs=130)
    moments = [(run.created_at, 1) for run in sim.runs()] + [(run.finished_at, -1) for run in sim.runs()]
    waiting = most = 0
    for _, change in sorted(moments):
        waiting += change
        most = max(most, waiting)
    assert most <= 30


def test_a_limit_asks_a_few_and_the_full_call_the_rest(
    tmp_path: Path, sim: Simulator, enrich: Enrich, files: SimpleNamespace
) -> None:
    """The whole file comes back, the rest not_sent; the full call pays for the rest alone."""
    source = write(tmp_path / "in.parquet", 0, 1, 0, *range(2, 60))
    done = enrich(source, tmp_path / "out.parquet", limit=5)
    assert (done.rows, done.counts) == (61, {"completed": 6, "not_sent": 55})
    assert read(tmp_path / "out.parquet")["parallel_status"].value_counts().to_dict() == done.counts
    plan = pf.plan_parquet(source, files.SCHEMA, target=tmp_path / "out.parquet", client=_client(sim))
    assert (plan.answered, plan.to_send, plan.duplicates, plan.spent) == (5, 55, 1, 0.05)
    done = enrich(source, tmp_path / "out.parquet", overwrite=True)
    assert (done.counts, done.cost) == ({"completed": 61}, 0.6)
    files.assert_paid_once(sim, runs=60)


def _client(sim: Simulator, **options: Any) -> pf.Client:
    return pf.Client(api_key="key", base_url=sim.url, clock_speed=sim.speed, max_per_minute=None, **options)


def test_a_timeout_leaves_rows_pending_and_the_same_call_completes_them(
    tmp_path: Path, files: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was sent is pending, what was not is not_sent; nothing is paid again."""
    monkeypatch.setattr("parallel_frames._engine._submit.MAX_RUNS_PER_GROUP", 50)
    source = write(tmp_path / "in.parquet", *range(200))
    with Simulator(files.answer, latency=200.0, max_per_minute=60, speed=100.0) as sim:
        client = pf.Client(api_key="key", base_url=sim.url, clock_speed=100.0, max_per_minute=60)
        options = {"client": client, "progress": False}
        done = pf.enrich_parquet(source, tmp_path / "out.parquet", files.SCHEMA, timeout=100, **options)
        assert set(done.counts) == {"pending", "not_sent"}
        assert sum(done.counts.values()) == 200
        assert done.counts["pending"] == len(sim.runs())
        done = pf.enrich_parquet(source, tmp_path / "out.parquet", files.SCHEMA, overwrite=True, **options)
        assert done.counts == {"completed": 200}
        files.assert_paid_once(sim, runs=200)
    assert right(read(tmp_path / "out.parquet"))


def test_failed_rows_are_tried_again_unless_told_otherwise(
    tmp_path: Path, files: SimpleNamespace, enrich: Enrich, sim: Simulator
) -> None:
    """Each later call asks them once more; ``retry_failed=False`` leaves them."""
    source = tmp_path / "in.parquet"
    pq.write_table(pa.table({"company": ["good", "bad", "bad", "worse bad"]}), source)
    out = tmp_path / "out.parquet"
    done = enrich(source, out)
    assert done.counts == {"completed": 1, "failed": 3}
    assert read(out)["parallel_error"].tolist()[1:] == ["no such company"] * 3
    enrich(source, out, overwrite=True, retry_failed=False)
    assert sim.counts.runs == 3
    done = enrich(source, out, overwrite=True)
    assert (sim.counts.runs, done.cost) == (5, 0.01)  # what fails is not billed
    assert set(files.paid(sim).values()) == {1}
    with pytest.raises(pf.errors.EnrichmentError, match=r"3 failed of 4 rows; everything is stored"):
        enrich(source, out, overwrite=True, retry_failed=False, on_error="raise")
    assert len(read(out)) == 4


def test_where_asks_some_rows_and_fills_or_replaces(
    tmp_path: Path, sim: Simulator, enrich: Enrich, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Missing, failed, or what a function of a batch says; rows that are not asked keep what they have."""
    monkeypatch.setattr("parallel_frames._files._batches.BATCH_ROWS", 2)
    source = tmp_path / "in.parquet"
    table = pa.table({
        "company": ["a", "b", "c", "d", "e"],
        "name": ["kept", None, "kept", "kept", None],
        "length": pa.array([1, None, 3, 4, 5], pa.int32()),
        "parallel_status": ["completed", "failed", "completed", "failed", None],
    })  # fmt: skip
    pq.write_table(table, source)
    options = {"inputs": ["company"], "checkpoint": tmp_path / "ck"}
    enrich(source, tmp_path / "1.parquet", where="missing", if_exists="fill", provenance=True, **options)
    assert {run.input["company"] for run in sim.runs()} == {"b", "e"}
    out = read(tmp_path / "1.parquet")
    assert out["name"].tolist() == ["kept", "B", "kept", "kept", "E"]
    assert out["length"].tolist() == [1, 1, 3, 4, 5]
    assert out["parallel_run_id"].notna().tolist() == [False, True, False, False, True]
    enrich(source, tmp_path / "2.parquet", where="failed", if_exists="overwrite", **options)
    assert {run.input["company"] for run in sim.runs()} == {"b", "e", "d"}
    out = read(tmp_path / "2.parquet")
    assert [value if isinstance(value, str) else None for value in out["name"]] == ["kept", "B", "kept", "D", None]
    done = enrich(
        source, tmp_path / "3.parquet", where=lambda df: df["company"].isin(["a", "d"]), if_exists="suffix", **options
    )
    assert done.counts == {"completed": 2}
    out = read(tmp_path / "3.parquet")
    assert [value if isinstance(value, str) else None for value in out["name_2"]] == ["A", None, None, "D", None]
    assert out["name"].tolist()[0] == "kept"


def test_filling_a_target_again_keeps_the_provenance_of_earlier_answers(tmp_path: Path, enrich: Enrich) -> None:
    """A row that is not asked again keeps which run answered it, and its columns are not sent."""
    write(tmp_path / "in.parquet", *range(4))
    enrich(tmp_path / "in.parquet", tmp_path / "one.parquet", limit=2, provenance=True)
    enrich(tmp_path / "one.parquet", tmp_path / "two.parquet", where="missing", if_exists="fill", provenance=True)
    one, two = read(tmp_path / "one.parquet"), read(tmp_path / "two.parquet")
    assert two["parallel_run_id"].tolist()[:2] == one["parallel_run_id"].tolist()[:2]
    assert two["parallel_answered_at"].notna().all()
    assert right(two)
    assert (two["parallel_status"] == "completed").all()


def test_provenance_names_the_run_of_each_row(tmp_path: Path, sim: Simulator, enrich: Enrich) -> None:
    """Run, group and time are the service's."""
    write(tmp_path / "in.parquet", 0, 1, 0)
    enrich(tmp_path / "in.parquet", tmp_path / "out.parquet", provenance=True, prefix="p_")
    out = read(tmp_path / "out.parquet")
    ids = {run.input["company"]: run.run_id for run in sim.runs()}
    assert out["p_parallel_run_id"].tolist() == [ids[name] for name in out["company"]]
    assert out["p_parallel_group_id"].unique().tolist() == sim.group_ids
    assert str(out["p_parallel_answered_at"].dtype) == "datetime64[us, UTC]"


def test_a_refresh_asks_every_row_once_more(
    tmp_path: Path, sim: Simulator, enrich: Enrich, files: SimpleNamespace
) -> None:
    """New answers replace the old ones; a refresh that a fault ended goes on where it stopped."""
    source = write(tmp_path / "in.parquet", *range(1500))
    enrich(source, tmp_path / "out.parquet")
    sim.add_faults(faults.status(401, on="add_runs", nth=range(2, 100)))
    with pytest.raises(pf.errors.AuthenticationError):
        enrich(source, tmp_path / "out.parquet", overwrite=True, refresh=True)
    half = len(sim.runs())
    assert 1500 < half < 3000
    sim.clear_faults()
    done = enrich(source, tmp_path / "out.parquet", overwrite=True, refresh=True)
    assert (done.counts, done.cost) == ({"completed": 1500}, 30.0)
    assert len(sim.runs()) == 3000
    assert set(files.paid(sim).values()) == {1}
    enrich(source, tmp_path / "out.parquet", overwrite=True)
    assert len(sim.runs()) == 3000


def _age(checkpoint: str, *, keys: int, moment: str | None, columns: tuple[str, ...] = ("modified_at",)) -> None:
    """Make the first answers of a checkpoint older, or have no time."""
    for path in sorted((Path(checkpoint) / "outcomes").glob("*.parquet")):
        table = pq.read_table(path)
        for name in columns:
            times = [moment if at < keys else told for at, told in enumerate(table.column(name).to_pylist())]
            place = table.column_names.index(name)
            table = table.set_column(place, table.schema.field(place), pa.array(times, table.schema.field(place).type))
        pq.write_table(table, path)


def test_old_answers_are_asked_again(tmp_path: Path, sim: Simulator, enrich: Enrich, files: SimpleNamespace) -> None:
    """``older_than`` asks only for what is older, once; newer answers and running ones are left alone."""
    source = write(tmp_path / "in.parquet", *range(10))
    done = enrich(source, tmp_path / "out.parquet")
    _age(done.checkpoint, keys=4, moment="2020-01-01T00:00:00Z")
    plan = pf.plan_parquet(source, files.SCHEMA, target=tmp_path / "out.parquet", client=_client(sim), older_than="30d")
    assert (plan.answered, plan.to_send) == (6, 4)
    for _ in range(2):
        done = enrich(source, tmp_path / "out.parquet", overwrite=True, older_than="30d")
        assert (done.counts, len(sim.runs())) == ({"completed": 10}, 14)
    assert set(files.paid(sim).values()) == {1}
    assert right(read(tmp_path / "out.parquet"))


@pytest.mark.parametrize("retry_failed", [True, False])
def test_an_old_answer_whose_asking_again_failed_is_not_paid_at_every_call(
    tmp_path: Path, sim: Simulator, enrich: Enrich, files: SimpleNamespace, *, retry_failed: bool
) -> None:
    """A failure of today is not old, whatever the answer before it; an old failure is retried where failures are."""
    source, target = write(tmp_path / "in.parquet", 0, 1), tmp_path / "out.parquet"
    done = enrich(source, target)
    _age(done.checkpoint, keys=9, moment="2020-01-01T00:00:00Z")
    sim.add_faults(faults.fail_runs())
    for _ in range(3):
        done = enrich(source, target, overwrite=True, older_than="1d", retry_failed=retry_failed)
        assert (len(sim.runs()), done.counts) == (4, {"completed": 2})
    _age(done.checkpoint, keys=9, moment="2020-02-01T00:00:00Z")
    plan = pf.plan_parquet(
        source, files.SCHEMA, target=target, client=_client(sim), older_than="1d", retry_failed=retry_failed
    )
    assert plan.to_send == (2 if retry_failed else 0)


@pytest.mark.parametrize("times", ["created_at", "none"])
def test_answers_without_a_time_of_their_end(
    tmp_path: Path,
    sim: Simulator,
    enrich: Enrich,
    files: SimpleNamespace,
    caplog: pytest.LogCaptureFixture,
    times: str,
) -> None:
    """The time the run was created stands in; without that nothing is paid, and a warning says why."""
    source, target = write(tmp_path / "in.parquet", *range(3)), tmp_path / "out.parquet"
    done = enrich(source, target)
    _age(done.checkpoint, keys=9, moment=None)
    _age(done.checkpoint, keys=9, moment="2020-01-01T00:00:00Z" if times != "none" else None, columns=("created_at",))
    with caplog.at_level("WARNING", "parallel_frames"):
        enrich(source, target, overwrite=True, older_than="1d")
    assert len(sim.runs()) == (3 if times == "none" else 6)
    assert ("3 answers without a time" in caplog.text) == (times == "none")
    assert set(files.paid(sim).values()) == {1}


def test_an_old_answer_stays_where_asking_again_fails(
    tmp_path: Path, sim: Simulator, enrich: Enrich, files: SimpleNamespace
) -> None:
    """A failed second attempt does not take the first one's answer away."""
    source = write(tmp_path / "in.parquet", 0, 1)
    done = enrich(source, tmp_path / "out.parquet")
    _age(done.checkpoint, keys=9, moment="2020-01-01T00:00:00Z")
    sim.add_faults(faults.fail_runs())
    done = enrich(source, tmp_path / "out.parquet", overwrite=True, older_than="1d")
    assert done.counts == {"completed": 2}
    assert right(read(tmp_path / "out.parquet"))
    assert len(sim.runs()) == 4


def test_without_waiting_a_call_sends_and_a_later_one_collects(
    tmp_path: Path, sim: Simulator, enrich: Enrich, files: SimpleNamespace
) -> None:
    """``wait=False`` returns before the answers; the same call with a target writes them, and pays nothing."""
    source = write(tmp_path / "in.parquet", *range(30))
    sent = enrich(source, None, wait=False, checkpoint=tmp_path / "ck")
    assert (sent.target, sent.rows, sent.counts, sent.manifest, sent.cost) == (None, 30, {}, None, 0.3)
    assert len(sim.runs()) == 30
    plan = pf.plan_parquet(source, files.SCHEMA, checkpoint=tmp_path / "ck", client=_client(sim))
    assert plan.to_send == 0
    enrich(source, tmp_path / "out.parquet", checkpoint=tmp_path / "ck")
    assert right(read(tmp_path / "out.parquet"))
    files.assert_paid_once(sim, runs=30)


def test_max_cost_holds_over_all_calls(tmp_path: Path, sim: Simulator, enrich: Enrich) -> None:
    """What earlier calls paid counts; more is refused before anything is sent."""
    source = write(tmp_path / "in.parquet", *range(30))
    enrich(source, tmp_path / "out.parquet", limit=10, max_cost=0.1)
    with pytest.raises(pf.errors.CostError) as caught:
        enrich(source, tmp_path / "out.parquet", overwrite=True, max_cost=0.29)
    assert (caught.value.runs, caught.value.cost) == (20, 0.3)
    assert len(sim.runs()) == 10
    enrich(source, tmp_path / "out.parquet", overwrite=True, max_cost=0.3)
    assert len(sim.runs()) == 30


def test_a_source_that_changed_pays_for_its_new_inputs(
    tmp_path: Path, sim: Simulator, enrich: Enrich, files: SimpleNamespace
) -> None:
    """Grown, re-ordered, with edited rows and without others: only what is new is sent."""
    source = write(tmp_path / "in.parquet", *range(30))
    enrich(source, tmp_path / "out.parquet")
    write(source, *range(35, 19, -1), *range(10), 3, 3)
    done = enrich(source, tmp_path / "out.parquet", overwrite=True)
    assert (done.rows, done.counts) == (28, {"completed": 28})
    assert right(read(tmp_path / "out.parquet"))
    files.assert_paid_once(sim, runs=36)


def test_the_manifest_tells_where_answers_came_from(
    tmp_path: Path, sim: Simulator, enrich: Enrich, files: SimpleNamespace
) -> None:
    """Groups, times, price, question, source: enough to trace a target, as JSON, and it says SIMULATED."""
    source = write(tmp_path / "in.parquet", 0, 1, 0)
    done = enrich(source, tmp_path / "out.parquet", processor="core")
    told = json.loads(Path(done.manifest or "").read_text())
    assert told["source"]["files"][0]["path"] == str(source)
    assert told["source"]["files"][0]["bytes"] == source.stat().st_size
    assert (told["rows"], told["rows_by_status"], told["sends"]) == (3, {"completed": 3}, ["company"])
    assert (told["runs"], told["runs_sent"], told["cost"], told["price_per_run"]) == (2, 2, 0.05, 0.025)
    assert told["schema"]["json_schema"]["properties"].keys() == {"name", "length"}
    assert (told["processor"], told["checkpoint"], told["simulated"]) == ("core", done.checkpoint, True)
    (group,) = told["groups"]
    assert (group["group_id"], group["runs"], group["completed"], group["failed"]) == (sim.group_ids[0], 2, 2, 0)
    assert group["first"].endswith("Z")
    assert done.simulated
    assert files.beside(tmp_path / "out.parquet") == {"in.parquet"}


def test_overwriting_replaces_a_target_whole(tmp_path: Path, enrich: Enrich) -> None:
    """A directory of many parts becomes one of few; nothing of the old one stays, and nothing is left beside it."""
    source = write(tmp_path / "in.parquet", *range(30))
    enrich(source, tmp_path / "out", rows_per_file=4)
    assert len(list((tmp_path / "out").iterdir())) == 8
    enrich(source, tmp_path / "out", rows_per_file=20, overwrite=True)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["part-00000.parquet", "part-00001.parquet"]
    assert right(read(tmp_path / "out"))
    assert not [path for path in tmp_path.iterdir() if path.name.endswith(".tmp")]


@pytest.mark.parametrize("dialect", ["published", "seed"])
def test_both_dialects_are_spoken(tmp_path: Path, files: SimpleNamespace, dialect: Any) -> None:
    """Several windows, a timeout, and a second call: paid once, whichever way the service speaks."""
    source = write(tmp_path / "in.parquet", *range(120), *range(20))
    with Simulator(files.answer, latency=(1, 60), speed=100.0, dialect=dialect, max_per_minute=None) as sim:
        options: dict[str, Any] = {"client": _client(sim), "progress": False, "metadata": {"id": "company"}}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("parallel_frames._engine._submit.MAX_RUNS_PER_GROUP", 50)
            pf.enrich_parquet(source, tmp_path / "out.parquet", files.SCHEMA, timeout=20, **options)
            pf.enrich_parquet(source, tmp_path / "out.parquet", files.SCHEMA, overwrite=True, **options)
        assert right(read(tmp_path / "out.parquet"))
        files.assert_paid_once(sim, runs=120)
        assert {run.metadata["id"] for run in sim.runs() if run.metadata} == {f"company {n}" for n in range(120)}


def test_a_row_with_nothing_to_send_is_skipped(tmp_path: Path, sim: Simulator, enrich: Enrich) -> None:
    """Nulls cost nothing, whole batches of them included."""
    pq.write_table(pa.table({"company": pa.array([None] * 25_000 + ["a"], pa.string())}), tmp_path / "in.parquet")
    done = enrich(tmp_path / "in.parquet", tmp_path / "out.parquet")
    assert (done.counts, len(sim.runs())) == ({"skipped": 25_000, "completed": 1}, 1)


def test_inputs_may_be_templates_mappings_and_inferred(tmp_path: Path, sim: Simulator, enrich: Enrich) -> None:
    """What a row sends is given as for frames."""
    source = write(tmp_path / "in.parquet", 1, n=[5])
    for nr, inputs in enumerate(["The {company} of {n}", {"company": "company"}]):
        enrich(source, tmp_path / f"{nr}.parquet", {"x": "any"}, inputs=inputs, input_schema="infer" if nr else None)
    assert [run.input for run in sim.runs()] == ["The company 1 of 5", {"company": "company 1"}]


def test_a_failure_the_function_raises_is_the_callers(tmp_path: Path, enrich: Enrich, sim: Simulator) -> None:
    """An exception of a `where` function comes out as it is, and nothing was sent."""

    def where(df: pd.DataFrame) -> Any:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        enrich(write(tmp_path / "in.parquet", 1), tmp_path / "out.parquet", where=where)
    assert sim.counts.posts == 0


def test_it_works_inside_a_running_event_loop(tmp_path: Path, sim: Simulator, enrich: Enrich) -> None:
    """A notebook's cell and a coroutine may call it as it is."""
    source = write(tmp_path / "in.parquet", *range(20))

    async def cell() -> pf.EnrichedParquet:
        return enrich(source, tmp_path / "out.parquet")

    assert asyncio.run(cell()).counts == {"completed": 20}
    assert right(read(tmp_path / "out.parquet"))


def test_what_is_told_is_true_to_the_end(
    tmp_path: Path, sim: Simulator, files: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    """A call that only sends ends as sent, one that waited with nothing in flight; adopted runs are in the price."""
    source, client = write(tmp_path / "in.parquet", *range(3)), _client(sim)
    sim.add_faults(faults.stick_runs())
    done = pf.enrich_parquet(
        source, None, files.SCHEMA, client=client, checkpoint=tmp_path / "c", wait=False, progress=True
    )
    shown = capsys.readouterr().err
    assert re.search(r"sent: +100%.*3/3 runs, \$0\.03", shown)
    assert shown.splitlines()[-1] == "3 of 3 runs sent · $0.03 · SIMULATED"
    for part in (Path(done.checkpoint) / "receipts").glob("*.parquet"):
        part.unlink()
    pf.enrich_parquet(
        source,
        tmp_path / "o.parquet",
        files.SCHEMA,
        client=client,
        checkpoint=tmp_path / "c",
        timeout=200,
        progress=True,
    )
    assert re.search(r"stopped: +0%.*3 in flight · \$0\.00 now, \$0\.03 before", capsys.readouterr().err)
    sim.clear_faults()
    with pf.offline(files.answer, latency=0):
        pf.enrich_parquet(source, tmp_path / "new.parquet", files.SCHEMA, progress=True)
    end = capsys.readouterr().err.split("\r")[-1]
    assert "enriched: 100%" in end
    assert "in flight" not in end

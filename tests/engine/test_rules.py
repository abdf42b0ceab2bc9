"""The ledger's rules against services, callers and accidents that try to make them pay twice or mix rows up."""

import asyncio
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pandas as pd
import pytest
from starlette.responses import Response

import parallel_frames as pf
from parallel_frames.errors import (
    AuthenticationError,
    CheckpointLockedError,
    InputError,
    ParallelFramesError,
    ProtocolError,
    RejectedError,
    UnavailableError,
    UndecidedError,
)
from parallel_frames.simulator import Simulator, faults
from parallel_frames.simulator.faults import RequestFault


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewritten(RequestFault):
    """A service whose answers to one endpoint are changed by a function of their JSON."""

    change: Any = None

    async def strike(self, exchange: Any, proceed: Any) -> Any:
        """Answer, and change the answer's body."""
        answered = await proceed()
        if answered.status_code != 200:
            return answered
        body = orjson.dumps(self.change(orjson.loads(answered.body)))
        return Response(body, headers={"content-type": "application/json", "x-parallel-simulator": "1"})


def backwards(body: dict[str, Any]) -> dict[str, Any]:
    """Answer the ids in another order."""
    return {**body, "run_ids": body["run_ids"][::-1]}


def only_total(body: dict[str, Any]) -> dict[str, Any]:
    """Tell how many runs there are, and nothing of their statuses."""
    return {**body, "status": {"num_task_runs": body["status"]["num_task_runs"]}}


async def cancel_when(condition: Any, df: pd.DataFrame, **options: Any) -> None:
    """Begin an enrichment and cancel it, as Ctrl-C does, once a condition holds."""
    running = asyncio.create_task(df.parallel.aenrich(progress=False, **options))
    while not condition():  # noqa: ASYNC110 - the simulator, in another thread, sets no event of ours
        await asyncio.sleep(0.002)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


# The settle time and the credit


def test_a_batch_applied_after_the_settle_time_is_the_one_way_to_pay_twice(engine) -> None:
    """The documented edge of the promise: found within the settle time it is adopted, later it was sent again."""
    for delay, duplicates in ((50, 0), (150, 5)):
        late = [faults.late_post(delay, answer="reset", nth=1)]
        with Simulator(engine.answer, latency=200, speed=engine.SPEED, faults=late) as sim:
            out = engine.enrich(sim, engine.frame(*range(5)), None)
            assert out["name"].tolist() == out["company"].str.upper().tolist()
            assert sim.counts.duplicates == duplicates


def test_max_in_flight_bounds_the_credit_that_is_reserved(engine) -> None:
    """Never more runs than that are under way, from the first batch on, and all rows are answered."""
    with Simulator(engine.answer, latency=(1, 5), speed=engine.SPEED, credit=6.0, price=0.01, reserve=20.0) as sim:
        out = engine.enrich(sim, engine.frame(*range(100)), None, max_in_flight=20)
        assert out["parallel_status"].eq("completed").all()
        assert [seen.status for seen in sim.requests() if seen.endpoint == "add_runs"].count(402) == 0
    events = sorted([(run.created_at, 1) for run in sim.runs()] + [(run.finished_at, -1) for run in sim.runs()])
    under_way = most = 0
    for _, change in events:
        under_way += change
        most = max(most, under_way)
    assert 15 <= most <= 20


# Refreshing


def test_a_refresh_interrupted_after_answers_came_goes_on_without_asking_them_again(engine, tmp_path: Path) -> None:
    """Rows that the refresh has answered already are not asked a third time."""
    df = engine.frame(*range(30))
    with Simulator(engine.answer, latency=(1, 30), speed=engine.SPEED) as sim:
        engine.enrich(sim, df, tmp_path)
        sim.add_faults(faults.status(401, on="events", nth=faults.onwards(2)), faults.cut_stream(after=15))
        with pytest.raises(AuthenticationError):
            engine.enrich(sim, df, tmp_path, refresh=True)
        sim.clear_faults()
        engine.enrich(sim, df, tmp_path, refresh=True)
        assert sim.counts.runs == 60
        assert set(engine.paid(sim).values()) == {1}


@pytest.mark.parametrize("dialect", ["published", "seed"])
def test_a_refresh_cancelled_in_mid_post_adopts_what_landed(engine, tmp_path: Path, dialect: Any) -> None:
    """Runs of the refresh that finished meanwhile are its answers and are not bought again."""
    df = engine.frame(*range(5))
    with Simulator(engine.answer, latency=1, speed=engine.SPEED, dialect=dialect) as sim:
        engine.enrich(sim, df, tmp_path)
        sim.add_faults(faults.slow(20, on="add_runs", when="after"))
        options = {"schema": engine.SCHEMA, "client": engine.client(sim), "checkpoint": tmp_path, "refresh": True}
        asyncio.run(cancel_when(lambda: sim.counts.runs == 10, df, **options))
        sim.clear_faults()
        sim.advance(10)
        engine.enrich(sim, df, tmp_path, refresh=True)
        assert sim.counts.runs == 10


def test_a_refresh_begun_over_pending_runs_awaits_them_for_good(engine, tmp_path: Path) -> None:
    """A run that was under way when the refresh began is an answer, also when the refresh is taken up again."""
    df = engine.frame(*range(5))
    with Simulator(engine.answer, latency=100, speed=engine.SPEED) as sim:
        engine.enrich(sim, df, tmp_path, timeout=20)
        engine.enrich(sim, df, tmp_path, timeout=20, refresh=True)
        out = engine.enrich(sim, df, tmp_path, refresh=True)
        assert out["parallel_status"].eq("completed").all()
        assert sim.counts.runs == 5


def test_a_finished_refresh_is_not_repeated_by_resume(engine, tmp_path: Path) -> None:
    """resume() after a refresh that came to its end sends nothing."""
    with Simulator(engine.answer, latency=1, speed=engine.SPEED) as sim:
        engine.enrich(sim, engine.frame(1, 2), tmp_path)
        engine.enrich(sim, engine.frame(1, 2), tmp_path, refresh=True)
        pf.last().resume()
        assert sim.counts.runs == 4


# Linking runs to rows in the seed dialect


@pytest.mark.parametrize("ids", [True, False])
@pytest.mark.parametrize("metadata", [True, False])
@pytest.mark.parametrize("echo", ["bare", "run", None])
def test_the_seed_links_by_whatever_it_echoes_or_stops_after_one_small_batch(
    engine, ids: bool, metadata: bool, echo: Any
) -> None:
    """Ids, metadata or an echoed input each suffice; with none of them no second batch is ever sent."""
    df = engine.frame(*range(20), *range(5))
    options = {
        "seed_answer_ids": ids,
        "seed_echo_metadata": metadata,
        "seed_echo_input": echo is not None,
        "seed_input_as": echo or "bare",
    }
    with Simulator(engine.answer, latency=1, speed=engine.SPEED, dialect="seed", **options) as sim:
        if ids or metadata or echo:
            out = engine.enrich(sim, df, None)
            assert out["name"].tolist() == out["company"].str.upper().tolist()
            assert Counter(run.input["company"] for run in sim.runs()) == dict.fromkeys(df["company"], 1)
        else:
            with pytest.raises(UndecidedError, match=r"5 runs may or may not"):
                engine.enrich(sim, df, None)
            assert (sim.counts.posts, sim.counts.runs) == (1, 5)


@pytest.mark.parametrize("lagging", [False, True])
@pytest.mark.parametrize("metadata", [True, False])
def test_ids_in_another_order_never_move_an_answer(engine, metadata: bool, lagging: bool) -> None:
    """Where the order of ids is not documented, the runs themselves say whose they are."""
    trouble: list[Any] = [Rewritten(on=frozenset({"add_runs"}), change=backwards)]
    if lagging:
        trouble.append(faults.lagging(3, on="list_runs"))
    with Simulator(
        engine.answer,
        latency=1,
        speed=engine.SPEED,
        dialect="seed",
        seed_echo_metadata=metadata,
        faults=trouble,
    ) as sim:
        out = engine.enrich(sim, engine.frame(*range(12)), None)
    assert out["name"].tolist() == out["company"].str.upper().tolist()


def test_metadata_is_believed_over_the_order_of_ids_in_the_published_dialect_too(engine) -> None:
    """A service that mixes its ids up moves no answer to another row."""
    trouble = [Rewritten(on=frozenset({"add_runs"}), change=backwards)]
    with Simulator(engine.answer, latency=1, speed=engine.SPEED, faults=trouble) as sim:
        out = engine.enrich(sim, engine.frame(*range(4)), None)
    assert out["name"].tolist() == out["company"].str.upper().tolist()


@pytest.mark.parametrize("lagging", [False, True])
@pytest.mark.parametrize("shows_input", [True, False])
def test_without_metadata_the_published_order_of_ids_is_proved_or_not_believed(
    engine, *, shows_input: bool, lagging: bool
) -> None:
    """Echoed inputs say whose the runs are; with neither, the call ends, unless each run is sent alone."""

    def hide(event: Any) -> Any:
        if "run" not in event:
            return event
        sent = {**event["input"], "metadata": None} if shows_input and event.get("input") else None
        return {**event, "input": sent, "run": {**event["run"], "metadata": None}}

    trouble = [
        Rewritten(on=frozenset({"add_runs"}), change=backwards),
        engine.ChangedEvents(on=frozenset({"events", "list_runs"}), change=hide),
        *([faults.lagging(3, on="list_runs")] if lagging else []),
    ]
    df = engine.frame(*range(4))
    with Simulator(engine.answer, latency=1, speed=engine.SPEED, faults=trouble) as sim:
        if not shows_input:
            with pytest.raises(ProtocolError, match=r"neither the metadata nor the inputs of 4 runs.*max_in_flight=1"):
                engine.enrich(sim, df, None)
            df = engine.frame(*range(10, 14))
        out = engine.enrich(sim, df, None, max_in_flight=None if shows_input else 1)
    assert out["name"].tolist() == out["company"].str.upper().tolist()


def test_equal_rows_kept_apart_survive_a_kill_without_metadata(engine, tmp_path: Path) -> None:
    """dedupe=False, no metadata, cancelled in mid-POST: two rows, two runs, two answers."""
    df = engine.frame(7, 7)
    with Simulator(engine.answer, latency=50, speed=engine.SPEED, dialect="seed", seed_echo_metadata=False) as sim:
        sim.add_faults(faults.slow(20, on="add_runs", when="after"))
        options = {"schema": engine.SCHEMA, "client": engine.client(sim), "checkpoint": tmp_path, "dedupe": False}
        asyncio.run(cancel_when(lambda: sim.counts.runs == 2, df, **options))
        sim.clear_faults()
        out = engine.enrich(sim, df, tmp_path, dedupe=False)
        assert out["parallel_status"].eq("completed").all()
        assert sim.counts.runs == 2


@pytest.mark.parametrize(
    "columns", [{"metadata": [{"a": 1}, {"a": 2}]}, {"input": ["x", "y"], "processor": ["p", "q"]}]
)
def test_columns_named_like_the_services_own_fields_are_inputs_like_any(engine, columns: dict[str, Any]) -> None:
    """A row that looks like a run is still recognised by its echo."""
    df = pd.DataFrame({"company": ["a", "b"], **columns})
    options = {"seed_answer_ids": False, "seed_echo_metadata": False}
    with Simulator(engine.answer, latency=1, speed=engine.SPEED, dialect="seed", **options) as sim:
        out = engine.enrich(sim, df, None)
        assert out["name"].tolist() == ["A", "B"]
        assert sim.counts.runs == 2


# Going on without a directory


def test_resume_without_a_checkpoint_goes_on_with_every_group(engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of earlier groups are known too, and are not bought again."""
    import parallel_frames._engine._submit as submit

    monkeypatch.setattr(submit, "MAX_RUNS_PER_GROUP", 40)  # the constant, not behaviour: 50,000 real runs take too long
    with Simulator(engine.answer, latency=1, speed=engine.SPEED) as sim:
        sim.add_faults(faults.status(401, on="add_runs", nth=3))
        with pytest.raises(AuthenticationError, match=r"pf\.last\(\)\.resume\(\)") as caught:
            engine.enrich(sim, engine.frame(*range(100)), None)
        sim.clear_faults()
        assert len(caught.value.safety.group_ids) == 3
        out = pf.last().resume()
        assert out["parallel_status"].eq("completed").all()
        assert (sim.counts.runs, sim.counts.duplicates) == (100, 0)


def test_resume_without_a_checkpoint_keeps_the_settle_time(engine) -> None:
    """A batch that lands late, after its call timed out, is found by resume() and not sent again."""
    late = [faults.late_post(160, answer="reset", nth=1)]
    with Simulator(engine.answer, latency=1, speed=engine.SPEED, faults=late) as sim:
        out = engine.enrich(sim, engine.frame(*range(5)), None, timeout=40, client={"settle_time": 240})
        assert out["parallel_status"].tolist() == ["pending"] * 5
        for _ in range(8):  # each with the same forty seconds
            out = pf.last().resume()
        assert out["parallel_status"].tolist() == ["completed"] * 5
        assert (sim.counts.runs, sim.counts.duplicates) == (5, 0)


def test_two_calls_on_one_group_at_once_are_refused(engine) -> None:
    """Without a directory's lock, this process still lets only one call complete a group."""
    with Simulator(engine.answer, latency=20, speed=engine.SPEED) as sim:
        engine.enrich(sim, engine.frame(1), None)
        (group_id,) = sim.group_ids
        with ThreadPoolExecutor(2) as pool:
            calls = [pool.submit(engine.enrich, sim, engine.frame(1, 2, 3), None, group_id=group_id) for _ in range(2)]
            refused = [call.exception() for call in calls]
        assert sorted(type(error) for error in refused if error) == [CheckpointLockedError]
        assert (sim.counts.runs, sim.counts.duplicates) == (3, 0)


def test_two_first_calls_of_one_job_at_once_pay_once(engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second meets the lock of the default checkpoint and is refused; it does not go on without one."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with Simulator(engine.answer, latency=20, speed=engine.SPEED) as sim, ThreadPoolExecutor(4) as pool:
        calls = [pool.submit(engine.enrich, sim, engine.frame(*range(5)), "auto") for _ in range(4)]
        refused = [error for call in calls if (error := call.exception())]
        assert {type(error) for error in refused} <= {CheckpointLockedError}
        assert (sim.counts.runs, sim.counts.duplicates) == (5, 0)


def test_a_default_checkpoint_that_holds_answers_is_never_gone_on_without(
    engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trouble with a folder that was paid for is an error and not a warning."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with Simulator(engine.answer, latency=1, speed=engine.SPEED) as sim:
        engine.enrich(sim, engine.frame(1), "auto")
        (header,) = tmp_path.rglob("header.json")
        header.write_bytes(header.read_bytes().replace(b'"format": 1', b'"format": 99'))
        with pytest.raises(ParallelFramesError, match=r"newer parallel_frames"):
            engine.enrich(sim, engine.frame(1), "auto")
        assert sim.counts.runs == 1


# The same data, read another way


def test_the_same_rows_from_csv_and_parquet_pay_nothing_new(engine, tmp_path: Path) -> None:
    """Through CSV, through Parquet, with columns re-ordered and a cell gone missing elsewhere: the same inputs."""
    df = pd.DataFrame(
        {
            "company": ["a", "b", "c"],
            "founded": [1949, 1989, 2001],
            "score": [0.5, 1.0, 2.25],
            "listed": [True, False, True],
            "since": pd.to_datetime(["2024-01-02", "2024-01-03", "2024-01-04"]),
        }
    )
    df.to_csv(tmp_path / "rows.csv", index=False)
    df.to_parquet(tmp_path / "rows.parquet")
    new_row = pd.DataFrame(
        {"company": ["d"], "score": [3.0], "listed": [True], "since": pd.to_datetime(["2024-02-01"])}
    )
    with Simulator(engine.answer, latency=1, speed=engine.SPEED) as sim:
        engine.enrich(sim, df, tmp_path / "ck")
        for again in (
            pd.read_csv(tmp_path / "rows.csv"),
            pd.read_csv(tmp_path / "rows.csv", parse_dates=["since"]),
            pd.read_parquet(tmp_path / "rows.parquet", dtype_backend="pyarrow"),
            pd.read_parquet(tmp_path / "rows.parquet", dtype_backend="numpy_nullable")[df.columns[::-1]],
        ):
            engine.enrich(sim, again, tmp_path / "ck")
            assert sim.counts.runs == 3
        grown = pd.concat([df, new_row], ignore_index=True)
        assert str(grown["founded"].dtype) == "float64"
        engine.enrich(sim, grown, tmp_path / "ck")
        assert sim.counts.runs == 4


def test_a_frame_that_lost_its_attrs_is_not_asked_about_its_own_answers(engine, tmp_path: Path) -> None:
    """After concat nothing tells which columns are old answers: saying inputs= goes on, and pays for new rows only."""
    with Simulator(engine.answer, latency=1, speed=engine.SPEED) as sim:
        first = engine.enrich(sim, engine.frame(1, 2), tmp_path)
        options = {"client": engine.client(sim), "checkpoint": tmp_path, "progress": False, "on_mismatch": "new"}
        first.parallel.enrich({"other": str}, prefix="b_", **options)
        assert sim.counts.runs == 4
        grown = pd.concat([first, engine.frame(3)], ignore_index=True)
        with pytest.raises(InputError, match=r"'parallel_status', which an enrichment made.*`inputs=\.\.\.`"):
            grown.parallel.enrich({"other": str}, prefix="b_", **options)
        grown.parallel.enrich({"other": str}, prefix="b_", inputs=["company"], **options)
        assert sim.counts.runs == 5


# Loops that must end, and callers that must not wait for ever


def test_a_group_named_by_mistake_does_not_spoil_the_checkpoint(engine, tmp_path: Path) -> None:
    """An unknown group_id is an error of that call only."""
    with Simulator(engine.answer, latency=1, speed=engine.SPEED) as sim:
        engine.enrich(sim, engine.frame(1), tmp_path)
        with pytest.raises(RejectedError, match=r"tgrp_typo"):
            engine.enrich(sim, engine.frame(1, 2), tmp_path, group_id="tgrp_typo")
        assert engine.enrich(sim, engine.frame(1, 2), tmp_path)["name"].notna().all()


@pytest.mark.parametrize("code", [406, 503])
def test_a_service_that_never_creates_what_is_sent_ends_the_call(engine, code: int) -> None:
    """After a few batches that were proven absent, the call ends with what the service answered."""
    trouble = [faults.status(code, on="add_runs")]
    with Simulator(engine.answer, latency=1, speed=engine.SPEED, faults=trouble) as sim:
        with pytest.raises(UnavailableError, match=rf"4 times in a row.*{code}"):
            engine.enrich(sim, engine.frame(1, 2), None)
        assert sim.counts.runs == 0


def test_counts_that_say_nothing_are_no_reason_to_wait_for_ever(engine) -> None:
    """With a mute stream and counts without statuses, the list is asked."""
    trouble = [Rewritten(on=frozenset({"status"}), change=only_total), faults.lose_events()]
    with Simulator(engine.answer, latency=1, speed=engine.SPEED, faults=trouble) as sim:
        out = engine.enrich(sim, engine.frame(1, 2), None, timeout=1000)
    assert out["parallel_status"].tolist() == ["completed"] * 2


def test_outputs_that_lists_leave_out_are_asked_for_one_by_one(engine) -> None:
    """Many runs without output in events and lists are fetched as single results."""
    trouble = [engine.without_outputs(frozenset({"events", "list_runs"}))]
    with Simulator(engine.answer, latency=1, speed=engine.SPEED, faults=trouble) as sim:
        out = engine.enrich(sim, engine.frame(*range(150)), None, timeout=2000)
    assert out["name"].tolist() == out["company"].str.upper().tolist()


def test_two_old_undecided_batches_leave_the_event_loop_alive(engine, tmp_path: Path) -> None:
    """While earlier batches of other rows hold sending up, the loop runs, and the timeout ends the call."""
    from parallel_frames._checkpoint import open_store
    from parallel_frames._job._handle import frame_enrichment
    from parallel_frames._job._options import Call
    from parallel_frames._model import RunId

    with Simulator(engine.answer, latency=1, speed=engine.SPEED) as sim:
        engine.enrich(sim, engine.frame(1), tmp_path)
        (header,) = tmp_path.glob("*/header.json")
        for number in (2, 3):
            plan = frame_enrichment(engine.frame(number), engine.SCHEMA, Call()).plan
            with open_store(header.parent, plan.job, host=sim.url.removeprefix("http://")) as store:
                asyncio.run(store.write_intent(store.groups[-1], runs=[RunId(plan.keys[0], 0)], rows=[0]))
        cpu = time.process_time()
        out = engine.enrich(sim, engine.frame(1, 4), tmp_path, timeout=40)
        assert out["parallel_status"].tolist() == ["completed", "not_sent"]
        assert time.process_time() - cpu < 0.3


def test_a_retry_that_was_never_created_is_not_sent_by_a_call_that_does_not_retry(engine, tmp_path: Path) -> None:
    """retry_failed=False sends no second attempt, also not one that an earlier call meant to send."""
    from parallel_frames._checkpoint import open_store
    from parallel_frames._job._handle import frame_enrichment
    from parallel_frames._job._options import Call
    from parallel_frames._model import RunId

    df = pd.DataFrame({"company": ["bad"]})
    with Simulator(engine.answer, latency=1, speed=engine.SPEED) as sim:
        engine.enrich(sim, df, tmp_path)
        (header,) = tmp_path.glob("*/header.json")
        plan = frame_enrichment(df, engine.SCHEMA, Call()).plan
        with open_store(header.parent, plan.job, host=sim.url.removeprefix("http://")) as store:
            asyncio.run(store.write_intent(store.groups[-1], runs=[RunId(plan.keys[0], 1)], rows=[0]))
        out = engine.enrich(sim, df, tmp_path, retry_failed=False)
        assert out["parallel_status"].tolist() == ["failed"]
        assert sim.counts.runs == 1


def test_a_header_restored_from_an_older_copy_loses_no_group(engine, tmp_path: Path) -> None:
    """Groups that receipts name are asked, whatever the header says."""
    with Simulator(engine.answer, latency=1, speed=engine.SPEED) as sim:
        engine.enrich(sim, engine.frame(1), tmp_path)
        (header,) = tmp_path.glob("*/header.json")
        text = orjson.loads(header.read_bytes())
        header.write_bytes(orjson.dumps({**text, "groups": []}))
        (outcomes,) = tmp_path.glob("*/outcomes/*.parquet")
        outcomes.unlink()
        out = engine.enrich(sim, engine.frame(1, 2), tmp_path, timeout=500)
        assert out["parallel_status"].tolist() == ["completed"] * 2
        assert (sim.counts.runs, sim.counts.groups) == (2, 1)


@pytest.mark.parametrize("moment", [0, 3, 8, 15, 25, 40])
def test_cancelled_at_any_moment_it_goes_on_at_once(engine, tmp_path: Path, moment: int) -> None:
    """When a cancelled call returns, nothing of it still writes: the same call may begin in the next line."""
    df = engine.frame(*range(40))

    async def main() -> pd.DataFrame:
        options = {"client": engine.client(sim), "checkpoint": tmp_path, "progress": False}
        running = asyncio.create_task(df.parallel.aenrich(engine.SCHEMA, **options))
        await asyncio.sleep(moment / 500)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        return await df.parallel.aenrich(engine.SCHEMA, **options)

    with Simulator(engine.answer, latency=(1, 10), speed=engine.SPEED) as sim:
        out = asyncio.run(main())
        assert out["name"].tolist() == out["company"].str.upper().tolist()
        assert set(engine.paid(sim).values()) == {1}
        assert sim.counts.runs == 40

"""Rows that have no answer say why, nothing is waited for that cannot come, and what fails is not counted as spent."""

import itertools
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pandas as pd
import pytest

import parallel_frames as pf
from parallel_frames.errors import CostError, CreditError, RejectedError
from parallel_frames.simulator import Failure, Simulator, faults
from parallel_frames.simulator.faults import RequestFault, StreamFault


@dataclass(frozen=True, slots=True, kw_only=True)
class OneMegabyte(RequestFault):
    """A gateway that takes bodies of so many bytes at most."""

    on: str = "add_runs"
    limit: int = 20_000

    async def strike(self, exchange: Any, proceed: Any) -> Any:
        """Refuse what is too large before the service sees it."""
        if len(await exchange.request.body()) <= self.limit:
            return await proceed()
        return faults.status(413, on="add_runs").answer(exchange)


def status_of(out: pd.DataFrame) -> dict[str, int]:
    """Return how many rows have each status."""
    return out["parallel_status"].value_counts().loc[lambda counts: counts > 0].to_dict()


@pytest.mark.parametrize("checkpoint", [True, False])
def test_a_run_that_waits_for_an_action_is_not_waited_for(engine: Any, tmp_path: Path, *, checkpoint: bool) -> None:
    """The call ends without a timeout, the row names group and run, and the next call looks again and buys nothing."""
    folder = tmp_path if checkpoint else None
    trouble = [faults.require_action(nth=2)]
    with Simulator(engine.answer, latency=1, speed=engine.SPEED, faults=trouble) as sim:
        out = engine.enrich(sim, engine.frame(1, 2, 3), folder)
        assert out["parallel_status"].tolist() == ["completed", "pending", "completed"]
        run = sim.runs()[1]
        assert f"run {run.run_id} of group {run.group_id} waits for an action" in out["parallel_error"][1]
        if checkpoint:
            again = engine.enrich(sim, engine.frame(1, 2, 3), folder)
            assert "waits for an action" in again["parallel_error"][1]
        assert sim.counts.runs == 3


def test_a_run_that_waits_for_an_action_takes_no_place_in_flight(engine: Any, caplog: Any) -> None:
    """max_in_flight counts runs that may finish, and the warning gives no row another one's reason."""
    trouble = [faults.require_action(nth=1), faults.stick_runs(nth=4)]
    with Simulator(engine.answer, latency=1, speed=engine.SPEED, faults=trouble) as sim:
        out = engine.enrich(sim, engine.frame(*range(6)), None, max_in_flight=1, timeout=300)
    assert status_of(out) == {"completed": 2, "pending": 2, "not_sent": 2}
    warning = next(line for line in caplog.messages if "without an answer" in line)
    assert warning.startswith("4 rows without an answer: run ")
    assert "waits for an action" in warning
    assert "no answer within the timeout of 300 s" in warning
    assert "not sent within the timeout of 300 s" in warning


def test_a_run_with_an_unknown_status_keeps_its_place_in_flight(engine: Any) -> None:
    """It may still run, and reserve credit."""

    def rename(event: Any) -> Any:
        return (
            {**event, "run": {**event["run"], "status": "scheduled", "is_active": False}} if "run" in event else event
        )

    odd = engine.ChangedEvents(on=frozenset({"events", "list_runs"}), change=rename)
    with Simulator(engine.answer, latency=1, speed=engine.SPEED, faults=[odd]) as sim:
        engine.enrich(sim, engine.frame(*range(9)), None, max_in_flight=3, timeout=200)
        assert sim.counts.runs == 3


GONE = frozenset({"events", "list_runs"})


@pytest.mark.parametrize("dialect", ["published", "seed"])
def test_a_completed_run_whose_output_is_gone_fails_and_is_asked_again(
    engine: Any, tmp_path: Path, dialect: str
) -> None:
    """Shown so for as long as an answer may lag, the row is failed and says why; the next call pays again."""
    gone = [engine.without_outputs(GONE), faults.status(404, on="result")]
    user = {"client": {"api": dialect}}
    with Simulator(
        engine.answer, latency=1, speed=engine.SPEED, dialect=dialect, seed_list_as="sse", faults=gone
    ) as sim:
        clock = engine.client(sim).clock
        began = clock.now()
        out = engine.enrich(sim, engine.frame(1, 2), tmp_path, **user)
        assert clock.now() - began >= 60
        assert out["parallel_status"].tolist() == ["failed", "failed"]
        assert out["parallel_error"].str.contains("holds no output of it any more").all()
        kept = engine.enrich(sim, engine.frame(1, 2), tmp_path, retry_failed=False, **user)
        assert (status_of(kept), sim.counts.runs) == ({"failed": 2}, 2)
        assert pf.last().cost == 0.02  # they completed, which is what the service bills
        assert "$0.02" in str(pf.last().report())
        with pytest.raises(CostError, match="2 paid for before"):
            engine.enrich(sim, engine.frame(1, 2), tmp_path, max_cost=0.03, **user)
        engine.enrich(sim, engine.frame(1, 2), tmp_path, **user)
        assert sim.counts.runs == 4


def test_a_file_states_what_lost_outputs_cost(engine: Any, tmp_path: Path) -> None:
    """The result and the manifest count runs that completed without their output, now and when they are read again."""
    gone = [engine.without_outputs(GONE), faults.status(404, on="result")]
    engine.frame(1, 2).to_parquet(tmp_path / "in.parquet")
    options = {"checkpoint": tmp_path / "checkpoint", "retry_failed": False}
    with Simulator(engine.answer, latency=1, speed=engine.SPEED, faults=gone) as sim:
        for name in ("first.parquet", "second.parquet"):
            done = pf.enrich_parquet(
                tmp_path / "in.parquet", tmp_path / name, engine.SCHEMA, client=engine.client(sim), **options
            )
            assert (done.counts, done.cost, sim.counts.runs) == ({"failed": 2}, 0.02, 2)
            assert json.loads(Path(done.manifest).read_text())["cost"] == 0.02


@pytest.mark.parametrize("count", [2, 150])
@pytest.mark.parametrize("dialect", ["published", "seed"])
def test_an_output_that_is_back_is_not_paid_again(engine: Any, tmp_path: Path, dialect: str, count: int) -> None:
    """Before a lost answer is asked again, the service is asked for it once more."""
    gone = [engine.without_outputs(GONE), faults.status(404, on="result")]
    df, user = engine.frame(*range(count)), {"client": {"api": dialect}}
    with Simulator(
        engine.answer, latency=1, speed=engine.SPEED, dialect=dialect, seed_list_as="sse", faults=gone
    ) as sim:
        assert status_of(engine.enrich(sim, df, tmp_path, **user)) == {"failed": count}
        sim.clear_faults()
        back = engine.enrich(sim, df, tmp_path, **user)
        assert (status_of(back), sim.counts.runs) == ({"completed": count}, count)


@pytest.mark.parametrize(
    "listed",
    [lambda _: None, lambda event: {**event, "run": {**event["run"], "status": "running"}}],
    ids=["not listed", "listed as running"],
)
def test_only_a_run_that_is_shown_without_its_output_has_lost_it(engine: Any, tmp_path: Path, listed: Any) -> None:
    """A list that lags behind the stream says nothing of an output; the row stays pending, and the next call looks."""
    lagging = [
        engine.without_outputs("events"), engine.ChangedEvents(on="list_runs", change=listed, nth=range(2, 1_000)),
        faults.status(404, on="result"),
    ]  # fmt: skip
    with Simulator(engine.answer, latency=1, speed=engine.SPEED, faults=lagging) as sim:
        out = engine.enrich(sim, engine.frame(1, 2), tmp_path)
        assert status_of(out) == {"pending": 2}
        assert out["parallel_error"].str.contains("its output cannot be had now").all()
        sim.clear_faults()
        back = engine.enrich(sim, engine.frame(1, 2), tmp_path)
        assert (status_of(back), sim.counts.runs) == ({"completed": 2}, 2)


def test_an_event_that_got_lost_holds_no_row_up(engine: Any) -> None:
    """A stream that stays open and says nothing of a run that has ended is not believed for longer than a minute."""
    lost = [faults.lose_events(events=2)]
    with Simulator(engine.answer, latency=1, speed=engine.SPEED, faults=lost, stream_lifetime=100_000) as sim:
        out = engine.enrich(sim, engine.frame(1, 2, 3), None, timeout=200)
    assert status_of(out) == {"completed": 3}


@pytest.mark.parametrize(
    ("options", "status", "reason"),
    [
        ({"timeout": 100}, "pending", "no answer within the timeout of 100 s; run the same again to resume"),
        ({"limit": 1, "timeout": 100}, "not_sent", "beyond the limit of 1"),
    ],
)
def test_a_row_without_an_answer_says_why(engine: Any, caplog: Any, options: Any, status: str, reason: str) -> None:
    """A timeout and a limit leave a text in parallel_error, and the log says how many rows are concerned."""
    with Simulator(engine.answer, latency=10_000, speed=engine.SPEED) as sim:
        out = engine.enrich(sim, engine.frame(1, 2), None, **options)
    row = out[out["parallel_status"] == status].iloc[-1]
    assert row["parallel_error"] == reason
    assert "without an answer: no answer within the timeout of 100 s" in caplog.text
    assert out["parallel_error"].notna().all()


def test_rows_of_a_file_say_why_too(engine: Any, tmp_path: Path) -> None:
    """The target has the reasons that a frame has."""
    engine.frame(1, 2).to_parquet(tmp_path / "rows.parquet")
    with Simulator(engine.answer, latency=10_000, speed=engine.SPEED) as sim:
        pf.enrich_parquet(
            tmp_path / "rows.parquet", tmp_path / "out.parquet", {"name": str}, client=engine.client(sim), timeout=100,
            limit=1, checkpoint=tmp_path / "ckpt", progress=False,
        )  # fmt: skip
    errors = pd.read_parquet(tmp_path / "out.parquet")["parallel_error"].tolist()
    assert errors == ["no answer within the timeout of 100 s; run the same again to resume", "beyond the limit of 1"]


def test_what_was_submitted_says_so(engine: Any) -> None:
    """A handle's frame says of rows that are under way when they were looked at."""
    with Simulator(engine.answer, latency=10_000, speed=engine.SPEED) as sim:
        sent = engine.frame(1).parallel.submit(
            {"name": str}, client=engine.client(sim), checkpoint=None, progress=False
        )
        assert sent.partial()["parallel_error"].tolist() == [
            "had no answer when the group was looked at; run the same again to resume"
        ]


@pytest.mark.parametrize("dialect", ["published", "seed"])
def test_a_row_whose_output_does_not_come_says_so(engine: Any, dialect: str) -> None:
    """A run that completed without its output is neither under way nor unlooked at, in a handle and in `collect`."""
    gone = [engine.without_outputs(GONE), faults.status(404, on="result")]
    df = engine.frame(1)
    with Simulator(
        engine.answer, latency=0, speed=engine.SPEED, dialect=dialect, seed_list_as="sse", faults=gone
    ) as sim:
        client = engine.client(sim, api=dialect)
        sent = df.parallel.submit(engine.SCHEMA, client=client, checkpoint=None, progress=False)
        sim.wait_until(lambda counts: counts.completed == 1)
        (run,) = sim.runs()
        (why,) = sent.partial()["parallel_error"]
        assert why == f"run {run.run_id} of group {run.group_id} completed, but its output has not come yet"
        collected = df.parallel.collect(run.group_id, engine.SCHEMA, client=client, processor="base")
        assert collected["parallel_status"].tolist() == ["pending"]
        (why,) = collected["parallel_error"]
        assert why == f"run {run.run_id} of group {run.group_id} completed, but the service shows no output of it"


def test_a_gateway_that_takes_little_gets_small_batches(engine: Any) -> None:
    """413 halves the batch without counting against the service, down to one row; one row too large is an error."""
    df = pd.DataFrame({"company": [f"{number} " + "x" * 2_000 for number in range(60)]})
    with Simulator(lambda _: {"name": "y"}, latency=1, speed=engine.SPEED, faults=[OneMegabyte()]) as sim:
        out = engine.enrich(sim, df, None)
        assert (status_of(out), sim.counts.runs) == ({"completed": 60}, 60)
        assert sim.counts.posts < 30
        with pytest.raises(RejectedError, match=r"413.*A single row is too large.*inputs="):
            engine.enrich(sim, pd.DataFrame({"company": ["x" * 22_000]}), None)


def test_batches_are_bounded_by_bytes(engine: Any) -> None:
    """Rows of 20,000 characters go out in requests below 1 MB, which is what many gateways take."""
    df = pd.DataFrame({"company": [f"{number} " + "x" * 20_000 for number in range(100)]})
    with Simulator(
        lambda _: {"name": "y"}, latency=1, speed=engine.SPEED, faults=[OneMegabyte(limit=1_000_000)]
    ) as sim:
        assert status_of(engine.enrich(sim, df, None)) == {"completed": 100}
        assert sim.counts.faults == sim.counts.posts - sim.counts.faults or sim.counts.runs == 100


@pytest.mark.parametrize("code", [405, 409, 431, 451])
def test_what_a_gateway_refuses_ends_the_call_at_once(engine: Any, code: int) -> None:
    """Nothing was created, so nobody looks and waits: one POST, one error."""
    with Simulator(engine.answer, latency=1, speed=engine.SPEED, faults=[faults.status(code, on="add_runs")]) as sim:
        with pytest.raises(RejectedError, match=str(code)):
            engine.enrich(sim, engine.frame(1, 2), None)
        assert (sim.counts.runs, sim.counts.posts) == (0, 1)


@pytest.mark.parametrize("advice", [3_600, 0, -5])
def test_advice_to_wait_is_heeded_within_reason(engine: Any, advice: int) -> None:
    """An hour is asked again after a minute, and no time at all is a pause: ten refusals are outlasted either way."""
    trouble = [faults.rate_limited(retry_after=advice, nth=set(range(1, 5)))]
    with Simulator(engine.answer, latency=1, speed=engine.SPEED * 10, faults=trouble) as sim:
        client = {"clock_speed": engine.SPEED * 10}
        out = engine.enrich(sim, engine.frame(1, 2), None, client=client, timeout=6_000)
        assert (status_of(out), sim.counts.runs) == ({"completed": 2}, 2)


def test_credit_that_comes_back_is_noticed_within_seconds(engine: Any) -> None:
    """A refusal for want of credit while runs are in flight is repeated every few seconds."""
    broke = [faults.status(402, on="add_runs", nth={1, 3, 4, 5})]  # the first one has nothing to wait for
    with Simulator(engine.answer, latency=200, speed=engine.SPEED, faults=broke) as sim:
        out = engine.enrich(sim, engine.frame(*range(4)), None, timeout=1_000)
    assert status_of(out) == {"completed": 4}


def test_failed_runs_are_not_billed(engine: Any, tmp_path: Path) -> None:
    """Cost, plan and budget count completed runs and those under way; a failure costs nothing."""

    def half(sent: dict[str, Any]) -> Any:
        return Failure("no") if sent["company"].endswith(("1", "3")) else {"name": "y"}

    with Simulator(half, latency=1, speed=engine.SPEED) as sim:
        options = {"processor": "base", "retry_failed": False}
        out = engine.enrich(sim, engine.frame(1, 2, 3, 4), tmp_path, **options)
        assert status_of(out) == {"failed": 2, "completed": 2}
        assert pf.last().cost == 0.02
        plan = engine.frame(1, 2, 3, 4).parallel.plan(
            {"name": str}, client=engine.client(sim), checkpoint=tmp_path, **options
        )
        assert plan.spent == 0.02
        with pytest.raises(CostError, match=r"1 run to send and 2 paid for before"):
            engine.enrich(sim, engine.frame(1, 2, 3, 4, 5), tmp_path, max_cost=0.02, **options)
        engine.enrich(sim, engine.frame(1, 2, 3, 4, 5), tmp_path, max_cost=0.03, **options)


def test_no_credit_at_all_is_an_error(engine: Any) -> None:
    """With nothing in flight there is nothing to wait for."""
    with (
        Simulator(engine.answer, latency=1, speed=engine.SPEED, faults=[faults.status(402, on="add_runs")]) as sim,
        pytest.raises(CreditError),
    ):
        engine.enrich(sim, engine.frame(1), None)


SECOND_RUN = re.compile(rb'"run_id":"trun_[0-9a-f]+02"')


@dataclass(frozen=True, slots=True, kw_only=True)
class OddEntry(StreamFault):
    """Lists in which the entry of one run cannot be read: broken, without a status, or without a run."""

    on: Any = "list_runs"
    how: str = "null"

    async def bend(self, frames: Any, *, rng: Any) -> Any:
        """Spoil the second run of the group."""
        async for chunk in frames:
            yield [self._spoil(data) if SECOND_RUN.search(data) else data for data in chunk]

    def _spoil(self, data: bytes) -> bytes:
        if self.how == "broken":
            return b'data: {"type": "task_run.state", \n\n'
        event = orjson.loads(data[6:])
        event["run"] = None if self.how == "null" else {"run_id": event["run"]["run_id"]}
        return b"data: " + orjson.dumps(event) + b"\n\n"


@pytest.mark.parametrize("how", ["null", "broken", "no status"])
def test_an_entry_that_cannot_be_read_holds_up_no_other_row(engine: Any, tmp_path: Path, caplog: Any, how: str) -> None:
    """A resume adopts what it can read, sends what is new, and waits for the one run alone."""
    with Simulator(engine.answer, latency=1, speed=engine.SPEED) as sim:
        sim.add_faults(faults.stick_runs(nth=2))
        engine.enrich(sim, engine.frame(1, 2, 3), tmp_path, timeout=20)
        sim.add_faults(OddEntry(how=how))
        out = engine.enrich(sim, engine.frame(1, 2, 3, 4), tmp_path, timeout=60, on_mismatch="new")
        assert out["parallel_status"].tolist() == ["completed", "pending", "completed", "completed"]
        assert (sim.counts.runs, sim.counts.duplicates) == (4, 0)
    assert "cannot be read" in caplog.text


@pytest.mark.parametrize("result", [404, None])
def test_a_run_that_is_never_readable_is_not_waited_for(engine: Any, result: int | None) -> None:
    """What the stream and the list say of a run in a way that cannot be read is asked for by its id, and then left."""

    def hide(event: Any) -> Any:
        second = "run" in event and event["run"]["run_id"].endswith("02")
        return {**event, "run": {"run_id": event["run"]["run_id"]}} if second else event

    odd = [engine.ChangedEvents(on=frozenset({"events", "list_runs"}), change=hide)]
    with Simulator(engine.answer, latency=1, speed=engine.SPEED, faults=odd) as sim:
        if result is not None:
            sim.add_faults(faults.status(result, on="result"))
        out = engine.enrich(sim, engine.frame(1, 2, 3), None)
    if result is None:
        assert status_of(out) == {"completed": 3}
    else:
        assert status_of(out) == {"completed": 2, "pending": 1}
        assert "cannot be read" in out["parallel_error"].dropna().iloc[0]


@pytest.mark.parametrize(
    "fault",
    [faults.redirect(on="events", nth=1), faults.html(on="events", nth=1), faults.status(404, on="events", nth=1)],
)
def test_one_odd_answer_of_the_stream_ends_no_call(engine: Any, fault: Any) -> None:
    """A redirect, a page or a 404 after money was spent is trouble on the way until it stays."""
    with Simulator(engine.answer, latency=5, speed=engine.SPEED, faults=[fault]) as sim:
        out = engine.enrich(sim, engine.frame(1, 2), None, timeout=500)
        assert (status_of(out), sim.counts.runs) == ({"completed": 2}, 2)


@pytest.mark.parametrize("fault", [faults.redirect(on="list_runs", nth=1), faults.html(on="list_runs", nth=1)])
def test_one_odd_answer_of_the_listing_ends_no_resume(engine: Any, tmp_path: Path, fault: Any) -> None:
    """A resume looks first: a page or a redirect is looked past once, and what was paid for is adopted."""
    with Simulator(engine.answer, latency=30, speed=engine.SPEED) as sim:
        engine.enrich(sim, engine.frame(1, 2), tmp_path, timeout=1)
        sim.add_faults(fault)
        out = engine.enrich(sim, engine.frame(1, 2, 3), tmp_path, timeout=500, on_mismatch="new")
        assert (status_of(out), sim.counts.runs) == ({"completed": 3}, 3)


@pytest.mark.parametrize(
    ("endpoint", "reason"),
    [("create_group", "503"), ("add_runs", "the answer was HTTP 503")],
)
def test_a_timeout_names_the_trouble_there_was(engine: Any, endpoint: str, reason: str) -> None:
    """Rows that were not sent in time because the service could not say why."""
    with Simulator(engine.answer, latency=1, speed=engine.SPEED, faults=[faults.status(503, on=endpoint)]) as sim:
        out = engine.enrich(sim, engine.frame(1, 2), None, timeout=20)
    assert out["parallel_error"].str.contains(reason).all()


def test_a_service_that_is_away_is_named_after_a_moment(engine: Any, caplog: Any) -> None:
    """A minute of tries is not spent in silence, and the rows say what was wrong."""
    client = pf.Client(api_key="any", base_url="http://127.0.0.1:9", clock_speed=engine.SPEED)
    out = engine.frame(1).parallel.enrich({"name": str}, client=client, checkpoint=None, timeout=30, progress=False)
    assert out["parallel_error"].str.contains("127.0.0.1:9 could not be reached").all()
    assert "127.0.0.1:9 could not be reached" in caplog.text


def broken_entries(event: Any) -> Any:
    """Spoil the entries of completed runs that have their output."""
    return b"{broken" if event.get("output") else event


def test_an_output_that_cannot_be_read_again_is_not_paid_again(engine: Any, tmp_path: Path) -> None:
    """A lost answer that may be back stays pending while it cannot be read, and waits for nothing for ever."""
    with Simulator(
        engine.answer,
        latency=0,
        speed=engine.SPEED,
        faults=[engine.without_outputs(GONE), faults.status(404, on="result")],
    ) as sim:
        assert status_of(engine.enrich(sim, engine.frame(1), tmp_path)) == {"failed": 1}
        sim.clear_faults()
        sim.add_faults(engine.ChangedEvents(on=GONE, change=broken_entries), faults.status(404, on="result"))
        out = engine.enrich(sim, engine.frame(1), tmp_path)
        assert (status_of(out), sim.counts.runs) == ({"pending": 1}, 1)
        assert "its output cannot be had now" in out["parallel_error"][0]
        sim.clear_faults()
        back = engine.enrich(sim, engine.frame(1), tmp_path)
        assert (status_of(back), sim.counts.runs) == ({"completed": 1}, 1)


def test_a_lost_run_that_failed_after_all_is_asked_again(engine: Any, tmp_path: Path) -> None:
    """The service may show it as completed and then as failed: nothing waits for what is no news."""
    seen = itertools.count()

    def flip(event: Any) -> Any:
        if "run" not in event:
            return event
        status = "completed" if next(seen) == 0 else "failed"
        return {**event, "output": None, "run": {**event["run"], "status": status}}

    gone = [engine.without_outputs(GONE), faults.status(404, on="result")]
    with Simulator(engine.answer, latency=0, speed=engine.SPEED, faults=gone) as sim:
        engine.enrich(sim, engine.frame(1), tmp_path)
        sim.clear_faults()
        sim.add_faults(
            engine.ChangedEvents(on="list_runs", change=flip, nth=range(1, 3)), faults.status(404, on="result")
        )
        out = engine.enrich(sim, engine.frame(1), tmp_path, timeout=2_000)
        assert (status_of(out), sim.counts.runs) == ({"completed": 1}, 2)


@pytest.mark.parametrize("status", [400, 410, 422])
def test_a_refused_result_ends_no_call(engine: Any, status: int) -> None:
    """A run that lists show without its output, and whose result is refused, has lost it; others are answered."""

    def lose(event: Any) -> Any:
        return {**event, "output": None} if "COMPANY 1" in str(event.get("output")) else event

    gone = [engine.ChangedEvents(on=GONE, change=lose), faults.status(status, on="result")]
    with Simulator(engine.answer, latency=1, speed=engine.SPEED, faults=gone) as sim:
        out = engine.enrich(sim, engine.frame(1, 2), None)
    assert out["parallel_status"].tolist() == ["failed", "completed"]
    assert "holds no output" in out["parallel_error"][0]


def test_an_error_that_comes_after_the_timeout_is_raised(engine: Any, tmp_path: Path) -> None:
    """A batch that is under way when the time is up is waited for; its refusal is an error, not a late answer."""
    with Simulator(engine.answer, speed=engine.SPEED) as sim:
        sim.add_faults(faults.slow(100, on="add_runs", when="before"), faults.status(401, on="add_runs"))
        with pytest.raises(pf.errors.AuthenticationError, match="401"):
            engine.enrich(sim, engine.frame(1), tmp_path, timeout=50)
        assert sim.counts.runs == 0

"""Going on: with a checkpoint that was left, copied, restored or damaged, and with frames that changed meanwhile."""

import asyncio
import logging
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import parallel_frames as pf
from parallel_frames._checkpoint import open_store
from parallel_frames._job._handle import frame_enrichment
from parallel_frames._job._options import Call
from parallel_frames._model import RunId
from parallel_frames.errors import (
    AuthenticationError,
    CheckpointMismatchError,
    CreditError,
    UndecidedError,
)
from parallel_frames.simulator import Failure, Simulator, faults

SPEED = 100.0
SCHEMA = {"name": str}


def answer(sent: dict[str, Any]) -> Any:
    """Answer with what identifies the row."""
    return Failure("no such company") if "bad" in sent["company"] else {"name": sent["company"].upper()}


def frame(*numbers: int) -> pd.DataFrame:
    """Return rows with distinct inputs."""
    return pd.DataFrame({"company": [f"company {n}" for n in numbers]})


def enrich(sim: Simulator, df: pd.DataFrame, checkpoint: Path | None, **options: Any) -> pd.DataFrame:
    """Enrich against the simulator, on its clock."""
    client = pf.Client(
        api_key=options.pop("api_key", "sk-engine-0123456789"),
        base_url=sim.url,
        clock_speed=SPEED,
        **options.pop("client", {}),
    )
    return df.parallel.enrich(SCHEMA, client=client, checkpoint=checkpoint, progress=False, **options)


def paid(sim: Simulator) -> Counter[tuple[str, str]]:
    """Return how often each (key, attempt) was created."""
    return Counter((run.metadata["key"], run.metadata["attempt"]) for run in sim.runs() if run.metadata)


def job_folder(checkpoint: Path) -> Path:
    """Return the one job's folder in a checkpoint."""
    (header,) = checkpoint.glob("*/header.json")
    return header.parent


def write_intent(sim: Simulator, checkpoint: Path, df: pd.DataFrame, *, attempt: int = 0) -> None:
    """Leave what a process leaves that dies between an intent and its receipt."""
    enrichment = frame_enrichment(df, SCHEMA, Call())
    folder = job_folder(checkpoint)
    with open_store(folder, enrichment.plan.job, host=sim.url.removeprefix("http://")) as store:
        runs = [RunId(key, attempt) for key in enrichment.plan.keys]
        asyncio.run(store.write_intent(store.groups[-1], runs=runs, rows=list(enrichment.plan.positions)))


def test_the_same_call_again_sends_nothing_and_needs_no_network(tmp_path: Path) -> None:
    """A finished checkpoint answers without a single request."""
    with Simulator(answer, latency=1, speed=SPEED) as sim:
        first = enrich(sim, frame(1, 2, 3), tmp_path)
        requests = sim.counts.requests
        second = enrich(sim, frame(1, 2, 3), tmp_path)
        assert sim.counts.requests == requests
    pd.testing.assert_frame_equal(first, second)


def test_grown_reordered_and_edited_frames_pay_only_for_new_inputs(tmp_path: Path) -> None:
    """Keys decide what is there already, whatever became of the rows around it."""
    with Simulator(answer, latency=1, speed=SPEED) as sim:
        enrich(sim, frame(1, 2, 3), tmp_path)
        out = enrich(sim, frame(4, 3, 2, 2, 1, 5), tmp_path)
        assert out["name"].tolist() == [f"COMPANY {n}" for n in (4, 3, 2, 2, 1, 5)]
        assert enrich(sim, frame(2), tmp_path)["name"].tolist() == ["COMPANY 2"]
        assert sim.counts.runs == 5


def test_an_intent_whose_post_landed_is_adopted(tmp_path: Path) -> None:
    """Runs that are on the server, but whose receipts were lost, are found and never sent again."""
    with Simulator(answer, latency=1, speed=SPEED) as sim:
        enrich(sim, frame(1), tmp_path)
        enrich(sim, frame(1, 2, 3), tmp_path)
        folder = job_folder(tmp_path)
        for place in ("receipts", "outcomes"):
            newest = max((folder / place).glob("*.parquet"))
            newest.unlink()
        write_intent(sim, tmp_path, frame(2, 3))
        out = enrich(sim, frame(1, 2, 3), tmp_path)
        assert out["name"].tolist() == ["COMPANY 1", "COMPANY 2", "COMPANY 3"]
        assert set(paid(sim).values()) == {1}
        assert not list((folder / "receipts").glob("*.intent.parquet"))


def test_an_intent_whose_post_never_left_is_sent_after_the_settle_time(tmp_path: Path) -> None:
    """Runs that a whole listing does not hold once the settle time has passed are sent, once."""
    with Simulator(answer, latency=1, speed=SPEED) as sim:
        enrich(sim, frame(1), tmp_path)
        write_intent(sim, tmp_path, frame(2, 3))
        before = max(run.created_at for run in sim.runs())
        out = enrich(sim, frame(1, 2, 3, 4), tmp_path)
        assert out["parallel_status"].tolist() == ["completed"] * 4
        assert set(paid(sim).values()) == {1}
        waited = {run.input["company"]: run.created_at for run in sim.runs()}
        assert waited["company 4"] < waited["company 2"], "other rows do not wait for an undecided batch"
        assert before < waited["company 4"]


def test_two_undecided_batches_stop_further_sending_until_decided(tmp_path: Path) -> None:
    """With two batches undecided nothing else is sent in that group before one of them is decided."""
    with Simulator(answer, latency=1, speed=SPEED) as sim:
        enrich(sim, frame(1), tmp_path)
        write_intent(sim, tmp_path, frame(2))
        write_intent(sim, tmp_path, frame(3))
        out = enrich(sim, frame(1, 2, 3, 4), tmp_path)
        assert out["parallel_status"].tolist() == ["completed"] * 4
        created = [run.input["company"] for run in sim.runs()]
        assert created[0] == "company 1"
        assert created[1] != "company 4"
        assert set(paid(sim).values()) == {1}


def test_a_lost_receipt_of_a_retry_is_found_as_that_attempt(tmp_path: Path) -> None:
    """A retry whose receipt was lost is adopted as attempt 1 and is no third run."""
    df = pd.DataFrame({"company": ["bad"]})
    with Simulator(answer, latency=1, speed=SPEED) as sim:
        enrich(sim, df, tmp_path)
        enrich(sim, df, tmp_path)
        folder = job_folder(tmp_path)
        for place in ("receipts", "outcomes"):
            max((folder / place).glob("*.parquet")).unlink()
        write_intent(sim, tmp_path, df, attempt=1)
        out = enrich(sim, df, tmp_path, retry_failed=False)
        assert out["parallel_status"].tolist() == ["failed"]
        assert sorted(attempt for _, attempt in paid(sim)) == ["0", "1"]
        assert sim.counts.runs == 2


def test_a_copied_and_a_restored_checkpoint_buy_nothing_twice(tmp_path: Path) -> None:
    """An older copy looks at its groups first, and finds there what was sent after it was taken."""
    with Simulator(answer, latency=1, speed=SPEED) as sim:
        enrich(sim, frame(1, 2), tmp_path / "a")
        shutil.copytree(tmp_path / "a", tmp_path / "copy")
        enrich(sim, frame(1, 2, 3, 4), tmp_path / "a")
        out = enrich(sim, frame(1, 2, 3, 4, 5), tmp_path / "copy")
        assert out["parallel_status"].tolist() == ["completed"] * 5
        assert sim.counts.runs == 5


@pytest.mark.parametrize("lost", ["receipts", "outcomes", "header.json"])
def test_a_checkpoint_that_lost_a_part_finds_it_on_the_server(tmp_path: Path, lost: str) -> None:
    """Whatever is missing of a checkpoint is fetched again and not paid again."""
    with Simulator(answer, latency=1, speed=SPEED) as sim:
        enrich(sim, frame(1, 2), tmp_path)
        place = job_folder(tmp_path) / lost
        if place.is_dir():
            shutil.rmtree(place)
        else:
            place.write_text("torn")
        out = enrich(sim, frame(1, 2), tmp_path)
        assert out["name"].tolist() == ["COMPANY 1", "COMPANY 2"]
        assert sim.counts.runs == 2


def test_a_damaged_intent_holds_all_sending_for_the_settle_time(tmp_path: Path) -> None:
    """What a damaged intent meant is unknown: nothing is sent until its batch must have shown."""
    with Simulator(answer, latency=1, speed=SPEED) as sim:
        enrich(sim, frame(1), tmp_path)
        write_intent(sim, tmp_path, frame(2))
        (intent,) = job_folder(tmp_path).glob("receipts/*.intent.parquet")
        intent.write_bytes(b"torn")
        out = enrich(sim, frame(1, 2), tmp_path)
        assert out["parallel_status"].tolist() == ["completed"] * 2
        first, second = sim.runs()
        assert second.created_at - first.created_at > 60
        assert not intent.exists()


def test_a_strangers_runs_in_our_group_are_nobodys_answers(tmp_path: Path) -> None:
    """Runs that others put into the group are neither adopted nor waited for."""
    with Simulator(answer, latency=1, speed=SPEED) as sim:
        enrich(sim, frame(1), tmp_path)
        sim.add_foreign_run(sim.group_ids[0])
        out = enrich(sim, frame(1, 2), tmp_path)
        assert out["name"].tolist() == ["COMPANY 1", "COMPANY 2"]


def test_a_batch_that_cannot_be_decided_stops_with_what_is_safe(tmp_path: Path) -> None:
    """When the listing never becomes whole, the call ends with a resumable error and has sent nothing twice."""
    trouble = [faults.reset("add_runs", when="after", nth=2), faults.short_list(keep=0.4)]
    with Simulator(answer, latency=1, speed=SPEED, faults=trouble) as sim:
        enrich(sim, frame(*range(10)), tmp_path)
        with pytest.raises(UndecidedError, match=r"(?s)may or may not.*safe in"):
            enrich(sim, frame(*range(20)), tmp_path)
        assert set(paid(sim).values()) == {1}


def test_timed_out_rows_are_pending_and_go_on_later(tmp_path: Path) -> None:
    """A row that is not done in time is pending; the next call awaits it and buys nothing."""
    with Simulator(answer, latency=150, speed=SPEED) as sim:
        out = enrich(sim, frame(1, 2), tmp_path, timeout=50)
        assert out["parallel_status"].tolist() == ["pending"] * 2
        assert out["name"].isna().all()
        out = enrich(sim, frame(1, 2), tmp_path)
        assert out["name"].tolist() == ["COMPANY 1", "COMPANY 2"]
        assert sim.counts.runs == 2


def test_a_refresh_asks_every_row_once_more(tmp_path: Path) -> None:
    """refresh=True gives every row one more attempt, and only one."""
    with Simulator(answer, latency=1, speed=SPEED) as sim:
        enrich(sim, frame(1, 2, 3), tmp_path)
        enrich(sim, frame(1, 2, 3), tmp_path, refresh=True)
        assert sorted(attempt for _, attempt in paid(sim)) == ["0", "0", "0", "1", "1", "1"]
        assert set(paid(sim).values()) == {1}


def test_an_old_answer_stands_until_the_refresh_has_a_new_one(tmp_path: Path) -> None:
    """A refresh that is not done in time leaves the old answers in their rows, and is awaited by the next call."""
    wait = [1.0]
    with Simulator(answer, latency=lambda _: wait[0], speed=SPEED) as sim:
        enrich(sim, frame(1, 2), tmp_path)
        wait[0] = 150
        out = enrich(sim, frame(1, 2), tmp_path, refresh=True, timeout=50)
        assert out["name"].tolist() == ["COMPANY 1", "COMPANY 2"]
        assert sim.counts.active == 2
        enrich(sim, frame(1, 2), tmp_path, refresh=True)
        assert (sim.counts.runs, sim.counts.active) == (4, 0)


def test_an_interrupted_refresh_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """What a refresh asked before it broke off is not asked again by the same call."""
    trouble = faults.status(401, on="events", nth=faults.onwards(1))
    with Simulator(answer, latency=1, speed=SPEED) as sim:
        enrich(sim, frame(1, 2, 3), tmp_path)
        sim.add_faults(trouble)
        with pytest.raises(AuthenticationError):
            enrich(sim, frame(1, 2, 3), tmp_path, refresh=True)
        sim.clear_faults()
        enrich(sim, frame(1, 2, 3), tmp_path, refresh=True)
        assert sim.counts.runs == 6
        enrich(sim, frame(1, 2, 3), tmp_path, refresh=True)
        assert sim.counts.runs == 9


def test_credit_that_runs_out_waits_for_what_is_in_flight(tmp_path: Path) -> None:
    """With credit for a few runs at a time, all rows are answered as credit is released."""
    with Simulator(answer, latency=5, speed=SPEED, credit=1.0, price=0.01, reserve=5.0) as sim:
        out = enrich(sim, frame(*range(60)), tmp_path)
        assert out["parallel_status"].eq("completed").all()
        assert set(paid(sim).values()) == {1}


def test_credit_that_is_gone_stops_with_what_is_safe_and_goes_on_after_a_top_up(tmp_path: Path) -> None:
    """Out of credit with nothing in flight is a resumable error; topping up and calling again completes."""
    with Simulator(answer, latency=1, speed=SPEED, credit=0.10, price=0.01, reserve=1.0) as sim:
        with pytest.raises(CreditError, match=r"too little credit.*\n10 of 30 rows are answered.*Run the same again"):
            enrich(sim, frame(*range(30)), tmp_path)
        assert pf.last().status() == {"completed": 10, "not_sent": 20}
        sim.top_up(1.0)
        out = enrich(sim, frame(*range(30)), tmp_path)
        assert out["parallel_status"].eq("completed").all()
        assert sim.counts.runs == 30


def test_a_key_that_stops_working_in_mid_run_loses_nothing(tmp_path: Path) -> None:
    """401 from some request on ends the call with what is safe; a good key goes on."""
    trouble = [faults.status(401, on="add_runs", nth=faults.onwards(2))]
    with Simulator(answer, latency=1, speed=SPEED, faults=trouble) as sim:
        enrich(sim, frame(1), tmp_path)
        with pytest.raises(AuthenticationError, match=r"1 of 2 rows are answered"):
            enrich(sim, frame(1, 2), tmp_path)
        assert sim.counts.runs == 1


def test_without_a_checkpoint_the_group_goes_on(tmp_path: Path) -> None:
    """checkpoint=None and group_id= adopt what the group holds and send only the rest."""
    with Simulator(answer, latency=1, speed=SPEED) as sim:
        out = enrich(sim, frame(1, 2), None)
        group_id = out.attrs["parallel"]["enrichments"][-1]["group_ids"][-1]
        out = enrich(sim, frame(1, 2, 3), None, group_id=group_id)
        assert out["name"].tolist() == ["COMPANY 1", "COMPANY 2", "COMPANY 3"]
        assert (sim.counts.runs, sim.counts.groups) == (3, 1)


def test_the_tripwire_stops_a_frame_whose_inputs_all_changed(tmp_path: Path) -> None:
    """A frame of the same rows that became other inputs is not paid for again unless the call asks for it."""
    with Simulator(answer, latency=1, speed=SPEED) as sim:
        enrich(sim, frame(*range(30)), tmp_path)
        changed = frame(*range(30)).assign(company=lambda df: df["company"] + " ")
        with pytest.raises(CheckpointMismatchError, match=r'stored, row 0: {"company":"company 0"}') as caught:
            enrich(sim, changed, tmp_path)
        assert "30 runs ($0.30)" in str(caught.value)
        assert sim.counts.runs == 30
        enrich(sim, changed, tmp_path, on_mismatch="new")
        assert sim.counts.runs == 60


def test_a_changed_description_is_another_job(tmp_path: Path) -> None:
    """Another schema, processor or option is refused in the same directory, naming what changed."""
    with Simulator(answer, latency=1, speed=SPEED) as sim:
        enrich(sim, frame(1), tmp_path)
        with pytest.raises(CheckpointMismatchError, match=r'processor: "base" there, "pro" here'):
            enrich(sim, frame(1), tmp_path, processor="pro")
        assert sim.counts.runs == 1


def test_a_job_opens_a_new_group_when_one_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Groups are filled to their limit and no further."""
    import parallel_frames._engine._submit as submit

    monkeypatch.setattr(submit, "MAX_RUNS_PER_GROUP", 40)  # the constant, not behaviour: 50,000 real runs take too long
    with Simulator(answer, latency=1, speed=SPEED) as sim:
        out = enrich(sim, frame(*range(100)), tmp_path)
        assert out["parallel_status"].eq("completed").all()
        assert Counter(run.group_id for run in sim.runs()).most_common() == [
            (sim.group_ids[0], 40),
            (sim.group_ids[1], 40),
            (sim.group_ids[2], 20),
        ]


def test_an_unwritable_cache_is_a_warning_and_the_call_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The default checkpoint is a help and never an obstacle."""
    (tmp_path / "cache").write_text("a file where a folder should be")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with Simulator(answer, latency=1, speed=SPEED) as sim, caplog.at_level(logging.WARNING, "parallel_frames"):
        client = pf.Client(api_key="sk-engine-0123456789", base_url=sim.url, clock_speed=SPEED)
        out = frame(1).parallel.enrich(SCHEMA, client=client)
    assert out["name"].tolist() == ["COMPANY 1"]
    assert "without a checkpoint" in caplog.text


def test_the_key_is_in_no_file_log_or_message(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """After a run with trouble the API key stands nowhere but in the requests."""
    secret = "sk-very-secret-0123456789"
    trouble = [faults.status(503, on="events", nth=1), faults.status(403, on="add_runs", nth=2)]
    with (
        caplog.at_level(logging.DEBUG),
        Simulator(answer, latency=1, speed=SPEED, faults=trouble, api_key=secret) as sim,
    ):
        out = enrich(sim, frame(1), tmp_path, api_key=secret)
        with pytest.raises(AuthenticationError) as caught:
            enrich(sim, frame(1, 2), tmp_path, api_key=secret)
        client = pf.Client(api_key=secret, base_url=sim.url)
        told = [caplog.text, str(caught.value), repr(caught.value), repr(client), repr(pf.last()), str(out.attrs)]
        with pytest.raises(httpx.HTTPError):
            httpx.get("http://127.0.0.1:1")
    assert not [text for text in told if secret in text]
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]


@pytest.mark.parametrize("wait", [0, 20])
@pytest.mark.parametrize("column", ["attempt", "key"])
def test_a_receipt_that_the_service_contradicts_is_not_waited_for(
    engine: Any, tmp_path: Path, caplog: Any, column: str, wait: float
) -> None:
    """An edited receipt buys nothing again, and its row is left with a reason, whether or not its run had ended."""
    with Simulator(engine.answer, latency=wait, speed=engine.SPEED) as sim:
        options = {"client": engine.client(sim), "checkpoint": tmp_path, "progress": False}
        engine.frame(1, 2).parallel.submit(engine.SCHEMA, **options)
        sim.wait_until(lambda counts: counts.active == 0 or wait > 0)
        (path,) = tmp_path.glob("*/receipts/*.parquet")
        table = pq.read_table(path)
        keys = table.column("key").to_pylist()
        edited = pa.array([1, 0] if column == "attempt" else [keys[1], keys[1]], table.schema.field(column).type)
        pq.write_table(table.set_column(table.column_names.index(column), column, edited), path)
        out = engine.enrich(sim, engine.frame(1, 2), tmp_path)
        assert out["parallel_status"].tolist() == ["completed", "completed"]
        assert sim.counts.runs == 2
    if column == "attempt":
        assert "as attempt 1 of its row, and the service as attempt 0" in caplog.text

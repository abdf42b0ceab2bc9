"""The handle of an enrichment: sent and left, looked at, iterated over, stopped, and taken up elsewhere."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import signal
import subprocess
import sys
import threading
import time

import pandas as pd
import pytest

import parallel_frames as pf
from parallel_frames.errors import CheckpointError, CostError, InputError, UnavailableError
from parallel_frames.simulator import Failure, Simulator, faults


@pytest.fixture
def df():
    """Forty rows, two of each input, under a shuffled index."""
    return pd.DataFrame({"company": [f"Company {n % 20}" for n in range(40)]}, index=range(40, 0, -1))


def number(sent):
    """Answer with the number in the name."""
    return {"number": int(sent["company"].split()[1])}


SCHEMA = {"number": int}
QUIET = {"progress": False}


def test_submit_returns_once_all_is_sent(df):
    """It does not wait for answers; the handle looks, and result() waits for the frame that enrich would give."""
    with pf.offline(number, latency=20, speed=20) as sim:
        run = df.parallel.submit(SCHEMA, **QUIET)
        assert (sim.counts.runs, sim.counts.completed) == (20, 0)
        assert run.status() == {"pending": 40}
        assert run.partial()["number"].isna().all()
        out = run.result()
        assert run.status() == {"completed": 40}
        assert sim.counts.runs == 20
    assert out["number"].tolist() == [n % 20 for n in range(40)]
    assert run is pf.last()
    assert run.cost == pytest.approx(0.2)
    assert run.group_ids[0] in run.url


def test_status_sees_what_became_of_runs_nobody_waited_for(df):
    """Looking brings in finished runs, durably, and sends nothing."""
    with pf.offline(number, latency=1, speed=20) as sim:
        run = df.parallel.submit(SCHEMA, **QUIET)
        deadline = time.monotonic() + 20
        while run.status() != {"completed": 40}:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        stored = pf.Checkpoint(run.checkpoint).outcomes()
        assert (stored["status"] == "completed").sum() == 20
        assert run.partial()["number"].tolist() == [n % 20 for n in range(40)]
        assert (sim.counts.runs, sim.counts.duplicates) == (20, 0)


def test_status_is_no_error_when_the_service_is_away(df, client_of, caplog):
    """A service that cannot be reached leaves what is known, with a line in the log."""
    with Simulator(number, latency=1000, speed=10) as sim:
        run = df.parallel.submit(SCHEMA, client=client_of(sim, request_timeout=2), **QUIET)
    with caplog.at_level("WARNING", logger="parallel_frames"):
        assert run.status() == {"pending": 40}


def test_a_handle_of_an_ended_block_never_goes_to_the_live_service(df, monkeypatch):
    """After the offline block nothing is requested: what is known is returned, and resuming is refused."""
    monkeypatch.setenv("PARALLEL_API_KEY", "would-pay")
    with pf.offline(number, latency=1000):
        run = df.parallel.submit(SCHEMA, **QUIET)
    assert run.status() == {"pending": 40}
    for go_on in (run.result, run.resume, lambda: list(run)):
        with pytest.raises(InputError, match="offline block of this enrichment has ended"):
            go_on()


def test_iterating_yields_every_row_once_as_it_arrives(df):
    """Rows come typed, with their position and label, both rows of a shared run, before the last run has ended."""
    first_left = []
    with pf.offline(number, latency=(1, 40), speed=20) as sim:
        run = df.parallel.submit(SCHEMA, **QUIET)
        rows = []
        for row in run:
            first_left.append(sim.counts.active)
            rows.append(row)
    assert sorted(row.position for row in rows) == list(range(40))
    assert all(row.values == {"number": row.position % 20} and row.status == "completed" for row in rows)
    assert all(row.index == df.index[row.position] for row in rows)
    assert max(first_left) > 5
    assert run.result()["number"].tolist() == [n % 20 for n in range(40)]


def test_leaving_the_loop_early_stops_the_waiting_and_loses_nothing(df):
    """A break leaves no thread behind; what arrived is stored, and result() goes on."""
    before = threading.active_count()
    with pf.offline(number, latency=(1, 60), speed=20) as sim:
        run = df.parallel.submit(SCHEMA, **QUIET)
        for row in run:
            assert row.status == "completed"
            break
        assert threading.active_count() <= before + 2  # the simulator's own
        out = run.result()
        assert (sim.counts.runs, sim.counts.duplicates) == (20, 0)
    assert out["number"].notna().all()
    assert not [thread for thread in threading.enumerate() if thread.name == "parallel_frames"]


def test_iterating_a_handle_inside_a_running_loop_works(df):
    """A plain for loop in a coroutine gets its rows, although the loop stands still meanwhile."""

    async def main():
        run = df.parallel.submit(SCHEMA, **QUIET)
        return sorted(row.position for row in run)

    with pf.offline(number, latency=0):
        assert asyncio.run(main()) == list(range(40))


def test_an_error_while_iterating_comes_out_of_the_loop(df, client_of):
    """What stops the enrichment is raised where the rows are taken, and says what is safe."""
    with Simulator(number, latency=30, speed=20) as sim:
        run = df.parallel.submit(SCHEMA, client=client_of(sim), **QUIET)
        sim.add_faults(faults.status(401, on=["events", "list_runs", "status", "result"]))
        with pytest.raises(pf.errors.AuthenticationError) as caught:
            list(run)
    assert caught.value.safety.sent == 20


def test_stop_sending_ends_a_call_with_what_was_sent(df):
    """From another thread: what was sent is awaited, the rest is not sent, and the same call sends it another day."""
    wide = pd.DataFrame({"company": [f"Company {n}" for n in range(300)]})
    with pf.offline(number, latency=1, speed=20, max_per_minute=100) as sim:
        began = time.monotonic()
        frames = []
        call = threading.Thread(target=lambda: frames.append(wide.parallel.enrich(SCHEMA, **QUIET)))
        call.start()
        while sim.counts.runs < 100:
            time.sleep(0.01)
        pf.last().stop_sending()
        call.join(timeout=30)
        assert time.monotonic() - began < 3  # not the minutes of the rate limit
        (out,) = frames
        assert out["parallel_status"].value_counts()[["completed", "not_sent"]].tolist() == [100, 200]
        again = wide.parallel.enrich(SCHEMA, **QUIET)
        assert again["number"].tolist() == list(range(300))
        assert (sim.counts.runs, sim.counts.duplicates) == (300, 0)


def test_stop_sending_before_the_start_sends_nothing(df):
    """A handle that was stopped sends nothing later."""
    with pf.offline(number, latency=0, max_per_minute=10, speed=50) as sim:
        seen = []

        def stop_after_five(row):
            seen.append(row)
            if len(seen) == 5:
                pf.last().stop_sending()

        out = df.parallel.enrich(SCHEMA, on_row=stop_after_five, **QUIET)
    assert sim.counts.runs < 20
    assert set(out["parallel_status"]) == {"completed", "not_sent"}


def test_on_row_hears_of_every_row_and_cannot_break_a_run(df, caplog):
    """An error in the callback is logged once with its row, counted, and costs nothing."""
    heard = []

    def listen(row):
        heard.append(row.position)
        raise ValueError("my own bug")

    with pf.offline(number, latency=0), caplog.at_level("WARNING", logger="parallel_frames"):
        out = df.parallel.enrich(SCHEMA, on_row=listen, **QUIET)
        assert sorted(heard) == list(range(40))
        df.parallel.enrich(SCHEMA, on_row=listen, **QUIET)
        assert sorted(heard[40:]) == list(range(40))  # those that were answered before are told of, too
    assert out["number"].notna().all()
    told = [record.getMessage() for record in caplog.records if "on_row" in record.getMessage()]
    assert "my own bug" in told[0]
    assert "40 rows" in told[1]


def test_on_row_tells_of_failures_too():
    """A failed and an invalid row come with their status, their error and no value."""
    df = pd.DataFrame({"company": ["good", "bad", "ugly"]})
    answers = {"good": {"number": 1}, "bad": Failure("no such company"), "ugly": {"number": "x"}}
    rows = {}
    with pf.offline(answers, latency=0):
        df.parallel.enrich(SCHEMA, on_row=lambda row: rows.update({row.position: row}), **QUIET)
    assert [rows[n].status for n in range(3)] == ["completed", "failed", "invalid"]
    assert rows[1].error == "no such company"
    assert rows[2].values == {"number": None}


def test_a_handle_is_found_again_by_the_same_call_in_another_process(forks, df, tmp_path):
    """Submitted in one process, and again in the next: nothing is sent twice, and the answers are there."""
    df.to_parquet(tmp_path / "in.parquet")
    code = (
        "import sys, json, pandas as pd, parallel_frames as pf\n"
        "df = pd.read_parquet(sys.argv[1])\n"
        "client = pf.Client(api_key='any', base_url=sys.argv[2], clock_speed=20)\n"
        "run = df.parallel.submit({'number': int}, checkpoint=sys.argv[3], client=client, progress=False)\n"
        "print(json.dumps([run.status(), int(run.result()['number'].sum()) if sys.argv[4] == 'wait' else 0]))\n"
    )

    def process(what):
        arguments = [str(tmp_path / "in.parquet"), sim.url, str(tmp_path / "kept"), what]
        return json.loads(forks.run([sys.executable, "-c", code, *arguments], check=True).stdout)

    with Simulator(number, latency=30, speed=20) as sim:
        assert process("leave") == [{"pending": 40}, 0]
        _, total = process("wait")
        assert (sim.counts.runs, sim.counts.duplicates) == (20, 0)
    assert total == 2 * sum(range(20))


def test_max_cost_refuses_before_the_first_request(df, tmp_path):
    """Twenty runs at a cent do not fit ten cents: nothing is sent, and the message says the way out."""
    with pf.offline(number, latency=0) as sim:
        with pytest.raises(
            CostError, match=r"20 runs to send come to \$0.20, over `max_cost=0.1`.*`limit=10`"
        ) as caught:
            df.parallel.enrich(SCHEMA, max_cost=0.1, **QUIET)
        assert (sim.counts.posts, sim.counts.groups) == (0, 0)
        assert (caught.value.runs, caught.value.cost, caught.value.max_cost) == (20, 0.2, 0.1)
        df.parallel.enrich(SCHEMA, max_cost=0.2, **QUIET)
        assert sim.counts.runs == 20


@pytest.mark.parametrize("why", ["the price", "the host"])
def test_a_call_that_bought_nothing_leaves_no_job(df, tmp_path, why):
    """Refused, or stopped before the service was reached: the corrected call does not report another job's answers."""
    nowhere = pf.Client(api_key="key", base_url="http://127.0.0.1:9", clock_speed=1000.0)
    with pf.offline(number, latency=0) as sim:
        with pytest.raises(CostError if why == "the price" else UnavailableError):
            df.parallel.enrich(
                {"wrong": str},
                checkpoint=tmp_path / "c",
                progress=False,
                **({"max_cost": 0.01} if why == "the price" else {"client": nowhere}),
            )
        with pytest.raises(CheckpointError, match="no checkpoint"):
            pf.Checkpoint(tmp_path / "c")
        out = df.parallel.enrich(SCHEMA, checkpoint=tmp_path / "c", progress=False)
        assert (sim.counts.runs, out["parallel_status"].unique().tolist()) == (20, ["completed"])
    assert len(pf.Checkpoint(tmp_path / "c").summary()) == 1


def test_max_cost_holds_across_a_resume(df):
    """What earlier calls paid for these rows counts, but not what failed; nothing to send is never too dear."""
    answers = {f"Company {n}": Failure("down") for n in range(10)} | {
        f"Company {n}": {"number": n} for n in range(10, 20)
    }
    with pf.offline(answers, latency=0) as sim:
        df.parallel.enrich(SCHEMA, max_cost=0.25, **QUIET)
        more = pd.DataFrame({"company": [f"Company {n}" for n in range(30)]})
        with pytest.raises(CostError, match=r"20 runs to send and 10 paid for before come to \$0.30") as caught:
            more.parallel.enrich(SCHEMA, max_cost=0.25, **QUIET)
        assert sim.counts.runs == 20
        assert re.search(r"10 of 30 rows are answered, 20 runs sent.*nothing of it is paid twice", str(caught.value))
        assert "the same call again" not in str(caught.value)
        out = df.parallel.enrich(SCHEMA, max_cost=0.25, retry_failed=False, **QUIET)
    assert out["parallel_status"].value_counts()["completed"] == 20


@pytest.mark.parametrize(("first", "limit"), [(None, 5), (slice(0, 3), 5), (slice(15, 18), 2), (slice(0, 5), None)])
def test_the_limit_that_a_cost_error_names_is_not_refused(df, first, limit):
    """It counts inputs in the frame's order, answered ones too, and what was paid before; none helps: none is named."""
    with pf.offline(number, latency=0) as sim:
        if first is not None:
            df.iloc[first].parallel.enrich(SCHEMA, **QUIET)
        with pytest.raises(CostError) as planned:
            df.parallel.plan(SCHEMA, max_cost=0.05, **QUIET)
        with pytest.raises(CostError) as caught:
            df.parallel.enrich(SCHEMA, max_cost=0.05, **QUIET)
        assert (caught.value.limit, planned.value.limit) == (limit, limit)
        assert ("limit=" in str(caught.value)) == (limit is not None)
        if limit is not None:
            df.parallel.enrich(SCHEMA, max_cost=0.05, limit=limit, **QUIET)
            assert sim.counts.runs == 5


def test_failures_that_only_a_look_shows_leave_the_budget_as_it_was(df, tmp_path, client_of):
    """Runs that failed between two calls are not billed: they are tried again within the same budget."""
    with Simulator(lambda _: Failure("down"), latency=1, speed=20) as sim:
        options = {"checkpoint": tmp_path / "kept", "client": client_of(sim), "max_cost": 0.2, **QUIET}
        df.parallel.submit(SCHEMA, **options)
        while sim.counts.failed < 20:
            time.sleep(0.01)
        df.parallel.enrich(SCHEMA, **options)
        assert sim.counts.runs == 40
        assert pf.last().cost == 0


def test_max_cost_needs_a_known_price(df):
    """With a processor that is not in the table nothing is promised, and nothing sent."""
    with pf.offline(number, latency=0) as sim:
        with pytest.raises(InputError, match="price of processor 'hyper' is not known"):
            df.parallel.enrich(SCHEMA, processor="hyper", max_cost=100, **QUIET)
        assert sim.counts.posts == 0


def test_confirm_needs_somebody_to_ask(df):
    """Without a terminal confirm=True is an error that says what to do; with nothing to pay it is silent."""
    with pf.offline(number, latency=0) as sim:
        with pytest.raises(InputError, match="confirm=True"):
            df.parallel.enrich(SCHEMA, confirm=True, **QUIET)
        assert sim.counts.posts == 0
        df.parallel.enrich(SCHEMA, **QUIET)
        df.parallel.enrich(SCHEMA, confirm=True, **QUIET)


def test_a_plan_is_free_and_exact(df):
    """It needs no key, sends nothing, writes nothing, and its numbers are what the call then does."""
    plan = df.parallel.plan(SCHEMA, processor="core")
    assert (plan.rows, plan.runs, plan.duplicates, plan.to_send) == (40, 20, 20, 20)
    assert (plan.cost, plan.price_per_run) == (0.5, 0.025)
    assert plan.sends == ("company",)
    with pf.offline(number, latency=0) as sim:
        first = df.head(5).parallel.enrich(SCHEMA, **QUIET)
        assert len(first) == 5
        requests = sim.counts.requests
        plan = df.parallel.plan(SCHEMA, limit=12)
        assert sim.counts.requests == requests
        assert (plan.answered, plan.to_send, plan.left_out, plan.cost, plan.spent) == (5, 7, 8, 0.07, 0.05)
        df.parallel.enrich(SCHEMA, limit=12, **QUIET)
        assert sim.counts.runs == 12
        assert plan.simulated


def test_a_plan_shows_the_first_payload_as_it_is_sent_and_no_secret(df):
    """The body is the one the service gets, but for headers of MCP servers and the webhook."""
    server = {"type": "url", "name": "crm", "url": "https://crm.example", "headers": {"auth": "s3cr3t"}}
    hook = {"url": "https://hook.example/t0ken", "event_types": ["task_run.status"]}
    secret = {"mcp_servers": [server], "webhook": hook}
    plan = df.parallel.plan(SCHEMA, options=secret, metadata={"id": "company"})
    assert "s3cr3t" not in json.dumps(plan.payload)
    assert "t0ken" not in json.dumps(plan.payload)
    with pf.offline(number, latency=0) as sim:
        plan = df.parallel.plan(SCHEMA, metadata={"id": "company"})
        df.parallel.enrich(SCHEMA, metadata={"id": "company"}, **QUIET)
        first = sim.runs()[0]
    (run,) = plan.payload["inputs"]
    assert (run["input"], run["metadata"], run["processor"]) == (first.input, first.metadata, first.processor)
    assert plan.payload["default_task_spec"]["output_schema"]["json_schema"]["required"] == ["number"]
    assert plan.method_path == "POST /v1/tasks/groups/{taskgroup_id}/runs"


def test_a_plan_raises_what_the_call_would(df, tmp_path):
    """A directory that holds only other answers stops the plan as it would stop the call."""
    with pf.offline(number, latency=0):
        df.parallel.enrich(SCHEMA, checkpoint=tmp_path / "kept", **QUIET)
        with pytest.raises(pf.errors.CheckpointMismatchError):
            df.parallel.plan({"other": str}, checkpoint=tmp_path / "kept")
        assert df.parallel.plan({"other": str}, checkpoint=tmp_path / "kept", on_mismatch="new").to_send == 20


def test_a_plan_looks_at_a_checkpoint_in_use_without_disturbing_it(df, tmp_path, client_of):
    """While another thread enriches, a plan of the same job says what is under way, and takes no lock."""
    with Simulator(number, latency=10, speed=10) as sim:
        options = {"checkpoint": tmp_path / "kept", "client": client_of(sim), **QUIET}
        call = threading.Thread(target=lambda: df.parallel.enrich(SCHEMA, **options))
        call.start()
        while sim.counts.runs < 20:
            time.sleep(0.01)
        time.sleep(0.1)
        plan = df.parallel.plan(SCHEMA, **options)
        call.join()
    assert (plan.to_send, plan.awaited + plan.answered) == (0, 20)


def test_ctrl_c_in_the_loop_stops_it_and_loses_nothing(forks, df, tmp_path):
    """Interrupted while it waits for a row, the process ends its worker at once, and another one goes on."""
    code = (
        "import sys, pandas as pd, parallel_frames as pf\n"
        "df = pd.DataFrame({'company': [f'Company {n % 20}' for n in range(40)]})\n"
        "client = pf.Client(api_key='any', base_url=sys.argv[1])\n"
        "run = df.parallel.submit({'number': int}, checkpoint=sys.argv[2], client=client, progress=False)\n"
        "try:\n"
        "    for row in run:\n"
        "        print('ROW', flush=True)\n"
        "except KeyboardInterrupt:\n"
        "    print('INTERRUPTED', run.group_ids != (), flush=True)\n"
    )
    seconds = itertools.chain([0.2], itertools.repeat(600.0))  # one run ends, the others don't
    with Simulator(number, latency=lambda _: next(seconds)) as sim:
        arguments = [sys.executable, "-c", code, sim.url, str(tmp_path / "kept")]
        process = forks.start(arguments, stdout=subprocess.PIPE, text=True)
        assert process.stdout.readline() == "ROW\n"
        assert process.stdout.readline() == "ROW\n"
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate()
        assert time.monotonic() - began < 5
        assert (rest, process.returncode) == ("INTERRUPTED True\n", 0)
        stored = pf.Checkpoint(tmp_path / "kept").outcomes()
        assert stored["status"].tolist() == ["completed"]
        assert (sim.counts.runs, sim.counts.duplicates) == (20, 0)


def test_on_row_hears_of_the_rows_that_a_loop_takes(df):
    """Iterating over a handle tells its on_row too, whose errors do not come out of the loop."""
    heard = []

    def listen(row):
        heard.append(row.position)
        raise ValueError("my own bug")

    with pf.offline(number, latency=(1, 20), speed=20):
        run = df.parallel.submit(SCHEMA, on_row=listen, **QUIET)
        heard.clear()
        taken = [row.position for row in run]
    assert sorted(heard) == sorted(taken) == list(range(40))


@pytest.mark.parametrize("error", [asyncio.CancelledError, GeneratorExit])
def test_on_row_cannot_break_a_run_with_what_ends_coroutines(df, error):
    """Of an error that is no Exception the rest of the batch hears none the less."""
    heard = []

    def listen(row):
        heard.append(row.position)
        raise error("my own")

    with pf.offline(number, latency=0):
        df.parallel.enrich(SCHEMA, on_row=listen, **QUIET)
    assert sorted(heard) == list(range(40))


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_on_row_may_stop_a_run_as_ctrl_c_does(df, error):
    """What ends a program goes through, and the same call resumes without paying twice."""

    def listen(row):
        raise error("enough")

    with pf.offline(number, latency=(0, 20), speed=20) as sim:
        with pytest.raises(error):
            df.parallel.enrich(SCHEMA, on_row=listen, **QUIET)
        out = df.parallel.enrich(SCHEMA, **QUIET)
        assert (sim.counts.runs, sim.counts.duplicates) == (20, 0)
    assert out["number"].notna().all()


def test_a_reader_that_leaves_makes_no_noise(caplog):
    """The simulator writes nothing to streams that were closed."""
    many = pd.DataFrame({"company": [f"Company {n}" for n in range(2500)]})
    with caplog.at_level("WARNING", logger="asyncio"), pf.offline(latency=0, speed=50, max_per_minute=100_000):
        run = many.parallel.submit(SCHEMA, checkpoint=None, **QUIET)
        run.status()
    assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []


def test_the_end_of_a_submit_is_that_all_is_sent(df, capsys):
    """Its last line says that all is sent, that of a result enriched, and that of an unfinished job stopped."""
    with pf.offline(number, latency=5, speed=20):
        run = df.parallel.submit(SCHEMA)
        assert capsys.readouterr().err.splitlines()[-1] == "20 of 20 runs sent · $0.20 · SIMULATED"
        run.result()
        assert capsys.readouterr().err.splitlines()[-1].startswith("enriched: 40 of 40 rows")
        df.parallel.enrich({"other": int}, timeout=0.1)
        assert capsys.readouterr().err.splitlines()[-1].startswith("stopped: ")


def test_asking_how_it_stands_sends_nothing_again(df):
    """A callback that asks for the status at each row sees numbers, and what failed is not sent a second time."""
    counts = []

    def on_row(row):
        counts.append(sum(pf.last().status().values()))

    with pf.offline(lambda _: Failure("no luck"), latency=0, max_per_minute=10, speed=200) as sim:
        client = pf.Client(api_key="key", base_url=sim.url, max_per_minute=10, clock_speed=200)
        out = df.parallel.enrich(SCHEMA, on_row=on_row, client=client, **QUIET)
    assert set(out["parallel_status"]) == {"failed"}
    assert set(counts) == {40}
    assert (sim.counts.runs, sim.counts.duplicates) == (20, 0)

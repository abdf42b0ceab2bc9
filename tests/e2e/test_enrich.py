"""One call of `enrich`, option by option, over HTTP against the simulator."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from datetime import timedelta
from itertools import count

import httpx
import pandas as pd
import pytest

import parallel_frames as pf
from parallel_frames.errors import CheckpointMismatchError, EnrichmentError, InputError
from parallel_frames.simulator import Failure, Simulator, faults

SCHEMA = {"name": "the company's full name", "size": int}


@pytest.fixture
def df():
    """Three companies, under labels that are not their positions."""
    return pd.DataFrame(
        {"company": ["Acme", "Globex", "Initech"], "website": ["acme.com", "globex.com", None]}, index=[10, 20, 30]
    )


def answer(sent):
    """Answer with what was sent."""
    company = sent if isinstance(sent, str) else sent["company"]
    return {"name": f"{company} Inc.", "size": len(company)}


async def _await(coroutine):
    return await coroutine


WAYS = {
    "df.parallel.enrich": lambda df, *schema, **options: df.parallel.enrich(*schema, **options),
    "pf.enrich": pf.enrich,
    "df.parallel.aenrich": lambda df, *schema, **options: asyncio.run(_await(df.parallel.aenrich(*schema, **options))),
    "pf.aenrich": lambda df, *schema, **options: asyncio.run(_await(pf.aenrich(df, *schema, **options))),
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_of_calling_returns_the_enriched_frame(df, way):
    """The accessor and the functions, blocking or awaited, take the same options and return the same frame."""
    with pf.offline(answers=answer, latency=0) as sim:
        out = WAYS[way](df, SCHEMA, processor="lite", prefix="p_")
    assert out.index.tolist() == [10, 20, 30]
    assert out.columns.tolist() == ["company", "website", "p_name", "p_size", "p_parallel_status", "p_parallel_error"]
    assert out["p_name"].tolist() == ["Acme Inc.", "Globex Inc.", "Initech Inc."]
    assert out["p_size"].tolist() == [4, 6, 7]
    assert out["p_parallel_status"].tolist() == ["completed"] * 3
    assert out["p_parallel_error"].isna().all()
    assert (sim.counts.runs, sim.counts.duplicates) == (3, 0)


def test_the_processor_travels_with_every_run(df):
    """The service is asked for the processor of the call, which is "base" if none is named."""
    with pf.offline(answers=answer, latency=0) as sim:
        df.parallel.enrich(SCHEMA, processor="core-fast")
        df.parallel.enrich(SCHEMA)
    assert [run.processor for run in sim.runs()] == ["core-fast"] * 3 + ["base"] * 3


@pytest.mark.parametrize(
    ("inputs", "sent"),
    [
        (None, {"company": "Acme", "website": "acme.com"}),
        (["company"], {"company": "Acme"}),
        (("website", "company"), {"company": "Acme", "website": "acme.com"}),
        ({"company": "website", "url": "company"}, {"company": "acme.com", "url": "Acme"}),
        ("company", "Acme"),
        ("Research {company} ({website})", "Research Acme (acme.com)"),
    ],
)
def test_inputs_says_what_a_row_sends(df, inputs, sent):
    """A list, a mapping, one column's name and a template each send what they say."""
    with pf.offline(answers=answer, latency=0) as sim:
        df.head(1).parallel.enrich(SCHEMA, inputs=inputs)
    assert [run.input for run in sim.runs()] == [sent]


def test_the_input_schema_travels_in_the_task_spec(df):
    """What describes the input is part of the spec that the service reads."""
    specs = []

    def look(sent, spec):
        specs.append(spec)
        return answer(sent)

    with pf.offline(answers=look, latency=0):
        df.head(1).parallel.enrich(SCHEMA, inputs=["company"], input_schema={"company": "a legal name"})
    told = specs[0]["input_schema"]["json_schema"]["properties"]["company"]
    assert told == {"type": "string", "description": "a legal name"}


def test_a_named_checkpoint_answers_the_same_call_again_for_free(df, tmp_path):
    """A second call with the same directory, even of another process and order, sends nothing."""
    with pf.offline(answers=answer, latency=0) as sim:
        first = df.parallel.enrich(SCHEMA, checkpoint=tmp_path / "companies.ckpt")
    with pf.offline(answers=answer, latency=0) as other:
        again = df[::-1].parallel.enrich(SCHEMA, checkpoint=str(tmp_path / "companies.ckpt"))
    pd.testing.assert_frame_equal(again[::-1], first)
    assert (sim.counts.runs, other.counts.requests) == (3, 0)
    assert again.attrs["parallel"]["enrichments"][-1]["checkpoint"].startswith(str(tmp_path))


def test_a_grown_frame_pays_for_its_new_rows_only(df, tmp_path):
    """With a checkpoint, rows that were answered before are not asked again when others join them."""
    with pf.offline(answers=answer, latency=0) as sim:
        df.head(2).parallel.enrich(SCHEMA, checkpoint=tmp_path)
        out = df.parallel.enrich(SCHEMA, checkpoint=tmp_path)
    assert out["size"].tolist() == [4, 6, 7]
    assert (sim.counts.runs, sim.counts.duplicates, sim.counts.groups) == (3, 0, 1)


def test_the_automatic_checkpoint_remembers_and_none_does_not(df):
    """By default the same call again is free; with checkpoint=None every call asks again."""
    with pf.offline(answers=answer, latency=0) as sim:
        df.parallel.enrich(SCHEMA)
        df.parallel.enrich(SCHEMA)
        assert sim.counts.runs == 3
        out = df.parallel.enrich(SCHEMA, checkpoint=None)
    assert sim.counts.runs == 6
    assert pf.last().checkpoint is None
    assert out.attrs["parallel"]["enrichments"][-1]["checkpoint"] is None


def test_without_a_name_the_checkpoint_is_in_the_users_cache(df, client_of, tmp_path, monkeypatch):
    """Outside of an offline block, unnamed checkpoints go to the user's cache directory, one folder per job."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with Simulator(answers=answer, latency=0) as sim:
        for _ in range(2):
            df.parallel.enrich(SCHEMA, client=client_of(sim))
    assert sim.counts.runs == 3
    assert pf.last().checkpoint.startswith(str(tmp_path))


def test_a_checkpoint_of_another_job_stops_the_call_or_stands_beside_it(df, tmp_path):
    """A directory that holds other jobs only is an error that names the difference; on_mismatch="new" goes on."""
    with pf.offline(answers=answer, latency=0) as sim:
        df.parallel.enrich(SCHEMA, checkpoint=tmp_path)
        with pytest.raises(CheckpointMismatchError, match="processor") as caught:
            df.parallel.enrich(SCHEMA, checkpoint=tmp_path, processor="core")
        assert 'It differs: processor: "base" there, "core" here. They' in str(caught.value)
        assert "on_mismatch=" in str(caught.value)
        assert "$0.075" in str(caught.value)
        many = {f"column {n}": (int, "a long description, which is not shown") for n in range(30)}
        with pytest.raises(CheckpointMismatchError, match=r"only there: .*; columns only here: .* and 25 more\. "):
            df.parallel.enrich(many, checkpoint=tmp_path)
        assert sim.counts.runs == 3
        df.parallel.enrich(SCHEMA, checkpoint=tmp_path, processor="core", on_mismatch="new")
    assert [run.processor for run in sim.runs()] == ["base"] * 3 + ["core"] * 3


def test_refresh_asks_every_row_once_more(df, tmp_path):
    """refresh=True sends one more attempt of every row, and its answers are what later calls find."""
    number = count()
    with pf.offline(answers=lambda _: {"size": next(number)}, latency=0) as sim:
        first = df.parallel.enrich({"size": int}, checkpoint=tmp_path)
        fresh = df.parallel.enrich({"size": int}, checkpoint=tmp_path, refresh=True)
        later = df.parallel.enrich({"size": int}, checkpoint=tmp_path)
    assert sorted(first["size"]) == [0, 1, 2]
    assert sorted(fresh["size"]) == [3, 4, 5]
    pd.testing.assert_frame_equal(later, fresh)
    assert [run.metadata["attempt"] for run in sim.runs()] == ["0"] * 3 + ["1"] * 3
    assert sim.counts.duplicates == 0


@pytest.mark.parametrize("retry", [True, False])
def test_failed_rows_are_tried_again_unless_told_not_to(df, tmp_path, retry):
    """A later call sends one more attempt of failed rows, or with retry_failed=False shows them as they are."""
    with pf.offline(answers=answer, latency=0, faults=[faults.fail_runs("no luck", inputs="Globex")]) as sim:
        out = df.parallel.enrich(SCHEMA, checkpoint=tmp_path)
        assert out["parallel_status"].tolist() == ["completed", "failed", "completed"]
        assert out["parallel_error"].tolist()[1] == "no luck"
        assert out.iloc[1][["name", "size"]].isna().all()
        sim.clear_faults()
        again = df.parallel.enrich(SCHEMA, checkpoint=tmp_path, retry_failed=retry)
    assert again["parallel_status"].tolist()[1] == ("completed" if retry else "failed")
    attempts = [(run.input["company"], run.metadata["attempt"]) for run in sim.runs()[3:]]
    assert attempts == ([("Globex", "1")] if retry else [])
    assert sim.counts.duplicates == 0


def test_a_call_does_not_try_its_own_failures_again(df):
    """Within one call a failed row is an outcome: it is not bought again."""
    with pf.offline(answers=lambda _: Failure("never"), latency=0) as sim:
        out = df.parallel.enrich(SCHEMA)
    assert out["parallel_status"].tolist() == ["failed"] * 3
    assert sim.counts.runs == 3


@pytest.mark.parametrize(("dedupe", "runs"), [(True, 2), (False, 4)])
def test_equal_rows_share_a_run_unless_told_not_to(dedupe, runs):
    """dedupe=True sends each distinct input once and gives its answer to every row; False sends every row."""
    df = pd.DataFrame({"company": ["Acme", "Globex", "Acme", "Acme"]})
    with pf.offline(answers=answer, latency=0) as sim:
        out = df.parallel.enrich(SCHEMA, dedupe=dedupe)
        df.parallel.enrich(SCHEMA, dedupe=dedupe)
    assert out["size"].tolist() == [4, 6, 4, 4]
    assert (sim.counts.runs, sim.counts.duplicates) == (runs, 0)


def test_status_false_leaves_the_status_columns_out(df):
    """With status=False only the schema's columns are added."""
    with pf.offline(answers=answer, latency=0):
        out = df.parallel.enrich(SCHEMA, status=False)
    assert out.columns.tolist() == ["company", "website", "name", "size"]


def test_an_existing_column_is_an_error_before_anything_is_sent(df):
    """By default a new column that exists already stops the call, and the message says what to type."""
    with pf.offline(answers=answer, latency=0) as sim, pytest.raises(InputError) as caught:
        df.assign(size=1).parallel.enrich(SCHEMA)
    assert "'size'" in str(caught.value)
    assert "if_exists='overwrite'" in str(caught.value)
    assert sim.counts.requests == 0


def test_overwrite_replaces_a_value_only_by_an_answer(df):
    """With if_exists="overwrite" failed and invalid rows keep the old values, and order and dtype stand."""
    df.insert(0, "size", [100, 200, 300])
    df["name"] = ["old 1", "old 2", "old 3"]
    told = {
        "Acme": {"name": "Acme Inc.", "size": 4},
        "Globex": Failure("no luck"),
        "Initech": {"name": "Initech Inc.", "size": "seven"},
    }
    with pf.offline(answers=told, latency=0) as sim:
        out = df.parallel.enrich(SCHEMA, if_exists="overwrite")
        again = out.parallel.enrich(SCHEMA, if_exists="overwrite", retry_failed=False)
    assert out.columns.tolist()[:4] == ["size", "company", "website", "name"]
    assert out["size"].tolist() == [4, 200, 300]
    assert out["name"].tolist() == ["Acme Inc.", "old 2", "old 3"]
    assert out["parallel_status"].tolist() == ["completed", "failed", "invalid"]
    assert str(out["size"].dtype) == "Int64"
    assert [run.input for run in sim.runs()] == [
        {"company": "Acme", "website": "acme.com"},
        {"company": "Globex", "website": "globex.com"},
        {"company": "Initech"},
    ]
    pd.testing.assert_frame_equal(again, out)


def test_overwrite_keeps_values_that_the_schemas_dtype_cannot_hold(df):
    """An old value that is no number stays beside the new numbers, in a column of objects."""
    df["size"] = ["about 4", "about 6", "about 7"]
    with pf.offline(answers={"Acme": {"size": 4}, "Globex": Failure(), "Initech": {"size": 7}}, latency=0):
        out = df.parallel.enrich({"size": int}, if_exists="overwrite")
    assert out["size"].tolist() == [4, "about 6", 7]
    assert out["size"].dtype == object


def test_on_error_raise_raises_once_everything_is_stored(df, tmp_path):
    """on_error="raise" counts what failed, carries the whole frame, and the outcomes are in the checkpoint."""
    told = {"Acme": {"name": "Acme Inc.", "size": 4}, "Globex": Failure("no luck"), "Initech": {"name": 3, "size": 7}}
    with pf.offline(answers=told, latency=0) as sim:
        with pytest.raises(EnrichmentError, match="1 failed, 1 invalid of 3 rows") as caught:
            df.parallel.enrich(SCHEMA, on_error="raise", checkpoint=tmp_path)
        kept = df.parallel.enrich(SCHEMA, checkpoint=tmp_path, retry_failed=False)
    pd.testing.assert_frame_equal(caught.value.frame, kept)
    assert kept["parallel_status"].tolist() == ["completed", "failed", "invalid"]
    assert sim.counts.runs == 3


def test_on_error_raise_is_silent_when_nothing_failed(df):
    """on_error="raise" returns the frame when every row was answered or had nothing to send."""
    df = pd.concat([df, pd.DataFrame({"company": [None], "website": [None]}, index=[40])])
    with pf.offline(answers=answer, latency=0):
        out = df.parallel.enrich(SCHEMA, on_error="raise")
    assert out["parallel_status"].tolist() == ["completed"] * 3 + ["skipped"]


@pytest.mark.parametrize("timeout", [60, timedelta(minutes=1)])
def test_after_a_timeout_the_next_call_completes_and_pays_nothing_new(df, timeout):
    """Rows that are not done in time are pending; the same call later returns their answers for no new run."""
    with pf.offline(answers=answer, latency=5_000, speed=40) as sim:
        out = df.parallel.enrich(SCHEMA, timeout=timeout)
        assert out["parallel_status"].tolist() == ["pending"] * 3
        assert out[["name", "size"]].isna().all(axis=None)
        assert out.dtypes["size"] == "Int64"
        assert "3 pending" in repr(pf.last()) or pf.last().status() == {"pending": 3}
        sim.advance(10_000)
        done = df.parallel.enrich(SCHEMA)
    assert done["size"].tolist() == [4, 6, 7]
    assert (sim.counts.runs, sim.counts.duplicates) == (3, 0)


def test_a_timeout_of_nothing_sends_nothing(df):
    """With timeout=0 every row is not sent, and nothing was created."""
    with pf.offline(answers=answer, latency=0) as sim:
        out = df.parallel.enrich(SCHEMA, timeout=0)
    assert out["parallel_status"].tolist() == ["not_sent"] * 3
    assert sim.counts.runs == 0


def test_a_group_goes_on_without_a_checkpoint(df):
    """group_id= adopts what a group holds for these rows, sends only the rest, and sends it into that group."""
    with pf.offline(answers=answer, latency=0) as sim:
        df.head(2).parallel.enrich(SCHEMA, checkpoint=None)
        (group,) = pf.last().group_ids
        out = df.parallel.enrich(SCHEMA, checkpoint=None, group_id=group)
    assert out["size"].tolist() == [4, 6, 7]
    assert [run.input["company"] for run in sim.runs()] == ["Acme", "Globex", "Initech"]
    assert (sim.group_ids, sim.counts.duplicates) == ([group], 0)


def test_metadata_of_a_row_arrives_with_its_run(df):
    """Each run carries row, label, key and attempt, and the cells of the columns the user named."""
    df["id"] = [7, None, 9]
    df["site"] = df["website"]
    with pf.offline(answers=answer, latency=0) as sim:
        df.parallel.enrich(SCHEMA, inputs=["company"], metadata={"company_id": "id", "site": "site"})
    told = [run.metadata for run in sim.runs()]
    assert [{k: v for k, v in each.items() if k != "key"} for each in told] == [
        {"row": "0", "index": "10", "attempt": "0", "company_id": 7.0, "site": "acme.com"},
        {"row": "1", "index": "20", "attempt": "0", "site": "globex.com"},
        {"row": "2", "index": "30", "attempt": "0", "company_id": 9.0},
    ]
    assert all(re.fullmatch("[0-9a-f]{32}", each["key"]) for each in told)


def test_metadata_takes_every_cell_that_can_be_told():
    """Numbers and booleans stay what they are, everything else becomes text, and nothing breaks the batch."""
    cells = [True, 3, 2.5, "text", 2**70, float("inf"), pd.Timestamp("2024-01-02"), pd.NA]
    df = pd.DataFrame({"company": [f"c{n}" for n in range(len(cells))], "note": pd.Series(cells, dtype=object)})
    with pf.offline(answers=answer, latency=0) as sim:
        df.parallel.enrich(SCHEMA, inputs=["company"], metadata={"note": "note"})
    told = [run.metadata.get("note") for run in sim.runs()]
    assert told == [True, 3, 2.5, "text", str(2**70), "inf", "2024-01-02 00:00:00", None]


OPTIONS = {
    "source_policy": {"include_domains": ["example.com"], "after_date": "2024-01-01"},
    "advanced_settings": {"location": "us"},
    "mcp_servers": [{"type": "url", "name": "crm", "url": "https://example.com/mcp", "headers": {"x": "secret-1"}}],
    "previous_interaction_id": "interaction_1",
    "memory_scope_key": "team-1",
    "enable_events": True,
    "webhook": {"url": "https://example.com/hook?token=secret-2", "event_types": ["task_run.status"]},
}


def test_every_option_arrives_with_every_run(df, tmp_path):
    """What is passed in options= stands in each run as the service got it, and its secrets are not on the disk."""
    with pf.offline(answers=answer, latency=0) as sim:
        df.parallel.enrich(SCHEMA, options=OPTIONS, checkpoint=tmp_path)
        for run in sim.runs():
            body = httpx.get(f"{sim.url}/v1/tasks/runs/{run.run_id}/input", headers={"x-api-key": "any"}).json()
            assert {name: body[name] for name in OPTIONS} == OPTIONS
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert b"secret-" not in path.read_bytes(), path


def test_beta_headers_arrive(df):
    """A beta header changes what the service answers: here, evidence per list element."""
    with pf.offline(answers=lambda _: {"tags": ["a", "b"]}, latency=0) as sim:
        df.head(1).parallel.enrich({"tags": list[str]}, options={"beta_headers": ["x", "field-basis-2025-11-25"]})
        df.head(1).parallel.enrich({"tags": list[str]}, checkpoint=None)
    fields = [[each["field"] for each in run.output["basis"]] for run in sim.runs()]
    assert fields == [["tags", "tags.0", "tags.1"], ["tags"]]


def test_what_does_not_change_an_answer_does_not_buy_it_again(df, tmp_path):
    """Webhooks, events, metadata, beta headers and secrets are in no key: changing them is free."""
    changed = OPTIONS | {
        "webhook": {"url": "https://example.com/other"},
        "enable_events": False,
        "mcp_servers": [OPTIONS["mcp_servers"][0] | {"headers": {"x": "another"}}],
        "beta_headers": "x",
    }
    with pf.offline(answers=answer, latency=0) as sim:
        df.parallel.enrich(SCHEMA, options=OPTIONS, checkpoint=tmp_path, inputs=["company"])
        df.parallel.enrich(
            SCHEMA, options=changed, checkpoint=tmp_path, inputs=["company"], metadata={"w": "website"}, prefix="x_"
        )
        assert sim.counts.runs == 3
        with pytest.raises(CheckpointMismatchError, match="source_policy"):
            df.parallel.enrich(SCHEMA, options=OPTIONS | {"source_policy": {}}, checkpoint=tmp_path, inputs=["company"])


class PostsAtEachLine(logging.Handler):
    """Notes with each line of the log how many batches the simulator had got by then."""

    def __init__(self, sim):
        super().__init__()
        self.lines = []
        self._sim = sim

    def emit(self, record):
        """Take note."""
        self.lines.append((record.getMessage(), self._sim.counts.posts))


@pytest.fixture
def log_of():
    """Listen to the library's log while a simulator runs."""
    logger = logging.getLogger("parallel_frames")
    level, handlers = logger.level, []

    def listen(sim):
        logger.setLevel(logging.INFO)
        handlers.append(PostsAtEachLine(sim))
        logger.addHandler(handlers[-1])
        return handlers[-1].lines

    yield listen
    logger.setLevel(level)
    for handler in handlers:
        logger.removeHandler(handler)


def test_the_price_is_said_before_the_first_run_is_sent(log_of, tmp_path):
    """One line says rows, runs, what is already answered, price, what is sent and where it is remembered."""
    df = pd.DataFrame({"company": [f"c{n}" for n in range(400)] + ["c1", None], "website": "x"})
    df.loc[401, "website"] = None
    with pf.offline(answers=answer, latency=0, speed=10) as sim:
        lines = log_of(sim)
        df.parallel.enrich(SCHEMA, processor="pro", checkpoint=tmp_path)
        first, posts = lines[0]
        assert posts == 0
        assert first.startswith("402 rows → 400 runs · 1 row with nothing to send · $40.00 · sends")
        assert f"sends company, website · checkpoint {tmp_path}" in first
        assert first.endswith("SIMULATED")
        lines.clear()
        df.parallel.enrich(SCHEMA, processor="pro", checkpoint=tmp_path)
        assert re.match(r"402 rows → 0 runs · 400 runs already answered \(\d{4}-\d\d-\d\d\) · .*\$0\.00", lines[0][0])


def test_a_processor_without_a_price_is_passed_on_and_said_so(df, log_of):
    """A processor newer than the price table is used, and the line says that its price is not known."""
    with pf.offline(answers=answer, latency=0, more_processors=["hyper9x"]) as sim:
        lines = log_of(sim)
        df.parallel.enrich(SCHEMA, processor="hyper9x")
    assert lines[0][0].startswith("processor 'hyper9x' is not in the price table of 20")
    assert "price of 'hyper9x' not known" in lines[1][0]
    assert {run.processor for run in sim.runs()} == {"hyper9x"}
    assert pf.last().cost is None


@pytest.mark.parametrize("progress", [True, False, None])
def test_progress_is_shown_where_it_is_asked_for(df, progress, capsys):
    """True writes the line and a bar to stderr, False nothing; without a terminal there is the line."""
    with pf.offline(answers=answer, latency=0):
        df.parallel.enrich(SCHEMA, progress=progress)
    out, err = capsys.readouterr()
    assert out == ""
    assert ("3 rows → 3 runs" in err, "3/3" in err) == (progress is not False, progress is True)


def test_a_named_client_is_used(df, client_of):
    """client= says which service and key, beside or within an offline block."""
    with Simulator(answers=answer, latency=0, api_key="right") as sim, pf.offline(latency=0) as other:
        out = df.parallel.enrich(SCHEMA, client=client_of(sim, api_key="right"), checkpoint=None)
    assert out["size"].tolist() == [4, 6, 7]
    assert (sim.counts.runs, other.counts.requests) == (3, 0)


def test_the_environment_names_key_and_address(df, monkeypatch):
    """Without client= the key and the address come from the environment."""
    with Simulator(answers=answer, latency=0, api_key="right") as sim:
        monkeypatch.setenv("PARALLEL_API_KEY", "right")
        monkeypatch.setenv("PARALLEL_BASE_URL", sim.url)
        assert df.parallel.enrich(SCHEMA)["size"].tolist() == [4, 6, 7]


def test_last_tells_of_the_newest_enrichment(df):
    """The handle gives status, partial frame, errors, cost, groups and a short repr of what happened."""
    with pf.offline(answers=answer, latency=0, faults=[faults.fail_runs("no luck", inputs="Globex")]) as sim:
        out = df.parallel.enrich(SCHEMA, processor="core")
        run = pf.last()
        assert run.status() == {"completed": 2, "failed": 1}
        pd.testing.assert_frame_equal(run.partial(), out)
        assert run.cost == pytest.approx(2 * 0.025)  # what failed is not billed
        assert run.group_ids == tuple(sim.group_ids)
        errors = run.errors()
        assert errors.index.tolist() == [20]
        assert errors[["parallel_status", "parallel_error"]].to_numpy().tolist() == [["failed", "no luck"]]
        assert run.group_ids[0] in repr(run)
        assert "3 rows" in repr(run)
        assert "any" not in repr(run.plan.job.options)
        sim.clear_faults()
        assert run.resume()["size"].tolist() == [4, 6, 7]
        assert pf.last().cost == pytest.approx(3 * 0.025)


def test_errors_are_told_without_status_columns_too(df):
    """The handle knows statuses that status=False kept out of the frame."""
    with pf.offline(answers=lambda _: Failure("no luck"), latency=0):
        df.parallel.enrich(SCHEMA, status=False)
    assert pf.last().errors()["parallel_error"].tolist() == ["no luck"] * 3


@pytest.mark.parametrize("checkpoint", ["auto", None])
def test_resume_goes_on_with_or_without_a_checkpoint(df, checkpoint):
    """resume() of a call that ran out of time completes it and creates no run twice."""
    with pf.offline(answers=answer, latency=5_000, speed=40) as sim:
        df.parallel.enrich(SCHEMA, timeout=60, checkpoint=checkpoint)
        assert pf.last().partial()["parallel_status"].tolist() == ["pending"] * 3
        sim.advance(10_000)
        out = pf.last().resume()
    assert out["size"].tolist() == [4, 6, 7]
    assert (sim.counts.runs, sim.counts.duplicates, sim.counts.groups) == (3, 0, 1)


def test_resume_of_a_refresh_without_a_checkpoint_goes_on(df):
    """resume() continues what a refresh began; it does not begin again."""
    with pf.offline(answers=answer, latency=5_000, speed=40) as sim:
        df.parallel.enrich(SCHEMA, timeout=60, checkpoint=None, refresh=True)
        sim.advance(10_000)
        assert pf.last().resume()["size"].tolist() == [4, 6, 7]
    assert sim.counts.runs == 3


def test_attrs_are_small_json_and_add_up(df):
    """The result's attrs name groups, job and counts as JSON, keep the user's own, and remember earlier calls."""
    df.attrs = {"mine": {"nested": [1]}}
    with pf.offline(answers=answer, latency=0):
        out = df.parallel.enrich(SCHEMA)
        out = out.parallel.enrich({"ceo": "the CEO"}, prefix="x_")
    told = json.loads(json.dumps(out.attrs))
    assert len(json.dumps(out.attrs["parallel"])) < 2_000
    assert told["mine"] == {"nested": [1]}
    assert told["parallel"]["simulated"] is True
    assert [each["columns"] for each in told["parallel"]["enrichments"]] == [["name", "size"], ["x_ceo"]]
    assert told["parallel"]["enrichments"][0]["rows"] == {"completed": 3}
    assert set(told["parallel"]["enrichments"][0]["group_ids"]) < {*pf.last().group_ids, *_groups(out)}
    out.attrs["mine"]["nested"].append(2)
    assert df.attrs == {"mine": {"nested": [1]}}


def _groups(out):
    return [group for each in out.attrs["parallel"]["enrichments"] for group in each["group_ids"]]


def test_a_second_enrichment_does_not_send_what_the_first_one_made(df):
    """By default the columns of earlier enrichments are no inputs of the next one."""
    with pf.offline(latency=0) as sim:
        out = df.parallel.enrich({"ceo": "the CEO"}, status=False)
        out.parallel.enrich({"founded": int})
    assert [run.input for run in sim.runs()[3:]] == [run.input for run in sim.runs()[:3]]

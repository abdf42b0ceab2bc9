"""What a call prints before, while and after it runs: who answers, what is counted, what it costs."""

from __future__ import annotations

import gc
import re

import pandas as pd
import pytest

import parallel_frames as pf
from parallel_frames._checkpoint import place_of
from parallel_frames._job._offline import _started, current_offline
from parallel_frames._job._stored import report_of_job
from parallel_frames.errors import CheckpointMismatchError, InputError
from parallel_frames.simulator import Failure, Simulator

SCHEMA = {"founded": int}


@pytest.fixture
def df():
    """Return six rows: four inputs, one of them twice, and a row with nothing to send."""
    return pd.DataFrame({"company": ["Acme", "Globex", "Acme", None, "Initech", "Hooli"]})


def test_a_simulator_at_an_address_is_labelled_as_an_offline_block_is(df, client_of, capsys, tmp_path):
    """Plan, announcement, end, frame, report and file say so; no time is promised, and no request is counted."""
    with Simulator(latency=0) as sim:
        options = {"client": client_of(sim), "checkpoint": tmp_path / "c"}
        plan = df.parallel.plan(SCHEMA, **options)
        assert sim.requests() == []
        out = df.parallel.enrich(SCHEMA, **options)
        first, _, last = capsys.readouterr().err.splitlines()
        df.to_parquet(tmp_path / "in.parquet")
        done = pf.enrich_parquet(tmp_path / "in.parquet", tmp_path / "out.parquet", SCHEMA, **options)
    assert (plan.simulated, plan.seconds) == (True, None)
    assert repr(plan).splitlines()[0] == "6 rows → 4 runs · $0.04 · SIMULATED"
    assert first.endswith(" · SIMULATED")
    assert "~" not in first
    assert last == "enriched: 6 of 6 rows · 5 completed · 1 skipped · $0.04 · report: pf.last().report() · SIMULATED"
    assert repr(out.parallel.report()).startswith("5 of 6 rows completed (83%) · SIMULATED")
    assert done.simulated
    assert repr(pd.read_parquet(tmp_path / "out.parquet").parallel.report()).splitlines()[0].endswith("SIMULATED")


def test_runs_that_are_found_in_a_group_are_not_what_this_call_costs(df, capsys):
    """What an earlier call paid for, and only its group remembers, is not said to be paid again."""
    with pf.offline(latency=0) as sim:
        out = df.parallel.enrich(SCHEMA, checkpoint=None)
        out.parallel.enrich(SCHEMA, checkpoint=None, on_row=print)
        assert capsys.readouterr().err.splitlines()[-1].split(" · ")[3] == "$0.00 now, $0.04 before"
        assert "$0.00 now, $0.04 before" in repr(pf.last().report())
        assert sim.counts.runs == 4


def test_a_checkpoint_knows_of_its_simulator_before_the_first_run_is_sent(df, client_of, tmp_path):
    """A call that is killed leaves answers that are labelled, whoever reads them."""
    with Simulator(latency=0, refused_processors=["base"]) as sim:
        with pytest.raises(pf.errors.ParallelFramesError):
            df.parallel.enrich(SCHEMA, client=client_of(sim), checkpoint=tmp_path / "c")
        assert sim.counts.runs == 0
    assert pf.Checkpoint(tmp_path / "c").header["simulated"]


@pytest.mark.parametrize("of_file", [False, True], ids=["frame", "file"])
def test_a_plan_refuses_answers_of_another_host_as_the_call_does(df, client_of, tmp_path, of_file):
    """What a simulator answered counts as answered for no other host: neither call calls it free."""
    df.to_parquet(tmp_path / "in.parquet")
    with pf.offline(latency=0):
        df.parallel.enrich(SCHEMA, checkpoint=tmp_path / "c")
    with Simulator(latency=0) as sim:
        options = {"client": client_of(sim), "checkpoint": tmp_path / "c"}
        source, target = tmp_path / "in.parquet", tmp_path / "out.parquet"
        calls = [
            lambda: pf.plan_parquet(source, SCHEMA, **options) if of_file else df.parallel.plan(SCHEMA, **options),
            lambda: (
                pf.enrich_parquet(source, target, SCHEMA, **options)
                if of_file
                else df.parallel.enrich(SCHEMA, **options)
            ),
        ]
        texts = []
        for call in calls:
            with pytest.raises(CheckpointMismatchError) as refused:
                call()
            texts.append(str(refused.value))
    assert texts[0] == texts[1]
    assert re.search(
        r"holds simulated answers of simulator, and these rows go to 127\.0\.0\.1:\d+\. Nothing was", texts[0]
    )


def test_a_call_that_needs_no_run_says_so(df, capsys, tmp_path):
    """One line: nothing was sent or paid, and where the answers came from; rows are counted as before."""
    with pf.offline(latency=0) as sim:
        df.parallel.enrich(SCHEMA, checkpoint=tmp_path / "c", progress=False)
        df.parallel.enrich(SCHEMA, checkpoint=tmp_path / "c")
        first, last = capsys.readouterr().err.splitlines()
        assert first.startswith("6 rows → 0 runs · 4 runs already answered (20")
        assert last == (
            "enriched: 6 of 6 rows · 5 completed · 1 skipped · nothing new was sent or paid: the answers are from the "
            "checkpoint · report: pf.last().report() · SIMULATED"
        )
        df.parallel.submit(SCHEMA, checkpoint=tmp_path / "c")
        assert capsys.readouterr().err.splitlines()[-1] == "4 of 4 runs sent · nothing new was sent or paid · SIMULATED"
        df[df["company"].isna()].parallel.enrich(SCHEMA, checkpoint=tmp_path / "c", inputs=["company"])
        (only,) = capsys.readouterr().err.splitlines()
        assert only.startswith("enriched: 1 of 1 row · 1 skipped · nothing new was sent or paid · report")
        assert sim.counts.runs == 4


def test_the_result_of_what_was_sent_costs_nothing_more(df, capsys):
    """The first and the last line of each call have the same dollars: what it pays, and what was paid before."""
    with pf.offline(latency=20, speed=100):
        run = df.parallel.submit(SCHEMA)
        capsys.readouterr()
        run.result()
        first, *_, last = capsys.readouterr().err.splitlines()
    assert " · $0.00 now, $0.04 before · " in first
    assert " · $0.00 now, $0.04 before · " in last
    assert run.cost == 0.04


def test_rows_that_raise_leave_the_closing_line(df, capsys):
    """With on_error="raise" it has all rows by status, as without."""
    answers = {"Acme": Failure("gone"), "Hooli": {"founded": 1949}}
    with pf.offline(answers, latency=0), pytest.raises(pf.errors.EnrichmentError):
        df.parallel.enrich(SCHEMA, on_error="raise")
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("enriched: 6 of 6 rows · 3 completed · 2 failed · 1 skipped · $0.03 · report")


def test_a_limit_leaves_rows_out_of_the_same_count(df, capsys):
    """The end counts the rows that the announcement counts: those beyond the limit are not sent."""
    with pf.offline(latency=0):
        df.parallel.enrich(SCHEMA, limit=2)
    first, _, last = capsys.readouterr().err.splitlines()
    assert first.startswith("6 rows → 2 runs · of the first 2 of 4 runs · 1 row with nothing to send · $0.02")
    assert last.startswith("enriched: 4 of 6 rows · 3 completed · 1 skipped · 2 not_sent · $0.02")


def test_a_finding_names_what_it_is_about(df, capsys):
    """Advice about inputs is no warning about the schema, in a plan as in a call."""
    df["rank"] = range(6)
    with pf.offline(latency=0):
        plan = df.parallel.plan(["ceo (str)"], where=df["company"].notna())
        df.parallel.enrich(["ceo (str)"])
    found = [line.split(maxsplit=2)[:2] for line in repr(plan).splitlines() if re.match("  (warning|advice)", line)]
    assert found == [["warning", "schema:"], ["advice", "inputs:"]]
    assert "Warning: schema: properties." in capsys.readouterr().err


def test_what_may_be_misspelt_in_offline_answers_is_said_once(df, capsys):
    """Inputs that no key matches, and fields that the schema does not have, with what may be meant."""
    answers = {"Acmee": {"founded": 1949}, "Globex": {"fonded": 1989}, "Initech": {"founded": 1, "more": 2}}
    with pf.offline(answers, latency=0):
        for processor in ("base", "lite"):
            df.parallel.enrich(SCHEMA, processor=processor)
    fields, inputs = (line for line in capsys.readouterr().err.splitlines() if line.startswith("Warning"))
    assert fields == (
        "Warning: an answer has the field 'fonded', and the schema has none of that name (did you mean 'founded'?)"
    )
    assert inputs == (
        "Warning: `answers` has no key for 2 of the inputs, and their answers are made up: 'Acme' (did you mean "
        "'Acmee'?), 'Hooli'"
    )


def test_an_offline_block_that_was_started_lasts_although_only_its_simulator_is_kept(df):
    """A notebook that forgets the block goes on offline, and pays nothing."""
    sim = pf.offline(latency=0).start()
    gc.collect()
    assert df.parallel.plan(SCHEMA).simulated
    df.parallel.enrich(SCHEMA)
    assert sim.counts.runs == 4
    _started[-1].stop()
    assert current_offline() is None


def test_a_target_that_exists_says_what_is_free(df, capsys, tmp_path, monkeypatch):
    """The same call returns what it wrote, and says so; a source that has grown names what to type, and pays once."""
    monkeypatch.chdir(tmp_path)
    with pf.offline(latency=0) as sim:
        df.to_parquet("rows.parquet")
        pf.enrich_parquet("rows.parquet", "out.parquet", SCHEMA, progress=False)
        pf.enrich_parquet("rows.parquet", "out.parquet", SCHEMA)
        same = capsys.readouterr().err
        pd.concat([df, pd.DataFrame({"company": ["Umbrella"]})]).to_parquet("rows.parquet")
        with pytest.raises(InputError) as grown:
            pf.enrich_parquet("rows.parquet", "out.parquet", SCHEMA)
        pf.enrich_parquet("rows.parquet", "out.parquet", SCHEMA, overwrite=True)
        assert sim.counts.runs == 5
    assert re.fullmatch(
        r"\S*out\.parquet is what the same call wrote at 20\S+Z · nothing new was sent or paid · SIMULATED\n", same
    )
    assert re.fullmatch(
        r"The target \S*out\.parquet exists, written at 20\S+Z when \S*rows\.parquet had 6 rows\. Nothing was sent\. "
        r"Pass `overwrite=True` to replace it at the end \(answers that are paid for are not paid again\), or name "
        r"another\.",
        str(grown.value),
    )


def test_a_bare_column_and_a_list_of_one_are_not_announced_alike(df, capsys, caplog):
    """What is sent differs, and is paid for: plan, announcement and report name the form, and hint at the other."""
    forms = {"company as bare text": "company", "company": ["company"], "company in one text": "A {company}"}
    with pf.offline(latency=0):
        for sends, inputs in forms.items():
            caplog.clear()
            plan = df.parallel.plan(SCHEMA, inputs=inputs)
            df.parallel.enrich(SCHEMA, inputs=inputs)
            assert plan.to_send == 4
            assert re.search(f"  sends +{sends}\n", repr(plan))
            assert f" · sends {sends} · " in capsys.readouterr().err
            hint = "earlier calls sent company as bare text, and this one sends company: `inputs='company'` has their"
            assert (hint in caplog.text) == (hint in repr(plan.findings)) == (inputs == ["company"])
        report = pf.last().report()
        assert "inputs      company in one text\n" in repr(report)
        stored = repr(report_of_job(place_of(pf.last().checkpoint)))
    assert "inputs      company in one text · company as bare text · company\n" in stored

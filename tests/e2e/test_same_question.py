"""The same question about the same frame resumes, and another question has columns of its own."""

from __future__ import annotations

import datetime as dt
import io
import json
from itertools import count, product

import pandas as pd
import pytest

import parallel_frames as pf
from parallel_frames.errors import InputError
from parallel_frames.simulator import Failure, Simulator

SCHEMA = {"founded": int}
QUIET = {"progress": False}


def answer(sent):
    """Give an answer that says what was asked."""
    return {"founded": 1900 + len(sent["company"]), "ceo": f"CEO of {sent['company']}", "ceo_status": "in office"}


@pytest.fixture
def df():
    """Four rows, three of them distinct."""
    return pd.DataFrame({"company": ["Acme", "Globex", "Acme", "Initech"]}, index=list("abca"))


CHECKPOINTS = {"auto": "auto", "none": None, "named": "named.ckpt"}


@pytest.mark.parametrize("checkpoint", CHECKPOINTS.values(), ids=CHECKPOINTS)
@pytest.mark.parametrize("basis", ["none", "columns", "struct"])
def test_a_cell_that_runs_twice_pays_once(df, checkpoint, basis, tmp_path, monkeypatch):
    """The second call has the same answers, evidence and status, and sends nothing, also without a checkpoint."""
    monkeypatch.chdir(tmp_path)
    options = {"checkpoint": checkpoint, "basis": basis, "provenance": True, **QUIET}
    with pf.offline(answer, latency=0) as sim:
        first = df.parallel.enrich(SCHEMA, **options)
        again = first.parallel.enrich(SCHEMA, **options)
        third = again.parallel.enrich(SCHEMA, **options)
    assert (sim.counts.runs, sim.counts.duplicates) == (3, 0)
    pd.testing.assert_frame_equal(again, first)
    pd.testing.assert_frame_equal(third, first)
    assert len(third.attrs["parallel"]["enrichments"]) == 1
    assert json.loads(json.dumps(third.attrs)) == third.attrs


def test_a_column_of_dates_is_its_own(df):
    """Dates come as days without a zone, and do not stand in the way of the same question; times of day do."""
    schema = {"opened": dt.date}
    with pf.offline(lambda _: {"opened": "1949-05-31"}, latency=0) as sim:
        first = df.parallel.enrich(schema, **QUIET)
        pd.testing.assert_frame_equal(first.parallel.enrich(schema, **QUIET), first)
        assert sim.counts.runs == 3
        first["opened"] += pd.Timedelta("9h")
        with pytest.raises(InputError, match="'opened' holds times without a zone"):
            first.parallel.enrich(schema, **QUIET)


def test_a_cell_that_ran_out_of_time_resumes(df):
    """Rows that were pending within the timeout get their answers from the same call, and no run is sent twice."""
    with pf.offline(answer, latency=1000, speed=40) as sim:
        df = df.parallel.enrich(SCHEMA, timeout=20, **QUIET)
        assert df["parallel_status"].unique().tolist() == ["pending"]
        sim.advance(2000)
        df = df.parallel.enrich(SCHEMA, **QUIET)
    assert df["founded"].tolist() == [1904, 1906, 1904, 1907]
    assert df["parallel_status"].unique().tolist() == ["completed"]
    assert df["parallel_error"].isna().all()
    assert (sim.counts.runs, sim.counts.duplicates) == (3, 0)


def test_a_failed_row_is_tried_again_and_the_others_are_kept(df):
    """The second call does what the first would do again: failed rows are retried."""
    answers = {"Acme": {"founded": 1}, "Globex": Failure("no luck"), "Initech": {"founded": 3}}
    with pf.offline(lambda sent: answers[sent["company"]], latency=0) as sim:
        df = df.parallel.enrich(SCHEMA, **QUIET)
        answers["Globex"] = {"founded": 2}
        df = df.parallel.enrich(SCHEMA, retry_failed=False, **QUIET)
        assert df["founded"].isna().tolist() == [False, True, False, False]
        df = df.parallel.enrich(SCHEMA, **QUIET)
    assert df["founded"].tolist() == [1, 2, 1, 3]
    assert sim.counts.runs == 4


def test_the_call_resumes_where_the_checkpoint_is_gone(df, tmp_path):
    """On another machine the groups in the frame's attrs are looked at, and plan() counts what they hold."""
    with pf.offline(answer, latency=0) as sim:
        out = df.parallel.enrich(SCHEMA, checkpoint=tmp_path / "here", **QUIET)
        plan = out.parallel.plan(SCHEMA, checkpoint=tmp_path / "there")
        again = out.parallel.enrich(SCHEMA, checkpoint=tmp_path / "there", **QUIET)
    assert (plan.to_send, plan.answered, sim.counts.runs) == (0, 3, 3)
    pd.testing.assert_frame_equal(again, out)


@pytest.mark.parametrize("status", [True, False])
def test_an_edited_input_is_asked_and_its_old_answer_replaced(df, caplog, status):
    """A row whose input changed is a new question: its answer replaces the old one, which is no edit of the user's."""
    with pf.offline(answer, latency=0) as sim:
        out = df.reset_index(drop=True).parallel.enrich(SCHEMA, status=status, **QUIET)
        out.loc[1, "company"] = "Umbrella"
        out = out.parallel.enrich(SCHEMA, status=status, **QUIET)
    assert out["founded"].tolist() == [1904, 1908, 1904, 1907]
    assert sim.counts.runs == 4
    assert "another value" not in caplog.text


def test_a_column_that_came_since_is_not_sent(df, caplog):
    """What was made of the answers is not sent, or each row would be a new one; the announcement names it."""
    with caplog.at_level("INFO", logger="parallel_frames"), pf.offline(answer, latency=0) as sim:
        out = df.parallel.enrich(SCHEMA)
        out["age"] = 2026 - out["founded"]
        again = out.parallel.enrich(SCHEMA)
        assert sim.counts.runs == 3
        with pytest.raises(InputError, match="for other inputs"):
            out.parallel.enrich(SCHEMA, inputs=["company", "age"])
    assert again.columns.tolist() == [*df.columns, "founded", "parallel_status", "parallel_error", "age"]
    assert "sends company (not age, new since then)" in caplog.text


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"processor": "core"}, "another question"),
        ({"options": {"source_policy": {"include_domains": ["acme.com"]}}}, "another question"),
        ({"inputs": "company"}, "other inputs"),
        ({"inputs": "Research {company}"}, "other inputs"),
    ],
)
def test_another_question_does_not_replace_the_answers(df, options, why):
    """Another processor, option or input is another question: its columns are refused, with a way out."""
    with pf.offline(answer, latency=0) as sim:
        out = df.parallel.enrich(SCHEMA, **QUIET)
        before = sim.counts.requests
        with pytest.raises(InputError, match=rf"'founded', which holds .*{why}.*if_exists='overwrite'"):
            out.parallel.enrich(SCHEMA, **options, **QUIET)
        assert sim.counts.requests == before


def test_answers_of_a_larger_processor_are_not_replaced_by_the_first_call(df):
    """Where another question wrote the columns last, the first one does not take them back."""
    with pf.offline(answer, latency=0):
        out = df.parallel.enrich(SCHEMA, **QUIET)
        out = out.parallel.enrich(
            SCHEMA, processor="pro", where=out["company"] == "Acme", if_exists="overwrite", **QUIET
        )
        with pytest.raises(InputError, match="another question"):
            out.parallel.enrich(SCHEMA, **QUIET)


def test_a_column_put_in_place_of_the_answers_is_the_users(df):
    """A column of the user's own under the name of an answer is refused as any other, whatever attrs say."""
    with pf.offline(answer, latency=0):
        out = df.parallel.enrich(SCHEMA, **QUIET)
        out["founded"] = [1, 2, 3, 4]
        with pytest.raises(InputError, match="already have 'founded'"):
            out.parallel.enrich(SCHEMA, **QUIET)


def test_answers_of_the_service_are_not_replaced_by_a_simulators(df, client_of):
    """A frame with real answers is refused in an offline block; one with simulated answers is asked for real."""
    with Simulator(answer, latency=0) as service:
        real = df.parallel.enrich(SCHEMA, client=client_of(service), **QUIET)
        real.attrs["parallel"]["enrichments"][-1]["simulated"] = False  # as the service's own are
        with pf.offline(answer, latency=0) as sim:
            with pytest.raises(InputError, match=r"answers of 127\.0\.0\.1:.*goes to 127\.0\.0\.1:"):
                real.parallel.enrich(SCHEMA, **QUIET)
            assert sim.counts.requests == 0
            rehearsed = df.parallel.enrich(SCHEMA, **QUIET)
        rehearsed.parallel.enrich(SCHEMA, client=client_of(service), **QUIET)
        assert service.counts.runs == 3


def test_another_question_names_its_own_status_columns(df):
    """A second and a third question need no prefix, resume, and are told apart by reports and where=."""
    with pf.offline(answer, latency=0) as sim:
        out = df.parallel.enrich(SCHEMA, **QUIET)
        for _ in range(2):
            out = out.parallel.enrich({"ceo": str}, **QUIET)
            out = out.parallel.enrich(SCHEMA, **QUIET)
        assert sim.counts.runs == 6
        assert [run.input for run in sim.runs()[3:]] == [run.input for run in sim.runs()[:3]]
        out["ceo_status"] = out["ceo_status"].cat.set_categories(out["ceo_status"].cat.categories)
        out.loc["b", "ceo_status"] = "failed"
        plan = out.parallel.plan({"ceo": str}, where="failed", refresh=True)
    expected = ["company", "founded", "parallel_status", "parallel_error", "ceo", "ceo_status", "ceo_error"]
    assert out.columns.tolist() == expected
    assert [section.name for section in out.parallel.report().sections] == ["parallel_status", "ceo_status"]
    assert (plan.chosen, plan.to_send) == (1, 1)


def test_status_names_the_columns(df):
    """A text names the status columns, whatever the prefix; what is taken is refused, and the name is kept."""
    with pf.offline(answer, latency=0) as sim:
        out = df.parallel.enrich({"ceo": str}, status="boss", prefix="x_", **QUIET)
        out = out.parallel.enrich({"ceo": str}, prefix="x_", **QUIET)
        assert out.columns.tolist() == ["company", "x_ceo", "boss_status", "boss_error"]
        with pytest.raises(InputError, match="already have 'boss_status'"):
            out.parallel.enrich(SCHEMA, status="boss", **QUIET)
        assert out.parallel.enrich(SCHEMA, status="year_status", **QUIET).columns.tolist()[-2:] == [
            "year_status",
            "year_error",
        ]
    assert sim.counts.runs == 6
    for wrong in ("", 1, None):
        with pytest.raises(InputError, match=r"status=.* must be True, False, or a name"):
            df.parallel.plan(SCHEMA, status=wrong)


def test_a_users_column_of_the_status_columns_name_is_left_alone(df):
    """Where the user has a ceo_status, or the schema asks for one, the status column has a number."""
    with pf.offline(answer, latency=0):
        out = df.parallel.enrich(SCHEMA, **QUIET).assign(ceo_status="mine")
        out = out.parallel.enrich({"ceo": str}, inputs=["company"], **QUIET)
        assert out.columns.tolist()[-2:] == ["ceo_status_2", "ceo_error_2"]
        assert out["ceo_status"].tolist() == ["mine"] * 4
        other = df.parallel.enrich(SCHEMA, **QUIET).parallel.enrich({"ceo": str, "ceo_status": str}, **QUIET)
        assert other.columns.tolist()[-4:] == ["ceo", "ceo_status", "ceo_status_2", "ceo_error_2"]


def test_named_status_columns_show_an_enrichment_after_attrs_are_lost(df):
    """A frame from CSV whose status columns have names of their own is not asked about its old answers."""
    with pf.offline(answer, latency=0) as sim:
        out = df.parallel.enrich({"ceo": str}, status="ceo", **QUIET)
        out.attrs = {}
        with pytest.raises(InputError, match="'ceo_status', which an enrichment made"):
            out.parallel.enrich(SCHEMA, **QUIET)
        again = out.parallel.enrich({"ceo": str}, status="ceo", if_exists="fill", **QUIET)
    assert sim.counts.runs == 3
    pd.testing.assert_frame_equal(again, out)


def test_a_file_that_was_enriched_is_asked_again_for_free(df, tmp_path):
    """A target as a source has its question's columns: they are written again, and nothing is paid."""
    df.to_parquet(tmp_path / "in.parquet")
    with pf.offline(answer, latency=0) as sim:
        pf.enrich_parquet(tmp_path / "in.parquet", tmp_path / "one.parquet", SCHEMA, **QUIET)
        pf.enrich_parquet(tmp_path / "one.parquet", tmp_path / "two.parquet", SCHEMA, **QUIET)
        pf.enrich_parquet(tmp_path / "two.parquet", tmp_path / "three.parquet", {"ceo": str}, **QUIET)
    first, again = pd.read_parquet(tmp_path / "one.parquet"), pd.read_parquet(tmp_path / "two.parquet")
    pd.testing.assert_frame_equal(again, first)
    assert pd.read_parquet(tmp_path / "three.parquet").columns.tolist()[-3:] == ["ceo", "ceo_status", "ceo_error"]
    assert sim.counts.runs == 6


def test_collecting_twice_gives_the_same(df):
    """A collected frame is collected again without a further option."""
    with pf.offline(answer, latency=0):
        df.parallel.enrich(SCHEMA, checkpoint=None, **QUIET)
        group = pf.last().group_ids[0]
        out = df.parallel.collect(group, SCHEMA)
        pd.testing.assert_frame_equal(out.parallel.collect(group, SCHEMA), out)


def test_columns_of_several_levels_are_known_again(df):
    """A frame with MultiIndex columns resumes, and names its second question's columns, too."""
    df.columns = pd.MultiIndex.from_tuples([("company", "")])
    with pf.offline(answer, latency=0) as sim:
        out = df.parallel.enrich(SCHEMA, **QUIET).parallel.enrich(SCHEMA, **QUIET)
        out = out.parallel.enrich({"ceo": str}, **QUIET).parallel.enrich({"ceo": str}, **QUIET)
    assert [label[0] for label in out.columns][-3:] == ["ceo", "ceo_status", "ceo_error"]
    assert sim.counts.runs == 6


def from_parquet(frame):
    """Return a frame as it comes back from a file."""
    file = io.BytesIO()
    frame.to_parquet(file)
    return pd.read_parquet(file)


MAKING = list(product(["none", "columns"], [True, False], [True, False, "s"], ["", "q_"]))


@pytest.mark.parametrize(("basis", "provenance", "status", "prefix"), MAKING)
def test_questions_follow_each_other_whatever_columns_they_make(df, basis, provenance, status, prefix):
    """The same question twice, a second one and the first again send companies only, once each, also from a file."""
    options = {"basis": basis, "provenance": provenance, "prefix": prefix, **QUIET}
    named = {**options, "status": status and "t" if isinstance(status, str) else status}
    with pf.offline(answer, latency=0, max_per_minute=None) as sim:
        out = df.parallel.enrich(SCHEMA, status=status, **options)
        columns = out.columns.tolist()
        out = from_parquet(out).parallel.enrich(SCHEMA, status=status, **options)
        assert out.columns.tolist() == columns
        for _ in range(2):
            out = from_parquet(out.parallel.enrich({"ceo": str}, **named))
            out = out.parallel.enrich(SCHEMA, status=status, **options)
    assert len(out.columns) == 2 * len(columns) - 1
    assert [run.input for run in sim.runs()] == [{"company": name} for name in ("Acme", "Globex", "Initech")] * 2


def test_another_question_names_its_own_provenance(df):
    """Columns of provenance are named as those of status are, and stay with their question without them, too."""
    with pf.offline(answer, latency=0):
        out = df.parallel.enrich(SCHEMA, provenance=True, **QUIET)
        both = out.parallel.enrich({"ceo": str}, provenance=True, **QUIET)
        parts = ["run_id", "group_id", "answered_at", "processor", "cost"]
        assert both.columns.tolist()[-5:] == [f"ceo_{part}" for part in parts]
        assert both["parallel_run_id"].tolist() == out["parallel_run_id"].tolist() != both["ceo_run_id"].tolist()
        struct = df.parallel.enrich(SCHEMA, basis="struct", **QUIET)
        with pytest.raises(InputError, match=r"'parallel_basis'.*; `basis='columns'` puts the evidence next"):
            struct.parallel.enrich({"ceo": str}, basis="struct", **QUIET)
        out.attrs = {}
        with pytest.raises(InputError, match="which an enrichment made"):
            out.drop(columns=["parallel_status", "parallel_error"]).parallel.enrich({"ceo": str}, **QUIET)


def numbered():
    """Return a function that answers with how many runs there were: no answer is like another."""
    runs = count(1)
    return lambda _: {"ceo": f"CEO {next(runs)}"}


KEPT = "1 cell of 'ceo' holds another value than the answer, and was kept. `if_exists='overwrite'` takes the answers."
CEO = {"ceo": "full name"}


def test_cells_edited_by_hand_are_kept_when_the_call_runs_again(df, caplog):
    """An edit stays, after a restart too, and one warning says how to take the answer; new answers win if asked for."""
    with pf.offline(numbered(), latency=0) as sim:
        out = df.reset_index(drop=True).parallel.enrich(CEO, basis="columns", **QUIET)
        out.loc[1, "ceo"] = "mine"
        again = from_parquet(out.parallel.enrich(CEO, **QUIET)).parallel.enrich(CEO, **QUIET)
        assert again["ceo"].tolist() == ["CEO 1", "mine", "CEO 1", "CEO 3"]
        assert [each.message for each in caplog.records if "another value" in each.message] == [KEPT] * 2
        pd.testing.assert_frame_equal(again, out)
        taken = out.parallel.enrich(CEO, if_exists="overwrite", **QUIET)
        assert (taken.loc[1, "ceo"], sim.counts.runs) == ("CEO 2", 3)
        caplog.clear()
        refreshed = out.parallel.enrich(CEO, refresh=True, **QUIET)
        older = out.parallel.enrich(CEO, older_than=0, **QUIET)
        assert refreshed["ceo"].tolist() == ["CEO 4", "CEO 5", "CEO 4", "CEO 6"]
        assert older["ceo"].tolist() == ["CEO 7", "CEO 8", "CEO 7", "CEO 9"]
        assert "another value" not in caplog.text
        # Nor do answers that another call asked for replace an edit, and rows that are not old keep theirs.
        assert out.parallel.enrich(CEO, **QUIET)["ceo"].tolist() == out["ceo"].tolist()
        older.loc[1, "ceo"] = "mine"
        assert older.parallel.enrich(CEO, older_than="1d", **QUIET).loc[1, "ceo"] == "mine"


def test_evidence_in_one_column_is_as_it_was_next_to_an_edited_cell(df):
    """The same call gives back the same entries in the same order, whichever field was edited."""
    schema = {"ceo": str, "founded": int, "ceo_status": str}
    with pf.offline(answer, latency=0):
        out = df.reset_index(drop=True).parallel.enrich(schema, basis="struct", **QUIET)
        out.loc[2, "ceo_status"] = "mine"
        pd.testing.assert_frame_equal(out.parallel.enrich(schema, basis="struct", **QUIET), out)


def test_a_row_that_has_no_answer_and_is_filled_by_hand_keeps_its_value(df, caplog):
    """What failed, or was pending, is asked as before; its answer does not replace the user's value."""
    answers = {"Acme": {"ceo": "A"}, "Globex": Failure("no luck"), "Initech": {"ceo": "I"}}
    with pf.offline(lambda sent: answers[sent["company"]], latency=0) as sim:
        out = df.reset_index(drop=True).parallel.enrich(CEO, **QUIET)
        out.loc[1, "ceo"] = "mine"
        answers["Globex"] = {"ceo": "G"}
        out = out.parallel.enrich(CEO, **QUIET)
    assert (out["ceo"].tolist(), sim.counts.runs) == (["A", "mine", "A", "I"], 4)
    assert out["parallel_status"].unique().tolist() == ["completed"]
    assert KEPT in caplog.text


def test_a_file_keeps_edited_cells(df, tmp_path, caplog):
    """A target that was edited and is the source of the same call keeps its values; a refresh replaces them."""
    with pf.offline(numbered(), latency=0):
        out = df.reset_index(drop=True).parallel.enrich(CEO, **QUIET)
        out.loc[1, "ceo"] = "mine"
        out.to_parquet(tmp_path / "in.parquet")
        pf.enrich_parquet(
            tmp_path / "in.parquet", tmp_path / "out.parquet", CEO, checkpoint=pf.last().checkpoint, **QUIET
        )
        assert pd.read_parquet(tmp_path / "out.parquet")["ceo"].tolist() == ["CEO 1", "mine", "CEO 1", "CEO 3"]
        assert caplog.text.count(KEPT) == 1
        pf.enrich_parquet(tmp_path / "in.parquet", tmp_path / "new.parquet", CEO, refresh=True, **QUIET)
        assert pd.read_parquet(tmp_path / "new.parquet")["ceo"].str.startswith("CEO").all()


def test_an_escalation_replaces_answers_and_keeps_edits(caplog):
    """Where a further processor answered since, its answer counts; an edit of a final answer stays."""
    schema = {"ceo": str | None}

    def answer_of(sent, processor):
        if sent["company"] == "Hooli":
            return Failure("no luck")
        return {"ceo": None if processor == "base" and sent["company"] == "Globex" else f"{processor} CEO"}

    df = pd.DataFrame({"company": ["Acme", "Globex", "Hooli", "Initech"]})
    with pf.offline(answer_of, latency=0):
        out = df.parallel.enrich(schema, **QUIET)
        out = out.parallel.enrich(schema, escalate=["core"], **QUIET)
        assert out["ceo"].fillna("").tolist() == ["base CEO", "core CEO", "", "base CEO"]
        out.loc[[1, 2], "ceo"] = "mine"
        again = out.parallel.enrich(schema, escalate=["core"], **QUIET)
    assert again["ceo"].tolist() == ["base CEO", "mine", "mine", "base CEO"]
    assert KEPT in caplog.text


def test_the_services_answers_replace_those_of_a_rehearsal(df, client_of):
    """What a simulator made up is no edit: the service's answers take its place."""
    with Simulator(lambda _: {"ceo": "real"}, latency=0) as service:
        with pf.offline(lambda _: {"ceo": "made up"}, latency=0):
            out = df.parallel.enrich(CEO, **QUIET)
        out = out.parallel.enrich(CEO, client=client_of(service), **QUIET)
    assert out["ceo"].unique().tolist() == ["real"]


def test_answers_that_are_selected_are_sent(df):
    """A column of answers, or a frame of answers only, is what the user chose to send; its own question does not."""
    with pf.offline(lambda sent: answer(sent) if "company" in sent else {"age": 50}, latency=0) as sim:
        out = df.parallel.enrich({"ceo": str}, provenance=True, **QUIET)
        before = len(sim.runs())
        assert out["ceo"].parallel.plan(SCHEMA).sends == ("ceo",)
        ages = out["ceo"].parallel.enrich({"age": int}, status=False, **QUIET)
        same = out[["ceo", "parallel_status", "parallel_error"]].parallel.enrich({"age": int}, **QUIET)
        sent = [run.input for run in sim.runs()[before:]]
        with pytest.raises(InputError, match="nothing to send"):
            out[["ceo", "parallel_status", "parallel_error"]].parallel.enrich({"ceo": str}, **QUIET)
    assert sent == [{"ceo": f"CEO of {name}"} for name in ("Acme", "Globex", "Initech")]
    assert ages.columns.tolist() == ["age"]
    assert same["age"].tolist() == ages["age"].tolist()


def test_a_report_says_what_the_frame_knows_of_its_answers(df):
    """Without its status column a frame still reports what attrs say; without attrs, that the origin is not known."""
    with pf.offline(answer, latency=0):
        out = df.parallel.enrich({"ceo": str}, **QUIET)
        both = out.parallel.enrich(SCHEMA, **QUIET)
    unknown = "origin  not known, a simulator or the service"
    assert "SIMULATED" in repr(out[["company", "ceo"]].parallel.report())
    assert unknown not in repr(out.parallel.report())
    names = [section.outputs for section in both[["company", "ceo", "founded"]].parallel.report().sections]
    assert names == [("ceo",), ("founded",)]
    merged = out.drop_duplicates().merge(pd.DataFrame({"company": ["Acme"]}), on="company")
    merged.attrs = {}  # as some versions of pandas leave it
    assert unknown in repr(merged.parallel.report())
    assert "not known, a simulator or the service" in merged.parallel.report()._repr_html_()
    with pytest.raises(InputError, match="no column that its attrs name"):
        out[["company"]].parallel.report()


def test_a_plan_does_not_count_failures_as_answers(df):
    """With retry_failed=False a failed run is neither answered nor to be sent."""
    with pf.offline(lambda sent: Failure("no") if sent["company"] == "Acme" else answer(sent), latency=0):
        out = df.parallel.enrich(SCHEMA, **QUIET)
        plan = out.parallel.plan(SCHEMA, where="failed", retry_failed=False)
        again = out.parallel.plan(SCHEMA, where="failed")
    assert (plan.answered, plan.failed, plan.to_send, again.failed, again.to_send) == (0, 1, 0, 0, 1)
    assert "1 distinct, 1 failed, not tried again" in repr(plan)

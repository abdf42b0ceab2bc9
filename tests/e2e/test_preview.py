"""A few rows before all of them: what came, what the rest costs, what fewer inputs would save; and single columns."""

from __future__ import annotations

import asyncio
import inspect

import pandas as pd
import pytest

import parallel_frames as pf
from parallel_frames.errors import InputError, UnknownOptionError
from parallel_frames.simulator import Answer, Failure, Simulator

SCHEMA = {"founded": int, "ceo": str}
QUIET = {"progress": False}


def answer(sent):
    """Answer with what is sure and what is not."""
    if sent["company"] == "Hooli":
        return Failure("no such company")
    return Answer({"founded": 1900 + len(sent["company"]), "ceo": "<b>"}, basis={"founded": "high", "ceo": "low"})


@pytest.fixture
def df():
    """Five rows, four of them distinct."""
    return pd.DataFrame({"company": ["Acme", "Acme", "Hooli", "Globex", "Initech"]}, index=list("abcab"))


def test_a_preview_shows_a_few_rows_and_the_cost_of_all(df):
    """The first distinct rows stand beside one another with evidence; the full call pays for the others only."""
    with pf.offline(answer, latency=0) as sim:
        some = df.parallel.preview(SCHEMA, n=2, **QUIET)
        assert sim.counts.runs == 2
        plan = df.parallel.preview(SCHEMA, n=2, retry_failed=False, max_cost=1, **QUIET).plan
        assert (plan.answered, plan.failed) == (1, 1)
        out = df.parallel.enrich(SCHEMA, retry_failed=False, **QUIET)
    assert sim.counts.runs == 4
    assert some.frame.columns.tolist() == ["a", "c"]
    assert some.frame.index.tolist() == [
        "company", "founded", "founded_confidence", "founded_sources", "ceo", "ceo_confidence", "ceo_sources",
        "parallel_status", "parallel_error",
    ]  # fmt: skip
    assert some.frame["a"].tolist()[:3] == ["Acme", 1904, "high"]
    assert some.frame.loc["founded_sources", "a"].startswith("https://")
    assert some.frame.loc["parallel_error", "c"] == "no such company"
    assert (some.plan.rows, some.plan.awaited) == (5, 0)
    assert out["founded"].notna().tolist() == [True, True, False, True, True]
    text, html = repr(some), some._repr_html_()
    assert "All 5 rows would take 3 more runs: $0.03" in text  # the failed one is tried again
    assert "&lt;b&gt;" in html
    assert '<span class="pf-tag pf-low">low</span></summary>' in " ".join(html.split())  # next to the answer
    assert "founded_confidence" not in html
    assert html.count('<a href="https://') == 2
    assert some.cost == 0.03


def test_a_preview_of_a_frame_that_is_enriched_shows_what_there_is(df):
    """Where everything is answered nothing is paid, whatever the frame is given."""
    with pf.offline(answer, latency=0) as sim:
        out = df.parallel.enrich(SCHEMA, dtype_backend="pyarrow", **QUIET)
        some = out.parallel.preview(SCHEMA, retry_failed=False, **QUIET)
        assert sim.counts.runs == 4
    assert some.frame.loc["ceo"].tolist()[0] == "<b>"
    assert "All 5 rows would take" in repr(some)


def test_a_preview_keeps_its_answers_or_is_refused(df):
    """Without a checkpoint the full call would pay again; options that a preview decides are refused."""
    for given in (None, False):
        with pytest.raises(InputError, match="pay for these again"):
            df.parallel.preview(SCHEMA, checkpoint=given)
    for name in ("limit", "basis", "on_error", "dtype_backend"):
        with pytest.raises(UnknownOptionError, match=f"no option '{name}'"):
            df.parallel.preview(SCHEMA, **{name: 1})
    for n in (0, "3", True, None):
        with pytest.raises(InputError, match=f"`n={n!r}` must be how many inputs are asked, 1 or more"):
            df.parallel.preview(SCHEMA, n=n)
    assert "n" in inspect.signature(pf.preview).parameters
    assert "limit" not in inspect.signature(pf.preview).parameters


def test_a_column_has_an_accessor_of_its_own(df):
    """A Series gives the new columns on its index, and shares its answers with the frame of that column."""
    df["rank"] = range(5)
    with pf.offline(answer, latency=0) as sim:
        new = df["company"].parallel.enrich(SCHEMA, **QUIET)
        df[["company"]].parallel.enrich(SCHEMA, retry_failed=False, **QUIET)
        assert sim.counts.runs == 4
        assert sim.runs()[0].input == {"company": "Acme"}
        more = asyncio.run(df["company"].parallel.aenrich(SCHEMA, status=False, retry_failed=False, **QUIET))
        some = df["company"].parallel.preview(SCHEMA, n=1, **QUIET)
        plan = df["company"].parallel.plan(SCHEMA, retry_failed=False)
    assert new.columns.tolist() == ["founded", "ceo", "parallel_status", "parallel_error"]
    pd.testing.assert_index_equal(new.index, df.index)
    assert df.assign(**more).columns.tolist() == ["company", "rank", "founded", "ceo"]
    assert (plan.to_send, some.frame.shape[1]) == (0, 1)
    assert new.attrs["parallel"]["enrichments"][0]["rows"] == {"completed": 4, "failed": 1}
    assert "enrich" in repr(df["company"].parallel)


def test_a_column_without_a_name_sends_values(df):
    """An unnamed Series sends its cells as "value"; inputs are refused, and so is a call of the accessor."""
    column = pd.Series(["Acme"])
    with pf.offline(lambda sent: {"founded": len(sent["value"]), "ceo": ""}, latency=0):
        assert column.parallel.enrich(SCHEMA, **QUIET)["founded"].tolist() == [4]
    with pytest.raises(UnknownOptionError, match="sends its own values"):
        column.parallel.enrich(SCHEMA, inputs=["value"])
    with pytest.raises(InputError, match=r"`series\.parallel\.enrich\(schema\)`"):
        column.parallel(SCHEMA)
    assert "inputs" not in inspect.signature(column.parallel.enrich).parameters


def test_a_plan_says_what_fewer_inputs_would_save():
    """Where dropping columns makes rows equal, the plan has the runs and dollars of it; elsewhere it says nothing."""
    df = pd.DataFrame({"name": [f"c{n % 31}" for n in range(100)], "id": range(100), "country": ["DE", "FR"] * 50})
    savings = [str(f) for f in df.parallel.plan({"a": int}, checkpoint=None).findings if f.rule == "inputs"]
    assert savings[0].startswith("inputs: 'name' alone: 31 runs, $0.31")
    assert savings[1].startswith("inputs: without 'id': 62 runs, $0.62")
    assert "'name' alone: 31 runs, $0.31" in repr(df.parallel.plan({"a": int}, checkpoint=None))
    for options in ({"inputs": ["name"]}, {"inputs": "{name} of {id}"}, {"dedupe": False}):
        plan = df.parallel.plan({"a": int}, checkpoint=None, **options)
        assert [f for f in plan.findings if f.rule == "inputs"] == []
    unique = pd.DataFrame({"a": range(5), "b": list("abcde")})
    assert unique.parallel.plan({"c": int}, checkpoint=None).findings == ()


def test_savings_count_the_rows_that_are_asked(client_of):
    """Rows that where= leaves out, or that would have nothing to send, are no runs, and lists can be compared."""
    df = pd.DataFrame({"name": ["a", "a", None, "b", "c"], "tags": [["x"], ["y"], ["x"], ["x"], ["x"]]})
    with Simulator(latency=0) as sim:
        plan = df.parallel.plan({"c": int}, where=[True] * 4 + [False], client=client_of(sim))
    (saving,) = [f for f in plan.findings if f.rule == "inputs"]
    assert saving.severity == "advice"
    assert saving.message.startswith("'name' alone: 2 runs, $0.02, and 1 row with nothing to send; ")


def test_only_a_column_that_identifies_rows_is_advised():
    """Neither a category, a date, a number nor what is written like one; runs are counted as the call would."""
    company = [f"Company {n % 149}" for n in range(186)]
    company[5] = None
    df = pd.DataFrame({
        "company": company,
        "city": ["Bonn", "Lyon"] * 93,
        "since": [f"2021-01-{n % 28 + 1:02}" for n in range(186)],
        "staff": range(186),
    })  # fmt: skip
    (saving,) = [f for f in df.parallel.plan({"a": int}, checkpoint=None).findings if f.rule == "inputs"]
    assert saving.message.startswith("'company' alone: 149 runs, $1.49, and 1 row with nothing to send")
    assert df.parallel.plan({"a": int}, inputs=["company"], checkpoint=None).runs == 149
    others = df[["city", "since", "staff"]]
    assert others.parallel.plan({"a": int}, checkpoint=None).findings == ()

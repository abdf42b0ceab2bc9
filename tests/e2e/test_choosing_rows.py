"""Only some rows are asked, and only what may be replaced is: where=, if_exists= and limit= together."""

from __future__ import annotations

import datetime as dt
import functools
from typing import Literal

import numpy as np
import pandas as pd
import pytest

import parallel_frames as pf
from parallel_frames.errors import InputError
from parallel_frames.simulator import Answer, Failure

COMPANIES = ["Acme", "Globex", "Acme", "Initech", "Hooli"]
FOUNDED = {"Acme": 1949, "Globex": 1989, "Initech": 1998, "Hooli": 2001}


@pytest.fixture
def df():
    """Five rows with four distinct inputs."""
    return pd.DataFrame({"company": COMPANIES}, index=list("abcde"))


def founded(sent):
    """Answer by a table; what is not in it fails."""
    return {"founded": FOUNDED[sent["company"]]}


def quiet(**options):
    """Return options of calls that only say what they do to the log."""
    return {"progress": False, **options}


def test_a_mask_asks_only_its_rows(df):
    """Rows outside the mask are not sent, and say so."""
    with pf.offline(founded, latency=0) as sim:
        out = df.parallel.enrich({"founded": int}, where=[True, False, True, False, False], **quiet())
    assert out["founded"].dropna().to_dict() == {"a": 1949, "c": 1949}
    assert out["parallel_status"].tolist() == ["completed", "not_sent", "completed", "not_sent", "not_sent"]
    assert sim.counts.runs == 1


@pytest.mark.parametrize(
    "where",
    [
        np.array([False, True, False, False, True]),
        pd.Series([False, True, False, False, True], index=list("abcde")),
        pd.Series([False, True, False, False, True]),  # by position
        pd.array([False, True, False, False, True], dtype="boolean"),
        pd.Series([False, True, False, False, True], index=pd.MultiIndex.from_product([["a"], range(5)])),
        lambda frame: frame["company"].isin(["Globex", "Hooli"]),
    ],
    ids=["array", "series", "other index", "nullable", "more levels", "function"],
)
def test_masks_of_every_kind_are_read_by_position(df, where):
    """An array, a Series, a nullable array and a function of the frame choose the same rows."""
    with pf.offline(founded, latency=0) as sim:
        out = df.parallel.enrich({"founded": int}, where=where, **quiet())
    assert out["founded"].dropna().to_dict() == {"b": 1989, "e": 2001}
    assert sim.counts.runs == 2


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("missed", "`where='missed'` must be one of 'missing', 'failed'"),
        ([True, False], "`where` has 2 values and the frame 5 rows"),
        (["yes"] * 5, "expected booleans"),
        ([1, 0, 1, 0, 1], "expected booleans"),
        (pd.array([True, None, True, False, True], dtype="boolean"), "has 1 missing value"),
        (pd.Series([True] * 5, index=list("edcba")), "in another order"),
        (lambda _: 3, "expected one boolean per row"),
        (lambda frame: frame, "is a DataFrame"),
        (np.ones((5, 1), dtype=bool), "has 2 dimensions"),
        ("failed", "the frame has no 'parallel_status'"),
    ],
)
def test_a_mask_that_is_none_is_refused(df, where, said):
    """What is no boolean per row is named in an error, and nothing is sent."""
    with pf.offline(founded, latency=0) as sim, pytest.raises(InputError, match=said):
        df.parallel.enrich({"founded": int}, where=where, **quiet())
    assert sim.counts.posts == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"where": "missing", "if_exists": "overwrite"}, "where='missing'.*if_exists='overwrite'"),
        ({"where": "failed", "if_exists": "suffix"}, "where='failed'.*if_exists='suffix'"),
        ({"limit": 3, "group_id": "tgrp_1"}, "`limit`.*`group_id`"),
        ({"limit": 0}, "limit=0"),
        ({"basis": "yes"}, "`basis='yes'` must be one of 'none', 'columns', 'struct'"),
        ({"max_cost": -1}, "max_cost=-1"),
        ({"max_cost": float("nan")}, "max_cost=nan"),
        ({"on_row": 3}, "on_row=3"),
        ({"confirm": "maybe"}, "confirm='maybe'"),
        ({"where": "failed", "status": False}, "status=False"),
    ],
)
def test_options_that_contradict_each_other_are_named(df, options, said):
    """Both of the two are in the message, before anything is sent."""
    with pf.offline(founded, latency=0) as sim, pytest.raises(InputError, match=said):
        df.parallel.enrich({"founded": int}, **quiet(**options))
    assert sim.counts.posts == 0


def test_missing_fills_only_what_is_null(df):
    """Rows with a value are not asked, and keep it; the others are filled."""
    df["founded"] = pd.array([1, None, None, 4, None], dtype="Int64")
    with pf.offline(founded, latency=0) as sim:
        out = df.parallel.enrich({"founded": int}, where="missing", inputs=["company"], **quiet())
    assert out["founded"].tolist() == [1, 1989, 1949, 4, 2001]
    assert out["parallel_status"].tolist() == ["not_sent", "completed", "completed", "not_sent", "completed"]
    assert list(out.columns) == ["company", "founded", "parallel_status", "parallel_error"]
    assert sim.counts.runs == 3


def test_fill_alone_asks_only_rows_with_something_to_fill(df):
    """if_exists="fill" pays for no row that has every value already."""
    df["founded"] = pd.array([1, 2, 3, 4, None], dtype="Int64")
    with pf.offline(founded, latency=0) as sim:
        out = df.parallel.enrich({"founded": int}, if_exists="fill", inputs=["company"], **quiet())
    assert out["founded"].tolist() == [1, 2, 3, 4, 2001]
    assert sim.counts.runs == 1


def test_fill_keeps_a_value_where_another_column_of_the_row_lacks(df):
    """A row is asked for its null, and its other cell stays although there is an answer for it."""
    df["founded"] = pd.array([1, None, 3, 4, 5], dtype="Int64")
    df["sector"] = ["tools", "energy", None, "software", "web"]
    answers = lambda _: {"founded": 99, "sector": "asked"}  # noqa: E731
    with pf.offline(answers, latency=0):
        out = df.parallel.enrich({"founded": int, "sector": str}, if_exists="fill", inputs=["company"], **quiet())
    assert out["founded"].tolist() == [1, 99, 3, 4, 5]
    assert out["sector"].tolist() == ["tools", "energy", "asked", "software", "web"]


def test_failed_rows_are_asked_again_and_nothing_else_changes(df):
    """where="failed" asks the failed ones alone; the rest keep their cells, statuses and errors."""
    answers = {name: {"founded": year} for name, year in FOUNDED.items()} | {"Hooli": Failure("no such company")}
    with pf.offline(answers, latency=0):
        first = df.parallel.enrich({"founded": int}, **quiet())
    with pf.offline(founded, latency=0) as sim:
        out = first.parallel.enrich({"founded": int}, where="failed", **quiet())
    assert first["parallel_status"].tolist()[-1] == "failed"
    assert out["founded"].tolist() == [1949, 1989, 1949, 1998, 2001]
    assert out["parallel_status"].tolist() == ["completed"] * 5
    assert out["parallel_error"].isna().all()
    assert sim.counts.runs == 1


def test_failed_rows_that_are_not_tried_again_are_said_to_be_so(df, caplog):
    """where="failed" with retry_failed=False and the same processor asks nothing, and the line before says why."""
    with pf.offline(lambda sent: Failure("down") if sent["company"] == "Hooli" else founded(sent), latency=0) as sim:
        out = df.parallel.enrich({"founded": int}, **quiet())
        runs = sim.counts.runs
        caplog.set_level("INFO", logger="parallel_frames")
        out.parallel.enrich({"founded": int}, where="failed", retry_failed=False, **quiet())
        assert sim.counts.runs == runs
    assert "1 run already answered" in caplog.text
    assert "1 of them failed, not tried again" in caplog.text


def test_only_a_completed_outcome_replaces_a_value(df):
    """An escalation that fails leaves the old value standing, and says that it failed."""
    with pf.offline(founded, latency=0):
        first = df.parallel.enrich({"founded": int}, **quiet())
    worse = {"Acme": Failure("out of order"), "Globex": {"founded": 1}, "Initech": {"founded": "x"}}
    with pf.offline(worse, latency=0):
        out = first.parallel.enrich(
            {"founded": int}, where=first["company"] != "Hooli", processor="pro", if_exists="overwrite", **quiet()
        )
    assert out["founded"].tolist() == [1949, 1, 1949, 1998, 2001]
    assert out["parallel_status"].tolist() == ["failed", "completed", "failed", "invalid", "completed"]
    assert out.dtypes.to_dict() == first.dtypes.to_dict()


def test_suffix_makes_numbered_columns_beside_the_old_ones(df):
    """All columns of the call carry one number, and nothing that was there changes; a third call counts on."""
    with pf.offline(founded, latency=0):
        first = df.parallel.enrich({"founded": int}, basis="columns", **quiet())
        second = first.parallel.enrich(
            {"founded": int}, processor="pro", if_exists="suffix", basis="columns", **quiet()
        )
        third = second.parallel.enrich({"founded": int}, processor="core", if_exists="suffix", **quiet())
    assert list(second.columns[len(first.columns) :]) == [
        "founded_2", "founded_2_confidence", "founded_2_reasoning", "founded_2_citations",
        "parallel_status_2", "parallel_error_2",
    ]  # fmt: skip
    assert list(third.columns[len(second.columns) :]) == ["founded_3", "parallel_status_3", "parallel_error_3"]
    pd.testing.assert_frame_equal(third[first.columns], first, check_flags=False)


def test_the_escalation_sends_the_same_inputs_again(df):
    """Old answers, evidence and statuses are not sent to the better processor."""
    with pf.offline(founded, latency=0) as sim:
        out = df.parallel.enrich({"founded": int}, basis="columns", **quiet())
        out["founded_confidence"] = out["founded_confidence"].where(out["company"] != "Globex", "low")
        out["founded_confidence"] = out["founded_confidence"].where(out["company"] == "Globex", "high")
        again = out.parallel.enrich(
            {"founded": int}, where=pf.low_confidence, processor="pro", if_exists="overwrite", **quiet()
        )
        sent = [run.input for run in sim.runs() if run.processor == "pro"]
    assert sent == [{"company": "Globex"}]
    assert again["parallel_status"].tolist() == ["completed"] * 5
    assert again["founded_confidence"].notna().all()


def test_the_mask_of_low_confidence_takes_options_by_partial(df):
    """A recipe: functools.partial says how low, and which fields."""
    with pf.offline(founded, latency=0) as sim:
        out = df.parallel.enrich({"founded": int}, basis="columns", **quiet())
        mask = functools.partial(pf.low_confidence, at_most="high", fields=["founded"])
        out.parallel.enrich({"founded": int}, where=mask, processor="pro", if_exists="overwrite", **quiet())
    assert sim.counts.runs == 8


def test_evidence_goes_where_its_value_goes(df):
    """Where an overwrite keeps the old value, the old evidence stays with it; nowhere is it of another answer."""
    with pf.offline(founded, latency=0):
        out = df.parallel.enrich({"founded": int}, basis="columns", **quiet())
    with pf.offline({"Globex": {"founded": 7}, "Acme": Failure()}, latency=0, seed=5):
        again = out.parallel.enrich(
            {"founded": int}, where=out["company"].isin(["Globex", "Acme"]), processor="pro", if_exists="overwrite",
            **quiet(),
        )  # fmt: skip
    kept = [0, 2, 3, 4]
    for part in ("founded", "founded_confidence", "founded_reasoning", "founded_citations"):
        assert again[part].iloc[kept].tolist() == out[part].iloc[kept].tolist()
    assert again["founded"].iloc[1] == 7


def test_the_struct_of_evidence_is_merged_by_field(df):
    """With one column for all evidence, a filled field brings its own entries and the others keep theirs."""
    schema = {"founded": int, "sector": str}
    with pf.offline(lambda _: {"founded": 1, "sector": "old"}, latency=0):
        out = df.parallel.enrich(schema, basis="struct", **quiet())
    out.loc["b", "founded"] = pd.NA
    with pf.offline(lambda _: {"founded": 2, "sector": "new"}, latency=0, seed=9):
        again = out.parallel.enrich(schema, where="missing", processor="pro", **quiet())
    assert again.loc["b", ["founded", "sector"]].tolist() == [2, "old"]
    entries = {entry["field"]: entry for entry in again.loc["b", "parallel_basis"]}
    assert sorted(entries) == ["founded", "sector"]
    before = {entry["field"]: entry for entry in out.loc["b", "parallel_basis"]}
    assert entries["sector"] == before["sector"]
    assert again.loc["a", "parallel_basis"] == out.loc["a", "parallel_basis"]


def test_dedupe_false_keeps_a_rows_key_whatever_is_chosen(df, tmp_path):
    """Which of the equal rows a row is counts all rows of the frame: a mask does not move it to another's answer."""
    with pf.offline(founded, latency=0) as sim:
        options = quiet(dedupe=False, checkpoint=tmp_path / "kept")
        df.parallel.enrich({"founded": int}, **options)
        out = df.parallel.enrich({"founded": int}, where=[False, False, True, False, False], **options)
        assert sim.counts.runs == 5
        runs = {run.metadata["row"]: run.run_id for run in sim.runs()}
    assert out["founded"].dropna().tolist() == [1949]
    assert [(row.position, row.run_id) for row in pf.last()] == [(2, runs["2"])]


def test_a_cell_that_cannot_travel_may_be_left_out(df):
    """A bad cell in a row that is not asked is ignored, and in one that is it is named by its own position."""
    df["blob"] = [None, None, None, b"\x00", None]
    with pf.offline(founded, latency=0):
        out = df.parallel.enrich({"founded": int}, where=df["blob"].isna(), **quiet())
        assert out["founded"].notna().tolist() == [True, True, True, False, True]
        with pytest.raises(InputError, match=r"row 3 \(index 'd', bytes\)"):
            df.parallel.enrich({"founded": int}, where=df["company"] == "Initech", **quiet())


def test_limit_asks_the_first_inputs_once_and_the_full_call_pays_only_the_rest(df):
    """A few rows for real: repeated they cost nothing, and the whole frame pays for them no second time."""
    with pf.offline(founded, latency=0) as sim:
        few = df.parallel.enrich({"founded": int}, limit=2, **quiet())
        assert few["founded"].isna().tolist() == [False, False, False, True, True]
        assert few["parallel_status"].tolist() == ["completed"] * 3 + ["not_sent"] * 2
        df.parallel.enrich({"founded": int}, limit=2, **quiet())
        assert sim.counts.runs == 2
        out = df.parallel.enrich({"founded": int}, **quiet())
        assert (sim.counts.runs, sim.counts.duplicates) == (4, 0)
        few = df.parallel.enrich({"founded": int}, limit=1, **quiet())
    assert few.equals(out)


def test_a_second_enrichment_is_never_sent_as_input_when_attrs_are_lost(df):
    """Escalating the first of two enrichments after attrs were lost is refused: the second's answers would be sent."""
    with pf.offline(founded, latency=0) as sim:
        first = df.parallel.enrich({"founded": int}, **quiet())
        both = first.parallel.enrich({"founded": int}, prefix="x_", **quiet())
        both.attrs.clear()
        runs = sim.counts.runs
        with pytest.raises(InputError, match=r"'x_parallel_status'.*inputs="):
            both.parallel.enrich({"founded": int}, processor="pro", if_exists="overwrite", **quiet())
        assert sim.counts.runs == runs


def test_an_empty_mask_sends_nothing(df):
    """No row chosen is no run, no group and the same cells."""
    with pf.offline(founded, latency=0) as sim:
        out = df.parallel.enrich({"founded": int}, where=np.zeros(5, dtype=bool), **quiet())
    assert out["parallel_status"].tolist() == ["not_sent"] * 5
    assert sim.counts.posts == 0


def test_refreshing_some_rows_refreshes_those(df, tmp_path):
    """A refresh of other rows than a killed one's asks them, and what the killed one had left stays to be asked."""
    with pf.offline(founded, latency=0) as sim:
        options = quiet(checkpoint=tmp_path / "kept")
        df.parallel.enrich({"founded": int}, **options)
        df.parallel.enrich({"founded": int}, refresh=True, limit=1, **options)  # three of four are left
        assert sim.counts.runs == 5
        chosen = df["company"] == "Hooli"
        df.parallel.enrich({"founded": int}, refresh=True, where=chosen, **options)
        assert sim.counts.runs == 6
        df.parallel.enrich({"founded": int}, refresh=True, where=chosen, **options)  # said again, asked again
        assert sim.counts.runs == 7
        df.parallel.enrich({"founded": int}, refresh=True, where=~chosen, **options)  # what the first had left
        assert sim.counts.runs == 9


def test_other_rows_of_the_same_frame_are_no_surprise(tmp_path):
    """Asking the second half after the first does not look like a frame whose rows have changed."""
    frame = pd.DataFrame({"company": [f"Company {n}" for n in range(100)]})
    first = np.arange(100) < 50
    with pf.offline(lambda _: {"n": 1}, latency=0) as sim:
        half = frame.parallel.enrich({"n": int}, where=first, checkpoint=tmp_path / "kept", **quiet())
        out = half.parallel.enrich({"n": int}, where=~first, if_exists="fill", checkpoint=tmp_path / "kept", **quiet())
        assert sim.counts.runs == 100
    assert out["n"].tolist() == [1] * 100


@pytest.mark.parametrize("basis", ["columns", "struct"])
def test_numbered_columns_have_their_own_evidence(df, basis):
    """With if_exists="suffix" the second answers' confidence and citations are those of the numbered columns."""
    with pf.offline(lambda _: Answer({"founded": 1}, basis={"founded": "low"}), latency=0):
        first = df.parallel.enrich({"founded": int}, basis=basis, **quiet())
    with pf.offline(lambda _: Answer({"founded": 2}, basis={"founded": "high"}), latency=0):
        both = first.parallel.enrich({"founded": int}, basis=basis, if_exists="suffix", **quiet())
    levels = both.parallel.confidence()
    assert {name: levels[name].unique().tolist() for name in levels} == {"founded": ["low"], "founded_2": ["high"]}
    assert set(both.parallel.citations()["field"]) == {"founded", "founded_2"}
    assert pf.low_confidence(both, fields=["founded_2"]).sum() == 0
    assert [section.confidence.index.tolist() for section in both.parallel.report().sections] == [
        ["founded"],
        ["founded_2"],
    ]


@pytest.mark.parametrize(
    ("own", "basis", "said"),
    [
        ({"founded_confidence": 0.9}, "columns", "'founded_confidence'"),
        ({"founded": None, "founded_confidence": 0.9}, "columns", "'founded_confidence'"),
        ({"parallel_basis": "mine"}, "struct", "'parallel_basis'"),
    ],
)
def test_filling_takes_no_column_of_the_users_for_evidence(df, own, basis, said):
    """A column named like evidence, without what it would be the evidence of, is refused and not replaced."""
    with pf.offline(founded, latency=0) as sim, pytest.raises(InputError, match=f"already have {said}"):
        df.assign(**own).parallel.enrich({"founded": int}, inputs=["company"], where="missing", basis=basis, **quiet())
    assert sim.counts.runs == 0


def test_what_a_function_does_to_its_frame_stays_with_it(df):
    """A function that adds a column to the frame it is given changes neither what is sent nor what comes back."""

    def where(frame):
        frame["new"] = 1
        return frame.pop("company") == "Acme"

    with pf.offline(founded, latency=0) as sim:
        out = df.parallel.enrich({"founded": int}, where=where, **quiet())
    assert [run.input for run in sim.runs()] == [{"company": "Acme"}]
    assert out.columns.tolist()[:2] == ["company", "founded"]


@pytest.mark.parametrize("basis", ["columns", "struct"])
@pytest.mark.parametrize("where", [pf.low_confidence, functools.partial(pf.low_confidence, at_most="medium")])
def test_what_another_enrichment_is_unsure_of_is_not_asked(df, basis, where):
    """The mask of low confidence looks at the enrichment's own fields."""
    with pf.offline(lambda _: Answer({"founded": 1}, basis={"founded": "high"}), latency=0):
        out = df.parallel.enrich({"founded": int}, prefix="x_", basis=basis, **quiet())
    with pf.offline(lambda _: Answer({"ceo": "a"}, basis={"ceo": "low"}), latency=0):
        out = out.parallel.enrich({"ceo": str}, prefix="y_", basis=basis, **quiet())
    again = {"where": where, "if_exists": "overwrite", "processor": "pro"}
    with pf.offline(latency=0) as sim:
        out.parallel.enrich({"founded": int}, prefix="x_", **again, **quiet())
        assert sim.counts.runs == 0
        out.parallel.enrich({"ceo": str}, prefix="y_", **again, **quiet())
        assert sim.counts.runs == 4


def test_evidence_tells_of_an_enrichment_whose_attrs_are_lost(df):
    """Answers with evidence and no status columns are not sent as inputs once the attrs are lost."""
    with pf.offline(founded, latency=0) as sim:
        out = df.parallel.enrich({"founded": int}, basis="columns", status=False, **quiet())
        out.attrs.clear()
        runs = sim.counts.runs
        with pytest.raises(InputError, match=r"'founded_confidence'.*inputs="):
            out.parallel.enrich({"ceo": str}, **quiet())
        assert sim.counts.runs == runs
        again = out.parallel.enrich({"founded": int}, if_exists="overwrite", status=False, **quiet())
    assert again["founded"].tolist() == out["founded"].tolist()
    assert sim.counts.runs == runs


def test_a_column_with_a_number_for_a_label_stays_an_input():
    """The column 1 is sent, also after an enrichment has made a column "1"."""
    df = pd.DataFrame({"company": COMPANIES, 1: range(5)})
    with pf.offline(latency=0) as sim:
        out = df.parallel.enrich({"1": str}, inputs=["company"], **quiet())
        runs = sim.counts.runs
        out.parallel.enrich({"ceo": str}, prefix="x_", **quiet())
        assert [set(run.input) for run in sim.runs()][runs:] == [{"company", "1"}] * 5


@pytest.mark.parametrize("basis", ["columns", "struct"])
def test_texts_of_evidence_do_not_stand_beside_lists(df, basis, tmp_path):
    """Evidence that has been through CSV is neither filled nor overwritten: nothing is sent."""
    with pf.offline(founded, latency=0) as sim:
        out = df.parallel.enrich({"founded": int}, basis=basis, where=[True] * 4 + [False], **quiet())
        out.to_csv(tmp_path / "out.csv")
        back = pd.read_csv(tmp_path / "out.csv", index_col=0)
        runs = sim.counts.runs
        for if_exists in ("fill", "overwrite"):
            with pytest.raises(InputError, match="holds texts"):
                back.parallel.enrich({"founded": int}, inputs=["company"], if_exists=if_exists, **quiet())
        assert sim.counts.runs == runs


@pytest.mark.parametrize("backend", ["numpy_nullable", "pyarrow"])
@pytest.mark.parametrize(
    ("cells", "kind", "text"),
    [
        (["2019-01-01", None], dt.date, "holds '2019-01-01', and .* date.*: `df\\['x'\\] = pd.to_datetime"),
        (["12", None], int, "holds '12', and the answers to it are (I|i)nt64.*: `df\\['x'\\] = pd.to_numeric"),
        ([1.5, None], int, "'x' is float64 and holds 1.5, .*, or convert it first\\.$"),
        ([1.5, None], str, r"astype\('string'\)"),
        (["a, b", None], list[str], "holds 'a, b', and the answers to it are list"),
        (pd.Categorical([1, None]), Literal["a"], "'x' is category and holds 1,"),
    ],
)
def test_a_column_that_cannot_hold_the_answers_is_not_filled(df, cells, kind, text, backend):
    """Its own values and the answers would be a column of both: that is refused before anything is sent."""
    df = df.head(2).assign(x=cells)
    with pf.offline(latency=0) as sim, pytest.raises(InputError, match=text):
        df.parallel.enrich({"x": kind}, inputs=["company"], if_exists="fill", dtype_backend=backend, **quiet())
    assert sim.counts.requests == 0


def test_categories_are_completed(df):
    """A column of categories keeps them, in their order if no other comes; a column of words stays one of texts."""
    schema = {"x": Literal["low", "high"]}
    columns = {
        "more": pd.Categorical(["none", None], ["none", "low"], ordered=True),
        "same": pd.Categorical(["low", None], ["low", "mid", "high"], ordered=True),
        "text": pd.array(["none", None], dtype="string"),
    }
    with pf.offline(lambda _: {"x": "high"}, latency=0):
        made = {
            name: df.head(2)
            .assign(x=cells)
            .parallel.enrich(schema, inputs=["company"], if_exists="fill", **quiet())["x"]
            for name, cells in columns.items()
        }
    assert [made[name].tolist() for name in columns] == [["none", "high"], ["low", "high"], ["none", "high"]]
    assert made["more"].dtype == pd.CategoricalDtype(["none", "low", "high"])
    assert made["same"].dtype == columns["same"].dtype
    assert made["text"].dtype == "string"


def test_rows_without_an_earlier_answer_are_counted_before_they_are_paid_for(tmp_path, capsys):
    """The plan and the call say how many rows lack an earlier answer, or a template's column, and the way out."""

    def said(plan):
        return " ".join(repr(plan).split())

    df = pd.DataFrame({"company": ["Acme", "Hooli", None], "country": ["DE", "US", "FR"]})
    answers = {"Acme": {"ceo": "Ann"}, "Hooli": Failure("no luck")}
    chained = {"inputs": ["ceo", "country"]}
    text = "2 rows without 'ceo' are sent all the same, and paid for; in Python `where=lambda df: df['ceo'].notna()`"
    with pf.offline(lambda sent: answers[sent["company"]] if "company" in sent else {"age": 50}, latency=0) as sim:
        out = df.parallel.enrich({"ceo": str}, inputs=["company"], **quiet())
        plan = out.parallel.plan({"age": int}, **chained)
        assert text in said(plan)
        out.to_parquet(tmp_path / "in.parquet")
        assert text in said(pf.plan_parquet(tmp_path / "in.parquet", {"age": int}, **chained))
        template = out.parallel.plan({"age": int}, inputs="Tell me of {company} in {country}")
        assert "1 row without 'company' is sent all the same" in said(template)
        assert "without" not in said(out.parallel.plan({"age": int}, inputs=["company", "country"]))
        before = len(sim.runs())
        some = out.parallel.enrich({"age": int}, where=lambda df: df["ceo"].notna(), **chained)
        assert "without 'ceo'" not in capsys.readouterr().err
        assert [run.input for run in sim.runs()[before:]] == [{"ceo": "Ann", "country": "DE"}]
        assert some["age"].isna().tolist() == [False, True, True]
        out.parallel.enrich({"age": int}, **chained)
        assert text in capsys.readouterr().err
        out.parallel.enrich({"age": int}, **chained)
        assert "without 'ceo'" not in capsys.readouterr().err

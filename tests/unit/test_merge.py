"""Outcomes become columns by position, in whatever order they come, and nothing else in the frame changes."""

from __future__ import annotations

import datetime as dt
from typing import Literal

import numpy as np
import orjson
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parallel_frames._columns import STATUS_COLUMN as STATUS
from parallel_frames._columns import Affixes, Unanswered, make_layout, merge_outcomes
from parallel_frames._inputs import select_inputs
from parallel_frames._job._plan import make_job, make_options, make_plan
from parallel_frames._model import Outcome
from parallel_frames._schema import parse_schema
from parallel_frames._state import Answers
from parallel_frames.errors import InputError

TYPES = {"text": str, "n": int, "tags": list[str], "day": dt.date}
ANSWER = {"text": "a", "n": 1, "tags": ["x"], "day": "2024-01-02"}


def merge(df, outcomes, *, schema=TYPES, sent=(), if_exists="error", status=True, backend="numpy_nullable", prefix=""):
    """Merge one outcome or None per distinct row; `sent` are the entries that were sent."""
    parsed = parse_schema(schema)
    job = make_job(parsed, input_schema=None, processor="base", options=make_options(None))
    plan = make_plan(df, job, selection=select_inputs(df, [df.columns[0]]))
    found = [
        None if outcome is None else Outcome(key, 0, f"run {key}", "group", **outcome)
        for key, outcome in zip(plan.keys, outcomes, strict=True)
    ]
    layout = make_layout(df, parsed, prefix=prefix, status=status, if_exists=if_exists)
    return merge_outcomes(
        df, plan.keys, plan.row_runs, parsed, answers=Answers.of(found), layout=layout,
        unanswered=lambda key: Unanswered("pending" if plan.keys.index(key) in sent else "not_sent", "why"),
        dtype_backend=backend,
    )  # fmt: skip


def done(answer):
    """Return a completed outcome."""
    return {"status": "completed", "output": orjson.dumps(answer).decode(), "output_type": "json"}


def failed(error, status="failed"):
    """Return a failed outcome with this raw error."""
    return {"status": status, "error": error}


def frame(*names):
    """Return a frame with one company per name."""
    return pd.DataFrame({"company": list(names)}, index=[f"row {n}" for n in range(len(names))])


def test_every_status_has_its_row():
    """Completed, invalid, failed, cancelled, pending, not sent and skipped rows are distinguished and counted."""
    df = frame("a", "b", "c", "d", "e", "f", None, "a")
    outcomes = [
        done(ANSWER),
        done(ANSWER | {"n": "x"}),
        failed('{"message": "no luck"}'),
        failed(None, "cancelled"),
        None,
        None,
    ]
    merged = merge(df, outcomes, sent=(4,))
    expected = ["completed", "invalid", "failed", "cancelled", "pending", "not_sent", "skipped", "completed"]
    assert merged.frame["parallel_status"].tolist() == expected
    assert merged.counts == {name: expected.count(name) for name in expected}
    assert merged.frame["n"].isna().tolist() == [False] + [True] * 6 + [False]
    assert merged.frame["text"].isna().tolist() == [False, False] + [True] * 5 + [False]


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ('{"message": "no luck", "ref_id": "r"}', "no luck"),
        ('"plain"', "plain"),
        ("not JSON", "not JSON"),
        ('{"detail": 3}', '{"detail": 3}'),
        (None, "the run was failed without a reason"),
        ("null", "the run was failed without a reason"),
        ("[1, 2]", "[1, 2]"),
    ],
)
def test_an_error_is_the_services_message_if_there_is_one(raw, message):
    """The cell holds the message, else the whole error, else that there was no reason."""
    assert merge(frame("a"), [failed(raw)]).frame["parallel_error"].iloc[0].startswith(message)


def test_a_very_long_error_is_cut():
    """An error of any length fits a cell."""
    assert len(merge(frame("a"), [failed(f'"{"x" * 5000}"')]).frame["parallel_error"].iloc[0]) == 2000


@pytest.mark.parametrize("content", [[1], "text", 3, None, True])
def test_an_answer_that_is_no_object_is_invalid(content):
    """A content that is no object where one was asked for fills no column, is in the error, and replaces nothing."""
    schema = {name: type_ | None for name, type_ in TYPES.items()} | {"old": str}
    merged = merge(frame("a").assign(old="old"), [done(content)], schema=schema, if_exists="overwrite")
    assert merged.counts == {"invalid": 1}
    assert merged.frame.iloc[0][list(TYPES)].isna().all()
    assert merged.frame["old"].tolist() == ["old"]
    message = f"the answer: expected an object, got {orjson.dumps(content).decode()}"
    assert merged.frame["parallel_error"].tolist() == [message]


@pytest.mark.parametrize("backend", ["numpy_nullable", "pyarrow"])
@pytest.mark.parametrize("names", [[], ["a"], ["a", None]])
def test_dtypes_are_the_same_with_and_without_answers(backend, names):
    """Empty, answered or all missing: the dtypes are those of the schema."""
    df = pd.DataFrame({"company": pd.Series(names, dtype=object)})
    full = merge(df, [done(ANSWER)] * bool(names), backend=backend).frame.dtypes
    none = merge(df, [None] * bool(names), backend=backend).frame.dtypes
    assert full.to_dict() == none.to_dict()


def test_missing_lists_are_none():
    """A row without an answer holds None in a column of lists, as Parquet would give it back."""
    out = merge(frame("a", "b", None), [done(ANSWER), None]).frame
    assert out["tags"].tolist() == [["x"], None, None]


def test_equal_lists_stay_cells():
    """Lists of one length are cells and never become an array of their own."""
    out = merge(frame("a", "b"), [done(ANSWER), done(ANSWER)]).frame
    assert out["tags"].tolist() == [["x"], ["x"]]


OLD = {
    "integers": (pd.Series([7, 8, 9]), "Int64", [1, 8, 9]),
    "floats with a fraction": (pd.Series([7.5, 8.5, 9.5]), object, [1, 8.5, 9.5]),
    "whole floats": (pd.Series([7.0, 8.0, np.nan]), "Int64", [1, 8, None]),
    "texts": (pd.Series(["seven", "eight", "nine"]), object, [1, "eight", "nine"]),
    "nothing": (pd.Series([None, None, None], dtype=object), "Int64", [1, None, None]),
    "categories": (pd.Series(["x", "y", "y"], dtype="category"), object, [1, "y", "y"]),
    "instants": (pd.Series(pd.to_datetime(["2024-01-01"] * 3)), object, [1, *[pd.Timestamp("2024-01-01")] * 2]),
    "lists": (pd.Series([[1], [2], [3]]), object, [1, [2], [3]]),
    "Arrow": (pd.Series([7, 8, 9], dtype="int64[pyarrow]"), "Int64", [1, 8, 9]),
}


@pytest.mark.parametrize("name", OLD)
def test_overwriting_keeps_old_values_of_any_kind(name):
    """Rows without an answer keep their old value: in the schema's dtype if it can hold it, else as objects."""
    old, dtype, expected = OLD[name]
    df = frame("a", "b", "c").assign(n=old.to_numpy() if old.dtype == object else old.array)
    before = df.copy(deep=True)
    out = merge(df, [done({"n": 1}), failed(None), None], schema={"n": int}, if_exists="overwrite").frame
    assert out["n"].dtype == dtype
    cells = [None if not isinstance(cell, list) and pd.isna(cell) else cell for cell in out["n"]]
    assert cells == expected
    assert out.columns.tolist() == ["company", "n", "parallel_status", "parallel_error"]
    pd.testing.assert_frame_equal(df, before)


KEPT = {
    "texts that look like numbers": (["006", "007"], int, 1),
    "a number beside instants": ([0.5, 1950.0], dt.datetime, "2024-01-01T00:00:00Z"),
    "whole numbers that no float holds": ([1, 2**60 + 1], float, 1.5),
    "nanoseconds": (pd.to_datetime([0, 1], unit="ns").array, dt.date, "2024-01-02"),
    "numbers beside texts": ([1.0, 1.5], str, "a"),
    "spans beside texts": (pd.to_timedelta([1, 2], unit="D").array, str, "a"),
    "truths beside numbers": ([True, False], int, 1),
    "other words": (["c", "zz"], Literal["a", "b"], "a"),
    "other fields": ([{"b": 1}, {"b": 2}], {"a": int}, {"a": 1}),
    "exact whole numbers": ([1, 2], float, 1.5),
    "known words": (["a", "b"], Literal["a", "b"], "a"),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("backend", ["numpy_nullable", "pyarrow"])
@pytest.mark.parametrize("name", KEPT)
def test_a_cell_that_was_not_asked_about_is_what_it_was(name, backend):
    """An old value is the same value afterwards, of the same kind, whatever dtype the new ones have."""
    cells, type_, answer = KEPT[name]
    df = frame("a", "b").assign(x=cells)
    out = merge(df, [done({"x": answer}), None], schema={"x": type_}, if_exists="overwrite", backend=backend).frame
    before, after = df["x"].tolist()[1], out["x"].tolist()[1]
    assert after == before
    assert isinstance(after, bool | str) == isinstance(before, bool | str)


def test_exact_values_take_the_new_dtype():
    """Whole numbers that a float holds exactly, and words that are categories, do not make a column of objects."""
    df = frame("a", "b").assign(x=[1, 2], w=["b", "b"])
    outcomes = [done({"x": 1.5, "w": "a"}), None]
    out = merge(df, outcomes, schema={"x": float, "w": Literal["a", "b"]}, if_exists="overwrite").frame
    assert (out["x"].dtype, out["x"].tolist()) == ("Float64", [1.5, 2.0])
    assert (out["w"].dtype, out["w"].tolist()) == (pd.CategoricalDtype(["a", "b"]), ["a", "b"])


def test_an_invalid_answer_replaces_no_value():
    """The good fields of an invalid answer fill what is missing, and replace nothing that is there."""
    schema = {"n": int, "text": str, "more": str}
    df = frame("a").assign(n=[7], text=["old"], more=[None])
    out = merge(df, [done({"n": "x", "text": "new", "more": "m"})], schema=schema, if_exists="overwrite").frame
    assert out[["n", "text", "more", "parallel_status"]].iloc[0].tolist() == [7, "old", "m", "invalid"]


@pytest.mark.parametrize("backend", ["numpy_nullable", "pyarrow"])
def test_overwriting_lists_keeps_old_lists(backend):
    """Old cells of a column of lists stay beside new ones, in either backend."""
    df = frame("a", "b").assign(tags=[["old"], ["older"]])
    out = merge(df, [done({"tags": ["new"]}), None], schema={"tags": list[str]}, if_exists="overwrite", backend=backend)
    assert [list(cell) for cell in out.frame["tags"]] == [["new"], ["older"]]


def test_a_null_that_was_answered_replaces_a_value():
    """An answer of null is an answer."""
    df = frame("a").assign(n=[7])
    out = merge(df, [done({"n": None})], schema={"n": int | None}, if_exists="overwrite").frame
    assert out["n"].isna().tolist() == [True]
    assert out["parallel_status"].tolist() == ["completed"]


def test_layouts_name_columns_and_refuse_collisions():
    """Labels are prefix and name, padded for MultiIndex columns; a label there already or twice is refused."""
    schema = parse_schema({"ceo": str, "parallel_status": str})
    with pytest.raises(InputError, match=r"parallel_status.*status=False"):
        make_layout(frame("a"), schema, prefix="", status=True, if_exists="error")
    layout = make_layout(frame("a"), schema, prefix="", status=False, if_exists="error")
    assert (layout.all, layout.status, layout.error) == (("ceo", "parallel_status"), None, None)
    wide = pd.DataFrame([[1]], columns=pd.MultiIndex.from_tuples([("a", "b", "c")]))
    layout = make_layout(wide, parse_schema({"ceo": str}), prefix="x_", status=True, if_exists="error")
    assert layout.all == (("x_ceo", "", ""), ("x_parallel_status", "", ""), ("x_parallel_error", "", ""))
    with pytest.raises(InputError, match="'company'"):
        make_layout(frame("a"), parse_schema({"company": str}), prefix="", status=True, if_exists="error")


def test_a_text_and_auto_are_one_column():
    """A text and "auto" come back in the column `output`."""
    text = {"status": "completed", "output": '"all about it"', "output_type": "text"}
    out = merge(frame("a", "b"), [text, None], schema="all about it").frame
    assert out["output"].tolist()[0] == "all about it"
    out = merge(frame("a", "b"), [done({"x": [1]}), None], schema="auto").frame
    assert out["output"].tolist() == [{"x": [1]}, None]


@given(prefix=st.text(max_size=5), number=st.sampled_from(["", "_2", "_10"]), name=st.sampled_from([STATUS, "ceo"]))
def test_a_label_that_was_made_is_recognised(prefix, number, name):
    """Prefix and number of an enrichment are found in any of its labels, and with them the name of each of them."""
    affixes = Affixes.of(f"{prefix}{STATUS}{number}", STATUS)
    assert affixes == (prefix, number)
    assert affixes.within(affixes.around(name)) == name
    assert Affixes.of(f"{prefix}ceo{number}", STATUS) is None

"""The frame comes back as it went in, whatever its index, its columns and the order of the answers."""

from __future__ import annotations

import datetime as dt
import json

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import parallel_frames as pf
from parallel_frames.errors import InputError
from parallel_frames.simulator import Failure

COLUMNS = ["name", "parallel_status", "parallel_error"]


def echo(sent):
    """Answer with what was sent, so that an answer in the wrong row shows."""
    return {"name": sent if isinstance(sent, str) else json.dumps(sent, sort_keys=True)}


INDEXES = {
    "default": pd.RangeIndex(4),
    "backwards": pd.RangeIndex(8, 0, -2),
    "duplicates": pd.Index([7, 7, 7, 3]),
    "named": pd.Index(["d", "b", "a", "c"], name="code"),
    "missing labels": pd.Index(["a", None, None, "b"]),
    "datetime": pd.date_range("2024-01-01", periods=4, freq="h", tz="Europe/Berlin"),
    "period": pd.period_range("2024-01", periods=4, freq="M"),
    "categorical": pd.CategoricalIndex(["x", "y", "x", "y"]),
    "interval": pd.IntervalIndex.from_breaks(range(5)),
    "multi": pd.MultiIndex.from_tuples([("a", 1), ("a", 1), ("b", 2), (None, 3)], names=["letter", None]),
    "objects": pd.Index([(1, 2), "x", 3.5, dt.date(2024, 1, 2)], dtype=object, tupleize_cols=False),
}


def many_dtypes(index):
    """Return a frame of many dtypes, missing cells among them."""
    return pd.DataFrame(
        {
            "company": ["Acme", "Globex", None, "Initech"],
            "n": np.array([1, 2, 3, 4], dtype="int8"),
            "x": [0.5, np.nan, 1.5, 2.5],
            "flag": pd.array([True, None, False, True], dtype="boolean"),
            "when": pd.to_datetime(["2024-01-02", None, "2024-01-03", "2024-01-04"], utc=True),
            "kind": pd.Categorical(["a", "b", None, "a"], ordered=True),
            "list": [[1], None, [2, 3], []],
        },
        index=index,
    )


@pytest.mark.parametrize("name", INDEXES)
def test_rows_index_and_old_columns_stay(name):
    """Rows, order, index and its names, old columns, their order and dtypes are those of the frame given."""
    df = many_dtypes(INDEXES[name])
    with pf.offline(answers=echo, latency=(0, 0.5), speed=20):
        out = df.parallel.enrich({"name": str})
    pd.testing.assert_frame_equal(out[list(df.columns)], df, check_freq=True)
    pd.testing.assert_index_equal(out.index, df.index, exact=True)
    assert out.columns.tolist() == [*df.columns, *COLUMNS]
    assert [json.loads(cell)["n"] for cell in out["name"]] == [1, 2, 3, 4]


def test_the_frame_given_is_not_changed():
    """Cells, columns, attrs and flags of the input are what they were, even when its columns are overwritten."""
    df = many_dtypes(INDEXES["multi"])
    df["name"] = "old"
    df.attrs = {"mine": {"nested": [1]}}
    before, attrs = df.copy(deep=True), {"mine": {"nested": [1]}}
    with pf.offline(answers=echo, latency=0):
        out = df.parallel.enrich({"name": str}, if_exists="overwrite")
        out.loc[:, "n"] = 9
        out.attrs["mine"]["nested"].append(2)
    pd.testing.assert_frame_equal(df, before)
    assert df.attrs == attrs
    assert df.columns.tolist() == before.columns.tolist()


def test_multiindex_columns_get_full_labels():
    """New columns of a frame with MultiIndex columns are padded tuples, and inputs are named by their parts."""
    labels = pd.MultiIndex.from_tuples([("company", "name"), ("company", "site"), ("size", "")], names=["a", "b"])
    df = pd.DataFrame([["Acme", "acme.com", 3], ["Globex", "globex.com", 4]], columns=labels)
    with pf.offline(answers=echo, latency=0) as sim:
        out = df.parallel.enrich({"name": str})
        again = out.parallel.enrich({"name": str}, if_exists="overwrite")
        out.parallel.enrich({"size": str}, prefix="x_")
    assert out.columns.tolist() == [*labels, *((name, "") for name in COLUMNS)]
    assert out.columns.names == ["a", "b"]
    assert sim.runs()[0].input == {"company/name": "Acme", "company/site": "acme.com", "size": 3}
    pd.testing.assert_frame_equal(out[list(df.columns)], df)
    pd.testing.assert_frame_equal(again, out)
    assert sim.runs()[-1].input == sim.runs()[1].input


def test_integer_labels_are_columns_like_others():
    """Columns labelled by integers are sent as text and addressed by the integers."""
    df = pd.DataFrame([["Acme", "acme.com"], ["Globex", "globex.com"]])
    with pf.offline(answers=echo, latency=0) as sim:
        out = df.parallel.enrich({"name": str}, inputs=[1])
        df.parallel.enrich({"name": str})
    assert [run.input for run in sim.runs()[1:3]] == [{"1": "globex.com"}, {"0": "Acme", "1": "acme.com"}]
    assert out.columns.tolist() == [0, 1, *COLUMNS]


def test_1_beside_its_text_needs_names():
    """Columns 1 and "1" would be sent under one name, which is an error; a mapping tells them apart."""
    df = pd.DataFrame([["a", "b"]], columns=pd.Index([1, "1"], dtype=object))
    with pf.offline(answers=echo, latency=0) as sim:
        with pytest.raises(InputError, match=r"1 and '1' would both be sent as '1'"):
            df.parallel.enrich({"name": str})
        out = df.parallel.enrich({"name": str}, inputs={"number": 1, "text": "1"})
    assert [run.input for run in sim.runs()] == [{"number": "a", "text": "b"}]
    assert out.columns.tolist() == [1, "1", *COLUMNS]


def test_a_column_named_parallel_is_in_nobodys_way():
    """A frame with a column `parallel` is enriched like any other."""
    df = pd.DataFrame({"parallel": ["Acme"]})
    with pf.offline(answers=echo, latency=0) as sim:
        out = df.parallel.enrich({"name": str})
    assert sim.runs()[0].input == {"parallel": "Acme"}
    assert out["parallel"].tolist() == ["Acme"]


def test_duplicate_labels_are_fine_unless_they_are_meant():
    """Columns of one label stay as they are; naming them as input or overwriting them is an error."""
    df = pd.DataFrame([["Acme", 1, 2], ["Globex", 3, 4]], columns=["company", "x", "x"])
    with pf.offline(answers=echo, latency=0) as sim:
        for options in ({}, {"inputs": ["x"]}, {"inputs": ["company"], "metadata": {"m": "x"}}):
            with pytest.raises(InputError, match="'x'"):
                df.parallel.enrich({"name": str}, **options)
        with pytest.raises(InputError, match=r"'x'.* more than once"):
            df.parallel.enrich({"x": str}, inputs=["company"], if_exists="overwrite")
        assert sim.counts.posts == 0
        out = df.parallel.enrich({"name": str}, inputs=["company"])
    assert out.columns.tolist() == ["company", "x", "x", *COLUMNS]
    assert out.iloc[:, :3].to_numpy().tolist() == df.to_numpy().tolist()


@pytest.mark.parametrize(
    "labels",
    [
        pd.CategoricalIndex(["a", "b"]),
        pd.IntervalIndex.from_breaks([0, 1, 2]),
        pd.period_range("2024", periods=2, freq="Y"),
        pd.date_range("2024", periods=2),
        pd.Index([True, False]),
        pd.Index([1.5, 2.5]),
    ],
    ids=lambda labels: type(labels).__name__,
)
def test_labels_of_any_dtype_take_new_columns(labels):
    """Column labels that pandas keeps typed become plain labels beside the new ones; no answer is lost."""
    df = pd.DataFrame([["Acme", 1], ["Globex", 2]], columns=labels)
    with pf.offline(answers=echo, latency=0):
        out = df.parallel.enrich({"name": str})
    assert out.columns.tolist() == [*labels.tolist(), *COLUMNS]
    assert out["name"].notna().all()


SCHEMA = {
    "type": "object",
    "properties": {
        "text": {"type": "string"},
        "whole": {"type": "integer"},
        "number": {"type": "number"},
        "yes": {"type": "boolean"},
        "kind": {"enum": ["a", "b"]},
        "day": {"type": "string", "format": "date"},
        "moment": {"type": "string", "format": "date-time"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "place": {"type": "object", "properties": {"city": {"type": "string"}, "zip": {"type": ["integer", "null"]}}},
        "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
    },
}
TYPED = {
    "text": "Grüße \u2028 👍",
    "whole": 2**53 + 1,
    "number": 0.1,
    "yes": True,
    "kind": "b",
    "day": "2024-02-29",
    "moment": "2024-02-29T23:59:59.123456+02:00",
    "tags": ["x", "y"],
    "place": {"city": "Köln", "zip": None},
    "note": None,
}
NO_ANSWER = {"Globex": Failure("no luck")}
MOMENT = pd.Timestamp("2024-02-29T21:59:59.123456Z")
TEXT = "str" if int(pd.__version__.split(".")[0]) >= 3 else "string"
NULLABLE = {
    "text": TEXT,
    "whole": "Int64",
    "number": "Float64",
    "yes": "boolean",
    "kind": pd.CategoricalDtype(["a", "b"]),
    "day": "datetime64[us]",
    "moment": "datetime64[us, UTC]",
    "tags": "object",
    "place": "object",
    "note": TEXT,
    "parallel_error": TEXT,
}


@pytest.mark.parametrize("backend", ["numpy_nullable", "pyarrow"])
@pytest.mark.parametrize("rows", [[], [None, None]], ids=["no rows", "nothing to send"])
def test_a_frame_without_anything_to_send_needs_no_key(backend, rows):
    """Without rows, or with empty ones only, the typed columns come back, and neither key nor service is needed."""
    df = pd.DataFrame({"company": pd.Series(rows, dtype="object")})
    out = pf.enrich(df, SCHEMA, dtype_backend=backend)
    with pf.offline(answers=lambda _: TYPED, latency=0) as sim:
        full = pd.DataFrame({"company": ["Acme"]}).parallel.enrich(SCHEMA, dtype_backend=backend)
    assert sim.counts.runs == 1
    assert out.columns.tolist() == full.columns.tolist()
    assert out.dtypes.iloc[1:].to_dict() == full.dtypes.iloc[1:].to_dict()
    assert out["parallel_status"].tolist() == ["skipped"] * len(rows)
    assert out.iloc[:, 1:-2].isna().all(axis=None)
    assert out.attrs["parallel"]["enrichments"][0]["group_ids"] == []


def test_the_default_backend_survives_parquet(tmp_path):
    """Dtypes follow the schema, a failed row is missing in each, and a plain read_parquet gives all of it back."""
    df = pd.DataFrame({"company": ["Acme", "Globex"]})
    with pf.offline(answers={"Acme": TYPED, **NO_ANSWER}, latency=0):
        out = df.parallel.enrich(SCHEMA)
    assert {name: out.dtypes[name] for name in NULLABLE} == NULLABLE
    first, failed = out.iloc[0], out.iloc[1]
    assert {name: first[name] for name in ("text", "whole", "number", "yes", "kind", "tags", "place")} == {
        name: TYPED[name] for name in ("text", "whole", "number", "yes", "kind", "tags", "place")
    }
    assert (first["day"], first["moment"]) == (pd.Timestamp("2024-02-29"), MOMENT)
    assert failed[list(TYPED)].isna().all()
    assert (failed["parallel_status"], failed["parallel_error"]) == ("failed", "no luck")
    assert failed["tags"] is None
    out.to_parquet(tmp_path / "out.parquet")
    back = pd.read_parquet(tmp_path / "out.parquet")
    back["tags"] = [None if cell is None else list(cell) for cell in back["tags"]]
    assert back["place"].tolist() == out["place"].tolist()
    pd.testing.assert_frame_equal(back, out)
    assert back.attrs == out.attrs


def test_the_pyarrow_backend_is_arrow_throughout(tmp_path):
    """With dtype_backend="pyarrow" every new column but the status is Arrow-typed, nested ones too."""
    df = pd.DataFrame({"company": ["Acme", "Globex"]})
    with pf.offline(answers={"Acme": TYPED, **NO_ANSWER}, latency=0):
        out = df.parallel.enrich(SCHEMA, dtype_backend="pyarrow")
    assert {name: str(out.dtypes[name]) for name in TYPED} == {
        "text": "string[pyarrow]",
        "whole": "int64[pyarrow]",
        "number": "double[pyarrow]",
        "yes": "bool[pyarrow]",
        "kind": "string[pyarrow]",
        "day": "date32[day][pyarrow]",
        "moment": "timestamp[us, tz=UTC][pyarrow]",
        "tags": "list<item: string>[pyarrow]",
        "place": "struct<city: string, zip: int64>[pyarrow]",
        "note": "string[pyarrow]",
    }
    first = out.iloc[0]
    assert (first["whole"], first["day"], first["place"]) == (2**53 + 1, dt.date(2024, 2, 29), TYPED["place"])
    assert list(first["tags"]) == ["x", "y"]
    assert out.iloc[1][list(TYPED)].isna().all()
    out.to_parquet(tmp_path / "out.parquet")
    table = pq.read_table(tmp_path / "out.parquet", columns=list(TYPED))
    back = table.to_pandas(types_mapper=pd.ArrowDtype, ignore_metadata=True)
    pd.testing.assert_frame_equal(back, out[list(TYPED)])
    flat = out.drop(columns=["tags", "place"])  # pandas cannot name the dtypes of nested columns in a file
    flat.to_parquet(tmp_path / "flat.parquet")
    plain = pd.read_parquet(tmp_path / "flat.parquet")
    for name in flat:
        assert [None if pd.isna(c) else c for c in plain[name]] == [None if pd.isna(c) else c for c in flat[name]]


def test_texts_in_a_column_of_anything_stay_objects():
    """A column whose schema names no type is of objects, also on the day when every answer is a text."""
    schema = {"type": "object", "properties": {"it": {"description": "anything"}}}
    df = pd.DataFrame({"company": ["Acme", "Globex"]})
    cells = iter(["a text", "another", 3, ["x"], {"a": 1}, "a third"])
    with pf.offline(answers=lambda _: {"it": next(cells)}, latency=0):
        frames = [df.parallel.enrich(schema, checkpoint=None) for _ in range(3)]
    assert [out["it"].dtype == object for out in frames] == [True] * 3
    assert sorted(frames[0]["it"]) == ["a text", "another"]


def test_one_row_is_enough():
    """A frame of one row and one column comes back with its answer."""
    with pf.offline(answers=echo, latency=0) as sim:
        out = pd.DataFrame({"company": ["Acme"]}).parallel.enrich({"name": str}, inputs="company")
    assert out["name"].tolist() == ["Acme"]
    assert (sim.counts.runs, sim.counts.posts) == (1, 1)


def test_thousands_of_rows_travel_in_batches_and_land_in_their_rows():
    """2,500 rows, shuffled labels, random latencies: batches of at most 1,000, and each answer in its own row."""
    df = pd.DataFrame({"company": [f"company {n}" for n in range(2_500)]})
    df = df.sample(frac=1, random_state=1).set_index(pd.Index(np.arange(2_500) % 7))
    with pf.offline(answers=lambda sent: {"name": sent["company"]}, latency=(0, 20), speed=60) as sim:
        out = df.parallel.enrich({"name": str})
    assert out["name"].tolist() == out["company"].tolist() == df["company"].tolist()
    assert out["parallel_status"].eq("completed").all()
    assert (sim.counts.runs, sim.counts.duplicates, sim.counts.rejected) == (2_500, 0, 0)
    assert sim.counts.posts <= 6
    assert len(json.dumps(out.attrs)) < 2_000


class Places(pd.DataFrame):
    """A frame with a type and a property of its own, as GeoPandas has."""

    _metadata = ("crs",)
    crs = None

    @property
    def _constructor(self):
        return Places


def test_a_subclass_keeps_its_type():
    """A subclass of DataFrame comes back as itself, with what it carries."""
    df = Places({"company": ["Acme"]})
    df.crs = "EPSG:4326"
    with pf.offline(answers=echo, latency=0):
        out = df.parallel.enrich({"name": str})
    assert (type(out), out.crs) == (Places, "EPSG:4326")


def test_a_slice_and_a_wide_frame_draw_no_warning():
    """Neither a slice of another frame nor a frame of hundreds of columns makes pandas warn."""
    wide = pd.DataFrame({f"c{n}": ["x", "y"] for n in range(150)})
    for n in range(90):
        wide.insert(0, f"d{n}", 1)
    schema = {f"out{n}": str for n in range(90)}
    with pf.offline(latency=0):
        out = wide[wide["c0"] == "x"].parallel.enrich(schema, inputs=["c0"])
    assert out.shape == (1, 150 + 90 + 90 + 2)


def test_a_frame_that_forbids_duplicate_labels_stays_so():
    """The flag against duplicate labels is kept."""
    df = pd.DataFrame({"company": ["Acme"]}).set_flags(allows_duplicate_labels=False)
    with pf.offline(answers=echo, latency=0):
        assert df.parallel.enrich({"name": str}).flags.allows_duplicate_labels is False


def test_a_reader_of_the_result_finds_every_status():
    """The status column knows all statuses, whichever occurred."""
    with pf.offline(answers=echo, latency=0):
        out = pd.DataFrame({"company": ["Acme"]}).parallel.enrich({"name": str})
    assert out["parallel_status"].cat.categories.tolist() == [
        "completed", "invalid", "failed", "cancelled", "pending", "skipped", "not_sent",
    ]  # fmt: skip

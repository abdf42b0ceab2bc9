"""Frames of other libraries: the same keys, answers and types as of pandas and files, and the same kind comes back."""

from __future__ import annotations

import asyncio
import datetime as dt
import subprocess
import sys
from decimal import Decimal
from typing import Literal

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import parallel_frames as pf
from parallel_frames.errors import EnrichmentError, InputError
from parallel_frames.simulator import Failure

duckdb = pytest.importorskip("duckdb")
nw = pytest.importorskip("narwhals")
v1 = pytest.importorskip("narwhals.stable.v1")
pl = pytest.importorskip("polars")

MOMENT = dt.datetime(2024, 7, 1, 12, 30, 15, 250_000)
SCHEMA = {"founded": int, "tags": list[str], "listed": bool, "size": Literal["a", "b"], "at": dt.datetime, "more": dict}
ANSWER = {
    "founded": 1949, "tags": ["x"], "listed": True, "size": "a", "at": "2024-07-01T00:00:00Z", "more": {"a": 1},
    "ceo": "A. Smith",
}  # fmt: skip


def rows():
    """Return rows of the types that every library here has, nulls and equal rows among them."""
    columns = {
        "company": ["Acme", "Globex", None],
        "large": pa.array(["x", None, "z"], pa.large_string()),
        "kind": pa.array(["a", None, "b"]).dictionary_encode(),
        "n": pa.array([2**60 + 1, None, 3], pa.int64()),
        "small": pa.array([1, None, 3], pa.uint8()),
        "single": pa.array([0.1, None, 123456.79], pa.float32()),
        "share": pa.array([0.5, float("nan"), None], pa.float64()),
        "listed": pa.array([True, None, False]),
        "day": pa.array([dt.date(2024, 2, 29), None, None]),
        "seen": pa.array([MOMENT, None, MOMENT], pa.timestamp("us", "UTC")),
        "local": pa.array([MOMENT, None, MOMENT], pa.timestamp("us")),
        "clock": pa.array([dt.time(1, 2, 3), None, None], pa.time64("us")),
        "price": pa.array([Decimal("1.50"), None, Decimal(2)], pa.decimal128(9, 2)),
        "parts": pa.array([[1, 2], None, []], pa.list_(pa.int32())),
        "where": pa.array([{"city": "Oslo", "at": [1.5]}, None, {"city": None, "at": None}]),
        "nothing": pa.nulls(3),
    }
    table = pa.table({name: column for name, column in columns.items() if name != "listed"})
    return table.take([0, 1, 0, 2])


CONNECTION = duckdb.connect()
KINDS = {
    "pyarrow": lambda table: table,
    "reader": lambda table: table.to_reader(),  # which gives its rows once
    "batch": lambda table: table.combine_chunks().to_batches()[0],
    "polars": pl.from_arrow,
    "duckdb": CONNECTION.from_arrow,
    "narwhals of polars": lambda table: nw.from_native(pl.from_arrow(table), eager_only=True),
    "narwhals of pyarrow": lambda table: v1.from_native(table, eager_only=True),
}


def table_of(frame):
    """Return a frame of any kind as a table."""
    return pa.table(frame.to_arrow() if hasattr(frame, "to_arrow") else frame)


@pytest.fixture
def sim(tmp_path, monkeypatch):
    """Give a simulator that this process goes to, in a directory of the test's own."""
    monkeypatch.chdir(tmp_path)
    with pf.offline(lambda _: ANSWER, latency=0) as sim:
        yield sim


@pytest.mark.parametrize("kind", KINDS)
def test_a_cell_is_the_same_whatever_library_holds_it(sim, kind):
    """Rows that a pandas frame paid for are paid, and their answers are those of a file, with its types, in order."""
    table = rows()
    table.to_pandas(types_mapper=pd.ArrowDtype).parallel.enrich(SCHEMA, checkpoint="one.ckpt")
    pq.write_table(table, "rows.parquet")
    pf.enrich_parquet("rows.parquet", "out.parquet", SCHEMA, checkpoint="one.ckpt", basis="columns", provenance=True)
    given = KINDS[kind](table)
    out = pf.enrich(given, SCHEMA, checkpoint="one.ckpt", basis="columns", provenance=True)
    assert sim.counts.runs == 3
    assert type(out) is (pa.Table if kind in ("reader", "batch") else type(given))
    expected, found = pq.read_table("out.parquet"), table_of(out)
    assert found.column_names == expected.column_names
    new = [name for name in expected.column_names if name not in table.column_names]
    if kind in ("pyarrow", "reader", "batch", "narwhals of pyarrow"):
        assert found.select(new).schema == expected.select(new).schema.remove_metadata()
        assert found.select(table.column_names).schema.equals(table.schema)
    assert found.select(new).to_pylist() == expected.select(new).to_pylist()
    assert found["company"].to_pylist() == ["Acme", "Globex", "Acme", None]


def test_the_frames_own_columns_are_not_touched(sim):
    """Types that only the library has come back; a relation is of the same connection, and leaves nothing in it."""
    df = pl.DataFrame({"company": ["Acme", "Globex"], "grade": ["a", "b"], "secret": [b"x", None]}).with_columns(
        pl.col("grade").cast(pl.Enum(["a", "b"]))
    )
    out = pf.enrich(df, {"founded": int}, inputs=["company", "grade"])
    assert out.schema == df.schema | {"founded": pl.Int64, "parallel_status": pl.String, "parallel_error": pl.String}
    assert out.select(df.columns).equals(df)
    connection = duckdb.connect()
    connection.sql(
        "CREATE TABLE companies AS SELECT * FROM (VALUES ('Acme', 1::SMALLINT), ('Globex', 2)) AS t(name, n)"
    )
    relation = pf.enrich(connection.table("companies"), {"founded": int}, inputs="name", status=False)
    joined = connection.sql("SELECT c.n, r.founded FROM companies c JOIN relation r USING (name) ORDER BY c.n")
    assert joined.fetchall() == [(1, 1949), (2, 1949)]
    assert connection.sql("SELECT table_name FROM information_schema.tables").fetchall() == [("companies",)]
    assert relation.dtypes == ["VARCHAR", "SMALLINT", "BIGINT"]
    connection.execute("SET python_enable_replacements = false")
    table = pf.enrich(connection.table("companies"), {"founded": int}, inputs="name", status=False)
    assert table.to_pylist()[1] == {"name": "Globex", "n": 2, "founded": 1949}


def test_narwhals_over_pandas_is_as_pandas(sim):
    """What a frame of narwhals stands for is enriched, with the options of its own library."""
    df = pd.DataFrame({"company": ["Acme", "Globex"]}, index=["x", "y"])
    out = pf.enrich(nw.from_native(df, eager_only=True), {"founded": int}, dtype_backend="pyarrow")
    pd.testing.assert_frame_equal(out.to_native(), df.parallel.enrich({"founded": int}, dtype_backend="pyarrow"))
    assert sim.counts.runs == 2


def test_every_function_takes_them(sim):
    """Plans, previews, handles, groups, and coroutines: what is a frame is one of the same library."""
    df = pl.DataFrame({"company": ["Acme", "Globex", "Acme"]})
    plan = pf.plan(df.to_arrow().to_reader(), {"founded": int})
    assert (plan.rows, plan.runs, plan.to_send, plan.sends) == (3, 2, 2, ("company",))
    some = pf.preview(df, {"founded": int}, n=1)
    assert some.frame.loc["founded"].tolist() == [1949]
    run = pf.submit(df, {"founded": int})
    assert run.status() == {"completed": 3}
    assert run.result().equals(run.partial())
    assert run.result()["founded"].to_list() == [1949] * 3
    assert pf.last().resume().equals(run.result())
    assert asyncio.run(pf.aenrich(df, {"founded": int})).equals(run.result())
    collected = pf.collect(df.to_arrow(), run.group_ids, {"founded": int})
    assert collected["founded"].to_pylist() == [1949] * 3
    assert sim.counts.runs == 2


def test_processors_are_compared_on_them(sim):
    """Known values may be of any library, too, in the order of the rows."""
    df = pl.DataFrame({"company": ["Acme", "Globex", "Acme"], "known": ["1949", None, "1999"]})
    options = {"processors": ["lite", "base"], "inputs": ["company"]}
    for truth in (df.select(founded="known"), df.to_arrow().select(["known"]).rename_columns(["founded"])):
        comparison = pf.compare(df, {"founded": int}, truth=truth, **options)
        assert comparison.frame[["known", "right"]].to_numpy().tolist() == [[2, 1], [2, 1]]
    assert pf.compare(df.to_arrow(), {"founded": int}, truth={"founded": "known"}, **options).frame["right"].sum() == 2
    assert sim.counts.runs == 4


def test_rows_that_failed_are_rows_of_the_frame(sim):
    """`errors()` has only them, and the error that they raise has the frame."""
    df = pl.DataFrame({"company": ["good", "bad", "good"], "n": [1, 2, 3]})
    with pf.offline(lambda sent: Failure("no") if sent["company"] == "bad" else {"founded": 1}, latency=0):
        out = pf.enrich(df, {"founded": int}, inputs=["company"], status=False)
        assert out["founded"].to_list() == [1, None, 1]
        bad = pf.last().errors()
        with pytest.raises(EnrichmentError) as caught:
            pf.enrich(df, {"founded": int}, inputs=["company"], on_error="raise")
    assert bad.select("company", "n", "parallel_error").rows() == [("bad", 2, "no")]
    assert caught.value.frame["parallel_status"].to_list() == ["completed", "failed", "completed"]


def test_rows_are_chosen_by_what_the_user_has(sim):
    """A mask of the library, a function of its frame, words, and our own function of a frame."""
    df = pl.DataFrame(
        {"company": ["Acme", "Globex", "Hooli"], "founded": [None, 1, None]}, schema_overrides={"founded": pl.Int32}
    )
    options = {"inputs": ["company"], "if_exists": "fill"}
    for given, where in (
        (df, df["founded"].is_null()),
        (df, lambda frame: frame["founded"].is_null()),
        (df, "missing"),
        (df.to_arrow(), lambda table: pc.is_null(table["founded"])),
        (df.to_arrow().to_reader(), lambda table: pc.is_null(table["founded"])),
        (nw.from_native(df, eager_only=True), lambda frame: frame["founded"].is_null()),
    ):
        out = table_of(pf.enrich(given, {"founded": int}, where=where, **options))
        assert out["founded"].type == pa.int64()
        assert out["founded"].to_pylist() == [1949, 1, 1949]
        assert out["parallel_status"].to_pylist() == ["completed", "not_sent", "completed"]
    assert sim.counts.runs == 2
    unsure = pf.enrich(df, {"ceo": str}, basis="columns", inputs=["company"])
    with pytest.raises(InputError, match=r"and was given a polars\.DataFrame: pass `df\.to_pandas\(\)`"):
        pf.citations(unsure)
    assert len(pf.citations(unsure.to_pandas())) > 0
    again = pf.plan(
        unsure, {"ceo": str}, where=pf.low_confidence, if_exists="overwrite", basis="columns", inputs=["company"]
    )
    assert again.chosen == pf.low_confidence(unsure.to_pandas()).sum()


def test_a_table_tells_what_made_its_columns(sim):
    """The index of pandas in a table is not sent; a second question does not send the first one's answers."""
    table = pa.Table.from_pandas(pd.DataFrame({"company": ["Acme"]}, index=pd.Index(["x"], name="id")))
    once = pf.enrich(table, {"founded": int}, status=False)
    twice = pf.enrich(once, {"ceo": str}, status=False)
    assert twice.column_names == ["company", "id", "founded", "ceo"]
    assert [run.input for run in sim.runs()] == [{"company": "Acme"}] * 2
    assert twice.to_pandas().index.tolist() == ["x"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"dtype_backend": "pyarrow"}, "`dtype_backend` is for pandas"),
        ({"if_exists": "overwrite"}, "The frame has 'founded' as large_string, and the answers to it are int64"),
        ({"inputs": ["secret"], "prefix": "x_"}, "Arrow type large_binary cannot travel as JSON"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_sent(sim, options, says):
    """Options of pandas alone, a column that cannot hold the answers, and cells that cannot travel."""
    df = pl.DataFrame({"company": ["Acme"], "founded": ["long ago"], "secret": [b"x"]})
    for function in (pf.enrich, pf.plan, pf.submit):
        with pytest.raises(InputError, match=says):
            function(df, {"founded": int}, **{"inputs": ["company"], **options})
    with pytest.raises(InputError, match=r"is a polars\.LazyFrame: pass `df\.collect\(\)`"):
        pf.preview(df.lazy(), {"founded": int})
    with pytest.raises(InputError, match="two columns 'a'"):
        pf.enrich(CONNECTION.sql("SELECT 1 AS a, 2 AS a"), {"founded": int})
    with pytest.raises(InputError, match=r"is a polars\.DataFrame that Arrow cannot read .*Nothing was sent"):
        pf.enrich(pl.DataFrame({"n": pl.Series([2**100], dtype=pl.Int128)}), {"founded": int})
    assert sim.counts.requests == 0


def test_defaults_of_pandas_are_no_options_of_others(sim):
    """A default for dtypes is for frames of pandas."""
    df = pl.DataFrame({"company": ["Acme"]})
    pf.options.dtype_backend = "pyarrow"
    try:
        assert pf.enrich(df, {"founded": int})["founded"].to_list() == [1949]
        assert pf.preview(df, {"founded": int}).plan.to_send == 0
    finally:
        pf.options.reset()


def test_polars_has_a_namespace_once_it_is_asked_for():
    """`import parallel_frames` imports no other library; `parallel_frames.polars` registers `df.parallel`."""
    code = (
        "import sys, pandas as pd, parallel_frames as pf\n"
        "pd.DataFrame({'a': [1]}).parallel.plan({'b': int}, checkpoint=None)\n"
        "print([name for name in ('polars', 'duckdb', 'narwhals', 'dask') if name in sys.modules])\n"
        "import polars as pl\n"
        "print(hasattr(pl.DataFrame, 'parallel'))\n"
        "import parallel_frames.polars\n"
        "df = pl.DataFrame({'company': ['Acme', 'Globex']})\n"
        "print(df.parallel, df.parallel.enrich.__doc__ == pf.enrich.__doc__)\n"
        "with pf.offline({'Acme': {'founded': 1949}, 'Globex': {'founded': 1989}}, latency=0):\n"
        "    out = df.parallel.enrich({'founded': int}, progress=False)\n"
        "    run = df.parallel.submit({'founded': int}, progress=False)\n"
        "    print(out['founded'].to_list(), run.result().equals(out))\n"
        "    print(df.parallel.plan({'founded': int}).to_send)\n"
        "    print(df.parallel.collect(run.group_ids, {'founded': int}).equals(out))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "[]",
        "False",
        "df.parallel: .enrich(), .aenrich(), .plan(), .preview(), .compare(), .submit(), .collect() True",
        "[1949, 1989] True",
        "0",
        "True",
    ]

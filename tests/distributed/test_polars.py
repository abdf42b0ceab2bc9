"""Lazy frames of polars: rows, order and types as of a frame in memory, and each input paid once."""

from __future__ import annotations

import asyncio
import datetime as dt
from pathlib import Path
from typing import Any, Literal

import polars as pl
import polars.testing
import pytest

import parallel_frames as pf
import parallel_frames.polars
from parallel_frames.errors import EnrichmentError, InputError
from parallel_frames.simulator import Failure

from .conftest import assert_paid_once, names_of

SCHEMA = {"name": str, "length": (int, "how long it is")}
ENGINES = ("in-memory", "streaming")


def answer(sent):
    """Answer with what identifies the row."""
    company = sent["company"] if isinstance(sent, dict) else sent
    return Failure("no such company") if "bad" in company else {"name": company.upper(), "length": len(company)}


@pytest.fixture
def sim():
    """Serve at once."""
    with pf.offline(answer, latency=0, max_per_minute=None) as simulator:
        yield simulator


def rows(*numbers):
    """Return rows, one per number."""
    names = names_of(numbers)
    return pl.DataFrame({"company": names, "size": numbers}, schema={"company": pl.String, "size": pl.Int32})


def enrich(lf, schema=SCHEMA, **options):
    """Enrich, asking nothing twice on purpose."""
    return lf.parallel.enrich(schema, **{"inputs": ["company"], "progress": False, "retry_failed": False, **options})


def test_runs_name_their_rows(sim):
    """The `index` of a run's metadata is the number of a row that has its input, whatever batches there are."""
    df = rows(*range(40))
    enrich(df.lazy())
    named = {int(run.metadata["index"]): run.input for run in sim.runs()}
    assert named == {number: {"company": name} for number, name in enumerate(df["company"]) if name}


def test_the_result_is_that_of_a_frame_in_memory():
    """Rows, order, own types and new types are the same, and so are the keys; the schema is known before it is read."""
    df = pl.DataFrame(
        {
            "text": ["a", None, "c", "a", "é"],
            "grade": pl.Series(["x", "y", "x", "x", None], dtype=pl.Enum(["x", "y"])),
            "small": pl.Series([1, None, 3, 1, 5], dtype=pl.UInt8),
            "share": [0.5, float("nan"), 1e300, 0.5, -0.0],
            "time": [dt.datetime(2024, 1, 1), None, dt.datetime(2024, 1, 3), dt.datetime(2024, 1, 1), None],
            "parts": [[1], None, [2, 3], [1], []],
            "where": [{"city": "Oslo"}, None, {"city": None}, {"city": "Oslo"}, None],
        }
    )
    schema = {
        "name": str, "tags": list[str], "listed": bool, "kind": Literal["a", "b"], "at": dt.datetime, "day": dt.date,
        "more": dict, "any": Any,
    }  # fmt: skip
    options = {"basis": "columns", "provenance": True, "progress": False}
    with pf.offline(latency=0) as sim:
        expected = df.parallel.enrich(schema, **options).drop("parallel_cost")  # an engine knows no first row
        out = df.lazy().parallel.enrich(schema, **options)
        assert_paid_once(sim, 4)
        assert out.collect_schema() == expected.schema
        for engine in ENGINES:
            polars.testing.assert_frame_equal(out.collect(engine=engine), expected)
        assert_paid_once(sim, 4)


def test_nothing_is_sent_but_by_the_call(sim, tmp_path):
    """A plan, a query and each evaluation of it send nothing; order is kept, also of more rows than a batch has."""
    df = rows(*range(60), *range(30)).select(pl.all().repeat_by(1_000).explode()).with_row_index("n")
    df.write_parquet(tmp_path / "rows.parquet", row_group_size=10_000)
    lf = pl.scan_parquet(tmp_path / "rows.parquet")
    plan = lf.parallel.plan(SCHEMA, inputs=["company"])
    assert (plan.rows, plan.runs, plan.skipped) == (90_000, 57, 4_000)
    assert sim.counts.requests == 0
    out = enrich(lf)
    assert_paid_once(sim, 57)
    requests = sim.counts.requests
    assert "PYTHON" in out.explain()
    for engine in ENGINES:
        found = out.collect(engine=engine)
        assert found["n"].equals(df["n"])
        assert found["company"].str.to_uppercase().equals(found["name"].fill_null(found["company"].str.to_uppercase()))
        assert dict(found["parallel_status"].value_counts().rows()) == {
            "completed": 80_000, "failed": 6_000, "skipped": 4_000,
        }  # fmt: skip
        assert out.select(pl.len()).collect(engine=engine).item() == 90_000
        assert out.filter(pl.col("length") > 10).select("n").head(1).collect(engine=engine).item() == 10_000
        assert out.sort("n", descending=True).select("name").head(1).collect(engine=engine).item() == " COMPANY 29"
    out.sink_parquet(tmp_path / "out.parquet")
    assert pl.read_parquet(tmp_path / "out.parquet").equals(found)
    assert sim.counts.requests == requests, "what is answered is not even looked at"


def test_every_function_takes_a_lazy_frame(sim):
    """Those of the package, the namespace and coroutines; the handle's results are lazy frames."""
    lf = rows(0, 1, 12, 0, 16).lazy()
    options = {"inputs": ["company"], "progress": False, "retry_failed": False}
    out = pf.enrich(lf, SCHEMA, **options)
    expected = out.collect()
    assert expected["parallel_status"].to_list() == ["completed", "completed", "failed", "completed", "skipped"]
    run = lf.parallel.submit(SCHEMA, **options)
    assert run.status() == {"completed": 3, "failed": 1, "skipped": 1}
    for again in (run.result(), run.partial(), pf.submit(lf, SCHEMA, **options).result()):
        assert isinstance(again, pl.LazyFrame)
        assert again.collect().equals(expected)
    assert asyncio.run(lf.parallel.aenrich(SCHEMA, **options)).collect().equals(expected)
    with pytest.raises(EnrichmentError, match="1 failed of 5 rows") as raised:
        pf.enrich(lf, SCHEMA, on_error="raise", **options)
    assert raised.value.frame.collect().equals(expected)
    assert_paid_once(sim, 3)
    for call in (lambda: pf.preview(lf, SCHEMA), lambda: pf.collect(lf, run.group_ids, SCHEMA)):
        with pytest.raises(InputError, match=r"is a polars.LazyFrame: pass `df\.collect\(\)`"):
            call()


def test_a_frame_without_rows(sim):
    """It has the new columns, and nothing was sent; the default checkpoint needs no name, as polars is here."""
    out = enrich(rows().lazy())
    assert out.collect().schema == {**rows().schema, "name": pl.String, "length": pl.Int64} | {
        "parallel_status": pl.String, "parallel_error": pl.String,
    }  # fmt: skip
    assert sim.counts.runs == 0


def test_a_query_that_changes_gives_no_wrong_answer(sim):
    """Rows that were not there when the call was made are `not_sent`, and say so; the others keep their answers."""
    given = [rows(0, 1, 2)]
    out = enrich(pl.LazyFrame({"part": [0]}).map_batches(lambda _: given[0], schema=rows().schema))
    given[0] = rows(2, 52, 0)
    found = out.collect()
    assert found["name"].to_list() == [" COMPANY 2", None, " COMPANY 0"]
    assert found["parallel_error"].to_list()[1] == "this row was not in the frame when the call was made"
    assert_paid_once(sim, 3)


def test_existing_columns_and_chosen_rows(sim):
    """`if_exists` and `where` mean what they mean elsewhere; a function is given a batch as pandas sees it."""
    lf = rows(0, 1, 2, 3).with_columns(name=pl.Series(["kept", None, None, "kept"])).lazy()
    out = enrich(lf, {"name": str}, where="missing").collect()
    assert out["name"].to_list() == ["kept", " COMPANY 1", " COMPANY 2", "kept"]
    assert out.columns == ["company", "size", "name", "parallel_status", "parallel_error"]
    assert_paid_once(sim, 2)
    out = enrich(lf, {"name": str}, where=lambda batch: batch["size"] > 2, if_exists="suffix").collect()
    assert out["name_2"].to_list() == [None, None, None, " COMPANY 3"]
    assert_paid_once(sim, 3)
    with pytest.raises(InputError, match="a mask is for pandas frames"):
        enrich(lf, where=[True] * 4)


def test_a_cell_that_cannot_travel_is_named(sim):
    """Its column, and its row in the whole frame, however polars divides that; nothing was sent."""
    shares = pl.LazyFrame({"company": pl.select(pl.repeat(0.5, 250_001)).to_series()}).with_row_index("n")
    lf = shares.with_columns(company=pl.when(pl.col("n") < 250_000).then("company").otherwise(float("inf")))
    with pytest.raises(InputError, match=r"The batch from row \d+ on: Column 'company', row \d+ \(index 250000,"):
        enrich(lf)
    assert sim.counts.requests == 0


def test_types_are_learned_from_the_first_rows(sim, caplog):
    """`input_schema="infer"` reads some rows, and the line before the first run says who made the keys."""
    lf = rows(*range(20)).lazy()
    assert lf.parallel.plan(SCHEMA, input_schema="infer", inputs=["size"]).runs == 20
    with caplog.at_level("INFO", "parallel_frames"):
        enrich(lf, input_schema="infer", progress=True)
    assert "20 rows → 19 runs" in caplog.text
    assert "keys by polars" in caplog.text
    assert sim.counts.runs == 19
    assert Path(pf.last().checkpoint).is_dir()
    assert repr(lf.parallel).startswith("lf.parallel: .enrich()")

"""Uses of the public functions that type checkers must accept, one of each kind; it is checked, never run."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict, assert_type

import pandas as pd
import polars as pl

import parallel_frames as pf
from parallel_frames.errors import EnrichmentError, ParallelFramesError, ServiceError
from parallel_frames.polars import PolarsLazyNamespace, PolarsNamespace

if TYPE_CHECKING:
    from collections.abc import Mapping

    from parallel_frames.simulator import Simulator

df = pd.DataFrame({"company": ["Acme"]})


class Answers(TypedDict):
    """Another schema."""

    founded: int


options: dict[str, Any] = {"source_policy": {"include_domains": ["example.com"]}}


class Company:
    """A schema, as far as type checkers are concerned."""

    founded: int


def call_with_everything(client: pf.Client) -> pd.DataFrame:
    """Every option, with every kind of value."""
    out = pf.enrich(
        df,
        Company,
        processor="core",
        inputs=["company"],
        input_schema={"company": str},
        checkpoint=Path("companies.ckpt"),
        on_mismatch="new",
        refresh=False,
        retry_failed=True,
        dedupe=True,
        status="boss",
        where="failed",
        limit=5,
        basis="columns",
        max_cost=1.5,
        confirm=False,
        on_row=hear,
        prefix="x_",
        if_exists="overwrite",
        dtype_backend="pyarrow",
        on_error="raise",
        timeout="10m",
        group_id=None,
        metadata={"id": "company"},
        options=options,
        progress=None,
        client=client,
    )
    assert_type(out, pd.DataFrame)
    return out


def check_the_service(client: pf.Client) -> None:
    """Check a service, and read the table."""
    diagnosis = pf.doctor(client, confirm=False)
    assert_type(diagnosis, pf.Diagnosis)
    assert_type(diagnosis.frame, pd.DataFrame)
    assert_type([check.observed for check in diagnosis.breaks], list[str])


def hear(row: pf.Row) -> None:
    """Rows say what they are."""
    assert_type(row.position, int)
    assert_type(row.status, str)
    assert_type(row.error, str | None)


def choose_rows() -> None:
    """Masks of every kind, and the mask of low confidence."""
    pf.enrich(df, "x", where=df["company"] == "Acme")
    pf.enrich(df, "x", where=df["company"].isna().to_numpy())
    pf.enrich(df, "x", where=[True])
    pf.enrich(df, "x", where=lambda frame: frame["company"].notna())
    out = pf.enrich(df, "x", where=pf.low_confidence, if_exists="overwrite")
    assert_type(pf.citations(out), pd.DataFrame)
    assert_type(pf.confidence(out, elements=True), pd.DataFrame)
    assert_type(pf.explode(out, "products", schema={"products": list[str]}, prefix="p_"), pd.DataFrame)
    assert_type(pf.warnings(out), pd.DataFrame)
    changes = pf.diff(out, "old.parquet", on=["company"])
    assert_type(changes, pf.Diff)
    assert_type(changes.rows, dict[str, int])
    assert_type(changes.to_html("diff.html", title="News"), Path)
    assert_type(pf.diff(pf.Checkpoint("c")).frame, pd.DataFrame)


def look_ahead_and_back() -> None:
    """Plans, handles and reports."""
    plan = pf.plan(df, "x", processor="pro", max_cost=1)
    assert_type(plan, pf.EnrichmentPlan)
    assert_type(plan.cost, float | None)
    run = pf.submit(df, "x")
    assert_type(run, pf.Enrichment)
    for row in run:
        assert_type(row, pf.Row)
    assert_type(run.result(), pd.DataFrame)
    assert_type(run.status(), dict[str, int])
    report = run.report()
    assert_type(report, pf.Report)
    assert_type(report.to_html("report.html", title="Companies"), Path)
    assert_type(pf.report(df), pf.Report)
    for finding in pf.lint("x", processor="lite"):
        assert_type(finding.message, str)
    assert_type(pf.ParallelAccessor(df).enrich("x", basis="struct"), pd.DataFrame)
    assert_type(pf.collect(df, ["tgrp_1", "tgrp_2"], "x", where="missing"), pd.DataFrame)


def files(client: pf.Client) -> str | None:
    """From file to file, with the options of a frame and its own."""
    plan = pf.plan_parquet("rows.csv", Company, target=Path("out"), older_than="30d", processor="core")
    assert_type(plan, pf.EnrichmentPlan)
    done = pf.enrich_parquet(
        Path("rows"),
        "out.parquet",
        Company,
        overwrite=True,
        provenance=True,
        older_than=dt.timedelta(days=30),
        rows_per_file=1_000,
        wait=True,
        where="missing",
        if_exists="fill",
        checkpoint="rows.ckpt",
        max_cost=5,
        client=client,
    )
    assert_type(done, pf.EnrichedParquet)
    assert_type(done.rows, int)
    assert_type(done.cost, float | None)
    pf.enrich_parquet("rows.csv", None, Company, wait=False, checkpoint="rows.ckpt")
    return done.target


def schemas() -> list[pd.DataFrame]:
    """Every form of a schema."""
    return [
        pf.enrich(df, {"founded": int}),
        pf.enrich(df, {"founded": "the year"}),
        pf.enrich(df, {"founded": (int, "the year"), "ceo": str | None}),
        pf.enrich(df, ["CEO name"]),
        pf.enrich(df, "a profile"),
        pf.enrich(df, "auto"),
        pf.enrich(df, {"type": "object", "properties": {"founded": {"type": "integer"}}}),
        pf.enrich(df, Company),
        pf.enrich(df, Answers),
    ]


def inputs() -> list[pd.DataFrame]:
    """Every way to say what a row sends."""
    return [
        pf.enrich(df, "x", inputs="company"),
        pf.enrich(df, "x", inputs="Research {company}"),
        pf.enrich(df, "x", inputs=["company", 1, ("a", "b")]),
        pf.enrich(df, "x", inputs={"name": "company", "number": 1}),
        pf.enrich(df, "x", inputs=None, checkpoint=None, timeout=3.5, group_id=["tgrp_1", "tgrp_2"]),
    ]


def few_rows_and_columns() -> pd.DataFrame:
    """Previews, single columns, defaults, and what True and False stand for."""
    some = pf.preview(df, "x", n=2, processor="core-fast")
    assert_type(some, pf.EnrichmentPreview)
    assert_type(some.frame, pd.DataFrame)
    assert_type(some.cost, float | None)
    assert_type(pf.ParallelAccessor(df).preview("x"), pf.EnrichmentPreview)
    found = pf.compare(df, "x", processors=["lite", "pro"], truth={"founded": "year"}, tolerance=0.1, limit=None)
    assert_type(found, pf.Comparison)
    assert_type(found.differences, pd.DataFrame)
    assert_type(pf.ParallelAccessor(df).compare("x", truth=df).frame, pd.DataFrame)
    pf.options.processor = "core"
    pf.options.reset()
    pf.enrich(df, "x", basis=True, checkpoint=False, confirm=None, processor="one-of-tomorrow")
    column = pf.ParallelSeriesAccessor(df["company"])
    assert_type(column.plan("x"), pf.EnrichmentPlan)
    out = column.enrich("x", status=False)
    assert_type(out, pd.DataFrame)
    return out


async def awaited() -> pd.DataFrame:
    """Await the coroutine."""
    out = await pf.aenrich(df, {"founded": int}, dtype_backend="numpy_nullable")
    assert_type(out, pd.DataFrame)
    return out


def other_libraries(frame: pl.DataFrame) -> pl.DataFrame:
    """Frames of another library give frames of it."""
    assert_type(pf.plan(frame, "x", where=frame["n"].is_null()), pf.EnrichmentPlan)
    assert_type(PolarsNamespace(frame).enrich("x"), pl.DataFrame)
    assert_type(pf.collect(frame, "tgrp_1", "x"), pl.DataFrame)
    assert_type(pf.enrich(frame.lazy(), "x"), pl.LazyFrame)
    assert_type(PolarsLazyNamespace(frame.lazy()).enrich("x"), pl.LazyFrame)
    out = pf.enrich(frame, {"founded": int}, where=lambda rows: rows["n"].is_null())
    assert_type(out, pl.DataFrame)
    return out


def through_a_pipe() -> pd.DataFrame:
    """Show that the functions fit into pandas' own pipe."""
    return df.pipe(pf.enrich, {"founded": int})


def collected(client: pf.Client) -> pd.DataFrame:
    """Collect with the options of columns."""
    return pf.collect(df, "tgrp_1", {"founded": int}, processor="core", prefix="x_", client=client)


def offline() -> Simulator:
    """Look at the simulator that the offline block gives."""
    with pf.offline(answers=lambda sent: {"founded": len(sent["company"])}, latency=0.1) as sim:
        pf.enrich(df, {"founded": int})
    assert_type(sim.counts.runs, int)
    return sim


def handle() -> Mapping[str, int]:
    """Ask the handle of the last enrichment."""
    run = pf.last()
    if run is None:
        return {}
    assert_type(run, pf.Enrichment)
    assert_type(run.status(), dict[str, int])
    assert_type(run.partial(), pd.DataFrame)
    assert_type(run.errors(), pd.DataFrame)
    assert_type(run.resume(), pd.DataFrame)
    assert_type(run.cost, float | None)
    assert_type(pf.enrich(df, "x", escalate=["core", "pro"]), pd.DataFrame)
    assert_type(run.group_ids, tuple[str, ...])
    return run.status()


def failures() -> str:
    """Errors carry their facts, typed."""
    try:
        pf.enrich(df, "x", on_error="raise")
    except EnrichmentError as error:
        assert_type(error.frame, pd.DataFrame)
    except ServiceError as error:
        assert_type(error.status, int | None)
    except ParallelFramesError as error:
        return str(error.safety.answered if error.safety else "")
    return ""


api: Literal["auto", "published", "published-v1beta", "seed"] = "auto"
settings = pf.Client(api_key="k", base_url="https://example.com", api=api, max_per_minute=None, settle_time=1.0)

"""Frames of Dask on a cluster of two processes: pandas' own columns, and each input paid once whatever is computed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Literal

import dask
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pyarrow.dataset
import pytest
from distributed import Client, LocalCluster
from pandas.testing import assert_frame_equal

import parallel_frames as pf
import parallel_frames.dask
from parallel_frames.errors import InputError
from parallel_frames.simulator import Simulator

from .conftest import SCHEMA, answer, assert_paid_once, names_of

DRIVER = """
import sys
import dask.dataframe as dd
import parallel_frames as pf

source, checkpoint, url = sys.argv[1:]
client = pf.Client(api_key="key", base_url=url, max_per_minute=None, clock_speed=200)
ddf = dd.read_parquet(source, split_row_groups=True)
pf.enrich(ddf, {"name": str}, inputs=["company"], checkpoint=checkpoint, client=client, max_in_flight=40)
"""


def rows(*numbers):
    """Return rows, one per number."""
    names = names_of(numbers)
    return pd.DataFrame({"company": names, "size": list(numbers)})


@pytest.fixture(scope="module")
def cluster():
    """Start two processes."""
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0") as made:
        yield made


@pytest.fixture(scope="module", autouse=True)
def workers(cluster):
    """Have everything of this module computed by two other processes."""
    with Client(cluster) as client:
        yield client


def enrich(ddf, schema=SCHEMA, **options):
    """Enrich, asking nothing twice on purpose."""
    return ddf.parallel.enrich(schema, **{"inputs": ["company"], "progress": False, "retry_failed": False, **options})


def statuses(out):
    """Return how many rows of a lazy frame have which status."""
    return {status: rows for status, rows in out["parallel_status"].value_counts().compute().items() if rows}


FRAME = pd.DataFrame(
    {
        "text": ["a", None, "c", "a", "é", ""] * 5,
        "integer": [1, 2**60 + 1, 3, 1, 5, 6] * 5,
        "nullable": pd.array([1, None, 3, 1, 5, 6] * 5, dtype="Int64"),
        "float": [0.5, np.nan, 1e300, 0.5, 2.0, -0.0] * 5,
        "boolean": pd.array([True, None, False, True, True, False] * 5, dtype="boolean"),
        "time": pd.to_datetime(["2024-01-01", None, "2024-01-03", "2024-01-01", "2024-02-01", "2024-03-01"] * 5),
        "zoned": pd.to_datetime(["2024-01-01", None, "2024-01-03"] * 10).tz_localize("Europe/Berlin"),
        "category": pd.Categorical(["x", None, "y", "x", "y", "x"] * 5),
        "span": pd.to_timedelta([90, None, 3] * 10, unit="s"),
    },
    index=pd.Index([1, 1, 2, 2, 3, 3] * 5, name="label").sort_values(),
)


@pytest.mark.parametrize("options", [{}, {"dtype_backend": "pyarrow"}])
def test_the_result_is_that_of_pandas(options):
    """Columns, dtypes, order, index, attrs and divisions: as pandas has them; duplicates and empty partitions too."""
    ddf = dd.concat([dd.from_pandas(FRAME, npartitions=3), dd.from_pandas(FRAME.iloc[:0], npartitions=1)])
    ddf._meta.attrs["mine"] = 1
    schema = {**SCHEMA, "share": float, "listed": bool, "kind": Literal["public", "private"], "any": Any}
    options = {"basis": True, "provenance": True, "progress": False, **options}
    with pf.offline(latency=0, max_per_minute=None) as sim:
        out = ddf.parallel.enrich(schema, **options)
        assert_paid_once(sim, 5)
        expected = ddf.compute().parallel.enrich(schema, **options).drop(columns="parallel_cost")  # it has no first row
        found = out.compute()
        assert_frame_equal(found, expected)
        assert_frame_equal(out._meta, expected.iloc[:0])
        assert out.npartitions == ddf.npartitions
        assert out.divisions == ddf.divisions
        assert found.attrs["mine"] == 1
        assert found.attrs["parallel"]["made"] == expected.attrs["parallel"]["made"]
        some = out[out["integer"] > 3][["kind", "any"]]
        assert_frame_equal(some.compute(), expected[expected["integer"] > 3][["kind", "any"]])
        again = out.parallel.enrich(schema, **options)  # by its attrs it is the same question: no answer is sent
        assert again.columns.tolist() == out.columns.tolist()
        assert_paid_once(sim, 5)


def test_nothing_is_sent_but_by_the_call(sim, tmp_path):
    """A plan, a graph and every computation of the result send nothing; the same call has the same graph."""
    ddf = dd.from_pandas(rows(*range(60), *range(30)), npartitions=5)
    plan = ddf.parallel.plan(SCHEMA, inputs=["company"])
    assert (plan.rows, plan.runs, plan.skipped) == (90, 57, 4)
    assert sim.counts.requests == 0
    out = enrich(ddf)
    assert_paid_once(sim, 57)
    requests = sim.counts.requests
    assert "name" in repr(out)
    assert_frame_equal(out.compute(), out.compute())
    assert len(out) == 90
    counts = {"completed": 80, "failed": 6, "skipped": 4}
    assert statuses(out) == counts
    assert out.persist()["length"].sum().compute() == out["length"].sum().compute()
    enrich(ddf, dtype_backend="pyarrow").to_parquet(tmp_path / "out")
    assert pyarrow.dataset.dataset(tmp_path / "out", format="parquet").count_rows() == 90
    assert sim.counts.requests == requests, "what is answered is not even looked at"
    assert enrich(ddf)._name == out._name
    assert_paid_once(sim, 57)
    assert pf.enrich(ddf, SCHEMA, inputs=["company"], progress=False, retry_failed=False)._name == out._name


def test_divided_in_another_way_it_pays_for_new_inputs_only(sim):
    """Repartitioned, shuffled, with more rows: equal inputs have equal keys wherever they are."""
    ddf = dd.from_pandas(rows(*range(40), *range(40)), npartitions=8)
    enrich(ddf)
    distinct = sim.counts.runs
    for other in (ddf.repartition(npartitions=3), ddf.shuffle("size", npartitions=2)):
        out = enrich(other).compute()
        assert out["parallel_status"].isin(["completed", "failed", "skipped"]).all()
    assert_paid_once(sim, distinct)
    grown = enrich(dd.concat([ddf, dd.from_pandas(rows(100, 102, 100), npartitions=2)])).compute()
    assert grown["name"].tolist()[-3:] == [" COMPANY 100", " COMPANY 102", " COMPANY 100"]
    assert_paid_once(sim, distinct + 2)


def test_a_worker_that_is_killed_costs_nothing(sim, tmp_path):
    """SIGKILL while keys are made, and while the result is evaluated: tasks run again, and nothing is paid again."""
    killer = os.getpid()

    def where(df):
        for moment in ("keys", "evaluation"):
            if (tmp_path / moment).exists() and os.getpid() != killer:
                (tmp_path / moment).unlink(missing_ok=True)
                os.kill(os.getpid(), signal.SIGKILL)
        return df["size"] >= 0

    ddf = dd.from_pandas(rows(*range(30)), npartitions=4)
    (tmp_path / "keys").touch()
    out = enrich(ddf, where=where)
    (tmp_path / "evaluation").touch()
    found = out.compute()
    assert list(tmp_path.iterdir()) == []
    assert found["name"].tolist()[:2] == [" COMPANY 0", " COMPANY 1"]
    assert_paid_once(sim, 29)


def test_a_driver_that_is_killed_pays_nothing_twice(forks, tmp_path):
    """SIGKILL while runs are under way, and the same call from another process: each input is paid once."""
    source = tmp_path / "rows.parquet"
    rows(*range(120), *range(60)).to_parquet(source, row_group_size=30)
    with Simulator(answer, latency=(20, 50), max_per_minute=None, speed=200) as sim:
        arguments = [str(source), str(tmp_path / "x.ckpt"), sim.url]
        driver = forks.start([sys.executable, "-c", DRIVER, *arguments], stderr=subprocess.PIPE)
        deadline = time.monotonic() + 60
        while sim.counts.runs < 40 and driver.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        driver.kill()
        assert driver.wait() == -signal.SIGKILL, driver.communicate()
        assert 40 <= sim.counts.runs < 113
        client = pf.Client(api_key="key", base_url=sim.url, max_per_minute=None, clock_speed=200)
        ddf = dd.read_parquet(source, split_row_groups=True)
        out = enrich(ddf, {"name": str}, checkpoint=tmp_path / "x.ckpt", client=client).compute()
        assert_paid_once(sim, 113)
        assert (out["name"].dropna() == out["company"][out["name"].notna()].str.upper()).all()
        assert set(out["parallel_status"]) == {"completed", "failed", "skipped"}


def test_a_source_that_changes_gives_no_wrong_answer(sim, tmp_path):
    """Rows that were not there when the call was made are `not_sent`, and say so; the others keep their answers."""
    path = str(tmp_path / "rows.parquet")
    rows(0, 1, 2).to_parquet(path)

    def read(number):
        return pd.read_parquet(path).iloc[number * 2 : number * 2 + 2]

    out = enrich(dd.from_map(read, [0, 1]))
    rows(2, 52, 0).to_parquet(path)
    found = out.compute()
    assert found["name"].fillna("").tolist() == [" COMPANY 2", "", " COMPANY 0"]
    assert found["parallel_status"].tolist() == ["completed", "not_sent", "completed"]
    assert found["parallel_error"].iloc[1] == "this row was not in the frame when the call was made"
    assert_paid_once(sim, 3)


def test_a_checkpoint_that_workers_do_not_share(sim):
    """Where workers write somewhere else, nothing is sent."""
    with pytest.raises(InputError, match="not all of the cluster reaches the same place"):
        enrich(dd.from_pandas(rows(0, 1), npartitions=1), checkpoint="memory://bucket/x.ckpt")
    assert sim.counts.requests == 0


def test_a_cell_that_cannot_travel_is_named(sim):
    """Column, partition and row of it, before anything is sent."""
    with dask.config.set({"dataframe.convert-string": False}):
        frame = rows(0, 1, 2, 3).astype(object)
        frame.loc[3, "company"] = {1, 2}
        with pytest.raises(
            InputError, match=r"Partition 1: Column 'company', row 1 \(index 3, set\).*Nothing was sent"
        ):
            enrich(dd.from_pandas(frame, npartitions=2))
    assert sim.counts.requests == 0


def test_existing_columns_are_filled_partition_by_partition(sim):
    """`if_exists` and `where` mean what they mean in pandas; a mask is refused."""
    before = rows(0, 1, 2, 3).assign(name=pd.array(["kept", None, None, "kept"], dtype="string"))
    ddf = dd.from_pandas(before, npartitions=2)
    out = enrich(ddf, {"name": str}, where="missing")
    expected = ddf.compute().parallel.enrich({"name": str}, inputs=["company"], where="missing", progress=False)
    assert_frame_equal(out.compute(), expected)
    assert_frame_equal(out._meta, expected.iloc[:0])
    assert_paid_once(sim, 2)
    with pytest.raises(InputError, match="a mask is for pandas frames"):
        enrich(ddf, where=[True] * 4)
    moments = dd.from_pandas(rows(0, 1).assign(founded=pd.Timestamp("2024-01-01")), npartitions=1)
    with pytest.raises(InputError, match=r"The frame has 'founded' as timestamp.*one column cannot hold both"):
        enrich(moments, {"founded": pd.Timestamp}, if_exists="fill")


def test_edited_cells_are_kept_as_in_pandas(sim):
    """The same call again on a frame that it made replaces no value that is no answer; a refresh does."""
    schema = {"name": str}
    done = enrich(dd.from_pandas(rows(0, 1, 2, 3), npartitions=2), schema).compute()
    done.loc[1, "name"] = "mine"
    ddf = dd.from_pandas(done, npartitions=2)
    assert_frame_equal(enrich(ddf, schema).compute(), done)
    assert_paid_once(sim, 4)
    assert enrich(ddf, schema, refresh=True).compute().loc[1, "name"] != "mine"


def test_submitted_and_looked_at(sim):
    """`submit` returns when all is sent; the handle's result is the lazy frame."""
    run = dd.from_pandas(rows(*range(20)), npartitions=2).parallel.submit(SCHEMA, inputs=["company"], progress=False)
    assert sim.counts.runs == 19
    out = run.result()
    assert run.status() == {"completed": 18, "failed": 1, "skipped": 1}
    assert statuses(out) == run.status()
    assert Path(run.checkpoint).is_dir()

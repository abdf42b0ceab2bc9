"""A call inside a task of an engine is refused before it pays for each part of the rows, and for each repetition."""

from __future__ import annotations

import asyncio

import pandas as pd
import pytest

import parallel_frames as pf
from parallel_frames.errors import InputError

SCHEMA = {"founded": int}
ROWS = pd.DataFrame({"company": [f"Company {n % 10}" for n in range(40)]})
WHOLE = r"In the program that made the task, pass the whole frame to `pf\.enrich\(df, schema\)`"


@pytest.fixture
def sim():
    """Give a simulator that this process goes to, and each that it starts."""
    with pf.offline(lambda _: {"founded": 1949}, latency=0) as sim:
        yield sim


@pytest.fixture
def ask():
    """Give a function that asks about a part; one that is made here travels to other processes as it is."""

    def ask(part: pd.DataFrame, how: str = "enrich") -> pd.DataFrame:
        import asyncio

        schema = {"founded": int}
        if how == "file":
            part.to_parquet("part.parquet")
            pf.enrich_parquet("part.parquet", "out.parquet", schema)
        if how == "await":
            asyncio.run(pf.aenrich(part, schema, checkpoint=None))
        return getattr(part.parallel, how)(schema)

    return ask


def refused():
    """Expect the refusal that names Dask, and the line that is right."""
    return pytest.raises(InputError, match=rf"This is a task of Dask, .*Nothing was sent\. {WHOLE}")


@pytest.mark.parametrize(
    ("scheduler", "how"),
    [("threads", "enrich"), ("threads", "await"), ("sync", "submit"), ("sync", "preview"), ("processes", "enrich")],
)
def test_dask_without_a_cluster(sim, ask, scheduler, how):
    """Its own schedulers have no worker that could be asked for: the functions that lead to the call are Dask's."""
    dd = pytest.importorskip("dask.dataframe")
    ddf = dd.from_pandas(ROWS, npartitions=2)
    with refused():
        ddf.map_partitions(ask, how, meta=ddf._meta).compute(scheduler=scheduler)
    assert sim.counts.requests == 0


def test_a_coroutine_about_all_of_the_frame_is_refused_in_a_task_too(sim):
    """Although the keys of such a frame are made in another thread, which no task has called."""
    dd = pytest.importorskip("dask.dataframe")
    ddf = dd.from_pandas(ROWS, npartitions=2)
    with refused():
        ddf.map_partitions(lambda _: asyncio.run(pf.aenrich(ddf, SCHEMA)), meta=ddf._meta).compute(scheduler="sync")
    assert sim.counts.requests == 0


@pytest.mark.parametrize("scheduler", ["threads", "sync"])
def test_a_checkpoint_that_is_named_pays_once(sim, tmp_path, scheduler):
    """Then a task may ask: parts wait for one another, and what is repeated is answered already."""
    dd = pytest.importorskip("dask.dataframe")
    ddf = dd.from_pandas(ROWS, npartitions=4)
    options = {"checkpoint": tmp_path / "shared.ckpt", "on_mismatch": "new", "progress": False}
    meta = ROWS.head(0).parallel.enrich(SCHEMA, checkpoint=None)
    out = ddf.map_partitions(lambda part: part.parallel.enrich(SCHEMA, **options), meta=meta)
    for _ in range(2):
        assert out.compute(scheduler=scheduler)["founded"].eq(1949).all()
    assert sim.counts.runs == 10


def test_dask_looks_for_the_columns_of_a_function(sim, ask):
    """Without `meta=`, Dask calls the function with rows of its own as soon as the graph is made."""
    dd = pytest.importorskip("dask.dataframe")
    with pytest.raises(ValueError, match=r"Metadata inference failed(?s:.)*This is a task of Dask"):
        dd.from_pandas(ROWS, npartitions=2).map_partitions(ask)
    assert sim.counts.requests == 0


@pytest.mark.parametrize("processes", [False, True])
def test_dask_on_a_cluster(sim, ask, processes, tmp_path, monkeypatch):
    """A worker sends nothing; the program that is connected to the cluster does."""
    distributed = pytest.importorskip("distributed")
    dd = pytest.importorskip("dask.dataframe")
    monkeypatch.chdir(tmp_path)
    ddf = dd.from_pandas(ROWS, npartitions=4)
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=processes, dashboard_address="127.0.0.1:0"
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        with refused():
            ddf.map_partitions(ask, meta=ddf._meta).compute()
        with refused():
            client.submit(ask, ROWS, "file").result()
        assert sim.counts.requests == 0
        assert pf.enrich(ddf.compute(), SCHEMA)["founded"].eq(1949).all()
    assert sim.counts.runs == 10

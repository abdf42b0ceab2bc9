"""Datasets of Ray on workers of this machine: types as of a file, and each input paid once whatever is computed."""

from __future__ import annotations

import doctest
import os
import re
import signal
from collections import Counter
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import parallel_frames as pf
from parallel_frames.errors import InputError

from .conftest import SCHEMA, assert_paid_once, names_of

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'parallel-frames[ray]'")
pytest.importorskip("ray.data", reason="Ray Data is not installed: pip install 'parallel-frames[ray]'")
pytestmark = pytest.mark.filterwarnings("default")  # Ray warns of itself, and when its processes end

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "ray-and-polars.md"


def rows(*numbers):
    """Return rows, one per number."""
    names = names_of(numbers)
    return pa.table({"company": pa.array(names, pa.string()), "size": pa.array(numbers, pa.int64())})


def blocks(table, number):
    """Return a dataset of so many blocks."""
    size = -(-table.num_rows // number)
    return ray.data.from_arrow([table.slice(start, size) for start in range(0, table.num_rows, size)])


def enrich(ds, schema=SCHEMA, **options):
    """Enrich, asking nothing twice on purpose."""
    return pf.enrich(ds, schema, **{"inputs": ["company"], "progress": False, "retry_failed": False, **options})


def table_of(ds):
    """Return the rows of a dataset in the order of their sizes."""
    return pa.concat_tables(ray.get(ds.to_arrow_refs())).sort_by("size")


@pytest.fixture(scope="module", autouse=True)
def cluster():
    """Start two workers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")  # it would write a token into the user's home
        ray.init(num_cpus=2, include_dashboard=False, object_store_memory=256 * 2**20, log_to_driver=False)
        ray.data.DataContext.get_current().enable_progress_bars = False
        yield
        ray.shutdown()


def test_the_columns_are_those_of_a_file(sim, tmp_path):
    """Types and values are what `enrich_parquet` writes for the same rows, whose answers it shares."""
    table = rows(*range(30), *range(15))
    pq.write_table(table, tmp_path / "in.parquet")
    options = {"basis": "columns", "provenance": True, "checkpoint": tmp_path / "x.ckpt"}
    out = enrich(ray.data.read_parquet(str(tmp_path / "in.parquet")), **options)
    assert_paid_once(sim, 29)
    pf.enrich_parquet(
        tmp_path / "in.parquet", tmp_path / "out.parquet", SCHEMA, inputs=["company"], retry_failed=False,
        progress=False, **options,
    )  # fmt: skip
    expected = pq.read_table(tmp_path / "out.parquet").drop_columns("parallel_cost").sort_by("size")
    found = table_of(out)
    assert out.schema().names == expected.column_names
    assert found.schema.remove_metadata() == expected.schema.remove_metadata()
    assert found.to_pylist() == expected.to_pylist()
    assert_paid_once(sim, 29)


def test_nothing_is_sent_but_by_the_call(sim):
    """A plan and every computation of the result send nothing, and blocks stay; divided otherwise, nothing is new."""
    ds = blocks(rows(*range(60), *range(30)), 5)
    plan = pf.plan(ds, SCHEMA, inputs=["company"])
    assert (plan.rows, plan.runs, plan.skipped) == (90, 57, 4)
    assert sim.counts.requests == 0
    run = pf.submit(ds, SCHEMA, inputs=["company"], progress=False, retry_failed=False)
    out = run.result()
    assert run.status() == {"completed": 80, "failed": 6, "skipped": 4}
    assert_paid_once(sim, 57)
    requests = sim.counts.requests
    assert "MapBatches" in repr(out)
    assert out.count() == 90
    assert out.schema().names == ["company", "size", *SCHEMA, "parallel_status", "parallel_error"]
    assert out.materialize().num_blocks() == 5
    assert table_of(out).equals(table_of(out))
    assert Counter(table_of(out)["parallel_status"].to_pylist()) == run.status()
    assert out.filter(lambda row: row["length"] == 11).count() == 60
    assert sim.counts.requests == requests, "what is answered is not even looked at"
    grown = ds.repartition(2).union(blocks(rows(100, 102, 100), 1))
    assert table_of(enrich(grown))["name"].to_pylist()[-3:] == [" COMPANY 100", " COMPANY 100", " COMPANY 102"]
    assert_paid_once(sim, 59)


def test_a_worker_that_is_killed_costs_nothing(sim, tmp_path):
    """SIGKILL while keys are made, and while the result is evaluated: tasks run again, and nothing is paid again."""
    driver = os.getpid()

    def where(df):
        for moment in ("keys", "evaluation"):
            if (tmp_path / moment).exists() and os.getpid() != driver:
                (tmp_path / moment).unlink(missing_ok=True)
                os.kill(os.getpid(), signal.SIGKILL)
        return df["size"] >= 0

    ds = blocks(rows(*range(30)), 4)
    (tmp_path / "keys").touch()
    out = enrich(ds, where=where)
    (tmp_path / "evaluation").touch()
    found = table_of(out)
    assert list(tmp_path.iterdir()) == []
    assert found["name"].to_pylist()[:2] == [" COMPANY 0", " COMPANY 1"]
    assert Counter(found["parallel_status"].to_pylist()) == {"completed": 27, "failed": 2, "skipped": 1}
    assert_paid_once(sim, 29)


class Asking:
    """An actor."""

    async def ask(self, ask):
        """Ask from an event loop."""
        return ask(pd.DataFrame({"company": ["Acme"]}))


def test_a_call_in_a_task_is_refused(sim):
    """Neither tasks nor actors send, whatever the frame; the message has the line that is right."""

    def ask(part: pd.DataFrame, how: str = "enrich") -> pd.DataFrame:
        return getattr(pf, how)(part, {"name": str})

    def ask_lazily(part):
        return pf.enrich(ray.data.from_pandas(part), {"name": str})

    advice = r"In the program that made the task, pass the whole frame to `pf\.enrich\(df, schema\)`"
    with pytest.raises(Exception, match=rf"This is a task of Ray, .*{advice}"):
        blocks(rows(0, 1), 2).map_batches(ask, batch_format="pandas").materialize()
    df = pd.DataFrame({"company": ["Acme"]})
    for function, *arguments in ((ask, "submit"), (ask_lazily,)):
        with pytest.raises(InputError, match="This is a task of Ray"):
            ray.get(ray.remote(function).remote(df, *arguments))
    with pytest.raises(InputError, match="This is a task of Ray"):
        ray.get(ray.remote(Asking).remote().ask.remote(ask))
    assert sim.counts.requests == 0


def test_a_cell_that_cannot_travel_is_named(sim):
    """By its column, its row, and the first row of its block; nothing was sent."""
    table = pa.table({"company": [f"company {number}" for number in range(4)], "size": [1.0, 2.0, 3.0, float("inf")]})
    with pytest.raises(
        InputError, match=r"The block that begins with {'company': 'company 2'.*Column 'size', row 1 .*Nothing was sent"
    ):
        enrich(blocks(table, 2), inputs=None)
    assert sim.counts.requests == 0


def test_columns_of_any_objects(sim):
    """What Arrow has no type for comes back as it was; where it is an input, the cell is named."""
    ds = ray.data.from_pandas(pd.DataFrame({"company": ["Acme", "Globex"], "size": [1, 2], "any": [{1, 2}, "text"]}))
    assert [row["any"] for row in sorted(enrich(ds).take_all(), key=lambda row: row["size"])] == [{1, 2}, "text"]
    with pytest.raises(InputError, match=r"Column 'any', row 0 .*a set has no order"):
        enrich(ds, inputs=["any"])
    with pytest.raises(InputError, match="Ray knows no columns of this dataset, because it has no rows"):
        enrich(ds.filter(lambda _: False).materialize())
    assert_paid_once(sim, 2)


def test_types_are_learned_from_the_first_rows(sim):
    """`input_schema="infer"` reads some rows; existing columns are filled block by block."""
    ds = blocks(rows(*range(4)).append_column("name", pa.array(["kept", None, None, "kept"])), 2)
    out = enrich(ds, {"name": str}, where="missing", input_schema="infer")
    assert table_of(out)["name"].to_pylist() == ["kept", " COMPANY 1", " COMPANY 2", "kept"]
    assert_paid_once(sim, 2)


def test_the_example_of_the_page(capsys):
    """What the page shows is what happens."""
    (example,) = re.findall(r"^```pycon\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    test = doctest.DocTestParser().get_doctest(example, {}, PAGE.name, str(PAGE), 0)
    assert doctest.DocTestRunner(verbose=False).run(test).failed == 0, capsys.readouterr().out

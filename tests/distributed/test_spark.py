"""Frames of Spark on a cluster of two workers that speculates: each input paid once, whatever Spark computes again.

Spark runs no second copy of a task on the host of the first, so the workers are on two addresses of this machine.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

import parallel_frames as pf
from parallel_frames._cli import app
from parallel_frames.errors import ConfigurationError, InputError

from .conftest import SCHEMA, assert_paid_once, names_of

pyspark = pytest.importorskip("pyspark", reason="pyspark is not installed")
if shutil.which("java") is None:
    pytest.skip("Spark needs Java", allow_module_level=True)

from pyspark import TaskContext  # noqa: E402
from pyspark.sql import SparkSession  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # Spark warns of Python and of itself
    pytest.mark.timeout(300),
]
PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "spark.md"
MASTER = "org.apache.spark.deploy.master.Master"
WORKER = "org.apache.spark.deploy.worker.Worker"
DAEMON = {"SPARK_DAEMON_MEMORY": "256m"}
CONFIG = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.executor.memory": "600m",
    "spark.sql.shuffle.partitions": "3",
    "spark.sql.session.timeZone": "America/New_York",
    "spark.speculation": "true",
    "spark.speculation.interval": "50ms",
    "spark.speculation.quantile": "0.4",
    "spark.speculation.minTaskRuntime": "1s",
    "spark.network.timeout": "60s",
}


def rows(*numbers):
    """Return rows, one per number."""
    names = names_of(numbers)
    return pd.DataFrame({"company": pd.Series(names, dtype=object), "size": list(numbers)})


@pytest.fixture(scope="module")
def cluster(tmp_path_factory) -> Iterator[str]:
    """Start a master and two workers on addresses of their own."""
    folder = tmp_path_factory.mktemp("spark")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"spark://127.0.0.1:{port}"
    home = Path(pyspark.__file__).parent
    with (folder / "log").open("wb") as log:
        started = [
            subprocess.Popen(
                [home / "bin" / "spark-class", *arguments, "--webui-port", "0"],
                env={**os.environ, **DAEMON, "SPARK_LOCAL_IP": host, "SPARK_WORKER_DIR": str(folder)},
                stdout=log, stderr=log, cwd=folder,
            )
            for host, arguments in [
                ("127.0.0.1", [MASTER, "--host", "127.0.0.1", "--port", str(port)]),
                ("127.0.0.2", [WORKER, "--host", "127.0.0.2", "--cores", "1", "--memory", "700m", url]),
                ("127.0.0.3", [WORKER, "--host", "127.0.0.3", "--cores", "1", "--memory", "700m", url]),
            ]
        ]  # fmt: skip
        yield url
        for process in reversed(started):
            process.terminate()
        for process in started:
            process.wait()


@pytest.fixture(scope="module")
def spark(cluster) -> Iterator[SparkSession]:
    """Give a session on that cluster."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYSPARK_PYTHON", sys.executable)
        patch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
        builder = SparkSession.builder.master(cluster)
        for name, value in CONFIG.items():
            builder = builder.config(name, value)
        session = builder.getOrCreate()
        session.sparkContext.setLogLevel("OFF")
        yield session
        session.stop()


@pytest.fixture
def enrich(tmp_path):
    """Give a function that enriches, asking nothing twice on purpose."""

    def enrich(sdf, schema=SCHEMA, **options):
        named = {"inputs": ["company"], "checkpoint": tmp_path / "x.ckpt", "on_mismatch": "new"}
        return pf.enrich(sdf, schema, progress=False, retry_failed=False, **{**named, **options})

    return enrich


def statuses(out):
    """Return how many rows of a lazy frame have which status."""
    return {row.parallel_status: row["count"] for row in out.groupBy("parallel_status").count().collect()}


def test_nothing_is_sent_but_by_the_call(spark, sim, enrich, tmp_path):
    """A plan and every action on the result send nothing; types are those of a file, and rows are all there."""
    sdf = spark.createDataFrame(rows(*range(60), *range(30))).repartition(3, "size")
    plan = pf.plan(sdf, SCHEMA, inputs=["company"], checkpoint=tmp_path / "x.ckpt")
    assert (plan.rows, plan.runs, plan.skipped) == (90, 57, 4)
    assert sim.counts.requests == 0
    equal = spark.range(0, 400, 1, 4).selectExpr("'Acme' as company")  # each partition is as the next one
    assert (plan := pf.plan(equal, SCHEMA, checkpoint=tmp_path / "x.ckpt")).rows == 400
    assert plan.runs == 1
    out = enrich(sdf, basis=True, provenance=True)
    assert_paid_once(sim, 57)
    requests = sim.counts.requests
    assert out.count() == 90
    assert statuses(out) == {"completed": 80, "failed": 6, "skipped": 4}
    lines = out.filter("size = 3").collect()
    assert [(line.name, line.length, line.tags) for line in lines] == [(" COMPANY 3", 10, [" "])] * 2
    assert all(line.name == line.company.upper() for line in out.collect() if line.name)
    out.write.parquet(str(tmp_path / "out"))
    sdf.write.parquet(str(tmp_path / "in"))
    pf.enrich_parquet(
        tmp_path / "in", tmp_path / "target.parquet", SCHEMA, inputs=["company"], checkpoint=tmp_path / "x.ckpt",
        basis=True, provenance=True, retry_failed=False, progress=False,
    )  # fmt: skip
    assert sim.counts.requests == requests, "what is answered is not even looked at"
    written, target = pq.read_table(tmp_path / "out").sort_by("size"), pq.read_table(tmp_path / "target.parquet")
    target = target.drop_columns("parallel_cost")  # an engine knows no first row, which bears the price
    assert written.cast(target.schema).equals(target.sort_by("size"))
    read = spark.read.parquet(str(tmp_path / "target.parquet")).drop("parallel_cost")
    assert read.schema.simpleString() == out.schema.simpleString(), "Spark sees the columns that were paid for"
    assert read.filter("name is not null").count() == 80


def test_tasks_that_run_twice_at_once_pay_once(spark, sim, enrich, tmp_path):
    """Speculation: second attempts of tasks run beside the first, in keys and in evaluation, and nothing is paid."""
    seen = tmp_path / "seen"
    seen.mkdir()

    def where(df):
        task = TaskContext.get()
        (seen / f"{task.stageId()} {task.partitionId()} {task.attemptNumber()}").touch()
        deadline = time.monotonic() + 30
        while task.partitionId() == 2 and task.attemptNumber() == 0 and time.monotonic() < deadline:
            time.sleep(0.05)  # until the other copy has done it, and this one is killed
        return df["size"] >= 0

    def second_attempts():
        return [path.name for path in seen.iterdir() if not path.name.endswith(" 0")]

    sdf = spark.createDataFrame(rows(*range(40), *range(40))).repartition(3)
    out = enrich(sdf, where=where)
    assert_paid_once(sim, 38)
    in_keys = second_attempts()
    assert in_keys
    found = out.select("company", "name", "parallel_status").collect()
    assert len(second_attempts()) > len(in_keys)
    assert Counter(line.parallel_status for line in found) == {"completed": 70, "failed": 6, "skipped": 4}
    assert all(line.name == line.company.upper() for line in found if line.name)
    assert_paid_once(sim, 38)


def test_an_executor_that_is_killed_costs_nothing(spark, sim, enrich, tmp_path):
    """SIGKILL of an executor while keys are made, and while the result is evaluated: nothing is paid again."""

    def where(df):
        for moment in ("keys", "evaluation"):
            if (tmp_path / moment).exists():
                (tmp_path / moment).unlink(missing_ok=True)
                daemon = os.getppid()
                executor = int(Path(f"/proc/{daemon}/stat").read_text().rpartition(")")[2].split()[1])
                assert "CoarseGrainedExecutorBackend" in Path(f"/proc/{executor}/cmdline").read_text()
                os.kill(executor, signal.SIGKILL)
                time.sleep(5)
        return df["size"] >= 0

    sdf = spark.createDataFrame(rows(*range(30))).repartition(3)
    (tmp_path / "keys").touch()
    out = enrich(sdf, where=where)
    assert not (tmp_path / "keys").exists()
    assert_paid_once(sim, 29)
    (tmp_path / "evaluation").touch()
    assert statuses(out) == {"completed": 27, "failed": 2, "skipped": 1}
    assert not (tmp_path / "evaluation").exists()
    assert_paid_once(sim, 29)


def test_first_attempts_that_fail_are_made_again(spark, sim, enrich):
    """`spark.task.maxFailures`: what a task wrote before it failed does no harm."""

    def where(df):
        if TaskContext.get().attemptNumber() == 0 and df["size"].max() > 20:
            raise OSError("the disk of this executor is gone")
        return df["size"] >= 0

    out = enrich(spark.createDataFrame(rows(*range(30))).repartition(3), where=where)
    assert statuses(out) == {"completed": 27, "failed": 2, "skipped": 1}
    assert_paid_once(sim, 29)


def test_cells_are_those_of_pandas(spark, enrich, tmp_path):
    """Longs beyond 2^53 beside nulls, times with and without a zone: sent as they are, under the keys of pandas."""
    frame = pd.DataFrame(
        {
            "company": pd.array(["a", "b", None, "d"], dtype="string"),
            "big": pd.array([2**53 + 1, None, 2**63 - 1, -(2**53) - 1], dtype="Int64"),
            "share": [0.5, None, 1e300, -0.0],
            "naive": np.array(["2024-07-01T12", "NaT", "1880-01-01", "2024-01-01T00:00:00.000001"], dtype="M8[us]"),
        }
    )
    frame["zoned"] = frame["naive"].dt.tz_localize("UTC")
    cells = [
        [None if pd.isna(cell) else cell.to_pydatetime() if isinstance(cell, pd.Timestamp) else cell for cell in line]
        for line in frame.astype(object).itertuples(index=False)
    ]
    sdf = spark.createDataFrame(cells, "company string, big long, share double, naive timestamp_ntz, zoned timestamp")
    with pf.offline({"name": "x"}, latency=0) as sim:
        out = enrich(sdf.repartition(2), {"name": str}, inputs=None)
        assert_paid_once(sim, 4)
        assert {run.input.get("big") for run in sim.runs()} == {2**53 + 1, None, 2**63 - 1, -(2**53) - 1}
        assert {line.big for line in out.collect()} == {2**53 + 1, None, 2**63 - 1, -(2**53) - 1}
        assert statuses(out) == {"completed": 4}
        pandas = frame.parallel.enrich({"name": str}, checkpoint=tmp_path / "x.ckpt", progress=False)
        assert pandas["parallel_status"].eq("completed").all()
        assert_paid_once(sim, 4)


def test_answers_are_not_sent_as_inputs(spark, sim, enrich, tmp_path):
    """The columns of the result are marked in Spark's own metadata, which projections and Parquet keep."""
    sdf = spark.createDataFrame(rows(1, 2)).coalesce(1)
    enrich(sdf, {"name": str}, inputs=None).withColumnRenamed("name", "title").write.parquet(str(tmp_path / "out"))
    again = spark.read.parquet(str(tmp_path / "out")).drop("parallel_error")
    second = enrich(again, {"length": int}, inputs=None)
    assert [run.input for run in sim.runs()][2:] == [run.input for run in sim.runs()][:2]
    assert second.columns == [*again.columns, "length", "length_status", "length_error"]
    third = enrich(again, {"title": str}, where="missing", inputs=["company"])
    assert [line.title for line in third.collect()] == [" COMPANY 1", " COMPANY 2"]
    assert_paid_once(sim, 4)


def test_what_cannot_be_is_refused(spark, sim, enrich, tmp_path):
    """Names, types, cells, streams and places that Spark does not have: a reason, before anything is sent."""
    sdf = spark.createDataFrame(rows(1, 2)).coalesce(1)
    with pytest.raises(InputError, match=r"the columns 'company', 'Company', which are the same to Spark.*`prefix="):
        enrich(sdf, {"Company": str})
    with pytest.raises(InputError, match=r"'SIZE', 'size', which are the same to Spark"):
        enrich(sdf.toDF("SIZE", "company").join(sdf.select("size")))
    with pytest.raises(InputError, match=r"Column 'long' is of Spark's type interval year to month"):
        enrich(sdf.selectExpr("*", "interval '1-2' year to month as long"))
    with pytest.raises(InputError, match=r"Partition 0: Column 'raw', row 0.*Decode it to text.*Nothing was sent"):
        enrich(sdf.selectExpr("*", "X'ff' as raw"), inputs=["raw"])
    with pytest.raises(InputError, match=r"frame of a stream has no end.*foreachBatch"):
        enrich(spark.readStream.format("rate").load())
    with pytest.raises(InputError, match=r"`checkpoint='auto'` is a folder of this machine.*`checkpoint='s3://"):
        enrich(sdf, checkpoint="auto")
    assert sim.counts.requests == 0
    assert list(tmp_path.iterdir()) == []


def test_a_call_in_a_task_is_refused(spark, sim):
    """An executor sends nothing."""

    def ask(parts):
        import parallel_frames

        for part in parts:
            yield parallel_frames.enrich(part, {"name": str})

    with pytest.raises(Exception, match=r"This is a task of Spark, .*Nothing was sent"):
        spark.createDataFrame(rows(1)).mapInPandas(ask, "company string, size long").collect()
    assert sim.counts.requests == 0


def test_pandas_on_spark(spark, sim, enrich, tmp_path):
    """`psdf.parallel`: index and dtypes stay, and the answers of Spark's own frame are found."""
    import pyspark.pandas as ps

    import parallel_frames.spark  # noqa: F401

    frame = rows(1, 2, 1, 16).assign(size=pd.array([1, None, 2**53 + 1, 4], dtype="Int64"))
    frame.index = pd.Index(["x", "x", "y", "z"], name="label")
    enrich(spark.createDataFrame(rows(1, 2)).coalesce(1))
    psdf = ps.from_pandas(frame)
    options = {"inputs": ["company"], "checkpoint": tmp_path / "x.ckpt", "progress": False}
    assert psdf.parallel.plan(SCHEMA, inputs=["company"], checkpoint=tmp_path / "x.ckpt").to_send == 0
    out = psdf.parallel.enrich(SCHEMA, **options)
    assert isinstance(out, ps.DataFrame)
    assert out.dtypes["size"] == "Int64"
    found = out.to_pandas()
    assert found.index.equals(frame.index)
    assert found.index.name == "label"
    assert found["name"].tolist() == [" COMPANY 1", " COMPANY 2", " COMPANY 1", None]
    assert 2**53 + 1 in [size for (size,) in out.to_spark().select("size").collect()]
    assert_paid_once(sim, 2)
    with pytest.raises(InputError, match=r"Column 'company' is a category.*`psdf\.astype\(\{'company': str\}\)`"):
        psdf.astype({"company": "category"}).parallel.plan(SCHEMA)


def test_staged_and_sent_by_another_process(spark, sim, enrich, tmp_path):
    """`stage` leaves the inputs in the checkpoint, `parallel-frames send` sends them, `enrich` finds the answers."""
    from parallel_frames.spark import stage

    sdf = spark.createDataFrame(rows(1, 2, 1)).coalesce(1)
    checkpoint = tmp_path / "x.ckpt"
    assert stage(sdf, SCHEMA, inputs=["company"], checkpoint=checkpoint).to_send == 2
    assert sim.counts.requests == 0
    assert CliRunner().invoke(app, ["send", str(checkpoint), "--no-progress", "--yes"]).exit_code == 0
    assert statuses(enrich(sdf)) == {"completed": 3}
    assert_paid_once(sim, 2)


def test_workers_without_the_package_are_named(spark, sim, enrich, tmp_path):
    """Where the Python of the workers lacks the package, the message says what to install, and where."""
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n', encoding="utf-8")
    bare.chmod(0o755)
    context = spark.sparkContext
    python, context.pythonExec = context.pythonExec, str(bare)
    try:
        with pytest.raises(
            ConfigurationError, match=r"worker of Spark cannot import .*No module named.*PYSPARK_PYTHON"
        ):
            enrich(spark.createDataFrame(rows(1)).coalesce(1))
    finally:
        context.pythonExec = python
    assert sim.counts.requests == 0


CONNECT = """
import sys
from pyspark.sql import SparkSession
import parallel_frames as pf
from parallel_frames.errors import InputError

schema, checkpoint = {"name": str}, sys.argv[1]
spark = SparkSession.builder.remote("local[2]").getOrCreate()
cells = [("a", 2**53 + 1), ("b", None), (None, None), ("a", 2**53 + 1)]
sdf = spark.createDataFrame(cells, "company string, size long").repartition(2)
assert "connect" in type(sdf).__module__
with pf.offline(lambda sent: {"name": sent["company"].upper()}, latency=0) as sim:
    try:
        pf.plan(sdf, schema)
    except InputError as error:
        assert "`checkpoint='auto'` is a folder of this machine" in str(error)
    assert pf.plan(sdf, schema, checkpoint=checkpoint).runs == 2
    out = pf.enrich(sdf, schema, checkpoint=checkpoint, progress=False)
    assert sorted(str(row.name) for row in out.collect()) == ["A", "A", "B", "None"]
    assert pf.enrich(out, schema, checkpoint=checkpoint, progress=False).columns == out.columns
    assert sorted(str(run.input.get("size")) for run in sim.runs()) == [str(2**53 + 1), "None"]
    import parallel_frames.spark
    psdf = sdf.pandas_api(index_col="size").parallel.enrich(
        schema, inputs=["company"], checkpoint=checkpoint, on_mismatch="new", progress=False
    )
    assert sorted(psdf["name"].dropna().to_numpy()) == ["A", "A", "B"]
    assert psdf.index.name == "size"
print("passed")
"""


def run_child(*arguments, folder):
    """Run another Python, whose Spark is of its own."""
    environment = {**os.environ, "PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"}
    return subprocess.run(
        [sys.executable, *arguments], env=environment, cwd=folder, capture_output=True, text=True, check=False
    )


def test_connect(tmp_path):
    """Without a JVM in this process: plan, enrichment, a second one of its result, and pandas-on-Spark."""
    pytest.importorskip("grpc_status", reason="Spark Connect needs grpcio-status")
    done = run_child("-c", CONNECT, str(tmp_path / "x.ckpt"), folder=tmp_path)
    assert "passed" in done.stdout, done.stderr


def test_the_examples_of_the_page_run(tmp_path):
    """The page shows what `local[*]` gives, with the default checkpoint."""
    done = run_child("-m", "doctest", str(PAGE), folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr

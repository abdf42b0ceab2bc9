"""What Spark adds to a row: making keys on the workers, and evaluating the lazy frame.

    python benchmarks/spark_rows.py [ROWS] [DISTINCT]

`local[2]`, five columns, no network but for the distinct inputs, which a simulator on this machine answers.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyspark.sql import SparkSession
from pyspark.sql import functions as F  # noqa: N812 - as everyone calls it

import parallel_frames as pf

if TYPE_CHECKING:
    from collections.abc import Callable

SCHEMA = {"name": str, "size": int}


def times() -> tuple[float, float, float, float]:
    """Return the time, and the CPU time of Spark's Python workers, of its JVM and of this process."""
    spent = {"python": 0, "java": 0}
    for process in Path("/proc").glob("[0-9]*"):
        name, fields = (process / "stat").read_text().partition("(")[2].rsplit(")", 1)
        kind = "java" if name == "java" else "python" if "pyspark.daemon" in (process / "cmdline").read_text() else ""
        if kind:
            spent[kind] += sum(map(int, fields.split()[11:15]))  # with children that ended
    ticks = os.sysconf("SC_CLK_TCK")
    return time.perf_counter(), spent["python"] / ticks, spent["java"] / ticks, time.process_time()


def measured(name: str, step: Callable[[], Any], rows: int) -> Any:
    """Do a step and print what it took; CPU time stays the same on a busy machine."""
    before = times()
    out = step()
    seconds, *spent = (after - at for after, at in zip(times(), before, strict=True))
    print(f"{name:<36}{seconds:8.2f}", *(f"{each * 1e6 / rows:10.2f}" for each in spent))
    return out


def main() -> None:
    """Measure, and print a line for each figure."""
    rows, distinct = (int(word) for word in (sys.argv[1:] + ["400000", "20000"][len(sys.argv) - 1 :]))
    os.environ["PYSPARK_PYTHON"] = sys.executable
    spark = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false").getOrCreate()
    spark.sparkContext.setLogLevel("OFF")
    number = F.expr(f"id * 7919 % {distinct}")
    with (
        tempfile.TemporaryDirectory() as folder,
        pf.offline(lambda _: {"name": "a name", "size": 7}, latency=0, max_per_minute=None),
    ):
        spark.range(0, rows, 1, 8).select(
            F.concat(F.lit("company "), number).alias("company"), F.concat(number, F.lit(".example")).alias("website"),
            F.lit("DE").alias("country"), number.alias("employees"), (number / 7).alias("share"),
        ).write.parquet(f"{folder}/rows")  # fmt: skip
        sdf = spark.read.parquet(f"{folder}/rows")
        options = {"checkpoint": f"{folder}/x.ckpt", "progress": False}
        unchanged = sdf.mapInArrow(lambda batches: batches, sdf.schema)
        print(f"{'':36}{'seconds':>8}{'workers':>11}{'JVM':>11}{'driver':>11}    (the three: µs of CPU a row)")
        for _ in range(2):  # the first time, workers import what they need
            measured("through Python's workers, unchanged", unchanged.write.format("noop").mode("overwrite").save, rows)
            measured("plan (keys, counted)", lambda: pf.plan(sdf, SCHEMA, **options), rows)
            out = measured("enrich", lambda: pf.enrich(sdf, SCHEMA, **options), rows)
            measured("evaluation", out.write.format("noop").mode("overwrite").save, rows)
    spark.stop()


if __name__ == "__main__":
    main()

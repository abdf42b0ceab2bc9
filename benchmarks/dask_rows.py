"""What Dask adds to a row: making keys on the workers, and evaluating the lazy frame.

    python benchmarks/dask_rows.py [ROWS] [DISTINCT]
    python benchmarks/dask_rows.py answers [NUMBER]

The first: two worker processes, five columns, no network but for the distinct inputs, which a simulator on this machine
answers. The second: what so many answers take in a worker that looks them up.
"""

from __future__ import annotations

import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable  # noqa: TC003 - a script that is no library
from pathlib import Path
from typing import Any

import dask.dataframe as dd
import numpy as np
import pandas as pd
from distributed import Client, LocalCluster

import parallel_frames as pf
import parallel_frames.dask
from parallel_frames._checkpoint import place_of
from parallel_frames._columns import Layout
from parallel_frames._distributed import AnswerLookup, KeyMaker
from parallel_frames._distributed._answers import AnswerWriter
from parallel_frames._inputs import Selection
from parallel_frames._model import Job, Options, Outcome
from parallel_frames._schema import parse_schema

SCHEMA = {"name": str, "size": int}


def resident() -> int:
    """Return this process's memory in MB."""
    with open("/proc/self/status", encoding="ascii") as status:  # noqa: PTH123
        return next(int(line.split()[1]) // 1024 for line in status if line.startswith("VmRSS"))


def make(rows: int, distinct: int, path: str) -> None:
    """Write rows of five columns, of which so many are distinct."""
    number = np.random.default_rng(7).integers(0, distinct, rows)
    names = pd.Series(number).map(lambda n: f"company {n}")
    df = pd.DataFrame(
        {"company": names, "website": names + ".example", "country": "DE", "employees": number, "share": number / 7}
    )
    dd.from_pandas(df, npartitions=16).to_parquet(path)


def measured(name: str, step: Callable[[], Any], client: Client, rows: int) -> Any:
    """Do a step and print what it took; CPU time stays the same on a busy machine."""

    def times() -> tuple[float, float, float]:
        return time.perf_counter(), sum(client.run(time.process_time).values()), time.process_time()

    before = times()
    out = step()
    seconds, workers, driver = (after - at for after, at in zip(times(), before, strict=True))
    print(f"{name:<24}{seconds:8.2f}{workers * 1e6 / rows:12.2f}{driver * 1e6 / rows:10.2f}")
    return out


def hold(number: int) -> None:
    """Write so many answers, and look rows up in them."""
    layout, schema = Layout(("name", "size"), "parallel_status", "parallel_error"), parse_schema(SCHEMA)
    job, selection = Job({}, "0" * 32, "base", {}, Options()), Selection("object", ("company",), ("company",))
    keys = KeyMaker(job, selection, layout, None, None)
    df = pd.DataFrame({"company": [f"company {n}" for n in range(number)]})
    answers = sorted((key, Outcome(key, 0, f"trun_{key}", "tgrp_1", "completed", '{"name":"a name","size":7}'))
                     for key in keys.plan(df).keys)  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        writer = AnswerWriter(place_of(folder))
        for start in range(0, number, 10_000):
            writer.add(answers[start : start + 10_000])
        writer.flush()
        size = sum(path.stat().st_size for path in Path(folder).iterdir()) / 1e6
        lookup = AnswerLookup(keys, schema, layout, "numpy_nullable", None, folder, tuple(writer.files))
        some = df.sample(min(number, 100_000), random_state=1)
        program = (
            f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import dask_rows as it; it.look_up()"
        )
        print(f"{number:,} answers: {size:.0f} MB in {len(writer.files)} files")
        subprocess.run([sys.executable, "-c", program], input=pickle.dumps((lookup, some)), check=True)


def look_up() -> None:
    """Look rows up twice, as a worker does."""
    lookup, rows = pickle.load(sys.stdin.buffer)
    lookup(rows.iloc[:0])
    for name in ("first batch", "second batch"):
        before, began = resident(), time.process_time()
        lookup(rows)
        print(f"{name}: {time.process_time() - began:.2f} s of CPU for {len(rows):,} rows, {resident() - before:+d} MB")


def main() -> None:
    """Measure, and print a line for each figure."""
    if sys.argv[1:2] == ["answers"]:
        hold(int(sys.argv[2]) if len(sys.argv) > 2 else 1_000_000)
        return
    rows, distinct = (int(word) for word in (sys.argv[1:] + ["1000000", "20000"][len(sys.argv) - 1 :]))
    with (
        tempfile.TemporaryDirectory() as folder,
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster,
    ):
        make(rows, distinct, f"{folder}/rows")
        with Client(cluster) as client, pf.offline(lambda _: {"name": "a name", "size": 7}, latency=0,
                                                   max_per_minute=None):  # fmt: skip
            ddf = dd.read_parquet(f"{folder}/rows")
            options = {"checkpoint": f"{folder}/x.ckpt", "progress": False}
            steps = {
                "reading": lambda: ddf.map_partitions(len).compute(),
                "plan (keys, counted)": lambda: ddf.parallel.plan(SCHEMA, **options),
                "enrich": lambda: ddf.parallel.enrich(SCHEMA, **options),
                "enrich again": lambda: ddf.parallel.enrich(SCHEMA, **options),
            }
            client.run(lambda: __import__("parallel_frames.dask"))
            print(f"{'':24}{'seconds':>8}{'workers':>12}{'driver':>10}    (the two: µs of CPU a row)")
            for name, step in steps.items():
                out = measured(name, step, client, rows)
            before = client.run(resident)
            measured("evaluation", lambda: out.map_partitions(len).compute(), client, rows)
            print("memory of the workers", sorted(before.values()), "→", sorted(client.run(resident).values()), "MB")


if __name__ == "__main__":
    main()

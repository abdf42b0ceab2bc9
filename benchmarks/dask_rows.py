"""What Dask adds to a row: making keys on the workers, and evaluating the lazy frame.

    python benchmarks/dask_rows.py [ROWS] [DISTINCT]

Two worker processes, five columns, no network but for the distinct inputs, which a simulator on this machine answers.
"""

from __future__ import annotations

import sys
import tempfile
import time

import dask.dataframe as dd
import numpy as np
import pandas as pd
from distributed import Client, LocalCluster

import parallel_frames as pf
import parallel_frames.dask

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


def main() -> None:
    """Measure, and print a line for each figure."""
    rows, distinct = (int(word) for word in (sys.argv[1:] + ["1000000", "20000"][len(sys.argv) - 1 :]))
    with tempfile.TemporaryDirectory() as folder, LocalCluster(n_workers=2, threads_per_worker=1) as cluster:
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
            for name, step in steps.items():
                began = time.perf_counter()
                out = step()
                seconds = time.perf_counter() - began
                print(f"{name:<24}{seconds:8.2f} s  {seconds * 2e6 / rows:6.2f} µs of a core a row")
            before = client.run(resident)
            began = time.perf_counter()
            out.map_partitions(len).compute()
            seconds = time.perf_counter() - began
            print(f"{'evaluation':<24}{seconds:8.2f} s  {seconds * 2e6 / rows:6.2f} µs of a core a row")
            print("memory of the workers", sorted(before.values()), "→", sorted(client.run(resident).values()), "MB")


if __name__ == "__main__":
    main()

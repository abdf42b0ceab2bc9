"""Parquet to Parquet: time and memory of a job by the number of its rows.

    python benchmarks/parquet.py --rows 100000 1000000 --distinct 1.0

A lean server in a process of its own answers, without a rate limit. Each size runs in a fresh process, which reports
its peak memory above what importing the package takes. Two passes: a first job, and the same call again (everything
is answered: what a resume costs).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from clients.common import rss, watching
from serving import lean

COLUMNS = 10


def make_source(path: Path, rows: int, distinct: float) -> None:
    """Write a file of ten columns, of which two are sent; every row group has 100,000 rows."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(0)
    writer = None
    for start in range(0, rows, 100_000):
        count = min(100_000, rows - start)
        numbers = np.arange(start, start + count) % max(1, int(rows * distinct))
        table = pa.table(
            {"company": [f"Company {n}" for n in numbers], "country": [f"C{n % 200}" for n in numbers]}
            | {f"x{n}": rng.random(count) for n in range(COLUMNS - 4)}
            | {"note": [f"a note on row {n}, of some length" for n in range(start, start + count)], "n": numbers}
        )
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    if writer is not None:
        writer.close()


def child(source: str, target: str, url: str, passes: str) -> None:
    """Enrich one file, once or twice, and print what it took."""
    import pyarrow.dataset  # noqa: F401 - part of the base, as httpx is

    import parallel_frames as pf
    from parallel_frames import _service as _client  # noqa: F401

    base = rss()
    client = pf.Client(api_key="not-a-real-key", base_url=url, max_per_minute=None)
    schema = {"founded": (int, "year of foundation"), "ceo": "full name of the CEO"}
    told = {}
    for name in passes.split():
        above = rss() - base
        with watching() as peak:
            began, cpu = time.perf_counter(), time.process_time()
            pf.enrich_parquet(
                source, target, schema, inputs=["company", "country"], client=client, overwrite=True, progress=False
            )
            told[name] = {
                "seconds": round(time.perf_counter() - began, 2),
                "cpu": round(time.process_time() - cpu, 2),
                "peak_mb": round(above + peak()),
            }
    print(json.dumps(told))


def main() -> None:
    """Run every size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 400_000])
    parser.add_argument("--distinct", type=float, default=1.0, help="share of distinct inputs (default: 1)")
    parser.add_argument("--latency", default="0", help="seconds of a run, or a range of them (default: 0)")
    parser.add_argument("--no-again", action="store_true", help="leave the second pass out")
    parser.add_argument("--json", action="store_true", help="for machines")
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        child(*asked.child)
        return
    records = []
    passes = "first" if asked.no_again else "first again"
    if not asked.json:
        print(f"{'rows':>10} {'pass':>6} {'seconds':>8} {'cpu s':>7} {'µs a row':>9} {'peak MB':>8}")
    for rows in asked.rows:
        with tempfile.TemporaryDirectory() as name:
            source = Path(name) / "rows.parquet"
            make_source(source, rows, asked.distinct)
            with lean(latency=asked.latency) as url:
                done = subprocess.run(
                    [sys.executable, __file__, "--child", str(source), str(Path(name) / "out.parquet"), url, passes],
                    check=True, capture_output=True, text=True,
                )  # fmt: skip
        for name, told in json.loads(done.stdout).items():
            each = told["cpu"] / rows * 1e6
            records.append({"rows": rows, "pass": name, **told})
            if asked.json:
                continue
            print(
                f"{rows:>10,} {name:>6} {told['seconds']:>8} {told['cpu']:>7} {each:>9.0f} {told['peak_mb']:>8}",
                flush=True,
            )
    if asked.json:
        print(json.dumps(records))


if __name__ == "__main__":
    main()

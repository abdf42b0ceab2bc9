"""Memory is bounded whatever the number of rows."""

import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from parallel_frames.simulator import Simulator

MEASURE = """
import resource, sys
import pandas, pyarrow.dataset, pyarrow.parquet, parallel_frames as pf, parallel_frames._parquet, httpx

client = pf.Client(api_key="key", base_url=sys.argv[3], max_per_minute=None)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
pf.enrich_parquet(sys.argv[1], sys.argv[2], {"name": str}, client=client, inputs=["company"], progress=False)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_four_times_the_rows_need_no_more_memory(tmp_path: Path) -> None:
    """Peak memory over that of the imports grows by less than 60 MB from 60,000 rows to 240,000."""
    peaks = {}
    with Simulator(lambda sent: {"name": sent["company"].upper()}, latency=0, max_per_minute=None) as sim:
        for rows in (60_000, 240_000):
            with pq.ParquetWriter(
                tmp_path / f"{rows}.parquet", pa.schema({"company": pa.string(), "text": pa.string()})
            ) as writer:
                for start in range(0, rows, 20_000):
                    names = [f"company {n % 300}" for n in range(start, start + 20_000)]
                    text = [f"{n} {n * 7919 % 104_729} " * 20 for n in range(start, start + 20_000)]
                    writer.write_table(pa.table({"company": names, "text": text}))
            done = subprocess.run(
                [sys.executable, "-c", MEASURE, str(tmp_path / f"{rows}.parquet"), str(tmp_path / f"{rows}"), sim.url],
                capture_output=True, text=True, check=False, env={**os.environ, "MALLOC_ARENA_MAX": "2"},
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            peaks[rows] = float(done.stdout)
            assert pq.read_metadata(tmp_path / f"{rows}" / "part-00000.parquet").num_rows == rows
        assert sim.counts.runs == 600
    assert peaks[240_000] - peaks[60_000] < 60, peaks

"""Memory is bounded whatever the number of rows."""

import gc
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import parallel_frames as pf
from parallel_frames._model import Plan
from parallel_frames.simulator import Simulator

MEASURE = """
import resource, sys
import pandas, pyarrow.dataset, pyarrow.parquet, parallel_frames as pf, parallel_frames._files, httpx

client = pf.Client(api_key="key", base_url=sys.argv[3], max_per_minute=None)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
options = {"checkpoint": f"{sys.argv[2]}.ckpt", "inputs": ["company"], "progress": False}
pf.enrich_parquet(sys.argv[1], sys.argv[2], {"name": str}, client=client, **options)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_four_times_the_rows_need_no_more_memory(tmp_path: Path) -> None:
    """Peak memory over that of the imports grows by less than 60 MB where 100 MB of text are added."""
    peaks = {}
    with Simulator(lambda sent: {"name": sent["company"].upper()}, latency=0, max_per_minute=None) as sim:
        for rows in (60_000, 240_000):
            with pq.ParquetWriter(
                tmp_path / f"{rows}.parquet", pa.schema({"company": pa.string(), "text": pa.string()})
            ) as writer:
                for start in range(0, rows, 2_000):
                    names = [f"company {n % 300}" for n in range(start, start + 2_000)]
                    text = [f"{n} {n * 7919 % 104_729} " * 40 for n in range(start, start + 2_000)]
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


def _held() -> int:
    """Return the bytes of all inputs that any plan of this process holds."""
    return sum(len(sent) for each in gc.get_objects() if type(each) is Plan for sent in each.inputs)


def test_what_was_sent_is_not_held_until_it_is_answered(
    tmp_path: Path, files: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten megabytes of inputs go out batch by batch, and no answer comes: next to nothing of them stays in memory."""
    monkeypatch.setattr("parallel_frames._files._batches.BATCH_BYTES", 2**20)
    companies = [f"company {n} " + "x" * 16_000 for n in range(600)]
    pq.write_table(pa.table({"company": companies}), tmp_path / "in.parquet")
    held = []

    def watch() -> None:
        sim.wait_until(lambda counts: counts.runs == 600, timeout=60)
        time.sleep(1.0)  # the last receipts
        held.append(_held())
        sim.advance(1e7)

    with Simulator(files.answer, latency=1e7, max_per_minute=None, speed=files.SPEED) as sim:
        client = pf.Client(api_key="key", base_url=sim.url, clock_speed=files.SPEED, max_per_minute=None)
        watching = threading.Thread(target=watch)
        watching.start()
        done = pf.enrich_parquet(
            tmp_path / "in.parquet", tmp_path / "out.parquet", files.SCHEMA, client=client, progress=False
        )
        watching.join()
    assert (done.counts, len(done.group_ids)) == ({"completed": 600}, 1)
    assert held[0] < 200_000

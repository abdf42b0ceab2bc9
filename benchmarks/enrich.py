"""Measure the main job against the simulator in a process of its own: ``python benchmarks/enrich.py``.

Wall seconds are medians of several runs, CPU is the client's alone. What is compared is printed beside it; figures
of different machines, or of different moments of one, do not compare.
"""

from __future__ import annotations

import argparse
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pandas as pd

import parallel_frames as pf
from parallel_frames.simulator import Simulator

if TYPE_CHECKING:
    from collections.abc import Iterator

SERVE = "import sys; from parallel_frames.simulator import serve; serve(**eval(sys.argv[1]))"
SCHEMA = {"summary": str, "score": float}


@contextmanager
def service(**options: object) -> Iterator[str]:
    """Serve the simulator in a process of its own; give its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    child = subprocess.Popen(
        [sys.executable, "-c", SERVE, repr({"port": port, **options})], stdout=subprocess.PIPE, text=True
    )
    try:
        assert child.stdout is not None
        child.stdout.readline()
        yield f"http://127.0.0.1:{port}"
    finally:
        child.terminate()
        child.wait()


def enrich_once(url: str, rows: int, turn: str, *, checkpoint: bool, **client: object) -> tuple[float, float]:
    """Enrich rows nobody enriched before; return wall and CPU seconds."""
    df = pd.DataFrame({"company": [f"{turn} {n}" for n in range(rows)], "n": range(rows)})
    with tempfile.TemporaryDirectory() as folder:
        wall, cpu = time.perf_counter(), time.process_time()
        out = df.parallel.enrich(
            SCHEMA,
            client=pf.Client(**{"api_key": "benchmark", "base_url": url, "max_per_minute": None, **client}),  # type: ignore[arg-type]
            checkpoint=folder if checkpoint else None,
            progress=False,
        )
        taken = time.perf_counter() - wall, time.process_time() - cpu
    assert out["parallel_status"].eq("completed").all()
    return taken


def measure_wall(repeats: int) -> None:
    """Print wall and CPU for runs of 0.2 s, without a rate limit."""
    with service(latency=0.2, max_per_minute=None) as url:
        for rows in (1_000, 10_000):
            for checkpoint in (False, True):
                taken = [
                    enrich_once(url, rows, f"{rows} {checkpoint} {turn}", checkpoint=checkpoint)
                    for turn in range(repeats)
                ]
                wall, cpu = (statistics.median(part) for part in zip(*taken, strict=True))
                kind = "with checkpoint" if checkpoint else "without"
                print(f"{rows:6,} rows {kind:16} {wall:5.2f} s wall, {cpu:5.2f} s CPU of the client")


def measure_schedule() -> None:
    """Print the time that 10,000 rows take at 2,000 a minute over the ideal, on clocks ten times as fast."""
    speed = 10.0
    with Simulator(latency=1.0, max_per_minute=2000, speed=speed) as sim:
        # Another account imports what is imported lazily: on this clock that would be ten times as long.
        enrich_once(sim.url, 1, "warm", checkpoint=False, api_key="warm", clock_speed=speed)
        sim.advance(60.0)
        taken, _ = enrich_once(sim.url, 10_000, "paced", checkpoint=False, max_per_minute=2000, clock_speed=speed)
        refused = sim.counts.rejected
    ideal = 4 * 60.0 + 1.0  # five windows of 2,000: the last one opens after four minutes, and a run takes a second
    ratio = taken * speed / ideal
    told = f"{taken * speed:.0f} s, ideal {ideal:.0f} s: {ratio:.3f}; refused (429): {refused}"
    print(f"10,000 rows at 2,000 a minute: {told}")


def measure_import(repeats: int) -> None:
    """Print what importing the package adds to importing pandas."""
    code = "import pandas, time; t = time.perf_counter(); import parallel_frames; print(time.perf_counter() - t)"
    taken = [
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)
        for _ in range(repeats)
    ]
    print(f"import parallel_frames adds {statistics.median(taken):.3f} s to import pandas")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    measure_import(arguments.repeats)
    measure_wall(arguments.repeats)
    measure_schedule()

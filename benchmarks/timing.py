"""When things happen: the schedule under a rate limit, and how soon a run that ended is told and safe.

Here the server is the package's simulator, because it counts what it refuses and says when each run ended.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from serving import HERE, lean, simulator

import parallel_frames as pf
from parallel_frames.simulator import Simulator

if TYPE_CHECKING:
    from collections.abc import Iterator

    from parallel_frames._job._rows import Row

sys.path.insert(0, str(HERE / "clients"))

PER_MINUTE = 2000
WINDOWS = ("sliding", "fixed", "bucket")
SCHEMA = {"summary": str, "score": float}


def schedules(*, speed: float = 1.0) -> dict[str, dict[str, float]]:
    """Return what `schedule` tells of every kind of window, each in a process of its own and all at the same time."""
    command = [sys.executable, __file__]
    asked = {
        window: subprocess.Popen([*command, window, str(speed)], stdout=subprocess.PIPE, text=True)
        for window in WINDOWS
    }
    return {window: json.loads(process.communicate()[0]) for window, process in asked.items()}


def schedule(window: Literal["sliding", "fixed", "bucket"], *, speed: float, rows: int = 10_000) -> dict[str, float]:
    """Return how long rows take at the service's limit, against the ideal, and how often the service refused.

    The ideal sends a window's worth at once whenever the limit allows it. No client can tell from outside which kind
    of window a service has; against a fixed one the ideal of the sliding is meant, as nothing else is safe there.
    With a `speed` above 1 both clocks run faster, and what the machine computes takes longer by that factor.
    """
    with Simulator(latency=1.0, max_per_minute=PER_MINUTE, window=window, speed=speed) as sim:
        _paced(sim.url, 1, api_key="warm-up-key", speed=speed)  # another account imports what is imported lazily
        sim.advance(60.0)
        began = time.perf_counter()
        out = _paced(sim.url, rows, api_key="benchmark-key", speed=speed)
        taken = (time.perf_counter() - began) * speed
        assert out["parallel_status"].eq("completed").all()
        refused = sim.counts.rejected
    ideal = (rows - 1) // PER_MINUTE * 60.0 + 1.0  # the last window opens then, and a run takes a second
    return {"seconds": taken, "ideal": ideal, "ratio": taken / ideal, "refused (429)": refused}


def _paced(url: str, rows: int, *, api_key: str, speed: float) -> pd.DataFrame:
    client = pf.Client(api_key=api_key, base_url=url, max_per_minute=PER_MINUTE, clock_speed=speed)
    df = pd.DataFrame({"company": [f"{api_key} {n}" for n in range(rows)]})
    return df.parallel.enrich(SCHEMA, client=client, checkpoint=None, progress=False)


def delays(*, rows: int = 3000) -> dict[str, float]:
    """Return how many milliseconds pass from a run's end to `on_row`, and to its being durable: median and p99.

    Runs end at any time within 90 seconds, 2,000 a minute. The service writes the end of each; a part's file is
    durable when it gets its name, after its fsync: the last change of its inode, not of its content. Parts are read as
    they come, because later ones put earlier ones together.
    """
    heard: dict[str, float] = {}
    safe: dict[str, float] = {}
    ended: dict[str, float] = {}
    read: set[Path] = set()

    def on_row(row: Row) -> None:
        heard[row.run_id] = time.time()

    with simulator(latency=(2.0, 92.0), max_per_minute=None) as url, tempfile.TemporaryDirectory() as folder:
        client = pf.Client(api_key="benchmark-key", base_url=url, max_per_minute=None)
        df = pd.DataFrame({"company": [f"Company {n}" for n in range(rows)]})
        options: dict[str, Any] = {"client": client, "checkpoint": folder, "progress": False, "on_row": on_row}

        def read_parts() -> None:
            for part in set(Path(folder).glob("*/outcomes/*.parquet")) - read:
                read.add(part)
                at = part.stat().st_ctime
                for outcome in pq.read_table(part, columns=["run_id", "modified_at"]).to_pylist():
                    safe.setdefault(outcome["run_id"], at)
                    ended[outcome["run_id"]] = pd.Timestamp(outcome["modified_at"]).timestamp()

        with ThreadPoolExecutor() as threads:
            run = threads.submit(df.parallel.enrich, SCHEMA, **options)
            while not run.done():
                read_parts()
                time.sleep(0.1)
            run.result()
        read_parts()
    told = [(heard[run_id] - at) * 1e3 for run_id, at in ended.items()]
    durable = [(safe[run_id] - at) * 1e3 for run_id, at in ended.items()]
    assert len(told) == rows
    return {
        "to on_row, ms, median": float(np.median(told)),
        "to on_row, ms, p99": float(np.percentile(told, 99)),
        "to durable, ms, median": float(np.median(durable)),
        "to durable, ms, p99": float(np.percentile(durable, 99)),
    }


def resumes(*, rows: int = 50_000) -> dict[str, float]:
    """Return the seconds in which a job is resumed whose runs have all ended meanwhile, and those of bare listings."""
    import frames
    import httpx
    import orjson
    from common import columns
    from parallel import Parallel

    with lean(latency="0.5") as url, tempfile.TemporaryDirectory() as folder:
        client = pf.Client(api_key="benchmark-key", base_url=url, max_per_minute=None)
        df = pd.DataFrame(columns(rows, turn="run"))
        options: dict[str, Any] = {"processor": "base", "client": client, "checkpoint": folder, "progress": False}
        (group_id,) = df.parallel.submit(frames.SCHEMA, **options).group_ids
        time.sleep(2.0)
        taken = {}
        with _timed(taken, "listing by httpx and orjson, s"), httpx.Client(timeout=60) as http:
            path = f"{url}/v1/tasks/groups/{group_id}/runs?include_output=true"
            with http.stream("GET", path) as response:
                listed = sum(
                    line.startswith("data: ") and bool(orjson.loads(line[6:])) for line in response.iter_lines()
                )
        assert listed == rows
        with _timed(taken, "listing by the SDK, s"), Parallel(api_key="benchmark-key", base_url=url) as sdk:
            assert sum(1 for _ in sdk.task_group.get_runs(group_id, include_output=True)) == rows
        with _timed(taken, "resume, s"):
            out = df.parallel.enrich(frames.SCHEMA, **options)
        assert out["parallel_status"].eq("completed").all()
    return taken


@contextmanager
def _timed(taken: dict[str, float], name: str) -> Iterator[None]:
    began = time.perf_counter()
    yield
    taken[name] = time.perf_counter() - began


def imports(*, turns: int = 7) -> dict[str, float]:
    """Return the seconds that importing the package adds to importing pandas, and pandas' own."""
    code = (
        "import time; a = time.perf_counter(); import pandas; b = time.perf_counter(); import parallel_frames; "
        "print(b - a, time.perf_counter() - b)"
    )
    told = [
        [
            float(part)
            for part in subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout.split()
        ]
        for _ in range(turns)
    ]
    pandas, ours = np.median(np.array(told), axis=0).tolist()
    return {"pandas, s": pandas, "parallel_frames adds, s": ours}


if __name__ == "__main__":
    print(json.dumps(schedule(sys.argv[1], speed=float(sys.argv[2]))))

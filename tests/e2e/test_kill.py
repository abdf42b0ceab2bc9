"""SIGKILL at any moment, the same call again: the same frame, and every distinct input paid for once.

The long form: ``PARALLEL_FRAMES_KILLS=200 pytest -n 0 -s tests/e2e/test_kill.py``.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from parallel_frames.simulator import Simulator

KILLS = int(os.environ.get("PARALLEL_FRAMES_KILLS", "8"))
SPEED = 60.0
ROWS = 900

ENRICH = """
import sys
import pandas as pd
import parallel_frames as pf

df = pd.read_parquet(sys.argv[1])
client = pf.Client(api_key="key", base_url=sys.argv[2], api=sys.argv[5], max_per_minute=None)
print("ready", flush=True)
out = df.parallel.enrich(
    {"name": str, "length": int}, checkpoint=sys.argv[3], client=client, retry_failed=False, progress=False
)
out.to_parquet(sys.argv[4])
"""


def answer(sent: dict) -> dict:
    """Answer with what identifies the row, so that an answer on a wrong row shows."""
    if sent["company"].endswith("7"):
        raise ValueError("no such company")
    return {"name": sent["company"].upper(), "length": len(sent["company"])}


def make_frame() -> pd.DataFrame:
    """Return rows of which a third are duplicates."""
    rng = random.Random(5)
    names = [f"company {rng.randrange(ROWS * 2 // 3)}" for _ in range(ROWS)]
    return pd.DataFrame({"company": names, "n": [len(name) for name in names]}, index=[i // 2 for i in range(ROWS)])


def run_killed(forks: Any, arguments: list[str], *, after: float) -> bool:
    """Run the enrichment in a process; return whether it came to its end before it was killed."""
    child = forks.start([sys.executable, "-c", ENRICH, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n", child.communicate()[1].decode()
        try:
            child.wait(after)
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGKILL)
        _, trouble = child.communicate()
        assert child.returncode in (0, -signal.SIGKILL), trouble.decode()
        return child.returncode == 0
    finally:
        child.kill()
        child.wait()


@pytest.mark.timeout(3000)
@pytest.mark.parametrize("api", ["published", "seed"])
def test_killed_anywhere_it_pays_once_and_answers_every_row(forks: Any, tmp_path: Path, api: str) -> None:
    """However often the process dies, the frame equals an undisturbed one and each distinct input has one run."""
    df = make_frame()
    df.to_parquet(tmp_path / "rows.parquet")
    rng = random.Random(KILLS)
    kills = 0
    with Simulator(answer, latency=(1.0, 40.0), max_per_minute=None, speed=SPEED, dialect=api) as sim:
        os.environ["PARALLEL_FRAMES_CLOCK_SPEED"] = str(SPEED)
        try:
            for turn in range(10_000):
                checkpoint = tmp_path / f"ck{turn}"
                before = len(sim.runs())
                target = tmp_path / f"out{turn}.parquet"
                arguments = [str(tmp_path / "rows.parquet"), sim.url, str(checkpoint), str(target), api]
                for _ in range(min(60, KILLS - kills)):
                    if run_killed(forks, arguments, after=rng.choice([0.02, 0.1, 0.3, 1.0]) * rng.random() + 0.01):
                        break
                    kills += 1
                else:
                    assert run_killed(forks, arguments, after=60)
                out = pd.read_parquet(target)
                paid = Counter((run.metadata["key"], run.metadata["attempt"]) for run in sim.runs()[before:])
                assert len(paid) == df["company"].nunique()
                assert set(paid.values()) == {1}
                expected = [None if name.endswith("7") else name.upper() for name in df["company"]]
                assert [None if pd.isna(name) else name for name in out["name"]] == expected
                assert out["parallel_status"].isin(["completed", "failed"]).all()
                pd.testing.assert_frame_equal(out[["company", "n"]], df)
                if kills >= KILLS:
                    break
        finally:
            del os.environ["PARALLEL_FRAMES_CLOCK_SPEED"]
    print(f"{kills} kills over {turn + 1} enrichments, {time.process_time():.0f} s of CPU")  # noqa: T201 - the long form's figure

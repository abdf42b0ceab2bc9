"""Ctrl-C at random moments of one process: each time it stops, leaks nothing, and the same call resumes."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from parallel_frames.simulator import Simulator

INTERRUPTS = int(os.environ.get("PARALLEL_FRAMES_INTERRUPTS", "8"))
SPEED = 60.0

PATIENT = """
import os, sys, threading, gc
import pandas as pd
import parallel_frames as pf

df = pd.DataFrame({"company": [f"company {n}" for n in range(600)]})
client = pf.Client(api_key="key", base_url=sys.argv[1], max_per_minute=None)
df.head(1).parallel.enrich({"name": str}, client=client, checkpoint=sys.argv[2])  # imports, caches, the first file

def left_over():
    gc.collect()
    links = [f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd")]
    files = [os.readlink(link) for link in links if os.path.lexists(link)]
    return [name for name in files if name.startswith("socket:") or "lock" in name], threading.active_count()

calm = left_over()
print("ready", flush=True)
while True:
    try:
        out = df.parallel.enrich({"name": str}, client=client, checkpoint=sys.argv[2], progress=False)
        break
    except KeyboardInterrupt:
        assert left_over() == calm, left_over()
        print("interrupted", flush=True)
assert out["name"].tolist() == df["company"].str.upper().tolist()
print("done", flush=True)
"""


def answer(sent: dict[str, Any]) -> dict[str, Any]:
    """Answer with what identifies the row."""
    return {"name": sent["company"].upper()}


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="looks at the process's open files")
@pytest.mark.timeout(600)
def test_ctrl_c_at_random_moments_leaks_nothing_and_pays_once(forks: Any, tmp_path: Path) -> None:
    """No socket, lock or thread outlives an interrupted call, and every distinct row has one run in the end."""
    rng = random.Random(INTERRUPTS)
    with Simulator(answer, latency=(1, 300), max_per_minute=None, speed=SPEED) as sim:
        child = forks.start(
            [sys.executable, "-u", "-c", PATIENT, sim.url, str(tmp_path / "ck")],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PARALLEL_FRAMES_CLOCK_SPEED": str(SPEED)},
        )
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n", child.communicate()[1]
            for _ in range(INTERRUPTS):
                time.sleep(0.02 + rng.choice([0.05, 0.3, 0.8]) * rng.random())
                child.send_signal(signal.SIGINT)
                line = child.stdout.readline()
                if line != "interrupted\n":
                    assert line == "done\n", child.communicate()[1]
                    break
            told, trouble = child.communicate(timeout=300)
            assert child.returncode in (0, 1, -signal.SIGINT), trouble
            assert line == "done\n" or told.endswith("done\n"), trouble
        finally:
            child.kill()
            child.wait()
        assert set(Counter(run.metadata["key"] for run in sim.runs()).values()) == {1}
        assert sim.counts.runs == 600

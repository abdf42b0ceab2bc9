"""Whole enrichments whose checkpoint is an address: killed, resumed elsewhere, disturbed, and paid for once."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import parallel_frames as pf
from parallel_frames.errors import CheckpointError, CheckpointLockedError
from parallel_frames.simulator import Simulator

SPEED = 50.0
ROWS = 300
ADDRESS = "s3://bucket/companies.ckpt"
ENRICH = """
import sys
import pandas as pd
import parallel_frames as pf

df = pd.DataFrame({"company": [f"company {n // 2}" for n in range(int(sys.argv[2]))]})
client = pf.Client(api_key="key-of-the-service", base_url=sys.argv[1], max_per_minute=None)
out = df.parallel.enrich({"name": str}, checkpoint=sys.argv[3], client=client, progress=False)
assert (out["name"] == df["company"].str.upper()).all()
print(pf.last().checkpoint)
"""


def answer(sent: dict[str, Any]) -> dict[str, Any]:
    """Answer with what identifies the row."""
    return {"name": sent["company"].upper()}


def make_frame() -> pd.DataFrame:
    """Return rows of which half are duplicates."""
    return pd.DataFrame({"company": [f"company {n // 2}" for n in range(ROWS)]})


@pytest.fixture
def process(forks: Any, tmp_path: Path) -> Callable[[Simulator, str], Any]:
    """Begin the enrichment in another process with a cache of its own."""

    def start(sim: Simulator, name: str) -> Any:
        environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / name), "PARALLEL_FRAMES_CLOCK_SPEED": str(SPEED)}
        command = [sys.executable, "-c", ENRICH, sim.url, str(ROWS), ADDRESS]
        return forks.start(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    return start


def finish(child: Any) -> str:
    """Wait for a process and return what it printed."""
    printed, errors = child.communicate(timeout=100)
    assert child.returncode == 0, errors.decode()
    return printed.decode()


def assert_paid_once(sim: Simulator) -> None:
    """Every distinct input has exactly one run."""
    paid = Counter((run.metadata["key"], run.metadata["attempt"]) for run in sim.runs())
    assert len(paid) == ROWS // 2
    assert set(paid.values()) == {1}


def test_a_second_process_finds_what_the_first_paid_for(s3: Any, process: Any) -> None:
    """The address is what messages name, and no secret is in what is stored."""
    with Simulator(answer, latency=0, speed=SPEED, max_per_minute=None) as sim:
        for name in ("one", "other"):
            assert finish(process(sim, name)).startswith(ADDRESS)
        assert_paid_once(sim)
    stored = s3.objects()
    assert not any(name.endswith("writer.json") for name in stored)
    everything = b"".join(stored.values())
    for secret in (s3.environment["AWS_SECRET_ACCESS_KEY"], "key-of-the-service"):
        assert secret.encode() not in everything


@pytest.mark.parametrize(("after", "elsewhere"), [(1, True), (2, False), (4, True)])
def test_killed_and_resumed_it_pays_once(s3: Any, process: Any, after: int, elsewhere: bool) -> None:
    """The same machine goes on by itself; another one once the dead writer's checkpoint was unlocked."""
    with Simulator(answer, latency=(1, 60), speed=SPEED, max_per_minute=None) as sim:
        child = process(sim, "one")
        deadline = time.monotonic() + 60
        while len([name for name in s3.names() if name.endswith(".parquet")]) < after:
            assert time.monotonic() < deadline
            assert child.poll() is None, child.communicate()[1].decode()
            time.sleep(0.01)
        child.send_signal(signal.SIGKILL)
        child.communicate()
        if elsewhere:
            (name,) = [name for name in s3.names() if name.endswith("writer.json")]
            s3.put(name, json.dumps({**json.loads(s3.objects()[name]), "host": "elsewhere", "machine": "m"}).encode())
            child = process(sim, "two")
            assert b"on elsewhere" in child.communicate()[1]
            before = sim.counts.posts
            pf.Checkpoint(ADDRESS).unlock(force=True)
            assert sim.counts.posts == before
        finish(process(sim, "three"))
        assert_paid_once(sim)


def test_a_store_that_fails_in_the_middle_stops_the_call_and_lets_it_go_on(s3: Any) -> None:
    """What was stored is safe, the message says what to do, and nothing is paid twice."""
    puts = [0]

    def fault(method: str, path: str) -> str | None:
        puts[0] += method == "PUT" and "outcomes" in path
        return "refuse" if puts[0] > 1 else None

    with Simulator(answer, latency=(1, 200), speed=SPEED, max_per_minute=None) as sim:
        client = pf.Client(api_key="key", base_url=sim.url, clock_speed=SPEED, max_per_minute=None)
        s3.fault = fault
        with pytest.raises(CheckpointError, match=r"(?s)could not be .*is safe") as caught:
            make_frame().parallel.enrich({"name": str}, client=client, checkpoint=ADDRESS, progress=False)
        assert s3.environment["AWS_SECRET_ACCESS_KEY"] not in str(caught.value)
        s3.mend()
        out = make_frame().parallel.enrich({"name": str}, client=client, checkpoint=ADDRESS, progress=False)
        assert (out["name"] == out["company"].str.upper()).all()
        assert_paid_once(sim)


def test_a_store_that_loses_answers_costs_nothing(s3: Any) -> None:
    """A store that does what it is asked and says it did not is believed by what is there."""
    count = [0]

    def fault(method: str, path: str) -> str | None:
        count[0] += 1
        return "lose" if method == "PUT" and count[0] % 3 == 0 else None

    with Simulator(answer, latency=(1, 60), speed=SPEED, max_per_minute=None) as sim:
        client = pf.Client(api_key="key", base_url=sim.url, clock_speed=SPEED, max_per_minute=None)
        s3.fault = fault
        for _ in range(20):
            try:
                make_frame().parallel.enrich({"name": str}, client=client, checkpoint=ADDRESS, progress=False)
                break
            except CheckpointError:
                continue
        assert_paid_once(sim)


def test_two_machines_at_once_are_refused(s3: Any) -> None:
    """The second gets an error that names the first; it may plan all the same."""
    with Simulator(answer, latency=1000, speed=1, max_per_minute=None) as sim:
        client = pf.Client(api_key="key", base_url=sim.url, max_per_minute=None)
        first = make_frame().parallel.submit({"name": str}, client=client, checkpoint=ADDRESS, progress=False)
        (folder,) = {name.rpartition("/receipts/")[0] for name in s3.names() if "/receipts/" in name}
        beat = time.time()
        s3.put(f"{folder}/writer.json", json.dumps({"host": "elsewhere", "pid": 7, "beat": beat}).encode())
        with pytest.raises(CheckpointLockedError, match="process 7 on elsewhere"):
            make_frame().parallel.enrich({"name": str}, client=client, checkpoint=ADDRESS, progress=False)
        plan = make_frame().parallel.plan({"name": str}, client=client, checkpoint=ADDRESS)
        assert str(plan.checkpoint).startswith(ADDRESS)
        assert_paid_once(sim)
        assert first.group_ids

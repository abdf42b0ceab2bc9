"""Disks that are full or may not be written: an error that says what is safe, and nothing lost or paid twice."""

import os
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import parallel_frames as pf
from parallel_frames.errors import CheckpointError
from parallel_frames.simulator import Simulator

SPEED = 50.0


def answer(sent: dict[str, Any]) -> dict[str, Any]:
    """Answer at a length that fills a small disk, and cannot be compressed."""
    return {"name": sent["company"].upper(), "noise": os.urandom(2_000).hex()}


@pytest.fixture
def small_disk(tmp_path: Path) -> Any:
    """Give a file system of 1 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("this user may not mount a small file system")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_stops_the_call_and_room_lets_it_go_on(small_disk: Path) -> None:
    """What was stored is safe, the message says so, and after making room nothing is paid twice."""
    df = pd.DataFrame({"company": [f"company {n}" for n in range(600)]})
    schema = {"name": str, "noise": str}
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 300_000)
    with Simulator(answer, latency=(1, 200), speed=SPEED, max_per_minute=None) as sim:
        client = pf.Client(api_key="key", base_url=sim.url, clock_speed=SPEED, max_per_minute=None)
        with pytest.raises(CheckpointError, match=r"(?s)No space left.*make room.*Run the same again"):
            df.parallel.enrich(schema, client=client, checkpoint=small_disk / "ck", progress=False)
        assert sim.counts.runs == 600
        ballast.unlink()
        subprocess.run(["mount", "-o", "remount,size=50m", str(small_disk)], check=True)
        out = df.parallel.enrich(schema, client=client, checkpoint=small_disk / "ck", progress=False)
        assert out["name"].tolist() == out["company"].str.upper().tolist()
        assert set(Counter(run.metadata["key"] for run in sim.runs()).values()) == {1}
        assert not list(small_disk.rglob("*.tmp"))


def test_a_directory_that_may_not_be_written_is_refused_before_anything_is_sent(small_disk: Path) -> None:
    """A read-only place is named in a CheckpointError, and no run is created."""
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    df = pd.DataFrame({"company": ["a"]})
    with Simulator(latency=0) as sim:
        client = pf.Client(api_key="key", base_url=sim.url)
        with pytest.raises(CheckpointError, match=r"ck.*Read-only file system"):
            df.parallel.enrich({"name": str}, client=client, checkpoint=small_disk / "ck", progress=False)
        assert sim.counts.posts == 0

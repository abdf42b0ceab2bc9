"""A refresh is over when its answers are where they belong: stopped on the way there, it is not paid for again."""

import itertools
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import parallel_frames as pf
from parallel_frames.errors import EnrichmentError, ParallelFramesError
from parallel_frames.simulator import Failure, Simulator, faults

KEY = "an-account-of-tests"
# End the process, without any cleaning up, when a file is about to get the target's name.
DYING = """
import os, sys
target, how = sys.argv[1:]
def hook(event, arguments):
    if event in ("os.rename", "os.link") and str(arguments[1]).endswith(target):
        os._exit(9)
if how == "die":
    sys.addaudithook(hook)
"""
FILE = (
    DYING
    + """
import parallel_frames as pf
client = pf.Client(api_key=os.environ["PARALLEL_API_KEY"], base_url=os.environ["PARALLEL_BASE_URL"])
options = {"client": client, "refresh": True, "overwrite": True, "progress": False}
pf.enrich_parquet("rows.parquet", "out.parquet", {"size": int}, **options)
"""
)
COMMAND = (
    DYING
    + """
from parallel_frames.__main__ import main
sys.argv[1:] = ["enrich", "rows.csv", "out.csv", "--column", "size (int)"]
sys.argv += ["--refresh", "--overwrite", "--yes", "--no-progress"]
sys.exit(main())
"""
)


def size(sent: dict[str, Any]) -> dict[str, int]:
    """Answer with the length of the name."""
    return {"size": len(sent["company"])}


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give an empty directory with rows in it, and an empty cache."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    rows().to_parquet("rows.parquet")
    rows().to_csv("rows.csv", index=False)
    return tmp_path


def rows() -> pd.DataFrame:
    """Return three rows."""
    return pd.DataFrame({"company": ["Acme", "Globex", "Initech"]})


def options(sim: Simulator) -> dict[str, Any]:
    """Return what a call to the simulator needs."""
    return {"client": pf.Client(api_key=KEY, base_url=sim.url), "progress": False}


@pytest.mark.parametrize(("code", "target"), [(FILE, "out.parquet"), (COMMAND, "out.csv")], ids=["file", "command"])
def test_killed_while_the_target_is_written(code: str, target: str) -> None:
    """The same call again finds every answer, writes the target, and ends the refresh: the next one pays."""
    with Simulator(size, latency=0) as sim:
        rows().parallel.enrich({"size": int}, **options(sim))
        variables = {**os.environ, "PARALLEL_API_KEY": KEY, "PARALLEL_BASE_URL": sim.url}

        def call(how: str) -> int:
            line = [sys.executable, "-c", code, target, how]
            return subprocess.run(line, env=variables, capture_output=True, timeout=60, check=False).returncode

        assert (call("die"), sim.counts.runs, Path(target).exists()) == (9, 6, False)
        assert (call("live"), sim.counts.runs, Path(target).exists()) == (0, 6, True)
        assert (call("live"), sim.counts.runs) == (0, 9)


def test_a_target_that_could_not_be_written() -> None:
    """What the error promises holds: with room made, the same call pays for nothing twice."""
    with Simulator(size, latency=0) as sim:
        call: dict[str, Any] = {"refresh": True, **options(sim)}
        rows().parallel.enrich({"size": int}, **options(sim))
        with pytest.raises(ParallelFramesError):
            pf.enrich_parquet(
                "rows.parquet", "out.parquet", {"size": int}, on_row=lambda _: Path("out.parquet").touch(), **call
            )
        Path("out.parquet").unlink()
        pf.enrich_parquet("rows.parquet", "out.parquet", {"size": int}, **call)
        assert sim.counts.runs == 6


def test_failures_that_raise() -> None:
    """`on_error="raise"` with a refresh: the same call again tries the failed row, and no other."""

    def answer(sent: dict[str, Any]) -> Any:
        return Failure("down") if sent["company"] == "Acme" else size(sent)

    with Simulator(answer, latency=0) as sim:
        call: dict[str, Any] = {"refresh": True, "on_error": "raise", **options(sim)}
        for runs in (3, 4, 5):
            with pytest.raises(EnrichmentError):
                rows().parallel.enrich({"size": int}, **call)
            assert sim.counts.runs == runs


@pytest.mark.parametrize("end", ["frame", "file"])
def test_a_refresh_that_ran_out_of_time(end: str) -> None:
    """The same call again asks what was not asked, waits for what was, and pays for nothing twice."""
    created = itertools.count(1)

    def latency(_: Any) -> float:
        return 1_000 if next(created) in (5, 6) else 1

    with Simulator(size, latency=latency, speed=20) as sim:
        client = pf.Client(api_key=KEY, base_url=sim.url, clock_speed=20)
        call: dict[str, Any] = {"client": client, "progress": False}

        def refresh(**more: Any) -> list[Any]:
            if end == "frame":
                return rows().parallel.enrich({"size": int}, refresh=True, **call, **more)["size"].tolist()
            pf.enrich_parquet(
                "rows.parquet", "out.parquet", {"size": int}, refresh=True, overwrite=True, **call, **more
            )
            return pd.read_parquet("out.parquet")["size"].tolist()

        rows().parallel.enrich({"size": int}, **call)
        refresh(timeout=60)
        assert sim.counts.runs == 6
        sim.advance(2_000)
        assert refresh() == [4, 6, 7]
        assert sim.counts.runs == 6
        refresh()
        assert sim.counts.runs == 9


def test_a_refresh_that_another_call_delivers() -> None:
    """What was submitted to be refreshed and fetched by a call without refresh= is over; the next refresh pays."""
    with Simulator(size, latency=0) as sim:
        call: dict[str, Any] = options(sim)
        rows().parallel.enrich({"size": int}, **call)
        rows().parallel.submit({"size": int}, refresh=True, **call)
        assert sim.counts.runs == 6
        rows().parallel.enrich({"size": int}, **call)
        rows().parallel.enrich({"size": int}, refresh=True, **call)
        assert sim.counts.runs == 9


def test_a_run_that_cannot_end_keeps_its_refresh_open(caplog: pytest.LogCaptureFixture) -> None:
    """The same call again pays for no other row a second time, and says that it continues."""
    with Simulator(size, latency=1, speed=20) as sim:
        client = pf.Client(api_key=KEY, base_url=sim.url, clock_speed=20)
        call: dict[str, Any] = {"client": client, "progress": False}
        rows().parallel.enrich({"size": int}, **call)
        sim.add_faults(faults.require_action(nth=1))
        for _ in range(2):
            rows().parallel.enrich({"size": int}, refresh=True, **call)
            assert sim.counts.runs == 6
    assert "continues a refresh that is not over" in caplog.text

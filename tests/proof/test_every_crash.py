"""A small job is stopped at every step of its files and of the service, resumed, and counted: nothing is paid twice.

Each client is forked from a preloaded process. It ends itself, without any cleaning up, at the n-th operation on its
checkpoint or target; or the service kills it when its n-th request comes in, or right before that is answered. Then
another client makes the same call. The default run takes every third step, each dialect and end another third; all of
them: ``PARALLEL_FRAMES_CRASHES=all pytest tests/proof``.
"""

import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from starlette.responses import Response

from parallel_frames.simulator import Failure, Simulator
from parallel_frames.simulator.faults import RequestFault

STRIDE = 1 if os.environ.get("PARALLEL_FRAMES_CRASHES") == "all" else 3
SPEED = 1000.0
ENDPOINTS = ("create_group", "add_runs", "status", "events", "list_runs", "result")
DEAD = 9
ROWS = ["a", "b", "bad", "a", "c", "d"]  # five distinct inputs, of which one fails

# One call of a client, whose arguments are JSON.
CLIENT = """
import json, os, sys
import pandas as pd
import parallel_frames as pf

FILES = {"open", "os.rename", "os.link", "os.remove", "os.mkdir", "os.truncate", "os.rmdir"}

def watch(folder, dies_at):
    count = 0
    def hook(event, arguments):
        nonlocal count
        if event not in FILES or not str(arguments[0]).startswith(folder):
            return
        if event == "open" and not (arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)):
            return
        count += 1
        if count == dies_at:
            os._exit(9)
    sys.addaudithook(hook)
    return lambda: count

def call(end, folder, source, url, api, dies_at):
    counted = watch(folder, dies_at)
    client = pf.Client(api_key="key", base_url=url, api=api, clock_speed=SPEED, max_per_minute=3)
    options = {"client": client, "progress": False, "checkpoint": folder + "/checkpoint"}
    if end == "frame":
        out = pd.read_parquet(source).parallel.enrich({"name": str}, **options)
        out.to_parquet(source + ".out")
    else:
        pf.enrich_parquet(source, folder + "/out.parquet", {"name": str}, overwrite=True, **options)
    return counted()

arguments = json.loads(sys.argv[1])
steps = call(**arguments)
with open(arguments["source"] + ".steps", "w") as file:
    file.write(str(steps))
os._exit(0)  # an interpreter's own shutdown takes longer than the call
""".replace("SPEED", str(SPEED))


@dataclass(frozen=True, slots=True, kw_only=True)
class KillClient(RequestFault):
    """Kill the client when a request comes in, before it is handled or before it is answered."""

    kill: Callable[[], None]
    handled: bool = False

    async def strike(self, exchange: Any, proceed: Any) -> Any:
        """Handle the request or not, and kill the client."""
        if self.handled:
            await proceed()
        self.kill()
        return Response(status_code=503)


def answer(sent: dict[str, Any]) -> Any:
    """Answer with what identifies the row."""
    return Failure("no such company") if "bad" in sent["company"] else {"name": sent["company"].upper()}


class Clients:
    """Clients of the service, and the calls they make."""

    def __init__(self, forks: Any, sim: Simulator, *, end: str, api: str, folder: Path) -> None:
        self._forks, self._sim, self._end, self._api, self._folder = forks, sim, end, api, folder
        self._pid = 0

    def kill(self) -> None:
        """Kill the client that is at work."""
        while not self._pid:  # its first request may come before its id was read
            time.sleep(0.001)
        os.kill(self._pid, signal.SIGKILL)

    def source(self, name: str) -> Path:
        """Return a file of rows that no other step has."""
        path = self._folder / f"{name}.parquet"
        pd.DataFrame({"company": [f"{row} {name}" for row in ROWS]}).to_parquet(path)
        return path

    def call(self, source: Path, *, dies_at: int = 0) -> int:
        """Make the call in a client of its own, and return how that ended."""
        self._pid = 0
        arguments = {"end": self._end, "folder": f"{source}.d", "source": str(source), "url": self._sim.url}
        asked = json.dumps({**arguments, "api": self._api, "dies_at": dies_at})
        child = self._forks.start([sys.executable, "-c", CLIENT, asked])
        self._pid = child.pid
        return int(child.wait())

    def check(self, source: Path, ended: int) -> None:
        """Resume what was stopped; each row has its own answer, and each attempt at an input was created once."""
        assert ended in (0, DEAD, -signal.SIGKILL), ended
        assert self.call(source) == 0
        out = pd.read_parquet(f"{source}.out" if self._end == "frame" else Path(f"{source}.d") / "out.parquet")
        expected = [None if "bad" in row else row.upper() for row in out["company"]]
        assert [None if pd.isna(name) else name for name in out["name"]] == expected
        name = source.stem
        ours = [run for run in self._sim.runs() if run.input["company"].endswith(f" {name}")]
        created = Counter((run.metadata["key"], run.metadata["attempt"]) for run in ours if run.metadata)
        assert set(created.values()) == {1}, (name, created)
        assert len({key for key, _ in created}) == len(set(ROWS))
        again = [run for run in ours if run.metadata and run.metadata["attempt"] != "0"]
        assert all("bad" in run.input["company"] for run in again), "only what failed is asked again"


@pytest.fixture(params=["published", "seed"])
def api(request: pytest.FixtureRequest) -> str:
    """Give each dialect."""
    return str(request.param)


@pytest.fixture(params=["frame", "file"])
def end(request: pytest.FixtureRequest) -> str:
    """Give each end."""
    return str(request.param)


@pytest.fixture
def sim(api: str) -> Iterator[Simulator]:
    """Give a service whose clock is as fast as the clients'."""
    with Simulator(answer, latency=0, speed=SPEED, max_per_minute=None, dialect=api) as running:
        yield running


@pytest.fixture
def clients(forks: Any, sim: Simulator, end: str, api: str, tmp_path: Path) -> Clients:
    """Give clients of the service."""
    return Clients(forks, sim, end=end, api=api, folder=tmp_path)


def phase(end: str, api: str) -> int:
    """Return with which step to begin: each dialect and end takes other ones."""
    return (("frame", "file").index(end) * 2 + ("published", "seed").index(api)) % STRIDE + 1


def test_stopped_at_any_operation_on_a_file_it_resumes(clients: Clients, end: str, api: str) -> None:
    """Whatever was written when the client died, the next call completes the job and pays for nothing twice."""
    whole = clients.source("whole")
    assert clients.call(whole) == 0
    steps = int(Path(f"{whole}.steps").read_text())
    assert steps > 20
    clients.check(whole, 0)
    for step in range(phase(end, api), steps + 1, STRIDE):
        source = clients.source(f"step-{step}")
        clients.check(source, clients.call(source, dies_at=step))


@pytest.mark.parametrize("handled", [False, True])
def test_stopped_at_any_request_it_resumes(clients: Clients, sim: Simulator, *, handled: bool) -> None:
    """Whether or not the service handled the request that the client died of, the next call completes the job."""
    whole = clients.source("whole")
    before = sim.counts.requests
    assert clients.call(whole) == 0
    requests = sim.counts.requests - before
    assert requests >= 4
    for number in range(1, requests + 1):
        sim.add_faults(KillClient(on=ENDPOINTS, nth=number, kill=clients.kill, handled=handled))
        source = clients.source(f"request-{number}")
        ended = clients.call(source)
        sim.clear_faults()
        clients.check(source, ended)

"""A plain caller of the simulator: httpx, and no code of the package's own client."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import httpx
import orjson
import pytest

from parallel_frames.simulator import Simulator

SCHEMA = {
    "type": "object",
    "properties": {"capital": {"type": "string"}, "population": {"type": "integer"}},
    "required": ["capital", "population"],
    "additionalProperties": False,
}
SPEC = {"output_schema": {"type": "json", "json_schema": SCHEMA}}


class Caller:
    """Speaks the published dialect to one simulator."""

    def __init__(self, sim: Simulator, http: httpx.Client) -> None:
        self.sim = sim
        self.http = http

    def create_group(self, **body: Any) -> str:
        """Create a group and return its id."""
        return self.http.post("/v1/tasks/groups", json=body).raise_for_status().json()["taskgroup_id"]

    def add(self, group: str, *inputs: Any, **fields: Any) -> httpx.Response:
        """Add one run for each input, all with the same other fields."""
        spec = fields.pop("default_task_spec", SPEC)
        runs = [{"input": i, "processor": "base", **fields} for i in inputs]
        body = orjson.dumps({"default_task_spec": spec, "inputs": runs})
        return self.http.post(f"/v1/tasks/groups/{group}/runs", content=body)

    def raw(self, group: str, leaf: str = "events", **query: Any) -> bytes:
        """Read a stream to its end, or to where it broke; the error is lost on purpose."""
        data = b""
        with self.http.stream("GET", f"/v1/tasks/groups/{group}/{leaf}", params=query) as response:
            response.raise_for_status()
            try:
                for chunk in response.iter_raw():
                    data += chunk
            except httpx.TransportError:
                pass
        return data

    def events(self, group: str, leaf: str = "events", **query: Any) -> list[dict[str, Any]]:
        """Return the events of a stream, parsed."""
        return parse_events(self.raw(group, leaf, **{"include_output": "true", **query}))

    def outcomes(self, group: str, **query: Any) -> list[dict[str, Any]]:
        """Return the events of runs, without statuses."""
        return [event for event in self.events(group, **query) if event["type"] == "task_run.state"]


def parse_events(data: bytes) -> list[dict[str, Any]]:
    """Parse complete single-line events; what is broken is left out."""
    lines = [line.removeprefix(b"data: ") for line in data.split(b"\n\n")[:-1] if line.startswith(b"data: ")]
    return [orjson.loads(line) for line in lines]


@pytest.fixture
def simulate():
    """Give a function that starts a simulator and returns a caller of it; everything is stopped afterwards.

    Unless a test says otherwise events have their outputs, so that one reading shows what a run answers.
    """
    with ExitStack() as stack:

        def start(answers: Any = None, **options: Any) -> Caller:
            options = {"latency": 0.02, "events_honour_include_output": True, **options}
            sim = stack.enter_context(Simulator(answers, **options))
            http = httpx.Client(base_url=sim.url, headers={"x-api-key": "any"}, timeout=20, verify=False)
            return Caller(sim, stack.enter_context(http))

        yield start

"""What the engine's tests share: a frame, an answer that shows its row, and a client on the simulator's clock."""

import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pandas as pd
import pytest

import parallel_frames as pf
from parallel_frames.simulator import Failure, Simulator
from parallel_frames.simulator.faults import StreamFault

SPEED = 100.0
SECRET = "sk-engine-0123456789"
SCHEMA = {"name": str}


def answer(sent: dict[str, Any]) -> Any:
    """Answer with what identifies the row."""
    return Failure("no such company") if "bad" in sent["company"] else {"name": sent["company"].upper()}


def frame(*numbers: int) -> pd.DataFrame:
    """Return rows, one per number."""
    return pd.DataFrame({"company": [f"company {n}" for n in numbers]})


def client(sim: Simulator, **options: Any) -> pf.Client:
    """Return a client of the simulator whose clock is as fast."""
    return pf.Client(**{"api_key": SECRET, "base_url": sim.url, "clock_speed": SPEED, **options})


def enrich(sim: Simulator, df: pd.DataFrame, checkpoint: Path | None, **options: Any) -> pd.DataFrame:
    """Enrich against the simulator."""
    user = client(sim, **options.pop("client", {}))
    return df.parallel.enrich(SCHEMA, client=user, checkpoint=checkpoint, progress=False, **options)


def paid(sim: Simulator) -> Counter[tuple[str, str]]:
    """Return how often each (key, attempt) was created."""
    return Counter((run.metadata["key"], run.metadata["attempt"]) for run in sim.runs() if run.metadata)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedEvents(StreamFault):
    """Streams or lists whose events are changed by a function; None leaves one out, bytes are sent as they are."""

    change: Any = None

    async def bend(self, frames: Any, *, rng: Any) -> Any:
        """Change each event."""
        async for chunk in frames:
            yield [changed for data in chunk if (changed := self._changed(data)) is not None]

    def _changed(self, data: bytes) -> bytes | None:
        if not data.startswith(b"data: "):
            return data
        event = self.change(orjson.loads(data[6:]))
        if event is None:
            return None
        return b"data: " + (event if isinstance(event, bytes) else orjson.dumps(event)) + b"\n\n"


def without_outputs(on: Any) -> ChangedEvents:
    """Return streams and lists in which completed runs have no output, as after the end of their retention."""
    return ChangedEvents(on=on, change=lambda event: {**event, "output": None})


@pytest.fixture(autouse=True)
def _the_key_is_nowhere(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> Iterator[None]:
    """After every scenario, the API key stands in no log line of any level and in no file."""
    with caplog.at_level(logging.DEBUG):
        yield
    assert SECRET not in caplog.text
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]
    last = pf.last()
    assert last is None or SECRET not in repr(last)


@pytest.fixture
def engine() -> SimpleNamespace:
    """Give the functions above to tests."""
    return SimpleNamespace(
        SPEED=SPEED, SCHEMA=SCHEMA, answer=answer, frame=frame, client=client, enrich=enrich, paid=paid,
        ChangedEvents=ChangedEvents, without_outputs=without_outputs,
    )  # fmt: skip

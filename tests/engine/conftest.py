"""What the engine's tests share: a frame, an answer that shows its row, and a client on the simulator's clock."""

from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

import parallel_frames as pf
from parallel_frames.simulator import Failure, Simulator

SPEED = 100.0
SCHEMA = {"name": str}


def answer(sent: dict[str, Any]) -> Any:
    """Answer with what identifies the row."""
    return Failure("no such company") if "bad" in sent["company"] else {"name": sent["company"].upper()}


def frame(*numbers: int) -> pd.DataFrame:
    """Return rows, one per number."""
    return pd.DataFrame({"company": [f"company {n}" for n in numbers]})


def client(sim: Simulator, **options: Any) -> pf.Client:
    """Return a client of the simulator whose clock is as fast."""
    return pf.Client(**{"api_key": "key", "base_url": sim.url, "clock_speed": SPEED, **options})


def enrich(sim: Simulator, df: pd.DataFrame, checkpoint: Path | None, **options: Any) -> pd.DataFrame:
    """Enrich against the simulator."""
    user = client(sim, **options.pop("client", {}))
    return df.parallel.enrich(SCHEMA, client=user, checkpoint=checkpoint, progress=False, **options)


def paid(sim: Simulator) -> Counter[tuple[str, str]]:
    """Return how often each (key, attempt) was created."""
    return Counter((run.metadata["key"], run.metadata["attempt"]) for run in sim.runs() if run.metadata)


@pytest.fixture
def engine() -> SimpleNamespace:
    """Give the functions above to tests."""
    return SimpleNamespace(
        SPEED=SPEED, SCHEMA=SCHEMA, answer=answer, frame=frame, client=client, enrich=enrich, paid=paid
    )

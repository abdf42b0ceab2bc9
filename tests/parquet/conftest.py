"""What tests of files share: rows with duplicates and a gap, answers that show their row, clients on the same clock."""

import gc
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

import parallel_frames as pf
from parallel_frames.simulator import Failure, Simulator

SPEED = 100.0
SCHEMA = {"name": str, "length": int}


def answer(sent: dict[str, Any]) -> Any:
    """Answer with what identifies the row."""
    company = sent["company"]
    return Failure("no such company") if "bad" in company else {"name": company.upper(), "length": len(company)}


def rows(*numbers: int) -> pd.DataFrame:
    """Return rows, one per number."""
    return pd.DataFrame({"company": [f"company {n}" for n in numbers], "size": [float(n) for n in numbers]})


def paid(sim: Simulator) -> Counter[tuple[str, str]]:
    """Return how often each (key, attempt) was created."""
    return Counter((run.metadata["key"], run.metadata["attempt"]) for run in sim.runs() if run.metadata)


def assert_paid_once(sim: Simulator, *, runs: int) -> None:
    """Every distinct input has exactly one run."""
    assert sim.counts.runs == runs
    assert set(paid(sim).values()) <= {1}


def beside(target: Path) -> set[str]:
    """Return the names of what a call left beside its target, hidden files included."""
    known = {target.name, f"{target.name}.ckpt", f"{target.name}.manifest.json"}
    return {path.name for path in target.parent.iterdir()} - known


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep checkpoints that are not named in a directory of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(autouse=True)
def _unclosed() -> Iterator[None]:
    """Have what a test leaves unclosed complain within that test."""
    yield
    gc.collect()


@pytest.fixture
def sim() -> Iterator[Simulator]:
    """Serve without a limit, a hundred times as fast as the wall."""
    with Simulator(answer, latency=(1.0, 5.0), max_per_minute=None, speed=SPEED) as simulator:
        yield simulator


@pytest.fixture
def enrich(sim: Simulator) -> Callable[..., pf.EnrichedParquet]:
    """Enrich files against the test's simulator."""

    def run(source: Any, target: Any, schema: object = SCHEMA, **options: Any) -> pf.EnrichedParquet:
        client = pf.Client(**{
            "api_key": "key", "base_url": sim.url, "clock_speed": SPEED, "max_per_minute": None,
            **options.pop("client", {}),
        })  # fmt: skip
        return pf.enrich_parquet(source, target, schema, client=client, progress=False, **options)

    return run


@pytest.fixture
def files() -> SimpleNamespace:
    """Give the functions above to tests."""
    return SimpleNamespace(
        SPEED=SPEED,
        SCHEMA=SCHEMA,
        answer=answer,
        rows=rows,
        paid=paid,
        assert_paid_once=assert_paid_once,
        beside=beside,
    )

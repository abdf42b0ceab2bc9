"""What the tests of every engine share: rows, the answers to them, and that each distinct input is paid once."""

from __future__ import annotations

from collections import Counter

import pandas as pd
import pytest

import parallel_frames as pf
from parallel_frames.simulator import Failure

SCHEMA = {"name": str, "length": (int, "how long it is"), "tags": list[str], "founded": pd.Timestamp}


def answer(sent):
    """Answer with what identifies the row."""
    company = sent["company"] if isinstance(sent, dict) else sent
    if "bad" in company:
        return Failure("no such company")
    return {"name": company.upper(), "length": len(company), "tags": [company[:1]], "founded": "1949-05-23T10:00:00Z"}


def names_of(numbers):
    """Return a company for each number: some are missing, and some will have no answer."""
    return [None if number % 17 == 16 else f"{'bad' * (number % 13 == 12)} company {number}" for number in numbers]


def assert_paid_once(sim, runs):
    """Every distinct input has exactly one run."""
    keys = Counter(run.metadata["key"] for run in sim.runs())
    assert sim.counts.runs == runs == len(keys)
    assert sim.counts.duplicates == 0


@pytest.fixture
def sim():
    """Serve at once."""
    with pf.offline(answer, latency=0, max_per_minute=None) as simulator:
        yield simulator

"""Sending, hearing and the rate limit at the same time."""

from __future__ import annotations

import asyncio

import pandas as pd
import pytest

import parallel_frames as pf


def answer(sent):
    """Answer with what was sent."""
    return {"name": sent["company"]}


def frame(rows):
    """Return that many distinct rows."""
    return pd.DataFrame({"company": [f"c{n}" for n in range(rows)]})


def test_first_outcomes_are_there_before_the_last_batch_is_sent():
    """While later batches still wait for the rate limit, earlier rows are answered already."""
    seen = []

    async def main():
        work = asyncio.create_task(pf.aenrich(frame(300), {"name": str}))
        while not work.done():
            await asyncio.sleep(0.05)
            if pf.last() is not None and sim.counts.posts:
                seen.append((pf.last().status().get("completed", 0), sim.counts.runs))
        return await work

    with pf.offline(answers=answer, latency=1, max_per_minute=100, speed=60) as sim:
        out = asyncio.run(main())
        runs = sim.runs()
    assert out["name"].tolist() == out["company"].tolist()
    assert any(completed >= 100 and sent < 300 for completed, sent in seen)
    assert min(run.finished_at for run in runs) < max(run.created_at for run in runs)


@pytest.mark.parametrize("window", ["sliding", "fixed", "bucket"])
def test_the_rate_limit_is_kept_and_used(window):
    """Not one 429 under any kind of limit, and the last batch goes out within 3 % of the ideal schedule."""
    with pf.offline(answers=answer, latency=1, max_per_minute=300, window=window, speed=60) as sim:
        frame(900).parallel.enrich({"name": str})
        runs = sim.runs()
    assert (sim.counts.rejected, sim.counts.runs) == (0, 900)
    took = max(run.created_at for run in runs) - min(run.created_at for run in runs)
    slack = 0.4 * 60  # seconds of the wall that a busy machine takes for itself
    assert took < 120 * 1.03 + slack
    for start in (run.created_at for run in runs[::100]):
        assert sum(start <= run.created_at < start + 59.9 for run in runs) <= 300


def test_two_enrichments_at_once_share_the_limit():
    """Calls of one process and key draw from one allowance."""

    async def main():
        schemas = ({"name": str}, {"name": (str, "in full")})
        return await asyncio.gather(*(pf.aenrich(frame(200), schema) for schema in schemas))

    with pf.offline(answers=answer, latency=1, max_per_minute=200, speed=60) as sim:
        both = asyncio.run(main())
    assert all(out["name"].tolist() == out["company"].tolist() for out in both)
    assert (sim.counts.rejected, sim.counts.runs) == (0, 400)


def test_no_credit_for_all_at_once_is_no_error():
    """When runs in flight reserve the credit, sending pauses, goes on as they finish, and everything is answered."""
    with pf.offline(answers=answer, latency=5, speed=40, credit=0.5, price=0.01, reserve=2.0) as sim:
        out = frame(40).parallel.enrich({"name": str})
    assert out["parallel_status"].eq("completed").all()
    assert (sim.counts.runs, sim.counts.duplicates) == (40, 0)
    assert sim.counts.refused > 0

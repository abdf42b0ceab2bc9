"""`plan_parquet` says what the call would do, also where one broke off, and where one is at work."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import parallel_frames as pf
from parallel_frames._checkpoint import compact_job
from parallel_frames._checkpoint._paths import LocalPath
from parallel_frames.simulator import Simulator, faults

Enrich = Callable[..., pf.EnrichedParquet]


@dataclass(frozen=True, slots=True)
class Compacted(LocalPath):
    """A folder whose outcomes another process puts together right after they were listed."""

    def __truediv__(self, name: str) -> LocalPath:
        return Compacted(self.path / name)

    def children(self) -> list[Any]:
        listed = LocalPath(self.path).children()
        if self.path.name == "outcomes" and len(listed) > 1:
            compact_job(LocalPath(self.path.parent))
        return listed


def test_a_plan_of_a_refresh_that_broke_off_counts_what_is_left_of_it(
    tmp_path: Path, sim: Simulator, enrich: Enrich, files: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs that the refresh has asked already are neither planned nor counted against ``max_cost``."""
    source, target = tmp_path / "in.parquet", tmp_path / "out.parquet"
    files.rows(*range(3)).to_parquet(source)
    enrich(source, target)
    sim.add_faults(faults.status(401, on="add_runs", nth=2))
    monkeypatch.setattr("parallel_frames._engine._submit.MAX_RUNS_PER_GROUP", 2)
    with pytest.raises(pf.errors.AuthenticationError):
        enrich(source, target, overwrite=True, refresh=True)
    assert sim.counts.runs == 5
    client = pf.Client(api_key="key", base_url=sim.url, clock_speed=files.SPEED)
    plan = pf.plan_parquet(source, files.SCHEMA, target=target, client=client, refresh=True, max_cost=0.06)
    assert plan.to_send == 1
    sim.clear_faults()
    enrich(source, target, overwrite=True, refresh=True)
    assert sim.counts.runs == 6


def test_a_plan_beside_a_compaction_sees_every_answer(
    tmp_path: Path, sim: Simulator, enrich: Enrich, files: SimpleNamespace
) -> None:
    """A part that goes between the listing and its reading is looked for again, and not taken as nothing."""
    source, target = tmp_path / "in.parquet", tmp_path / "out.parquet"
    for rows in (10, 20, 30):
        files.rows(*range(rows)).to_parquet(source)
        enrich(source, target, overwrite=True, checkpoint=f"{target}.ckpt")
    client = pf.Client(api_key="key", base_url=sim.url, clock_speed=files.SPEED)
    checkpoint = Compacted(Path(f"{target}.ckpt"))
    shutil.copytree(checkpoint.path, tmp_path / "frame.ckpt")
    plan = pf.plan_parquet(source, files.SCHEMA, target=target, client=client, checkpoint=checkpoint)
    assert (plan.answered, plan.awaited, plan.to_send) == (30, 0, 0)
    frame = files.rows(*range(30)).parallel.plan(
        files.SCHEMA, client=client, checkpoint=Compacted(tmp_path / "frame.ckpt")
    )
    assert (frame.answered, frame.awaited, frame.to_send) == (30, 0, 0)

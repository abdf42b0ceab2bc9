"""A job of many nights: each left a run that never ends, and a group that is listened to for it.

The answers come within a second or two; the timeouts leave a busy machine a multiple of that.
"""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

import parallel_frames as pf
from parallel_frames.simulator import Simulator, faults

Enrich = Callable[..., pf.EnrichedParquet]

GROUPS = 40


@pytest.fixture
def checkpoint(
    tmp_path: Path, sim: Simulator, enrich: Enrich, files: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Give a checkpoint of forty groups with a run in each that never ends."""
    sim.add_faults(faults.stick_runs())
    files.rows(*range(GROUPS)).to_parquet(tmp_path / "old.parquet")
    with monkeypatch.context() as patch:
        patch.setattr("parallel_frames._engine._submit.MAX_RUNS_PER_GROUP", 1)
        done = enrich(tmp_path / "old.parquet", None, wait=False, checkpoint=tmp_path / "many.ckpt")
    assert len(done.group_ids) == GROUPS
    sim.clear_faults()
    return tmp_path / "many.ckpt"


def test_new_rows_are_sent_and_answered_beside_forty_groups_that_are_stuck(
    tmp_path: Path, sim: Simulator, enrich: Enrich, files: SimpleNamespace, checkpoint: Path
) -> None:
    """A file's new rows have their connections, however many groups are listened to."""
    files.rows(*range(GROUPS + 20)).to_parquet(tmp_path / "in.parquet")
    done = enrich(
        tmp_path / "in.parquet",
        tmp_path / "out.parquet",
        checkpoint=checkpoint,
        timeout=12,
        client={"clock_speed": 1.0},
    )
    assert done.counts == {"completed": 20, "pending": GROUPS}
    files.assert_paid_once(sim, runs=GROUPS + 20)


def test_a_frame_goes_on_with_forty_groups_too(sim: Simulator, files: SimpleNamespace, checkpoint: Path) -> None:
    """A frame with the same rows shares the checkpoint, and the connections."""
    client = pf.Client(api_key="key", base_url=sim.url, max_per_minute=None)
    out = files.rows(*range(GROUPS + 20)).parallel.enrich(
        files.SCHEMA, checkpoint=checkpoint, timeout=12, client=client, progress=False
    )
    assert out["parallel_status"].value_counts()[["completed", "pending"]].tolist() == [20, GROUPS]
    files.assert_paid_once(sim, runs=GROUPS + 20)


def test_each_of_forty_groups_is_heard_in_its_turn(
    tmp_path: Path, sim: Simulator, enrich: Enrich, files: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first groups are stuck and hold what may be held: those behind them get their answers all the same."""
    sim.add_faults(faults.stick_runs(inputs=lambda sent: int(sent["company"].split()[1]) < GROUPS // 2))
    files.rows(*range(GROUPS)).to_parquet(tmp_path / "in.parquet")
    monkeypatch.setattr("parallel_frames._engine._submit.MAX_RUNS_PER_GROUP", 1)
    done = enrich(tmp_path / "in.parquet", tmp_path / "out.parquet", timeout=500)
    assert done.counts == {"completed": GROUPS // 2, "pending": GROUPS // 2}
    out = pd.read_parquet(tmp_path / "out.parquet")
    assert out["name"].notna().tolist() == [n >= GROUPS // 2 for n in range(GROUPS)]

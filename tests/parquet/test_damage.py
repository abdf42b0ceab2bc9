"""Answers that a checkpoint holds and that cannot be read any more: they are fetched again, and nothing is paid."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pyarrow.parquet as pq
import pytest

import parallel_frames as pf
from parallel_frames._checkpoint import compact_job, place_of
from parallel_frames.simulator import Simulator

Enrich = Callable[..., pf.EnrichedParquet]


def damage(part: Path, column: str = "output") -> None:
    """Flip a byte in the middle of a column of a part."""
    chunk = pq.read_metadata(part).row_group(0).column(pq.read_schema(part).get_field_index(column))
    at = (chunk.dictionary_page_offset or chunk.data_page_offset) + chunk.total_compressed_size // 2
    data = bytearray(part.read_bytes())
    data[at] ^= 0xFF
    part.write_bytes(data)


@pytest.mark.parametrize("receipts", ["sound", "lost"])
def test_answers_of_a_damaged_part_are_fetched_again(
    tmp_path: Path,
    sim: Simulator,
    enrich: Enrich,
    files: SimpleNamespace,
    caplog: pytest.LogCaptureFixture,
    receipts: str,
) -> None:
    """A byte flipped in an answer: the part is set aside aloud, and the target is whole at the price of nothing."""
    source, target = tmp_path / "in.parquet", tmp_path / "out.parquet"
    files.rows(*range(40)).to_parquet(source)
    done = enrich(source, target)
    folder = Path(done.checkpoint)
    for part in (folder / "outcomes").glob("*.parquet"):
        damage(part)
    if receipts == "lost":
        for part in (folder / "receipts").glob("*.parquet"):
            part.write_bytes(b"")
    with caplog.at_level(logging.WARNING, "parallel_frames"):
        again = enrich(source, target, overwrite=True)
    assert again.counts == {"completed": 40}
    assert "outcomes/000001.parquet cannot be read" in caplog.text
    out = pd.read_parquet(target)
    assert out["name"].tolist() == out["company"].str.upper().tolist()
    files.assert_paid_once(sim, runs=40)
    caplog.clear()
    assert enrich(source, target, overwrite=True).counts == {"completed": 40}
    assert caplog.text == ""


def test_a_failed_row_is_retried_once_though_a_part_is_damaged(
    tmp_path: Path, sim: Simulator, enrich: Enrich, files: SimpleNamespace
) -> None:
    """The call that fetches lost answers asks failed rows again as any call does: one time."""
    source, target = tmp_path / "in.parquet", tmp_path / "out.parquet"
    pd.DataFrame({"company": ["bad 1", *(f"company {n}" for n in range(20))]}).to_parquet(source)
    done = enrich(source, target)
    for part in (Path(done.checkpoint) / "outcomes").glob("*.parquet"):
        damage(part)
    assert enrich(source, target, overwrite=True).counts == {"completed": 20, "failed": 1}
    assert sim.counts.runs == 22
    assert set(files.paid(sim).values()) == {1}


@pytest.mark.parametrize("whole", [True, False])
def test_a_compaction_that_died_before_the_old_parts_went_counts_nothing_twice(
    tmp_path: Path, sim: Simulator, enrich: Enrich, files: SimpleNamespace, *, whole: bool
) -> None:
    """The manifest tells each run once, and the old parts go; but not where what replaces them is damaged."""
    source, target = tmp_path / "in.parquet", tmp_path / "out.parquet"
    for rows in (10, 20, 30):
        files.rows(*range(rows)).to_parquet(source)
        done = enrich(source, target, overwrite=True)
    outcomes = Path(done.checkpoint) / "outcomes"
    old = {part: part.read_bytes() for part in outcomes.glob("*.parquet")}
    compact_job(place_of(done.checkpoint))
    (compacted,) = outcomes.glob("*.parquet")
    for part, data in old.items():
        part.write_bytes(data)
    if not whole:
        damage(compacted)
    plan = pf.plan_parquet(
        source, files.SCHEMA, target=target, client=pf.Client(api_key="key", base_url=sim.url, clock_speed=files.SPEED)
    )
    assert (plan.answered, plan.to_send) == (30, 0)
    requests = sim.counts.requests
    done = enrich(source, target, overwrite=True)
    assert (done.counts, sim.counts.requests) == ({"completed": 30}, requests)
    groups = json.loads(Path(done.manifest or "").read_text())["groups"]
    assert [group["runs"] for group in groups] == [30]
    assert set(outcomes.glob("*.parquet")) == ({compacted} if whole else set(old))


def test_an_outcome_that_is_stored_twice_is_one_run_of_the_manifest(
    tmp_path: Path, enrich: Enrich, files: SimpleNamespace
) -> None:
    """Outcomes may arrive, and be stored, more than once."""
    source, target = tmp_path / "in.parquet", tmp_path / "out.parquet"
    files.rows(*range(10)).to_parquet(source)
    done = enrich(source, target)
    for part in list((Path(done.checkpoint) / "outcomes").glob("*.parquet")):
        part.with_name(f"{int(part.stem) + 500:06d}.parquet").write_bytes(part.read_bytes())
    done = enrich(source, target, overwrite=True)
    assert [group["runs"] for group in json.loads(Path(done.manifest or "").read_text())["groups"]] == [10]

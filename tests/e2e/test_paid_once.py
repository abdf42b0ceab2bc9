"""One question is paid once, wherever it is asked: frame, file, command line, and whatever the target is called."""

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import parallel_frames as pf
from parallel_frames.errors import CheckpointLockedError
from parallel_frames.simulator import Failure, Simulator

SCHEMA = {"size": int}
KEY = "an-account-of-tests"


def size(sent: dict[str, Any]) -> dict[str, int]:
    """Answer with the length of the name."""
    return {"size": len(sent["company"])}


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give an empty directory to work in, and an empty cache."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture
def sim() -> Any:
    """Give a simulator."""
    with Simulator(size, latency=0) as simulator:
        yield simulator


def rows() -> pd.DataFrame:
    """Return three rows."""
    return pd.DataFrame({"company": ["Acme", "Globex", "Initech"]})


def options(sim: Simulator, *, key: str = KEY) -> dict[str, Any]:
    """Return what a call to the simulator needs."""
    return {"client": pf.Client(api_key=key, base_url=sim.url), "progress": False}


def command(sim: Simulator, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the program."""
    variables = {**os.environ, "PARALLEL_API_KEY": KEY, "PARALLEL_BASE_URL": sim.url}
    line = [sys.executable, "-m", "parallel_frames", *words]
    return subprocess.run(line, env=variables, capture_output=True, text=True, timeout=60, check=True)


def test_every_end_shares_the_answers(sim: Simulator) -> None:
    """A frame, two files and the command line ask three rows once; every plan says that nothing is left to send."""
    rows().to_parquet("rows.parquet")
    rows().to_csv("rows.csv", index=False)
    rows().parallel.enrich(SCHEMA, **options(sim))
    for target in ("e1.parquet", "e2.parquet", "deep/e3.parquet"):
        Path(target).parent.mkdir(exist_ok=True)
        assert pf.plan_parquet("rows.parquet", SCHEMA, target=target, **options(sim)).answered == 3
        pf.enrich_parquet("rows.parquet", target, SCHEMA, **options(sim))
        assert pd.read_parquet(target)["size"].tolist() == [4, 6, 7]
    for source, target in (("rows.csv", "b.csv"), ("rows.parquet", "c.parquet"), ("rows.csv", "d.jsonl")):
        command(sim, "enrich", source, target, "--column", "size (int)", "--yes", "--no-progress")
    assert "0 runs" in command(sim, "plan", "rows.csv", "--column", "size (int)").stdout.replace("0 of 3", "0 runs")
    assert sim.counts.runs == 3


def test_a_file_comes_first_as_well(sim: Simulator) -> None:
    """What a file paid for answers a frame."""
    rows().to_parquet("rows.parquet")
    pf.enrich_parquet("rows.parquet", "out.parquet", SCHEMA, **options(sim))
    out = rows().parallel.enrich(SCHEMA, **options(sim))
    assert (out["size"].tolist(), sim.counts.runs) == ([4, 6, 7], 3)


def test_submitted_without_a_target_and_fetched_with_one(sim: Simulator) -> None:
    """What is sent before a target is known is found by the call that names one."""
    rows().to_parquet("rows.parquet")
    pf.enrich_parquet("rows.parquet", None, SCHEMA, wait=False, **options(sim))
    pf.enrich_parquet("rows.parquet", "out.parquet", SCHEMA, **options(sim))
    assert sim.counts.runs == 3


def test_two_accounts_share_no_answers(sim: Simulator, place: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Each account has a folder that does not show its key, and is told of answers that it may own."""
    rows().parallel.enrich(SCHEMA, **options(sim))
    rows().parallel.enrich(SCHEMA, **options(sim, key="another-account"))
    assert sim.counts.runs == 6
    assert "asked with another API key" in caplog.text
    folders = [path.name for path in (place / "cache" / "parallel_frames" / "checkpoints").iterdir()]
    assert len(folders) == 2
    assert not [name for name in folders if KEY in name or "another" in name]
    plan = rows().parallel.plan(SCHEMA, client=pf.Client.without_key(), progress=False)
    assert plan.answered == 0  # of the live service nothing is known


def test_a_checkpoint_that_is_beside_the_target_counts(sim: Simulator) -> None:
    """Where a checkpoint was asked for, or an earlier version wrote one, its answers are not paid again."""
    rows().to_parquet("rows.parquet")
    pf.enrich_parquet("rows.parquet", "out.parquet", SCHEMA, checkpoint="out.parquet.ckpt", **options(sim))
    pf.enrich_parquet("rows.parquet", "out.parquet", SCHEMA, overwrite=True, **options(sim))
    assert sim.counts.runs == 3
    shutil.rmtree("out.parquet.ckpt")
    pf.enrich_parquet("rows.parquet", "out.parquet", SCHEMA, overwrite=True, **options(sim))
    assert (sim.counts.runs, Path("out.parquet.ckpt").exists()) == (6, False)


def test_of_two_checkpoints_that_know_the_job_both_count(sim: Simulator) -> None:
    """What the folder next to a target holds is taken over by the cache, answers and runs under way alike."""
    rows().to_parquet("rows.parquet")
    more = pd.concat([rows(), pd.DataFrame({"company": ["Hooli", "Umbrella"]})], ignore_index=True)
    more.to_parquet("more.parquet")
    pf.enrich_parquet("rows.parquet", "out.parquet", SCHEMA, checkpoint="out.parquet.ckpt", **options(sim))
    pf.enrich_parquet("more.parquet", None, SCHEMA, checkpoint="out.parquet.ckpt", wait=False, limit=4, **options(sim))
    more.iloc[4:].parallel.enrich(SCHEMA, **options(sim))
    assert sim.counts.runs == 5
    plan = pf.plan_parquet("more.parquet", SCHEMA, target="out.parquet", **options(sim))
    assert (plan.to_send, plan.answered + plan.awaited) == (0, 5)
    pf.enrich_parquet("more.parquet", "out.parquet", SCHEMA, overwrite=True, **options(sim))
    assert pd.read_parquet("out.parquet")["size"].tolist() == [4, 6, 7, 5, 8]
    shutil.rmtree("out.parquet.ckpt")
    more.parallel.enrich(SCHEMA, **options(sim))
    assert (sim.counts.runs, sim.counts.duplicates) == (5, 0)


@pytest.mark.parametrize("target", ["out.csv", "out.parquet"])
def test_a_command_finds_what_either_checkpoint_holds(sim: Simulator, target: str) -> None:
    """A folder next to the target that knows little, or another job, hides nothing that the cache knows."""
    rows().to_csv("rows.csv", index=False)
    rows().iloc[:1].parallel.enrich(SCHEMA, checkpoint=f"{target}.ckpt", **options(sim))
    rows().parallel.enrich(SCHEMA, **options(sim))
    assert sim.counts.runs == 4
    words = ["rows.csv", target, "--column", "size (int)", "--yes"]
    command(sim, "submit", *words)
    command(sim, "enrich", *words, "--no-progress")
    assert sim.counts.runs == 4
    command(sim, "enrich", "rows.csv", f"2-{target}", "--column", "size (int): in letters", "--yes", "--no-progress")
    shutil.move(f"{target}.ckpt", f"3-{target}.ckpt")
    command(sim, "enrich", "rows.csv", f"3-{target}", "--column", "size (int): in letters", "--yes", "--no-progress")
    assert sim.counts.runs == 7


def test_calls_of_one_process_wait_for_each_other(sim: Simulator) -> None:
    """Threads that ask the same question pay for it once, and each gets its answers."""
    with ThreadPoolExecutor(4) as pool:
        calls = [pool.submit(rows().parallel.enrich, SCHEMA, **options(sim)) for _ in range(4)]
        assert [call.result()["size"].tolist() for call in calls] == [[4, 6, 7]] * 4
    assert (sim.counts.runs, sim.counts.duplicates) == (3, 0)


def test_a_call_inside_on_row_does_not_wait_for_its_caller(sim: Simulator) -> None:
    """The same question asked by its own callback is refused with what to do, not waited for, for ever."""
    errors = []

    def ask_again(_row: Any) -> None:
        try:
            rows().parallel.enrich(SCHEMA, **options(sim))
        except CheckpointLockedError as error:
            errors.append(str(error))

    rows().parallel.enrich(SCHEMA, on_row=ask_again, **options(sim))
    assert len(errors) == 3
    assert "`on_row`" in errors[0]
    assert "another process" not in errors[0]


def test_two_threads_resume_an_enrichment_in_memory_one_after_the_other() -> None:
    """Without a checkpoint, too, what failed is asked again by one of two calls, not by both."""
    first_failures = iter([Failure("not now")] * 3)
    with Simulator(lambda sent: next(first_failures, size(sent)), latency=0) as sim:
        rows().parallel.enrich(SCHEMA, checkpoint=None, **options(sim))
        run = pf.last()
        assert run is not None
        with ThreadPoolExecutor(2) as pool:
            for call in [pool.submit(run.resume) for _ in range(2)]:
                call.result()
        assert sim.counts.runs == 6


def test_a_checkpoint_of_another_host_is_no_choice(sim: Simulator) -> None:
    """Answers of another service next to the target are left alone, however many they are, and so are its groups."""
    rows().to_parquet("rows.parquet")
    with Simulator(size, latency=0) as other:
        pf.enrich_parquet("rows.parquet", "x.parquet", SCHEMA, checkpoint="out.parquet.ckpt", **options(other))
        rows().iloc[:1].parallel.enrich(SCHEMA, **options(sim))
        pf.enrich_parquet("rows.parquet", "out.parquet", SCHEMA, **options(sim))
        rows().parallel.enrich(SCHEMA, **options(sim))
        assert (sim.counts.runs, other.counts.runs) == (3, 3)

"""Killed, interrupted or cut off at any moment: the same call again pays nothing twice, and the target is whole."""

import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest

import parallel_frames as pf
from parallel_frames.simulator import Simulator, faults

KILLS = int(os.environ.get("PARALLEL_FRAMES_KILLS", "6"))
SPEED = 60.0
ENRICH = """
import sys
import parallel_frames as pf
from parallel_frames._engine import _submit

_submit.MAX_RUNS_PER_GROUP = 300
source, target, url, api, rows_per_file = sys.argv[1:]
client = pf.Client(api_key="key", base_url=url, api=api, max_per_minute=None)
print("ready", flush=True)
pf.enrich_parquet(
    source, target, {"name": str, "length": int}, client=client, retry_failed=False, progress=False,
    rows_per_file=int(rows_per_file), overwrite=True,
)
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Give 2,000 rows of which half are duplicates."""
    rng = random.Random(5)
    names = [f"company {rng.randrange(1_200)}" for _ in range(2_000)]
    pq.write_table(
        pa.table({"company": names, "n": [len(name) for name in names]}), tmp_path / "in.parquet", row_group_size=300
    )
    return tmp_path / "in.parquet"


def run_killed(forks: Any, arguments: list[str], *, after: float, by: signal.Signals) -> bool:
    """Run a call in a process; return whether it came to its end before the signal."""
    environment = {**os.environ, "PARALLEL_FRAMES_CLOCK_SPEED": str(SPEED)}
    command = [sys.executable, "-c", ENRICH, *arguments]
    child = forks.start(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n", child.communicate()[1].decode()
        try:
            child.wait(after)
        except subprocess.TimeoutExpired:
            child.send_signal(by)
        _, trouble = child.communicate(timeout=60)
        assert child.returncode in (0, -by) or (by == signal.SIGINT and b"KeyboardInterrupt" in trouble), (
            trouble.decode()
        )
        return child.returncode == 0
    finally:
        child.kill()
        child.wait()


def check(target: Path, source: Path, sim: Simulator) -> None:
    """Check that the target has every row with its own answer, each input was paid once, and nothing lies about."""
    out = pd.read_parquet(target)
    pd.testing.assert_frame_equal(out[["company", "n"]], pd.read_parquet(source))
    expected = [None if "bad" in name else name.upper() for name in out["company"]]
    assert [name if isinstance(name, str) else None for name in out["name"]] == expected
    assert out["parallel_status"].isin(["completed", "failed"]).all()
    paid = Counter((run.metadata["key"], run.metadata["attempt"]) for run in sim.runs() if run.metadata)
    assert set(paid.values()) == {1}
    assert (len(paid), sim.counts.runs) == (out["company"].nunique(), len(paid))
    left = {path.name for path in target.parent.iterdir()}
    assert left == {source.name, target.name, f"{target.name}.manifest.json"}


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGINT])
@pytest.mark.parametrize("api", ["published", "seed"])
def test_killed_anywhere_it_pays_once_and_writes_the_target_whole(
    forks: Any, tmp_path: Path, source: Path, files: SimpleNamespace, api: Any, by: signal.Signals
) -> None:
    """Until the last call there is no target; after it, the target is as if nothing had happened."""
    rng = random.Random(KILLS + by)
    kills = 0
    for turn in range(1_000):
        place = tmp_path / str(turn)
        place.mkdir()
        own = place / source.name
        own.write_bytes(source.read_bytes())
        target = place / ("out" if (turn + by) % 2 else "out.parquet")
        with Simulator(files.answer, latency=(1.0, 60.0), max_per_minute=None, speed=SPEED, dialect=api) as sim:
            arguments = [str(own), str(target), sim.url, api, "700"]
            for _ in range(min(60, KILLS // 2 - kills)):
                if run_killed(forks, arguments, after=rng.choice([0.1, 0.3, 1.0, 2.0]) * rng.random() + 0.1, by=by):
                    break
                kills += 1
                assert not target.exists() or len(pd.read_parquet(target)) == 2_000
            else:
                assert run_killed(forks, arguments, after=60, by=by)
            check(target, own, sim)
        if kills >= KILLS // 2:
            break


def test_what_a_dead_process_left_beside_a_target_is_tidied(tmp_path: Path, source: Path, enrich: Any) -> None:
    """Its hidden folder goes, and what it was about to replace is put back first."""
    dead = tmp_path / ".out.abc123.tmp"
    (dead / "before").mkdir(parents=True)
    (dead / "before" / "part-00000.parquet").write_bytes(b"the old target")
    alive = tmp_path / ".outer.abc123.tmp"
    alive.mkdir()
    with pytest.raises(pf.errors.InputError, match=r"exists\. Nothing was sent"):
        enrich(source, tmp_path / "out")
    assert (tmp_path / "out" / "part-00000.parquet").read_bytes() == b"the old target"
    assert not dead.exists()
    assert alive.exists()


# The service and the network


TROUBLE = {
    "reset after the runs landed": [faults.reset("add_runs", when="after", nth={1, 4})],
    "reset before": [faults.reset("add_runs", nth={2, 3})],
    "cut streams": [faults.cut_stream(after=7), faults.cut_stream(after=3, how="reset", nth=2)],
    "429": [faults.rate_limited(retry_after=3, nth={1, 3})],
    "500 after": [faults.status(500, on="add_runs", when="after", nth={1, 2})],
    "503 now and then": [faults.status(503, on="add_runs", when="after", probability=0.3)],
    "torn answers": [faults.torn("add_runs", nth={1, 2})],
    "late and unanswered": [faults.late_post(30, answer="reset", nth=2)],
    "lost events": [faults.lose_events(share=0.3)],
    "a group's creation reset": [faults.reset("create_group", when="after", nth={1, 3})],
    "short lists": [faults.reset("add_runs", when="after", nth=1), faults.short_list(nth={1, 2})],
}


@pytest.mark.parametrize("trouble", TROUBLE)
def test_whatever_a_request_or_a_stream_suffers_it_pays_once(
    tmp_path: Path, source: Path, files: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    """With several windows at once, every distinct input has one run and every row its answer."""
    monkeypatch.setattr("parallel_frames._engine._submit.MAX_RUNS_PER_GROUP", 300)
    with Simulator(files.answer, latency=(1, 30), speed=100.0, max_per_minute=None, faults=TROUBLE[trouble]) as sim:
        client = pf.Client(api_key="key", base_url=sim.url, clock_speed=100.0, max_per_minute=None)
        pf.enrich_parquet(source, tmp_path / "out.parquet", files.SCHEMA, client=client, progress=False)
        check(tmp_path / "out.parquet", source, sim)


def test_credit_that_runs_out_stops_the_call_and_more_credit_completes_it(
    tmp_path: Path, source: Path, files: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error says what is safe; no target is there until the call that completes it."""
    monkeypatch.setattr("parallel_frames._engine._submit.MAX_RUNS_PER_GROUP", 200)
    with Simulator(files.answer, latency=(1, 30), speed=100.0, max_per_minute=None, credit=4.0) as sim:
        client = pf.Client(api_key="key", base_url=sim.url, clock_speed=100.0, max_per_minute=None)
        with pytest.raises(pf.errors.CreditError) as caught:
            pf.enrich_parquet(source, tmp_path / "out.parquet", files.SCHEMA, client=client, progress=False)
        assert caught.value.safety is not None
        assert caught.value.safety.answered > 0
        assert not (tmp_path / "out.parquet").exists()
        sim.top_up(100)
        pf.enrich_parquet(source, tmp_path / "out.parquet", files.SCHEMA, client=client, progress=False)
        check(tmp_path / "out.parquet", source, sim)


def test_a_service_that_dies_in_between_is_waited_for(tmp_path: Path, source: Path, files: SimpleNamespace) -> None:
    """The same call resumes once the service is back."""
    with Simulator(files.answer, latency=(100, 300), speed=100.0, max_per_minute=None) as sim:
        client = pf.Client(api_key="key", base_url=sim.url, clock_speed=100.0, max_per_minute=None)
        call: dict[str, Any] = {"client": client, "progress": False, "wait": False, "checkpoint": tmp_path / "ck"}
        pf.enrich_parquet(source, None, files.SCHEMA, **call)
        sim.stop()
        with pytest.raises(pf.errors.UnavailableError):
            pf.enrich_parquet(source, tmp_path / "x", files.SCHEMA, **{**call, "wait": True})
        sim.start()
        done = pf.enrich_parquet(source, tmp_path / "x", files.SCHEMA, **{**call, "wait": True})
        assert set(done.counts) == {"completed"}
        files.assert_paid_once(sim, runs=pq.read_table(source)["company"].to_pandas().nunique())


# The source and the target


def test_a_source_that_changes_under_the_call_is_noticed(
    forks: Any, tmp_path: Path, sim: Simulator, enrich: Callable[..., Any], source: Path, files: SimpleNamespace
) -> None:
    """Answers would land beside other rows: no target is written, and the next call pays for new inputs only."""
    sim.speed = 20.0
    table = pq.read_table(source)
    changed = pa.concat_tables(
        [pa.table({"company": ["new"], "n": pa.array([-1], table.schema.field("n").type)}), table]
    )
    code = ENRICH.replace('print("ready", flush=True)', "")
    environment = {**os.environ, "PARALLEL_FRAMES_CLOCK_SPEED": "20"}
    command = [sys.executable, "-c", code, str(source), str(tmp_path / "out.parquet"), sim.url, "published", "9999"]
    child = forks.start(command, stderr=subprocess.PIPE, env=environment)
    sim.wait_until(lambda counts: counts.runs > 0, timeout=60)
    pq.write_table(changed, source)
    _, trouble = child.communicate(timeout=60)
    assert b"SourceError" in trouble, trouble.decode()
    assert b"changed while" in trouble
    assert not (tmp_path / "out.parquet").exists()
    sim.speed = files.SPEED
    enrich(source, tmp_path / "out.parquet")
    check(tmp_path / "out.parquet", source, sim)


def swap_unseen(path: Path, one: bytes, other: bytes) -> None:
    """Swap two texts of one length in a file, and let its size and time be as they were."""
    before = path.stat()
    path.write_bytes(
        path.read_bytes().replace(one, b"#" * len(one)).replace(other, one).replace(b"#" * len(one), other)
    )
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)


@pytest.mark.parametrize("kind", ["parquet", "feather"])
@pytest.mark.parametrize("moment", ["before it is sent", "before it is written"])
@pytest.mark.parametrize("target", ["out.parquet", "out"])
def test_a_change_that_keeps_size_and_time_is_noticed(
    tmp_path: Path, files: SimpleNamespace, kind: str, moment: str, target: str
) -> None:
    """Rows that were swapped behind the call's back never get each other's answers; the same call again is right."""
    path = tmp_path / f"in.{kind}"
    df = pd.DataFrame({"company": [f"company {n:03d}" for n in range(50)], "note": ["unsent"] * 50})
    if kind == "parquet":
        pq.write_table(pa.Table.from_pandas(df), path, compression="none", use_dictionary=False, write_statistics=False)
    else:
        feather.write_feather(df, path, compression="uncompressed")
    todo = [True]

    def change() -> None:
        if todo:
            todo.pop()
            swap_unseen(path, b"company 007", b"company 042")

    def answer(sent: dict[str, Any]) -> Any:
        if moment == "before it is written":
            change()
        return files.answer(sent)

    def where(df: pd.DataFrame) -> Any:
        if moment == "before it is sent":
            change()
        return df["company"].notna()

    with Simulator(answer, latency=1, max_per_minute=None, speed=files.SPEED) as sim:
        client = pf.Client(api_key="key", base_url=sim.url, clock_speed=files.SPEED, max_per_minute=None)
        call: dict[str, Any] = {"client": client, "progress": False, "where": where, "inputs": ["company"]}
        with pytest.raises(
            pf.errors.SourceError, match=r"changed while the job ran: .*Nothing was written to the target"
        ):
            pf.enrich_parquet(path, tmp_path / target, files.SCHEMA, **call)
        assert files.beside(tmp_path / target) == {path.name}
        assert not (tmp_path / target).exists()
        assert sim.counts.runs == (0 if moment == "before it is sent" else 50)
        pf.enrich_parquet(path, tmp_path / target, files.SCHEMA, **call)
        out = pd.read_parquet(tmp_path / target)
        assert out["company"].iloc[7] == "company 042"
        assert out["name"].tolist() == out["company"].str.upper().tolist()
        files.assert_paid_once(sim, runs=50)


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_text_file_that_changes_unseen_is_written_as_it_was_read(
    tmp_path: Path, files: SimpleNamespace, kind: str
) -> None:
    """Text is converted once: what the target holds are the rows that were asked about, each with its own answer."""
    path = tmp_path / f"in.{kind}"
    df = pd.DataFrame({"company": [f"company {n:03d}" for n in range(50)]})
    path.write_text(df.to_csv(index=False) if kind == "csv" else df.to_json(orient="records", lines=True))
    todo = [True]

    def answer(sent: dict[str, Any]) -> Any:
        if todo:
            todo.pop()
            swap_unseen(path, b"company 007", b"company 042")
        return files.answer(sent)

    with Simulator(answer, latency=1, max_per_minute=None, speed=files.SPEED) as sim:
        client = pf.Client(api_key="key", base_url=sim.url, clock_speed=files.SPEED, max_per_minute=None)
        pf.enrich_parquet(path, tmp_path / "out.parquet", files.SCHEMA, client=client, progress=False)
        out = pd.read_parquet(tmp_path / "out.parquet")
        assert out["company"].tolist() == df["company"].tolist()
        assert out["name"].tolist() == out["company"].str.upper().tolist()
        files.assert_paid_once(sim, runs=50)


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """Give a file system of 1 MB without room, but for what the file `ballast` takes."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("this user may not mount a small file system")
    (place / "ballast").write_bytes(b"x" * (2**20 - 8192))
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize("name", ["out.parquet", "out"])
def test_a_full_disk_leaves_no_target_and_room_completes_it(
    full_disk: Path, tmp_path: Path, sim: Simulator, enrich: Callable[..., Any], source: Path, name: str
) -> None:
    """The error says that answers are safe; the same call writes the target and pays nothing."""
    with pytest.raises(
        pf.errors.TargetError, match=r"could not be written \(.*[Nn]o space left.*nothing is paid twice"
    ):
        enrich(source, full_disk / name, checkpoint=tmp_path / "ck")
    assert [path.name for path in full_disk.iterdir()] == ["ballast"]
    paid = sim.counts.runs
    (full_disk / "ballast").unlink()
    enrich(source, full_disk / name, checkpoint=tmp_path / "ck")
    assert len(pd.read_parquet(full_disk / name)) == 2_000
    assert sim.counts.runs == paid


def test_an_old_target_survives_a_call_that_cannot_write(tmp_path: Path, enrich: Callable[..., Any]) -> None:
    """``overwrite=True`` replaces only once everything is written."""
    pq.write_table(pa.table({"company": ["a"]}), tmp_path / "in.parquet")
    enrich(tmp_path / "in.parquet", tmp_path / "out.parquet")
    before = (tmp_path / "out.parquet").read_bytes()

    def broken(df: pd.DataFrame) -> Any:
        if (tmp_path / "again").exists():
            raise OSError("too late")
        return df["company"].notna()

    (tmp_path / "again").touch()
    with pytest.raises(OSError, match="too late"):
        enrich(tmp_path / "in.parquet", tmp_path / "out.parquet", overwrite=True, where=broken)
    assert (tmp_path / "out.parquet").read_bytes() == before

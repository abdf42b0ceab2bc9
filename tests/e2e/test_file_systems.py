"""File systems as they are: mounts without locks, checkpoints of a Unix group, machines that got another name."""

import json
import os
import stat
import subprocess
import sys
import tempfile
from importlib.metadata import distribution
from pathlib import Path

import pandas as pd
import pytest

import parallel_frames as pf
from parallel_frames._checkpoint import open_store
from parallel_frames._checkpoint._lease import _this_process
from parallel_frames._model import Job, Options
from parallel_frames.errors import CheckpointLockedError
from parallel_frames.simulator import Simulator

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX locks and permissions")

JOB = Job({"processor": "base", "schema": {"type": "text"}}, "f" * 32, "base", {"output_schema": "x"}, Options())
BEGIN = """
import errno, fcntl, os, sys, tempfile
import pandas as pd, parallel_frames as pf
from parallel_frames.errors import *
df = pd.DataFrame({"company": ["Acme", "Globex"]})
def enrich(checkpoint="ck", rows=df):
    return rows.parallel.enrich({"n": str}, checkpoint=checkpoint, progress=False)["parallel_status"].tolist()
def tell(call):
    try:
        print(call())
    except ParallelFramesError as error:
        print(type(error).__name__, *str(error).splitlines())
"""


def python(code: str, folder: Path, *words: str) -> str:
    """Run a program in a folder and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + code, *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


WITHOUT_LOCKS = """
from parallel_frames._checkpoint import place_of
from parallel_frames._checkpoint._lease import written_by_us
number = getattr(errno, sys.argv[1])
def flock(file, how):
    raise OSError(number, os.strerror(number))
fcntl.flock = flock
with pf.offline(latency=0) as sim:
    print(enrich(), enrich(), sim.counts.runs, sorted(os.listdir(pf.last().checkpoint)))
    child = os.fork()
    if not child:
        writing = written_by_us(place_of(pf.last().checkpoint))
        writing.__enter__()
        os._exit(0)  # as one that is killed
    os.waitpid(child, 0)
    print(os.path.exists(os.path.join(pf.last().checkpoint, "writer.json")), enrich(), sim.counts.runs)
"""


@pytest.mark.parametrize("number", ["ENOLCK", "EOPNOTSUPP", "ENOSYS"])
def test_a_file_system_without_locks_holds_a_checkpoint(tmp_path: Path, number: str) -> None:
    """Network and cluster mounts may have none: the lease keeps others out, and a dead writer is not in the way."""
    first, second = python(WITHOUT_LOCKS, tmp_path, number).splitlines()
    assert (
        first
        == "['completed', 'completed'] ['completed', 'completed'] 2 ['header.json', 'lock', 'outcomes', 'receipts']"
    )
    assert second == "True ['completed', 'completed'] 2"


LIVE = """
def flock(file, how):
    raise OSError(errno.ENOLCK, "No locks available")
fcntl.flock = flock
from parallel_frames._checkpoint import place_of
from parallel_frames._checkpoint._lease import written_by_us
with pf.offline(latency=0) as sim:
    enrich()
    ready, end = os.pipe(), os.pipe()
    child = os.fork()
    if not child:
        with written_by_us(place_of(pf.last().checkpoint)):
            os.write(ready[1], b"x")
            os.read(end[0], 1)
        os._exit(0)
    os.read(ready[0], 1)
    tell(enrich)
    os.write(end[1], b"x")
    os.waitpid(child, 0)
    tell(enrich)
"""


def test_without_locks_a_living_writer_still_keeps_others_out(tmp_path: Path) -> None:
    """Two writers would pay twice, so the second one is refused while the first is alive."""
    refused, done = python(LIVE, tmp_path).splitlines()
    assert refused.startswith("CheckpointLockedError")
    assert "writer.json" in refused
    assert done == "['completed', 'completed']"


def test_a_machine_that_got_another_name_is_the_same_machine(tmp_path: Path) -> None:
    """A laptop is renamed by the network it is in: what it left behind is its own."""
    with open_store(tmp_path / "job", JOB, host="example.test"):
        pass
    lease = tmp_path / "job" / "writer.json"
    us = _this_process()
    lease.write_text(json.dumps({**us, "host": "old-name", "pid": 2**22 - 1, "token": "t", "since": 1, "beat": 1}))
    with open_store(tmp_path / "job", JOB, host="example.test"):
        pass
    lease.write_text(json.dumps({**us, "host": "old-name", "machine": "m", "token": "t", "since": 1, "beat": 1}))
    with (
        pytest.raises(CheckpointLockedError, match="on old-name"),
        open_store(tmp_path / "job", JOB, host="example.test"),
    ):
        pass


@pytest.mark.parametrize(("umask", "folder", "file"), [("002", 0o775, 0o664), ("077", 0o700, 0o600)])
def test_new_files_and_folders_have_the_modes_of_the_umask(tmp_path: Path, umask: str, folder: int, file: int) -> None:
    """A checkpoint is shared, or kept to oneself, as everything else is; the user's cache is the user's alone."""
    code = "os.umask(int(sys.argv[1], 8))\nwith pf.offline(latency=0): enrich('deep/ck')\n"
    python(code, tmp_path, umask)
    for path in (tmp_path / "deep").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (folder if path.is_dir() else file), path


def test_the_cache_is_the_users_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers that no checkpoint is named for are nobody else's to read, whatever the umask."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with Simulator(latency=0) as sim:
        client = pf.Client(api_key="k" * 20, base_url=sim.url)
        pd.DataFrame({"company": ["Acme"]}).parallel.enrich({"n": str}, client=client, progress=False)
    assert stat.S_IMODE((tmp_path / "parallel_frames" / "checkpoints").stat().st_mode) == 0o700


def others_may_read(*paths: Path) -> bool:
    """Return whether another user may import what is there."""
    places = {place for path in paths for place in (path.resolve(), *path.resolve().parents)}
    return all(place.stat().st_mode & 0o005 == 0o005 for place in places)


as_another_user = pytest.mark.skipif(
    getattr(os, "geteuid", lambda: 1)() == 0
    and not others_may_read(Path(pf.__file__).parent, Path(str(distribution("parallel-frames").locate_file("")))),
    reason="root plays another user, who may not read this installation",
)


# As root, another user is played; else what may not be read or written is one's own.
GROUP = """
os.umask(0)
is_root = os.geteuid() == 0
with pf.offline(latency=0) as sim:
    enrich()
    df.to_parquet("known.parquet")  # what is called here is imported while the user may still read it
    pf.enrich_parquet("known.parquet", "known-out.parquet", {"n": str}, checkpoint="ck", progress=False)
    df.parallel.plan({"n": str}, checkpoint="ck")
    pf.Checkpoint("ck").outcomes()
    job = pf.last().checkpoint
    more = pd.DataFrame({"company": ["Acme", "Initech"]})
    more.to_parquet("rows.parquet")
    options = {"checkpoint": "ck", "progress": False}
    paths = {"ck": 0, job: 0o555, f"{job}/outcomes": 0, f"{job}/outcomes/000001.parquet": 0, f"{job}/header.json": 0,
             f"{job}/receipts": 0o555, f"{job}/lock": 0o444, f"{job}/writer.json": 0}
    for path, mode in paths.items():
        if path.endswith("writer.json"):
            open(path, "w").close()
        before = os.stat(path).st_mode & 0o777
        os.chmod(path, mode)
        if is_root:
            os.setegid(54321)
            os.seteuid(54321)
        tell(lambda: enrich(rows=more))
        tell(lambda: pf.enrich_parquet("rows.parquet", "out.parquet", {"n": str}, **options))
        tell(lambda: more.parallel.plan({"n": str}, checkpoint="ck").to_send)
        tell(lambda: len(pf.Checkpoint("ck").outcomes()))
        if is_root:
            os.seteuid(0)
            os.setegid(0)
        os.chmod(path, before)
    os.unlink(f"{job}/writer.json")
    if is_root:
        os.setegid(54321)
        os.seteuid(54321)
    print(sim.counts.runs, enrich(rows=more), sim.counts.runs)
"""


@as_another_user
def test_what_may_not_be_read_or_written_is_an_error_with_its_owner() -> None:
    """A checkpoint of another user names path, owner and ways out; nothing is paid, and no plan guesses."""
    with tempfile.TemporaryDirectory() as folder:  # pytest's own is its user's alone
        Path(folder).chmod(0o777)
        *lines, last = python(GROUP, Path(folder)).splitlines()
    writing = [line for at, line in enumerate(lines) if at % 4 < 2]
    reading = [line for at, line in enumerate(lines) if at % 4 >= 2]
    assert len(lines) == 4 * 8
    for line in (*writing, *(line for line in reading if not line.isdecimal())):
        assert line.startswith("CheckpointError ")
        assert "belongs to user" in line
        assert "umask 002" in line
    may_read = [line.isdecimal() for line in reading[::2]]  # of each path in the program, in its order
    assert may_read == [False, True, False, False, False, True, True, True]
    assert {line for line in reading if line.isdecimal()} == {"1", "2"}
    assert last == "2 ['completed', 'completed'] 3"


CLOSED = """
os.mkdir("closed", 0o700)
with pf.offline(latency=0) as sim:
    pf.enrich_parquet("rows.parquet", "open.parquet", {"n": str}, progress=False)
    if os.geteuid() == 0:
        os.seteuid(54321)
    else:
        os.chmod("closed", 0)
    tell(lambda: pf.enrich_parquet("rows.parquet", "closed/out.parquet", {"m": str}, progress=False))
    print(sim.counts.runs)
"""


@as_another_user
def test_a_target_in_a_folder_one_may_not_enter_is_refused() -> None:
    """It is named before anything is sent."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        pd.DataFrame({"company": ["Acme"]}).to_parquet(Path(folder) / "rows.parquet")
        refused, runs = python(CLOSED, Path(folder)).splitlines()
        (Path(folder) / "closed").chmod(0o700)
    assert refused.startswith("InputError The target closed/out.parquet cannot be reached (Permission denied).")
    assert runs == "1"

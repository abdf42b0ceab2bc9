"""Where a target is put: never over another program's files, and nothing is lost on the way."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import parallel_frames as pf
from parallel_frames.errors import InputError, TargetError
from parallel_frames.simulator import Simulator

Enrich = Callable[..., pf.EnrichedParquet]
# A call in a process of its own; MEANWHILE happens while the first run is answered.
Call = Callable[..., subprocess.CompletedProcess[str]]
CALL = """
import os, pathlib, resource, signal, sys, tempfile
import parallel_frames as pf
from parallel_frames.simulator import Simulator

source, target, overwrite, checkpoint = sys.argv[1:]

def answer(sent):
    MEANWHILE
    return {"name": sent["company"].upper(), "length": len(sent["company"])}

BEFORE
with Simulator(answer, latency=0, max_per_minute=None, speed=100) as sim:
    client = pf.Client(api_key="key", base_url=sim.url, clock_speed=100, max_per_minute=None)
    pf.enrich_parquet(
        source, target, {"name": str, "length": int}, client=client, progress=False, overwrite=bool(overwrite),
        checkpoint=checkpoint,
    )
"""
INTERRUPT_BETWEEN_RENAMES = """
rename = pathlib.Path.rename
def interrupted(self, to):
    moved = rename(self, to)
    if pathlib.Path(to).name == "before":
        os.kill(os.getpid(), signal.SIGINT)
    return moved
pathlib.Path.rename = interrupted
"""
KILL_BEFORE_MANIFEST = """
replace = pathlib.Path.replace
def killed(self, to):
    if str(to).endswith("out.parquet.manifest.json"):
        os.kill(os.getpid(), signal.SIGKILL)
    return replace(self, to)
pathlib.Path.replace = killed
"""

KILL_AROUND_MANIFEST = """
import os, pathlib, signal, sys
import parallel_frames as pf

source, target, url, checkpoint, moment = sys.argv[1:]
replace = pathlib.Path.replace
def killed(self, to):
    is_manifest = str(to).endswith(".manifest.json")
    if is_manifest and moment == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    replace(self, to)
    if is_manifest:
        os.kill(os.getpid(), signal.SIGKILL)
pathlib.Path.replace = killed
client = pf.Client(api_key="key", base_url=url, clock_speed=100, max_per_minute=None)
pf.enrich_parquet(source, target, {"name": str, "length": int}, client=client, progress=False, checkpoint=checkpoint)
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Give a source of three rows."""
    path = tmp_path / "in.parquet"
    pq.write_table(pa.table({"company": ["a", "b", "a"]}), path)
    return path


@pytest.fixture
def call(forks: Any) -> Call:
    """Run a call in a process of its own."""

    def run(
        source: Path,
        target: Path,
        *,
        before: str = "",
        meanwhile: str = "pass",
        overwrite: bool = False,
        checkpoint: str = "ck",
        **environment: str,
    ) -> Any:
        code = CALL.replace("BEFORE", before).replace("MEANWHILE", meanwhile)
        arguments = [source, target, "yes" if overwrite else "", target.parent / checkpoint]
        return forks.run([sys.executable, "-c", code, *arguments], env={**os.environ, **environment})

    return run


def while_answering(
    files: SimpleNamespace, do: Callable[[], object], source: Path, target: Path, **options: Any
) -> Any:
    """Enrich, and do something while the first run is answered."""

    def answer(sent: dict[str, Any]) -> Any:
        do()
        return files.answer(sent)

    with Simulator(answer, latency=0, max_per_minute=None, speed=files.SPEED) as sim:
        client = pf.Client(api_key="key", base_url=sim.url, clock_speed=files.SPEED, max_per_minute=None)
        return pf.enrich_parquet(source, target, files.SCHEMA, client=client, progress=False, **options)


def test_a_checkpoint_that_a_target_would_replace_is_refused(
    tmp_path: Path, source: Path, sim: Simulator, enrich: Enrich
) -> None:
    """What was paid for is in it; the next call would pay again."""
    nested = {
        "out": "out/ck",
        "out/": "out",
        "out2": "./x/../out2/ck",
        "ck/out.parquet": "ck",
        "a.parquet": "a.parquet",
    }
    for target, checkpoint in nested.items():
        with pytest.raises(InputError, match="are one inside the other"):
            enrich(source, tmp_path / target, checkpoint=tmp_path / checkpoint)
    with pytest.raises(InputError, match="are one inside the other"):
        pf.plan_parquet(source, {"name": str}, target=tmp_path / "out", checkpoint=tmp_path / "out" / "ck")
    assert sim.counts.posts == 0
    assert {path.name for path in tmp_path.iterdir()} == {"in.parquet"}


def test_a_checkpoint_among_the_sources_files_is_refused(
    tmp_path: Path, source: Path, sim: Simulator, enrich: Enrich
) -> None:
    """The next call would read its parts as rows."""
    rows = tmp_path / "rows"
    rows.mkdir()
    source.rename(rows / "in.parquet")
    for given in (rows, rows / "**" / "*.parquet", tmp_path / "*" / "**" / "0*.parquet"):
        if "0*" in str(given):
            pq.write_table(pa.table({"company": ["a"]}), rows / "0.parquet")
        with pytest.raises(InputError, match=r"checkpoint .* is the source, inside it or around it"):
            enrich(given, tmp_path / "out.parquet", checkpoint=rows / "ck")
    assert sim.counts.posts == 0
    assert enrich(rows / "in*.parquet", tmp_path / "out.parquet", checkpoint=rows / "ck").rows == 3


def test_what_came_into_a_target_meanwhile_is_not_deleted(
    tmp_path: Path, source: Path, enrich: Enrich, files: SimpleNamespace
) -> None:
    """A target that is replaced loses its parts only."""
    target = tmp_path / "out"
    enrich(source, target, checkpoint=tmp_path / "ck")
    thesis = target / "thesis.docx"
    with pytest.raises(TargetError, match=r"now holds .*thesis\.docx"):
        while_answering(
            files, lambda: thesis.write_text("ten years"), source, target, checkpoint=tmp_path / "ck2", overwrite=True
        )
    assert thesis.read_text() == "ten years"
    assert len(pd.read_parquet(target / "part-00000.parquet")) == 3


@pytest.mark.parametrize("name", ["out.parquet", "out"])
def test_a_target_that_appeared_meanwhile_is_not_replaced_unasked(
    tmp_path: Path, source: Path, files: SimpleNamespace, name: str
) -> None:
    """Another program's file stays, and the message says how to continue."""
    target = tmp_path / name

    def appear() -> None:
        target.mkdir(exist_ok=True) if name == "out" else target.write_text("theirs")
        if name == "out":
            (target / "part-00000.parquet").write_text("theirs")

    with pytest.raises(TargetError, match="made by another program meanwhile"):
        while_answering(files, appear, source, target)
    assert (target / "part-00000.parquet" if name == "out" else target).read_text() == "theirs"
    assert not (tmp_path / f"{name}.manifest.json").exists()
    assert files.beside(target) == {"in.parquet"}


def test_ctrl_c_between_the_renames_of_a_directory_leaves_the_old_target(
    tmp_path: Path, call: Call, source: Path
) -> None:
    """One of the two is always there."""
    target = tmp_path / "out"
    assert call(source, target).returncode == 0
    ended = call(source, target, before=INTERRUPT_BETWEEN_RENAMES, overwrite=True, checkpoint="ck2")
    assert "KeyboardInterrupt" in ended.stderr
    assert len(pd.read_parquet(target)) == 3
    assert {path.name for path in tmp_path.iterdir()} == {"in.parquet", "out", "ck", "ck2", "out.manifest.json"}


def test_a_call_that_is_killed_before_its_manifest_is_there_is_finished_by_the_next(
    tmp_path: Path, call: Call, source: Path, sim: Simulator, enrich: Enrich
) -> None:
    """The target is whole; the same call says so, and puts the manifest beside it."""
    target = tmp_path / "out.parquet"
    assert call(source, target, before=KILL_BEFORE_MANIFEST).returncode == -signal.SIGKILL
    assert len(pd.read_parquet(target)) == 3
    with pytest.raises(InputError, match="exists"):
        enrich(source, target, checkpoint=tmp_path / "ck")
    assert {path.name for path in tmp_path.iterdir()} == {
        "in.parquet",
        target.name,
        "ck",
        f"{target.name}.manifest.json",
    }
    assert sim.counts.posts == 0


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("name", ["out.parquet", "out"])
def test_a_call_that_is_killed_once_its_target_is_there_is_done(
    forks: Any, tmp_path: Path, source: Path, sim: Simulator, enrich: Enrich, name: str, moment: str
) -> None:
    """Its manifest, put into its place by the next call if need be, tells that call that the target is its own."""
    target, checkpoint = tmp_path / name, tmp_path / "ck"
    arguments = [str(source), str(target), sim.url, str(checkpoint), moment]
    assert forks.run([sys.executable, "-c", KILL_AROUND_MANIFEST, *arguments]).returncode == -signal.SIGKILL
    requests = sim.counts.requests
    done = enrich(source, target, checkpoint=str(checkpoint))
    assert (done.rows, done.counts, done.cost) == (3, {"completed": 3}, 0.02)
    assert (done.target, done.manifest) == (str(target), f"{target}.manifest.json")
    assert [run.group_id for run in sim.runs()] == [*done.group_ids, *done.group_ids]
    assert sim.counts.requests == requests


def test_a_target_is_recognised_by_all_that_it_depends_on(
    tmp_path: Path, source: Path, sim: Simulator, enrich: Enrich
) -> None:
    """Another question or option, a refresh, other rows and a target that was changed are another matter."""
    target = tmp_path / "out.parquet"
    done = enrich(source, target)
    assert enrich(source, target, max_cost=5) == done
    for options in (
        {"schema": {"name": str}},
        {"processor": "core"},
        {"basis": "columns"},
        {"rows_per_file": 2},
        {"retry_failed": False},
        {"refresh": True},
        {"older_than": "30d"},
        {"where": lambda df: df["company"] != "b"},
    ):
        with pytest.raises(InputError, match=r"exists\. Nothing was sent"):
            enrich(source, target, **options)
    whole = target.read_bytes()
    target.write_bytes(whole[:-1])
    with pytest.raises(InputError, match=r"exists\. Nothing was sent"):
        enrich(source, target)
    target.write_bytes(whole)
    pq.write_table(pa.table({"company": ["a", "b", "c"]}), source)
    with pytest.raises(InputError, match=r"exists, written at \S+Z when \S+in\.parquet had 3 rows\. Nothing was sent"):
        enrich(source, target)
    assert sim.counts.runs == 2


def test_a_refused_call_leaves_no_trace(tmp_path: Path, source: Path, sim: Simulator, enrich: Enrich) -> None:
    """Not even a directory for a target that will never be."""
    with pytest.raises(pf.errors.UnknownColumnError):
        enrich(source, tmp_path / "deep" / "down" / "out.parquet", inputs=["compny"])
    assert {path.name for path in tmp_path.iterdir()} == {"in.parquet"}
    assert sim.counts.posts == 0


def test_targets_that_could_not_be_put_in_their_place_are_refused(
    tmp_path: Path, source: Path, sim: Simulator, enrich: Enrich
) -> None:
    """A name too long for what stands beside it, a symbolic link, and a file where a directory is meant."""
    with pytest.raises(InputError, match=r"cannot be written \(File name too long\)\. Nothing was sent"):
        enrich(source, tmp_path / f"{'x' * 240}.parquet", checkpoint=tmp_path / "ck")
    enrich(source, tmp_path / "real.parquet", checkpoint=tmp_path / "ck")
    (tmp_path / "link.parquet").symlink_to(tmp_path / "real.parquet")
    (tmp_path / "notes").write_text("mine")
    posts = sim.counts.posts
    with pytest.raises(InputError, match=r"is a symbolic link.*real\.parquet"):
        enrich(source, tmp_path / "link.parquet", checkpoint=tmp_path / "ck", overwrite=True)
    with pytest.raises(InputError, match="is a file, and a target whose name does not end in"):
        enrich(source, tmp_path / "notes", checkpoint=tmp_path / "ck", overwrite=True)
    assert (tmp_path / "link.parquet").is_symlink()
    assert (tmp_path / "notes").read_text() == "mine"
    assert sim.counts.posts == posts


def test_manifests_beside_targets_are_no_rows(tmp_path: Path, enrich: Enrich) -> None:
    """A pattern that finds JSON finds the same files the next night."""
    (tmp_path / "rows.json").write_text('[{"company": "a"}, {"company": "b"}]')
    for _ in range(2):
        assert enrich(tmp_path / "*.json", tmp_path / "out.parquet", overwrite=True).rows == 2
    assert (tmp_path / "out.parquet.manifest.json").exists()


# The directory for temporary files


def test_what_a_killed_call_left_in_the_temporary_directory_goes_with_the_next(
    tmp_path: Path, call: Call, source: Path
) -> None:
    """Folders of the dead, killed while they wrote, are removed; those of the living and of others are not."""
    place = tmp_path / "temporary"
    place.mkdir()
    target = tmp_path / "out.parquet"
    dies = (
        "from parallel_frames._files import _row_order; _row_order.BUFFER_BYTES = 0; "
        "_row_order.feather.write_feather = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)"
    )
    dead = call(source, target, before=dies, TMPDIR=str(place))
    assert dead.returncode == -signal.SIGKILL
    left = [path for path in place.iterdir() if path.name.startswith("parallel_frames-")]
    assert left
    (place / "parallel_frames-of-another-kind").mkdir()
    for path in place.iterdir():
        os.utime(path, (1, 1))
    assert call(source, target, checkpoint="ck2", TMPDIR=str(place)).returncode == 0
    assert [path.name for path in place.iterdir()] == ["parallel_frames-of-another-kind"]


def test_a_full_temporary_directory_is_named_and_nothing_is_lost(tmp_path: Path, call: Call) -> None:
    """The message says which directory, what is safe, and how to go on."""
    source, target = tmp_path / "in.parquet", tmp_path / "out.parquet"
    pq.write_table(pa.table({"company": [f"company {n % 300}" for n in range(40_000)]}), source)
    limit = (
        "from parallel_frames._files import _row_order; _row_order.BUFFER_BYTES = 1_000_000; "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))"
    )
    ended = call(source, target, meanwhile=limit)
    assert "TargetError: The directory for temporary files, " in ended.stderr, ended.stderr
    assert "TMPDIR" in ended.stderr
    assert f"Every answer that came is safe in {tmp_path / 'ck'}" in ended.stderr
    assert pf.Checkpoint(tmp_path / "ck").outcomes()["status"].tolist() == ["completed"] * 300

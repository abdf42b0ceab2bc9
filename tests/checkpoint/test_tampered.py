"""Checkpoints that another program wrote or edited: never a raw error, and never paid again in silence."""

import asyncio
import json
import logging
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import parallel_frames as pf
from parallel_frames._checkpoint import open_store, place_of, read_header, recall_folder
from parallel_frames._model import Job, Options, Outcome, Receipt
from parallel_frames._state import DiskIndex, MemoryIndex
from parallel_frames.errors import CheckpointCorruptError, ParallelFramesError

DEEP = "[" * 100_000 + "]" * 100_000
KEY = "a" * 32
JOB = Job({"processor": "base", "schema": {"type": "text"}}, "f" * 32, "base", {"output_schema": "x"}, Options())
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2)
)
COLUMNS = [
    pa.nulls(3), pa.array([1, -1, 2**62]), pa.array([True, False, None]), pa.array(["", "zz", None]),
    pa.array([b"\xff", b"", None]), pa.array([[1], [], None]), pa.array([0.5, float("nan"), None]),
    pa.array(["COMPLETED", "completed", "queued"]), pa.array([KEY, KEY.upper(), "b" * 32]),
    pa.array([0, 1, None], pa.int32()),
]  # fmt: skip
fuzzed = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


async def fill(store: Any) -> None:
    """Store three runs and their outcomes."""
    await store.add_group("tgrp_1", dialect="published")
    await store.write_receipt(None, receipts=[Receipt(f"{n:032x}", 0, f"run_{n}", "tgrp_1", n) for n in range(3)])
    outcomes = [Outcome(f"{n:032x}", 0, f"run_{n}", "tgrp_1", "completed", output="{}") for n in range(3)]
    await store.write_outcomes(outcomes, cursors={"tgrp_1": "evt_1"})


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """Give a job's folder."""
    with open_store(tmp_path / "job", JOB, host="example.test") as store:
        asyncio.run(fill(store))
    return tmp_path / "job"


def part_of(folder: Path, place: str) -> Path:
    """Return the one part of a job."""
    return next(path for path in (folder / place).iterdir() if path.suffix == ".parquet" and path.name[0] != ".")


@given(
    name=st.sampled_from(
        [
            "format",
            "job",
            "job_hash",
            "host",
            "dialect",
            "groups",
            "spec",
            "last_call",
            "created_at",
            "simulated",
            "library",
        ]
    ),
    value=JSON,
)
@fuzzed
def test_a_header_with_fields_of_other_types_is_set_aside_or_refused(job: Path, name: str, value: Any) -> None:
    """Whatever a field of the header is: a store opens on a header that is whole, or the error is ours."""
    path = job / "header.json"
    sound = path.read_text()
    path.write_text(json.dumps({**json.loads(sound), name: value}))
    with suppress(ParallelFramesError), open_store(job, JOB, host="example.test") as store:
        assert store.groups in (["tgrp_1"], value)
        assert store.dialect in (None, "published", "published-v1beta", "seed")
        store.write_header()
        assert read_header(place_of(job)) is not None
    pf.Checkpoint(job).summary()
    path.write_text(sound)


@pytest.mark.parametrize("text", [DEEP, f'{{"job": {DEEP}}}', "[1]", "", "\xff"])
def test_a_header_that_is_none_is_rebuilt_from_the_parts(job: Path, text: str) -> None:
    """Deeply nested, empty, or no object: it is set aside, and the groups are those of the parts."""
    (job / "header.json").write_text(text, encoding="latin-1")
    with open_store(job, JOB, host="example.test") as store:
        assert store.groups == ["tgrp_1"]
    assert list(job.glob(".damaged-header.json-*"))


def test_the_header_of_another_job_is_set_aside(job: Path) -> None:
    """Its spec would send other questions under the keys of this job."""
    header = json.loads((job / "header.json").read_text())
    (job / "header.json").write_text(json.dumps({**header, "job_hash": "e" * 32, "spec": {"output_schema": "y"}}))
    with open_store(job, JOB, host="example.test") as store:
        assert store.header["spec"] == JOB.spec


@pytest.mark.parametrize("kind", [MemoryIndex, DiskIndex])
@given(
    place=st.sampled_from(["receipts", "outcomes"]),
    name=st.sampled_from(["key", "attempt", "run_id", "group_id", "status", "row"]),
    column=st.sampled_from(COLUMNS),
)
@fuzzed
def test_a_part_with_other_values_is_set_aside_in_both_indexes(
    job: Path, kind: Callable[[], Any], place: str, name: str, column: pa.Array
) -> None:
    """What no part of ours holds is not counted, whichever index reads it; nothing raises."""
    path = part_of(job, place)
    kept = path.read_bytes()
    table = pq.read_table(path)
    if name in table.column_names:
        table = table.set_column(table.column_names.index(name), name, column)
        pq.write_table(table.replace_schema_metadata(pq.read_schema(path).metadata), path)
    for repair in (False, True):
        index = kind()
        index.add_rows(0, [f"{n:032x}" for n in range(3)], [0, 1, 2])
        index.end_rows()
        recall_folder(place_of(job), index, repair=repair)
        status = index.status()
        index.begin_refresh(())
        assert status.answered + status.awaited + status.to_send == 3
        for group in index.groups:
            index.group_state(group)
    pf.Checkpoint(job).outcomes()
    for aside in (job / place).glob(".damaged-*"):
        aside.unlink()
    path.write_bytes(kept)


@pytest.mark.parametrize("kind", [MemoryIndex, DiskIndex])
@pytest.mark.parametrize("word", ["COMPLETED", "done", "queued", "", None])
def test_a_part_with_an_unknown_status_is_set_aside(
    job: Path, kind: Callable[[], Any], word: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    """Its runs are awaited again, by the receipts, and the log quotes the word."""
    path = part_of(job, "outcomes")
    table = pq.read_table(path)
    words = pa.array(["completed", word, "completed"], pa.string())
    pq.write_table(table.set_column(table.column_names.index("status"), "status", words), path)
    index = kind()
    index.add_rows(0, [f"{n:032x}" for n in range(3)], [0, 1, 2])
    index.end_rows()
    with caplog.at_level(logging.WARNING, "parallel_frames"):
        recall_folder(place_of(job), index, repair=True)
    assert (index.status().awaited, index.status().billed) == (3, 3)
    assert f"the status {word!r}" in caplog.text


@given(
    name=st.sampled_from([b"parallel_frames.cursors", b"parallel_frames.replaces"]),
    value=st.sampled_from([DEEP.encode(), b"{", b"\xff", b""]) | JSON.map(lambda value: json.dumps(value).encode()),
)
@fuzzed
def test_unreadable_cursors_cost_no_outcome(job: Path, name: bytes, value: bytes) -> None:
    """Without a cursor the events are taken again; the outcomes of its part count."""
    path = part_of(job, "outcomes")
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({name: value}), path)
    index = MemoryIndex()
    recalled = recall_folder(place_of(job), index, repair=True)
    assert index.parts() == [1]
    assert all(isinstance(cursor, str) for cursor in recalled.cursors.values())


@pytest.mark.parametrize(
    "columns",
    [
        {"a": [1]}, {"key": [1], "attempt": [1]}, {"key": [None], "attempt": [None]}, {"key": [KEY], "attempt": ["x"]},
        {"key": [KEY], "attempt": [2**40]}, {"key": [KEY], "attempt": [-2]}, {"key": ["zz"], "attempt": [0]},
    ],
)  # fmt: skip
def test_a_refresh_file_of_another_shape_is_a_corrupt_checkpoint(tmp_path: Path, columns: dict[str, Any]) -> None:
    """It cannot be known what was asked again, so nothing is, and the message says how to proceed."""
    df = pd.DataFrame({"company": ["Acme"]})
    with pf.offline(latency=0) as sim:
        df.parallel.enrich({"n": str}, checkpoint=tmp_path / "ck", progress=False)
        (folder,) = (tmp_path / "ck").iterdir()
        pq.write_table(pa.table(columns), folder / "refresh.parquet")
        for again in (df.parallel.enrich, df.parallel.plan):
            with pytest.raises(CheckpointCorruptError, match="refresh=True"):
                again({"n": str}, checkpoint=tmp_path / "ck", refresh=True)
        assert sim.counts.runs == 1


@pytest.mark.parametrize("end", ["frame", "file"])
@pytest.mark.parametrize("output", ["zz", None, "", "{"])
def test_an_answer_that_is_not_json_is_fetched_again(tmp_path: Path, end: str, output: str | None) -> None:
    """It was paid for, and is on the service: its part is set aside, and nothing is paid twice."""
    df = pd.DataFrame({"company": ["Acme", "Globex"]})
    df.to_parquet(tmp_path / "rows.parquet")
    with pf.offline(latency=0) as sim:
        first = df.parallel.enrich({"n": str}, checkpoint=tmp_path / "ck", progress=False)
        (folder,) = (tmp_path / "ck").iterdir()
        path = part_of(folder, "outcomes")
        table = pq.read_table(path)
        outputs = pa.array([output, *table.column("output").to_pylist()[1:]], pa.string())
        pq.write_table(table.set_column(table.column_names.index("output"), "output", outputs), path)
        if end == "frame":
            out = df.parallel.enrich({"n": str}, checkpoint=tmp_path / "ck", progress=False)
        else:
            options: dict[str, Any] = {"checkpoint": tmp_path / "ck", "progress": False}
            pf.enrich_parquet(tmp_path / "rows.parquet", tmp_path / "out.parquet", {"n": str}, **options)
            out = pd.read_parquet(tmp_path / "out.parquet")
        assert out["n"].tolist() == first["n"].tolist()
        assert sim.counts.runs == 2


def test_a_plan_counts_what_was_paid_for_beside_a_damaged_header(tmp_path: Path) -> None:
    """The call would rebuild it and send nothing, and the plan says so."""
    df = pd.DataFrame({"company": ["Acme", "Globex"]})
    with pf.offline(latency=0):
        df.parallel.enrich({"n": str}, checkpoint=tmp_path / "ck", progress=False)
        (folder,) = (tmp_path / "ck").iterdir()
        (folder / "header.json").write_text("{")
        plan = df.parallel.plan({"n": str}, checkpoint=tmp_path / "ck")
        assert (plan.to_send, plan.answered) == (0, 2)


@given(
    contents=st.dictionaries(st.sampled_from(["host", "machine", "pid", "started", "token", "since", "beat"]), JSON)
    | JSON
)
@fuzzed
def test_a_lease_with_other_fields_locks_or_does_not(job: Path, contents: Any) -> None:
    """Whatever a lease says, its reader takes over or names what it may know of the writer."""
    (job / "writer.json").write_text(json.dumps(contents))
    with suppress(ParallelFramesError), open_store(job, JOB, host="example.test"):
        pass
    pf.Checkpoint(job).unlock(force=True)
    assert not (job / "writer.json").exists()

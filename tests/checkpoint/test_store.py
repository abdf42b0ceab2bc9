"""The directory of a checkpoint: real files, whole or not at all, read back whatever became of them."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import parallel_frames as pf
from parallel_frames._checkpoint import choose_folder, open_store, read_stale
from parallel_frames._model import Job, Options, Outcome, Receipt, RunId
from parallel_frames._state import MemoryIndex
from parallel_frames.errors import (
    CheckpointCorruptError,
    CheckpointError,
    CheckpointLockedError,
    CheckpointMismatchError,
)

JOB = Job({"processor": "base", "schema": {"type": "text"}}, "f" * 32, "base", {"output_schema": "x"}, Options())
HOST = "example.test"


def outcome(number: int, **more: object) -> Outcome:
    """Return a completed outcome of key `number`."""
    return Outcome(f"{number:032x}", 0, f"run_{number}", "tgrp_1", "completed", output=f'{{"n":{number}}}', **more)  # type: ignore[arg-type]


def write(folder: Path, *numbers: int, cursor: str = "evt_1") -> None:
    """Open a store, write one part of outcomes, and close it."""
    with open_store(folder, JOB, host=HOST) as store:
        asyncio.run(store.add_group("tgrp_1", dialect="published"))
        asyncio.run(store.write_outcomes([outcome(n) for n in numbers], cursors={"tgrp_1": cursor}))


def test_what_is_written_is_recalled(tmp_path: Path, recall: Any) -> None:
    """Receipts, intents, outcomes, cursors, groups and dialect come back as they were written."""

    async def fill() -> None:
        await store.add_group("tgrp_1", dialect="seed")
        first = await store.write_intent("tgrp_1", runs=[RunId("a" * 32, 0)], rows=[4])
        await store.write_receipt(first, receipts=[Receipt("a" * 32, 0, "run_1", "tgrp_1", 4)])
        await store.write_intent("tgrp_1", runs=[RunId("b" * 32, 1)], rows=[5])
        await store.write_outcomes([outcome(1, basis="[]", error=None)], cursors={"tgrp_1": "evt_9"})

    with open_store(tmp_path / "job", JOB, host=HOST) as store:
        asyncio.run(fill())
    with open_store(tmp_path / "job", JOB, host=HOST) as store:
        held = recall(store)
        assert (store.groups, store.dialect) == (["tgrp_1"], "seed")
    assert held.receipts == [Receipt("a" * 32, 0, "run_1", "tgrp_1", 4)]
    assert [(intent.runs, intent.rows) for intent in held.intents] == [((RunId("b" * 32, 1),), (5,))]
    assert held.outcomes == [outcome(1, basis="[]")]
    assert held.cursors == {"tgrp_1": "evt_9"}


def test_outcomes_are_plain_parquet(tmp_path: Path) -> None:
    """The folder of outcomes is read by pandas as it is."""
    write(tmp_path / "job", 1, 2)
    assert pd.read_parquet(tmp_path / "job" / "outcomes")["output"].tolist() == ['{"n":1}', '{"n":2}']


def test_a_receipt_beside_its_intent_wins(tmp_path: Path, recall: Any) -> None:
    """Dying between the receipt and the removal of its intent leaves a decided batch."""
    folder = tmp_path / "job"
    with open_store(folder, JOB, host=HOST) as store:
        number = asyncio.run(store.write_intent("tgrp_1", runs=[RunId("a" * 32, 0)], rows=[0]))
        intent = folder / "receipts" / f"{number:06d}.intent.parquet"
        kept = intent.read_bytes()
        asyncio.run(store.write_receipt(number, receipts=[Receipt("a" * 32, 0, "run_1", "tgrp_1")]))
        assert not intent.exists()
        intent.write_bytes(kept)
    with open_store(folder, JOB, host=HOST) as store:
        held = recall(store)
    assert (len(held.receipts), held.intents) == (1, [])
    assert not intent.exists()


@pytest.mark.parametrize("damage", ["empty", "truncated", "foreign", "flipped", "columns"])
def test_a_damaged_part_is_set_aside_and_the_rest_is_read(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture, recall: Any
) -> None:
    """One bad file costs its own outcomes, is reported, and is never a stack trace."""
    folder = tmp_path / "job"
    write(folder, *range(200))
    write(folder, 1000)
    part = folder / "outcomes" / "000001.parquet"
    data = part.read_bytes()
    flipped = bytearray(data)
    flipped[200] ^= 0xFF
    if damage == "columns":
        pd.DataFrame({"x": [1]}).to_parquet(part)
    else:
        part.write_bytes(
            {"empty": b"", "truncated": data[:-50], "foreign": b"hello" * 100, "flipped": bytes(flipped)}[damage]
        )
    assert pf.Checkpoint(folder).verify()["file"].tolist() == ["outcomes/000001.parquet"]
    with open_store(folder, JOB, host=HOST) as store:
        held = recall(store)
        assert [o.run_id for o in held.outcomes] == ["run_1000"]
        assert "set aside" in caplog.text
        assert not part.exists()
        asyncio.run(store.write_outcomes([outcome(5)], cursors={}))
        assert not part.exists(), "a number is never used again"
    assert len(list((folder / "outcomes").glob(".damaged-*"))) == 1


REWRITTEN = {
    "by pandas": lambda table: pa.Table.from_pandas(table.to_pandas()),
    "large": lambda table: table.cast(pa.schema([(f.name, LARGE.get(f.type, f.type)) for f in table.schema])),
    "as categories": lambda table: pa.Table.from_pandas(table.to_pandas().astype({"run_id": "category"})),
    "other columns": lambda table: table.select(table.column_names[::-1]).append_column("seen", [[1] * len(table)]),
}
LARGE = {pa.string(): pa.large_string(), pa.int32(): pa.int64()}


@pytest.mark.parametrize("rewrite", REWRITTEN)
def test_a_part_that_was_written_anew_is_read_all_the_same(tmp_path: Path, rewrite: str, recall: Any) -> None:
    """What pandas or others make of a plain Parquet file says the same, in other types and an order of its own."""
    folder = tmp_path / "job"
    write(folder, 1)
    write(folder, 2, 3)
    paid = [[Receipt(f"{number:032x}", 0, f"run_{number}", "tgrp_1", number)] for number in (1, 4)]
    with open_store(folder, JOB, host=HOST) as store:
        for receipts in paid:
            asyncio.run(store.write_receipt(None, receipts=receipts))
    for path in (folder / "receipts" / "000001.parquet", folder / "outcomes" / "000002.parquet"):
        pq.write_table(REWRITTEN[rewrite](pq.ParquetFile(path).read()), path)
    with open_store(folder, JOB, host=HOST) as store:
        held = recall(store)
    assert held.receipts == [receipt for receipts in paid for receipt in receipts]
    assert held.outcomes == [outcome(1), outcome(2), outcome(3)]
    index = MemoryIndex()
    with open_store(folder, JOB, host=HOST) as store:
        store.recall(index)
    assert index.group_state("tgrp_1").awaited == {RunId(f"{4:032x}", 0): "run_4"}


def test_a_part_of_other_types_is_set_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture, recall: Any) -> None:
    """A table that has the names of our columns and other things in them is foreign, and no stack trace."""
    folder = tmp_path / "job"
    write(folder, 1)
    write(folder, 2)
    part = folder / "outcomes" / "000001.parquet"
    pd.read_parquet(part).assign(attempt="first").to_parquet(part)
    with open_store(folder, JOB, host=HOST) as store:
        assert recall(store).outcomes == [outcome(2)]
    assert "it has the columns key (" in caplog.text
    assert not part.exists()


def test_an_unreadable_intent_is_an_intent_of_nobody_knows_which_runs(tmp_path: Path, recall: Any) -> None:
    """It is remembered as undecided, so that nothing is sent before the settle time."""
    folder = tmp_path / "job"
    with open_store(folder, JOB, host=HOST) as store:
        asyncio.run(store.write_intent("tgrp_1", runs=[RunId("a" * 32, 0)], rows=[0]))
    (folder / "receipts" / "000001.intent.parquet").write_bytes(b"torn")
    with open_store(folder, JOB, host=HOST) as store:
        assert [intent.runs for intent in recall(store).intents] == [()]


def test_a_lost_header_is_rebuilt_from_the_parts(tmp_path: Path, recall: Any) -> None:
    """The groups stand in receipts and outcomes too."""
    folder = tmp_path / "job"
    write(folder, 1)
    (folder / "header.json").write_text("{ torn")
    with open_store(folder, JOB, host=HOST) as store:
        assert store.groups == ["tgrp_1"]
        assert len(recall(store).outcomes) == 1


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    """What a later version wrote is not guessed at."""
    folder = tmp_path / "job"
    write(folder, 1)
    header = json.loads((folder / "header.json").read_text())
    (folder / "header.json").write_text(json.dumps({**header, "format": 99}))
    with pytest.raises(CheckpointError, match=r"newer parallel_frames"), open_store(folder, JOB, host=HOST):
        pass


def test_a_part_being_written_is_never_read(tmp_path: Path, recall: Any) -> None:
    """A temporary file that a dead process left behind is no part."""
    folder = tmp_path / "job"
    write(folder, 1)
    (folder / "outcomes" / ".000002.parquet.77.tmp").write_bytes(b"half")
    assert len(pd.read_parquet(folder / "outcomes")) == 1
    with open_store(folder, JOB, host=HOST) as store:
        assert len(recall(store).outcomes) == 1


def test_two_writers_are_refused_and_told_who_writes(forks: Any, tmp_path: Path) -> None:
    """The second writer in this process, or in another, gets a clear error."""
    folder = tmp_path / "job"
    code = (
        "import sys; from pathlib import Path; from parallel_frames._checkpoint import open_store;"
        "from parallel_frames._model import *;"
        "identity = {'processor': 'base', 'schema': {'type': 'text'}}\n"
        "job = Job(identity, 'f' * 32, 'base', {'output_schema': 'x'}, Options())\n"
        "with open_store(Path(sys.argv[1]), job, host='example.test'): pass"
    )
    with open_store(folder, JOB, host=HOST):
        with pytest.raises(CheckpointLockedError, match=f"process {os.getpid()}"), open_store(folder, JOB, host=HOST):
            pass
        other = forks.run([sys.executable, "-c", code, str(folder)])
        assert "CheckpointLockedError" in other.stderr
    assert forks.run([sys.executable, "-c", code, str(folder)]).returncode == 0


def test_a_dead_writer_is_not_in_the_way_but_another_hosts_is(tmp_path: Path) -> None:
    """A kernel lock dies with its process; a card of another host must be removed by a person."""
    folder = tmp_path / "job"
    write(folder, 1)
    card = folder / "writer.json"
    card.write_text(json.dumps({"host": os.uname().nodename, "pid": 1}))
    with open_store(folder, JOB, host=HOST):
        pass
    card.write_text(json.dumps({"host": "elsewhere", "pid": 1}))
    with pytest.raises(CheckpointLockedError, match=r"process 1 on elsewhere"), open_store(folder, JOB, host=HOST):
        pass


def test_another_job_is_named_with_what_differs_and_what_it_costs(tmp_path: Path) -> None:
    """A directory that holds only other jobs is refused until on_mismatch says otherwise."""
    write(tmp_path / ("f" * 16), 1)
    other = Job({**JOB.identity, "processor": "pro"}, "e" * 32, "pro", JOB.spec, Options())
    with pytest.raises(CheckpointMismatchError, match=r'processor: "base" there, "pro" here.*\$5\.00'):
        choose_folder(tmp_path, other, on_mismatch="error", price="$5.00")
    assert choose_folder(tmp_path, other, on_mismatch="new", price="$5.00").name == "e" * 16
    assert choose_folder(tmp_path, JOB, on_mismatch="error", price="$5.00").name == "f" * 16


def test_another_hosts_answers_are_refused(tmp_path: Path) -> None:
    """Simulated answers never stand in for the live service's."""
    write(tmp_path / "job", 1)
    with pytest.raises(CheckpointMismatchError, match=HOST), open_store(tmp_path / "job", JOB, host="api.test"):
        pass


def test_what_is_put_together_at_a_time_is_bounded_by_its_size_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recall: Any
) -> None:
    """Answers that are alike are tiny as Parquet: parts of them stay readable, and are not written again and again."""
    monkeypatch.setattr("parallel_frames._checkpoint._store.LARGE_TABLE", 20_000)
    parts = tmp_path / "job" / "outcomes"
    with open_store(tmp_path / "job", JOB, host=HOST) as store:
        for number in range(70):
            asyncio.run(store.write_outcomes([outcome(number, basis="x" * 1000)], cursors={}))
        store.compact()
        sizes = {path.name: len(pd.read_parquet(path)) for path in parts.glob("*.parquet")}
        assert sum(sizes.values()) == 70
        assert 3 <= len(sizes) <= 6
        assert max(sizes.values()) * 1000 <= 21_000
        full = {name for name, rows in sizes.items() if rows == max(sizes.values())}
        store.compact(above=1)
        assert full <= {path.name for path in parts.glob("*.parquet")}
        assert len(recall(store).outcomes) == 70


def test_compaction_keeps_every_outcome_and_survives_dying_in_between(tmp_path: Path, recall: Any) -> None:
    """Many small parts become one; leftovers of a compaction that died are removed, and nothing is counted twice."""
    folder = tmp_path / "job"
    with open_store(folder, JOB, host=HOST) as store:
        for number in range(70):
            asyncio.run(store.write_outcomes([outcome(number)], cursors={"tgrp_1": f"evt_{number}"}))
        kept = {path.name: path.read_bytes() for path in (folder / "outcomes").glob("*.parquet")}
        store.compact()
        assert [path.name for path in (folder / "outcomes").glob("*.parquet")] == ["000071.parquet"]
        for name, data in kept.items():
            (folder / "outcomes" / name).write_bytes(data)
    with open_store(folder, JOB, host=HOST) as store:
        held = recall(store)
    assert sorted(o.run_id for o in held.outcomes) == sorted(f"run_{n}" for n in range(70))
    assert held.cursors == {"tgrp_1": "evt_69"}
    assert [path.name for path in (folder / "outcomes").glob("*.parquet")] == ["000071.parquet"]


def test_receipts_are_put_together_and_survive_dying_in_between(tmp_path: Path, recall: Any) -> None:
    """A long job has thousands: they become few, but for one whose intent is still there; each run has one receipt."""
    folder = tmp_path / "job"
    receipts = folder / "receipts"
    with open_store(folder, JOB, host=HOST) as store:
        for number in range(70):
            run = RunId(f"{number:032x}", 0)
            batch = asyncio.run(store.write_intent("tgrp_1", runs=[run], rows=[number]))
            intent = (receipts / f"{batch:06d}.intent.parquet").read_bytes()
            receipt = Receipt(run.key, 0, f"run_{number}", "tgrp_1", number)
            asyncio.run(store.write_receipt(batch, receipts=[receipt]))
        (receipts / "000070.intent.parquet").write_bytes(intent)  # died before it went
        kept = {path.name: path.read_bytes() for path in receipts.glob("*.parquet")}
        store.compact()
        names = ["000070.intent.parquet", "000070.parquet", "000071.parquet"]
        assert sorted(path.name for path in receipts.glob("*.parquet")) == names
        for name, data in kept.items():
            (receipts / name).write_bytes(data)
    with open_store(folder, JOB, host=HOST) as store:
        held = recall(store)
        assert asyncio.run(store.write_intent("tgrp_1", runs=[RunId("f" * 32, 0)], rows=[0])) == 72
    assert sorted(receipt.row for receipt in held.receipts) == list(range(70))
    assert held.intents == []
    assert sorted(path.name for path in receipts.glob("0*[0-9].parquet")) == names[1:]


def test_an_unfinished_refresh_is_remembered_until_it_ends(tmp_path: Path) -> None:
    """What a refresh found is what it asks again, whatever it made since."""
    folder = tmp_path / "job"
    with open_store(folder, JOB, host=HOST) as store:
        assert read_stale(store.folder) is None
        store.begin_refresh([("a" * 32, 0), ("b" * 32, 3)])
    with open_store(folder, JOB, host=HOST) as store:
        assert read_stale(store.folder) == [("a" * 32, 0), ("b" * 32, 3)]
        store.end_refresh([])
        assert read_stale(store.folder) is None


def test_a_damaged_memory_of_a_refresh_is_never_guessed_at(tmp_path: Path) -> None:
    """Which rows were asked again is unknown, so a person decides."""
    folder = tmp_path / "job"
    with open_store(folder, JOB, host=HOST) as store:
        store.begin_refresh([("a" * 32, 0)])
        (folder / "refresh.parquet").write_bytes(b"torn")
        with pytest.raises(CheckpointCorruptError, match=r"refresh\.parquet is damaged.*Remove it"):
            read_stale(store.folder)


def test_a_full_disk_is_a_checkpoint_error_that_says_what_is_safe(tmp_path: Path) -> None:
    """Trouble with the file system names the file and what to do."""
    folder = tmp_path / "job"
    with open_store(folder, JOB, host=HOST) as store:
        (folder / "outcomes").rename(folder / "gone")
        with pytest.raises(CheckpointError, match=r"could not be written.*run the same again"):
            asyncio.run(store.write_outcomes([outcome(1)], cursors={}))


def test_no_checkpoint_is_an_error_to_look_into(tmp_path: Path) -> None:
    """Looking into an empty directory says that nothing is there."""
    with pytest.raises(CheckpointError, match=r"no checkpoint"):
        pf.Checkpoint(tmp_path)


def test_a_checkpoint_can_be_looked_into(tmp_path: Path) -> None:
    """Header, outcomes and summary are there for a person, without changing anything."""
    write(tmp_path / "one", 1, 2)
    checkpoint = pf.Checkpoint(tmp_path)
    assert checkpoint.header["groups"] == ["tgrp_1"]
    assert checkpoint.outcomes()["run_id"].tolist() == ["run_1", "run_2"]
    assert checkpoint.summary()["completed"].tolist() == [2]
    assert checkpoint.verify().empty

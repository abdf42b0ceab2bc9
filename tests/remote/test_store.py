"""A job's folder in an object store: what holds on a disk holds there."""

import asyncio
import json
import time
from contextlib import nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

import parallel_frames as pf
from parallel_frames._checkpoint import choose_folder, open_store, place_of, read_stale
from parallel_frames._model import Job, Options, Outcome, Receipt, RunId
from parallel_frames.errors import (
    CheckpointError,
    CheckpointLockedError,
    CheckpointMismatchError,
    ConfigurationError,
    InputError,
)

JOB = Job({"processor": "base"}, "f" * 32, "base", {"output_schema": "x"}, Options())
FOLDER = "s3://bucket/ck/job"
CARD = "ck/job/writer.json"


def outcome(number: int) -> Outcome:
    """Return a completed outcome of key `number`."""
    return Outcome(f"{number:032x}", 0, f"run_{number}", "tgrp_1", "completed", output=f'{{"n":{number}}}')


def card_of_another(*, beat: float) -> bytes:
    """Return the card of a writer on another machine."""
    told = {"host": "elsewhere", "machine": "m", "pid": 1, "started": "1", "token": "t", "since": beat, "beat": beat}
    return json.dumps(told).encode()


@pytest.fixture(params=["s3", "memory", "file"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Give an address of each kind."""
    if request.param == "s3":
        request.getfixturevalue("s3")
        return FOLDER
    return f"memory://{tmp_path.name}/job" if request.param == "memory" else f"{tmp_path.as_uri()}/ck/job"


def test_what_is_written_is_recalled_and_compacted(folder: str, recall: Any) -> None:
    """Header, receipts, intents, outcomes, cursors and refreshes come back, and many parts become one."""

    async def fill(store: Any) -> None:
        await store.add_group("tgrp_1", dialect="published")
        first = await store.write_intent("tgrp_1", runs=[RunId("a" * 32, 0)], rows=[4])
        await store.write_receipt(first, receipts=[Receipt("a" * 32, 0, "run_1", "tgrp_1", 4)])
        await store.write_intent("tgrp_1", runs=[RunId("b" * 32, 1)], rows=[5])
        await store.drop_intent(await store.write_intent("tgrp_1", runs=[RunId("c" * 32, 1)], rows=[6]))
        for number in range(66):
            await store.write_outcomes([outcome(number)], cursors={"tgrp_1": f"evt_{number}"})

    with open_store(folder, JOB, host="h") as store:
        asyncio.run(fill(store))
        store.begin_refresh([("a" * 32, 0)])
        store.compact()
    with open_store(folder, JOB, host="h") as store:
        held = recall(store)
        assert read_stale(store.folder) == [("a" * 32, 0)]
        store.end_refresh([])
    assert [receipt.row for receipt in held.receipts] == [4]
    assert [intent.rows for intent in held.intents] == [(5,)]
    assert sorted(o.run_id for o in held.outcomes) == sorted(f"run_{n}" for n in range(66))
    assert held.cursors == {"tgrp_1": "evt_65"}
    assert [place.name for place in (place_of(folder) / "outcomes").children()] == ["000067.parquet"]
    assert read_stale(place_of(folder)) is None
    assert len(pf.Checkpoint(folder).outcomes()) == 66
    other = Job({"processor": "pro"}, "e" * 32, "pro", JOB.spec, Options())
    with pytest.raises(CheckpointMismatchError, match="1 other question and not to this one"):
        choose_folder(place_of(folder).parent, other, on_mismatch="error", price="$1")


def test_a_torn_object_is_set_aside(s3: Any, recall: Any) -> None:
    """What cannot be read is never read again, and `verify` tells of it before."""
    with open_store(FOLDER, JOB, host="h") as store:
        store.write_header()
        asyncio.run(store.write_outcomes([outcome(1)], cursors={}))
    s3.put("ck/job/outcomes/000002.parquet", b"PAR1torn")
    assert pf.Checkpoint(FOLDER).verify()["file"].tolist() == ["outcomes/000002.parquet"]
    with open_store(FOLDER, JOB, host="h") as store:
        assert len(recall(store).outcomes) == 1
    assert pf.Checkpoint(FOLDER).verify().empty
    assert any("/.damaged-000002" in name for name in s3.objects())


def test_a_second_writer_is_told_of_the_first(folder: str) -> None:
    """Two writers of one process are refused too, wherever the folder is."""
    match = r"process \d+ on .* since .*last heartbeat"
    with open_store(folder, JOB, host="h"), pytest.raises(CheckpointLockedError, match=match):
        open_store(folder, JOB, host="h").__enter__()
    with open_store(folder, JOB, host="h"):
        pass


def test_another_machines_writer_is_never_taken_over_by_itself(s3: Any) -> None:
    """A person unlocks what a silent writer left; one heard of just now only by force."""
    with open_store(FOLDER, JOB, host="h") as store:
        store.write_header()
    s3.put(CARD, card_of_another(beat=time.time() - 3600))
    with pytest.raises(CheckpointLockedError, match=r"process 1 on elsewhere.*did not release it.*unlock\(\)"):
        open_store(FOLDER, JOB, host="h").__enter__()
    pf.Checkpoint("s3://bucket/ck").unlock()
    with open_store(FOLDER, JOB, host="h"):
        pass
    s3.put(CARD, card_of_another(beat=time.time()))
    with pytest.raises(CheckpointLockedError, match=r"may well be alive.*force=True"):
        pf.Checkpoint(FOLDER).unlock()
    pf.Checkpoint(FOLDER).unlock(force=True)
    assert CARD not in s3.objects()


@pytest.mark.parametrize("taken", [True, False])
def test_a_writer_that_lost_its_card_sends_nothing_more(s3: Any, taken: bool) -> None:
    """An intent whose writer was replaced is refused before its POST, and the other's card stays."""
    with open_store(FOLDER, JOB, host="h") as store:
        theirs = card_of_another(beat=time.time())
        if taken:
            s3.put(CARD, theirs)
        else:
            s3.delete(CARD)
        with pytest.raises(CheckpointLockedError, match=r"not ours to write any more"):
            asyncio.run(store.write_intent("tgrp_1", runs=[RunId("a" * 32, 0)], rows=[1]))
        with pytest.raises(CheckpointLockedError):
            asyncio.run(store.write_outcomes([outcome(1)], cursors={}))
    assert s3.objects().get(CARD) == (theirs if taken else None)


def test_a_card_beats_while_its_writer_is_at_work(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What others see of a writer is never old."""
    monkeypatch.setattr("parallel_frames._checkpoint._lease.BEAT_EVERY", 0.05)
    with open_store(FOLDER, JOB, host="h"):
        first = json.loads(s3.objects()[CARD])
        deadline = time.monotonic() + 20
        while json.loads(s3.objects()[CARD])["beat"] == first["beat"]:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert CARD not in s3.objects()


@pytest.mark.parametrize("fault", ["refuse", "lose"])
def test_a_failing_store_is_a_checkpoint_error_and_no_intent(s3: Any, fault: str, recall: Any) -> None:
    """Where it is unknown whether an object was put, it is looked up; a number is never used for two things."""
    with open_store(FOLDER, JOB, host="h") as store:
        s3.fault = lambda method, path: fault if method == "PUT" and "receipts" in path else None
        work = store.write_intent("tgrp_1", runs=[RunId("a" * 32, 0)], rows=[1])
        if fault == "refuse":
            with pytest.raises(CheckpointError, match=r"could not be written .*What was stored before is safe"):
                asyncio.run(work)
        else:
            assert asyncio.run(work) == 1
        s3.mend()
    with open_store(FOLDER, JOB, host="h") as store:
        assert len(recall(store).intents) == (fault == "lose")


def test_a_number_is_never_used_twice(s3: Any) -> None:
    """An object that is there already is not replaced by another."""
    place = place_of("s3://bucket/x")
    with place.written(exclusive=True) as sink:
        sink.write(b"one")
    with pytest.raises(FileExistsError), place.written(exclusive=True) as sink:
        sink.write(b"two")
    assert place.read() == b"one"


@pytest.mark.parametrize("address", ["sftp://me:hunter2@host/x", "s3://key:hunter2@bucket/x", "s3://b/x?token=hunter2"])
def test_an_address_with_a_secret_is_refused_without_repeating_it(address: str) -> None:
    """Addresses are shown and written down, so they hold no secret."""
    with pytest.raises(InputError, match="environment") as caught:
        pf.Checkpoint(address)
    assert "hunter2" not in str(caught.value)


class Mounted(MemoryFileSystem):
    """A file system that fsspec reaches and that is no object store: a name is there before its bytes are."""

    protocol = "mounted"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return "/" + path.removeprefix("mounted://").strip("/")


def test_what_is_no_object_store_gets_hidden_names(recall: Any) -> None:
    """There a file is written under a hidden name and moved, and a number is not used twice."""
    fsspec.register_implementation("mounted", Mounted, clobber=True)
    with open_store("mounted://ck/job", JOB, host="h") as store:
        store.write_header()
        asyncio.run(store.write_outcomes([outcome(1)], cursors={}))
        assert recall(store).outcomes == [outcome(1)]
    place = place_of("mounted://ck/job") / "outcomes" / "000001.parquet"
    with pytest.raises(FileExistsError), place.written(exclusive=True) as sink:
        sink.write(b"two")
    assert [each.name for each in place.parent.children()] == ["000001.parquet"]


@pytest.mark.skipif(find_spec("gcsfs") is not None, reason="gcsfs is installed")
def test_a_missing_library_is_named_with_what_to_type() -> None:
    """The message says what to install."""
    with pytest.raises(ConfigurationError, match=r"pip install 'parallel-frames\[remote\]' gcsfs"):
        pf.Checkpoint("gs://bucket/x")


def test_a_writer_that_died_here_is_taken_over_and_one_that_lives_is_not(s3: Any) -> None:
    """Boot, container, number and beginning of a process tell it from any other."""
    with open_store(FOLDER, JOB, host="h"):
        alive = json.loads(s3.objects()[CARD])
    alive["token"] = "another"
    s3.put(CARD, json.dumps(alive).encode())
    with pytest.raises(CheckpointLockedError):
        open_store(FOLDER, JOB, host="h").__enter__()
    for change, taken in [({"started": "1"}, True), ({"pid": 2**22 - 1}, True), ({"machine": "m", "pid": 1}, False)]:
        s3.put(CARD, json.dumps({**alive, **change}).encode())
        with nullcontext() if taken else pytest.raises(CheckpointLockedError), open_store(FOLDER, JOB, host="h"):
            pass

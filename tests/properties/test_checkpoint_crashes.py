"""A checkpoint whose process dies between any two system calls: what was acknowledged is there, whole and once.

Each step runs in a forked process that ends itself, without any cleaning up, at the n-th operation on a file.
The long form: ``PARALLEL_FRAMES_CRASHES=300 pytest tests/properties/test_checkpoint_crashes.py``.
"""

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import hypothesis.strategies as st
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from parallel_frames._checkpoint import JobStore, open_store
from parallel_frames._model import Job, Options, Outcome, Receipt, RunId

JOB = Job({"processor": "base"}, "f" * 32, "base", {"output_schema": "x"}, Options())
FILE_EVENTS = {"open", "os.rename", "os.link", "os.remove", "os.mkdir", "os.truncate"}
EXAMPLES = int(os.environ.get("PARALLEL_FRAMES_CRASHES", "12"))
ALIVE, DEAD = 0, 9

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def die_at(count: int) -> None:
    """End this process at its count-th operation on a file."""
    left = [count]

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event in FILE_EVENTS:
            left[0] -= 1
            if left[0] == 0:
                os._exit(DEAD)

    sys.addaudithook(hook)


def outcome(flush: int) -> Outcome:
    """Return the outcome that flush number `flush` stores."""
    return Outcome(f"{flush:032x}", 0, f"run_{flush}", "tgrp_0", "completed", output=json.dumps(flush))


async def act(store: JobStore, step: tuple[str, int]) -> None:
    """Do one of the things an engine does to its store."""
    kind, number = step
    key = f"{number:032x}"
    if kind == "group":
        await store.add_group(f"tgrp_{number}", dialect="published")
    elif kind == "flush":
        await store.write_outcomes([outcome(number)], cursors={"tgrp_0": f"evt_{number}"})
    elif kind == "batch":
        intent = await store.write_intent("tgrp_0", runs=[RunId(key, 0)], rows=[number])
        await store.write_receipt(intent, receipts=[Receipt(key, 0, f"run_{number}", "tgrp_0", number)])
    elif kind == "refused":
        await store.drop_intent(await store.write_intent("tgrp_0", runs=[RunId(key, 0)], rows=[number]))
    else:
        store.compact(above=1)


class Stored:
    """What a folder holds: the numbers of the flushes and the receipts."""

    def __init__(self) -> None:
        self.flushes: list[int] = []
        self.received: list[int] = []

    def add_outcomes(self, part: int, states: pa.Table) -> None:
        """Add a part's outcomes."""
        self.flushes += [int(key, 16) for key in states.column("key").to_pylist()]

    def add_receipts(self, runs: pa.Table) -> None:
        """Add receipts."""
        self.received += [int(run_id.removeprefix("run_")) for run_id in runs.column("run_id").to_pylist()]

    def add_intent(self, number: int, group_id: str, runs: Iterable[RunId]) -> None:
        """Take no note: `recall` returns the intents."""


class CrashingCheckpoint(RuleBasedStateMachine):
    """A job's folder under writers that die."""

    def __init__(self) -> None:
        super().__init__()
        self._place = tempfile.TemporaryDirectory()
        self.folder = Path(self._place.name) / "job"
        self.done: list[tuple[str, int]] = []
        self.tried: list[tuple[str, int]] = []
        self.contents: dict[str, bytes] = {}
        self.count = 0

    def teardown(self) -> None:
        """Remove the folder."""
        self._place.cleanup()

    @rule(
        kinds=st.lists(st.sampled_from(["group", "flush", "flush", "batch", "refused", "compact"]), max_size=5),
        dies_at=st.integers(1, 60),
    )
    def write(self, kinds: list[str], dies_at: int) -> None:
        """Open the folder in a process, do some steps there, and die on the way or not."""
        steps = []
        for kind in kinds:
            self.count += 1
            steps.append((kind, self.count))
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            status = 1
            try:
                die_at(dies_at)
                with open_store(self.folder, JOB, host="host") as store:
                    store.write_header()
                    for step in steps:
                        asyncio.run(act(store, step))
                        os.write(writing, b"x")
                status = ALIVE
            finally:
                os._exit(status)
        os.close(writing)
        acknowledged = b""
        while chunk := os.read(reading, 100):
            acknowledged += chunk
        os.close(reading)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) in (ALIVE, DEAD)
        self.done += steps[: len(acknowledged)]
        self.tried += steps[: len(acknowledged) + 1]

    @invariant()
    def what_was_acknowledged_is_there(self) -> None:
        """Acknowledged steps are recalled; a step that was cut is there whole or not at all."""
        if not self.folder.exists():
            assert not self.done
            return
        before = {str(path.relative_to(self.folder)): path.read_bytes() for path in self.folder.rglob("0*.parquet")}
        with open_store(self.folder, JOB, host="host") as store:
            stored = Stored()
            held = store.recall(stored)
            groups = store.groups
        flushed = stored.flushes
        assert len(flushed) == len(set(flushed))
        assert {n for kind, n in self.done if kind == "flush"} <= set(flushed)
        assert set(flushed) <= {n for kind, n in self.tried if kind == "flush"}
        if held.cursors:
            at = int(held.cursors["tgrp_0"].removeprefix("evt_"))
            assert at == max(flushed), "the cursor never runs ahead of the outcomes"
        received = stored.received
        assert len(received) == len(set(received))
        assert {n for kind, n in self.done if kind == "batch"} <= set(received)
        meant = [row for intent in held.intents for row in intent.rows]
        assert not set(meant) & set(received), "the receipt wins"
        assert set(meant) <= {n for kind, n in self.tried if kind in ("batch", "refused")} - {n for _, n in self.done}
        assert [f"tgrp_{n}" for kind, n in self.done if kind == "group"] == [
            group for group in groups if ("group", int(group.removeprefix("tgrp_"))) in self.done
        ]
        for name, data in before.items():
            known = self.contents.setdefault(name, data)
            assert known == data or "intent" in name, f"{name} was overwritten"
        assert not list(self.folder.rglob(".damaged-*")), "dying damages nothing"


CrashingCheckpoint.TestCase.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=8,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
test_dying_between_any_two_system_calls = CrashingCheckpoint.TestCase
test_dying_between_any_two_system_calls.__doc__ = "However often writers die, nothing acknowledged is lost or torn."

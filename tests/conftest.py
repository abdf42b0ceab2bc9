"""What holds for every test: the user's cache, key and service stay out of reach."""

from __future__ import annotations

import gc
import os
import signal
from dataclasses import fields
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, settings

import parallel_frames
from parallel_frames._checkpoint import read_receipts
from parallel_frames._model import Outcome

from .forks import Forks

# How fast a machine makes examples says nothing of the code: two cores may be busy with other tests.
settings.register_profile("busy machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy machine")

# Shells let what they start in the background ignore Ctrl-C, and what that starts would ignore it as well.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish():
    """Let what looks for garbage within tests pass over the modules and tests that stay anyway."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _nothing_of_the_users(tmp_path_factory):
    """Checkpoints that are not named go to a folder of this session; no key and no address come from outside."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        for name in [name for name in os.environ if name.startswith("PARALLEL_")]:
            patch.delenv(name)
        yield


@pytest.fixture(scope="session")
def _fork_server():
    if not hasattr(os, "fork"):
        pytest.skip("needs fork")
    server = Forks()
    yield server
    server.close()


@pytest.fixture
def forks(_fork_server):
    """Give a process that forks children which have imported the package; they end with the test."""
    yield _fork_server
    _fork_server.end_children()


@pytest.fixture(scope="module", autouse=True)
def _frozen():
    """Let collections of garbage pass over what earlier modules and imports left: hundreds of tests ask for one."""
    gc.collect()
    gc.freeze()


class Recorder:
    """Takes in what a job's folder holds, as the index does, and keeps it whole."""

    def __init__(self, store):
        self.outcomes = []
        self._store = store
        self._run_ids = set()

    @property
    def receipts(self):
        parts = list(read_receipts(self._store.folder))
        return [receipt for part in reversed(parts) for receipt in part if receipt.run_id in self._run_ids]

    def add_receipts(self, runs):
        self._run_ids.update(runs.column("run_id").to_pylist())

    def add_outcomes(self, part, columns):
        table = self._store.read_outcomes(part, [field.name for field in fields(Outcome)])
        self.outcomes = [*(Outcome(**line) for line in table.to_pylist()), *self.outcomes]

    def add_intent(self, number, group_id, runs):
        pass


@pytest.fixture
def recall():
    """Give a function that reads a store back: its receipts, outcomes, intents and cursors, the oldest first."""

    def read(store):
        recorder = Recorder(store)
        recalled = store.recall(recorder)
        return SimpleNamespace(
            receipts=recorder.receipts, outcomes=recorder.outcomes, intents=recalled.intents, cursors=recalled.cursors
        )

    return read


def pytest_report_header():
    """Say which copy of the package is tested: the installed one or the checkout."""
    return f"parallel_frames {parallel_frames.__version__} from {os.path.dirname(parallel_frames.__file__)}"  # noqa: PTH120


if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # under nohup, as in the background
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

"""What tests of whole enrichments share: a clean environment, and clients of simulators they made themselves."""

from __future__ import annotations

import gc

import pytest

import parallel_frames as pf


@pytest.fixture(autouse=True)
def _own_environment(tmp_path_factory, monkeypatch):
    """Keep the user's key out, and unnamed checkpoints in a directory of the test's own."""
    for name in ("PARALLEL_API_KEY", "PARALLEL_BASE_URL", "PARALLEL_FRAMES_CLOCK_SPEED"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(autouse=True)
def _unclosed():
    """Have what a test leaves unclosed complain within that test."""
    yield
    gc.collect()


@pytest.fixture
def client_of():
    """Make clients whose clocks are as fast as their simulator's."""

    def make(sim, **options):
        return pf.Client(**{"api_key": "any", "base_url": sim.url, "clock_speed": sim.speed, **options})

    return make

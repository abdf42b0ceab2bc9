"""What tests of whole enrichments share: a clean environment, and clients of simulators they made themselves."""

from __future__ import annotations

import gc
import sys
from itertools import count
from tempfile import TemporaryDirectory

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


@pytest.fixture(scope="session")
def kernel_manager():
    """Make managers of kernels whose sockets are files of their own: processes that start kernels race for ports."""
    jupyter_client = pytest.importorskip("jupyter_client")
    numbers = count()
    with TemporaryDirectory(prefix="pf") as folder:  # a short path: a socket's has about 100 characters at most

        def make(kind="KernelManager"):
            address = {} if sys.platform == "win32" else {"transport": "ipc", "ip": f"{folder}/{next(numbers)}"}
            return getattr(jupyter_client, kind)(kernel_name="python3", **address)

        yield make


@pytest.fixture(scope="session")
def start_kernel(kernel_manager):
    """Start kernels; each is its manager and a client."""

    def start():
        manager = kernel_manager()
        manager.start_kernel()
        client = manager.client()
        client.start_channels()
        client.wait_for_ready(timeout=60)
        return manager, client

    return start


@pytest.fixture(scope="session")
def execute_notebook(kernel_manager):
    """Execute the cells of a notebook in a kernel of its own, in place."""
    nbclient = pytest.importorskip("nbclient")

    def execute(notebook, *, folder):
        manager, metadata = kernel_manager("AsyncKernelManager"), {"metadata": {"path": str(folder)}}
        nbclient.NotebookClient(notebook, km=manager, timeout=90, resources=metadata).execute(cleanup_kc=True)
        return notebook

    return execute

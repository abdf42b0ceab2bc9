"""Servers in processes of their own."""

from __future__ import annotations

import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
SIMULATE = "import sys; from parallel_frames.simulator import serve; serve(**eval(sys.argv[1]))"


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def _served(port: int, *arguments: str) -> Iterator[str]:
    child = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        child.stdout.readline()
        yield f"http://127.0.0.1:{port}"
    finally:
        child.terminate()
        child.wait()


@contextmanager
def lean(*, latency: str = "0", chunk: int = 64, embed: bool = False) -> Iterator[str]:
    """Serve the API as leanly as can be, with so many events in a chunk at most; give its address."""
    port = free_port()
    options = ["--chunk", str(chunk), *["--embed"] * embed]
    with _served(port, str(HERE / "lean.py"), str(port), latency, *options) as url:
        yield url


@contextmanager
def simulator(**options: object) -> Iterator[str]:
    """Serve the package's simulator; give its address."""
    port = free_port()
    with _served(port, "-c", SIMULATE, repr({"port": port, **options})) as url:
        yield url

"""Type checkers accept right uses of the public functions and find mistakes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.mark.slow
def test_mypy_accepts_the_uses_and_finds_the_mistakes():
    """Nothing is wrong with the uses, and each marked line of the misuses is a mistake of that name."""
    pytest.importorskip("mypy")
    command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent"]
    files = [str(HERE / "uses.py"), str(HERE / "misuses.py")]
    done = subprocess.run(
        [*command, *files], capture_output=True, text=True, check=False, cwd=HERE.parents[1], timeout=115
    )
    assert done.returncode == 0, done.stdout + done.stderr

"""Completion as it comes into real shells: installed by the program, asked by a key."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(os.name == "nt", reason="bash, zsh and fish are not Windows's")
LINES = {
    "parallel-frames checkpoint ver": "ify ",
    "parallel-frames enrich ro": "ws.csv ",
    "parallel-frames enrich rows.csv --schema=ro": "ws.csv ",
    "parallel-frames enrich rows.csv --input-": "schema ",
    "parallel-frames enrich rows.csv --processor=ultra8x-": "fast ",
    "parallel-frames enrich rows.csv --metadata source=comp": "any ",
    "parallel-frames enrich rows.csv --inputs cou": r"ntry\ name ",
    'parallel-frames enrich rows.csv --inputs "cou': 'ntry name" ',
}


@pytest.fixture
def shell_environment(run, place):
    """Install completion for every shell in a home of its own; next to it are rows with a column of two words."""
    (place / "rows.csv").write_text("company,country name\nAcme,Germany\n")
    for shell in ("bash", "zsh", "fish"):
        assert run("completion", "install", shell).exit_code == 0
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return {"HOME": str(place / "home"), "PATH": path, "TERM": "dumb", "LANG": "C.UTF-8"}


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_a_key_completes_a_line_in_bash_and_zsh(shell, shell_environment, place):
    """Commands, files, options, processors and columns: each completes to one word that the shell reads as one."""
    pexpect = pytest.importorskip("pexpect")
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    started = pexpect.spawn(
        shell, ["-i"], env=shell_environment, cwd=str(place), encoding="utf-8", dimensions=(40, 200), timeout=30
    )
    started.sendline("PS1='READ''Y> '")
    started.expect_exact("READY> ")
    for line, rest in LINES.items():
        started.send(f"{line}\t")
        started.expect_exact(f"{line}{rest}")
        started.send("\x15")  # Ctrl-U
    started.close(force=True)


def test_fish_completes_lines(shell_environment, place):
    """The same lines, and values that hold commas, by what fish offers for each."""
    if shutil.which("fish") is None:
        pytest.skip("fish is not installed")
    lines = {**LINES, "parallel-frames enrich rows.csv --inputs company,cou": r"ntry\ name"}
    asked = "; ".join(f"complete -C {shlex.quote(line)}" for line in lines)
    done = subprocess.run(
        ["fish", "-c", asked], env=shell_environment, cwd=place, capture_output=True, text=True, check=True
    )
    offered = [line.partition("\t")[0] for line in done.stdout.splitlines()]
    assert offered == [shlex.split(f"{line}{rest}")[-1] for line, rest in lines.items()], done.stderr

"""The whole job, row by row of this table: each client in processes of its own, in turns, against one lean server.

Wall is what a user waits; CPU is the client's alone; the peak is what the call added to the process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.request import urlopen

from serving import HERE, lean

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

ENVIRONMENTS = {"sdk": ["parallel-web"], "tools": ["parallel-web-tools[polars]"]}


@dataclass(frozen=True)
class Contender:
    """A client: its program, the environment it runs in (None: this one), and how many rows it is asked for at most."""

    name: str
    program: str
    environment: str | None = None
    arguments: tuple[str, ...] = ()
    most: int = 1_000_000


OURS = Contender("parallel_frames", "frames.py")
KEPT = Contender("parallel_frames, checkpoint", "frames.py", None, ("checkpoint",))
SDK = Contender("vendor's SDK by hand", "sdk.py", "sdk", most=100_000)
RUN_TASKS = Contender("vendor's run_tasks", "tools_run_tasks.py", "tools", most=10_000)
POLARS = Contender("vendor's Polars function", "tools_polars.py", "tools", most=1_000)
CONTENDERS = (OURS, KEPT, SDK, RUN_TASKS, POLARS)


def python_of(environment: str | None, folder: Path) -> str:
    """Return the interpreter of an environment, which is made the first time."""
    if environment is None:
        return sys.executable
    python = folder / environment / "bin" / "python"
    if not python.exists():
        venv.create(folder / environment, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *ENVIRONMENTS[environment]], check=True)
    return str(python)


def ask(contender: Contender, url: str, rows: int, *, environments: Path) -> dict[str, float]:
    """Return what one client took for so many rows."""
    program = str(HERE / "clients" / contender.program)
    command = [python_of(contender.environment, environments), program, url, str(rows), *contender.arguments]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PARALLEL_")}
    done = subprocess.run(command, capture_output=True, text=True, env=clean, check=False)
    if done.returncode:
        raise SystemExit(f"{contender.name} failed at {rows} rows:\n{done.stderr[-2000:]}")
    taken: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    if taken["answered"] != rows:
        raise SystemExit(f"{contender.name} answered {taken['answered']} of {rows} rows.")
    with urlopen(f"{url}/v1/tasks/groups/requests") as answer:
        return taken | {"requests": json.load(answer)}


def measure(
    sizes: Sequence[int],
    latencies: Sequence[str],
    *,
    turns: int,
    environments: Path,
    contenders: Sequence[Contender] = CONTENDERS,
) -> list[dict[str, object]]:
    """Return one record for each (latency, rows, client), with what every turn took."""
    records: list[dict[str, object]] = []
    for latency in latencies:
        for rows in sizes:
            asked = [each for each in contenders if rows <= each.most]
            taken: dict[str, list[dict[str, float]]] = {each.name: [] for each in asked}
            for _ in range(turns if rows < 100_000 else min(turns, 3)):
                for each in asked:
                    with lean(latency=latency) as url:  # a fresh one each: nobody pays for what another left
                        taken[each.name].append(ask(each, url, rows, environments=environments))
            records += [
                {"latency": latency, "rows": rows, "client": name, "turns": told} for name, told in taken.items()
            ]
            print(f"{rows:,} rows of {latency} s: done", file=sys.stderr)
    return records

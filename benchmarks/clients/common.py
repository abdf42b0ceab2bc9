"""What the programs of this folder share: they measure one client each, in a process of its own.

    python PROGRAM URL ROWS

enriches rows nobody enriched before, after a few to warm up, and prints what it took as a line of JSON. Knows nothing
but the standard library, because each of these programs runs in an environment of its own.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FIELDS = {"founded": "integer", "ceo": "string", "revenue": "number"}
OUTPUT_SCHEMA = {
    "type": "object",
    "properties": {
        "founded": {"type": "integer", "description": "year of foundation"},
        "ceo": {"type": "string", "description": "full name of the CEO"},
        "revenue": {"type": "number", "description": "revenue of the last year, in million dollars"},
    },
    "required": list(FIELDS),
    "additionalProperties": False,
}


def columns(rows: int, *, turn: str) -> dict[str, list[Any]]:
    """Return the inputs: five columns of mixed types, each row distinct."""
    return {
        "company": [f"Company {turn} {n}" for n in range(rows)],
        "country": [f"C{n % 200}" for n in range(rows)],
        "employees": list(range(rows)),
        "score": [n / 7 for n in range(rows)],
        "listed": [n % 3 == 0 for n in range(rows)],
    }


def records(rows: int, *, turn: str) -> list[dict[str, Any]]:
    """Return the same as one dict for each row."""
    table = columns(rows, turn=turn)
    return [dict(zip(table, cells, strict=True)) for cells in zip(*table.values(), strict=True)]


def rss() -> float:
    """Return this process's memory, in MB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6


def highest() -> float:
    """Return the most memory that this process has had, in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (mark,) = [line for line in lines if line.startswith("VmHWM:")]
    return int(mark.split()[1]) * 1024 / 1e6


@contextmanager
def watching() -> Iterator[Callable[[], float]]:
    """Give the most memory that this process has had inside, in MB above what it had before: the kernel's own mark."""
    base = rss()
    Path("/proc/self/clear_refs").write_text("5")  # sets the mark to what there is now
    yield lambda: highest() - base


def measure(enrich: Callable[[Any], int], prepare: Callable[..., Any]) -> None:
    """Measure ``enrich(prepare(rows, turn=...))``, which returns how many answers it has."""
    rows = int(sys.argv[2])
    enrich(prepare(10, turn="warm"))
    work = prepare(rows, turn="run")
    with watching() as peak:
        wall, cpu = time.perf_counter(), time.process_time()
        answered = enrich(work)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        told = {"answered": answered, "wall": wall, "cpu": cpu, "peak": peak()}
    print(json.dumps(told), flush=True)

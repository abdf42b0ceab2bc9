"""Every benchmark, one command: ``python benchmarks/run.py`` (about 40 minutes), or ``--quick`` (a minute or two).

The first writes `results.json`, the plots and the tables of `README.md` beside it. The second prints ratios between
figures of the same run and fails where one is broken: it never looks at an absolute time.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import rows
import stream
import timing
from serving import HERE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PACKAGES = ("parallel-frames", "pandas", "pyarrow", "httpx", "orjson", "parallel-web", "httpx-sse")


def part(name: str, size: int) -> dict[str, float]:
    """Return what a function of `parts` measures, in a process of its own."""
    done = subprocess.run([sys.executable, HERE / "parts.py", name, str(size)], check=True, stdout=subprocess.PIPE)
    told: dict[str, float] = json.loads(done.stdout)
    return told


def machine() -> dict[str, str]:
    """Return what the figures depend on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if "model name" in line), "")
    return {
        "machine": f"{model or platform.machine()}, {os.cpu_count()} cores, {platform.system()}",
        "Python": platform.python_version(),
    } | {package: version(package) for package in PACKAGES}


def cpu_of(records: list[dict[str, Any]], client: str) -> float:
    """Return the median CPU a row of one client in microseconds."""
    (record,) = [record for record in records if record["client"] == client]
    return median(turn["cpu"] for turn in record["turns"]) / record["rows"] * 1e6


def quick() -> int:
    """Print ratios and return how many are broken."""
    contenders = (rows.OURS, rows.KEPT, replace(rows.SDK, environment=None))  # the tests' environment has it
    taken = rows.measure([10_000], ["0.2"], turns=3, environments=HERE, contenders=contenders)
    sdk = cpu_of(taken, rows.SDK.name)
    ((slow,),) = [
        record["turns"] for record in rows.measure([4_000], ["1-3"], turns=1, environments=HERE, contenders=[rows.OURS])
    ]
    readers = ("httpx bytes + orjson", "parallel_frames")
    bare, heard = (
        median(told) for told in stream.measure(events=5_000, turns=7, readers=readers)["64 events a chunk"].values()
    )
    payloads = part("payloads", 50_000)
    merged = part("merge", 100_000)
    kept = part("checkpoint", 50_000)
    paced = timing.schedules(speed=10.0)
    checks: list[tuple[str, float, float]] = [  # a ratio, and above what it is broken: well beyond the noise
        ("CPU of a row over the SDK's by hand", cpu_of(taken, rows.OURS.name) / sdk, 0.75),
        ("the same with a checkpoint", cpu_of(taken, rows.KEPT.name) / sdk, 1.1),
        ("rows of a request, where runs end one by one", 4_000 / slow["requests"], -20.0),
        ("events heard over those of a bare httpx stream", heard / bare, -0.5),
        ("rows planned with keys over pandas' dicts dumped", _ratio(payloads, "planned with keys", "plain"), -0.35),
        ("merge over plain Arrow building", merged["seconds, ours"] / merged["seconds, plain"], 5.0),
        ("a flush over a plain Parquet file", _ratio(kept, "flush", "plain Parquet"), 10.0),
        ("a resume over a plain dataset read", _ratio(kept, "resume", "plain dataset"), 10.0),
        *((f"schedule over the ideal, {window} window", told["ratio"], 1.5) for window, told in paced.items()),
        *((f"refused (429), {window} window", told["refused (429)"], 0.5) for window, told in paced.items()),
    ]
    broken = 0
    for what, ratio, bound in checks:
        bad = ratio < -bound if bound < 0 else ratio > bound
        broken += bad
        word = "at least" if bound < 0 else "at most"
        print(f"{'BROKEN' if bad else 'ok':>6}  {what}: {ratio:.2f} ({word} {abs(bound):.2f})")
    return broken


def _ratio(told: dict[str, float], over: str, under: str) -> float:
    def find(word: str) -> float:
        return next(value for name, value in told.items() if word in name)

    return find(over) / find(under)


def full(environments: Path, results: Path, *, turns: int, only: Sequence[str]) -> None:
    """Measure every figure, or only some, and keep each as soon as it is known."""
    steps: dict[str, Callable[[], Any]] = {
        "rows": lambda: [
            *rows.measure([10, 1_000, 10_000, 100_000], ["0.2", "0"], turns=turns, environments=environments),
            *rows.measure([4_000], ["1-9"], turns=turns, environments=environments),
        ],
        "million": lambda: rows.measure(
            [1_000_000], ["0"], turns=1, environments=environments, contenders=(rows.OURS, rows.KEPT)
        ),
        "files": lambda: json.loads(
            subprocess.run(
                [sys.executable, HERE / "parquet.py", "--json", "--rows", "10000", "100000", "1000000"],
                check=True, stdout=subprocess.PIPE,
            ).stdout
        ),
        "stream": lambda: stream.measure(events=20_000, turns=max(turns, 15)),  # short, and the noisiest
        "payloads": lambda: part("payloads", 200_000),
        "merge": lambda: part("merge", 1_000_000),
        "checkpoint": lambda: part("checkpoint", 1_000_000),
        "resume": timing.resumes,
        "delays": timing.delays,
        "schedule": timing.schedules,
        "imports": timing.imports,
    }  # fmt: skip
    told: dict[str, Any] = json.loads(results.read_text()) if only else {}
    if only and told["machine"] != machine():
        raise SystemExit("The other figures are of another machine, or of other versions: measure all of them.")
    told["machine"] = machine()
    for name in only or steps:
        told[name] = steps[name]()
        results.write_text(json.dumps(told, indent=1) + "\n")
        print(f"{name}: done", file=sys.stderr)


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="ratios only, against the bounds that CI keeps")
    parser.add_argument("--turns", type=int, default=5, help="how often each figure is measured (default: 5)")
    parser.add_argument("--only", nargs="+", default=[], metavar="STEP", help="measure these again, keep the others")
    parser.add_argument("--report", action="store_true", help="only write the tables and plots of results.json again")
    parser.add_argument(
        "--environments", type=Path, default=HERE / ".venvs", help="where the vendor's clients live (default: .venvs)"
    )
    asked = parser.parse_args()
    if asked.quick:
        raise SystemExit(1 if quick() else 0)
    results = HERE / "results.json"
    if not asked.report:
        full(asked.environments, results, turns=asked.turns, only=asked.only)
    import report

    report.write(json.loads(results.read_text()))


if __name__ == "__main__":
    main()

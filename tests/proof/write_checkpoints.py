"""Write the checkpoints of `checkpoints/`, with whichever version of the package is installed.

    python tests/proof/write_checkpoints.py FOLDER

They were written once, by the first version; what later versions write is for other tests to say. Each case is a
folder: ``checkpoint/`` as it was left, and ``case.json`` with the rows, the call's options, and the service's runs.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd

import parallel_frames as pf
from parallel_frames.simulator import Failure, Simulator, faults

SPEED = 100.0
ROWS = ["a", "b", "bad", "a", "c", "many"]  # one is equal to another, one fails, one breaks the schema
SCHEMA = {"name": str, "length": int}


def answer(sent: dict[str, Any]) -> Any:
    """Answer with what identifies the row."""
    company = sent["company"]
    if company == "bad":
        return Failure("no such company")
    return {"name": company.upper(), "length": "many" if company == "many" else len(company)}


def call(sim: Simulator, rows: list[str], folder: Path, end: str, api: str, **options: Any) -> None:
    """Enrich these rows, as a frame or as a file."""
    client = pf.Client(api_key="key", base_url=sim.url, api=api, clock_speed=SPEED, max_per_minute=None)
    df = pd.DataFrame({"company": rows})
    options = {"client": client, "checkpoint": folder / "checkpoint", "progress": False, **options}
    if end == "frame":
        df.parallel.enrich(SCHEMA, **options)
        return
    df.to_parquet(folder / "in.parquet")
    pf.enrich_parquet(folder / "in.parquet", folder / "out.parquet", SCHEMA, overwrite=True, **options)


def finished(sim: Simulator, folder: Path, end: str, api: str) -> dict[str, Any]:
    """Come to the end, with a failure and an answer that breaks its schema."""
    call(sim, ROWS, folder, end, api)
    return {"rows": ROWS, "options": {"retry_failed": False}, "new_runs": 0}


def under_way(sim: Simulator, folder: Path, end: str, api: str) -> dict[str, Any]:
    """Run out of time while runs are under way."""
    sim.add_faults(faults.stick_runs())
    call(sim, ROWS, folder, end, api, timeout=30)
    return {"rows": [*ROWS, "new"], "options": {"retry_failed": False}, "new_runs": 1}


def undecided(sim: Simulator, folder: Path, end: str, api: str) -> dict[str, Any]:
    """Be killed while the batch is on its way: its intent is there, and its runs are on the service."""
    sim.add_faults(faults.slow(10_000, on="add_runs", when="after"))
    child = os.fork()
    if child == 0:
        try:
            call(sim, ROWS, folder, end, api)
        finally:
            os._exit(0)
    sim.wait_until(lambda counts: counts.runs > 0, timeout=30)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return {"rows": ROWS, "options": {"retry_failed": False}, "new_runs": 0}


def half_refreshed(sim: Simulator, folder: Path, end: str, api: str) -> dict[str, Any]:
    """Break off a refresh whose runs are sent, and of which some answers came."""
    call(sim, ROWS, folder, end, api)
    sim.add_faults(faults.cut_stream(after=2), faults.status(401, on="events", nth=faults.onwards(2)))
    with suppress(pf.errors.AuthenticationError):
        call(sim, ROWS, folder, end, api, refresh=True)
    sim.clear_faults()
    sim.advance(10)
    return {"rows": ROWS, "options": {"retry_failed": False, "refresh": True}, "new_runs": 0}


def compacted(sim: Simulator, folder: Path, end: str, api: str) -> dict[str, Any]:
    """Die in a compaction, before the parts that it put together were removed."""
    for count in (1, 3, 6):
        call(sim, ROWS[:count], folder, end, api, retry_failed=False)
    parts = {path: path.read_bytes() for path in folder.glob("checkpoint/*/*/*.parquet")}
    command = [sys.executable, "-m", "parallel_frames", "checkpoint", "compact", str(folder / "checkpoint")]
    subprocess.run(command, check=True, capture_output=True)
    for path, data in parts.items():
        path.write_bytes(data)
    return {"rows": ROWS, "options": {"retry_failed": False}, "new_runs": 0}


CASES = (finished, under_way, undecided, half_refreshed, compacted)


def write(place: Path) -> None:
    """Write every case, for each end and dialect."""
    for case in CASES:
        for end in ("frame", "file"):
            for api in ("published", "seed"):
                if case is half_refreshed and api == "seed":
                    continue  # its answers come with the look that follows a batch: the refresh is over too soon
                folder = place / f"{case.__name__}-{end}-{api}"
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir(parents=True)
                with Simulator(answer, latency=0, speed=SPEED, max_per_minute=None, dialect=api) as sim:
                    told = case(sim, folder, end, api)
                    groups = {
                        group: [[run.run_id, run.input, run.metadata] for run in sim.runs() if run.group_id == group]
                        for group in sim.group_ids
                    }
                for path in folder.glob("*.parquet*"):
                    path.unlink()
                for name in ("lock", "writer.json"):
                    for path in folder.glob(f"checkpoint/*/{name}"):
                        path.unlink()
                facts = {"end": end, "api": api, **told, "groups": groups, "host": sim.url.removeprefix("http://")}
                (folder / "case.json").write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    write(Path(sys.argv[1]))

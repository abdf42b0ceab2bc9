"""Checkpoints that the first version wrote are resumed as if nothing had changed: no run is created twice.

`write_checkpoints.py` wrote them. Their groups are made again on a simulator, and its ids put in place of the old ones.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import parallel_frames as pf
from parallel_frames.simulator import Failure, Simulator

PLACE = Path(__file__).parent / "checkpoints"
CASES = sorted(path.name for path in PLACE.iterdir())
SPEED = 100.0
SCHEMA = {"name": str, "length": int}


def answer(sent: dict[str, Any]) -> Any:
    """Answer with what identifies the row, as when the checkpoints were written."""
    company = sent["company"]
    if company == "bad":
        return Failure("no such company")
    return {"name": company.upper(), "length": "many" if company == "many" else len(company)}


def make_groups(sim: Simulator, case: dict[str, Any], spec: dict[str, Any]) -> dict[str, str]:
    """Make the groups of a case on the simulator; return the new id of each old one, of groups and of runs."""
    ids: dict[str, str] = {}
    is_seed = case["api"] == "seed"
    base = f"{sim.url}/{'v1beta' if is_seed else 'v1'}/tasks/groups"
    shared = {"processor": "base", "task_spec": {"output_schema": spec["output_schema"]["json_schema"]}}
    with httpx.Client(headers={"x-api-key": "key"}) as http:
        for group, runs in case["groups"].items():
            made = http.post(base, json=shared if is_seed else {}).raise_for_status().json()
            ids[group] = made["taskgroup_id"]
            inputs = [{"input": sent, "metadata": metadata} for _, sent, metadata in runs]
            body = {"runs": inputs} if is_seed else {
                "default_task_spec": spec, "inputs": [{**one, "processor": "base"} for one in inputs]
            }  # fmt: skip
            answered = http.post(f"{base}/{ids[group]}/runs", json=body).raise_for_status().json()
            ids |= dict(zip([run_id for run_id, _, _ in runs], answered["run_ids"], strict=True))
    return ids


def replace_ids(folder: Path, ids: dict[str, str], *, host: str) -> None:
    """Put new ids in place of old ones, in every file of a job's folder."""
    header = json.loads((folder / "header.json").read_text())
    header |= {"host": host, "groups": [ids[group] for group in header["groups"]]}
    (folder / "header.json").write_text(json.dumps(header))
    for path in folder.glob("*/*.parquet"):
        table = pq.ParquetFile(path).read()
        about = dict(table.schema.metadata or {})
        if b"parallel_frames.cursors" in about:
            about[b"parallel_frames.cursors"] = b"{}"  # a cursor of another service's says nothing here
        for name in ("run_id", "group_id"):
            cells = [ids.get(cell, cell) for cell in table.column(name).to_pylist()]
            table = table.set_column(table.column_names.index(name), name, pa.array(cells, pa.string()))
        pq.write_table(table.replace_schema_metadata(about), path)


@pytest.mark.parametrize("name", CASES)
def test_a_checkpoint_of_the_first_version_is_resumed_without_a_new_run(tmp_path: Path, name: str) -> None:
    """Each row has its own answer, failure or broken answer, and only inputs that are new are sent."""
    case = json.loads((PLACE / name / "case.json").read_text())
    shutil.copytree(PLACE / name / "checkpoint", tmp_path / "checkpoint")
    (folder,) = (tmp_path / "checkpoint").iterdir()
    spec = json.loads((folder / "header.json").read_text())["spec"]
    with Simulator(answer, latency=0, speed=SPEED, max_per_minute=None, dialect=case["api"]) as sim:
        replace_ids(folder, make_groups(sim, case, spec), host=sim.url.removeprefix("http://"))
        before = sim.counts.runs
        client = pf.Client(api_key="key", base_url=sim.url, clock_speed=SPEED, max_per_minute=None)
        options = {"client": client, "checkpoint": tmp_path / "checkpoint", "progress": False, **case["options"]}
        df = pd.DataFrame({"company": case["rows"]})
        if case["end"] == "frame":
            out = df.parallel.enrich(SCHEMA, **options)
        else:
            df.to_parquet(tmp_path / "in.parquet")
            pf.enrich_parquet(tmp_path / "in.parquet", tmp_path / "out.parquet", SCHEMA, **options)
            out = pd.read_parquet(tmp_path / "out.parquet")
        assert sim.counts.runs - before == case["new_runs"]
        assert sim.counts.duplicates == 0
    expected = [None if company == "bad" else company.upper() for company in case["rows"]]
    assert [None if pd.isna(cell) else cell for cell in out["name"]] == expected
    statuses = {"bad": "failed", "many": "invalid"}
    assert out["parallel_status"].tolist() == [statuses.get(company, "completed") for company in case["rows"]]

"""Targets that are Parquet without saying so: directories of parts, and what travels beside a row."""

from __future__ import annotations

import json

import pandas as pd

import parallel_frames as pf


def test_a_target_without_an_ending_is_a_directory_of_parts(place, run):
    """It is written in parts of the size that is named."""
    pd.DataFrame({"company": [f"c{n}" for n in range(10)]}).to_csv("rows.csv", index=False)
    with pf.offline(latency=0) as sim:
        done = run("enrich", "rows.csv", "out", "--column", "ceo: the CEO", "--rows-per-file", "4", "--yes")
    assert done.exit_code == 0, done.stderr
    assert sorted(path.name for path in (place / "out").iterdir()) == [f"part-0000{n}.parquet" for n in range(3)]
    assert pd.read_parquet("out")["company"].tolist() == [f"c{n}" for n in range(10)]
    assert sim.counts.runs == 10


def test_what_else_travels_is_a_file(place, run):
    """`--options` and `--input-schema` reach the service as the library sends them."""
    pd.DataFrame({"company": ["Acme"]}).to_parquet("rows.parquet")
    (place / "options.json").write_text(json.dumps({"source_policy": {"include_domains": ["example.com"]}}))
    words = ("--column", "ceo: the CEO", "--options", "options.json", "--input-schema", "infer", "--json")
    with pf.offline(latency=0):
        told = json.loads(run("plan", "rows.parquet", "out.parquet", *words).stdout)
    (sent,) = told["payload"]["inputs"]
    assert sent["source_policy"] == {"include_domains": ["example.com"]}
    assert "company" in json.dumps(told["payload"]["default_task_spec"]["input_schema"])

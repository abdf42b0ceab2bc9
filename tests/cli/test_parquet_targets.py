"""Targets that are Parquet without saying so: directories of parts, and what travels beside a row."""

from __future__ import annotations

import json

import pandas as pd
import pytest

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


@pytest.mark.parametrize("target", ["out.parquet", "out", "out.csv"])
@pytest.mark.parametrize("source", ["rows.csv", "torn.csv"])
def test_a_target_that_is_there_is_refused_before_anything_is_read_or_asked(place, run, source, target):
    """Neither the question, nor what is wrong with the source, comes first."""
    pd.DataFrame({"company": ["Acme"]}).to_csv("rows.csv", index=False)
    (place / "torn.csv").write_text("a,b\n1\n")
    (place / "out").mkdir()
    for name in ("out.parquet", "out.csv", "out/part-00000.parquet"):
        (place / name).write_bytes(b"kept")
    with pf.offline(latency=0) as sim:
        for agreed in ((), ("--yes",)):
            done = run("enrich", source, target, "--column", "ceo: the CEO", *agreed)
            assert done.exit_code == 2
            assert "say --overwrite" in done.stderr.lower()
            assert "terminal" not in done.stderr
    assert sim.counts.requests == 0
    assert not list(place.glob("*.ckpt"))
    for name in ("out.parquet", "out.csv", "out/part-00000.parquet"):
        assert (place / name).read_bytes() == b"kept"


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

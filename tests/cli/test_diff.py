"""`diff`: what changed between two files, or in a checkpoint."""

from __future__ import annotations

import json

import pandas as pd

import parallel_frames as pf


def test_files_and_checkpoints_are_compared(run, place):
    """As text, as JSON and as a page; what cannot be matched names the flag to pass."""
    answers = [{"size": 1}, {"size": 2}]
    with pf.offline(lambda _: answers[0], latency=0):
        pd.DataFrame({"company": ["Acme"]}).to_csv("rows.csv", index=False)
        for name in ("old.parquet", "new.parquet"):
            pf.enrich_parquet("rows.csv", name, {"size": int}, checkpoint="c.ckpt", older_than=0, progress=False)
            answers = answers[-1:]
    pd.read_parquet("new.parquet").to_csv("new.csv", index=False)
    for arguments in (["old.parquet", "new.parquet"], ["old.parquet", "new.csv", "--on", "company"], ["c.ckpt"]):
        done = run("diff", *arguments)
        assert (done.exit_code, done.stdout.splitlines()[0]) == (0, "1 of 1 row changed · SIMULATED")
        assert "size: 1 " in done.stdout
    found = json.loads(run("diff", "old.parquet", "new.parquet", "--json").stdout)
    assert found["rows"] == {"compared": 1, "changed": 1, "came": 0, "went": 0}
    assert found["changes"][0] | {"name": "Acme", "field": "size", "before": 1, "after": 2} == found["changes"][0]
    done = run("diff", "old.parquet", "new.parquet", "-o", "diff.html")
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "Written to diff.html.\n")
    assert "<h1>What changed: old.parquet → new.parquet</h1>" in (place / "diff.html").read_text(encoding="utf-8")
    refused = run("diff", "old.parquet", "new.csv")
    assert refused.exit_code == 2
    assert "--on" in refused.stderr
    assert "AFTER is missing" in run("diff", "old.parquet").stderr

"""Any sequence of choosing, filling, overwriting, stopping and looking keeps the laws, whatever the order."""

from __future__ import annotations

import random
import threading

import numpy as np
import pandas as pd
import pytest

import parallel_frames as pf
from parallel_frames.simulator import Answer, Failure

SCHEMA = {"value": int, "said": str | None}


def same(a, b):
    """Return whether two cells are equal, missing ones and lists included."""
    if isinstance(a, list | np.ndarray) or isinstance(b, list | np.ndarray):
        return list(a) == list(b)
    return bool(pd.isna(a) and pd.isna(b)) or a == b


def check_rows(df, out, asked, before, *, basis):
    """Each answer stands in a row that asked for it, with its evidence; rows outside the mask are as they were."""
    assert out.index.equals(df.index)
    assert out[["company", "row"]].equals(df[["company", "row"]])
    for row, number in enumerate(df["company"].str[1:].astype(int)):
        value, said = out["value"].iat[row], out["said"].iat[row]
        assert pd.isna(value) or value // 100 == number
        assert pd.isna(said) or said.startswith(f"c{number}/")
        if basis == "columns":
            assert pd.isna(value) == pd.isna(out["value_confidence"].iat[row])
        if basis == "struct" and not pd.isna(value):
            assert "value" in [entry["field"] for entry in out["parallel_basis"].iat[row]]
        if not asked[row]:
            assert all(same(before[name].iat[row], out[name].iat[row]) for name in before.columns)


@pytest.mark.parametrize("seed", range(12))
def test_any_sequence_of_choosing_and_replacing(seed, tmp_path):
    """Masks, fill and overwrite, processors, failures and bases in any order: right rows, and a plan that is exact."""
    draw = random.Random(seed)
    rows = draw.randint(1, 30)
    df = pd.DataFrame(
        {"company": [f"c{draw.randint(0, 12)}" for _ in range(rows)], "row": range(rows)},
        index=[draw.randint(0, 5) for _ in range(rows)],
    )
    failing = {f"c{n}" for n in range(13) if draw.random() < 0.2}
    basis, step = draw.choice(["none", "columns", "struct"]), 0
    always = {
        "inputs": ["company"], "dedupe": draw.random() < 0.8, "checkpoint": tmp_path / "kept", "on_mismatch": "new",
    }  # fmt: skip

    def answer(sent):
        company = sent["company"]
        if company in failing:
            return Failure("no luck")
        content = {"value": 100 * int(company[1:]) + step, "said": None if company == "c3" else f"{company}/{step}"}
        return Answer(content, basis={"value": draw.choice(["low", "high"])})

    with pf.offline(answer, latency=0) as sim:
        out = df
        for step in range(4):  # noqa: B007 - the answers tell it
            asked = np.array([draw.random() < 0.5 for _ in range(rows)])
            choice = {
                "where": asked, "if_exists": draw.choice(["fill", "overwrite"]),
                "processor": draw.choice(["lite", "base", "core"]), "basis": basis,
                "dtype_backend": draw.choice(["numpy_nullable", "pyarrow"]) if basis == "none" else "numpy_nullable",
            }  # fmt: skip
            before, runs = out, sim.counts.runs
            planned = out.parallel.plan(SCHEMA, **choice, **always)
            out = out.parallel.enrich(SCHEMA, progress=False, **choice, **always)
            assert sim.counts.runs - runs == planned.to_send
            check_rows(df, out, asked, before, basis=basis)
        assert sim.counts.duplicates == 0


@pytest.mark.parametrize("seed", range(8))
def test_any_sequence_of_going_and_stopping(seed, tmp_path):
    """Submit, look, iterate a little, stop, be out of time, ask a few: in the end each input has exactly one run."""
    draw = random.Random(seed)
    df = pd.DataFrame({"company": [f"c{draw.randint(0, 150)}" for _ in range(draw.randint(20, 250))]})
    schema = {"value": int}
    options = {"checkpoint": tmp_path / "kept", "progress": False}

    def stop_after_three(row):
        if row.position % 3 == 0:
            pf.last().stop_sending()

    def act(run):
        what = draw.choice(["submit", "iterate", "look", "timeout", "limit", "stop"])
        if what == "look" and run is not None:
            runs = sim.counts.runs
            draw.choice([run.status, run.partial, run.errors, run.report])()
            assert sim.counts.runs == runs
            return run
        if what in ("submit", "iterate"):
            run = df.parallel.submit(schema, timeout=20, **options)
            for row in run if what == "iterate" else ():
                assert row.values["value"] == int(df["company"][row.position][1:])
                if draw.random() < 0.2:
                    break
            return run
        extra = {
            "timeout": {"timeout": 5},
            "limit": {"limit": draw.randint(1, 9)},
            "stop": {"on_row": stop_after_three},
        }
        df.parallel.enrich(schema, **extra.get(what, {}), **options)
        return pf.last()

    with pf.offline(
        lambda sent: {"value": int(sent["company"][1:])}, latency=(0.5, 20), speed=60,
        max_per_minute=draw.choice([60, 200, 2000]),
    ) as sim:  # fmt: skip
        run = None
        for _ in range(draw.randint(2, 5)):
            run = act(run)
        out = df.parallel.enrich(schema, **options)
        assert out["value"].tolist() == df["company"].str[1:].astype(int).tolist()
        assert (sim.counts.runs, sim.counts.duplicates) == (df["company"].nunique(), 0)
    assert not [thread for thread in threading.enumerate() if thread.name == "parallel_frames"]

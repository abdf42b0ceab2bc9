"""What a choice of rows must not do: ask too much, send what was not there, or advise what is refused again."""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest

import parallel_frames as pf
from parallel_frames.errors import CostError, InputError, UnknownColumnError
from parallel_frames.simulator import Answer

SCHEMA = {"founded": int}


def frame():
    """Return five rows of four inputs."""
    return pd.DataFrame({"company": ["Acme", "Globex", "Acme", "Initech", "Hooli"]}, index=list("abcde"))


def answer(sent):
    """Answer everything alike."""
    return {"founded": len(sent["company"])}


def test_doubt_about_another_enrichments_fields_costs_nothing():
    """`where=pf.low_confidence` asks about the fields of the schema that it is given with."""

    def sure(sent):
        return Answer({"founded": 1}, basis={"founded": "high"})

    def unsure(sent):
        return Answer({"ceo": "a"}, basis={"ceo": "low"})

    with pf.offline(sure, latency=0):
        out = frame().parallel.enrich(SCHEMA, basis="columns", prefix="x_", progress=False)
    with pf.offline(unsure, latency=0):
        out = out.parallel.enrich({"ceo": str}, basis="columns", prefix="y_", progress=False)
    with pf.offline(sure, latency=0) as sim:
        kept = out.parallel.enrich(
            SCHEMA, prefix="x_", where=pf.low_confidence, processor="pro", if_exists="overwrite", progress=False
        )
    assert sim.counts.runs == 0
    assert kept["x_founded"].equals(out["x_founded"])


def test_a_function_that_chooses_rows_changes_nothing():
    """What it writes into the frame is neither sent nor returned."""

    def choose(df):
        df["new"] = 1
        return df["company"] == "Acme"

    with pf.offline(answer, latency=0) as sim:
        out = frame().parallel.enrich(SCHEMA, where=choose, progress=False)
    assert [run.input for run in sim.runs()] == [{"company": "Acme"}]
    assert "new" not in out.columns


def test_the_limit_that_a_cost_error_names_is_affordable(tmp_path):
    """Following its advice sends as much as the budget allows, whatever was answered before."""
    df = frame()
    options = {"checkpoint": tmp_path / "c", "progress": False}
    with pf.offline(answer, latency=0) as sim:
        df.parallel.enrich(SCHEMA, where=[False, False, False, False, True], **options)
        with pytest.raises(CostError) as caught:
            df.parallel.enrich(SCHEMA, max_cost=0.03, **options)
        assert "Run the same again" not in str(caught.value)
        limit = int(re.search(r"limit=(\d+)", str(caught.value))[1])
        df.parallel.enrich(SCHEMA, max_cost=0.03, limit=limit, **options)
        assert sim.counts.runs == 3
        with pytest.raises(CostError, match=r"`max_cost=0\.04` to proceed\.\n"):
            df.parallel.enrich(SCHEMA, max_cost=0.03, **options)


def test_a_number_is_no_name():
    """The column 1 stays an input beside an output named "1"."""
    df = pd.DataFrame({1: ["Acme", "Globex"], "k": [1, 2]})
    with pf.offline(latency=0) as sim:
        out = df.parallel.enrich({"1": str}, progress=False)
        out.parallel.enrich({"q": str}, prefix="q_", progress=False)
    assert all(run.input.keys() == {"1", "k"} for run in sim.runs())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"max_cost": Decimal("NaN")}, "max_cost="),
        ({"group_id": [], "checkpoint": None}, "names no group"),
        ({"where": np.ones((5, 1), dtype=bool)}, "dimensions"),
        ({"limit": 1.0}, "limit=1.0"),
    ],
)
def test_bad_choices_are_named(options, said):
    """They are refused before anything is sent."""
    with pf.offline(answer, latency=0) as sim, pytest.raises(InputError, match=said):
        frame().parallel.enrich(SCHEMA, progress=False, **options)
    assert sim.counts.runs == 0


def test_numbers_of_any_kind_are_numbers():
    """A fraction of a dollar and numpy's integers are taken as what they are."""
    with pf.offline(answer, latency=0) as sim:
        frame().parallel.enrich(SCHEMA, limit=np.int64(2), max_cost=Fraction(1, 3), progress=False)
    assert sim.counts.runs == 2


def test_a_mask_of_another_kind_of_labels_is_read_by_position():
    """A Series with a MultiIndex has no label of a flat frame."""
    index = pd.MultiIndex.from_product([["x"], range(5)])
    mask = pd.Series([True, False, False, False, False], index=index)
    with pf.offline(answer, latency=0) as sim:
        frame().parallel.enrich(SCHEMA, where=mask, progress=False)
    assert sim.counts.runs == 1


def test_a_part_of_a_label_is_no_column():
    """Metadata names a column of MultiIndex columns whole."""
    df = pd.DataFrame([["Acme", 1]], columns=pd.MultiIndex.from_tuples([("a", "x"), ("a", "y")]))
    with pf.offline(latency=0), pytest.raises(UnknownColumnError):
        df.parallel.enrich({"q": str}, metadata={"id": "a"}, progress=False)

"""The same rows with several processors: what is right and the same, at what price, paid once, capped before."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
import threading
from datetime import date

import numpy as np
import pandas as pd
import pytest

import parallel_frames as pf
from parallel_frames.errors import (
    CheckpointMismatchError,
    CostError,
    InputError,
    UnknownColumnError,
    UnknownOptionError,
)
from parallel_frames.simulator import Answer, Failure, Simulator

SCHEMA = {"founded": int, "ceo": str | None, "revenue": float, "opened": date, "cities": list[str]}
QUIET = {"progress": False}
RIGHT = {"founded": 1949, "ceo": "José Núñez", "revenue": 10.0, "opened": "1949-05-31", "cities": ["Bonn", "Ulm"]}
# Each is the same as what is right, spelled otherwise.
SAME = RIGHT | {"ceo": " JOSE  NUNEZ.", "revenue": 10.05, "opened": "1949-05-31T00:00", "cities": ["ulm", "Bonn"]}


def answer(sent, processor):
    """Answer as a processor that is as good as its price: "lite" fails, breaks the schema, and errs unsurely."""
    company = sent["company"]
    if processor != "lite":
        return Answer(SAME if processor == "base" else RIGHT, basis=dict.fromkeys(RIGHT, "high"))
    if company == "Hooli":
        return Failure("no such company")
    wrong = {"founded": 1950 if company == "Acme" else "long ago", "ceo": None, "revenue": 12.0, "opened": "1950-05-31"}
    return Answer({**RIGHT, **wrong}, basis={"founded": "low", "cities": "medium"})


@pytest.fixture
def df():
    """Five rows, four of them distinct."""
    return pd.DataFrame({"company": ["Acme", "Acme", "Hooli", "Globex", "Initech"]}, index=list("abcab"))


@pytest.fixture
def truth(df):
    """Return what is right for every row."""
    return pd.DataFrame([RIGHT] * len(df), index=df.index)


def test_a_comparison_says_what_is_right_and_what_it_costs(df, truth):
    """Spelling does not count, failures and broken answers are not right, and every row of equal ones counts."""
    with pf.offline(answer, latency=4, speed=40) as sim:
        found = df.parallel.compare(SCHEMA, truth=truth, limit=2, **QUIET)
        assert sim.counts.runs == 6
        assert {run.input["company"] for run in sim.runs()} == {"Acme", "Hooli"}  # those that `limit=2` asks
        again = df.parallel.compare(SCHEMA, truth=truth, limit=2, retry_failed=False, **QUIET)
        out = df.parallel.enrich(SCHEMA, processor="base", **QUIET)
        assert sim.counts.runs == 8  # two of the four are known
    assert out["parallel_status"].eq("completed").all()
    pd.testing.assert_frame_equal(found.frame, again.frame)
    assert (found.reference, found.cost, found.simulated) == ("core", 0.075, True)
    assert set(found.frame["rows"]) == {3}
    base, lite = (found.frame[found.frame["processor"] == name].set_index("field") for name in ("base", "lite"))
    assert base["right"].tolist() == [3, 3, 3, 3, 3]
    assert base["agreement"].tolist() == [1, 1, 1, 1, 1]
    assert lite["right"].tolist() == [0, 0, 0, 0, 2]
    assert lite["accuracy"].tolist()[-1] == pytest.approx(2 / 3)  # Hooli has no answer
    assert (lite.loc["ceo", "answered"], lite.loc["ceo", "null"]) == (2, 2)
    assert lite.loc["cities", "agreement"] == 1  # of the rows that both answered
    # Hooli failed and is free, and both rows of Acme share a run.
    assert lite.loc["cities", "cost_per_row"] == pytest.approx(0.005 / 3)
    assert lite.loc["cities", "cost_per_right"] == pytest.approx(0.005 / 2)
    assert np.isnan(lite.loc["founded", "cost_per_right"])
    assert found.processors["completed"].tolist() == [2, 3, 3]
    assert found.processors["failed"].tolist() == [1, 0, 0]
    assert found.processors["seconds"].between(3.5, 60).all()
    assert found.agreement.loc[("founded", "base")].to_dict() == {"lite": 0, "base": 1, "core": 1}
    levels = found.calibration.set_index(["field", "processor", "confidence"])
    assert levels.loc[("cities", "lite", "medium"), ["rows", "share"]].tolist() == [2, 1]
    assert levels.loc[("founded", "lite", "low"), ["measure", "rows", "share"]].tolist() == ["right", 2, 0]


def test_cells_and_differences_show_each_answer(df, truth):
    """A line for each row, field and processor, under the row's label; side by side where they differ."""
    with pf.offline(answer, latency=0):
        found = df.parallel.compare(SCHEMA, truth=truth, processors=["lite", "base"], **QUIET)
    cells = found.cells
    assert cells.columns.tolist() == [
        "row", "field", "processor", "status", "answered", "value", "confidence", "truth", "right", "differs", "error",
    ]  # fmt: skip
    assert len(cells) == 5 * 5 * 2
    assert cells.index[:10].tolist() == ["a"] * 10
    of_hooli = cells[(cells["row"] == 2) & (cells["processor"] == "lite")]
    assert set(of_hooli["error"]) == {"no such company"}
    assert of_hooli["value"].isna().all()
    assert not of_hooli["right"].any()
    of_globex = cells[(cells["row"] == 3) & (cells["field"] == "founded")]
    assert of_globex["status"].tolist() == ["invalid", "completed"]
    assert of_globex["answered"].tolist() == [False, True]
    assert of_globex["value"].tolist() == [None, 1949]
    of_ceo = cells[(cells["row"] == 3) & (cells["field"] == "ceo")].iloc[0]
    assert (of_ceo["answered"], of_ceo["value"]) == (True, None)  # a null is an answer, also in a row that is invalid
    assert (cells[cells["processor"] == "base"]["confidence"] >= "high").all()
    differences = found.differences
    assert differences.columns.tolist() == ["row", "field", "truth", "lite", "base"]
    assert differences.iloc[0].tolist() == [0, "founded", 1949, 1950, 1949]
    assert set(differences[differences["field"] == "cities"]["row"]) == {2}  # no answer is another answer


def test_without_truth_the_most_expensive_processor_is_the_measure(df):
    """Agreement stands in for being right, and is labelled as such; two nulls agree."""
    answers = {"lite": None, "pro": None, "core": "Ann"}
    with pf.offline(lambda _, processor: Answer({"ceo": answers[processor]}, basis={"ceo": "low"}), latency=0):
        found = df.parallel.compare({"ceo": str | None}, processors=["pro", "lite", "core"], **QUIET)
    assert found.reference == "pro"
    of_frame = found.frame.set_index("processor")
    assert of_frame["agreement"].fillna(-1).to_dict() == {"pro": -1, "lite": 1, "core": 0}
    assert of_frame["right"].isna().all()
    assert set(found.calibration["measure"]) == {"same as pro"}
    assert found.calibration.dropna()["share"].tolist() == [1, 0]
    assert found.differences[["pro", "lite", "core"]].iloc[0].tolist() == [None, None, "Ann"]
    text = str(found)
    assert "correct" not in text
    assert re.search(r"the same as pro +reference +100% +0%", text)
    assert "The same as pro, by confidence" in text.splitlines()
    assert re.search(r"ceo +null \(low\) +null \(low\) +Ann \(low\)", text)  # a null that is an answer


def test_a_text_is_one_field():
    """What has no fields is compared as its one column, output."""
    df = pd.DataFrame({"company": ["Acme"]})
    with pf.offline(lambda _, processor: "A tool maker." if processor == "lite" else "a tool-maker", latency=0):
        found = df.parallel.compare("what it makes", processors=["lite", "base"], **QUIET)
    assert found.frame["agreement"].tolist()[0] == 1
    assert found.differences.empty


def test_the_price_of_all_processors_is_announced_and_bounded_first(df, caplog, client_of):
    """One line has the total; more than `max_cost` is refused with a limit that fits; a question needs a terminal."""
    with Simulator(answer, latency=0) as sim:
        client = client_of(sim)
        with pytest.raises(CostError) as caught:
            df.parallel.compare(SCHEMA, max_cost=0.13, client=client, **QUIET)
        assert str(caught.value) == (
            "12 runs to send come to $0.16, over `max_cost=0.13`. None of them was sent. "
            "Pass `max_cost=0.16` to proceed, or `limit=3` to send a part."
        )
        with pytest.raises(InputError, match="confirm=True"):
            df.parallel.compare(SCHEMA, confirm=True, client=client, **QUIET)
        with pytest.raises(InputError, match="price of processor 'new' is not known"):
            df.parallel.compare(SCHEMA, processors=["lite", "new"], max_cost=5, client=client, **QUIET)
        assert sim.counts.groups == 0
        with caplog.at_level("INFO", logger="parallel_frames"):
            df.parallel.compare(SCHEMA, max_cost=0.13, limit=caught.value.limit, client=client, **QUIET)
        df.parallel.compare(SCHEMA, max_cost=0.16, client=client, retry_failed=False, **QUIET)
        assert sim.counts.runs == 12
        with pytest.raises(CostError, match="come to"):  # what was paid before counts
            df.parallel.compare(SCHEMA, max_cost=0.15, client=client, refresh=True, **QUIET)
        assert sim.counts.runs == 12
    first = next(message for message in caplog.messages if "→" in message)
    assert first.startswith("4 of 5 rows × 3 processors → 9 runs · $0.12 · lite $0.015 · ")
    assert " · lite $0.015 · base $0.03 · core $0.075 · sends company · checkpoint " in first
    assert "compared: 12 of 12 answers · 11 completed · 1 failed · $0.115 · SIMULATED" in caplog.messages


def test_one_directory_holds_the_jobs_of_a_comparison(df, tmp_path):
    """They are not in one another's way, the call for all rows finds its own, and another question is refused."""
    place = {"checkpoint": tmp_path / "c.ckpt", **QUIET}
    with pf.offline(answer, latency=0) as sim:
        out = df.parallel.enrich(SCHEMA, processor="core", **place)
        found = df.parallel.compare(SCHEMA, limit=None, retry_failed=False, **place)
        assert sim.counts.runs == 12
        df.parallel.enrich(SCHEMA, processor="base", **place)
        assert sim.counts.runs == 12
        assert found.checkpoint == str(tmp_path / "c.ckpt")
        again = out.parallel.compare(SCHEMA, limit=None, retry_failed=False, **place)  # its answers are not sent
        pd.testing.assert_frame_equal(again.frame, found.frame)
        weak = df.parallel.enrich(SCHEMA, processor="lite", retry_failed=False, **place)
        hard = weak.parallel.compare(SCHEMA, processors=["base", "core"], where="failed", **place)
        assert hard.cells["row"].unique().tolist() == [2]
        assert sim.counts.runs == 12
        with pytest.raises(CheckpointMismatchError, match="3 other questions"):
            df.parallel.compare({"other": str}, **place)
        df.parallel.compare({"other": str}, processors=["base", "core"], on_mismatch="new", **place)
        assert sim.counts.runs == 20
    with pytest.raises(InputError, match="pay for these again"):
        df.parallel.compare(SCHEMA, checkpoint=None)


@pytest.mark.skipif(sys.platform == "win32", reason="interrupts by SIGINT")
def test_an_enriched_frame_is_asked_as_its_answers_were():
    """A column that came since is not sent: what one of the processors answered for all rows is not paid again."""
    df = pd.DataFrame({"company": ["Acme", "Globex"]})
    with pf.offline({"Acme": {"founded": 1949}, "Globex": {"founded": 1989}}, latency=0) as sim:
        out = df.parallel.enrich({"founded": int}, processor="base").assign(note="new")
        comparison = out.parallel.compare({"founded": int}, processors=["lite", "base"])
        assert (sim.counts.runs, comparison.cost) == (4, 0.03)
        out.parallel.enrich({"founded": int}, processor="base")
        assert sim.counts.runs == 4


def test_after_ctrl_c_only_what_lacks_is_paid(df):
    """What was sent is named, and adopted by the same call: no run is paid twice."""
    with pf.offline(answer, latency=30, speed=20) as sim:

        def interrupt():
            sim.wait_until(lambda counts: counts.runs == 8)
            os.kill(os.getpid(), signal.SIGINT)

        timer = threading.Thread(target=interrupt)
        timer.start()
        with pytest.raises(KeyboardInterrupt) as stopped:
            df.parallel.compare(SCHEMA, processors=["base", "core"], **QUIET)
        timer.join()
        assert str(stopped.value).count("8 runs sent") == 1
        found = df.parallel.compare(SCHEMA, processors=["base", "core"], timeout=1, **QUIET)
        assert found.processors["pending"].tolist() == [5, 5]
        assert set(found.cells["status"]) == {"pending"}
        assert "no answer within the timeout" in found.cells["error"].iloc[0]
        found = df.parallel.compare(SCHEMA, processors=["base", "core"], **QUIET)
        assert found.processors["completed"].tolist() == [5, 5]
        assert sim.counts.runs == 8


def test_an_error_of_one_processor_is_raised_and_the_answers_of_others_are_kept(df):
    """A processor that the account may not use ends the call; what the others answered is not paid again."""
    with pf.offline(answer, latency=0, refused_processors=["core"]) as sim:
        df.parallel.compare(SCHEMA, processors=["base", "lite"], retry_failed=False, **QUIET)
        with pytest.raises(pf.errors.AuthenticationError, match=r"core[^\n]*\n0 of 5 rows are answered, 8 runs sent"):
            df.parallel.compare(SCHEMA, processors=["base", "lite", "core"], retry_failed=False, **QUIET)
        assert sim.counts.runs == 8


def test_known_values_are_read_as_the_schema_has_them(df):
    """From columns of the frame or by label, as texts too; a gap is a null where null is an answer."""
    known = pd.DataFrame(
        {
            "founded": ["1949", None, 1949.0],
            "ceo": ["jose nunez", pd.NA, None],
            "revenue": ["10", 10, None],
            "opened": ["1949-05-31", pd.Timestamp("1949-05-31 10:00"), pd.NaT],
            "cities": [("Ulm", "Bonn"), np.array(["Bonn", "Ulm", "Ulm"]), None],
            "note": "not a field",
        },
        index=["Acme", "Globex", "Other"],
    )
    by_label = df.drop_duplicates().set_index("company", drop=False)
    with pf.offline(answer, latency=0):
        of_frame = by_label.parallel.compare(SCHEMA, processors=["base"], truth=known, **QUIET)
        df["known"], df["founded"] = 1949, [1949, 1950, None, 1949, 1949]
        of_columns = df.parallel.compare(
            SCHEMA, processors=["base"], truth={"founded": "founded", "revenue": "known"}, inputs=["company"],
            tolerance={"revenue": 200, "founded": 1 / 1000}, **QUIET,
        )  # fmt: skip
    assert "=" not in str(of_frame)
    assert of_frame.frame["known"].tolist() == [1, 2, 2, 2, 2]
    assert of_frame.frame["right"].tolist() == [1, 1, 2, 2, 2]  # the CEO of Globex is known to be none
    of_columns = of_columns.frame.set_index("field")
    assert of_columns.loc["founded", ["known", "right"]].tolist() == [4, 4]
    assert of_columns.loc["revenue", ["known", "right"]].tolist() == [5, 5]


def test_bad_input_is_refused_before_anything_is_sent(df, truth):
    """What cannot be compared, what would give the answer away, and options that a comparison has not got."""
    df["known"] = 1
    cases = [
        ({"truth": {"founded": "known"}}, InputError, "the service would see"),
        ({"truth": {"founded": "knwon"}}, UnknownColumnError, "'known'"),
        ({"truth": {"found": "known"}}, InputError, r"did you mean 'founded'\?"),
        ({"truth": truth.assign(founded="long ago")}, InputError, "'long ago' for 'founded' .* 'a': expected a number"),
        ({"truth": truth.assign(opened="soon")}, InputError, "expected a date"),
        ({"truth": truth.assign(cities="Ulm")}, InputError, "expected a list"),
        ({"truth": truth.iloc[:4]}, InputError, "a label stands twice"),
        ({"truth": truth[["founded"]].set_axis(list("vwxyz"))}, InputError, "no value for any row"),
        ({"truth": [1949]}, InputError, "map fields to columns"),
        ({"tolerance": {"ceo": 0.1}}, InputError, "the fields are founded, revenue"),
        ({"tolerance": -1}, InputError, "a share of a number"),
        ({"processors": "lite"}, InputError, "a list of names"),
        ({"processors": ["lite", "lite"]}, InputError, "twice"),
        ({"processors": ["lite"]}, InputError, "nothing to compare it with"),
        ({"where": [False] * 5}, InputError, "no row to compare"),
        ({"processor": "lite"}, UnknownOptionError, r"`processors="),
        ({"basis": "columns"}, UnknownOptionError, "no frame with new columns"),
        ({"group_id": "tgrp_1"}, UnknownOptionError, "have one processor"),
        ({"on_row": print}, UnknownOptionError, r"`\.cells`"),
    ]
    with pf.offline(answer, latency=0) as sim:
        for options, kind, message in cases:
            with pytest.raises(kind, match=message):
                df.parallel.compare(SCHEMA, **options)
        assert sim.counts.groups == 0


def test_it_runs_in_a_running_loop(df):
    """A cell of a notebook may compare: its loop is not in the way."""

    async def main():
        return df.parallel.compare(SCHEMA, **QUIET)

    with pf.offline(answer, latency=0):
        assert asyncio.run(main()).processors["completed"].tolist() == [2, 5, 5]


def test_it_shows_itself_as_text_and_as_html(df, truth):
    """Both have every processor and field, say that they are simulated, and escape what came from the web."""

    def dangerous(sent, processor):
        return {**RIGHT, "ceo": "<script>" if processor == "lite" else "Ann"}

    with pf.offline(dangerous, latency=0):
        found = df.parallel.compare(SCHEMA, truth=truth.drop(columns="cities"), processors=["lite", "base"], **QUIET)
    text, html = str(found), found._repr_html_()
    lines = text.splitlines()
    assert lines[0] == "5 rows, 5 fields, 2 processors · $0.06 · SIMULATED"
    assert max(map(len, lines)) <= 120
    assert [" ".join(line.split()) for line in lines[1:5]] == [
        "lite base (reference)", "All fields", "correct 75% (15 of 20) 75% (15 of 20)", "the same as base 80% reference"
    ]  # fmt: skip
    by_field = lines[lines.index("Correct, by field") + 1 :]
    assert [line.split()[0] for line in by_field[:4]] == ["founded", "ceo", "revenue", "opened"]  # no city is known
    for part in (
        "founded",
        "simulated: no answer is from the web",
        "75% (15 of 20)",
        "&lt;script&gt;",
        "✗",
        "pf-shares",
    ):
        assert part in html
    assert "<script>" not in html

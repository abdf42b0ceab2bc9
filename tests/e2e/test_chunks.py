"""Further rows with the same question are simply new; rows that became other inputs are not paid for unseen."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import parallel_frames as pf
from parallel_frames.errors import CheckpointMismatchError

SCHEMA = {"founded": int}
ROWS = pd.DataFrame(
    {
        "company": [f"Company {n:03}" for n in range(200)],
        "size": range(200),
        "since": pd.date_range("2024-01-05", periods=200),
    }
)


@pytest.fixture(params=["auto", "named"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Give the automatic checkpoint, and one with a name."""
    return "auto" if request.param == "auto" else tmp_path / "companies.ckpt"


def enrich(df: pd.DataFrame, checkpoint: Any) -> pd.DataFrame:
    """Ask the same question."""
    return df.parallel.enrich(SCHEMA, checkpoint=checkpoint, progress=False)


def test_chunks_and_other_tables_are_new_rows(place):
    """A loop over chunks, groups, a second table of the same size, in any order and more than once: each row once."""
    with pf.offline(latency=0) as sim:
        for _ in range(2):
            for start in range(0, 200, 50):
                enrich(ROWS.iloc[start : start + 50], place)
        assert sim.counts.runs == 200
        ROWS.groupby(ROWS.index % 4).apply(lambda part: enrich(part, place))
        enrich(ROWS.assign(company=[f"Firm {n}" for n in range(200)], size=range(500, 700)), place)
        assert sim.counts.runs == 400


@pytest.mark.parametrize(
    "change",
    [
        lambda df: df.rename(columns={"company": "firm"}),
        lambda df: df.assign(size=df["size"].astype(float).astype(str)),
        lambda df: df.assign(since=df["since"].dt.strftime("%d.%m.%Y")),
        lambda df: df.assign(nr=range(len(df))),
    ],
)
def test_rows_that_became_other_inputs_are_stopped(place, change):
    """A column's name, type or format, or one more column: nothing is sent, of a whole table or of any chunk of it."""
    with pf.offline(latency=0) as sim:
        for start in (0, 100):
            enrich(ROWS.iloc[start : start + 100], place)
        for start in (0, 100):
            changed = change(ROWS.iloc[start : start + 100])
            with pytest.raises(CheckpointMismatchError, match=r"(?s)100 runs \(\$1.00\).*on_mismatch='new'"):
                enrich(changed, place)
        assert sim.counts.runs == 200


def test_a_table_that_grew_while_its_inputs_changed_is_stopped(place):
    """One row more does not hide that every other row became another input."""
    with pf.offline(latency=0) as sim:
        enrich(ROWS.head(100), place)
        with pytest.raises(CheckpointMismatchError, match=r"101 runs \(\$1.01\)"):
            enrich(ROWS.head(101).assign(size=lambda df: [*df["size"].head(100), "D-7"]).assign(nr=7), place)
        assert sim.counts.runs == 100


def test_groups_of_a_panel_and_chunks_with_categories_are_new_rows(place):
    """Each year has the same countries, and each chunk the same sectors: none is stopped, and each row paid once."""
    countries = [f"Land {letter}" for letter in "abcdefghijklmnopqrstuvwxyz"]
    panel = pd.DataFrame({"year": [2020] * 26 + [2021] * 26, "country": countries * 2})
    firms = ROWS.assign(sector=["Tech", "Bank", "Law", "Food", "Steel"] * 40)[["company", "sector"]]
    with pf.offline(latency=0) as sim:
        for _, part in panel.groupby("year"):
            enrich(part, place)
        for start in range(0, 200, 25):
            enrich(firms.iloc[start : start + 25], place)
        assert sim.counts.runs == 252

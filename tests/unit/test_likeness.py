"""Rows whose inputs changed look like the earlier ones; other rows do not."""

import json
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parallel_frames._job._likeness import look_alike

DF = pd.DataFrame(
    {"name": ["Acme Inc", "Globex", "Initech"], "since": ["2024-01-05", "2024-02-06", "2024-03-07"], "size": [5, 6, 5]}
)


def texts(df: pd.DataFrame) -> list[str]:
    """Return rows as they are sent."""
    return [json.dumps(row) for row in df.to_dict("records")]


CHANGED: dict[str, Any] = {
    "renamed": lambda df: df.rename(columns={"name": "company"}),
    "all renamed": lambda df: df.rename(columns=str.upper),
    "added": lambda df: df.assign(nr=range(3), note="a text that is long " * 99),
    "dropped": lambda df: df[["name"]],
    "float": lambda df: df.assign(size=df["size"].astype(float)),
    "text": lambda df: df.assign(size=df["size"].astype(str)),
    "days first": lambda df: df.assign(since=pd.to_datetime(df["since"]).dt.strftime("%d/%m/%Y")),
    "months by name": lambda df: df.assign(since=pd.to_datetime(df["since"]).dt.strftime("%B %d, %Y")),
    "midnight": lambda df: df.assign(since=df["since"] + "T00:00:00"),
    "seconds": lambda df: df.assign(since=pd.to_datetime(df["since"]).astype("int64") // 10**9),
    "spaces": lambda df: df.assign(name=df["name"].str.upper() + " "),
}


@pytest.mark.parametrize("change", CHANGED)
def test_rows_that_were_changed_look_alike(change):
    """A name, a type, a format, one column more or less: most rows are still to be recognised."""
    assert look_alike(texts(DF), texts(CHANGED[change](DF)))
    cut = [text[:60] for text in texts(DF)]
    assert look_alike(cut, texts(CHANGED[change](DF))) or change in ("spaces", "dropped")


@pytest.mark.parametrize("of", ["name", "since", "size"])
@pytest.mark.parametrize("change", ["renamed", "float", "days first", "midnight"])
def test_a_single_column_is_recognised_too(of, change):
    """Where one column is all there is, its values alone say it."""
    df = DF.assign(size=[5, 6, 7])
    assert look_alike(
        texts(df[[of]]), texts(CHANGED[change](df)[[{"name": "company"}.get(of, of) if change == "renamed" else of]])
    )


def test_other_rows_do_not_look_alike():
    """The next rows, a panel's next group, another table with the same numbering, words that all rows have."""
    rows = pd.DataFrame(
        {"company": [f"company {n}" for n in range(6)], "country": "Germany", "year": [2020, 2021, 2022] * 2}
    )
    for columns in (["company"], ["company", "country"], ["company", "country", "year"]):
        assert not look_alike(texts(rows[columns][:3]), texts(rows[columns][3:]))
    panel = rows.assign(company=["Acme"] * 3 + ["Globex"] * 3)
    assert not look_alike(texts(panel[:3]), texts(panel[3:]))
    other = pd.DataFrame({"id": [1, 2, 3], "name": ["a", "b", "c"]})
    assert not look_alike(texts(other), texts(other.assign(name=["d", "e", "f"])))
    assert not look_alike([], texts(other))


@given(st.lists(st.one_of(st.text(), st.integers(), st.none(), st.floats()), min_size=1), st.integers(0, 99))
def test_whatever_is_sent_can_be_compared(values, cut):
    """No text is too odd, and none is refused for where it was cut off."""
    sent = [json.dumps({str(at): value for at, value in enumerate(values)})]
    assert look_alike([sent[0][:cut]], sent) in (True, False)

"""Rows whose inputs changed look like the earlier ones; other rows do not."""

import json
from itertools import product
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parallel_frames._job._likeness import look_alike

DF = pd.DataFrame(
    {
        "name": ["Acme Inc", "Globex", "Initech", "Umbrella", "Soylent"],
        "since": ["2024-01-05", "2024-02-06", "2024-03-07", "2024-04-08", "2024-05-09"],
        "size": [5, 6, 5, 7, 6],
    }
)


def texts(df: pd.DataFrame) -> list[str]:
    """Return rows as they are sent."""
    return [json.dumps(row) for row in df.to_dict("records")]


CHANGED: dict[str, Any] = {
    "renamed": lambda df: df.rename(columns={"name": "company"}),
    "all renamed": lambda df: df.rename(columns=str.upper),
    "added": lambda df: df.assign(nr=range(5), note="a text that is long " * 99),
    "dropped": lambda df: df[["name"]],
    "float": lambda df: df.assign(size=df["size"].astype(float)),
    "text": lambda df: df.assign(size=df["size"].astype(str)),
    "days first": lambda df: df.assign(since=pd.to_datetime(df["since"]).dt.strftime("%d/%m/%Y")),
    "months by name": lambda df: df.assign(since=pd.to_datetime(df["since"]).dt.strftime("%B %d, %Y")),
    "midnight": lambda df: df.assign(since=df["since"] + "T00:00:00"),
    "seconds": lambda df: df.assign(since=pd.to_datetime(df["since"]).astype("int64") // 10**9),
    "rounded": lambda df: df.assign(size=df["size"] / 3),
    "spaces": lambda df: df.assign(name=df["name"].str.upper() + " "),
}


@pytest.mark.parametrize("change", CHANGED)
def test_rows_that_were_changed_look_alike(change):
    """A name, a type, a format, one column more or less: most rows are still to be recognised."""
    assert look_alike(texts(DF), texts(CHANGED[change](DF)))
    cut = [text[:60] for text in texts(DF)]
    assert look_alike(cut, texts(CHANGED[change](DF))) or change in ("spaces", "dropped")


@pytest.mark.parametrize(
    ("of", "change"),
    [
        *product(["name", "since", "size"], ["all renamed"]),
        ("size", "float"),
        *product(["since"], ["days first", "midnight"]),
    ],
)
def test_a_single_column_is_recognised_too(of, change):
    """Where one column is all there is, its values alone say it."""
    df = DF.assign(size=[5, 6, 7, 8, 9])
    assert look_alike(texts(df[[of]]), texts(CHANGED[change](df).iloc[:, [df.columns.get_loc(of)]]))


def test_a_table_that_grew_at_its_head_is_recognised():
    """The newest row first, and one column more: the others moved by one place."""
    grown = pd.concat([DF.assign(name="Hooli", since="2024-06-08", size=9).head(1), DF]).assign(nr=range(6))
    assert look_alike(texts(DF), texts(grown)[:5])


def test_other_rows_do_not_look_alike():
    """The next rows, a panel's next group, another table with the same numbering, words that all rows have."""
    rows = pd.DataFrame(
        {"company": [f"company {n}" for n in range(6)], "country": "Germany", "year": [2020, 2021, 2022] * 2}
    )
    for columns in (["company"], ["company", "country"], ["company", "country", "year"]):
        assert not look_alike(texts(rows[columns][:3]), texts(rows[columns][3:]))
    panel = rows.assign(company=["Acme"] * 3 + ["Globex"] * 3)
    assert not look_alike(texts(panel[:3]), texts(panel[3:]))
    cities = rows.assign(
        company=[f"firm {n}" for n in "abcdef"], country=["Rome", "Oslo", "Bern", "Oslo", "Rome", "Lima"]
    )
    assert not look_alike(texts(cities[:3]), texts(cities[3:]))
    other = pd.DataFrame({"id": [1, 2, 3], "name": ["a", "b", "c"]})
    assert not look_alike(texts(other), texts(other.assign(name=["d", "e", "f"])))
    assert not look_alike([], texts(other))


def test_groups_of_a_table_and_words_that_many_rows_have_are_other_rows():
    """The years of a panel, the products of each shop, sectors by chance, small numbers, and rows that are the same."""
    names = ["Acme", "Globex", "Initech", "Umbrella", "Soylent", "Hooli", "Tyrell", "Cyberdyne"]
    panel = pd.DataFrame({"country": names, "year": 2020, "gdp": range(8)})
    assert not look_alike(texts(panel), texts(panel.assign(year=2021, gdp=9)))
    shop = pd.DataFrame({"shop": "Rome", "product": names})
    assert not look_alike(texts(shop), texts(shop.assign(shop="Oslo")))
    firms = pd.DataFrame({"sector": ["Tech", "Bank", "Law", "Food"] * 2, "city": ["Rome", "Oslo", "Bern", "Bern"] * 2})
    assert not look_alike(texts(firms.assign(name=names)), texts(firms.assign(name=[name[::-1] for name in names])))
    grid = pd.DataFrame({"row": [1, 1, 1, 2, 2, 2], "column": [1, 2, 3, 2, 4, 5]})
    assert not look_alike(
        texts(grid), texts(grid.rename(columns={"row": "column", "column": "row"})[["row", "column"]])
    )
    assert not look_alike(texts(DF), texts(DF))


def test_a_long_text_is_recognised_where_it_was_cut_off():
    """A renamed column of long texts is cut elsewhere."""
    long = pd.DataFrame({"text": [f"{name} " + "lorem ipsum dolor " * 99 for name in DF["name"]]})
    assert look_alike([text[:1000] for text in texts(long)], texts(long.rename(columns={"text": "description"})))


@given(st.lists(st.one_of(st.text(), st.integers(), st.none(), st.floats()), min_size=1), st.integers(0, 99))
def test_whatever_is_sent_can_be_compared(values, cut):
    """No text is too odd, and none is refused for where it was cut off."""
    sent = [json.dumps({str(at): value for at, value in enumerate(values)})]
    assert look_alike([sent[0][:cut]], sent) in (True, False)

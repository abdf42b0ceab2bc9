"""The countries of the world: a real table to enrich, and the facts to check the answers against.

This package owns two small CSV files and the way to read them with the right types, so that Namibia's
code ``"NA"`` stays a text and a missing capital stays missing. ``SOURCES.md`` next to them says where every
column comes from, under which licence, and what was changed.

It refuses to know what the tables are for: nothing here has heard of prompts, schemas, a service or the
simulator, and nothing here reaches the network. It depends on pandas only.
"""

from importlib.resources import files
from typing import Final

import pandas as pd

__all__ = ["CONTINENTS", "load_countries", "load_country_facts"]

CONTINENTS: Final[tuple[str, ...]] = (
    "Africa",
    "Antarctica",
    "Asia",
    "Europe",
    "North America",
    "Oceania",
    "South America",
)
"""The seven values the ``continent`` column can take, in alphabetical order."""


def load_countries() -> pd.DataFrame:
    """
    Read the table a user would start from: one row per country or territory.

    Returns
    -------
    pandas.DataFrame
        250 rows in alphabetical order of ``country``, with the columns ``country`` (English name),
        ``iso_code`` (ISO 3166-1 alpha-2) and ``iso_code_3`` (alpha-3), all of dtype ``string`` and
        without a missing value. Every call reads a fresh table, so it can be changed freely.

    Examples
    --------
    >>> countries = load_countries()
    >>> countries.loc[countries["country"] == "Namibia", "iso_code"].item()
    'NA'
    """
    return _read(
        "countries.csv",
        {"country": "string", "iso_code": "string", "iso_code_3": "string"},
    )


def load_country_facts() -> pd.DataFrame:
    """
    Read the facts about every row of :func:`load_countries`.

    Returns
    -------
    pandas.DataFrame
        250 rows in alphabetical order of ``iso_code``, with the columns

        - ``iso_code`` (``string``): the key, ISO 3166-1 alpha-2;
        - ``capital`` (``string``): missing where there is none, as for Antarctica;
        - ``continent`` (``category``): one of :data:`CONTINENTS`;
        - ``population`` (``int64``): 0 where nobody lives permanently;
        - ``area_km2`` (``Float64``): missing where the source has none;
        - ``currency_code`` (``string``): ISO 4217, missing for Antarctica;
        - ``neighbours`` (``object``): a list of the ``iso_code`` of every country with a common land
          border, empty for an island.

        A missing value is ``pandas.NA``. Every call reads a fresh table, so it can be changed freely.

    Examples
    --------
    >>> facts = load_country_facts().set_index("iso_code")
    >>> facts.loc["PT", "capital"], facts.loc["PT", "neighbours"]
    ('Lisbon', ['ES'])
    """
    facts = _read(
        "country_facts.csv",
        {
            "iso_code": "string",
            "capital": "string",
            "continent": "string",
            "population": "int64",
            "area_km2": "Float64",
            "currency_code": "string",
            "neighbours": "string",
        },
    )
    facts["continent"] = facts["continent"].astype(pd.CategoricalDtype(list(CONTINENTS)))
    neighbours = [codes.split() for codes in facts["neighbours"].fillna("")]
    facts["neighbours"] = pd.Series(neighbours, index=facts.index, dtype=object)
    return facts


def _read(name: str, dtypes: dict[str, str]) -> pd.DataFrame:
    """Return one of the CSV files of this package; only an empty field is missing, since ``NA`` is Namibia."""
    with files(__name__).joinpath(name).open(encoding="utf-8") as file:
        return pd.read_csv(file, dtype=dtypes, keep_default_na=False, na_values=[""])

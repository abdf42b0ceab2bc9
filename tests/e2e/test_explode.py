"""Lists become rows: typed by the schema whatever the frame went through, each element with its own evidence."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pandas as pd
import pytest

import parallel_frames as pf
from parallel_frames.errors import InputError, UnknownColumnError
from parallel_frames.simulator import Answer, Failure

PRODUCT = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "units": {"type": ["integer", "null"]},
        "since": {"type": "string", "format": "date"},
        "kind": {"enum": ["tool", "toy"]},
        "tags": {"type": "array", "items": {"type": "string"}},
        "more": {},
    },
}
SCHEMA = {
    "type": "object",
    "properties": {
        "products": {"type": "array", "items": PRODUCT},
        "scores": {"type": "array", "items": {"type": "number"}},
        "seat": {"type": "object", "properties": {"city": {"type": "string"}, "row": {"type": "integer"}}},
        "ceo": {"type": "string"},
    },
}
ANVIL = {"name": "Anvil", "units": 7, "since": "1949-01-02", "kind": "tool", "tags": ["iron"], "more": {"a": [1]}}
ROPE = {"name": "Rope", "units": None, "since": "1950-03-04", "kind": "toy", "tags": [], "more": {"a": [2]}}
ANSWER = {"products": [ANVIL, ROPE], "scores": [1, 2.5], "seat": {"city": "Oslo", "row": 3}, "ceo": "A"}
BASIS = [
    {"field": "products", "reasoning": "r", "confidence": "high", "citations": [{"url": "https://all.example"}]},
    {"field": "products.1", "reasoning": "r", "confidence": "low", "citations": [{"url": "https://rope.example"}]},
]
ANSWERS = {"Acme": Answer(ANSWER, BASIS), "Empty": {**ANSWER, "products": [], "scores": []}, "Bad": Failure("no")}
OPTIONS = {"progress": False, "options": {"beta_headers": ["field-basis-2025-11-25"]}}
DF = pd.DataFrame({"company": ["Empty", "Acme", "Bad"]}, index=["e", "a", "b"])
DTYPES = {
    "numpy_nullable": {"units": "Int64", "since": "datetime64[us]", "kind": "category", "tags": "object"},
    "pyarrow": {
        "units": "int64[pyarrow]", "since": "date32[day][pyarrow]", "kind": "string[pyarrow]",
        "tags": "list<item: string>[pyarrow]",
    },
}  # fmt: skip


@pytest.fixture(params=["numpy_nullable", "pyarrow"])
def backend(request):
    """Each family of dtypes."""
    return request.param


@pytest.fixture
def out(backend):
    """Enrich rows with an empty list, a full one, and none."""
    with pf.offline(ANSWERS, latency=0):
        return DF.parallel.enrich(SCHEMA, basis="struct", dtype_backend=backend, **OPTIONS)


def test_elements_are_rows_of_the_types_that_columns_have(out, backend, tmp_path):
    """Rows keep their order and labels; what is empty or missing has one line; Parquet changes nothing."""
    found = out.parallel.explode("products")
    assert found.index.tolist() == ["e", "a", "a", "b"]
    assert found.columns.tolist() == ["row", "element", *PRODUCT["properties"], "confidence", "sources"]
    assert found["row"].tolist() == [0, 1, 1, 2]
    assert found["element"].fillna(-1).tolist() == [-1, 0, 1, -1]
    assert found["name"].fillna("").tolist() == ["", "Anvil", "Rope", ""]
    assert found["units"].fillna(0).tolist() == [0, 7, 0, 0]
    assert {name: str(found[name].dtype) for name in DTYPES[backend]} == DTYPES[backend]
    assert [list(tags) for tags in found["tags"].iloc[1:3]] == [["iron"], []]
    assert found["more"].tolist()[1] == ('{"a":[1]}' if backend == "pyarrow" else {"a": [1]})
    out[["company", "products", "parallel_basis"]].to_parquet(tmp_path / "out.parquet")
    options = {"dtype_backend": "pyarrow"} if backend == "pyarrow" else {}
    again = pd.read_parquet(tmp_path / "out.parquet", **options).parallel.explode("products")
    nested = ["tags", "more", "sources"]  # arrays after Parquet
    pd.testing.assert_frame_equal(again.drop(columns=nested), found.drop(columns=nested), check_index_type=False)


def test_each_element_has_its_own_evidence(out):
    """Where it has none it is the field's; a frame with three columns of evidence knows that of the field."""
    found = out.parallel.explode("products").loc["a"]
    assert found["confidence"].tolist() == ["high", "low"]
    assert list(map(list, found["sources"])) == [["https://all.example"], ["https://rope.example"]]
    with pf.offline(ANSWERS, latency=0):
        columns = DF.parallel.enrich(SCHEMA, basis="columns", **OPTIONS)
        none = DF.parallel.enrich(SCHEMA, progress=False)
    of_field = columns.parallel.explode("products").loc["a"]
    assert of_field["confidence"].tolist() == ["low", "low"]
    assert of_field["sources"].tolist() == [["https://all.example"], ["https://rope.example"]]
    assert none.parallel.explode("products").columns.tolist() == ["row", "element", *PRODUCT["properties"]]


def test_other_lists_and_single_objects(out, backend):
    """A list of numbers is one column; an object is one line, and its field `row` needs a prefix."""
    scores = out.parallel.explode("scores")
    assert scores["scores"].dropna().tolist() == [1.0, 2.5]
    assert str(scores["scores"].dtype) == {"numpy_nullable": "Float64", "pyarrow": "double[pyarrow]"}[backend]
    with pytest.raises(InputError, match=r"have a field 'row', .*`prefix"):
        out.parallel.explode("seat")
    seat = out.parallel.explode("seat", prefix="seat_")
    assert seat["element"].isna().all()
    assert seat["seat_city"].fillna("").tolist() == ["Oslo", "Oslo", ""]
    assert seat["seat_row"].fillna(0).tolist() == [3, 3, 0]


def test_what_is_no_list_or_not_known_is_refused(out):
    """A text, an input, a column that is not there, and lost attrs each have their own message."""
    with pytest.raises(InputError, match="'ceo' is of type string: only lists"):
        out.parallel.explode("ceo")
    with pytest.raises(InputError, match=r"no enrichment made it.*`schema=...`"):
        out.parallel.explode("company")
    with pytest.raises(UnknownColumnError, match="products"):
        out.parallel.explode("product")
    lost = pd.DataFrame({"p_products_2": [json.dumps(ANSWER["products"]), None]})
    with pytest.raises(InputError, match="attrs are lost"):
        lost.parallel.explode("p_products_2")
    assert lost.parallel.explode("p_products_2", schema=SCHEMA)["units"].fillna(0).tolist() == [7, 0, 0]
    with pytest.raises(InputError, match="has no field for the column 'p_products_2'; it has 'ceo'"):
        lost.parallel.explode("p_products_2", schema={"ceo": str})
    for cell in ({"name": "x"}, ["x"], 3, '"x"'):
        with pytest.raises(InputError, match=r"in row 0, where its schema has an? (list|object)"):
            pd.DataFrame({"products": [cell]}).parallel.explode("products", schema=SCHEMA)
    with pytest.raises(InputError, match="texts that are not JSON"):
        pd.DataFrame({"products": ["[{'name': 'x'}]"]}).parallel.explode("products", schema=SCHEMA)


def test_a_frame_without_rows_and_a_dataclass():
    """The shape follows from the schema alone."""

    @dataclass
    class Person:
        name: str
        born: int | None

    with pf.offline({"Acme": {"people": [{"name": "A", "born": None}]}}, latency=0):
        out = DF.iloc[:0].parallel.enrich({"people": list[Person]}, basis=True, prefix="x_", progress=False)
        found = out.parallel.explode("x_people")
    assert found.columns.tolist() == ["row", "element", "name", "born", "confidence", "sources"]
    assert found.dtypes[["row", "element", "born", "confidence"]].astype(str).tolist() == [
        "int64", "Int64", "Int64", "category",
    ]  # fmt: skip
    assert len(found) == 0

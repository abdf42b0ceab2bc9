"""Every form of a schema, and answers that break theirs."""

from __future__ import annotations

import datetime as dt
from typing import Literal

import pandas as pd
import pydantic
import pytest

import parallel_frames as pf
from parallel_frames.simulator import faults

COMPANY = pd.DataFrame({"company": ["Acme"]})


class Company(pydantic.BaseModel):
    """A company as a pydantic model."""

    founded: int = pydantic.Field(description="year", ge=1600, le=2100)
    ceo: str | None
    size: Literal["small", "large"]


JSON_SCHEMA = {
    "type": "object",
    "properties": {
        "founded": {"type": "integer", "minimum": 1600},
        "ceo": {"type": ["string", "null"]},
        "size": {"enum": ["small", "large"]},
    },
}
FACTS = {"founded": 1949, "ceo": None, "size": "small"}
FORMS = {
    "pydantic": (Company, FACTS),
    "JSON Schema": (JSON_SCHEMA, FACTS),
    "wrapped": ({"type": "json", "json_schema": JSON_SCHEMA}, FACTS),
    "types": ({"founded": int, "ceo": str | None, "size": Literal["small", "large"]}, FACTS),
    "types with descriptions": (
        {"founded": (int, "year"), "tags": (list[str], "at most 3")},
        {"founded": 1, "tags": []},
    ),
    "descriptions": ({"ceo": "name of the CEO"}, {"ceo": "Jane"}),
    "a list": (["CEO name", "Year founded"], {"ceo_name": "Jane", "year_founded": "1949"}),
}
TEXTS = {
    "a text": "a short profile of the company",
    "a wrapped text": {"type": "text", "description": "a short profile"},
    "a bare text": {"type": "text"},
}


@pytest.mark.parametrize("name", FORMS)
def test_every_form_of_columns_comes_back_as_columns(name):
    """Models, JSON Schemas, mappings and lists: one column per field, in the schema's order, with its answer."""
    schema, told = FORMS[name]
    with pf.offline(answers={"Acme": told}, latency=0) as sim:
        out = COMPANY.parallel.enrich(schema)
    assert out.columns.tolist() == ["company", *told, "parallel_status", "parallel_error"]
    cells = out.iloc[0][list(told)].to_dict()
    assert {name: cell if isinstance(cell, list) or pd.notna(cell) else None for name, cell in cells.items()} == told
    assert out["parallel_status"].tolist() == ["completed"]
    assert sim.counts.refused == 0


def test_forms_of_one_meaning_are_one_job(tmp_path):
    """The same fields as types, as JSON Schema and wrapped are one job: what was answered for one counts for all."""
    same = {"founded": int, "size": Literal["small", "large"]}
    schema = {
        "type": "object",
        "properties": {"founded": {"type": "integer"}, "size": {"enum": ["small", "large"], "type": "string"}},
        "required": ["founded", "size"],
    }
    with pf.offline(answers={"Acme": FACTS}, latency=0) as sim:
        COMPANY.parallel.enrich(same, checkpoint=tmp_path)
        COMPANY.parallel.enrich(schema, checkpoint=tmp_path)
        COMPANY.parallel.enrich({"type": "json", "json_schema": schema}, checkpoint=tmp_path)
    assert sim.counts.runs == 1


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_is_one_column_of_text(name):
    """A description alone asks for a text, which comes back in the column `output`."""
    with pf.offline(answers={"Acme": "Acme makes everything."}, latency=0) as sim:
        out = COMPANY.parallel.enrich(TEXTS[name], prefix="p_")
    assert out["p_output"].tolist() == ["Acme makes everything."]
    assert out["p_parallel_status"].tolist() == ["completed"]
    assert sim.counts.refused == 0


@pytest.mark.parametrize("schema", ["auto", {"type": "auto"}])
def test_auto_is_one_column_of_whatever_came(schema):
    """With "auto" the service chooses, and its answer stands as it is in the column `output`."""
    told = {"industry": "mining", "sites": ["a", "b"]}
    with pf.offline(answers={"Acme": told}, latency=0):
        out = COMPANY.parallel.enrich(schema)
    assert out["output"].tolist() == [told]
    assert out["parallel_status"].tolist() == ["completed"]


def test_made_up_answers_fit_their_schema():
    """What the simulator makes up fits every form, so that a try without a key shows typed columns."""
    with pf.offline(latency=0):
        for schema, _ in FORMS.values():
            assert COMPANY.parallel.enrich(schema)["parallel_status"].tolist() == ["completed"]


BROKEN = {
    "a text for a number": ({"founded": "around 1950"}, "founded", "around 1950"),
    "half a year": ({"founded": 1949.5}, "founded", "1949.5"),
    "a boolean for a number": ({"founded": True}, "founded", "true"),
    "a year before the minimum": ({"founded": 12}, "founded", "12"),
    "an unknown choice": ({"size": "huge"}, "size", "huge"),
    "a number for a text": ({"ceo": 7}, "ceo", "7"),
    "null where none may be": ({"founded": None}, "founded", "null"),
    "a date that is none": ({"day": "2024-02-30"}, "day", "2024-02-30"),
    "a text for a list": ({"tags": "abc"}, "tags", "abc"),
    "a list of numbers": ({"tags": ["a", 3]}, "tags", "3"),
    "more than 64 bits": ({"count": 1e30}, "count", "1e+30"),
}


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("backend", ["numpy_nullable", "pyarrow"])
def test_a_broken_field_is_missing_and_told(name, backend):
    """A field that breaks the schema makes its row invalid, is missing and reported raw; the other fields stay."""
    schema = {
        "founded": {"type": "integer", "minimum": 1600},
        "ceo": str | None,
        "size": Literal["small", "large"],
        "day": dt.date,
        "tags": list[str],
        "count": int,
    }
    whole = {"founded": 1949, "ceo": "Jane", "size": "small", "day": "2024-02-29", "tags": ["a"], "count": 1}
    changed, column, shown = BROKEN[name]
    df = pd.DataFrame({"company": ["Acme", "Globex"]})
    with pf.offline(answers={"Acme": whole | changed, "Globex": whole}, latency=0):
        out = df.parallel.enrich(schema, dtype_backend=backend)
    assert out["parallel_status"].tolist() == ["invalid", "completed"]
    assert pd.isna(out[column].iloc[0])
    assert out[[name for name in whole if name != column]].notna().all(axis=None)
    assert out.iloc[1].drop("parallel_error").notna().all()
    told = out["parallel_error"].iloc[0]
    assert told.startswith(f"{column}")
    assert shown in told


@pytest.mark.parametrize(
    ("how", "status"), [("type", "invalid"), ("null", "invalid"), ("missing", "invalid"), ("empty", "invalid")]
)
def test_answers_the_service_broke_are_invalid(how, status):
    """A field of another type, null, a missing field, an empty answer: invalid, and the error names the column."""
    with pf.offline(latency=0, faults=[faults.break_answers(how=how)]):
        out = COMPANY.parallel.enrich({"founded": int, "ceo": str})
    assert out["parallel_status"].tolist() == [status]
    assert "founded" in out["parallel_error"].iloc[0]


def test_a_field_nobody_asked_for_changes_nothing():
    """An answer with one field more is complete; the field is not made a column."""
    with pf.offline(latency=0, faults=[faults.break_answers(how="extra")]):
        out = COMPANY.parallel.enrich({"founded": int, "ceo": str})
    assert out["parallel_status"].tolist() == ["completed"]
    assert "unexpected" not in out.columns


def test_invalid_rows_are_not_bought_again(tmp_path):
    """An answer that broke its schema was paid for and stays; a later call does not ask again by itself."""
    with pf.offline(latency=0, faults=[faults.break_answers()]) as sim:
        for _ in range(2):
            out = COMPANY.parallel.enrich({"founded": int}, checkpoint=tmp_path)
            assert out["parallel_status"].tolist() == ["invalid"]
    assert sim.counts.runs == 1


def test_raw_answers_are_stored_so_that_dtypes_can_change(tmp_path):
    """Another dtype_backend or prefix re-reads what is stored and buys nothing."""
    with pf.offline(answers={"Acme": FACTS}, latency=0) as sim:
        COMPANY.parallel.enrich(Company, checkpoint=tmp_path)
        out = COMPANY.parallel.enrich(Company, checkpoint=tmp_path, dtype_backend="pyarrow", prefix="x_")
    assert str(out["x_founded"].dtype) == "int64[pyarrow]"
    assert sim.counts.runs == 1


@pytest.mark.parametrize("ending", ["cancel_runs", "require_action", "stick_runs"])
def test_runs_that_end_otherwise_have_a_status(ending):
    """Cancelled runs say so; runs that wait for an action or never end are pending once the time is up."""
    with pf.offline(latency=0, speed=40, faults=[getattr(faults, ending)()]) as sim:
        out = COMPANY.parallel.enrich({"founded": int}, timeout=40)
    expected = "cancelled" if ending == "cancel_runs" else "pending"
    assert out["parallel_status"].tolist() == [expected]
    assert out["founded"].isna().all()
    assert sim.counts.runs == 1

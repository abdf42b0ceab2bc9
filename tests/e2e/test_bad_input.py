"""Wrong input is an error at once: its class, names and numbers, and that nothing was sent."""

from __future__ import annotations

import datetime as dt
import decimal
import re

import pandas as pd
import pytest

import parallel_frames as pf
from parallel_frames.errors import (
    AuthenticationError,
    ConfigurationError,
    CreditError,
    InputError,
    ParallelFramesError,
    ProtocolError,
    RejectedError,
    SchemaError,
    UnavailableError,
    UnknownColumnError,
)
from parallel_frames.simulator import Simulator, faults

SCHEMA = {"name": str}


@pytest.fixture
def df():
    """Two companies."""
    return pd.DataFrame({"company": ["Acme", "Globex"], "website": ["acme.com", None]}, index=["a", "b"])


@pytest.fixture
def sim():
    """Start a simulator that must not be asked for anything."""
    with pf.offline(latency=0) as sim:
        yield sim


def refusal(sim, kind, call):
    """Return the message of a call that must be refused before anything is sent."""
    with pytest.raises(kind) as caught:
        call()
    assert sim.counts.requests == 0
    assert isinstance(caught.value, (ParallelFramesError, TypeError))
    return str(caught.value)


@pytest.mark.parametrize(
    ("inputs", "where"),
    [(["compny"], "inputs"), ({"name": "compny"}, "inputs"), ("Research {compny}", "template"), ([3], "inputs")],
)
def test_an_unknown_column_is_named_beside_those_there_are(df, sim, inputs, where):
    """A column that is not there is an UnknownColumnError, a KeyError too, that lists the columns."""
    said = refusal(sim, UnknownColumnError, lambda: df.parallel.enrich(SCHEMA, inputs=inputs))
    assert where in said
    assert ("'compny'" in said) or ("3" in said)
    assert "'company', 'website'" in said
    assert not said.startswith(("'", '"'))
    with pytest.raises(KeyError):
        df.parallel.enrich(SCHEMA, inputs=inputs)


def test_a_text_that_is_neither_column_nor_template_is_refused(df, sim):
    """A misspelt column as a bare text is refused, with the columns there are."""
    said = refusal(sim, InputError, lambda: df.parallel.enrich(SCHEMA, inputs="compny"))
    assert "'compny'" in said
    assert "'company', 'website'" in said


@pytest.mark.parametrize("cell", [b"bytes", {1, 2}, object(), 1 + 2j], ids=lambda cell: type(cell).__name__)
def test_a_cell_that_cannot_travel_is_named(df, sim, cell):
    """A cell without JSON is refused with its column and its row."""
    df["bad"] = pd.Series(["fine", cell], index=df.index, dtype=object)
    said = refusal(sim, InputError, lambda: df.parallel.enrich(SCHEMA))
    assert "'bad'" in said
    assert re.search(r"row 1\b|'b'", said), said


def nested(depth):
    """Return a schema with that many objects in each other, the root included."""
    schema = {"type": "string"}
    for _ in range(depth):
        schema = {"type": "object", "properties": {"in": schema}}
    return schema


def of(properties):
    """Return a schema of these properties."""
    return {"type": "object", "properties": properties}


LIMITS = {
    "nesting": (nested(6), "nesting", ["5", "6", "properties.in"]),
    "properties": (of({f"p{n}": {"type": "string"} for n in range(101)}), "properties", ["100", "101"]),
    "enum values": (of({"x": {"enum": [f"{n}" for n in range(501)]}}), "enum_values", ["500", "501"]),
    "enum characters": (
        of({"x": {"enum": [f"{n:040}" for n in range(251)]}}),
        "enum_characters",
        ["250", "251", "7,500", "10,040", "properties.x"],
    ),
    "characters": (of({"x": {"type": "string", "description": "d" * 15_000}}), "spec_length", ["15,000", "15,1"]),
    "no properties": ({"type": "object", "properties": {}}, "root_properties", ["root"]),
    "null alone": (of({"x": {"type": "null"}}), "null_alone", ["properties.x"]),
}


@pytest.mark.parametrize("name", LIMITS)
def test_a_schema_over_a_limit_names_rule_path_limit_and_value(df, sim, name):
    """Each limit of the service is checked before anything is sent; the message has rule, path, limit and value."""
    schema, rule, told = LIMITS[name]
    said = refusal(sim, SchemaError, lambda: df.parallel.enrich(schema))
    assert f"({rule})" in said
    for part in told:
        assert part in said, said


@pytest.mark.parametrize("schema", [{}, [], "", "  ", None, 3, {"x": None}, ["a", "A"], {"type": "json"}, {"x": ()}])
def test_what_is_no_schema_is_a_schema_error(df, sim, schema):
    """Whatever cannot be read as a schema is refused as one."""
    refusal(sim, SchemaError, lambda: df.parallel.enrich(schema))


def test_a_row_that_is_too_long_is_named(df, sim):
    """Spec and input over 25,000 characters: the row, its label and the sizes are named; at the limit it passes."""
    df.loc["b", "website"] = "é" * 25_000
    said = refusal(sim, InputError, lambda: df.parallel.enrich(SCHEMA))
    size = len('{"company":"Globex","website":""}') + 25_000
    assert "Row 1 (index 'b')" in said
    assert f"{size:,}" in said
    assert "25,000" in said
    spec = int(re.search(r"spec's ([\d,]+)", said)[1].replace(",", ""))
    df.loc["b", "website"] = "é" * (25_000 - spec - (size - 25_000))
    assert df.parallel.enrich(SCHEMA)["parallel_status"].eq("completed").all()


def test_schemas_that_are_too_long_together_are_refused(df, sim):
    """Schema and input schema share one limit of 15,000 characters."""
    long = {"company": "d" * 8_000}
    said = refusal(sim, SchemaError, lambda: df.parallel.enrich({"name": "d" * 8_000}, input_schema=long))
    assert "15,000" in said
    assert "16," in said


@pytest.mark.parametrize("name", ["company", "website"])
def test_an_output_named_like_a_column_is_refused(df, sim, name):
    """A column of the schema that the frame has already is named, with what to type."""
    said = refusal(sim, InputError, lambda: df.parallel.enrich({name: str}))
    assert f"'{name}'" in said
    assert "if_exists='overwrite'" in said
    assert "prefix=" in said


@pytest.mark.parametrize("name", ["parallel_status", "parallel_error"])
def test_an_output_named_like_a_status_column_is_refused(df, sim, name):
    """A column of the schema may have a status column's name only without status columns."""
    said = refusal(sim, InputError, lambda: df.parallel.enrich({name: str}))
    assert name in said
    assert "status=False" in said
    assert name in df.parallel.enrich({name: str}, status=False)


def test_status_columns_that_nothing_explains_stop_a_second_question(df, sim):
    """Where attrs are lost, nothing says whose the status columns are: a second question needs names, and says so."""
    out = df.parallel.enrich(SCHEMA)
    out.attrs = {}
    before = sim.counts.requests
    with pytest.raises(InputError, match=r"'parallel_status', 'parallel_error'.*prefix=.*status='\.\.\.'"):
        out.parallel.enrich({"size": int}, inputs=["company"])
    assert sim.counts.requests == before


WRONG = {
    "processor none": ({"processor": None}, "processor=None"),
    "processor empty": ({"processor": " "}, "processor=' '"),
    "on_error": ({"on_error": "rais"}, "'keep', 'raise'"),
    "if_exists": ({"if_exists": "append"}, "'error', 'fill', 'overwrite', 'suffix'"),
    "on_mismatch": ({"on_mismatch": True}, "'error', 'new'"),
    "dtype_backend": ({"dtype_backend": "numpy"}, "'numpy_nullable', 'pyarrow'"),
    "refresh": ({"refresh": "yes"}, "refresh='yes'"),
    "dedupe": ({"dedupe": 1}, "dedupe=1"),
    "status": ({"status": None}, "status=None"),
    "prefix": ({"prefix": None}, "prefix=None"),
    "timeout text": ({"timeout": "60 apples"}, "timeout='60 apples'"),
    "timeout negative": ({"timeout": -1}, "timeout=-1"),
    "timeout nan": ({"timeout": float("nan")}, "timeout=nan"),
    "timeout bool": ({"timeout": True}, "timeout=True"),
    "timeout negative delta": ({"timeout": dt.timedelta(-1)}, "timeout="),
    "checkpoint number": ({"checkpoint": 3}, "checkpoint=3"),
    "checkpoint empty": ({"checkpoint": ""}, "checkpoint=''"),
    "checkpoint address": ({"checkpoint": "nowhere://bucket/x"}, "nowhere"),
    "group_id number": ({"group_id": 3}, "group_id=3"),
    "group_id empty": ({"group_id": ""}, "group_id=''"),
    "refresh and group_id": ({"refresh": True, "group_id": "tgrp_1"}, "pass one of them"),
    "input_schema auto": ({"input_schema": "auto"}, "input_schema"),
    "inputs empty": ({"inputs": []}, "No column is selected"),
    "inputs number": ({"inputs": 3.5}, "inputs=3.5"),
    "options text": ({"options": "core"}, "options='core'"),
    "options unknown": ({"options": {"source_polcy": {}}}, "source_polcy"),
    "options type": ({"options": {"webhook": "https://example.com"}}, "options['webhook'] is a str"),
    "options domains": ({"options": {"source_policy": {"include_domains": "a.com"}}}, "include_domains"),
    "options too many domains": (
        {"options": {"source_policy": {"include_domains": ["a"] * 150, "exclude_domains": ["b"] * 51}}},
        "201 domains; the service takes 200",
    ),
    "metadata list": ({"metadata": ["company"]}, "metadata=['company']"),
    "metadata name": ({"metadata": {"m" * 17: "company"}}, "16 characters"),
    "metadata reserved": ({"metadata": {"row": "company"}}, "'row' is one of ours"),
    "metadata column": ({"metadata": {"id": "ident"}}, "'ident'"),
    "metadata columns": ({"metadata": {"id": ["company"]}}, "['company']"),
    "client": ({"client": "https://example.com"}, "client='https://example.com'"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_option_is_an_input_error_that_shows_it(df, sim, name):
    """A value that an option cannot take, or two options that contradict each other, are refused by name."""
    options, told = WRONG[name]
    assert told in refusal(sim, InputError, lambda: df.parallel.enrich(SCHEMA, **options))


def test_metadata_that_is_too_long_is_named(df, sim):
    """A metadata value over 512 characters is refused with its name and the row's label."""
    df["note"] = ["short", "n" * 513]
    said = refusal(sim, InputError, lambda: df.parallel.enrich(SCHEMA, metadata={"note": "note"}, inputs=["company"]))
    assert "'note'" in said
    assert "'b'" in said
    assert "513" in said


def test_an_option_that_does_not_exist_is_a_type_error_that_helps(df, sim):
    """A misspelt option is a TypeError, as with any function, that names the nearest one or all of them."""
    assert "did you mean 'processor'?" in refusal(sim, TypeError, lambda: df.parallel.enrich(SCHEMA, procesor="core"))
    assert "on_mismatch" in refusal(sim, TypeError, lambda: df.parallel.enrich(SCHEMA, xyzzy="core"))
    assert "timeout" in refusal(sim, TypeError, lambda: df.parallel.collect("tgrp_1", SCHEMA, timeout=3))


def test_options_are_named(df, sim):
    """Everything after the schema is keyword-only; a value without a name is met with the name that is meant."""
    for call, meant in (
        (lambda: df.parallel.enrich(SCHEMA, "core"), "`enrich(schema, processor='core')`?"),
        (lambda: pf.plan(df, SCHEMA, "core"), "`plan(df, schema, processor='core')`?"),
        (lambda: df.parallel.preview(SCHEMA, 3), "`preview(schema, n=3)`?"),
        (lambda: df.parallel.compare(SCHEMA, ["lite", "pro"]), "`compare(schema, processors=['lite', 'pro'])`?"),
        (lambda: pf.enrich_parquet("in", "out", SCHEMA, "core"), "(source, target, schema, processor='core')`?"),
    ):
        assert refusal(sim, TypeError, call).endswith(meant)
    assert "did you mean 'latency'?" in refusal(sim, TypeError, lambda: pf.offline(latncy=0))


@pytest.mark.parametrize(
    "frame", [None, "df", [1], pd.Series([1]), {"company": ["Acme"]}], ids=lambda f: type(f).__name__
)
def test_what_is_no_frame_is_refused(sim, frame):
    """Only a DataFrame can be enriched; what was given instead is named."""
    name = "is None" if frame is None else type(frame).__name__
    assert name in refusal(sim, InputError, lambda: pf.enrich(frame, SCHEMA))


def test_without_a_key_nothing_begins(df):
    """A missing key is a ConfigurationError that names the variable and the way to try without one."""
    with pytest.raises(ConfigurationError) as caught:
        df.parallel.enrich(SCHEMA)
    assert "PARALLEL_API_KEY" in str(caught.value)
    assert "pf.offline()" in str(caught.value)


@pytest.mark.parametrize(
    "address", ["http://example.com", "ftp://example.com", "example.com", "https://user:secret-1@example.com"]
)
def test_an_unusable_address_is_refused_and_shows_no_secret(address):
    """An address that would send the key in clear, or is none, is a ConfigurationError without any secret in it."""
    with pytest.raises(ConfigurationError) as caught:
        pf.Client(api_key="secret-2", base_url=address)
    assert "secret-" not in str(caught.value)


def test_a_wrong_key_is_an_error_and_not_failed_rows(df, client_of):
    """401 is an AuthenticationError at once, with what to check; the key is nowhere in it."""
    with Simulator(latency=0, api_key="right") as sim:
        with pytest.raises(AuthenticationError, match="401") as caught:
            df.parallel.enrich(SCHEMA, client=client_of(sim, api_key="wrong-and-secret"))
        assert sim.counts.posts == 0
    assert "PARALLEL_API_KEY" in str(caught.value)
    assert "wrong-and-secret" not in repr(caught.value) + str(caught.value)
    assert caught.value.status == 401


def test_a_refused_processor_is_an_error(df):
    """403 is an AuthenticationError that speaks of the processor; nothing was created."""
    with pf.offline(latency=0, refused_processors=["ultra8x"]) as sim:
        with pytest.raises(AuthenticationError, match=r"403.*ultra8x") as caught:
            df.parallel.enrich(SCHEMA, processor="ultra8x")
        assert sim.counts.runs == 0
    assert caught.value.group_id == sim.group_ids[0]


def test_no_credit_is_an_error_that_says_how_to_go_on(df, tmp_path):
    """402 with nothing in flight stops with what is safe; after topping up the same call completes, paid once."""
    with pf.offline(latency=0, credit=0.02, price=0.01, reserve=2.0) as sim:
        with pytest.raises(CreditError, match="402") as caught:
            pd.concat([df, df + "2", df + "3"]).parallel.enrich(SCHEMA, checkpoint=tmp_path)
        safety = caught.value.safety
        assert (safety.rows, safety.sent) == (6, sim.counts.runs)
        assert f"{safety.answered} of 6 rows are answered" in str(caught.value)
        assert "Run the same again to resume" in str(caught.value)
        assert str(tmp_path) in str(caught.value)
        sim.top_up(1.0)
        out = pd.concat([df, df + "2", df + "3"]).parallel.enrich(SCHEMA, checkpoint=tmp_path)
    assert out["parallel_status"].eq("completed").all()
    assert (sim.counts.runs, sim.counts.duplicates) == (6, 0)


def test_a_batch_in_doubt_is_not_said_to_be_billed(df, tmp_path, caplog):
    """Of a batch that may not have been created neither an error nor the next call says that it is under way."""
    lost = [faults.status(500, on="add_runs"), faults.status(401, on="list_runs")]
    with pf.offline(latency=0, speed=400, faults=lost) as sim:
        with pytest.raises(AuthenticationError, match="2 runs sent, of which 2 may not have been created") as caught:
            df.parallel.enrich(SCHEMA, checkpoint=tmp_path)
        assert "under way" not in str(caught.value)
        assert sim.counts.runs == 0
        sim.clear_faults()
        with caplog.at_level("INFO", logger="parallel_frames"):
            df.parallel.enrich(SCHEMA, checkpoint=tmp_path)
    assert "→ 0 runs · 2 runs in doubt, looked for first · " in caplog.text
    assert (sim.counts.runs, sim.counts.duplicates) == (2, 0)


@pytest.mark.parametrize(("code", "kind"), [(200, ProtocolError), (502, UnavailableError), (404, RejectedError)])
def test_a_server_that_is_not_the_service_is_told(df, code, kind):
    """A page of HTML instead of an answer is an error that shows what came, never a row's failure."""
    with pf.offline(latency=0, speed=100, faults=[faults.html(on="create_group", code=code)]) as sim:
        with pytest.raises(kind, match=r"(?i)html"):
            df.parallel.enrich(SCHEMA)
        assert sim.counts.runs == 0


def test_a_service_that_never_takes_a_batch_is_an_error_in_the_end(df, tmp_path):
    """A 502 to every batch proves nothing, so each is looked for; at last it is an error, and nothing was paid."""
    with pf.offline(latency=0, speed=400, faults=[faults.html(on="add_runs")]) as sim:
        with pytest.raises(UnavailableError, match="502") as caught:
            df.parallel.enrich(SCHEMA, checkpoint=tmp_path)
        assert "\nNo run was created, and nothing is paid. Once the cause is fixed, run" in str(caught.value)
        sim.clear_faults()
        assert df.parallel.enrich(SCHEMA, checkpoint=tmp_path)["parallel_status"].eq("completed").all()
    assert (sim.counts.runs, sim.counts.duplicates) == (2, 0)


def test_a_redirect_takes_neither_key_nor_rows_elsewhere(df):
    """A redirect is an error that names where it points, and it is not followed."""
    with pf.offline(latency=0, faults=[faults.redirect(on="create_group")]) as sim:
        with pytest.raises(ProtocolError, match="redirects are not followed"):
            df.parallel.enrich(SCHEMA)
        assert sim.counts.requests == 1


def test_a_group_that_is_not_there_is_an_error_and_never_a_new_group(df):
    """Going on with an unknown group is refused with its id; nothing is created instead."""
    with pf.offline(latency=0) as sim:
        with pytest.raises(RejectedError, match="tgrp_nobody") as caught:
            df.parallel.enrich(SCHEMA, checkpoint=None, group_id="tgrp_nobody")
        assert (sim.counts.groups, sim.counts.runs) == (0, 0)
    assert caught.value.status == 404


def test_every_refusal_is_of_one_tree():
    """All errors share one root, and those of bad input are ValueErrors as well."""
    assert issubclass(SchemaError, InputError)
    assert issubclass(InputError, ParallelFramesError)
    assert issubclass(InputError, ValueError)
    assert issubclass(UnknownColumnError, KeyError)


def test_unusual_cells_that_can_travel_do(df, sim):
    """Decimals, dates, times and nested values are sent as JSON; no cell is dropped silently."""
    df["odd"] = pd.Series([decimal.Decimal("1.10"), dt.date(2024, 1, 2)], index=df.index, dtype=object)
    df["nest"] = [{"a": [1, None]}, [float("nan")]]
    df.parallel.enrich(SCHEMA)
    assert [run.input["odd"] for run in sim.runs()] == ["1.10", "2024-01-02"]
    assert sim.runs()[0].input["nest"] == {"a": [1, None]}


@pytest.mark.parametrize("ask", [pf.report, pf.citations, pf.confidence, pf.low_confidence], ids=lambda f: f.__name__)
def test_what_is_no_frame_tells_nothing(ask):
    """A list that is asked for a report or for evidence is an error that says that it must be a frame."""
    with pytest.raises(
        InputError,
        match="an enriched DataFrame of pandas, and was given a list: pass the whole frame",
    ):
        ask([1])


async def asynchronous(row):
    """Await nothing."""


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"on_row": asynchronous}, "asynchronous"),
        ({"on_row": lambda: 1}, "cannot be called with one row"),
        ({"on_row": isinstance}, "cannot be called with one row"),
        ({"on_row": "print"}, "must be a function of one row"),
        ({"progress": "yes"}, "must be True, False or None"),
    ],
    ids=["asynchronous", "no argument", "two arguments", "text", "progress"],
)
def test_a_listener_that_cannot_listen_is_refused(df, sim, options, told):
    """What would fail at the first row, when it is paid for, is refused before anything is sent."""
    assert told in refusal(sim, InputError, lambda: df.parallel.enrich(SCHEMA, **options))


def test_whatever_takes_one_row_may_listen(df, sim):
    """Methods, built-in functions and classes are called with the row like any function."""
    heard = []
    for on_row in (heard.append, print, type, str.format):
        df.parallel.enrich(SCHEMA, on_row=on_row, progress=False)
    assert len(heard) == 2


@pytest.mark.parametrize(
    ("inputs", "input_schema", "said"),
    [
        (["company"], {"website": str}, "it describes 'website' and it does not describe 'company'"),
        (["company"], "a company", "it describes a text, and a row sends an object"),
        ("company", {"company": str}, "it describes an object, and a row sends the bare cell of a column"),
        ("about {company}", {"company": str}, "it describes an object, and a row sends a text"),
        (["company"], {"company": str}, None),
        ("about {company}", "a company", None),
        (["company"], "infer", None),
    ],
)
def test_an_input_schema_that_describes_something_else_is_a_warning(inputs, input_schema, said):
    """Other names, or another form, than a row sends are refused before anything is paid."""
    df = pd.DataFrame({"company": ["Acme"]})
    with pf.offline(latency=0):
        plan = df.parallel.plan({"ceo": str}, inputs=inputs, input_schema=input_schema)
    assert [said in finding.message for finding in plan.findings] == ([] if said is None else [True])


def test_a_frame_and_a_file_that_change_places_are_told_apart(tmp_path):
    """Each error names the function that takes the other one."""
    df = pd.DataFrame({"company": ["Acme"]})
    with pytest.raises(InputError, match=r"source is a DataFrame.*df\.parallel\.enrich"):
        pf.enrich_parquet(df, tmp_path / "out.parquet", SCHEMA)
    with pytest.raises(InputError, match=r"is a str: .*pf\.enrich_parquet"):
        pf.enrich("companies.csv", SCHEMA)


def test_a_processor_that_may_be_misspelt_is_named(caplog):
    """Names that the price table does not have are passed on, with the one that may be meant: the service decides."""
    with pf.offline(latency=0) as sim:
        df = pd.DataFrame({"company": ["Acme"]})
        with pytest.raises(RejectedError, match="Unknown processor 'bsae'") as caught:
            df.parallel.enrich(SCHEMA, processor="bsae", progress=False)
        assert str(caught.value).endswith("; did you mean 'base'?\nNo run was created, and nothing is paid.")
        with pytest.raises(InputError, match=r"is not known .*; did you mean 'base'\? Nothing was sent"):
            df.parallel.plan(SCHEMA, processor="bsae", max_cost=1)
        assert sim.counts.runs == 0
    assert "processor 'bsae' is not in the price table" in caplog.text
    assert "did you mean 'base'?" in caplog.text


def test_a_missing_key_for_a_simulator_nearby_says_that_any_will_do():
    """What a loopback address needs is any text."""
    with pytest.raises(ConfigurationError, match="PARALLEL_API_KEY=any"):
        pf.Client(base_url="http://127.0.0.1:8787")
    with pytest.raises(ConfigurationError) as caught:
        pf.Client()
    assert "=any" not in str(caught.value)

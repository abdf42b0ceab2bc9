"""What `lint` says of a schema, a processor and an input's schema: everything, in one order, without raising."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pandas as pd
import pytest
from pydantic import Field

from parallel_frames._job._lint import Findings, field_count_finding, lint
from parallel_frames._model import Finding
from parallel_frames._prices import price_of
from parallel_frames._schema import parse_schema
from parallel_frames.errors import InputError, SchemaError

WIDE = {f"field_{number}": (int, "a number") for number in range(11)}
ONE = {"a": (int, "a number")}


@dataclasses.dataclass
class Place:
    """Where something is."""

    lat: float
    long: float


def summary(found: Findings) -> list[tuple[str, str, str]]:
    """Return what findings are about."""
    return [(finding.severity, finding.rule, finding.path) for finding in found]


def test_nothing_to_say_is_said():
    """A schema without fault has no findings, and reads so."""
    found = lint({"ceo": "Full name of the CEO"})
    assert found == ()
    assert repr(found) == "no findings"
    assert "No findings" in found._repr_html_()


def test_every_error_is_a_finding_and_none_is_raised():
    """What `enrich` refuses, all of it at once, before the warnings."""
    schema = {"sources": list[str], "x": type(None), "y": {"enum": list(range(501))}}
    assert summary(lint(schema)) == [
        ("error", "null_alone", "properties.x"),
        ("error", "enum_values", "root"),
        ("warning", "basis_name", "properties.sources"),
        *(("warning", "description", f"properties.{name}") for name in schema),
    ]
    with pytest.raises(SchemaError):
        parse_schema(schema)


@dataclasses.dataclass
class Tree:
    left: Tree


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        (3, "3 (int) cannot be a schema"),
        ({}, "The schema is empty"),
        ({"ceo": bytes}, "ceo: an answer cannot have the type <class 'bytes'>"),
        (Tree, "properties.left: Tree contains itself"),
        ({"a": {"$ref": "#"}}, "'#' leads back to itself"),
    ],
    ids=repr,
)
def test_what_is_no_schema_is_an_error_too(schema: object, message: str):
    """A linter that stops at the first schema it cannot read would say nothing of the others."""
    (finding,) = lint(schema)
    assert (finding.severity, finding.rule, finding.path) == ("error", "schema", "root")
    assert message in finding.message
    assert "\n" not in repr(lint(schema))


def test_findings_read_a_line_each():
    """A finding is one line with severity, path, message and rule; errors come first."""
    found = lint({"sources": list[str], "x": type(None)})
    lines = repr(found).splitlines()
    assert lines[0].startswith("error    properties.x: null is allowed only inside a union")
    assert lines[0].endswith("(null_alone)")
    assert lines[1].startswith("warning  properties.sources: every answer's basis already carries 'sources'")
    assert found.errors == found[:1]
    assert isinstance(found.errors, Findings)


def test_findings_show_as_a_table_that_escapes():
    """A notebook shows each finding, and a column's name is text there, not markup."""
    shown = lint({"<b>sources</b>": object})._repr_html_()
    assert "<b>" not in shown
    assert "&lt;b&gt;sources" in shown
    assert "untyped" in shown


@pytest.mark.parametrize(("processor", "fields"), [("lite", 2), ("base", 5), ("base-fast", 5), ("core", 10)])
def test_a_processor_is_recommended_for_so_many_fields(processor: str, fields: int):
    """One more draws a warning with both numbers; the fast variant has the same."""
    assert lint(dict(list(WIDE.items())[:fields]), processor=processor) == ()
    (finding,) = lint(dict(list(WIDE.items())[: fields + 1]), processor=processor)
    assert (finding.severity, finding.rule, finding.path) == ("warning", "field_count", "root")
    assert f"{fields + 1} fields, and {processor!r} is recommended for about {fields}" in finding.message


def test_an_unknown_processor_is_a_warning_about_its_price():
    """Its recommendation is not known either, so fields are not counted."""
    (finding,) = lint(WIDE, processor="ultra16x")
    assert (finding.severity, finding.rule, finding.path) == ("warning", "price", "processor")
    assert "'ultra16x' is not in the price table of 20" in finding.message


@pytest.mark.parametrize("processor", ["", "  ", None, 3])
def test_a_processor_is_a_name(processor: Any):
    """Anything else is the caller's mistake, and no schema's."""
    with pytest.raises(InputError, match="must be a name such as 'base' or 'core'"):
        lint({"a": int}, processor=processor)


def test_the_count_is_of_fields():
    """Texts and whatever the service chooses have no fields to count; of an object each of its own counts."""
    price = price_of("lite")
    assert field_count_finding(parse_schema("A profile"), price) is None
    assert field_count_finding(parse_schema("auto"), price) is None
    assert field_count_finding(parse_schema({"a": {"x": int}, "b": list[str]}), price) is None
    for nested in ({"a": WIDE, "b": int | None}, {"a": list[Place], "b": Place | None}):
        found = field_count_finding(parse_schema(nested), price_of("lite"))
        assert found is not None
        assert f"{12 if nested['a'] is WIDE else 4} fields" in found.message
    assert isinstance(field_count_finding(parse_schema(WIDE), price), Finding)
    assert field_count_finding(parse_schema(WIDE), price_of("ultra16x")) is None


@pytest.mark.parametrize(
    ("input_schema", "rule", "path"),
    [
        ("auto", "input_schema", "input_schema"),
        ({"type": "auto"}, "input_schema", "input_schema"),
        (3, "schema", "input_schema"),
        ({"a": type(None)}, "null_alone", "input_schema.properties.a"),
    ],
    ids=repr,
)
def test_errors_of_the_input_say_that_they_are_of_the_input(input_schema: object, rule: str, path: str):
    """The path begins with the argument's name."""
    assert summary(lint(ONE, input_schema=input_schema)) == [("error", rule, path)]


@pytest.mark.parametrize("input_schema", [None, "infer", "A company's name", {"source": object, "tags": list}])
def test_an_input_is_not_judged_as_an_answer(input_schema: object):
    """Warnings about better answers do not concern inputs: a column may be called source."""
    assert lint(ONE, input_schema=input_schema) == ()


def test_two_schemas_may_be_too_long_together():
    """Each is short enough by itself, and the service counts both."""
    half = {"a": (str, "x" * 9_000)}
    assert lint(half) == ()
    (finding,) = lint(half, input_schema=half)
    assert (finding.severity, finding.rule) == ("error", "spec_length")
    assert "schema and input_schema together make 18," in finding.message


def rules(found: Findings, rule: str) -> list[str]:
    """Return where a rule was broken."""
    return [finding.path for finding in found if finding.rule == rule]


class Office(TypedDict):
    """Where they work."""

    city: str
    rooms: Annotated[int, Field(description="how many")]


def test_a_field_without_a_description_is_named():
    """Nested fields and those of list elements too; limits that are written into the wire schema are no description."""
    schema = {"ceo": "Full name of the CEO", "founded": int, "offices": (list[Office], "all of them")}
    assert rules(lint(schema), "description") == [
        "properties.founded",
        "properties.offices.items.properties.city",
    ]
    optional = {"office": (Office | None, "headquarters")}
    assert rules(lint(optional), "description") == ["properties.office.properties.city"]
    limited = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 3}}}
    assert "3" in parse_schema(limited).wire["json_schema"]["properties"]["n"]["description"]
    assert rules(lint(limited), "description") == ["properties.n"]
    assert rules(lint("A profile of the company"), "description") == []
    assert "description" not in [finding.rule for finding in parse_schema(schema).findings]  # each call would show it


@pytest.mark.parametrize(
    ("schema", "path", "instead"),
    [
        ({"founded int": "year of foundation"}, "properties.founded int", '{"founded": (int, "what to find")}'),
        ({"founded (int)": "year"}, "properties.founded (int)", '{"founded": (int, "what to find")}'),
        ({"day (date)": "when"}, "properties.day (date)", '{"day": (datetime.date, "what to find")}'),
        ({"tags list[str]": "topics"}, "properties.tags list[str]", '{"tags": (list[str], "what to find")}'),
        (["founded int: year"], "properties.founded_int_year", '{"founded": (int, "what to find")}'),
        (["founded (int): year"], "properties.founded_int_year", '{"founded": (int, "what to find")}'),
        ("founded int: year of foundation", "root", '{"founded": (int, "what to find")}'),
        ("founded: int", "root", '{"founded": (int, "what to find")}'),
    ],
    ids=repr,
)
def test_a_name_with_a_type_in_it_is_a_text_by_mistake(schema: object, path: str, instead: str):
    """The warning says what to write; each call shows it too, before it pays for a text."""
    (finding,) = (finding for finding in lint(schema) if finding.rule == "shorthand")
    assert (finding.severity, finding.path) == ("warning", path)
    assert instead in finding.message
    assert finding in parse_schema(schema).findings


@pytest.mark.parametrize(
    "schema",
    [
        {"start date": "first day of trading", "phone number": "with country code", "full text": "of the imprint"},
        {"founded int": (int, "year")},
        ["CEO: full name", "founding date: in ISO 8601"],
        "The date: when it was founded",
        "A summary: what the company does",
    ],
    ids=repr,
)
def test_names_that_are_words_are_no_mistake(schema: object):
    """A column may be a start date, and what has its type already is what it says."""
    assert rules(lint(schema), "shorthand") == []


def test_excluded_domains_beside_included_ones_are_ignored_by_the_service():
    """The warning names the second list; either alone draws none, and a call shows it too."""
    both = {"include_domains": ["a.example"], "exclude_domains": ["b.example"]}
    assert summary(lint(ONE, options={"source_policy": both})) == [
        ("warning", "source_policy", "options.source_policy.exclude_domains")
    ]
    for name in both:
        assert lint(ONE, options={"source_policy": {**both, name: []}}) == ()
    plan = pd.DataFrame({"x": [1]}).parallel.plan(ONE, options={"source_policy": both}, checkpoint=None)
    assert [finding.rule for finding in plan.findings] == ["source_policy"]


def test_more_than_ten_mcp_servers_are_refused():
    """Ten are taken; with eleven a call stops before anything is sent, and lint says so as an error."""
    servers = [{"type": "url", "name": f"s{n}", "url": f"https://{n}.example"} for n in range(11)]
    assert lint(ONE, options={"mcp_servers": servers[:10]}) == ()
    assert summary(lint(ONE, options={"mcp_servers": servers})) == [("error", "options", "options")]
    with pytest.raises(InputError, match=r"names 11 mcp_servers; the service takes 10\. Nothing was sent\."):
        pd.DataFrame({"x": [1]}).parallel.plan(ONE, options={"mcp_servers": servers}, checkpoint=None)


def test_options_that_are_none_are_an_error_too():
    """What a call would refuse is a finding here."""
    (finding,) = lint(ONE, options={"source_polcy": {}})
    assert (finding.severity, finding.rule) == ("error", "options")
    assert "source_polcy" in finding.message


def test_rules_are_spelled_in_one_way():
    """Small letters and underscores, so that a rule can be looked for."""
    import parallel_frames

    sources = Path(parallel_frames.__file__).parent
    names = set()
    stated = r'(?:"error", |"warning", |_error\(|_warning\()"([^"]+)"'
    for path in (sources / "_schema" / "_lint.py", sources / "_job" / "_lint.py"):
        names |= set(re.findall(stated, path.read_text(encoding="utf-8")))
    assert {"basis_name", "type_as_text", "description", "shorthand", "source_policy"} <= names
    assert [name for name in names if not re.fullmatch(r"[a-z_]+", name)] == []

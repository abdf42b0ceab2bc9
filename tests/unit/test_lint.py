"""What `lint` says of a schema, a processor and an input's schema: everything, in one order, without raising."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from parallel_frames._job._lint import Findings, field_count_finding, lint
from parallel_frames._model import Finding
from parallel_frames._prices import price_of
from parallel_frames._schema import parse_schema
from parallel_frames.errors import InputError, SchemaError

WIDE = {f"field_{number}": int for number in range(11)}


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
    with pytest.raises(InputError, match="is not a name such as 'base' or 'core'"):
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
    assert summary(lint({"a": int}, input_schema=input_schema)) == [("error", rule, path)]


@pytest.mark.parametrize("input_schema", [None, "infer", "A company's name", {"source": object, "tags": list}])
def test_an_input_is_not_judged_as_an_answer(input_schema: object):
    """Warnings about better answers do not concern inputs: a column may be called source."""
    assert lint({"a": int}, input_schema=input_schema) == ()


def test_two_schemas_may_be_too_long_together():
    """Each is short enough by itself, and the service counts both."""
    half = {"a": (str, "x" * 9_000)}
    assert lint(half) == ()
    (finding,) = lint(half, input_schema=half)
    assert (finding.severity, finding.rule) == ("error", "spec_length")
    assert "schema and input_schema together make 18," in finding.message

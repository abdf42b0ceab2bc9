"""Normal form, wire schema, identity, and the service's limits."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parallel_frames._limits import FORBIDDEN_KEYWORDS
from parallel_frames._schema import lint_schema, parse_schema
from parallel_frames._schema._normal import normalise
from parallel_frames._schema._wire import identity_of, wire_node
from parallel_frames.errors import SchemaError

NULL = {"type": "null"}


def rooted(**properties: Any) -> dict[str, Any]:
    """Return an object that requires its properties."""
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def refusal(schema: object) -> str:
    """Return the message of the error for a schema."""
    with pytest.raises(SchemaError) as caught:
        parse_schema(schema)
    return str(caught.value)


@pytest.mark.parametrize(
    ("raw", "normal"),
    [
        ({"type": ["string", "null"]}, {"anyOf": [{"type": "string"}, NULL]}),
        ({"type": ["null", "string"], "maxLength": 3}, {"anyOf": [{"type": "string", "maxLength": 3}, NULL]}),
        ({"type": "string", "nullable": True}, {"anyOf": [{"type": "string"}, NULL]}),
        ({"oneOf": [NULL, {"type": "string"}]}, {"anyOf": [{"type": "string"}, NULL]}),
        (
            {"anyOf": [{"type": "integer", "description": "d"}, NULL]},
            {"anyOf": [{"type": "integer"}, NULL], "description": "d"},
        ),
        ({"anyOf": [{"type": "integer"}, NULL], "minimum": 0}, {"anyOf": [{"type": "integer", "minimum": 0}, NULL]}),
        (
            {"anyOf": [{"anyOf": [{"type": "integer"}, NULL]}, {"type": "string"}]},
            {"anyOf": [{"type": "integer"}, {"type": "string"}, NULL]},
        ),
        ({"anyOf": [{"const": "a"}, {"const": "b"}, NULL]}, {"anyOf": [{"type": "string", "enum": ["a", "b"]}, NULL]}),
        ({"anyOf": [{}, NULL]}, {}),
        ({"anyOf": [{"type": "string"}, {"type": "string", "title": "T"}]}, {"type": "string"}),
        ({"const": 3}, {"type": "integer", "enum": [3]}),
        ({"enum": ["a", None]}, {"anyOf": [{"type": "string", "enum": ["a"]}, NULL]}),
        ({"enum": [None]}, NULL),
        ({"enum": [1, True, "1"]}, {"enum": [1, True, "1"]}),
        ({"enum": [1, 2.5]}, {"type": "number", "enum": [1, 2.5]}),
        ({"type": "number", "enum": [1.0, 1]}, {"type": "number", "enum": [1]}),
        ({"enum": ["a", "a"]}, {"type": "string", "enum": ["a"]}),
        (
            {"allOf": [{"type": "string", "description": "in"}], "description": "out"},
            {"type": "string", "description": "out"},
        ),
        ({"type": "integer", "minLength": 3, "format": "int32"}, {"type": "integer"}),
        ({"type": "array", "minItems": 0, "uniqueItems": False, "items": {}}, {"type": "array"}),
        ({"type": "integer", "minimum": 0.0}, {"type": "integer", "minimum": 0}),
        ({"type": "number", "minimum": 1, "exclusiveMinimum": True}, {"type": "number", "exclusiveMinimum": 1}),
        ({"type": "number", "maximum": 1, "exclusiveMaximum": False}, {"type": "number", "maximum": 1}),
        ({"minimum": 0}, {"type": "number", "minimum": 0}),
        ({"items": True}, {"type": "array"}),
        (
            {"type": "string", "title": "T", "default": "x", "examples": ["a"], "x-y": 1},
            {"type": "string", "examples": ["a"]},
        ),
        (
            {"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}]},
            {
                "type": "array",
                "items": {"anyOf": [{"type": "string"}, {"type": "integer"}]},
                "prefixItems": [{"type": "string"}, {"type": "integer"}],
            },
        ),
        ({"prefixItems": [{"type": "string"}] * 2}, {"type": "array", "items": {"type": "string"}}),
        (
            {"type": "object", "additionalProperties": {"type": "string"}},
            {"type": "object", "additionalProperties": {"type": "string"}},
        ),
        ({"type": "object", "additionalProperties": True}, {"type": "object"}),
    ],
    ids=repr,
)
def test_every_spelling_has_one_normal_form(raw: dict[str, Any], normal: dict[str, Any]) -> None:
    """Spellings of one meaning become one, and a normal form stays as it is."""
    assert normalise(raw) == normal
    assert normalise(normal) == normal


def test_the_order_of_a_tuple_is_told() -> None:
    """The service's arrays have one kind of element, so the description has their order."""
    wire = wire_node(normalise({"prefixItems": [{"type": "integer"}, {"type": "string"}]}))
    assert wire["description"] == (
        'Its elements must fit these JSON Schemas, in this order: [{"type": "integer"}, {"type": "string"}]'
    )
    assert "prefixItems" not in wire


def test_objects_are_closed_and_require_everything_at_every_depth() -> None:
    """A property that is not required is a union with null, and nothing else may come."""
    inner = {
        "type": "object",
        "properties": {"b": {"type": "string", "description": "d"}},
        "additionalProperties": True,
    }
    normal = normalise({"properties": {"a": {"type": "array", "items": inner}}, "required": ["a"]})
    assert normal == rooted(
        a={
            "type": "array",
            "items": rooted(b={"anyOf": [{"type": "string"}, NULL], "description": "d"}),
        }
    )


def test_references_are_followed_wherever_they_point() -> None:
    """Escaped names, list positions and definitions of definitions are inlined."""
    document = {
        "type": "object",
        "properties": {
            "a": {"$ref": "#/$defs/x~1y"},
            "b": {"$ref": "#/definitions/two%20words/anyOf/0", "description": "own"},
        },
        "required": ["a", "b"],
        "$defs": {"x/y": {"$ref": "#/$defs/z"}, "z": {"type": "integer", "minimum": 1}},
        "definitions": {"two words": {"anyOf": [{"type": "string", "description": "theirs"}]}},
    }
    assert normalise(document)["properties"] == {
        "a": {"type": "integer", "minimum": 1},
        "b": {"type": "string", "description": "own"},
    }


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ({"$ref": "#/$defs/none"}, "properties.x: $ref '#/$defs/none' points at nothing"),
        ({"$ref": "https://example.com/s.json"}, "lies outside the schema"),
        ({"$ref": "#"}, "properties.x.properties.x: '#' leads back to itself"),
        ({"type": "text"}, "the type must be one of string, integer, number, boolean, array, object, null, not 'text'"),
        ({"type": []}, "an empty list of types"),
        ({"enum": []}, "a list of at least one value"),
        ({"type": "string", "enum": [1]}, "holds values that are not string"),
        ({"type": "string", "pattern": "("}, "the pattern '(' must be a regular expression of Python"),
        ({"type": "string", "minLength": -1}, "minLength cannot be -1"),
        ({"type": "integer", "minimum": "0"}, "minimum cannot be '0'"),
        ({"type": "number", "multipleOf": 0}, "multipleOf cannot be 0"),
        ({"type": "integer", "minimum": 10**400}, "properties.x: minimum holds a number of more than 308 digits"),
        ({"type": "number", "multipleOf": -(10**400)}, "properties.x: multipleOf holds a number of more than"),
        ({"type": "number", "maximum": float("inf")}, "properties.x: maximum cannot be inf"),
        ({"type": "string", "maxLength": 10**400}, "properties.x: maxLength holds a number of more than 308 digits"),
        ({"type": "array", "items": {"enum": [10**400]}}, "properties.x.items: enum holds a number of more than 308"),
        ({"const": 10**400}, "properties.x: const holds a number of more than 308 digits"),
        ({"enum": [1, 2**64]}, "properties.x: the enum holds 18446744073709551616, which does not fit into 64 bits"),
        ({"type": "number", "enum": [1e300]}, "which does not fit into 64 bits"),
        ({"not": {"type": "string"}}, "'not' has no counterpart"),
        ({"allOf": [{"type": "string"}, {"minLength": 3}]}, "'allOf' has no counterpart"),
        (
            {"anyOf": [{"required": ["a"]}, {"required": ["b"]}], "properties": {"a": {}, "b": {}}},
            "write each branch in full",
        ),
        ({"anyOf": []}, "an empty list"),
        ({"allOf": [{"minimum": 1}], "minimum": 2, "type": "integer"}, "'minimum' is set twice"),
        ({"type": "object", "properties": {"a": {}}, "required": ["b"]}, "required names 'b'"),
        ({"type": "object", "properties": {"a": 3}}, "a JSON Schema is an object here, not 3"),
        ({"type": "object", "properties": {" a": {}}}, "begins or ends with a space"),
        ({"type": "object", "properties": ["a"]}, "'properties' must be an object"),
    ],
    ids=repr,
)
def test_what_has_no_normal_form_is_refused_with_its_path(node: dict[str, Any], message: str) -> None:
    """The message names the place and what is wrong there."""
    assert message in refusal({"type": "object", "properties": {"x": node}, "required": ["x"]})


def test_references_cannot_blow_up() -> None:
    """References that double at every level are stopped, not followed to the end of memory."""
    levels = {
        f"l{i}": {"type": "object", "properties": {side: {"$ref": f"#/$defs/l{i + 1}"} for side in "ab"}}
        for i in range(40)
    }
    message = refusal({"type": "object", "properties": {"x": {"$ref": "#/$defs/l0"}}, "$defs": levels})
    assert "too large once its $ref are followed" in message


@pytest.mark.parametrize(
    ("node", "description"),
    [
        ({"type": "integer", "minimum": 0, "description": "Head count"}, "Head count. Must be at least 0."),
        ({"type": "string", "format": "date", "description": "When?"}, "When? Format: date (YYYY-MM-DD)."),
        ({"type": "string", "pattern": "^x$"}, "Must match the regular expression ^x$"),
        ({"type": "string", "format": "hostname"}, "Format: hostname."),
        ({"type": ["number", "null"], "exclusiveMaximum": 1.5, "description": "d"}, "d. Must be less than 1.5."),
        (
            {"type": "array", "items": {"type": "string"}, "minItems": 2, "uniqueItems": True},
            "Number of elements: at least 2. No element may occur twice.",
        ),
        ({"type": "string", "examples": ["a", "b"], "description": "d."}, "d. Examples: a, b."),
        (
            {"type": "array", "contains": {"const": 1}},
            'Must contain an element that fits this JSON Schema: {"type": "integer", "enum": [1]}',
        ),
        ({"type": "string", "description": "as it is"}, "as it is"),
        ({"type": "string"}, None),
    ],
    ids=repr,
)
def test_constraints_are_told_in_words(node: dict[str, Any], description: str | None) -> None:
    """Constraints that the wire cannot express end the description, and nothing is added without need."""
    wire = parse_schema(rooted(x=node)).wire["json_schema"]["properties"]["x"]
    assert wire.get("description") == description


def test_constraints_of_elements_and_branches_are_told_where_they_hold() -> None:
    """Sentences go to the node that they describe: an element's to the element, a branch's to the branch."""
    node = {"type": "array", "items": {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string"}]}}
    wire = parse_schema(rooted(x=node)).wire["json_schema"]["properties"]["x"]
    assert wire["items"]["anyOf"] == [
        {"type": "integer", "description": "Must be at least 1."},
        {"type": "string"},
    ]
    assert "description" not in wire


def test_identity_has_no_generated_text() -> None:
    """Reworded sentences must not change a key, so identity holds constraints and no words of ours."""
    parsed = parse_schema(rooted(x={"type": "integer", "minimum": 0}))
    assert parsed.identity["json_schema"]["properties"]["x"] == {"type": "integer", "minimum": 0}


def test_identity_does_not_depend_on_any_order() -> None:
    """Properties, enum values and branches are sets; columns still come as written."""
    one = parse_schema(rooted(a={"enum": ["x", "y"]}, b={"type": ["integer", "string"]}))
    two = parse_schema(rooted(b={"type": ["string", "integer"]}, a={"enum": ["y", "x"]}))
    assert repr(one.identity) == repr(two.identity)
    assert [c.name for c in one.columns] == ["a", "b"]
    assert [c.name for c in two.columns] == ["b", "a"]


@pytest.mark.parametrize(
    ("node", "kind", "nullable"),
    [
        ({"type": "string"}, "string", False),
        ({"type": "string", "format": "email"}, "string", False),
        ({"type": "string", "format": "date"}, "date", False),
        ({"type": ["string", "null"], "format": "date-time"}, "datetime", True),
        ({"type": ["integer", "number"]}, "number", False),
        ({"anyOf": [{"type": "integer", "minimum": 9}, {"enum": [1]}]}, "integer", False),
        ({"anyOf": [{"enum": ["a"]}, {"type": "string"}]}, "string", False),
        ({"anyOf": [{"type": "string"}, {"type": "string", "format": "date"}, NULL]}, "string", True),
        ({"type": ["string", "integer"]}, "any", False),
        ({"enum": ["a", None]}, "enum", True),
        ({"type": "array"}, "array", False),
        ({"type": "object"}, "object", False),
        ({}, "any", True),
    ],
    ids=repr,
)
def test_kinds_follow_the_schema(node: dict[str, Any], kind: str, nullable: bool) -> None:
    """Each node has one kind, and unions have the kind that holds all their branches."""
    column = parse_schema(rooted(x=node)).columns[0]
    assert (column.kind, column.nullable) == (kind, nullable)


def nested(depth: int) -> dict[str, Any]:
    """Return a schema with so many objects inside one another, the root included."""
    node: dict[str, Any] = {"type": "string"}
    for _ in range(depth):
        node = rooted(x=node)
    return node


@pytest.mark.parametrize(
    ("wire", "rule", "path", "message"),
    [
        ({"type": "array", "items": {"type": "string"}}, "root_object", "root", "not 'array'"),
        ({"type": "object"}, "root_properties", "root", "nothing to find"),
        (rooted(a={"type": "string"}) | {"anyOf": [{"type": "object"}]}, "root_any_of", "root", "union"),
        (rooted(a=NULL), "null_alone", "properties.a", "inside a union"),
        (
            rooted(a={"type": "array", "items": {"type": "string", "format": "date"}}),
            "keyword",
            "properties.a.items.format",
            "'format'",
        ),
        (rooted(a={"$ref": "#/$defs/a"}), "reference", "properties.a", "not inlined"),
        (nested(6), "nesting", ".".join(["properties.x"] * 5), "nested 5 deep, the root included; this is level 6"),
        (
            rooted(x={"type": "array", "items": rooted(x={"type": "array", "items": nested(2)})}),
            "nesting",
            "properties.x.items.properties.x.items.properties.x",
            "objects and arrays may be nested 5 deep, the root included; this is level 6",
        ),
        (
            rooted(**{f"c{i}": {"type": "string"} for i in range(101)}),
            "properties",
            "root",
            "100 properties in all, this one has 101",
        ),
        (
            rooted(a={"type": "integer", "enum": list(range(501))}),
            "enum_values",
            "root",
            "500 enum values in all, this one has 501",
        ),
        (
            rooted(a={"type": "string", "enum": [f"{i:030}" for i in range(251)]}),
            "enum_characters",
            "properties.a",
            "7,500 characters in all, this one has 251 values and 7,530",
        ),
        (
            rooted(a={"type": "string", "description": "x" * 15_000}),
            "spec_length",
            "root",
            "15,000 characters, this schema makes 15,",
        ),
    ],
)
def test_every_limit_is_an_error_with_its_path_and_numbers(
    wire: dict[str, Any], rule: str, path: str, message: str
) -> None:
    """Each rule finds what breaks it, in a bare schema and in the wrapper."""
    for schema in (wire, {"type": "json", "json_schema": wire}):
        finding = next(found for found in lint_schema(schema) if found.rule == rule)
        assert (finding.severity, finding.path) == ("error", path)
        assert message in finding.message


@pytest.mark.parametrize(
    "wire",
    [
        nested(5),
        rooted(**{f"c{i}": {"type": "string"} for i in range(100)}),
        rooted(a={"type": "integer", "enum": list(range(250))}, b={"type": "integer", "enum": list(range(250))}),
        rooted(a={"type": "string", "enum": [f"{i:060}" for i in range(200)]}),
        {"type": "text", "description": "x" * 14_900},
        {"type": "auto"},
    ],
    ids=["nesting", "properties", "enum values", "enum characters", "length", "auto"],
)
def test_limits_themselves_are_allowed(wire: dict[str, Any]) -> None:
    """A schema exactly at a limit draws nothing."""
    assert lint_schema(wire) == []


def test_warnings_are_kept_and_errors_raised_together() -> None:
    """A schema with warnings is accepted and carries them; one with errors names every error at once."""
    parsed = parse_schema({"sources": list[str], "facts": dict, "tags": list, "x": object})
    assert [(f.rule, f.path) for f in parsed.findings] == [
        ("basis_name", "properties.sources"),
        ("open_object", "properties.facts"),
        ("untyped_items", "properties.tags"),
        ("untyped", "properties.x"),
    ]
    message = refusal(rooted(a=NULL, b={"enum": list(range(501))}))
    assert "null_alone" in message
    assert "enum_values" in message


def test_a_schema_that_requires_less_is_only_warned_about() -> None:
    """The service warns about optional properties and open objects, and so does lint."""
    found = lint_schema({"type": "object", "properties": {"a": {"type": "string"}}})
    assert [(f.severity, f.rule) for f in found] == [("warning", "required"), ("warning", "open_object")]


NAMES = st.sampled_from(["a", "b", "type", "format", "minimum", "properties", "$ref"])
STRINGS = st.fixed_dictionaries(
    {"type": st.just("string")},
    optional={
        "format": st.sampled_from(["date", "uri", "odd"]),
        "minLength": st.integers(0, 3),
        "pattern": st.sampled_from(["^a", "x+"]),
        "description": st.text(max_size=5),
        "title": st.text(max_size=3),
        "nullable": st.booleans(),
    },
)
NUMBERS = st.fixed_dictionaries(
    {"type": st.sampled_from(["integer", "number", ["integer", "null"], ["number", "string"]])},
    optional={
        "minimum": st.integers(-5, 5) | st.floats(-5, 5),
        "exclusiveMaximum": st.integers(-5, 5) | st.booleans(),
        "multipleOf": st.integers(1, 5),
        "default": st.none(),
    },
)
ENUMS = st.fixed_dictionaries(
    {"enum": st.lists(st.none() | st.booleans() | st.integers(0, 2) | st.sampled_from(["a", "b"]), min_size=1)},
    optional={"nullable": st.booleans(), "description": st.text(max_size=5)},
).filter(lambda node: set(node["enum"]) != {None})


def _composed(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    arrays = st.fixed_dictionaries(
        {"type": st.just("array")}, optional={"items": children, "uniqueItems": st.booleans(), "contains": children}
    )
    objects = st.dictionaries(NAMES, children, min_size=1, max_size=3).flatmap(
        lambda properties: st.fixed_dictionaries(
            {"type": st.just("object"), "properties": st.just(properties)},
            optional={"required": st.lists(st.sampled_from(sorted(properties)), unique=True)},
        )
    )
    unions = st.fixed_dictionaries({}, optional={"description": st.text(max_size=3)}).flatmap(
        lambda notes: (
            st.lists(children | st.just(NULL), min_size=2, max_size=3)
            .filter(lambda branches: branches.count(NULL) < len(branches))
            .map(lambda branches: {"anyOf": branches, **notes})
        )
    )
    return arrays | objects | unions


NODES = st.recursive(STRINGS | NUMBERS | ENUMS, _composed, max_leaves=6)
ROOTS = st.dictionaries(NAMES, NODES, min_size=1, max_size=4).map(lambda properties: rooted(**properties))


@given(ROOTS)
def test_what_is_sent_obeys_the_keyword_rules(schema: dict[str, Any]) -> None:
    """Whatever is asked for, the wire schema has no keyword, null or reference that the service refuses."""
    wire = {"type": "json", "json_schema": wire_node(normalise(schema))}
    broken = {finding.rule for finding in lint_schema(wire)}
    assert not broken & {"keyword", "null_alone", "reference", "required", "root_object", "root_any_of"}


@given(ROOTS)
def test_a_normal_form_is_stable(schema: dict[str, Any]) -> None:
    """Normalising again changes nothing, and neither do titles, defaults and the order of keys."""
    normal = normalise(schema)
    assert repr(normalise(normal)) == repr(normal)
    assert repr(identity_of(normalise(_shuffled(schema)))) == repr(identity_of(normal))


def _shuffled(node: Any) -> Any:
    """Return the same schema with every mapping the other way round."""
    if isinstance(node, dict):
        return {key: _shuffled(node[key]) for key in reversed(list(node))}
    return [_shuffled(child) for child in node] if isinstance(node, list) else node


JSON_KEYS = st.sampled_from(
    [
        *sorted(FORBIDDEN_KEYWORDS),
        "type",
        "properties",
        "required",
        "items",
        "anyOf",
        "allOf",
        "enum",
        "const",
        "$ref",
        "nullable",
        "prefixItems",
        "a",
    ]
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.floats()
    | st.sampled_from(["string", "object", "#", "#/a", "("]),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(JSON_KEYS, children, max_size=4),
    max_leaves=15,
)


@settings(max_examples=300)
@given(JSON)
def test_nonsense_is_refused_and_never_crashes(schema: Any) -> None:
    """Any JSON is either a schema or a SchemaError."""
    try:
        parsed = parse_schema(schema)
    except SchemaError:
        return
    assert parsed.columns

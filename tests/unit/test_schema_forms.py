"""Every form of schema that a user may write, and the errors for anything else."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import re
import uuid
from typing import Annotated, Any, Literal, NotRequired, Required, TypedDict

import annotated_types
import pydantic
import pytest
import typing_extensions

from parallel_frames._schema import parse_schema
from parallel_frames.errors import SchemaError


class Kind(enum.Enum):
    PUBLIC = "public"
    PRIVATE = "private"


class PersonModel(pydantic.BaseModel):
    """A person."""

    name: str = pydantic.Field(description="Full name")
    age: int | None = pydantic.Field(None, ge=0)


class CompanyModel(pydantic.BaseModel):
    ceo: PersonModel = pydantic.Field(description="The CEO")
    founded: dt.date
    employees: int = pydantic.Field(ge=1, description="Head count")
    kind: Kind
    round: Literal["seed", "a"] | None
    tags: list[str]


@dataclasses.dataclass
class PersonClass:
    """A person."""

    name: Annotated[str, "Full name"]
    age: Annotated[int, pydantic.Field(ge=0)] | None = None


@dataclasses.dataclass
class CompanyClass:
    ceo: Annotated[PersonClass, "The CEO"]
    founded: dt.date
    employees: Annotated[int, pydantic.Field(ge=1, description="Head count")]
    kind: Kind
    round: Literal["seed", "a"] | None
    tags: list[str]


class PersonDict(TypedDict):
    """A person."""

    name: Annotated[str, "Full name"]
    age: NotRequired[Annotated[int, pydantic.Field(ge=0)]]


class CompanyDict(TypedDict):
    ceo: Annotated[PersonDict, "The CEO"]
    founded: dt.date
    employees: Annotated[int, pydantic.Field(ge=1, description="Head count")]
    kind: Kind
    round: Literal["seed", "a"] | None
    tags: list[str]


PERSON_SCHEMA = {
    "type": "object",
    "title": "Person",
    "description": "A person.",
    "properties": {
        "age": {"type": ["integer", "null"], "minimum": 0, "default": None},
        "name": {"type": "string", "description": "Full name"},
    },
    "required": ["name"],
}
COMPANY_SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {"Person": PERSON_SCHEMA},
    "properties": {
        "ceo": {"allOf": [{"$ref": "#/$defs/Person"}], "description": "The CEO"},
        "founded": {"type": "string", "format": "date"},
        "employees": {"type": "integer", "minimum": 1.0, "description": " Head count "},
        "kind": {"enum": ["private", "public"]},
        "round": {"type": "string", "enum": ["a", "seed"], "nullable": True},
        "tags": {"type": "array", "items": {"type": "string", "title": "Tag"}},
    },
    "required": ["ceo", "founded", "employees", "kind", "round", "tags"],
    "additionalProperties": False,
}
COMPANY_MAPPING = {
    "ceo": (PersonModel, "The CEO"),
    "founded": dt.date,
    "employees": (Annotated[int, pydantic.Field(ge=1)], "Head count"),
    "kind": Kind,
    "round": Literal["seed", "a"] | None,
    "tags": list[str],
}
COMPANIES = [CompanyModel, CompanyClass, CompanyDict, COMPANY_SCHEMA, COMPANY_MAPPING]
NAMES = ["model", "dataclass", "TypedDict", "JSON Schema", "mapping"]


def properties(schema: object) -> dict[str, Any]:
    """Return the wire schema's properties."""
    return dict(parse_schema(schema).wire["json_schema"]["properties"])


def node_of(type_: object) -> dict[str, Any]:
    """Return the normal form that a type makes of a column."""
    return dict(parse_schema({"x": type_}).columns[0].node)


def refusal(schema: object) -> str:
    """Return the message of the error for something that cannot be a schema."""
    with pytest.raises(SchemaError) as caught:
        parse_schema(schema)
    return str(caught.value)


@pytest.mark.parametrize("schema", COMPANIES, ids=NAMES)
def test_five_ways_to_say_the_same_have_one_identity(schema: object) -> None:
    """What enters a key depends on what is asked, not on how it was written."""
    assert parse_schema(schema).identity == parse_schema(CompanyModel).identity


@pytest.mark.parametrize("schema", COMPANIES, ids=NAMES)
def test_columns_come_in_the_order_the_user_wrote(schema: object) -> None:
    """Columns and wire properties keep the user's order and have the same kinds in every form."""
    parsed = parse_schema(schema)
    assert [(c.name, c.kind, c.nullable) for c in parsed.columns] == [
        ("ceo", "object", False),
        ("founded", "date", False),
        ("employees", "integer", False),
        ("kind", "enum", False),
        ("round", "enum", True),
        ("tags", "array", False),
    ]
    assert list(parsed.wire["json_schema"]["properties"]) == [c.name for c in parsed.columns]


def test_identity_is_this_text_for_good() -> None:
    """A changed identity would make every user pay for every row again, so this value never changes."""
    assert parse_schema(CompanyModel).identity == {
        "type": "json",
        "json_schema": {
            "additionalProperties": False,
            "type": "object",
            "required": ["ceo", "employees", "founded", "kind", "round", "tags"],
            "properties": {
                "ceo": {
                    "additionalProperties": False,
                    "description": "The CEO",
                    "type": "object",
                    "required": ["age", "name"],
                    "properties": {
                        "age": {"anyOf": [{"minimum": 0, "type": "integer"}, {"type": "null"}]},
                        "name": {"description": "Full name", "type": "string"},
                    },
                },
                "employees": {"description": "Head count", "minimum": 1, "type": "integer"},
                "founded": {"format": "date", "type": "string"},
                "kind": {"enum": ["private", "public"], "type": "string"},
                "round": {"anyOf": [{"enum": ["a", "seed"], "type": "string"}, {"type": "null"}]},
                "tags": {"items": {"type": "string"}, "type": "array"},
            },
        },
    }


class OddDict(typing_extensions.TypedDict, total=False):
    must: Required[Annotated[int, "how many"]]
    may: str
    read: typing_extensions.ReadOnly[Required[bool]]
    marked: Annotated[NotRequired[str], "perhaps"]
    nested: Required[PersonDict]


@dataclasses.dataclass
class Mixed:
    model: PersonModel
    record: PersonDict
    people: list[PersonClass]


def test_marks_of_keys_are_read_wherever_they_stand() -> None:
    """Required and NotRequired count inside Annotated and ReadOnly too, also of typing_extensions."""
    parsed = parse_schema(OddDict)
    assert [(c.name, c.nullable) for c in parsed.columns] == [
        ("must", False),
        ("may", True),
        ("read", False),
        ("marked", True),
        ("nested", False),
    ]
    assert parsed.columns[0].node == {"type": "integer", "description": "how many"}
    assert parsed.columns[3].node["description"] == "perhaps"


def test_forms_may_hold_one_another() -> None:
    """A model in a dataclass, a TypedDict in it, a list of dataclasses: each is what it is by itself."""
    nodes = [column.node for column in parse_schema(Mixed).columns]
    assert nodes[0] == nodes[1] == nodes[2]["items"] == node_of(PersonModel)


def test_the_vendors_wrapper_may_hold_a_class() -> None:
    """A dataclass or TypedDict in it is what it is without it."""
    for schema in (CompanyClass, CompanyDict):
        assert parse_schema({"type": "json", "json_schema": schema}) == parse_schema(schema)


def test_a_pydantic_model_is_remembered() -> None:
    """The model travels with the schema, also out of the vendor's wrapper."""
    assert parse_schema(CompanyModel).model is CompanyModel
    assert parse_schema({"type": "json", "json_schema": PersonModel}).model is PersonModel
    assert parse_schema(COMPANY_SCHEMA).model is None


def test_anything_with_model_json_schema_is_a_model() -> None:
    """A class that describes itself as pydantic's do is taken at its word, without pydantic."""

    class Model:
        @classmethod
        def model_json_schema(cls) -> dict[str, Any]:
            return {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}

    parsed = parse_schema(Model)
    assert [c.name for c in parsed.columns] == ["a"]
    assert parsed.model is Model


def test_descriptions_are_string_columns() -> None:
    """A column with a description in words is a string; names of types in words are words."""
    assert properties({"ceo": "Name of the CEO", "n": "int"}) == {
        "ceo": {"type": "string", "description": "Name of the CEO"},
        "n": {"type": "string", "description": "int"},
    }


def test_a_mapping_may_mix_descriptions_types_pairs_and_schemas() -> None:
    """Each column is read by itself, whatever its neighbours are."""
    parsed = parse_schema(
        {
            "ceo": "The CEO",
            "employees": int,
            "founded": (dt.date, "Founding date"),
            "site": {"type": "string", "format": "uri"},
            "office": {"city": str, "open": (bool, "Is it open?")},
        }
    )
    assert [(c.name, c.kind) for c in parsed.columns] == [
        ("ceo", "string"),
        ("employees", "integer"),
        ("founded", "date"),
        ("site", "string"),
        ("office", "object"),
    ]
    assert parsed.columns[2].node["description"] == "Founding date"
    assert parsed.columns[4].node["properties"]["open"] == {"type": "boolean", "description": "Is it open?"}


@pytest.mark.parametrize(
    ("type_", "node"),
    [
        (str, {"type": "string"}),
        (int, {"type": "integer"}),
        (float, {"type": "number"}),
        (bool, {"type": "boolean"}),
        (decimal.Decimal, {"type": "number"}),
        (dt.date, {"type": "string", "format": "date"}),
        (dt.datetime, {"type": "string", "format": "date-time"}),
        (uuid.UUID, {"type": "string", "format": "uuid"}),
        (list, {"type": "array"}),
        (dict, {"type": "object"}),
        (dict[str, int], {"type": "object", "additionalProperties": {"type": "integer"}}),
        (list[int], {"type": "array", "items": {"type": "integer"}}),
        (list[str | None], {"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "null"}]}}),
        (tuple[int, ...], {"type": "array", "items": {"type": "integer"}}),
        (tuple[int, int], {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2}),
        (set[str], {"type": "array", "items": {"type": "string"}, "uniqueItems": True}),
        (int | None, {"anyOf": [{"type": "integer"}, {"type": "null"}]}),
        (int | str, {"anyOf": [{"type": "integer"}, {"type": "string"}]}),
        (Any, {}),
        (Literal["a", "b"], {"type": "string", "enum": ["a", "b"]}),
        (Literal["a", 1, True], {"enum": ["a", 1, True]}),
        (Literal[Kind.PUBLIC], {"type": "string", "enum": ["public"]}),
        (Kind, {"type": "string", "enum": ["public", "private"]}),
        (Annotated[str, pydantic.Field(pattern="^a")], {"type": "string", "pattern": "^a"}),
        (Annotated[str, pydantic.Field(max_length=3)], {"type": "string", "maxLength": 3}),
        (Annotated[list, pydantic.Field(min_length=1)], {"type": "array", "minItems": 1}),
    ],
    ids=str,
)
def test_python_types_become_json_types(type_: object, node: dict[str, Any]) -> None:
    """A supported Python type has one normal form, the one of pydantic's JSON Schema for it."""
    assert node_of(type_) == node
    model = pydantic.create_model("Model", x=(type_, ...))
    assert parse_schema(model).identity == parse_schema({"x": type_}).identity


@pytest.mark.parametrize(
    ("type_", "node"),
    [
        (Annotated[int, annotated_types.Ge(0)], {"type": "integer", "minimum": 0}),
        (
            Annotated[int, annotated_types.Interval(ge=1, lt=5)],
            {"type": "integer", "minimum": 1, "exclusiveMaximum": 5},
        ),
        (Annotated[float, annotated_types.Gt(decimal.Decimal("0.5"))], {"type": "number", "exclusiveMinimum": 0.5}),
        (Annotated[str, annotated_types.Len(1, 3)], {"type": "string", "minLength": 1, "maxLength": 3}),
        (Annotated[dict, annotated_types.Len(1)], {"type": "object", "minProperties": 1}),
        (
            Annotated[list[int] | None, annotated_types.MinLen(1)],
            {"anyOf": [{"type": "array", "items": {"type": "integer"}, "minItems": 1}, {"type": "null"}]},
        ),
        (Annotated[str, pydantic.StringConstraints(pattern=re.compile("^a"))], {"type": "string", "pattern": "^a"}),
        (Annotated[str, annotated_types.doc("documented")], {"type": "string", "description": "documented"}),
        (
            Annotated[int, pydantic.Field(ge=0, description="documented", examples=[1])],
            {"type": "integer", "minimum": 0, "description": "documented", "examples": [1]},
        ),
        (pydantic.PositiveInt, {"type": "integer", "exclusiveMinimum": 0}),
        (Annotated[int, {"no": "hash"}, ["either"]], {"type": "integer"}),
        (Annotated[int, annotated_types.Predicate(bool)], {"type": "integer"}),
    ],
    ids=str,
)
def test_what_stands_in_annotated_is_read(type_: object, node: dict[str, Any]) -> None:
    """Bounds by the names of annotated_types, texts and FieldInfo; lengths count what the type has."""
    assert node_of(type_) == node


@pytest.mark.parametrize(
    ("type_", "format_"),
    [(pydantic.HttpUrl, "uri"), (pydantic.AwareDatetime, "date-time"), (pydantic.PastDate, "date")],
)
def test_types_of_pydantics_own_are_types(type_: object, format_: str) -> None:
    """Outside a model too, wherever a type may be."""
    assert node_of(type_)["format"] == format_
    assert node_of(list[type_])["items"]["format"] == format_  # type: ignore[valid-type]


def test_a_text_in_annotated_is_a_description() -> None:
    """Annotated describes a column wherever a type may be."""
    assert node_of(Annotated[int, "how many"]) == {"type": "integer", "description": "how many"}


def test_bounds_inside_a_union_belong_to_their_branch() -> None:
    """A bound on an optional number says nothing of null."""
    assert node_of(Annotated[int, pydantic.Field(ge=1)] | None) == {
        "anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}]
    }


def test_a_list_of_descriptions_names_its_columns() -> None:
    """Names are slugs, and the description is kept as it was written."""
    assert properties(["CEO name", "Größe (m²)", "3 main competitors"]) == {
        "ceo_name": {"type": "string", "description": "CEO name"},
        "größe_m2": {"type": "string", "description": "Größe (m²)"},
        "3_main_competitors": {"type": "string", "description": "3 main competitors"},
    }


def test_a_text_is_one_column() -> None:
    """One description asks for a text, which comes in the column output."""
    parsed = parse_schema("  A short profile ")
    assert (parsed.form, dict(parsed.wire)) == ("text", {"type": "text", "description": "A short profile"})
    assert [(c.name, c.kind, c.nullable) for c in parsed.columns] == [("output", "string", False)]
    assert parse_schema({"type": "text", "description": "A short profile"}) == parsed
    assert dict(parse_schema({"type": "text"}).wire) == {"type": "text"}


def test_auto_is_one_column_of_anything() -> None:
    """The service chooses the shape, so the column may hold any value."""
    parsed = parse_schema("auto")
    assert (parsed.form, dict(parsed.wire)) == ("auto", {"type": "auto"})
    assert [(c.name, c.kind, c.nullable) for c in parsed.columns] == [("output", "any", True)]
    assert parse_schema({"type": "auto"}) == parsed


def test_the_vendors_json_wrapper_is_unwrapped() -> None:
    """The wrapper means what it holds."""
    assert parse_schema({"type": "json", "json_schema": COMPANY_SCHEMA}) == parse_schema(COMPANY_SCHEMA)


def test_keywords_of_json_schema_can_be_columns() -> None:
    """A key counts as a keyword only when it holds what the keyword would hold."""
    names = {
        "type": "What kind of company it is",
        "properties": "What it owns",
        "description": "What it does",
        "enum": "Is it an enum?",
        "items": list[str],
        "anyOf": str,
        "required": bool,
        "format": (str, "format of its logo"),
        "$ref": "its reference number",
    }
    assert [c.name for c in parse_schema(names).columns] == list(names)
    assert [c.name for c in parse_schema({"type": (str, "string")}).columns] == ["type"]
    assert [c.name for c in parse_schema({"properties": {"area": float, "city": "Where"}}).columns] == ["properties"]


def test_columns_of_a_json_schema_may_have_keywords_names() -> None:
    """Inside properties a name is a name."""
    nested = {name: {"type": "string"} for name in ("type", "properties", "$ref", "enum", "required")}
    schema = {"type": "object", "properties": nested, "required": list(nested)}
    assert [c.name for c in parse_schema(schema).columns] == list(nested)


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"type": "object", "ceo": {"type": "string"}}, "'type' reads like JSON Schema and 'ceo' like a column"),
        ({"type": "string"}, "the root must be an object, not 'string'"),
        ({"type": "object"}, "no properties"),
        ({"type": "object", "properties": {}, "additionalProperties": False}, "name its properties"),
        ({"type": "text", "ceo": "x"}, "write {'type': (str, 'what to find')}"),
        ({"type": "json"}, "{'type': 'json', 'json_schema': {...}}"),
        ({"type": "json", "json_schema": "x"}, "json_schema must be a JSON Schema, not 'x'"),
        ({"type": "text", "description": 3}, "not 3"),
        ({"output_schema": {"type": "auto"}}, "give the value of its 'output_schema'"),
        ({"properties": {"a": {"type": "string"}}, "ceo": "x"}, "put the columns under 'properties'"),
        ({"anyOf": [{"type": "object", "properties": {"a": {}}}, {"type": "null"}]}, "the root is a union"),
    ],
    ids=str,
)
def test_what_could_be_two_things_is_refused(schema: object, message: str) -> None:
    """An ambiguous mapping is never guessed: the message says how to write either meaning."""
    assert message in refusal(schema)


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({}, "The schema is empty"),
        ([], "The list of columns is empty"),
        ("  ", "an empty text"),
        ('{"type": "object"}', "json.loads it first"),
        (None, "None (NoneType) cannot be a schema"),
        (3, "3 (int) cannot be a schema"),
        (str, "<class 'str'> (type) cannot be a schema"),
        ({"a"}, "(set) cannot be a schema"),
        (PersonModel(name="Ada"), "give the class itself: PersonModel, not PersonModel(...)"),
        (PersonClass(name="Ada"), "give the class itself"),
        ({"": "x"}, "is empty"),
        ({" ceo": "x"}, "write 'ceo'"),
        ({1: "x"}, "1 is of the type int; names must be texts"),
        ({"ceo": ""}, "ceo: the description is empty"),
        ({"ceo": None}, "ceo: None cannot be a type"),
        ({"ceo": ["a", "b"]}, "Literal['a', 'b'] for a choice"),
        ({"ceo": {}}, "ceo: the mapping is empty"),
        ({"ceo": 3}, "ceo: an answer cannot have the type 3"),
        ({"ceo": bytes}, "ceo: an answer cannot have the type <class 'bytes'>"),
        ({"ceo": ("the CEO", str)}, "must be (type, 'description')"),
        ({"ceo": (str, "a", "b")}, "must be (type, 'description')"),
        ({"ceo": list["Person"]}, "an answer cannot have the type"),  # type: ignore[name-defined]  # noqa: F821 - the point
        ({"ceo": Literal[b"x"]}, "properties.ceo: b'x' is a bytes, which JSON does not have"),
        ({"ceo": [str]}, "list[str] for a list"),
        ({"a": {"b": enum.Enum("Pair", {"X": (1, 2)})}}, "properties.a.properties.b: (1, 2) is a tuple"),
        (["CEO", 3], "not 3"),
        (["CEO", "???"], "no letter or digit"),
        (["CEO name", "CEO-name"], "'CEO name' and 'CEO-name' both make the column 'ceo_name'"),
        ({"caf\u00e9": "x", "cafe\u0301": "y"}, "look the same"),
        ({"a": type(None)}, "null is allowed only inside a union"),
    ],
    ids=repr,
)
def test_what_cannot_be_a_schema_is_refused_in_plain_words(schema: object, message: str) -> None:
    """The message names what was given, and what to type."""
    assert message in refusal(schema)


def test_recursion_is_refused_with_its_path() -> None:
    """An answer has a fixed depth, so a type that contains itself cannot be asked for."""

    @dataclasses.dataclass
    class Inner:
        parents: list[Tree]

    Tree = dataclasses.make_dataclass("Tree", [("left", Inner)])  # noqa: N806 - it is a class
    Inner.__annotations__["parents"] = list[Tree]
    assert "properties.left.properties.parents: Tree contains itself" in refusal(Tree)

    class Node(pydantic.BaseModel):
        children: list[Node]

    Node.model_rebuild()
    assert "children" in refusal(Node)
    assert "leads back to itself" in refusal(Node)
    assert "a.b.properties.children.items: '#/$defs/Node' leads back to itself" in refusal({"a": {"b": Node}})


def test_annotations_that_cannot_be_read_are_named() -> None:
    """A forward reference to nowhere is the user's to fix, and the message says whose it is."""

    @dataclasses.dataclass
    class Company:
        ceo: Unknown  # type: ignore[name-defined]  # noqa: F821 - the point

    assert "Company: its annotations cannot be read (name 'Unknown' is not defined)" in refusal(Company)


def test_pydantics_own_refusals_become_ours() -> None:
    """A field that pydantic cannot describe is a schema error, with pydantic's reason."""

    class Odd(pydantic.BaseModel, arbitrary_types_allowed=True):
        x: range

    assert "pydantic cannot describe it" in refusal(Odd)


def test_defaults_that_json_cannot_hold_do_not_matter() -> None:
    """Defaults are dropped, so pydantic's warning about them is not passed on."""

    class Model(pydantic.BaseModel, arbitrary_types_allowed=True):
        x: str = pydantic.Field(default=object())  # type: ignore[assignment]

    assert [(c.name, c.nullable) for c in parse_schema(Model).columns] == [("x", True)]


def test_dataclass_metadata_may_describe() -> None:
    """A field's metadata is another place for its description; a generated docstring is not a description."""

    @dataclasses.dataclass
    class Company:
        ceo: str = dataclasses.field(metadata={"description": "The CEO"})

    assert properties(Company) == {"ceo": {"type": "string", "description": "The CEO"}}
    assert "description" not in parse_schema(Company).wire["json_schema"]


@pytest.mark.parametrize(
    ("name", "node"),
    [
        ("Int64", {"type": "integer"}),
        ("uint8", {"type": "integer", "minimum": 0}),
        ("Float32", {"type": "number"}),
        ("boolean", {"type": "boolean"}),
        ("string[pyarrow]", {"type": "string"}),
        ("datetime64[ns, UTC]", {"type": "string", "format": "date-time"}),
    ],
)
def test_a_dtype_may_be_named_beside_a_description(name, node):
    """What pandas calls a dtype is a type in the pair of type and description; alone it is a description."""
    paired, alone = parse_schema({"a": (name, "b")}), parse_schema({"a": name})
    assert paired.columns[0].node == node | {"description": "b"}
    assert alone.columns[0].node == {"type": "string", "description": name}

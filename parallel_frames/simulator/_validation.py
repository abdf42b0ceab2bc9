"""What the service accepts as a request body, in both dialects; everything else is a list of problems for a 422.

Pure: bodies in, problems out. Whether a group exists or a processor is allowed is not decided here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Set as AbstractSet

    from ._made_up import Spec

MAX_RUNS = 1_000
MAX_KEY = 16
MAX_VALUE = 512
MAX_SPEC = 15_000
MAX_SPEC_AND_INPUT = 25_000
MAX_DOMAINS = 200

FORBIDDEN = frozenset(
    """contains format maxContains maxItems maxLength maxProperties maximum minContains minItems minLength minimum
    minProperties multipleOf pattern patternProperties propertyNames uniqueItems unevaluatedItems
    unevaluatedProperties""".split()  # noqa: SIM905 - a list of words reads better than nineteen quotes
)
MAX_DEPTH = 5
MAX_PROPERTIES = 100
MAX_ENUM_VALUES = 500
LONG_ENUM = 250
LONG_ENUM_CHARACTERS = 7_500

RUN_FIELDS = frozenset(
    {"processor", "metadata", "source_policy", "advanced_settings", "task_spec", "input", "previous_interaction_id"}
    | {"mcp_servers", "enable_events", "webhook", "memory_scope_key"}
)
SEED_RUN_FIELDS = frozenset({"input", "metadata"})

Problem = dict[str, Any]


def problem(message: str, *where: str | int, kind: str = "value_error") -> Problem:
    """Return one entry of a 422 answer."""
    return {"loc": ["body", *where], "msg": message, "type": kind}


def check_fields(body: Any, allowed: AbstractSet[str], *where: str | int) -> list[Problem]:
    """Check that a body is an object with known fields only."""
    if not isinstance(body, dict):
        return [problem("Input should be a valid object", *where, kind="model_type")]
    return [
        problem("Extra inputs are not permitted", *where, str(name), kind="extra_forbidden")
        for name in sorted(body.keys() - allowed)
    ]


def check_metadata(metadata: Any, *where: str | int) -> list[Problem]:
    if metadata is None:
        return []
    if not isinstance(metadata, dict):
        return [problem("Input should be a valid dictionary", *where, kind="dict_type")]
    found = []
    for key, value in metadata.items():
        if len(key) > MAX_KEY:
            found.append(problem(f"Metadata keys have at most {MAX_KEY} characters", *where, key))
        if isinstance(value, str):
            if len(value) > MAX_VALUE:
                found.append(problem(f"Metadata values have at most {MAX_VALUE} characters", *where, key))
        elif not isinstance(value, int | float):
            found.append(problem("Metadata values are strings, numbers or booleans", *where, key))
    return found


def check_spec(spec: Any, *where: str | int, seed: bool = False) -> list[Problem]:
    """Check a task spec; the seed dialect's holds a bare JSON Schema."""
    if spec is None:
        return []
    found = check_fields(spec, {"output_schema", "input_schema"}, *where)
    if found:
        return found
    out = spec.get("output_schema")
    if out is None:
        return [problem("Field required", *where, "output_schema", kind="missing")]
    if len(orjson.dumps(spec).decode()) > MAX_SPEC:
        return [problem(f"A task spec has at most {MAX_SPEC} characters", *where)]
    if seed:
        return [problem(message, *where, "output_schema") for message in check_output_schema(out)]
    return _check_output(out, *where, "output_schema")


def _check_output(out: Any, *where: str | int) -> list[Problem]:
    if isinstance(out, str):
        return []
    if not isinstance(out, dict):
        return [problem("Input should be an object or a string", *where)]
    kind = out.get("type", "json" if "json_schema" in out else "text")
    if kind in ("text", "auto"):
        return check_fields(out, {"type", "description"}, *where)
    if kind != "json":
        return [problem("type should be json, text or auto", *where, "type")]
    found = check_fields(out, {"type", "json_schema"}, *where)
    messages = check_output_schema(out.get("json_schema"))
    return found or [problem(message, *where, "json_schema") for message in messages]


def check_group(body: Any, *, seed: bool) -> list[Problem]:
    """Check the body that creates a group."""
    found = check_fields(body, {"metadata", "processor", "task_spec"} if seed else {"metadata"})
    if found:
        return found
    if seed:
        if not isinstance(body.get("processor"), str) or not body["processor"]:
            found.append(problem("Field required", "processor", kind="missing"))
        if body.get("task_spec") is None:
            found.append(problem("Field required", "task_spec", kind="missing"))
        found += check_spec(body.get("task_spec"), "task_spec", seed=True)
    return found + check_metadata(body.get("metadata"), "metadata")


def check_batch(body: Any, *, seed: bool) -> list[Problem]:
    """Check the body that adds runs to a group, all but the sizes of the inputs."""
    name = "runs" if seed else "inputs"
    found = check_fields(body, {name} if seed else {name, "default_task_spec"})
    if found:
        return found
    runs = body.get(name)
    if not isinstance(runs, list):
        return [problem("Field required", name, kind="missing")]
    if len(runs) > MAX_RUNS:
        return [problem(f"At most {MAX_RUNS} runs can be added at once", name, kind="too_long")]
    if not seed:
        found = check_spec(body.get("default_task_spec"), "default_task_spec")
    for position, run in enumerate(runs):
        found.extend(check_run(run, name, position, seed=seed))
    return found


def check_run(run: Any, *where: str | int, seed: bool = False) -> Iterator[Problem]:
    allowed = SEED_RUN_FIELDS if seed else RUN_FIELDS
    if not isinstance(run, dict) or run.keys() - allowed:
        yield from check_fields(run, allowed, *where)
        return
    if not isinstance(run.get("input"), str | dict):
        yield problem("Input should be a string or an object", *where, "input")
    if "metadata" in run:
        yield from check_metadata(run["metadata"], *where, "metadata")
    if seed:
        return
    if not isinstance(run.get("processor"), str) or not run["processor"]:
        yield problem("Field required", *where, "processor", kind="missing")
    if run.get("task_spec") is not None:
        yield from check_spec(run["task_spec"], *where, "task_spec")
    if run.get("source_policy") is not None:
        yield from _check_policy(run["source_policy"], *where, "source_policy")


def _check_policy(policy: Any, *where: str | int) -> Iterator[Problem]:
    found = check_fields(policy, {"include_domains", "exclude_domains", "after_date"}, *where)
    if found:
        yield from found
    elif sum(len(policy.get(name) or ()) for name in ("include_domains", "exclude_domains")) > MAX_DOMAINS:
        yield problem(f"At most {MAX_DOMAINS} domains", *where)


def check_size(spec: Spec, canonical: bytes, *where: str | int) -> list[Problem]:
    """Check that a spec and one input fit together; `canonical` is the input as JSON."""
    room = MAX_SPEC_AND_INPUT - spec.size
    if len(canonical) <= room or len(canonical.decode()) <= room:  # characters, counted only when bytes don't fit
        return []
    return [problem(f"Task spec and input have at most {MAX_SPEC_AND_INPUT} characters together", *where)]


# -- output schemas ---------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Tally:
    """What one walk adds up."""

    problems: list[str] = field(default_factory=list)
    properties: int = 0
    enum_values: int = 0


def check_output_schema(schema: Any) -> list[str]:
    """Return what is wrong with a JSON output schema, in words; empty when the service would take it."""
    if not isinstance(schema, dict):
        return ["the output schema must be an object"]
    if any(union in schema for union in ("anyOf", "oneOf", "allOf")):
        return ["the root of an output schema may not be a union"]
    if schema.get("type") != "object" or not isinstance(schema.get("properties"), dict):
        return ['the root of an output schema must have "type": "object" and "properties"']
    tally = _Tally()
    _walk(schema, tally, depth=1, where="root", in_union=False)
    if tally.properties > MAX_PROPERTIES:
        tally.problems.append(f"{tally.properties} properties, at most {MAX_PROPERTIES} are allowed")
    if tally.enum_values > MAX_ENUM_VALUES:
        tally.problems.append(f"{tally.enum_values} enum values, at most {MAX_ENUM_VALUES} are allowed")
    return tally.problems


def _walk(node: Any, tally: _Tally, *, depth: int, where: str, in_union: bool) -> None:
    if not isinstance(node, dict):
        if not isinstance(node, bool):
            tally.problems.append(f"{where}: a schema must be an object")
        return
    for keyword in sorted(FORBIDDEN & node.keys()):
        tally.problems.append(f'{where}: the keyword "{keyword}" is not supported')
    if node.get("type") == "null" and not in_union:
        tally.problems.append(f"{where}: null is allowed inside a union only")
    values = node["enum"] if isinstance(node.get("enum"), list) else []
    tally.enum_values += len(values)
    if len(values) > LONG_ENUM and sum(len(str(value)) for value in values) > LONG_ENUM_CHARACTERS:
        limit = f"an enum of more than {LONG_ENUM} values may have {LONG_ENUM_CHARACTERS} characters"
        tally.problems.append(f"{where}: {limit}")
    if isinstance(node.get("properties"), dict):
        tally.properties += len(node["properties"])
    if node.keys() & {"properties", "items"}:
        if depth > MAX_DEPTH:
            tally.problems.append(f"{where}: objects and arrays nested more than {MAX_DEPTH} deep")
            return
        depth += 1
    for name, child, union in _children(node):
        _walk(child, tally, depth=depth, where=f"{where}.{name}", in_union=union)


def _children(node: dict[str, Any]) -> Iterator[tuple[str, Any, bool]]:
    """Yield (name, child schema, whether it stands in a union)."""
    for container in ("properties", "$defs", "definitions"):
        if isinstance(node.get(container), dict):
            for name, child in node[container].items():
                yield str(name), child, False
    for union in ("anyOf", "oneOf", "allOf"):
        if isinstance(node.get(union), list):
            for position, child in enumerate(node[union]):
                yield f"{union}[{position}]", child, True
    for single in ("items", "additionalProperties"):
        if isinstance(node.get(single), dict):
            yield single, node[single], False

"""What only pydantic knows of a model: its JSON Schema, held still, and its verdict on an answer.

The only module that imports pydantic, and only once the user has. It owns the few spellings that pydantic changed
between its versions, so that an upgrade of pydantic changes no key; and it keeps a model's validators, which are the
user's own code, from costing an answer.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import orjson
from pydantic import ValidationError
from pydantic.json_schema import GenerateJsonSchema

if TYPE_CHECKING:
    from collections.abc import Mapping

    from parallel_frames._model import Json

_BOUNDS = {
    "ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum", "multiple_of": "multipleOf"
}  # fmt: skip


class StableJsonSchema(GenerateJsonSchema):
    """Pydantic's generator, with one spelling for what its versions spell differently."""

    # Defaults are dropped, so one that JSON cannot hold is nobody's concern.
    ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012 - as pydantic declares it

    def decimal_schema(self, schema: Any) -> dict[str, Any]:
        """Return a plain number: pydantic adds a string branch, whose pattern differs from version to version."""
        bounds = {keyword: float(schema[name]) for name, keyword in _BOUNDS.items() if schema.get(name) is not None}
        return {"type": "number", **bounds}


def validate(model: Any, content: Mapping[str, Json]) -> tuple[dict[str, Json], dict[str, str], str | None]:
    """Return an answer as a model has it, what is wrong with which of its fields, and with the whole of it."""
    try:
        valid = model.model_validate_json(orjson.dumps(content))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about a validator that returns what its field is not: told of later on
            made = valid.model_dump(mode="json", by_alias=True)
    except ValidationError as error:
        problems, whole = _told(error, known=content)
        return dict(content), problems, whole
    except Exception as error:  # noqa: BLE001 - the user's own code, and the answer is paid for
        return dict(content), {}, f"the model's own validator raised {type(error).__name__}: {error}"
    return {name: made.get(name, raw) for name, raw in content.items()}, {}, None


def _told(error: ValidationError, *, known: Mapping[str, Json]) -> tuple[dict[str, str], str | None]:
    """Return the messages by field; what belongs to no field of the answer is said of the whole."""
    problems: dict[str, str] = {}
    whole: list[str] = []
    for each in error.errors(include_url=False, include_context=False, include_input=False):
        path = [str(part) for part in each["loc"]]
        message = each["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
        if path and path[0] in known:
            below = f"{'.'.join(path[1:])}: " if len(path) > 1 else ""
            problems.setdefault(path[0], f"{below}{message}")
        else:
            whole.append(f"{'.'.join(path)}: {message}" if path else message)
    return problems, "; ".join(whole) or None

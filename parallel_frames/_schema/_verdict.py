"""What the user's own model says of an answer that fits its schema: validators know what a schema cannot say."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from parallel_frames._model import Json


@dataclass(frozen=True, slots=True)
class ModelVerdict:
    """A model's verdict on one answer.

    Attributes
    ----------
    content : dict
        The answer with what the model's validators made of its values, as JSON; as it was where it is refused.
    problems : dict of str to str
        What is wrong, by field.
    whole : str or None
        What is wrong with the answer as a whole.
    """

    content: dict[str, Json]
    problems: dict[str, str] = field(default_factory=dict)
    whole: str | None = None


def compile_model_check(model: Any) -> Callable[[Mapping[str, Json]], ModelVerdict]:
    """Return what judges answers by a model or dataclass of pydantic's; any other model takes every answer as it is.

    What is returned never raises, whatever the model's validators do. It expects answers that fit the schema: what a
    model would forgive, such as ``"12"`` for a number, was refused before.
    """
    if not hasattr(model, "__pydantic_validator__"):
        return lambda content: ModelVerdict(dict(content))
    from parallel_frames._schema._pydantic import judge_of, validate

    judge = judge_of(model)
    return lambda content: ModelVerdict(*validate(judge, content))

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
    """Return what judges answers by a pydantic model; it never raises, whatever the model's validators do.

    The answer is validated as JSON, so that a strict model takes the date that it asked for as a text.
    """
    from ._pydantic import validate

    return lambda content: ModelVerdict(*validate(model, content))

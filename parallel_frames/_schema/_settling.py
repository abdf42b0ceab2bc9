"""What a model writes of an answer, made to fit the columns that its schema promised.

Pydantic writes a Decimal as a text, where the schema asks for a number, and a set in any order, where two runs of one
program should give one frame. It owns these two corrections; the types are seen in what the model holds, never guessed
from texts.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from parallel_frames._model import Json


def settled(written: Json, held: Any, answer: Json) -> Json:
    """Return what was written, by what the model holds there and what the answer said there.

    Parameters
    ----------
    written : JSON
        What a model writes of its value.
    held : object
        The same in Python's own types, nested alike.
    answer : JSON
        What the service said; only its order counts.
    """
    if isinstance(held, Decimal) and isinstance(written, str):
        return _number(held, written)
    if isinstance(written, list) and isinstance(held, AbstractSet):
        return _ordered([settled(each, _same(each, held), None) for each in written], answer)
    if (
        not isinstance(written, (dict, list)) or not isinstance(held, (dict, list, tuple)) or len(written) != len(held)
    ):  # a serializer of the user's own
        return written
    if isinstance(written, dict) and isinstance(held, dict):
        fields = answer if isinstance(answer, dict) else {}
        values = zip(written.items(), held.values(), strict=True)
        return {name: settled(value, each, fields.get(name)) for (name, value), each in values}
    if isinstance(written, list):
        said = answer if isinstance(answer, list) and len(answer) == len(written) else [None] * len(written)
        return [settled(*each) for each in zip(written, held, said, strict=True)]
    return written


def _number(held: Decimal, written: str) -> Json:
    if not held.is_finite():
        return written
    return int(held) if held == held.to_integral_value() and abs(held) < 2**63 else float(held)


def _same(written: Json, held: AbstractSet[Any]) -> Any:
    """Return the element of a set that was written so."""
    return next((each for each in held if isinstance(each, Decimal) and str(each) == written), None)


def _ordered(elements: list[Json], answer: Json) -> list[Json]:
    """Return the elements of a set in the order of the answer; those that it does not have come last, sorted."""
    said = [repr(each) for each in answer] if isinstance(answer, list) else []
    places = {text: place for place, text in enumerate(said)}
    return sorted(elements, key=lambda each: (places.get(repr(each), len(said)), repr(each)))

"""An answer that fits its schema, and a model that does not take it as it is: the same answer in other words.

A schema asks for every field and allows null where the model has a default; a model takes null only where it says so,
and its default where a field is absent. And 3.0 is a whole number in JSON, though not to a strict model. It owns these
translations and the way back. It knows nothing of pydantic but the names of two kinds of trouble.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from parallel_frames._model import Json

Place: TypeAlias = "tuple[str | int, ...]"


class Trouble(NamedTuple):
    """One thing a model says against an answer, and the value it says it of."""

    kind: str
    place: Place
    message: str
    value: Any

    def steps(self, content: Json) -> Place:
        """Return the way to the value in an answer, without the names that pydantic gives to branches of unions."""
        if self.kind == "missing":
            return (*way(content, self.place[:-1]), self.place[-1])
        return way(content, self.place)


class Mended(NamedTuple):
    """An answer in other words, and what was said of each place where a null was left out."""

    content: dict[str, Json]
    left_out: Mapping[Place, Sequence[Trouble]]

    def blamed(self, troubles: Sequence[Trouble]) -> list[Trouble]:
        """Return troubles with the mended answer as troubles with the answer that was given."""
        return [first for each in troubles for first in self.left_out.get(each.steps(self.content), [each])]

    def restored(self, made: dict[str, Json]) -> dict[str, Json]:
        """Return what became of the mended answer, with its nulls back: a default is nobody's answer."""
        for place in self.left_out:
            parent = value_at(made, place[:-1])
            if isinstance(parent, dict):
                parent[place[-1]] = None
        return made


def mend(content: Mapping[str, Json], troubles: Sequence[Trouble]) -> Mended | None:
    """Return an answer in words that a model may take; None where there is nothing to reword."""
    mended: dict[str, Json] = copy.deepcopy(dict(content))
    left_out: dict[Place, list[Trouble]] = {}
    for trouble in troubles:
        place = trouble.steps(content)
        if not place:
            continue
        parent: Any = value_at(mended, place[:-1])
        if trouble.kind == "missing" and isinstance(parent, dict):
            parent[place[-1]] = None
        elif trouble.value is None and isinstance(parent, dict):
            parent.pop(place[-1], None)
            left_out.setdefault(place, []).append(trouble)
        elif trouble.kind == "int_type" and isinstance(trouble.value, float) and trouble.value.is_integer():
            parent[place[-1]] = int(trouble.value)
    # Compared as texts: 3.0 == 3 in Python.
    return Mended(mended, left_out) if repr(mended) != repr(dict(content)) else None


def way(content: Any, place: Place) -> Place:
    """Return those steps of a place that lead somewhere in an answer."""
    steps: list[str | int] = []
    for step in place:
        inside = isinstance(content, list) and isinstance(step, int) and step < len(content)
        if inside or (isinstance(content, dict) and step in content):
            content = value_at(content, (step,))
            steps.append(step)
    return tuple(steps)


def value_at(content: Any, place: tuple[Any, ...]) -> Json:
    """Return what stands at a place; None where it leads nowhere."""
    for step in place:
        try:
            content = content[step]
        except (KeyError, IndexError, TypeError):
            return None
    return content

"""The evidence of an answer: made up and saying so, or what the user gave, or some of each.

Owns what a given basis may look like and how it is completed. Refuses to know how an output travels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterator

Content: TypeAlias = "Mapping[str, Any] | str"
Basis: TypeAlias = "Mapping[str, str | Mapping[str, Any]] | Sequence[Mapping[str, Any]]"

CONFIDENCES: Final = ("low", "medium", "high")
PARTS: Final = ("confidence", "reasoning", "citations")
CITATION: Final = {"url": str, "title": str, "excerpts": list}
WHOLE: Final = "output"  # the one field of a text


def build_basis(
    content: Content, given: Basis | None, *, draw: int, elements: bool
) -> list[orjson.Fragment | dict[str, Any]]:
    """Return the basis of an output.

    `draw` decides the confidences that are made up; `elements` says whether a list's elements have evidence of
    their own, which is sent to those only who ask for it.
    """
    places = _places(content, draw=draw, elements=elements)
    if given is not None and not isinstance(given, Mapping):
        sent = {path for path, _ in places}
        return [{"citations": [], **entry} for entry in given if entry["field"] in sent]
    given = given or {}
    return [_completed(*place, given[place[0]]) if place[0] in given else _made_up(*place) for place in places]


def check_basis(basis: Basis, content: Content) -> None:
    """Refuse what cannot be the basis of an answer.

    Raises
    ------
    TypeError
        A part has another type than the service sends, or a name it does not know.
    ValueError
        An entry is for a field, or for an element of a list, that the answer has not; or a confidence is no such word.
    """
    for where, path, parts in _given(basis):
        _check_path(path, content, where)
        _check_parts(parts, where)


def _given(basis: Basis) -> Iterator[tuple[str, Any, Any]]:
    """Give where each entry stands, its path and its parts, of either form."""
    if isinstance(basis, Mapping):
        for path, told in basis.items():
            yield f"basis[{path!r}]", path, {"confidence": told} if isinstance(told, str) else told
    elif isinstance(basis, Sequence) and not isinstance(basis, str | bytes):
        for number, entry in enumerate(basis):
            where = f"basis[{number}]"
            if not isinstance(entry, Mapping) or not isinstance(entry.get("reasoning"), str) or "field" not in entry:
                raise TypeError(f"{where} must be a mapping with a 'field' and a 'reasoning', got {entry!r}")
            yield where, entry["field"], {part: value for part, value in entry.items() if part != "field"}
    else:
        raise TypeError(f"basis must be a mapping of fields or a list of entries, got {type(basis).__name__}")


def _check_path(path: Any, content: Content, where: str) -> None:
    known = [name for name, _ in _places(content, draw=0, elements=True)]
    if path not in known:
        raise ValueError(f"{where} is for {path!r}, and the answer has {', '.join(map(repr, known)) or 'no field'}")


def _check_parts(parts: Any, where: str) -> None:
    if not isinstance(parts, Mapping) or parts.keys() - set(PARTS):
        raise TypeError(f"{where} must be a confidence, or a mapping of {', '.join(PARTS)}, got {parts!r}")
    if parts.get("confidence") is not None and parts["confidence"] not in CONFIDENCES:
        raise ValueError(f"{where}: a confidence is one of {', '.join(CONFIDENCES)}, got {parts['confidence']!r}")
    if not isinstance(parts.get("reasoning", ""), str):
        raise TypeError(f"{where}: a reasoning is a text, got {parts['reasoning']!r}")
    citations = parts.get("citations", [])
    if not isinstance(citations, list) or not all(map(_is_citation, citations)):
        raise TypeError(
            f"{where}: citations are a list of mappings with a 'url', and maybe a 'title' and a list of 'excerpts', "
            f"got {citations!r}"
        )


def _is_citation(value: Any) -> bool:
    if not isinstance(value, Mapping) or "url" not in value or value.keys() - CITATION.keys():
        return False
    typed = all(isinstance(part, CITATION[name]) for name, part in value.items())
    return typed and all(isinstance(excerpt, str) for excerpt in value.get("excerpts", ()))


def _places(content: Content, *, draw: int, elements: bool) -> list[tuple[str, int]]:
    """Return what has evidence, and the number of its made-up confidence."""
    if isinstance(content, str):
        return [(WHOLE, draw % 3)]
    places: list[tuple[str, int]] = []
    for position, (field, value) in enumerate(content.items()):
        places.append((str(field), (draw + position) % 3))
        if elements and isinstance(value, list):
            places.extend((f"{field}.{number}", (draw + number) % 3) for number in range(len(value)))
    return places


def _completed(path: str, confidence: int, told: str | Mapping[str, Any]) -> dict[str, Any]:
    """Return an entry with what was given, and the rest made up."""
    return _entry(path, confidence) | ({"confidence": told} if isinstance(told, str) else dict(told))


@lru_cache(maxsize=4096)
def _made_up(path: str, confidence: int) -> orjson.Fragment:
    return orjson.Fragment(orjson.dumps(_entry(path, confidence)))


def _entry(path: str, confidence: int) -> dict[str, Any]:
    slug = "".join(c if c.isalnum() and c.isascii() else "-" for c in path)
    return {
        "field": path,
        "reasoning": f"Simulated: nothing was researched for {path}.",
        "citations": [
            {
                "url": f"https://example.com/simulated/{slug}",
                "title": "Simulated source",
                "excerpts": ["Simulated excerpt: this page does not exist."],
            }
        ],
        "confidence": CONFIDENCES[confidence],
    }

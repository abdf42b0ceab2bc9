"""Unions in normal form: flat, without duplicates, null last.

It owns what becomes of several branches; it knows nothing of how a schema spelled them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from parallel_frames._model import Json

Node: TypeAlias = dict[str, Any]
NULL: Mapping[str, Json] = {"type": "null"}


def join_union(branches: Sequence[Node]) -> Node:
    """Return the union of normal forms; what is said of its only real branch is said of the union."""
    flat = [leaf for branch in branches for leaf in _flatten(branch)]
    if any(not leaf.keys() - {"description", "examples"} for leaf in flat):
        return {}  # one branch allows anything, and so does the union
    real = _without_duplicates(_join_enums([leaf for leaf in flat if leaf != NULL]))
    has_null = len(real) == 0 or any(leaf == NULL for leaf in flat)
    if not real:
        return dict(NULL)
    if not has_null:
        return real[0] if len(real) == 1 else {"anyOf": real}
    said: Node = {}
    if len(real) == 1:
        said = {key: real[0][key] for key in ("description", "examples") if key in real[0]}
        inner = {key: value for key, value in real[0].items() if key not in said}
        # A branch that was a union with a description is flat again once the description moved out.
        real = list(inner["anyOf"]) if inner.keys() == {"anyOf"} else [inner]
    return {"anyOf": [*real, dict(NULL)]} | said


def split_null(node: Mapping[str, Json]) -> tuple[Mapping[str, Json], bool]:
    """Return a normal form without its null branch, and whether null is allowed."""
    if not node.keys() - {"description", "examples"}:
        return node, True
    if node == NULL:
        return node, True
    branches = node.get("anyOf")
    if branches is None or NULL not in branches:
        return node, False
    real = [branch for branch in branches if branch != NULL]
    said = {key: node[key] for key in ("description", "examples") if key in node}
    return ({**real[0], **said} if len(real) == 1 else {"anyOf": real, **said}), True


def _flatten(branch: Node) -> Iterator[Node]:
    """Yield the leaves of a branch; a described union stays one leaf, its null comes out."""
    if "anyOf" not in branch:
        yield dict(NULL) if branch.get("type") == "null" else branch
        return
    if branch.keys() == {"anyOf"}:
        yield from branch["anyOf"]
        return
    inner, has_null = split_null(branch)
    yield dict(inner)
    if has_null:
        yield dict(NULL)


def _join_enums(leaves: list[Node]) -> list[Node]:
    """Make one enum of those that differ in nothing but their values."""
    plain = [leaf for leaf in leaves if "enum" in leaf and not leaf.keys() - {"type", "enum"}]
    if len(plain) < 2:
        return leaves
    types = {leaf.get("type") for leaf in plain}
    values = [value for leaf in plain for value in leaf["enum"]]
    unique = list({(type(value), str(value)): value for value in values}.values())
    numeric = types <= {"integer", "number"}
    shared = next(iter(types)) if len(types) == 1 else "number" if numeric else None
    joined: Node = ({"type": shared} if shared else {}) | {"enum": unique}
    rest = [leaf for leaf in leaves if leaf not in plain]
    position = leaves.index(plain[0])
    return [*rest[:position], joined, *rest[position:]]


def _without_duplicates(leaves: list[Node]) -> list[Node]:
    kept: list[Node] = []
    for leaf in leaves:
        # 1 == True in Python: compare the text, in which they differ.
        if not any(repr(leaf) == repr(other) for other in kept):
            kept.append(leaf)
    return kept

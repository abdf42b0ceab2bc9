"""A problem of an answer: where, and why. And the few words all checks share."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from parallel_frames._model import Json

MAX_SHOWN = 200


class Problem(NamedTuple):
    """Where a value does not fit, and why; the path is relative, empty for the value itself."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


Problems: TypeAlias = tuple[Problem, ...]
Check: TypeAlias = Callable[[Json], Problems]
FINE: Problems = ()


def shown(value: object) -> str:
    """Return a value as messages show it: its JSON, cut at 200 characters."""
    try:
        text = json.dumps(value, ensure_ascii=False, default=repr)
    except (ValueError, RecursionError, TypeError):
        text = repr(value)
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "…"


def one(message: str) -> Problems:
    """Return the one problem of a value itself."""
    return (Problem("", message),)


def below(step: str, problems: Problems) -> Problems:
    """Return problems seen from one level up."""
    return tuple(
        Problem(f"{step}{'' if not path or path[0] == '[' else '.'}{path}", message) for path, message in problems
    )

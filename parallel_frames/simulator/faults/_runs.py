"""Faults of runs: what becomes of them, and of their answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Any, Literal

from parallel_frames.simulator._answers import ActionRequired, Cancelled, Ending, Failure, Stuck

from ._base import RunFault, fault

if TYPE_CHECKING:
    from parallel_frames.simulator._answers import Given
    from parallel_frames.simulator._made_up import Spec

ODD = "\u2028 \u2029 \u0085"  # line ends to a careless reader, plain characters to JSON


@fault
class fail_runs(RunFault):
    """Let runs fail.

    Parameters
    ----------
    message : str, default "simulated failure"
        The message of the run's error.

    Examples
    --------
    >>> from parallel_frames.simulator import Simulator, faults
    >>> sim = Simulator(faults=[faults.fail_runs("no such country", inputs="Atlantis"),
    ...                         faults.fail_runs(probability=0.05)])
    """

    message: str = "simulated failure"

    def change(self, answer: Given, spec: Spec) -> Given:
        return Failure(self.message)


@fault
class cancel_runs(RunFault):
    """Let runs end as cancelled.

    Parameters
    ----------
    message : str, default "simulated cancellation"
        The message of the run's error.
    """

    message: str = "simulated cancellation"

    def change(self, answer: Given, spec: Spec) -> Given:
        return Cancelled(self.message)


@fault
class stick_runs(RunFault):
    """Let runs stay `running` for ever."""

    def change(self, answer: Given, spec: Spec) -> Given:
        return Stuck()


@fault
class require_action(RunFault):
    """Let runs wait for an action that is never taken: `action_required`."""

    def change(self, answer: Given, spec: Spec) -> Given:
        return ActionRequired()


def _replace_first(content: Mapping[str, Any], value: Any) -> dict[str, Any]:
    return {**content, next(iter(content)): value} if content else {}


_BREAKS: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    "type": lambda content: _replace_first(content, {"unexpected": ["simulated", True]}),
    "null": lambda content: _replace_first(content, None),
    "missing": lambda content: {name: content[name] for name in list(content)[1:]},
    "extra": lambda content: {**content, "unexpected": "simulated"},
    "empty": lambda _content: {},
}


@fault
class break_answers(RunFault):
    """Let answers break their schema.

    Parameters
    ----------
    how : {"type", "null", "missing", "extra", "empty"}, default "type"
        The first field has another type, is null, or is missing; there is one field more; there is none at all.
    """

    how: Literal["type", "null", "missing", "extra", "empty"] = field(default="type", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.how not in _BREAKS:
            raise ValueError(f"how must be one of {', '.join(_BREAKS)}, got {self.how!r}")

    def change(self, answer: Given, spec: Spec) -> Given:
        return _BREAKS[self.how](answer) if isinstance(answer, Mapping) else answer


@fault
class odd_text(RunFault):
    """Add raw U+2028, U+2029 and U+0085 to every text of an answer: readers that split there break the event."""

    def change(self, answer: Given, spec: Spec) -> Given:
        return answer if isinstance(answer, Ending) else _odd(answer)


def _odd(value: Any) -> Any:
    if isinstance(value, str):
        return value + ODD
    if isinstance(value, Mapping):
        return {name: _odd(child) for name, child in value.items()}
    return [_odd(child) for child in value] if isinstance(value, list) else value

"""Faults of runs: what becomes of them, and of their answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from parallel_frames.simulator._answers import ActionRequired, Cancelled, Ending, Failure, Stuck

from ._base import Choice, Inputs, Nth, RunFault

if TYPE_CHECKING:
    from parallel_frames.simulator._answers import Given
    from parallel_frames.simulator._spec import Spec

ODD = "\u2028 \u2029 \u0085"  # line ends to a careless reader, plain characters to JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class _EndRun(RunFault):
    ending: Ending

    def change(self, answer: Given, spec: Spec) -> Given:  # noqa: ARG002 - the Fault's shape
        return self.ending


def fail_runs(
    message: str = "simulated failure", *, inputs: Inputs = None, nth: Nth = None, probability: float | None = None
) -> RunFault:
    """Let runs fail.

    Parameters
    ----------
    message : str, default "simulated failure"
        The message of the run's error.
    inputs : callable or str, optional
        Which inputs: those ``f(input)`` is true for, or those that are or hold that text; by default all.
    nth : int or collection of int, optional
        Which of the runs with such an input, counted from 1 in creation order; see `onwards`.
    probability : float, optional
        Of each of them.

    Returns
    -------
    Fault
        For `Simulator(faults=[...])`.

    Examples
    --------
    >>> from parallel_frames.simulator import Simulator, faults
    >>> sim = Simulator(faults=[faults.fail_runs("no such country", inputs="Atlantis"),
    ...                         faults.fail_runs(probability=0.05)])
    """
    return _EndRun(inputs=inputs, choice=Choice(nth, probability), ending=Failure(message))


def cancel_runs(
    message: str = "simulated cancellation",
    *,
    inputs: Inputs = None,
    nth: Nth = None,
    probability: float | None = None,
) -> RunFault:
    """Let runs end as cancelled.

    Parameters
    ----------
    message : str, default "simulated cancellation"
        The message of the run's error.
    inputs, nth, probability : optional
        Which runs, as for `fail_runs`.

    Returns
    -------
    Fault
        For `Simulator(faults=[...])`.
    """
    return _EndRun(inputs=inputs, choice=Choice(nth, probability), ending=Cancelled(message))


def stick_runs(*, inputs: Inputs = None, nth: Nth = None, probability: float | None = None) -> RunFault:
    """Let runs stay `running` for ever.

    Parameters
    ----------
    inputs, nth, probability : optional
        Which runs, as for `fail_runs`.

    Returns
    -------
    Fault
        For `Simulator(faults=[...])`.
    """
    return _EndRun(inputs=inputs, choice=Choice(nth, probability), ending=Stuck())


def require_action(*, inputs: Inputs = None, nth: Nth = None, probability: float | None = None) -> RunFault:
    """Let runs wait for an action nobody takes: `action_required`.

    Parameters
    ----------
    inputs, nth, probability : optional
        Which runs, as for `fail_runs`.

    Returns
    -------
    Fault
        For `Simulator(faults=[...])`.
    """
    return _EndRun(inputs=inputs, choice=Choice(nth, probability), ending=ActionRequired())


@dataclass(frozen=True, slots=True, kw_only=True)
class _ChangeContent(RunFault):
    alter: Callable[[dict[str, Any]], dict[str, Any]]

    def change(self, answer: Given, spec: Spec) -> Given:  # noqa: ARG002 - the Fault's shape
        return self.alter(dict(answer)) if isinstance(answer, Mapping) else answer


def _first_replaced(content: dict[str, Any], value: Any) -> dict[str, Any]:
    return {**content, next(iter(content)): value} if content else content


_BREAKS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "type": lambda content: _first_replaced(content, {"unexpected": ["simulated", True]}),
    "null": lambda content: _first_replaced(content, None),
    "missing": lambda content: {name: content[name] for name in list(content)[1:]},
    "extra": lambda content: {**content, "unexpected": "simulated"},
    "empty": lambda _content: {},
}


def break_answers(
    *,
    how: Literal["type", "null", "missing", "extra", "empty"] = "type",
    inputs: Inputs = None,
    nth: Nth = None,
    probability: float | None = None,
) -> RunFault:
    """Let answers break their schema.

    Parameters
    ----------
    how : {"type", "null", "missing", "extra", "empty"}, default "type"
        The first field has another type, is null, or is missing; there is one field more; there is none at all.
    inputs, nth, probability : optional
        Which runs, as for `fail_runs`.

    Returns
    -------
    Fault
        For `Simulator(faults=[...])`.
    """
    if how not in _BREAKS:
        raise ValueError(f"how must be one of {', '.join(_BREAKS)}, got {how!r}")
    return _ChangeContent(inputs=inputs, choice=Choice(nth, probability), alter=_BREAKS[how])


def _odd(value: Any) -> Any:
    if isinstance(value, str):
        return value + ODD
    if isinstance(value, Mapping):
        return {name: _odd(child) for name, child in value.items()}
    return [_odd(child) for child in value] if isinstance(value, list) else value


@dataclass(frozen=True, slots=True, kw_only=True)
class _OddText(RunFault):
    def change(self, answer: Given, spec: Spec) -> Given:  # noqa: ARG002 - the Fault's shape
        return answer if isinstance(answer, Ending) else _odd(answer)


def odd_text(*, inputs: Inputs = None, nth: Nth = None, probability: float | None = None) -> RunFault:
    """Add raw U+2028, U+2029 and U+0085 to every text of an answer: readers that split there break the event.

    Parameters
    ----------
    inputs, nth, probability : optional
        Which runs, as for `fail_runs`.

    Returns
    -------
    Fault
        For `Simulator(faults=[...])`.
    """
    return _OddText(inputs=inputs, choice=Choice(nth, probability))

"""What a fault is, and when it strikes.

A fault is a frozen dataclass: its fields are its parameters, and one method is its effect on a request, an event
stream or a run. It keeps no state, so that one fault can be given to several simulators: the matches so far are
counted by the simulator's own `FaultSchedule`.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias, TypeVar, dataclass_transform

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from parallel_frames.simulator._answers import Given
    from parallel_frames.simulator._exchange import Answering, Exchange, Frames
    from parallel_frames.simulator._made_up import Spec

    Proceed: TypeAlias = Callable[[], Awaitable[Answering]]

F = TypeVar("F", bound="Fault")

Nth: TypeAlias = int | Collection[int] | None
Inputs: TypeAlias = Callable[[Any], bool] | str | None
Endpoints: TypeAlias = str | Iterable[str]

STREAMS = frozenset({"events", "list_runs"})
ENDPOINTS = STREAMS | {"create_group", "add_runs", "status", "result", "run", "input", "create_run"}


def onwards(first: int) -> range:
    """Return every number from `first` on, for ``nth=`` and ``events=``.

    Parameters
    ----------
    first : int
        The first one, counted from 1.

    Returns
    -------
    range
        `first` and all that follow.

    Examples
    --------
    >>> from parallel_frames.simulator import faults
    >>> no_credit_left = faults.status(402, on="add_runs", nth=faults.onwards(3))
    """
    return range(first, sys.maxsize)


@dataclass(frozen=True, slots=True)
class Choice:
    """Which of many: by number, counted from 1, by chance, or both; neither is all of them."""

    nth: Nth = None
    probability: float | None = None

    def __post_init__(self) -> None:
        if self.probability is not None and not 0 <= self.probability <= 1:
            raise ValueError(f"a probability is a number from 0 to 1, got {self.probability!r}")
        if isinstance(self.nth, int) and self.nth < 1:
            raise ValueError(f"numbers begin at 1, got {self.nth!r}")

    def picks(self, number: int, *, rng: Random) -> bool:
        """Return whether this one is chosen."""
        numbers = (self.nth,) if isinstance(self.nth, int) else self.nth
        if numbers is not None and number not in numbers:
            return False
        return self.probability is None or rng.random() < self.probability


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Something that goes wrong, where, and how often.

    Parameters
    ----------
    on : str or iterable of str
        Endpoints: `create_group`, `add_runs`, `status`, `events`, `list_runs`, `result`, `run`, `input`, `create_run`.
    nth : int or collection of int, optional
        Which of the matching requests, streams or runs it strikes, counted from 1: a number, a set or range of them,
        or `onwards`; by default all.
    probability : float, optional
        The chance that it strikes one of those, from 0 to 1, drawn from the simulator's seed; by default 1.
    """

    known: ClassVar[frozenset[str]] = ENDPOINTS

    on: Endpoints
    nth: Nth = None
    probability: float | None = None
    choice: Choice = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        on = frozenset([self.on] if isinstance(self.on, str) else self.on)
        if unknown := on - self.known:
            raise ValueError(
                f"unknown endpoint {', '.join(sorted(unknown))}: choose from {', '.join(sorted(self.known))}"
            )
        object.__setattr__(self, "on", on)
        object.__setattr__(self, "choice", Choice(self.nth, self.probability))


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def fault(cls: type[F]) -> type[F]:
    """Make a class a fault: a frozen dataclass whose docstring also describes the parameters of its bases."""
    made = dataclass(frozen=True)(cls)
    entries: dict[str, str] = {}
    for base in cls.__mro__:
        entries = _documented_parameters(base) | entries
    if "on" in entries and isinstance(on := getattr(made, "on", None), str | tuple):
        entries["on"] = entries["on"].replace("\n", f", default {on!r}\n", 1)
    names = sorted(inspect.signature(made).parameters, key=("nth", "probability").count)  # what all have comes last
    described = "\n".join(entries[name] for name in names if name in entries)  # none of them under python -OO
    text, *examples = re.split(r"\n\n(?=Examples\n)", inspect.cleandoc(cls.__doc__ or ""))
    summary = text.partition("\n\nParameters\n")[0]
    made.__doc__ = "\n\n".join([summary, f"Parameters\n----------\n{described}", *examples])
    return made


def _documented_parameters(cls: type) -> dict[str, str]:
    """Return the entries of a docstring's section of parameters."""
    text = inspect.cleandoc(cls.__doc__ or "")
    section = text.partition("\nParameters\n----------\n")[2].partition("\n\n")[0]
    return {entry.partition(" :")[0]: entry for entry in re.split(r"\n(?=\S)", section) if entry}


class RequestFault(Fault):
    """A fault of requests: it decides what is answered."""

    def concerns(self, exchange: Exchange) -> bool:
        """Return whether this request could be struck at all; others aren't counted."""
        return exchange.endpoint in self.on

    async def strike(self, exchange: Exchange, proceed: Proceed) -> Answering:
        """Return what is answered; `proceed` handles the request as if nothing was wrong."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class StreamFault(Fault):
    """A fault of event streams: it changes the frames that are sent.

    Parameters
    ----------
    on : str or iterable of str
        `events`, `list_runs`, or both.
    """

    known: ClassVar[frozenset[str]] = STREAMS

    on: Endpoints = "events"

    def bend(self, frames: Frames, *, rng: Random) -> Frames:
        """Return the frames as they are sent."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class RunFault(Fault):
    """A fault of runs: it changes what a run answers.

    Parameters
    ----------
    inputs : callable or str, optional
        Which inputs: those ``f(input)`` is true for, or those that are or hold that text; by default all. Runs are
        counted in the order of their creation.
    """

    on: Endpoints = field(default=frozenset(), init=False, repr=False)
    inputs: Inputs = None

    def matches(self, run_input: str | Mapping[str, Any]) -> bool:
        """Return whether a run with this input could be struck at all; others aren't counted."""
        if self.inputs is None:
            return True
        if callable(self.inputs):
            return bool(self.inputs(run_input))
        if isinstance(run_input, str):
            return run_input == self.inputs
        return self.inputs in run_input.values()

    def change(self, answer: Given, spec: Spec) -> Given:
        """Return what the run answers instead."""
        raise NotImplementedError


class FaultSchedule:
    """The faults of one simulator, and how often each could have struck so far."""

    def __init__(self, faults: Iterable[Fault], *, seed: int) -> None:
        self.rng = Random(seed)  # noqa: S311 - faults, not secrets
        self.struck = 0
        self._faults: list[tuple[Fault, Iterator[int]]] = []  # each with the numbers of its matches to come
        self.add(faults)

    def add(self, faults: Iterable[Fault]) -> None:
        for added in faults:
            if not isinstance(added, Fault):
                raise TypeError(f"not a fault: {added!r}")
            self._faults.append((added, count(1)))

    def clear(self) -> None:
        self._faults.clear()

    def select(self, kind: type[F], matches: Callable[[F], bool]) -> list[F]:
        """Return the faults of a kind that strike what they match now."""
        matching = [(fault, numbers) for fault, numbers in self._faults if isinstance(fault, kind) and matches(fault)]
        selected = [fault for fault, numbers in matching if fault.choice.picks(next(numbers), rng=self.rng)]
        self.struck += len(selected)
        return selected

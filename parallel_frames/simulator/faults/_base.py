"""When a fault strikes, and the three places where one can: a request, an event stream, a run.

Faults are values: frozen, reusable, printable. What they have seen so far is counted by the simulator they are given
to, so that one fault can serve several.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable
    from random import Random

    from parallel_frames.simulator._answers import Given
    from parallel_frames.simulator._exchange import Exchange
    from parallel_frames.simulator._replies import Answering, Frames
    from parallel_frames.simulator._spec import Spec

    Proceed: TypeAlias = Callable[[], Awaitable[Answering]]

Nth: TypeAlias = int | Collection[int] | None
Inputs: TypeAlias = Callable[[Any], bool] | str | None

ENDPOINTS = frozenset(
    {"create_group", "add_runs", "status", "events", "list_runs", "result", "run", "input", "create_run"}
)


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
            raise ValueError(f"what is counted begins at 1, got {self.nth!r}")

    def picks(self, number: int, *, rng: Random) -> bool:
        """Return whether this one is chosen."""
        if isinstance(self.nth, int) and number != self.nth:
            return False
        if isinstance(self.nth, Collection) and number not in self.nth:
            return False
        return self.probability is None or rng.random() < self.probability


ALWAYS = Choice()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Something that goes wrong, where, and how often; made by the functions of `parallel_frames.simulator.faults`.

    Attributes
    ----------
    on : frozenset of str
        The endpoints it concerns; empty for faults of runs.
    choice : Choice
        Which of the matching requests, streams or runs it strikes.
    """

    known: ClassVar[frozenset[str]] = ENDPOINTS

    on: frozenset[str] = frozenset()
    choice: Choice = ALWAYS

    def __post_init__(self) -> None:
        unknown = self.on - self.known
        if unknown:
            raise ValueError(
                f"unknown endpoint {', '.join(sorted(unknown))}: choose from {', '.join(sorted(self.known))}"
            )


def endpoints(on: str | Iterable[str]) -> frozenset[str]:
    """Return one or several names as a set."""
    return frozenset([on]) if isinstance(on, str) else frozenset(on)


class RequestFault(Fault):
    """A fault that stands around the handling of a request."""

    __slots__ = ()

    def concerns(self, exchange: Exchange) -> bool:
        """Return whether this request could be struck at all; others aren't counted."""
        return exchange.endpoint in self.on

    async def strike(self, exchange: Exchange, proceed: Proceed) -> Answering:
        """Return what is answered; `proceed` handles the request as if nothing was wrong."""
        raise NotImplementedError


class StreamFault(Fault):
    """A fault that stands around the frames of an event stream."""

    __slots__ = ()
    known: ClassVar[frozenset[str]] = frozenset({"events", "list_runs"})

    def bend(self, frames: Frames, *, rng: Random) -> Frames:
        """Return the frames as they are sent."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFault(Fault):
    """A fault that changes what a run answers.

    Attributes
    ----------
    inputs : callable, str or None
        Which inputs it concerns: those the function is true for, or those that are or hold that text; None is all.
    """

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

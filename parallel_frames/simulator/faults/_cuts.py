"""Faults of whole streams: they end early, fall silent, or mix their events up."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from parallel_frames.simulator._replies import CutError

from ._base import Choice, Nth, StreamFault, endpoints

if TYPE_CHECKING:
    from collections.abc import Iterable
    from random import Random

    from parallel_frames.simulator._replies import Frames


def is_event(data: bytes) -> bool:
    """Return whether a frame is an event, not a comment."""
    return not data.startswith(b":")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cut(StreamFault):
    after: int
    how: Literal["end", "close", "reset"]
    mid_event: bool

    async def bend(self, frames: Frames, *, rng: Random) -> Frames:  # noqa: ARG002 - the Fault's shape
        left = self.after
        async for chunk in frames:
            whole: list[bytes] = []
            for data in chunk:
                if left == 0 and is_event(data):
                    yield [*whole, data[: len(data) // 2]] if self.mid_event else whole
                    self._end()
                    return
                left -= is_event(data)
                whole.append(data)
            yield whole
            if left == 0 and not self.mid_event:
                self._end()
                return

    def _end(self) -> None:
        if self.how != "end":
            raise CutError(self.how)


def cut_stream(
    *,
    after: int,
    how: Literal["end", "close", "reset"] = "close",
    mid_event: bool = False,
    on: str | Iterable[str] = "events",
    nth: Nth = None,
    probability: float | None = None,
) -> StreamFault:
    """End a stream after some events.

    Parameters
    ----------
    after : int
        Events that are sent whole before.
    how : {"end", "close", "reset"}, default "close"
        Like a stream that is complete, by closing the connection in the middle of the response, or by a TCP reset.
    mid_event : bool, default False
        Whether half of the next event is sent too.
    on : str or iterable of str, default "events"
        `events`, `list_runs`, or both.
    nth : int or collection of int, optional
        Which of the streams opened there, counted from 1; see `onwards`.
    probability : float, optional
        Of each of them.

    Returns
    -------
    Fault
        For `Simulator(faults=[...])`.

    Examples
    --------
    >>> from parallel_frames.simulator import Simulator, faults
    >>> sim = Simulator(faults=[faults.cut_stream(after=10, how="reset", nth=range(1, 4))])
    """
    choice = Choice(nth, probability)
    return _Cut(on=endpoints(on), choice=choice, after=after, how=how, mid_event=mid_event)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Silent(StreamFault):
    after: int

    async def bend(self, frames: Frames, *, rng: Random) -> Frames:  # noqa: ARG002 - the Fault's shape
        left = self.after
        async for chunk in frames:
            if left:
                yield chunk[:left]
            left -= min(left, sum(map(is_event, chunk)))
            if left == 0:
                await asyncio.Event().wait()  # until the reader goes away


def silent_stream(
    *, after: int, on: str | Iterable[str] = "events", nth: Nth = None, probability: float | None = None
) -> StreamFault:
    """Send nothing more after some events, not even keep-alives, and leave the connection open.

    Parameters
    ----------
    after : int
        Events that are sent before; 0 sends none.
    on : str or iterable of str, default "events"
        `events`, `list_runs`, or both.
    nth, probability : optional
        As for `cut_stream`.

    Returns
    -------
    Fault
        For `Simulator(faults=[...])`.
    """
    return _Silent(on=endpoints(on), choice=Choice(nth, probability), after=after)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shuffle(StreamFault):
    within: int

    async def bend(self, frames: Frames, *, rng: Random) -> Frames:
        held: list[bytes] = []
        async for chunk in frames:
            held += filter(is_event, chunk)
            ready, held = ([], held) if all(map(is_event, chunk)) and len(held) < self.within else (held, [])
            rng.shuffle(ready)
            yield ready
        rng.shuffle(held)
        yield held


def shuffle_events(
    *, within: int = 10, on: str | Iterable[str] = "events", nth: Nth = None, probability: float | None = None
) -> StreamFault:
    """Send events out of order.

    Parameters
    ----------
    within : int, default 10
        Events held back and shuffled together; fewer when a keep-alive is due or the stream ends.
    on : str or iterable of str, default "events"
        `events`, `list_runs`, or both.
    nth, probability : optional
        Which streams, as for `cut_stream`.

    Returns
    -------
    Fault
        For `Simulator(faults=[...])`.
    """
    return _Shuffle(on=endpoints(on), choice=Choice(nth, probability), within=within)

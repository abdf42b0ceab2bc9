"""Faults of event streams: what happens to their events. What happens to their bytes is in `_bytes`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import orjson

from .._messages import frame
from .._replies import CutError
from ._base import ALWAYS, Choice, Nth, StreamFault, endpoints

if TYPE_CHECKING:
    from collections.abc import Iterable
    from random import Random

    from .._replies import Frames

Events = int | Collection[int] | None


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
class _EachEvent(StreamFault):
    """Something done to some of a stream's events, each on its own."""

    events: Choice = ALWAYS
    change: Callable[[bytes], list[bytes]]

    async def bend(self, frames: Frames, *, rng: Random) -> Frames:
        number = 0
        async for chunk in frames:
            bent: list[bytes] = []
            for data in chunk:
                number += is_event(data)
                chosen = is_event(data) and self.events.picks(number, rng=rng)
                bent.extend(self.change(data) if chosen else [data])
            yield bent


def repeat_events(
    *,
    times: int = 1,
    events: Events = None,
    share: float | None = None,
    on: str | Iterable[str] = "events",
    nth: Nth = None,
    probability: float | None = None,
) -> StreamFault:
    """Send events more than once.

    Parameters
    ----------
    times : int, default 1
        How often again.
    events : int or collection of int, optional
        Which events of the stream, counted from 1; by default all.
    share : float, optional
        The chance of each of them.
    on : str or iterable of str, default "events"
        `events`, `list_runs`, or both.
    nth, probability : optional
        Which streams, as for `cut_stream`.

    Returns
    -------
    Fault
        For `Simulator(faults=[...])`.
    """
    return _EachEvent(
        on=endpoints(on),
        choice=Choice(nth, probability),
        events=Choice(events, share),
        change=lambda data: [data] * (times + 1),
    )


def lose_events(
    *,
    events: Events = None,
    share: float | None = None,
    on: str | Iterable[str] = "events",
    nth: Nth = None,
    probability: float | None = None,
) -> StreamFault:
    """Leave events out of a stream; listings and other streams still have them.

    Parameters
    ----------
    events, share : optional
        Which events, as for `repeat_events`.
    on : str or iterable of str, default "events"
        `events`, `list_runs`, or both.
    nth, probability : optional
        Which streams, as for `cut_stream`.

    Returns
    -------
    Fault
        For `Simulator(faults=[...])`.
    """
    return _EachEvent(
        on=endpoints(on),
        choice=Choice(nth, probability),
        events=Choice(events, share),
        change=lambda _data: [],
    )


def malform_events(
    *,
    events: Events = None,
    share: float | None = None,
    on: str | Iterable[str] = "events",
    nth: Nth = None,
    probability: float | None = None,
) -> StreamFault:
    """Send events whose JSON is broken off.

    Parameters
    ----------
    events, share : optional
        Which events, as for `repeat_events`.
    on : str or iterable of str, default "events"
        `events`, `list_runs`, or both.
    nth, probability : optional
        Which streams, as for `cut_stream`.

    Returns
    -------
    Fault
        For `Simulator(faults=[...])`.
    """
    return _EachEvent(
        on=endpoints(on),
        choice=Choice(nth, probability),
        events=Choice(events, share),
        change=lambda data: [data[: len(data) // 2] + b"\n\n"],
    )


def huge_events(
    *,
    size: int = 1_000_000,
    events: Events = 1,
    share: float | None = None,
    on: str | Iterable[str] = "events",
    nth: Nth = None,
    probability: float | None = None,
) -> StreamFault:
    """Make events huge, by a field no client knows.

    Parameters
    ----------
    size : int, default 1,000,000
        Bytes that are added.
    events : int or collection of int or None, default 1
        Which events, counted from 1; None is all.
    share : float, optional
        The chance of each of them.
    on : str or iterable of str, default "events"
        `events`, `list_runs`, or both.
    nth, probability : optional
        Which streams, as for `cut_stream`.

    Returns
    -------
    Fault
        For `Simulator(faults=[...])`.
    """
    return _EachEvent(
        on=endpoints(on),
        choice=Choice(nth, probability),
        events=Choice(events, share),
        change=lambda data: [data.replace(b"{", b'{"padding":"' + b"x" * size + b'",', 1)],
    )


def insert_event(
    event: dict[str, object] | None = None,
    *,
    before: Events = 1,
    on: str | Iterable[str] = "events",
    nth: Nth = None,
    probability: float | None = None,
) -> StreamFault:
    """Send an event that isn't the group's, by default one of type ``error``.

    Parameters
    ----------
    event : dict, optional
        The event; its ``type`` may be one no client knows.
    before : int or collection of int or None, default 1
        Before which events of the stream, counted from 1; None is all.
    on : str or iterable of str, default "events"
        `events`, `list_runs`, or both.
    nth, probability : optional
        Which streams, as for `cut_stream`.

    Returns
    -------
    Fault
        For `Simulator(faults=[...])`.
    """
    trouble = {"type": "error", "error": {"ref_id": "ref_simulated", "message": "simulated: trouble of the stream"}}
    extra = frame(orjson.dumps(trouble if event is None else event))
    return _EachEvent(
        on=endpoints(on),
        choice=Choice(nth, probability),
        events=Choice(before),
        change=lambda data: [extra, data],
    )


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

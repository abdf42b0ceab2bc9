"""Faults of a stream's events, each on its own: repeated, lost, malformed, huge, foreign."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

from parallel_frames.simulator._messages import frame

from ._base import ALWAYS, Choice, Nth, StreamFault, endpoints
from ._cuts import is_event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from random import Random

    from parallel_frames.simulator._replies import Frames


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
    events: Nth = None,
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
    events: Nth = None,
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
    events: Nth = None,
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
    events: Nth = 1,
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
    before: Nth = 1,
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

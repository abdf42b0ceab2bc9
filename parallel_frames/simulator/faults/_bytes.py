"""Faults of a stream's bytes: lawful server-sent events that look unlike what a hasty reader expects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ._base import Choice, Nth, StreamFault, endpoints
from ._cuts import is_event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from random import Random

    from parallel_frames.simulator._replies import Frames


@dataclass(frozen=True, slots=True, kw_only=True)
class _EachFrame(StreamFault):
    change: Callable[[bytes], bytes]

    async def bend(self, frames: Frames, *, rng: Random) -> Frames:  # noqa: ARG002 - the Fault's shape
        async for chunk in frames:
            yield [self.change(data) for data in chunk]


def line_ends(
    ends: Literal["\r\n", "\r"] = "\r\n",
    *,
    on: str | Iterable[str] = ("events", "list_runs"),
    nth: Nth = None,
    probability: float | None = None,
) -> StreamFault:
    r"""End lines with CRLF or CR.

    Parameters
    ----------
    ends : {"\\r\\n", "\\r"}, default "\\r\\n"
        What lines end with.
    on : str or iterable of str, default ("events", "list_runs")
        `events`, `list_runs`, or both.
    nth, probability : optional
        Which streams, as for `cut_stream`.

    Returns
    -------
    Fault
        For `Simulator(faults=[...])`.
    """
    new = ends.encode()
    return _EachFrame(on=endpoints(on), choice=Choice(nth, probability), change=lambda data: data.replace(b"\n", new))


def _dress(data: bytes) -> bytes:
    """Add every other field an event may have, and spread its data over two lines."""
    if not is_event(data):
        return data
    body = data.removeprefix(b"data: ")
    return b"retry: 3000\n: simulated comment\nid: 1\nevent: message\ndata:" + body.replace(b"{", b"{\ndata:", 1)


def dressed(
    on: str | Iterable[str] = ("events", "list_runs"), *, nth: Nth = None, probability: float | None = None
) -> StreamFault:
    """Send events with ``id``, ``event``, ``retry`` and comment lines, and their data over two lines without a space.

    Parameters
    ----------
    on : str or iterable of str, default ("events", "list_runs")
        `events`, `list_runs`, or both.
    nth, probability : optional
        Which streams, as for `cut_stream`.

    Returns
    -------
    Fault
        For `Simulator(faults=[...])`.
    """
    return _EachFrame(on=endpoints(on), choice=Choice(nth, probability), change=_dress)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Mark(StreamFault):
    async def bend(self, frames: Frames, *, rng: Random) -> Frames:  # noqa: ARG002 - the Fault's shape
        yield [b"\xef\xbb\xbf"]
        async for chunk in frames:
            yield chunk


def byte_order_mark(
    on: str | Iterable[str] = ("events", "list_runs"), *, nth: Nth = None, probability: float | None = None
) -> StreamFault:
    """Begin streams with a byte order mark.

    Parameters
    ----------
    on : str or iterable of str, default ("events", "list_runs")
        `events`, `list_runs`, or both.
    nth, probability : optional
        Which streams, as for `cut_stream`.

    Returns
    -------
    Fault
        For `Simulator(faults=[...])`.
    """
    return _Mark(on=endpoints(on), choice=Choice(nth, probability))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pieces(StreamFault):
    size: int

    async def bend(self, frames: Frames, *, rng: Random) -> Frames:  # noqa: ARG002 - the Fault's shape
        async for chunk in frames:
            data = b"".join(chunk)
            for start in range(0, len(data), self.size):
                yield [data[start : start + self.size]]


def pieces(
    size: int = 1,
    *,
    on: str | Iterable[str] = ("events", "list_runs"),
    nth: Nth = None,
    probability: float | None = None,
) -> StreamFault:
    """Send streams in chunks of a few bytes; give it last, so that it cuts what other faults made.

    Parameters
    ----------
    size : int, default 1
        Bytes in a chunk.
    on : str or iterable of str, default ("events", "list_runs")
        `events`, `list_runs`, or both.
    nth, probability : optional
        Which streams, as for `cut_stream`.

    Returns
    -------
    Fault
        For `Simulator(faults=[...])`.
    """
    if size < 1:
        raise ValueError(f"size must be at least 1, got {size!r}")
    return _Pieces(on=endpoints(on), choice=Choice(nth, probability), size=size)

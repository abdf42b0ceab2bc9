"""Faults of event streams: whole streams, single events, and bytes in an unusual but valid form."""

from __future__ import annotations

import asyncio
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Literal

import orjson

from parallel_frames.simulator._exchange import CutError
from parallel_frames.simulator._streams import frame

from ._base import Choice, Endpoints, Nth, StreamFault, fault

if TYPE_CHECKING:
    from random import Random

    from parallel_frames.simulator._exchange import Frames

BOTH = ("events", "list_runs")


def _is_event(data: bytes) -> bool:
    """Return whether a frame is an event, not a comment."""
    return not data.startswith(b":")


# -- whole streams ---------------------------------------------------------------------------------------------------


@fault
class cut_stream(StreamFault):
    """End a stream after some events.

    Parameters
    ----------
    after : int
        Events that are sent whole before.
    how : {"end", "close", "reset"}, default "close"
        Like a stream that is complete, by closing the connection in the middle of the response, or by a TCP reset.
    mid_event : bool, default False
        Whether half of the next event is sent too.

    Examples
    --------
    >>> from parallel_frames.simulator import Simulator, faults
    >>> sim = Simulator(faults=[faults.cut_stream(after=10, how="reset", nth=range(1, 4))])
    """

    _: KW_ONLY
    after: int
    how: Literal["end", "close", "reset"] = "close"
    mid_event: bool = False

    async def bend(self, frames: Frames, *, rng: Random) -> Frames:
        left = self.after
        async for chunk in frames:
            whole: list[bytes] = []
            for data in chunk:
                if left == 0 and _is_event(data):
                    yield [*whole, data[: len(data) // 2]] if self.mid_event else whole
                    self._end()
                    return
                left -= _is_event(data)
                whole.append(data)
            yield whole
            # Without this, a stream whose last event was the last allowed one would wait for another to cut at.
            if left == 0 and not self.mid_event:
                self._end()
                return

    def _end(self) -> None:
        if self.how != "end":
            raise CutError(self.how)


@fault
class silent_stream(StreamFault):
    """Send nothing more after some events, not even keep-alives, and leave the connection open.

    Parameters
    ----------
    after : int
        Events that are sent before; 0 sends none.
    """

    _: KW_ONLY
    after: int

    async def bend(self, frames: Frames, *, rng: Random) -> Frames:
        left = self.after
        async for chunk in frames:
            if left:
                yield chunk[:left]
            left -= min(left, sum(map(_is_event, chunk)))
            if left == 0:
                await asyncio.Event().wait()  # until the reader goes away


@fault
class shuffle_events(StreamFault):
    """Send events out of order.

    Parameters
    ----------
    within : int, default 10
        Events held back and shuffled together; fewer when a keep-alive is due or the stream ends.
    """

    _: KW_ONLY
    within: int = 10

    async def bend(self, frames: Frames, *, rng: Random) -> Frames:
        held: list[bytes] = []
        async for chunk in frames:
            held += filter(_is_event, chunk)
            ready, held = ([], held) if all(map(_is_event, chunk)) and len(held) < self.within else (held, [])
            rng.shuffle(ready)
            yield ready
        rng.shuffle(held)
        yield held


# -- single events ---------------------------------------------------------------------------------------------------


class _EventFault(StreamFault):
    """Replaces some of a stream's events, one by one."""

    @property
    def chosen(self) -> Choice:
        raise NotImplementedError

    def replace(self, data: bytes) -> list[bytes]:
        raise NotImplementedError

    def __post_init__(self) -> None:
        super().__post_init__()
        _ = self.chosen  # an impossible choice is refused here, not in the server's thread

    async def bend(self, frames: Frames, *, rng: Random) -> Frames:
        number, chosen = 0, self.chosen
        async for chunk in frames:
            bent: list[bytes] = []
            for data in chunk:
                number += _is_event(data)
                picked = _is_event(data) and chosen.picks(number, rng=rng)
                bent.extend(self.replace(data) if picked else [data])
            yield bent


@dataclass(frozen=True, kw_only=True)
class _SomeEvents(_EventFault):
    """Events chosen by number, by chance, or both.

    Parameters
    ----------
    events : int or collection of int, optional
        Which events of the stream, counted from 1; by default all.
    share : float, optional
        The chance of each of them.
    """

    events: Nth = None
    share: float | None = None

    @property
    def chosen(self) -> Choice:
        return Choice(self.events, self.share)


@fault
class repeat_events(_SomeEvents):
    """Send events more than once.

    Parameters
    ----------
    times : int, default 1
        How often again.
    """

    _: KW_ONLY
    times: int = 1

    def replace(self, data: bytes) -> list[bytes]:
        return [data] * (self.times + 1)


@fault
class lose_events(_SomeEvents):
    """Leave events out of a stream; listings and other streams still have them."""

    def replace(self, data: bytes) -> list[bytes]:
        return []


@fault
class malform_events(_SomeEvents):
    """Send events whose JSON is broken off."""

    def replace(self, data: bytes) -> list[bytes]:
        return [data[: len(data) // 2] + b"\n\n"]


@fault
class huge_events(_SomeEvents):
    """Make events huge, by a field no client knows.

    Parameters
    ----------
    size : int, default 1,000,000
        Bytes that are added.
    events : int or collection of int or None, default 1
        Which events, counted from 1; None is all.
    """

    _: KW_ONLY
    size: int = 1_000_000
    events: Nth = 1

    def replace(self, data: bytes) -> list[bytes]:
        return [data.replace(b"{", b'{"padding":"' + b"x" * self.size + b'",', 1)]


@fault
class insert_event(_EventFault):
    """Send an event that isn't the group's, by default one of type ``error``.

    Parameters
    ----------
    event : dict, optional
        The event; its ``type`` may be one no client knows.
    before : int or collection of int or None, default 1
        Before which events of the stream, counted from 1; None is all.
    """

    event: dict[str, object] | None = None
    _: KW_ONLY
    before: Nth = 1

    @property
    def chosen(self) -> Choice:
        return Choice(self.before)

    def replace(self, data: bytes) -> list[bytes]:
        error = {"ref_id": "ref_simulated", "message": "simulated: trouble of the stream"}
        event = {"type": "error", "error": error} if self.event is None else self.event
        return [frame(orjson.dumps(event)), data]


# -- bytes: valid server-sent events that look unlike what a hasty reader expects -------------------------------------


@dataclass(frozen=True, kw_only=True)
class _BytesFault(StreamFault):
    """Rewrites every frame."""

    on: Endpoints = BOTH

    def rewrite(self, data: bytes) -> bytes:
        raise NotImplementedError

    async def bend(self, frames: Frames, *, rng: Random) -> Frames:
        async for chunk in frames:
            yield [self.rewrite(data) for data in chunk]


@fault
class line_ends(_BytesFault):
    r"""End lines with CRLF or CR.

    Parameters
    ----------
    ends : {"\r\n", "\r"}, default "\r\n"
        What lines end with.
    """

    ends: Literal["\r\n", "\r"] = "\r\n"

    def rewrite(self, data: bytes) -> bytes:
        return data.replace(b"\n", self.ends.encode())


@fault
class dressed(_BytesFault):
    """Send events with ``id``, ``event``, ``retry`` and comment lines, and their data on two lines without a space."""

    on: Endpoints = BOTH

    def rewrite(self, data: bytes) -> bytes:
        if not _is_event(data):
            return data
        body = data.removeprefix(b"data: ").replace(b"{", b"{\ndata:", 1)
        return b"retry: 3000\n: simulated comment\nid: 1\nevent: message\ndata:" + body


@fault
class byte_order_mark(_BytesFault):
    """Begin streams with a byte order mark."""

    on: Endpoints = BOTH

    async def bend(self, frames: Frames, *, rng: Random) -> Frames:
        yield [b"\xef\xbb\xbf"]
        async for chunk in frames:
            yield chunk


@fault
class pieces(_BytesFault):
    """Send streams in chunks of a few bytes; give it last, so that it cuts what other faults made.

    Parameters
    ----------
    size : int, default 1
        Bytes in a chunk.
    """

    size: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.size < 1:
            raise ValueError(f"size must be at least 1, got {self.size!r}")

    async def bend(self, frames: Frames, *, rng: Random) -> Frames:
        async for chunk in frames:
            data = b"".join(chunk)
            for start in range(0, len(data), self.size):
                yield [data[start : start + self.size]]

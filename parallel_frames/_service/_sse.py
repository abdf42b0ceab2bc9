"""Server-sent events, incrementally: chunks of bytes in, the data of events out.

The decoder never sees a socket, and knows nothing of JSON or of what an event means. It follows the HTML standard,
"Interpreting an event stream", with two differences. The fields ``id`` and ``retry`` are dropped, because this service
puts ids into the data; of ``event``, the data keep the name for those that do not state their type. And one event may
not grow without bound.

It splits bytes, not text: `str.splitlines` (and httpx's `aiter_lines`) also split at U+2028 and the like, which are
content inside a JSON string.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

BOM = b"\xef\xbb\xbf"
LF = 0x0A  # as numbers: `in` and `find` are several times as fast for one as for bytes of length 1
CR = 0x0D


class NamedData(bytes):
    """The data of an event that has an ``event:`` line, which names it."""

    name: bytes


class EventTooLargeError(ValueError):
    """One event grew beyond the bound; the stream cannot be trusted to end."""

    def __init__(self, max_bytes: int) -> None:
        super().__init__(f"an event of more than {max_bytes:,} bytes")


class EventDecoder:
    """Split a stream into the data of its events.

    `EventTooLargeError` is raised where one event, or one line of any kind, grows beyond `max_bytes`.
    """

    __slots__ = ("_after_cr", "_data", "_max_bytes", "_name", "_rest", "_size", "_started")

    def __init__(self, *, max_bytes: int = 64 * 2**20) -> None:
        self._max_bytes = max_bytes
        self._rest = bytearray()  # the line that has not ended yet
        self._data: list[bytes] = []  # the data lines of the event that has not ended yet
        self._size = 0  # the bytes of these
        self._name = b""  # what its `event:` line says
        self._after_cr = False  # whether the last chunk ended with a CR, whose LF may still come
        self._started = False  # whether a first line was read: only before it is a byte order mark one

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Take the next chunk, however it is cut, and return the data of every event that it completes."""
        # Two fast paths for what services send almost always, events of one data line: a chunk that is one whole
        # event, and a chunk of whole lines. Both need a state in which nothing is pending, and no bound in reach.
        is_plain = self._started and not (self._size or self._name) and len(self._rest) + len(chunk) <= self._max_bytes
        if is_plain and not self._rest and not self._after_cr and _is_plain_event(chunk):
            return iter((chunk[6:-2],))
        lines = self._split(chunk)
        events = _read_plain_events(lines) if is_plain else None
        return self._read(lines) if events is None else iter(events)

    def _read(self, lines: list[bytes]) -> Iterator[bytes]:
        """Yield the data of every event that these lines complete, whatever fields they are."""
        for line in lines:
            if self._size + len(line) > self._max_bytes:
                raise EventTooLargeError(self._max_bytes)
            if not self._started:
                self._started = True
                line = line.removeprefix(BOM)  # noqa: PLW2901 - the mark is not part of the line
            if line.startswith(b"data:"):
                self._data.append(line[6:] if line.startswith(b"data: ") else line[5:])
                self._size += len(line) + 1
            elif not line:
                data, name, self._data, self._size, self._name = self._data, self._name, [], 0, b""
                # The standard dispatches no event without data. httpx-sse does, after any `id:`.
                if event := data[0] if len(data) == 1 else b"\n".join(data):
                    yield _named(event, name) if name else event
            elif line == b"data":
                self._data.append(b"")
                self._size += len(line) + 1
            elif line.startswith(b"event:"):
                self._name = line[6:].strip()
            # Comments and all other fields are dropped.
        if self._size + len(self._rest) > self._max_bytes:
            raise EventTooLargeError(self._max_bytes)

    def _split(self, chunk: bytes) -> list[bytes]:
        """Return the lines that are complete now.

        A CR ends its line at once, and an LF at the start of the next chunk is skipped. The other way, keeping a
        trailing CR back until the next chunk, would delay an event until the one after it.
        """
        if self._after_cr and chunk:
            chunk = chunk.removeprefix(b"\n")
            self._after_cr = False
        if CR in chunk:
            self._after_cr = chunk.endswith(b"\r")
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        lines = chunk.split(b"\n")
        rest = lines.pop()
        if lines and self._rest:
            lines[0] = bytes(self._rest + lines[0])
            self._rest.clear()
        self._rest += rest
        return lines


def _named(data: bytes, name: bytes) -> NamedData:
    named = NamedData(data)
    named.name = name
    return named


def _is_plain_event(chunk: bytes) -> bool:
    """Return whether a chunk is one whole event of one data line, and nothing else."""
    end = len(chunk) - 2
    return end > 6 and chunk.startswith(b"data: ") and chunk.find(LF) == end and chunk[-1] == LF and CR not in chunk


def _read_plain_events(lines: list[bytes]) -> list[bytes] | None:
    """Return the data of lines that are data and empty by turns; None where any line is something else."""
    if any(lines[1::2]):
        return None
    events = [line[6:] for line in lines[::2] if line.startswith(b"data: ")]
    return events if 2 * len(events) == len(lines) and all(events) else None

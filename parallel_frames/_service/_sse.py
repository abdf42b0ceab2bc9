"""Bytes of a server-sent event stream → the data of its events; incremental and pure.

It never sees a socket, and knows nothing of JSON or of what an event means. Lines end with LF, CRLF or CR and
with nothing else: a raw U+2028 inside a JSON text is content. An event without data is never handed out.
The rules are those of the HTML standard, "Interpreting an event stream"; ids and types of the wire format are not
kept, because this service puts both into the data. Events of one line of data, as services write them, are cut out
without looking at each line for every field it might be.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

BOM = b"\xef\xbb\xbf"
LF = 0x0A  # a number is found in bytes several times as fast as bytes are
CR = 0x0D


class EventTooLargeError(ValueError):
    """One event grew beyond the bound; the stream cannot be trusted to end."""

    def __init__(self, max_bytes: int) -> None:
        super().__init__(f"an event of more than {max_bytes:,} bytes")


class EventDecoder:
    """Cut a stream into the data of its events.

    Parameters
    ----------
    max_bytes : int, default 64 MiB
        How large one event, or one line of any kind, may grow before `EventTooLargeError` is raised.
    """

    __slots__ = ("_after_cr", "_data", "_max_bytes", "_rest", "_size", "_started")

    def __init__(self, *, max_bytes: int = 64 * 2**20) -> None:
        self._rest = bytearray()  # the line that has not ended yet
        self._data: list[bytes] = []
        self._size = 0  # of the data lines so far
        self._max_bytes = max_bytes
        self._after_cr = False
        self._started = False

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Take the next chunk, however it is cut, and return the data of every event that it completes."""
        is_usual = self._started and not self._size and len(self._rest) + len(chunk) <= self._max_bytes
        if is_usual and not self._rest and not self._after_cr and _is_plain_event(chunk):
            return iter((chunk[6:-2],))
        lines = self._split(chunk)
        events = _plain_events(lines) if is_usual else None
        return self._read(lines) if events is None else iter(events)

    def _read(self, lines: list[bytes]) -> Iterator[bytes]:
        """Yield the data of every event that these lines complete, whatever fields they are."""
        for line in lines:
            if self._size + len(line) > self._max_bytes:
                raise EventTooLargeError(self._max_bytes)
            if not self._started:
                self._started = True
                line = line.removeprefix(BOM)  # noqa: PLW2901 - the mark is no part of it
            if line.startswith(b"data:"):
                self._data.append(line[6:] if line.startswith(b"data: ") else line[5:])
                self._size += len(line) + 1
            elif not line:
                data, self._data, self._size = self._data, [], 0
                if event := data[0] if len(data) == 1 else b"\n".join(data):
                    yield event
            elif line == b"data":
                self._data.append(b"")
                self._size += len(line) + 1
            # comments and every other field say nothing to us
        if self._size + len(self._rest) > self._max_bytes:
            raise EventTooLargeError(self._max_bytes)

    def _split(self, chunk: bytes) -> list[bytes]:
        """Return the lines that are complete now; a CR ends its line at once, and swallows an LF that comes later."""
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


def _is_plain_event(chunk: bytes) -> bool:
    """Return whether a chunk is one whole event of one line of data, and nothing else."""
    end = len(chunk) - 2
    return end > 6 and chunk.startswith(b"data: ") and chunk.find(LF) == end and chunk[-1] == LF and CR not in chunk


def _plain_events(lines: list[bytes]) -> list[bytes] | None:
    """Return the data of events that are one line of data and an empty one each; None where any line is another."""
    if any(lines[1::2]):
        return None
    events = [line[6:] for line in lines[::2] if line.startswith(b"data: ")]
    return events if 2 * len(events) == len(lines) and all(events) else None

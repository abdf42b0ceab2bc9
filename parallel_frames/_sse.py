"""Bytes of a server-sent event stream → the data of its events; incremental and pure.

It never sees a socket, and knows nothing of JSON or of what an event means. Lines end with LF, CRLF or CR and
with nothing else: a raw U+2028 inside a JSON text is content. An event without data is never handed out.
The rules are those of the HTML standard, "Interpreting an event stream"; ids and types of the wire format are not
kept, because this service puts both into the data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

BOM = b"\xef\xbb\xbf"


class EventTooLargeError(ValueError):
    """One event grew beyond the bound; the stream cannot be trusted to end."""


class EventDecoder:
    """Cut a stream into the data of its events.

    Parameters
    ----------
    max_bytes : int, default 64 MiB
        How large one event may grow before `EventTooLargeError` is raised.
    """

    __slots__ = ("_data", "_max_bytes", "_rest", "_size", "_started")

    def __init__(self, *, max_bytes: int = 64 * 2**20) -> None:
        self._rest: list[bytes] = []
        self._size = 0
        self._data: list[bytes] = []
        self._max_bytes = max_bytes
        self._started = False

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Take the next chunk, however it is cut, and yield the data of every event that it completes."""
        for line in self._split(chunk):
            if line:
                self._take(line)
            elif self._data:
                data = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
                self._data = []
                self._size = 0
                yield data

    def _split(self, chunk: bytes) -> list[bytes]:
        """Return the lines that are complete now; keep the rest, and a trailing CR, for the next chunk."""
        self._size += len(chunk)
        self._rest.append(chunk)
        if b"\n" not in chunk and b"\r" not in chunk and not self._rest[0].endswith(b"\r"):
            self._check_size()
            return []
        text = b"".join(self._rest)
        if not self._started:
            if len(text) < len(BOM) and BOM.startswith(text):
                self._rest = [text]
                return []
            text = text.removeprefix(BOM)
            self._started = True
        held = b""
        if text.endswith(b"\r"):  # it may be the first half of CRLF
            text, held = text[:-1], b"\r"
        if b"\r" in text:
            text = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *lines, rest = text.split(b"\n")
        self._rest = [rest + held]
        if len(rest) < self._size:
            self._check_size()
        return lines

    def _check_size(self) -> None:
        if self._size > self._max_bytes:
            raise EventTooLargeError(f"an event of more than {self._max_bytes:,} bytes")

    def _take(self, line: bytes) -> None:
        """Keep a data line's value; comments and every other field say nothing to us."""
        if line.startswith(b"data:"):
            self._data.append(line[6:] if line[5:6] == b" " else line[5:])
        elif line == b"data":
            self._data.append(b"")

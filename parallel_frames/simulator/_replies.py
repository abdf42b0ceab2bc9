"""Answers on the wire: a JSON body, an event stream, and the two that are none (a reset, a torn body).

Each is an ASGI application. Knows the connection, and nothing of groups or runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from starlette.responses import Response

from ._messages import dump

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

TRANSPORT = "parallel_frames.transport"  # the ASGI extension our protocol class adds
READ_TIME = 0.05  # wall seconds a client gets to read what was sent before a reset throws it away

Frames: TypeAlias = AsyncIterator[list[bytes]]


class CutError(Exception):
    """Raised inside a stream to end it before its time."""

    def __init__(self, how: Literal["close", "reset"]) -> None:
        super().__init__(how)
        self.how: Literal["close", "reset"] = how


def reply(value: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return a JSON answer."""
    return Response(
        dump(value),
        status_code=status,
        headers=None if headers is None else dict(headers),
        media_type="application/json",
    )


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def hang_up(scope: Scope, receive: Receive, *, how: Literal["close", "reset"]) -> None:
    """End the connection under an unfinished answer: in order (FIN), or by a TCP reset."""
    transport: asyncio.Transport = scope["extensions"][TRANSPORT]
    if how == "reset":
        sock = transport.get_extra_info("socket")
        with contextlib.suppress(OSError):  # gone already
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    else:
        transport.close()
    await _gone(receive)


class Reset:
    """No answer: the connection is reset."""

    status_code = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI
        """Reset the connection."""
        await hang_up(scope, receive, how="reset")


class Torn:
    """An answer whose body ends too early, under a Content-Length that promised more."""

    def __init__(self, whole: Response, *, keep: float) -> None:
        self.status_code = whole.status_code
        self._whole = whole
        self._keep = keep

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the first part, then close the connection."""
        body = bytes(self._whole.body)
        start = {"type": "http.response.start", "status": self.status_code, "headers": self._whole.raw_headers}
        await send(start)
        await send({"type": "http.response.body", "body": body[: int(len(body) * self._keep)], "more_body": True})
        await hang_up(scope, receive, how="close")


class EventStream:
    """Server-sent events: one chunk for each list of frames."""

    status_code = 200

    def __init__(self, frames: Frames) -> None:
        self.frames = frames

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send frames until they end, are cut, or nobody reads them."""
        headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"", "more_body": True})
        gone = asyncio.ensure_future(_gone(receive))
        pump = asyncio.ensure_future(self._pump(send, scope["extensions"][TRANSPORT]))
        try:
            await asyncio.wait((gone, pump), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for part in (gone, pump):
                if not part.done():
                    part.cancel()
            await asyncio.gather(gone, pump, return_exceptions=True)
        error = None if pump.cancelled() else pump.exception()
        if isinstance(error, CutError):
            await hang_up(scope, receive, how=error.how)
        elif error is not None:
            raise error

    async def _pump(self, send: Send, transport: asyncio.Transport) -> None:
        async with contextlib.aclosing(self.frames) as chunks:  # type: ignore[type-var]
            try:
                async for frames in chunks:
                    if transport.is_closing():  # asyncio would complain of every further write
                        await asyncio.Event().wait()
                    await send({"type": "http.response.body", "body": b"".join(frames), "more_body": True})
            except CutError:
                await asyncio.sleep(READ_TIME)
                raise
        await send({"type": "http.response.body", "body": b"", "more_body": False})


Answering: TypeAlias = Response | Reset | Torn | EventStream

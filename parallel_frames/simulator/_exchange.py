"""A request on its way to a response: what endpoints and faults both work on.

Owns reading requests, refusing them, and the kinds of responses: a JSON body, an event stream, and two broken ones (a
reset, a torn body). Knows the connection; what a request does to groups and runs is up to the endpoints.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
import struct
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypeAlias

import orjson
from starlette.responses import Response

from ._records import dump, error_body
from ._validation import Problem, problem

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

    from ._records import Group, Run
    from ._service import Service

TRANSPORT = "parallel_frames.transport"  # the ASGI extension in which the server's protocol class puts it
READ_TIME = 0.05  # wall seconds a client has to read: a reset discards what its kernel holds unread

Frames: TypeAlias = AsyncIterator[list[bytes]]


def reply(value: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(
        dump(value),
        status_code=status,
        headers=None if headers is None else dict(headers),
        media_type="application/json",
    )


class RefusedError(Exception):
    """The service refuses the request with this response."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status_code)
        self.response = response


@dataclass(slots=True)
class Exchange:
    """A request, the service, and what of the group a fault lets it see."""

    service: Service
    request: Request
    endpoint: str
    as_of: float = math.inf  # runs created later are not shown
    keep: float = 1.0  # the part of a listing that is shown

    def error(
        self, status: int, message: str, *, headers: Mapping[str, str] | None = None, detail: Any = None
    ) -> Response:
        body = error_body(message, ref_id=self.service.next_id("ref_"), detail=detail)
        return reply(body, status=status, headers=headers)

    def refuse(self, status: int, message: str, *, headers: Mapping[str, str] | None = None) -> NoReturn:
        raise RefusedError(self.error(status, message, headers=headers))

    def refuse_problems(self, problems: list[Problem]) -> None:
        if problems:
            raise RefusedError(reply({"detail": problems[:50]}, status=422))

    def refuse_query(self, name: str, message: str, *, kind: str = "value_error") -> NoReturn:
        raise RefusedError(reply({"detail": [{**problem(message, kind=kind), "loc": ["query", name]}]}, status=422))

    @property
    def prefix(self) -> str:
        """The version the path begins with."""
        return self.request.url.path.split("/", 2)[1]

    async def body(self) -> Any:
        raw = await self.request.body()
        try:
            return orjson.loads(raw)
        except orjson.JSONDecodeError as error:
            self.refuse_problems([problem(f"JSON decode error: {error}", kind="json_invalid")])

    def flag(self, name: str) -> bool:
        return self.request.query_params.get(name, "").lower() in ("true", "1", "yes", "on")

    def seconds(self, name: str) -> float | None:
        """Return a query parameter that is a number of seconds."""
        text = self.request.query_params.get(name)
        try:
            return None if text is None else float(text)
        except ValueError:
            self.refuse_query(name, "Input should be a valid number", kind="float_parsing")

    def group(self) -> Group:
        """Return the group the path names, or answer 404."""
        group_id = self.request.path_params["group_id"]
        group = self.service.groups.get(group_id)
        if group is None or (group.seed_dialect and self.prefix == "v1"):
            self.refuse(404, f"Task group {group_id} not found")
        return group

    def run(self) -> Run:
        """Return the run the path names, or answer 404."""
        run_id = self.request.path_params["run_id"]
        run = self.service.runs_by_id.get(run_id)
        group_id = self.request.path_params.get("group_id")
        if run is None or (group_id and (run.group is None or run.group.group_id != group_id)):
            self.refuse(404, f"Task run {run_id} not found")
        return run

    def visible_runs(self, group: Group) -> list[Run]:
        """Return the group's runs as far as this exchange shows them."""
        runs = [run for run in group.runs if run.created_at <= self.as_of]
        return runs[: int(len(runs) * self.keep)]


# -- responses that are more than a body -----------------------------------------------------------------------------


class CutError(Exception):
    """Raised inside a stream to end it early."""

    def __init__(self, how: Literal["close", "reset"]) -> None:
        super().__init__(how)
        self.how: Literal["close", "reset"] = how


def reset_connection(transport: Any) -> None:
    """Close a connection by a TCP reset: with no time to linger, the kernel sends RST, and not FIN."""
    sock = transport.get_extra_info("socket")
    with contextlib.suppress(OSError):  # it is closed already
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


async def _wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _hang_up(scope: Scope, receive: Receive, *, how: Literal["close", "reset"]) -> None:
    """End the connection under an unfinished response: in order (FIN), or by a TCP reset."""
    transport = scope["extensions"][TRANSPORT]
    if how == "reset":
        reset_connection(transport)
    else:
        transport.close()
    await _wait_for_disconnect(receive)


class Reset:
    """No response: the connection is reset."""

    status_code = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI
        await _hang_up(scope, receive, how="reset")


class Torn:
    """A response whose body ends too early, under a Content-Length that promised more."""

    def __init__(self, whole: Response, *, keep: float) -> None:
        self.status_code, self._headers = whole.status_code, whole.raw_headers
        self._body = bytes(whole.body)[: int(len(whole.body) * keep)]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self._headers})
        await send({"type": "http.response.body", "body": self._body, "more_body": True})
        await _hang_up(scope, receive, how="close")


class EventStream:
    """Server-sent events: one chunk for each list of frames."""

    status_code = 200

    def __init__(self, frames: Frames) -> None:
        self.frames = frames

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send frames until they end, are cut, or the client disconnects."""
        headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"", "more_body": True})
        disconnected = asyncio.ensure_future(_wait_for_disconnect(receive))
        sending = asyncio.ensure_future(self._send_frames(send, scope["extensions"][TRANSPORT]))
        try:
            await asyncio.wait((disconnected, sending), return_when=asyncio.FIRST_COMPLETED)
        finally:
            disconnected.cancel()
            sending.cancel()
            await asyncio.gather(disconnected, sending, return_exceptions=True)
        error = None if sending.cancelled() else sending.exception()
        if isinstance(error, CutError):
            await _hang_up(scope, receive, how=error.how)
        elif error is not None:
            raise error

    async def _send_frames(self, send: Send, transport: asyncio.Transport) -> None:
        async with contextlib.aclosing(self.frames) as chunks:  # type: ignore[type-var]
            try:
                async for frames in chunks:
                    if transport.is_closing():  # asyncio would log a warning for every further write
                        await asyncio.Event().wait()
                    await send({"type": "http.response.body", "body": b"".join(frames), "more_body": True})
            except CutError as cut:
                if cut.how == "reset":
                    await asyncio.sleep(READ_TIME)
                raise
        await send({"type": "http.response.body", "body": b"", "more_body": False})


Answering: TypeAlias = Response | Reset | Torn | EventStream

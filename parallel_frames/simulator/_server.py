"""The HTTP server: routes, keys and the place where faults strike; and uvicorn in a thread of its own.

Owns what every request has in common, the thread, the socket and the event loop. The one place that knows uvicorn.
Starting and stopping take less than a millisecond each. A stop is abrupt on purpose: every connection is reset, as
when a server is killed, and no thread or socket is left. What an endpoint does is in `_endpoints`.
"""

from __future__ import annotations

import asyncio
import hmac
import socket
import sys
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from . import _endpoints as endpoints
from ._clock import real_time
from ._exchange import TRANSPORT, Answering, EventStream, Exchange, RefusedError, reply, reset_connection
from ._records import SeenRequest, error_body
from .faults import RequestFault, StreamFault

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.types import ASGIApp, Receive, Scope, Send

    from ._service import Service

PATIENCE = 10.0  # wall seconds a start or a stop may take

Handler: TypeAlias = Callable[[Exchange], Awaitable[Answering]]
Proceed: TypeAlias = Callable[[], Awaitable[Answering]]

ROUTES: tuple[tuple[str, str, str, Handler], ...] = (
    ("POST", "groups", "create_group", endpoints.create_group),
    ("GET", "groups/{group_id}", "status", endpoints.get_group),
    ("POST", "groups/{group_id}/runs", "add_runs", endpoints.add_runs),
    ("GET", "groups/{group_id}/runs", "list_runs", endpoints.list_runs),
    ("GET", "groups/{group_id}/events", "events", endpoints.stream_events),
    ("GET", "groups/{group_id}/runs/{run_id}", "run", endpoints.get_run),
    ("POST", "runs", "create_run", endpoints.create_run),
    ("GET", "runs/{run_id}", "run", endpoints.get_run),
    ("GET", "runs/{run_id}/input", "input", endpoints.get_input),
    ("GET", "runs/{run_id}/result", "result", endpoints.get_result),
)


@dataclass(frozen=True, eq=False)
class _Endpoint:
    """One endpoint as an ASGI application: key, faults, totals."""

    service: Service
    name: str
    handler: Handler

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange(self.service, Request(scope, receive), self.name)
        with suppress(asyncio.CancelledError):  # the server stops: no reason for a stack trace in the log
            answer = await self._answer(exchange)
            self._count(exchange, answer.status_code)
            await answer(scope, receive, send)

    async def _answer(self, exchange: Exchange) -> Answering:
        await exchange.request.body()
        with self.service.lock:
            struck = self.service.faults.select(RequestFault, lambda fault: fault.concerns(exchange))
        proceed: Proceed = partial(self._handle, exchange)
        for fault in reversed(struck):
            proceed = partial(fault.strike, exchange, proceed)
        return await proceed()

    async def _handle(self, exchange: Exchange) -> Answering:
        try:
            _check_key(exchange)
            answer = await self.handler(exchange)
        except RefusedError as refused:
            return refused.response
        if isinstance(answer, EventStream):
            with self.service.lock:
                struck = self.service.faults.select(StreamFault, lambda fault: self.name in fault.on)
            for fault in struck:
                answer.frames = fault.bend(answer.frames, rng=self.service.faults.rng)
        return answer

    def _count(self, exchange: Exchange, status: int) -> None:
        service, url = self.service, exchange.request.url
        service.totals["requests"] += 1
        service.totals["posts"] += self.name in ("add_runs", "create_run")
        service.totals["rejected"] += status == 429
        service.totals["refused"] += 400 <= status < 500 and status != 429
        seen = SeenRequest(self.name, exchange.request.method, url.path, url.query, status, service.clock.now())
        service.requests.append(seen)


def _check_key(exchange: Exchange) -> None:
    given = exchange.request.headers.get("x-api-key", "")
    wanted = exchange.service.settings.api_key
    if not given or (wanted is not None and not hmac.compare_digest(given.encode(), wanted.encode())):
        exchange.refuse(401, "Unauthorized: the x-api-key header is missing or wrong")


async def _unknown(exchange: Exchange) -> Answering:
    return exchange.error(404, f"Not found: {exchange.request.method} {exchange.request.url.path}")


async def _who(_request: Request) -> Response:
    """Answer who asks what this is: no request of the API, so that it is neither counted nor struck by a fault."""
    return reply({"simulator": "every answer is made up"})


async def _wrong_method(request: Request, _error: Exception) -> Response:
    return reply(error_body(f"Method not allowed: {request.method}", ref_id="ref_405"), status=405)


def build_app(service: Service) -> ASGIApp:
    seed_only = service.settings.dialect == "seed"
    app = Starlette(exception_handlers={405: _wrong_method})
    for prefix in ("v1beta",) if seed_only else ("v1", "v1beta"):
        for method, path, name, handler in ROUTES:
            if not (seed_only and path.startswith("runs")):
                endpoint = _Endpoint(service, name, handler)
                app.router.routes.append(Route(f"/{prefix}/tasks/{path}", endpoint, methods=[method]))
    app.router.routes.append(Route("/", _who))
    app.router.default = _Endpoint(service, "unknown", _unknown)
    app.router.redirect_slashes = False
    return app


# -- the server -------------------------------------------------------------------------------------------------------


class _Protocol(HttpToolsProtocol):
    """Lets the application reach the connection, to reset it."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {TRANSPORT: self.transport}  # type: ignore[dict-item]


class _Uvicorn(uvicorn.Server):
    """A server that waits for an event; uvicorn's own polls ten times a second, and so takes 0.1 s to stop."""

    def __init__(self, config: uvicorn.Config, *, on_start: Callable[[], None]) -> None:
        super().__init__(config)
        self.leave = asyncio.Event()
        self._on_start = on_start

    async def main_loop(self) -> None:
        await self.on_tick(0)
        self._on_start()
        await self.leave.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self._stop_accepting()
        for server in self.servers:
            server.close()
        for sock in sockets or []:
            sock.close()
        for connection in list(self.server_state.connections):
            reset_connection(connection.transport)
        await asyncio.sleep(0)
        unfinished = list(self.server_state.tasks)
        for request in unfinished:
            request.cancel()
        await asyncio.gather(*unfinished, return_exceptions=True)
        for server in self.servers:
            await server.wait_closed()

    async def _stop_accepting(self) -> None:
        """Let what was accepted become connections; a server that is closed before leaves their sockets open."""
        with suppress(NotImplementedError):  # on Windows a loop has no readers
            for server in self.servers:
                for sock in server.sockets:
                    asyncio.get_running_loop().remove_reader(sock.fileno())
        # asyncio makes an accepted socket a connection within three turns of the loop.
        for _ in range(4):
            await asyncio.sleep(0)


def _listen(host: str, port: int) -> socket.socket:
    # The protocol is named: asyncio sets TCP_NODELAY only then, without which Nagle's algorithm holds answers back.
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if sys.platform != "win32":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(512)
    except BaseException:
        sock.close()
        raise
    return sock


class ServerThread:
    """One run of the server, from bind to the last closed socket."""

    def __init__(
        self, app: ASGIApp, *, host: str, port: int, on_loop: Callable[[asyncio.AbstractEventLoop], None]
    ) -> None:
        self._socket = _listen(host, port)
        self.port: int = self._socket.getsockname()[1]
        self._app = app
        self._on_loop = on_loop
        self._started = threading.Event()
        self._stop: Callable[[], object] = lambda: None
        self._thread = threading.Thread(target=self._run, name="parallel-frames-simulator", daemon=True)

    def start(self) -> None:
        """Start the thread, and return once requests are answered."""
        self._thread.start()
        self._started.wait(PATIENCE)

    def stop(self) -> None:
        """Reset every connection and end the thread."""
        with suppress(RuntimeError):  # the loop is closed already
            self._stop()
        self._thread.join(PATIENCE)

    def _run(self) -> None:
        try:
            with asyncio.Runner() as runner:
                runner.run(self._serve())
        finally:
            self._socket.close()
            self._started.set()

    async def _serve(self) -> None:
        config = uvicorn.Config(
            self._app,
            http=_Protocol,
            ws="none",
            loop="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=75,
            headers=[("x-parallel-simulator", "1")],
        )
        loop = asyncio.get_running_loop()
        loop.time = real_time  # type: ignore[method-assign] # a frozen clock would stop it

        def announce() -> None:
            self._on_loop(loop)
            self._started.set()

        server = _Uvicorn(config, on_start=announce)
        self._stop = lambda: loop.call_soon_threadsafe(server.leave.set)
        await server.serve(sockets=[self._socket])

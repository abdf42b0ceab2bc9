"""A uvicorn server in a thread of its own, started and stopped within a millisecond.

Owns the thread, the socket and the event loop. The one place that knows uvicorn. A stop is abrupt on purpose: every
connection is reset, as when a server is killed, and no thread or socket is left.
"""

from __future__ import annotations

import asyncio
import socket
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ._exchange import TRANSPORT, reset_connection

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp

PATIENCE = 10.0  # wall seconds a start or a stop may take


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
    """Return a listening socket."""
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

        def announce() -> None:
            self._on_loop(loop)
            self._started.set()

        server = _Uvicorn(config, on_start=announce)
        self._stop = lambda: loop.call_soon_threadsafe(server.leave.set)
        await server.serve(sockets=[self._socket])

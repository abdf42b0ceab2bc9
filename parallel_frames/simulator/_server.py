"""A uvicorn server in a thread of its own, started and stopped within milliseconds.

Owns the thread, the socket and the event loop. The one place that knows uvicorn. A stop is abrupt on purpose: every
connection is reset, as when a server is killed; nothing is left behind.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ._replies import TRANSPORT

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
    """A server that waits for an event rather than looking ten times a second."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.leave = asyncio.Event()
        self.on_start: Callable[[], None] = lambda: None

    async def main_loop(self) -> None:
        await self.on_tick(0)
        self.on_start()
        await self.leave.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self._stop_accepting()
        for server in self.servers:
            server.close()
        for sock in sockets or []:
            sock.close()
        for connection in list(self.server_state.connections):
            _reset(connection.transport)
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
        for _ in range(4):
            await asyncio.sleep(0)


def _reset(transport: Any) -> None:
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.fileno() != -1:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def _listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; without its protocol named, asyncio would let Nagle's algorithm hold answers back."""
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
        self._ended = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._server: _Uvicorn | None = None
        self._thread = threading.Thread(target=self._run, name="parallel-frames-simulator", daemon=True)

    def start(self) -> None:
        """Start the thread, and return once requests are answered."""
        self._thread.start()
        self._started.wait(PATIENCE)

    def stop(self) -> None:
        """Reset every connection and end the thread."""
        loop, server = self._loop, self._server
        if loop is not None and server is not None and not self._ended.is_set():
            loop.call_soon_threadsafe(server.leave.set)
        self._ended.wait(PATIENCE)
        self._thread.join(PATIENCE)

    def _run(self) -> None:
        try:
            with asyncio.Runner() as runner:
                runner.run(self._serve())
        finally:
            self._socket.close()
            self._started.set()
            self._ended.set()

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
        self._loop = asyncio.get_running_loop()
        self._server = _Uvicorn(config)
        self._server.on_start = self._announce
        await self._server.serve(sockets=[self._socket])

    def _announce(self) -> None:
        if self._loop is not None:
            self._on_loop(self._loop)
        self._started.set()

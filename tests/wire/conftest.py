"""A server of hand-made bytes on loopback, in the test's own event loop; and tests that are coroutines."""

from __future__ import annotations

import asyncio
import inspect
import os
import socket
import struct
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import orjson
import pytest

from parallel_frames import Client
from parallel_frames._model import Job, Options, OutgoingRun

if TYPE_CHECKING:
    import ssl

KEY = "sk-test-0123456789abcdef"
RESET = "reset"
CLOSE = "close"
HANG = "hang"
JOB = Job(
    identity={},
    hash="0" * 32,
    processor="base",
    spec={"output_schema": {"type": "json", "json_schema": {"type": "object", "properties": {}}}},
    options=Options(),
)
RUNS = [OutgoingRun(b'{"country":"%d"}' % n, {"row": str(n), "key": f"{n:032x}", "attempt": "0"}) for n in range(2)]


@dataclass(frozen=True)
class Seen:
    """A request as it arrived."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    at: float

    @property
    def path(self) -> str:
        """The path, without the query."""
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        """The query's parameters."""
        return dict(parse_qsl(urlsplit(self.target).query))


@dataclass
class Wire:
    """What a test writes servers with.

    A server answers its requests by a script: one entry for each request, the last one for all that follow. An entry
    is the answer's bytes, or a list of steps (bytes that are sent, seconds to wait, `RESET`, `CLOSE`, `HANG`), or a
    function of the request that returns either.
    """

    KEY: str = KEY
    RESET: str = RESET
    CLOSE: str = CLOSE
    HANG: str = HANG
    JOB: Job = JOB
    RUNS: list[OutgoingRun] = field(default_factory=lambda: RUNS)
    transport: str = "httpx"

    @staticmethod
    def reply(status: int = 200, body: Any = b"", kind: str = "application/json", **headers: str) -> bytes:
        """Return a whole answer; a body that is no bytes is JSON."""
        content = body if isinstance(body, bytes) else orjson.dumps(body)
        more = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        head = f"HTTP/1.1 {status} Odd\r\ncontent-type: {kind}\r\n{more}content-length: {len(content)}\r\n\r\n"
        return head.encode() + content

    @staticmethod
    def endless(kind: str = "text/event-stream", status: int = 200) -> bytes:
        """Return the head of an answer that ends only with its connection."""
        return f"HTTP/1.1 {status} Odd\r\ncontent-type: {kind}\r\nconnection: close\r\n\r\n".encode()

    @staticmethod
    def chunked(*chunks: bytes, kind: str = "text/event-stream", end: bool = True) -> bytes:
        """Return an answer in chunks, whose end is marked, or not."""
        body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks if chunk) + (
            b"0\r\n\r\n" if end else b""
        )
        return f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\n\r\n".encode() + body

    @staticmethod
    def sse(*events: Any) -> bytes:
        """Return events as a stream's bytes."""
        return b"".join(b"data: %s\n\n" % orjson.dumps(event) for event in events)

    def client(self, url: str, **options: Any) -> Client:
        """Return a client with a clock that is fast enough for every wait."""
        usual = {"api_key": KEY, "clock_speed": 1000.0, "api": "published", "transport": self.transport}
        return Client(**{**usual, "base_url": url, **options})

    @asynccontextmanager
    async def serve(
        self, *script: Any, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
    ) -> AsyncIterator[Server]:
        """Serve a script; nothing is left running afterwards."""
        server = Server(script)
        listening = await asyncio.start_server(server.talk, host, 0, limit=2**26, ssl=tls)
        server.port = listening.sockets[0].getsockname()[1]
        try:
            yield server
        finally:
            listening.close()
            for task in server.tasks:
                task.cancel()
            await asyncio.gather(*server.tasks, return_exceptions=True)

    @asynccontextmanager
    async def session(self, *script: Any, **options: Any) -> AsyncIterator[tuple[Any, Server]]:
        """Serve a script and open a client's session with it."""
        async with self.serve(*script) as server, self.client(server.url, **options).session() as session:
            yield session, server


class Server:
    """One server of a script, and what it has seen."""

    def __init__(self, script: tuple[Any, ...]) -> None:
        self.script = list(script)
        self.seen: list[Seen] = []
        self.tasks: set[asyncio.Task[Any]] = set()
        self.port = 0
        self.sent = 0

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection's requests."""
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        try:
            while (seen := await self._read(reader)) is not None:
                self.seen.append(seen)
                entry = self.script.pop(0) if len(self.script) > 1 else self.script[0]
                steps = entry(seen) if isinstance(entry, Callable) else entry
                if not await self._act([steps] if isinstance(steps, bytes | str) else steps, reader, writer):
                    return
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _read(self, reader: asyncio.StreamReader) -> Seen | None:
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")[:-2]
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        method, target, _ = first.split(" ")
        return Seen(method, target, headers, body, time.monotonic())

    async def _act(self, steps: Any, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Take the steps of one answer; return whether the connection stays open."""
        for step in steps:
            if step == RESET:
                linger = struct.pack("ii", 1, 0)
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                writer.transport.abort()
                return False
            if step == CLOSE:
                return False
            if step == HANG:
                await reader.read(1)
                return False
            if isinstance(step, bytes):
                writer.write(step)
                await writer.drain()
                self.sent += len(step)
            else:
                await asyncio.sleep(step)
        return not any(isinstance(step, bytes) and b"connection: close" in step[:400] for step in steps)


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove this machine's proxies from the environment; a test sets its own."""
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)


@pytest.fixture(params=["httpx", "aiohttp"])
def wire(request: pytest.FixtureRequest) -> Wire:
    """Give what servers are written with, for each transport."""
    return Wire(transport=request.param)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test that is a coroutine in an event loop of its own."""
    if not inspect.iscoroutinefunction(pyfuncitem.function):
        return None
    wanted = inspect.signature(pyfuncitem.function).parameters
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in wanted if name in pyfuncitem.funcargs}))
    return True

"""The HTTP library: which one it is, what may carry its requests, and what its errors prove.

Everything else of this package takes `httpx` from here, so that a library of the same interface replaces it in one
line. A transport other than httpx's own is used through `GuardedTransport`, which holds it to what `Session` relies on:
it raises httpx's errors, in finite time, and claims that nothing was sent only where that is known.
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx

from parallel_frames._format import format_option
from parallel_frames.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

__all__ = ["httpx"]  # from here, for everything else of this package

TRANSPORTS: Final = ("httpx", "aiohttp")
Transport: TypeAlias = "Literal['httpx', 'aiohttp'] | Callable[[], httpx.AsyncBaseTransport]"
Translate: TypeAlias = "Callable[[Exception], httpx.HTTPError]"

# In these cases httpx has not written a byte of the request.
NOTHING_SENT: Final = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)


def check_transport(transport: Any) -> None:
    """Refuse what is no transport, or is not installed."""
    names = ", ".join(map(repr, TRANSPORTS))
    if isinstance(transport, httpx.AsyncBaseTransport):
        raise ConfigurationError(
            f"`transport` is a {type(transport).__name__}: it serves one event loop, and a client serves many. Pass a "
            f"function that makes one: `transport=lambda: {type(transport).__name__}(...)`."
        )
    if transport not in TRANSPORTS and not callable(transport):
        raise ConfigurationError(
            f"{format_option('transport', transport)} must be one of {names}, or a function that returns an "
            "httpx.AsyncBaseTransport."
        )
    if transport == "aiohttp" and not (find_spec("httpx_aiohttp") and find_spec("aiohttp")):
        raise ConfigurationError("`transport='aiohttp'` needs httpx-aiohttp: pip install 'parallel-frames[aiohttp]'.")


def find_proxy(base_url: str) -> str | None:
    """Return the proxy to ask for a service, from the same variables that httpx reads."""
    parts = urlsplit(base_url)
    proxies = {} if proxy_bypass(parts.netloc) else getproxies()
    return proxies.get(parts.scheme) or proxies.get("all") or None


def guard(transport: httpx.AsyncBaseTransport) -> httpx.AsyncBaseTransport:
    """Return the user's transport, guarded unless it is httpx's own. A subclass may send twice: it is not its own."""
    if not isinstance(transport, httpx.AsyncBaseTransport):
        raise ConfigurationError(
            f"`transport` returned a {type(transport).__name__}; expected is an httpx.AsyncBaseTransport. Nothing was "
            "sent."
        )
    return transport if type(transport) is httpx.AsyncHTTPTransport else GuardedTransport(transport, _without_proof)


def _without_proof(error: Exception) -> httpx.HTTPError:
    """Return what a foreign transport's error is to us: when it was raised is not known."""
    if isinstance(error, httpx.HTTPError) and not isinstance(error, NOTHING_SENT):
        return error
    kind = httpx.ReadTimeout if isinstance(error, TimeoutError | httpx.TimeoutException) else httpx.ReadError
    return kind(f"{type(error).__name__}: {error}")


def describe_connection(response: httpx.Response) -> str | None:
    """Return who is at the other end (a proxy, where there is one) and who vouches for it; None where it is hidden."""
    stream = response.extensions.get("network_stream")  # of httpx's own transports only
    if stream is None:
        return None
    address = stream.get_extra_info("server_addr") or ("an address that is not known",)
    parts = [f"connected to {address[0]}"]
    if (tls := stream.get_extra_info("ssl_object")) is not None:
        certificate = tls.getpeercert() or {}
        issuer = {name: value for group in certificate.get("issuer", ()) for name, value in group}
        named = issuer.get("organizationName") or issuer.get("commonName") or "an authority without a name"
        parts.append(f"{tls.version()}, certificate of {named}, valid until {certificate.get('notAfter')}")
    return ", ".join(parts)


@dataclass(eq=False)
class GuardedTransport(httpx.AsyncBaseTransport):
    """A transport that is not httpx's own, with a function that returns an honest httpx error for each of its own.

    With `is_watched`, a body that is silent for longer than the request's timeout is closed from outside.
    """

    transport: httpx.AsyncBaseTransport
    translate: Translate
    is_watched: bool = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; every error is httpx's, and no answer in time is one."""
        with _translated(self.translate):
            async with asyncio.timeout(_patience(request)):
                response = await self.transport.handle_async_request(request)
        if isinstance(response.stream, httpx.AsyncByteStream):
            silence = request.extensions.get("timeout", {}).get("read")
            response.stream = _GuardedBody(response.stream, self.translate, self.is_watched, silence)
        return response

    async def aclose(self) -> None:
        await self.transport.aclose()


@dataclass(eq=False)
class _GuardedBody(httpx.AsyncByteStream):
    """A body whose errors are httpx's, and which is closed after so many seconds of silence, if any."""

    body: httpx.AsyncByteStream
    translate: Translate
    is_watched: bool
    silence: float | None

    def __post_init__(self) -> None:
        self._chunks = 0
        self._is_awaited = True  # a reader that takes its time is no silence
        self._closing: asyncio.Task[None] | None = None
        self._watch: asyncio.TimerHandle | None = None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self.is_watched:
            self._look_again(-1)
        try:
            with _translated(self.translate):
                async for chunk in self.body if self.is_watched else _in_time(self.body, self.silence):
                    self._chunks += 1
                    self._is_awaited = False
                    yield chunk
                    self._is_awaited = True
        finally:
            if self._watch:
                self._watch.cancel()

    def _look_again(self, chunks: int) -> None:
        """Close the body, which wakes its reader, if nothing came since so many chunks; else look again later."""
        loop = asyncio.get_running_loop()
        if self._is_awaited and self._chunks == chunks:
            self._closing = loop.create_task(self.aclose())
        elif self.silence:
            self._watch = loop.call_later(self.silence, self._look_again, self._chunks if self._is_awaited else -1)

    async def aclose(self) -> None:
        with _translated(self.translate):
            await self.body.aclose()


async def _in_time(body: httpx.AsyncByteStream, silence: float | None) -> AsyncIterator[bytes]:
    """Yield a body's chunks; raise TimeoutError where none comes for so many seconds."""
    chunks = aiter(body)
    while True:
        try:
            async with asyncio.timeout(silence):
                chunk = await anext(chunks)
        except StopAsyncIteration:
            return
        yield chunk


@contextmanager
def _translated(translate: Translate) -> Iterator[None]:
    """Raise each error as what it is translated to. Without the first one: its arguments may hold the request."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - a transport may raise anything, and its errors are ours from here on
        raise translate(error) from None


def _patience(request: httpx.Request) -> float | None:
    """Return the seconds until an answer must have begun; httpx limits each piece that is written, aiohttp nothing."""
    limits = {name: limit for name, limit in request.extensions.get("timeout", {}).items() if limit is not None}
    if len(limits) < 4:
        return None
    pieces = 1 + int(request.headers.get("content-length", 0)) // 2**20
    return float(limits["pool"] + limits["connect"] + limits["read"] + limits["write"] * pieces)

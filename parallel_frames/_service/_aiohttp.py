"""aiohttp under httpx, for `Client(transport="aiohttp")`: it reads streams in half of httpx's time.

`httpx_aiohttp` carries the requests over. Its own table of errors is not used: there, a server that hangs up after it
has read a request raises `httpx.ConnectTimeout`, and `Session` would send paid runs again. This module goes by
aiohttp's own error. aiohttp repeats a request where a kept connection turns out to be closed, but never a POST.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import aiohttp
import httpx_aiohttp

from parallel_frames._service._http import GuardedTransport, find_proxy, httpx
from parallel_frames.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from ssl import SSLContext

MAX_HEAD: Final = 100 * 2**10  # bytes, as in httpx; aiohttp's own limit is 8 KB a line
MAX_READ: Final = 2**18
MAX_WRITE: Final = 2**18

# The first one that fits counts. Those above the line are raised before a connection is there to be written to.
ERRORS: Final[tuple[tuple[type[Exception] | tuple[type[Exception], ...], type[httpx.HTTPError]], ...]] = (
    ((aiohttp.ClientProxyConnectionError, aiohttp.ClientHttpProxyError), httpx.ProxyError),
    (aiohttp.ClientConnectorError, httpx.ConnectError),  # names, refused connections, certificates
    (aiohttp.ConnectionTimeoutError, httpx.ConnectTimeout),
    ((aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError), httpx.UnsupportedProtocol),
    # ------------------------------------------------------------------------------------------------------------------
    (TimeoutError, httpx.ReadTimeout),
    ((aiohttp.ServerDisconnectedError, aiohttp.ClientResponseError), httpx.RemoteProtocolError),
    (ValueError, httpx.LocalProtocolError),
    (Exception, httpx.ReadError),
)


def make_aiohttp_transport(base_url: str, *, certificates: SSLContext, trust_env: bool) -> httpx.AsyncBaseTransport:
    """Return a transport for one session, with the proxy that the environment has for this address, if any."""
    proxy = _proxy_url(base_url) if trust_env else None

    def open_session() -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=certificates, limit=0, keepalive_timeout=5.0),  # a stream holds one
            cookie_jar=aiohttp.DummyCookieJar(),  # httpx keeps cookies
            proxy=proxy,
            read_bufsize=MAX_READ,
            max_line_size=MAX_HEAD,
            max_field_size=MAX_HEAD,
        )

    transport = _Transport(verify=certificates, client=open_session)
    # Watched, because aiohttp drops its own limit on silence, and wakes no reader, where a chunk is malformed.
    return GuardedTransport(transport, _translate, is_watched=True)


class _Transport(httpx_aiohttp.AiohttpTransport):
    """`httpx_aiohttp`'s own, but for large requests: aiohttp warns of them unless they come in pieces."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        content = request.content
        if len(content) > MAX_WRITE:
            request = httpx.Request(
                request.method,
                request.url,
                headers=request.headers,  # with the length, so that it is not sent in HTTP's chunks
                content=_cut(content),
                extensions=request.extensions,
            )
        return await super().handle_async_request(request)


async def _cut(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), MAX_WRITE):
        yield content[start : start + MAX_WRITE]


def _translate(error: Exception) -> httpx.HTTPError:
    """Return httpx's error for what aiohttp raised, whatever `httpx_aiohttp` made of it."""
    cause = (error.__cause__ if isinstance(error, httpx.HTTPError) else None) or error
    kind = next(kind for kinds, kind in ERRORS if isinstance(cause, kinds))
    # The text of an error of a response has the address of the proxy, with its password.
    text = f"{cause.status} {cause.message}" if isinstance(cause, aiohttp.ClientResponseError) else str(cause)
    return kind(text)


def _proxy_url(base_url: str) -> str | None:
    if (proxy := find_proxy(base_url)) is None:
        return None
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    if httpx.Proxy(proxy).url.scheme.startswith("socks"):
        raise ConfigurationError(
            "`transport='aiohttp'` knows no SOCKS proxies, and the environment names one. Nothing was sent. Leave "
            "`transport` out and install 'httpx[socks]', or add the host to NO_PROXY."
        )
    return proxy

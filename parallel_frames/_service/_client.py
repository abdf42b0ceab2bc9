"""`Client`: which service, which account, how fast.

It owns the API key and its rule: the key leaves this object only as a request header to the address it was given for.
Nothing is connected here (`Session` does that), and the environment is read once, when a client is made.
"""

from __future__ import annotations

import hashlib
import math
import os
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import urlsplit

from parallel_frames._clock import Clock
from parallel_frames._format import format_option
from parallel_frames._limits import MAX_RUNS_PER_MINUTE
from parallel_frames._service._dialects import DIALECTS
from parallel_frames._service._http import Transport, check_transport, guard, httpx
from parallel_frames._service._pacer import Pacer, shared_pacer
from parallel_frames._service._session import KEY_VARIABLE, SIMULATOR_HEADER, Session
from parallel_frames.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from ssl import SSLContext

    from parallel_frames._model import DialectName

LIVE_URL: Final = "https://api.parallel.ai"
LIVE_PAGES: Final = "https://platform.parallel.ai/view/task-run-group"
URL_VARIABLE: Final = "PARALLEL_BASE_URL"
CERTIFICATE_VARIABLES: Final = ("SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE")
PROXY_VARIABLES: Final = frozenset({"all_proxy", "http_proxy", "https_proxy", "no_proxy"})
LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
NEAR_SECONDS: Final = 2.0  # for an answer of this machine itself, however busy it is


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """The connection to the service: its address, the API key, and the limits of this process.

    Nothing is connected until an enrichment runs; one client may serve many, in any thread.

    Parameters
    ----------
    api_key : str, optional
        The account's key. Default: the environment variable ``PARALLEL_API_KEY``. It is never shown.
    base_url : str, optional
        The service's address. Default: ``PARALLEL_BASE_URL``, or the live service.
    api : {"auto", "published", "published-v1beta", "seed"}, default "auto"
        The dialect. ``"auto"`` detects it while a job's first group is created.
    max_per_minute : int or None, default 2000
        Runs created per minute over everything this process does with this key; None for no limit.
        Where several clients share a key, the lowest limit applies.
    settle_time : float, default 60.0
        Seconds after which a batch that the service does not list counts as not created. Only then is it sent
        again; no row is paid for twice as long as the service applies a request within this time.
    request_timeout : float, default 60.0
        Seconds one request may take, and a stream may be silent.
    allow_http : bool, default False
        Whether the key may be sent unencrypted to a host that is not this machine.
    transport : {"httpx", "aiohttp"} or callable, default "httpx"
        The library that sends requests. ``"aiohttp"`` (``pip install 'parallel-frames[aiohttp]'``) reads streams in
        half the CPU time. For certificates, proxies or tracing of your own, pass a function without parameters that
        returns an ``httpx.AsyncBaseTransport``, such as ``lambda: httpx.AsyncHTTPTransport(cert=..., proxy=...)``. It
        is called for each session (one call in one event loop), which closes the transport. The transport must not
        repeat a POST.
    clock_speed : float, optional
        Seconds of settling, backoff, pacing and timeouts per real second; for tests against a simulator whose own
        clock is as fast. Default: ``PARALLEL_FRAMES_CLOCK_SPEED``, or 1.

    Raises
    ------
    ConfigurationError
        No key anywhere, an address that cannot be used, or a transport that is not installed.

    Notes
    -----
    With a transport of your own, the proxies and certificates that the environment names are not used. If a connection
    fails in an ``httpx.AsyncHTTPTransport``, the batch is sent again at once. The errors of any other transport, even
    of a subclass, do not prove that nothing was sent: then the group is read first, after ``settle_time``.

    Examples
    --------
    >>> import parallel_frames as pf
    >>> pf.Client(api_key="not-a-real-key", max_per_minute=600)
    Client(base_url='https://api.parallel.ai', api='auto', max_per_minute=600, settle_time=60.0)
    """

    api_key: str | None = field(default=None, repr=False)
    base_url: str = ""
    api: Literal["auto", "published", "published-v1beta", "seed"] = "auto"
    max_per_minute: int | None = MAX_RUNS_PER_MINUTE
    settle_time: float = 60.0
    request_timeout: float = 60.0
    allow_http: bool = False
    transport: Transport = "httpx"
    clock_speed: float | None = None

    def __post_init__(self) -> None:
        key = self.api_key or os.environ.get(KEY_VARIABLE, "")
        url = (self.base_url or os.environ.get(URL_VARIABLE, "") or LIVE_URL).strip().rstrip("/")
        if not key.strip():
            is_near = urlsplit(url).hostname in LOOPBACK
            raise ConfigurationError(
                f"There is no API key. Set the environment variable {KEY_VARIABLE} (or, in Python, pass "
                "`client=pf.Client(api_key=...)`), or try it without one, offline: `with pf.offline(): ...`."
                + (f" {url} is on this machine: a simulator takes any key, {KEY_VARIABLE}=any." if is_near else "")
            )
        if not key.isascii() or not key.strip().isprintable():
            # httpx would quote the key in its own error.
            raise ConfigurationError(f"The API key contains characters that no key has; check {KEY_VARIABLE}.")
        _check_address(url, allow_http=self.allow_http)
        if self.api not in ("auto", *DIALECTS):
            names = ", ".join(map(repr, DIALECTS))
            raise ConfigurationError(f"{format_option('api', self.api)} must be one of 'auto', {names}.")
        if self.max_per_minute is not None and self.max_per_minute < 1:
            raise ConfigurationError(
                f"`max_per_minute={self.max_per_minute}` must be at least 1, or None for no limit."
            )
        if not self.settle_time >= 0:  # so written, it refuses NaN too
            raise ConfigurationError(f"`settle_time={self.settle_time}` must be a number of seconds, 0 or more.")
        if not 0 < self.request_timeout < math.inf:
            raise ConfigurationError(f"`request_timeout={self.request_timeout}` must be a number of seconds above 0.")
        check_transport(self.transport)
        speed = Clock.from_environment().speed if self.clock_speed is None else self.clock_speed
        if not 0 < speed < math.inf:
            raise ConfigurationError(f"`clock_speed={speed}` must be a number above 0.")
        object.__setattr__(self, "api_key", key.strip())
        object.__setattr__(self, "base_url", url)
        object.__setattr__(self, "clock_speed", speed)

    def __repr__(self) -> str:
        return (
            f"Client(base_url={self.base_url!r}, api={self.api!r}, max_per_minute={self.max_per_minute}, "
            f"settle_time={self.settle_time})"
        )

    def __reduce__(self) -> tuple[Callable[[], Client], tuple[()]]:
        raise TypeError("a Client is not pickled: it holds the API key; make one where it is needed")

    @classmethod
    def without_key(cls) -> Client:
        """Return a client for a call that sends nothing, with or without a key in the environment."""
        return cls(api_key=os.environ.get(KEY_VARIABLE) or "none")

    def url_of(self, group_id: str) -> str:
        """Return a group's page on the live service's site; elsewhere the address it is read at."""
        if self.base_url == LIVE_URL:
            return f"{LIVE_PAGES}/{group_id}"
        return f"{self.base_url}/v1/tasks/groups/{group_id}"

    def is_simulator(self) -> bool:
        """Ask a server on this machine whether it is a simulator, without the key: each of its answers says so."""
        parts = urlsplit(self.base_url)
        if parts.scheme != "http" or parts.hostname not in LOOPBACK or callable(self.transport):
            return False
        connection = HTTPConnection(parts.hostname, parts.port, timeout=NEAR_SECONDS)
        try:
            connection.request("GET", f"{parts.path}/")
            return connection.getresponse().getheader(SIMULATOR_HEADER) is not None
        except (OSError, HTTPException):
            return False
        finally:
            connection.close()

    @property
    def account(self) -> str | None:
        """A few digits that tell this key's account from another; None without a key. The key cannot be had from it."""
        if self.api_key in (None, "none"):
            return None
        return hashlib.blake2b(str(self.api_key).encode(), digest_size=4, person=b"pf account").hexdigest()

    @property
    def host(self) -> str:
        """The host, with its port unless it is the usual one."""
        return urlsplit(self.base_url).netloc

    @property
    def clock(self) -> Clock:
        """The clock for every wait of this client."""
        return Clock(self.clock_speed or 1.0)

    @property
    def real_timeout(self) -> float:
        """The real seconds one request may take."""
        return max(self.clock.real(self.request_timeout), 2.0)  # however fast the clock, a server needs time

    @property
    def pacer(self) -> Pacer:
        """The pacer that all clients of this host and key share in this process."""
        account = hashlib.blake2b((self.api_key or "").encode(), digest_size=16).hexdigest()
        return shared_pacer(self.host, account=account, clock=self.clock)

    @asynccontextmanager
    async def session(self, *, dialect: DialectName | None = None) -> AsyncIterator[Session]:
        """Open connections for the running event loop, with the dialect that a checkpoint remembers, if any."""
        name = dialect or (None if self.api == "auto" else self.api)
        trust_env = urlsplit(self.base_url).hostname not in LOOPBACK  # no proxy between this machine and itself
        timeout = self.real_timeout
        transport = guard(self.transport()) if callable(self.transport) else None
        certificates: SSLContext | bool = True  # not looked at where there is a transport
        with _environment_errors():
            if transport is None:
                certificates = _load_certificates(*map(os.environ.get, CERTIFICATE_VARIABLES), trust_env=trust_env)
                if self.transport == "aiohttp":
                    from parallel_frames._service._aiohttp import make_aiohttp_transport

                    transport = make_aiohttp_transport(self.base_url, certificates=certificates, trust_env=trust_env)
            http = httpx.AsyncClient(
                base_url=self.base_url,
                headers={"x-api-key": self.api_key or "", "user-agent": "parallel_frames"},
                timeout=httpx.Timeout(timeout, connect=min(timeout, 20.0)),
                limits=httpx.Limits(max_connections=None, max_keepalive_connections=16),  # a stream holds one
                follow_redirects=False,  # a redirect must neither repeat a POST nor carry the key elsewhere
                trust_env=trust_env,
                verify=certificates,
                transport=transport,
            )
        async with http:
            session = Session(http, client=self, dialect=DIALECTS[name] if name else None)
            try:
                yield session
            finally:
                session.close()


@contextmanager
def _environment_errors() -> Iterator[None]:
    """Name what is wrong with the machine's proxies and certificates. An address may hold a password: none is shown."""
    try:
        yield
    except (ImportError, ValueError, httpx.InvalidURL) as error:
        names = [name for name in os.environ if name.lower() in PROXY_VARIABLES]
        socks = " It is a SOCKS proxy: pip install 'httpx[socks]'." if isinstance(error, ImportError) else ""
        raise ConfigurationError(
            f"The proxy settings of the environment cannot be used; they are in {', '.join(names) or 'the system'}."
            f"{socks} Nothing was sent. Expected is http://host:port (a '#' in a password as %23), and in NO_PROXY "
            "names of hosts without brackets or networks; or unset them."
        ) from None
    except OSError as error:  # ssl.SSLError is one
        names = [f"{name}={os.environ[name]}" for name in CERTIFICATE_VARIABLES if name in os.environ]
        raise ConfigurationError(
            f"The certificates of this machine cannot be loaded ({error.strerror or error}); the environment has "
            f"{', '.join(names) or 'no variable for them'}. Nothing was sent. Let it name a "
            "file of certificates, or unset it."
        ) from None


@cache  # it takes longer than a small enrichment; the arguments make a change of the environment another entry
def _load_certificates(*_named: str | None, trust_env: bool) -> SSLContext:
    return httpx.create_ssl_context(trust_env=trust_env)


def _check_address(url: str, *, allow_http: bool) -> None:
    """Refuse an address that cannot be used, or that the key may not be sent to."""
    if "@" in url or "://" not in url:  # the message does not quote it: it may be the key, in the wrong argument
        problem = "contains a user name" if "@" in url else "has no https:// (or http://) in front"
        raise ConfigurationError(
            f"base_url {problem}: expected https://host (see {URL_VARIABLE}); the key goes into api_key."
        )
    if not _is_usable(url):
        raise ConfigurationError(f"{url!r} cannot be used: expected https://host (see {URL_VARIABLE}).")
    parts = urlsplit(url)
    if parts.scheme == "http" and parts.hostname not in LOOPBACK and not allow_http:
        raise ConfigurationError(
            f"{url!r} would carry the API key unencrypted. Use https; in Python, `Client(allow_http=True)` allows it."
        )


def _is_usable(url: str) -> bool:
    """Return whether an address is http or https, with a host that a request can name."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        host.encode("idna")
        has_host = bool(host) and parts.port != 0 and bool(httpx.URL(url).host)
    except (ValueError, httpx.InvalidURL):
        return False
    has_more = bool(parts.query or parts.fragment) or any(map(str.isspace, url))
    return parts.scheme in ("http", "https") and has_host and not has_more

"""HTTP for one account of one service: the only room that knows httpx.

`Client` is the user's: where the service is, which key, how fast. `Session` is one event loop's connection with it
and keeps the engine's `Service` protocol. httpx's exceptions become ours here; whether a request may be repeated
is decided here by what it is: reading is retried, adding runs never is. The API key is in the request's header and
nowhere else.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import math
import os
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar
from urllib.parse import urlsplit

import httpx

from parallel_frames import _dialects as dialects
from parallel_frames._model import Accepted, Ambiguous, OtherEvent, Refused, RunEvent
from parallel_frames._pace import Backoff, Clock, Pacer, shared_pacer
from parallel_frames._sse import EventDecoder, EventTooLargeError
from parallel_frames.errors import (
    AuthenticationError,
    ConfigurationError,
    CreditError,
    ParallelFramesError,
    ProtocolError,
    RateLimitError,
    RejectedError,
    ServiceError,
    UnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence

    from parallel_frames._model import DialectName, Event, GroupStatus, Job, Json, OutgoingRun, Posted

T = TypeVar("T")
logger = logging.getLogger("parallel_frames")

LIVE_URL: Final = "https://api.parallel.ai"
KEY_VARIABLE: Final = "PARALLEL_API_KEY"
URL_VARIABLE: Final = "PARALLEL_BASE_URL"
LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
BODY_LIMIT: Final = 256 * 2**20
EXCERPT_LIMIT: Final = 64 * 2**10
TORN_TRIES: Final = 2
LEAST_KEY: Final = 8  # what is shorter is no secret, but a word
HIDDEN: Final = b"[the API key]"
NOTHING_SENT: Final = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)
NOTHING_CREATED: Final = frozenset({400, 401, 402, 403, 404, 422, 429})
TRY_AGAIN: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
SIMULATOR_HEADER: Final = "x-parallel-simulator"


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """Where the service is, which account pays, and how fast to go.

    Nothing is connected until an enrichment runs; one client may serve many, in any thread.

    Parameters
    ----------
    api_key : str, optional
        The account's key. Default: the environment variable ``PARALLEL_API_KEY``. It is never shown.
    base_url : str, optional
        The service's address. Default: ``PARALLEL_BASE_URL``, or the live service.
    api : {"auto", "published", "published-v1beta", "seed"}, default "auto"
        The dialect. ``"auto"`` finds it out while a job's first group is created.
    max_per_minute : int or None, default 2000
        Runs created per minute over everything this process does with this key; None for no limit.
        If several clients of one key are at work, the lowest holds.
    settle_time : float, default 60.0
        Seconds after which a batch that the service does not show is taken as not created. Only then is it sent
        again; the promise to pay once holds as long as the service applies a request within this time.
    request_timeout : float, default 60.0
        Seconds one request may take; streams may be silent for as long.
    allow_http : bool, default False
        Whether the key may travel unencrypted to a host that is not this machine.
    clock_speed : float, optional
        Seconds of settling, backoff, pacing and timeouts per second of the wall; for tests against a simulator
        whose own clock is as fast. Default: ``PARALLEL_FRAMES_CLOCK_SPEED``, or 1.

    Raises
    ------
    ConfigurationError
        No key anywhere, or an address that cannot be used.

    Examples
    --------
    >>> import parallel_frames as pf
    >>> pf.Client(api_key="not-a-real-key", max_per_minute=600)
    Client(base_url='https://api.parallel.ai', api='auto', max_per_minute=600, settle_time=60.0)
    """

    api_key: str | None = field(default=None, repr=False)
    base_url: str = ""
    api: Literal["auto", "published", "published-v1beta", "seed"] = "auto"
    max_per_minute: int | None = 2000
    settle_time: float = 60.0
    request_timeout: float = 60.0
    allow_http: bool = False
    clock_speed: float | None = None

    def __post_init__(self) -> None:
        key = self.api_key or os.environ.get(KEY_VARIABLE, "")
        if not key.strip():
            raise ConfigurationError(
                f"There is no API key. Set the environment variable {KEY_VARIABLE}, pass "
                "client=pf.Client(api_key=...), or try it without one, offline: `with pf.offline(): ...`."
            )
        if not key.isascii() or not key.strip().isprintable():
            raise ConfigurationError(f"The API key holds characters that no key has; check {KEY_VARIABLE}.")
        url = (self.base_url or os.environ.get(URL_VARIABLE, "") or LIVE_URL).strip().rstrip("/")
        _check_address(url, allow_http=self.allow_http)
        if self.api != "auto" and self.api not in dialects.DIALECTS:
            raise ConfigurationError(f"api={self.api!r} is none of 'auto', {', '.join(map(repr, dialects.DIALECTS))}.")
        if self.max_per_minute is not None and self.max_per_minute < 1:
            raise ConfigurationError(f"max_per_minute={self.max_per_minute} would never send anything.")
        if not self.settle_time >= 0:
            raise ConfigurationError(f"settle_time={self.settle_time} is not a number of seconds.")
        if not 0 < self.request_timeout < math.inf:
            raise ConfigurationError(f"request_timeout={self.request_timeout} would never let an answer come.")
        speed = Clock.from_environment().speed if self.clock_speed is None else self.clock_speed
        if not 0 < speed < math.inf:
            raise ConfigurationError(f"clock_speed={speed} is not the speed of a clock.")
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

    @property
    def host(self) -> str:
        """The host, and the port if it is not the usual one."""
        return urlsplit(self.base_url).netloc

    @property
    def clock(self) -> Clock:
        """The clock everything of this client waits by."""
        return Clock(self.clock_speed or 1.0)

    @property
    def real_timeout(self) -> float:
        """The wall's seconds that one request may take."""
        return max(self.clock.real(self.request_timeout), 2.0)

    @property
    def pacer(self) -> Pacer:
        """The pacer that every client of this host and key shares in this process."""
        account = hashlib.blake2b((self.api_key or "").encode(), digest_size=16).hexdigest()
        return shared_pacer(self.host, account=account, clock=self.clock)

    @asynccontextmanager
    async def session(self, *, dialect: DialectName | None = None) -> AsyncIterator[Session]:
        """Open connections for the running event loop; `dialect` is what a checkpoint remembers."""
        named = dialect or (None if self.api == "auto" else self.api)
        loopback = urlsplit(self.base_url).hostname in LOOPBACK
        real = self.real_timeout
        http = httpx.AsyncClient(
            base_url=self.base_url,
            headers={"x-api-key": self.api_key or "", "user-agent": "parallel_frames"},
            timeout=httpx.Timeout(real, connect=min(real, 20.0)),
            limits=httpx.Limits(max_connections=32, max_keepalive_connections=16),
            follow_redirects=False,  # a redirect must neither repeat a POST nor carry the key elsewhere
            trust_env=not loopback,  # a proxy is not asked for what is on this machine
        )
        async with http:
            yield Session(http, client=self, dialect=dialects.DIALECTS[named] if named else None)


class Session:
    """One event loop's connection with the service: the engine's `Service`."""

    def __init__(self, http: httpx.AsyncClient, *, client: Client, dialect: dialects.Dialect | None) -> None:
        self._http = http
        self._client = client
        self._clock = client.clock
        self._dialect = dialect
        self.simulated = False

    @property
    def dialect(self) -> DialectName | None:
        """The dialect, once fixed or found out."""
        return self._dialect.name if self._dialect else None

    @property
    def _spoken(self) -> dialects.Dialect:
        return self._dialect or dialects.PUBLISHED

    async def create_group(self, job: Job, *, metadata: Mapping[str, Json]) -> str:
        """Open a group; an ambiguous try is repeated, because an empty group costs nothing."""
        if self._dialect is not None:
            return await self._create_group(self._dialect, job=job, metadata=metadata)
        last: ServiceError | None = None
        for dialect in dialects.DIALECTS.values():
            try:
                group_id = await self._create_group(dialect, job=job, metadata=metadata)
            except RejectedError as error:
                # The published dialect's word on a refused body is the one worth showing.
                last = error if last is None or last.status == 404 else last
                if error.status not in (404, 422):
                    raise
            except ProtocolError as error:
                if dialect is dialects.PUBLISHED:
                    raise
                last = last or error
            else:
                self._dialect = dialect
                logger.debug("%s speaks the %s dialect", self._client.host, dialect.name)
                return group_id
        raise last or UnavailableError("no dialect was understood")

    async def _create_group(self, dialect: dialects.Dialect, *, job: Job, metadata: Mapping[str, Json]) -> str:
        body = dialect.group_body(job, metadata=metadata)

        def read(answer: bytes) -> str:
            return dialects.read_group_id(answer, dialect=dialect)

        return await self._ask("POST", dialect.group_path(), read=read, body=body, headers=self._beta(job))

    async def add_runs(self, group_id: str, *, job: Job, runs: Sequence[OutgoingRun]) -> Posted:
        """Send one batch, once, and say what its answer proves."""
        path = self._spoken.group_path(group_id, "runs")
        body = self._spoken.runs_body(job, runs=runs)
        query = {} if self._spoken.name == "seed" else {"refresh_status": "false"}
        try:
            status, headers, answer = await self._send("POST", path, body=body, params=query, headers=self._beta(job))
        except NOTHING_SENT as error:
            return Refused(None, _unreachable(self._client.host, error))
        except (httpx.HTTPError, ProtocolError) as error:
            return Ambiguous(f"the connection broke before the answer ({type(error).__name__})")
        if status in NOTHING_CREATED:
            refusal = error_of(status, headers, answer, group_id=group_id)
            return Refused(status, refusal, retry_after(headers))
        if not 200 <= status < 300:
            return Ambiguous(f"the answer was HTTP {status}")
        try:
            run_ids = dialects.read_run_ids(answer)
        except dialects.UnreadableError as error:
            return Ambiguous(f"the answer was torn: {error}")
        if len(run_ids) != len(runs):
            return Ambiguous(f"the answer names {len(run_ids)} runs where {len(runs)} were sent")
        return Accepted(run_ids)

    async def group_status(self, group_id: str) -> GroupStatus:
        """Return the counts of a group."""

        def read(answer: bytes) -> GroupStatus:
            return dialects.read_status(group_id, answer)

        return await self._ask("GET", self._spoken.group_path(group_id), read=read, group_id=group_id)

    async def run_result(self, run_id: str) -> RunEvent | None:
        """Return a finished run with its output; None when it is not finished or the service cannot say."""

        def read(answer: bytes) -> RunEvent | None:
            body = dialects.read_json(answer)
            return dialects.read_run(body) if isinstance(body, dict) else None

        path = self._spoken.result_path(run_id)
        try:
            return await self._ask("GET", path, read=read, params={"timeout": "1"}, final=frozenset({408}))
        except (RejectedError, UnavailableError) as error:
            if error.status in (404, 408):  # it failed, still runs, or the dialect has no such path
                return None
            raise

    async def stream_events(self, group_id: str, *, last_event_id: str | None) -> AsyncGenerator[Event, None]:
        """Yield events until the stream ends; raises UnavailableError when it is cut or falls silent."""
        params = {"include_output": "true"}
        if last_event_id:
            params["last_event_id"] = last_event_id
        path = self._spoken.group_path(group_id, "events")
        async with self._streaming(path, params=params, group_id=group_id) as response:
            async for data in self._events(response, group_id=group_id):
                yield dialects.read_event(self._without_key(data))

    async def list_runs(
        self, group_id: str, *, include_input: bool, include_output: bool
    ) -> AsyncGenerator[RunEvent, None]:
        """Yield every run of the group as it stands now; whether the list is whole is for the caller to check."""
        asked = {"include_input": include_input, "include_output": include_output}
        params = {name: "true" for name, wanted in asked.items() if wanted}
        path = self._spoken.group_path(group_id, "runs")
        async with self._streaming(path, params=params, group_id=group_id) as response:
            if "json" in response.headers.get("content-type", "").lower():
                try:
                    for run in dialects.read_listing(self._without_key(await _bounded_body(response))):
                        yield run
                except dialects.UnreadableError as error:
                    raise ProtocolError(f"The list of runs: {error}.", group_id=group_id) from error
                return
            async for data in self._events(response, group_id=group_id):
                event = dialects.read_event(self._without_key(data))
                if isinstance(event, RunEvent):
                    yield event
                elif event.type in ("error", "malformed"):
                    raise UnavailableError(f"The list of runs broke off: {event.message}.", group_id=group_id)

    @asynccontextmanager
    async def _streaming(self, path: str, *, params: Mapping[str, str], group_id: str) -> AsyncIterator[httpx.Response]:
        """Open a response whose body is read as it comes; every trouble with it becomes one of our errors."""
        accept = {"accept": "text/event-stream, application/json;q=0.9", "cache-control": "no-store"}
        try:
            async with self._http.stream("GET", path, params=dict(params), headers=accept) as response:
                self._note(response)
                if response.status_code != 200:
                    body = await self._beginning(response)
                    raise error_of(response.status_code, response.headers, body, group_id=group_id)
                yield response
        except httpx.HTTPError as error:
            raise UnavailableError(
                f"The stream from {self._client.host} was cut ({type(error).__name__}).", group_id=group_id
            ) from error

    async def _events(self, response: httpx.Response, *, group_id: str) -> AsyncGenerator[bytes, None]:
        """Yield the data of each event of a response."""
        kind = response.headers.get("content-type", "")
        if "event-stream" not in kind.lower():
            body = dialects.excerpt(await self._beginning(response))
            raise ProtocolError(
                f"Expected an event stream, got {kind or 'no content type'}: {body}.", group_id=group_id
            )
        decoder = EventDecoder()
        async for chunk in response.aiter_bytes():
            try:
                for data in decoder.feed(chunk):
                    yield data
            except EventTooLargeError as error:
                raise ProtocolError(f"The stream sent {error}.", group_id=group_id) from error

    async def _ask(
        self,
        method: str,
        path: str,
        *,
        read: Callable[[bytes], T],
        body: bytes | None = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        group_id: str | None = None,
        final: frozenset[int] = frozenset(),
    ) -> T:
        """Send what may be repeated, until it is answered or hopeless, and read the answer."""
        backoff = Backoff()
        torn = 0
        for attempt in range(backoff.tries + 1):
            wait = backoff.wait(attempt)
            try:
                status, answered, answer = await self._send(method, path, body=body, params=params, headers=headers)
                if 200 <= status < 300:
                    return read(answer)
            except httpx.HTTPError as error:
                failure: ServiceError = _unreachable(self._client.host, error)
            except dialects.UnreadableError as error:
                failure = ProtocolError(
                    f"{self._client.host} is not the service, or not all of its answer came: {error}.",
                    status=status,
                    group_id=group_id,
                )
                torn += isinstance(error, dialects.TornError)
                if not 0 < torn <= TORN_TRIES:
                    raise failure from error
            else:
                failure = error_of(status, answered, answer, group_id=group_id)
                if status not in TRY_AGAIN or status in final:
                    raise failure
                advised = retry_after(answered)
                wait = wait if advised is None else advised
            if attempt < backoff.tries:
                logger.debug("%s %s: %s; again in %.1f s", method, path, failure, wait)
                await self._clock.sleep(wait)
        raise failure

    async def _send(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, httpx.Headers, bytes]:
        """Send one request and return its status, headers and bounded body."""
        more = {"content-type": "application/json"} if body is not None else {}
        async with self._http.stream(
            method, path, content=body, params=dict(params or {}), headers={**more, **(headers or {})}
        ) as response:
            self._note(response)
            return response.status_code, response.headers, await self._whole(response)

    async def _whole(self, response: httpx.Response) -> bytes:
        """Return a body that has to come within a request's time."""
        try:
            async with asyncio.timeout(self._client.real_timeout):
                return self._without_key(await _bounded_body(response))
        except TimeoutError as error:
            raise httpx.ReadTimeout("the answer came, but not its end") from error

    async def _beginning(self, response: httpx.Response) -> bytes:
        """Return as much of a body as is worth a message."""
        parts: list[bytes] = []
        try:
            async with asyncio.timeout(self._client.real_timeout):
                async for chunk in response.aiter_bytes():
                    parts.append(chunk)
                    if sum(map(len, parts)) > EXCERPT_LIMIT:
                        await response.aclose()  # before the iteration ends; what follows is not worth reading
                        break
        except (TimeoutError, httpx.HTTPError) as error:
            logger.debug("an error's text did not come whole (%s)", type(error).__name__)
        return self._without_key(b"".join(parts))

    def _without_key(self, body: bytes) -> bytes:
        """Return what came as it may be quoted and stored: some servers and proxies repeat what they were sent."""
        key = (self._client.api_key or "").encode()
        return body.replace(key, HIDDEN) if len(key) >= LEAST_KEY else body

    def _note(self, response: httpx.Response) -> None:
        if SIMULATOR_HEADER in response.headers:
            self.simulated = True

    @staticmethod
    def _beta(job: Job) -> dict[str, str]:
        betas = ",".join(job.options.beta_headers)
        return {"parallel-beta": betas} if betas else {}


def _check_address(url: str, *, allow_http: bool) -> None:
    """Refuse an address that cannot be used, or that the key may not travel to."""
    if "@" in url or "://" not in url:  # said without what was given, which may be the key
        raise ConfigurationError(
            f"base_url is not an address without a user name: expected https://host (see {URL_VARIABLE}); "
            "the key goes into api_key."
        )
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        host.encode("idna")
        is_usable = parts.scheme in ("http", "https") and bool(host) and parts.port != 0 and bool(httpx.URL(url).host)
    except (ValueError, httpx.InvalidURL):
        is_usable = False
    if not is_usable or parts.query or parts.fragment or any(map(str.isspace, url)):
        raise ConfigurationError(f"{url!r} cannot be used: expected https://host (see {URL_VARIABLE}).")
    if parts.scheme == "http" and host not in LOOPBACK and not allow_http:
        raise ConfigurationError(
            f"{url!r} would carry the API key unencrypted. Use https, or say Client(allow_http=True)."
        )


async def _bounded_body(response: httpx.Response) -> bytes:
    """Return a body, unless it has no end."""
    parts: list[bytes] = []
    size = 0
    async for chunk in response.aiter_bytes():
        size += len(chunk)
        if size > BODY_LIMIT:
            raise ProtocolError(f"An answer of more than {BODY_LIMIT:,} bytes.", status=response.status_code)
        parts.append(chunk)
    return b"".join(parts)


def _unreachable(host: str, error: httpx.HTTPError) -> UnavailableError:
    """Return our error for a connection that failed; httpx's own text holds no header."""
    return UnavailableError(f"{host} could not be reached ({type(error).__name__}: {str(error)[:200]}).")


def retry_after(headers: httpx.Headers) -> float | None:
    """Return the seconds a Retry-After asks for, whether it says seconds or a date; None if it says nothing."""
    value = headers.get("retry-after", "").strip()
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
        except (ValueError, OverflowError, OSError):  # the last two: a year that no clock here knows
            return None
    return None if math.isnan(seconds) else min(max(seconds, 0.0), 3600.0)


def error_of(status: int, headers: httpx.Headers, body: bytes, *, group_id: str | None = None) -> ServiceError:
    """Return the error that an answer's status and body mean."""
    said, ref_id = _message_of(body)
    details: dict[str, Any] = {"status": status, "group_id": group_id, "ref_id": ref_id}
    if status == 401:
        return AuthenticationError(
            f"The service does not know this API key (401): {said}. Check {KEY_VARIABLE} or client=.", **details
        )
    if status == 403:
        return AuthenticationError(f"The account may not do this, or not use this processor (403): {said}.", **details)
    if status == 402:
        return CreditError(f"The account has too little credit (402): {said}.", **details)
    if status == 404 and group_id:
        return RejectedError(
            f"The service does not know the group (404): {said}. Is it another account's, another host's, or one of "
            "another dialect (Client(api=...))?",
            **details,
        )
    if status in (400, 404, 405, 409, 413, 422):
        return RejectedError(f"The service refuses the request ({status}): {said}.", **details)
    if status == 429:
        return RateLimitError(f"The service's rate limit is reached (429): {said}.", **details)
    if 300 <= status < 400:
        where = urlsplit(headers.get("location", "")).netloc or "elsewhere"
        return ProtocolError(f"The service redirects to {where} ({status}); redirects are not followed.", **details)
    return UnavailableError(f"The service is in trouble ({status}): {said}.", **details)


def _message_of(body: bytes) -> tuple[str, str | None]:
    """Return what an error's body says, and its reference; HTML and the like become an excerpt."""
    try:
        answer = dialects.read_json(body)
    except dialects.UnreadableError:
        return (dialects.excerpt(body) if body else "no explanation"), None
    error = answer.get("error") if isinstance(answer, dict) else None
    if isinstance(error, dict):
        said, ref_id = error.get("message"), error.get("ref_id")
        text = said[:500].rstrip(".") if isinstance(said, str) and said else "no explanation"
        return text, ref_id if isinstance(ref_id, str) and ref_id else None
    if isinstance(answer, dict) and isinstance(answer.get("detail"), list):
        findings = [_finding(entry) for entry in answer["detail"][:5] if isinstance(entry, dict)]
        return "; ".join(findings)[:1000] or "no explanation", None
    return dialects.excerpt(body), None


def _finding(entry: Mapping[str, Json]) -> str:
    """Return one thing that is wrong with a body, as a 422 tells it."""
    place = entry.get("loc")
    steps = [str(step) for step in place if isinstance(step, str | int)] if isinstance(place, list) else []
    said = entry.get("msg")
    return f"{'.'.join(steps)}: {said if isinstance(said, str) else 'refused'}"


__all__ = ["Client", "OtherEvent", "ParallelFramesError", "Session"]

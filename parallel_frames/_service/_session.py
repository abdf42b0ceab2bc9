"""`Session`: one event loop's connection with a service, which asks patiently and sends once."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, TypeVar

import httpx

from parallel_frames import _service as dialects
from parallel_frames._clock import Backoff
from parallel_frames._model import Accepted, Ambiguous, Refused, RunEvent
from parallel_frames._service._responses import bounded_body, error_of, retry_after, unreachable
from parallel_frames._service._secret import Secret
from parallel_frames._service._sse import EventDecoder, EventTooLargeError
from parallel_frames._service._turns import Turns
from parallel_frames.errors import (
    ProtocolError,
    RejectedError,
    ServiceError,
    UnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from parallel_frames._model import DialectName, Event, GroupStatus, Job, Json, OutgoingRun, Posted
    from parallel_frames._service._client import Client

T = TypeVar("T")
logger = logging.getLogger("parallel_frames")

STREAMS: Final = 16  # of the connections, so that there are some left to send and to ask by
PATIENCE: Final = 5.0
LEAST_PATIENCE: Final = 1.0  # of the wall: a stream has to come about
EXCERPT_LIMIT: Final = 64 * 2**10
TORN_TRIES: Final = 2
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


class Session:
    """One event loop's connection with the service: the engine's `Service`."""

    def __init__(self, http: httpx.AsyncClient, *, client: Client, dialect: dialects.Dialect | None) -> None:
        self._http = http
        self._client = client
        self._clock = client.clock
        self._dialect = dialect
        self._secret = Secret(client.api_key)
        self._streams = Turns(STREAMS, patience=max(client.clock.real(PATIENCE), LEAST_PATIENCE))
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
            return Refused(None, unreachable(self._client.host, error))
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

    async def find_group(self, group_id: str) -> GroupStatus:
        """Return the counts of a group that is only read, wherever it is: under ``/v1``, or else under ``/v1beta``.

        There the two dialects differ in what is sent and not in what is read; so nothing may be sent on this session
        afterwards.
        """
        try:
            return await self.group_status(group_id)
        except RejectedError as error:
            if error.status != 404 or self._dialect is not None:
                raise
            self._dialect = dialects.PUBLISHED_V1BETA
            try:
                return await self.group_status(group_id)
            except RejectedError:
                raise error from None

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

    def turn_to_stream(self, *, useless: int) -> AbstractAsyncContextManager[Callable[[], None]]:
        """Wait for a turn to hear a group's events: many groups share few connections.

        The block is broken off where nothing is heard and others wait. It is given a function to call at news.
        """
        return self._streams.turn(useless=useless)

    async def stream_events(
        self, group_id: str, *, last_event_id: str | None, include_input: bool = False
    ) -> AsyncGenerator[Iterator[Event], None]:
        """Yield the events that came together, to be read before the next ones, until the stream ends.

        Raises UnavailableError when it is cut or falls silent.
        """
        params = {"include_output": "true", **({"include_input": "true"} if include_input else {})}
        if last_event_id:
            params["last_event_id"] = last_event_id
        path = self._spoken.group_path(group_id, "events")
        async with self._streaming(path, params=params, group_id=group_id) as response:
            await self._check_kind(response, group_id=group_id)
            decoder = EventDecoder()
            async for chunk in _chunks(response):
                yield self._read(chunk, decoder, group_id=group_id)

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
                    for run in dialects.read_listing(self._secret.hide(await bounded_body(response))):
                        yield run
                except dialects.UnreadableError as error:
                    raise ProtocolError(f"The list of runs: {error}.", group_id=group_id) from error
                return
            await self._check_kind(response, group_id=group_id)
            decoder = EventDecoder()
            async for chunk in _chunks(response):
                for event in self._read(chunk, decoder, group_id=group_id):
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

    async def _check_kind(self, response: httpx.Response, *, group_id: str) -> None:
        """Refuse a response that is no event stream."""
        kind = response.headers.get("content-type", "")
        if "event-stream" not in kind.lower():
            body = dialects.excerpt(await self._beginning(response))
            raise ProtocolError(
                f"Expected an event stream, got {kind or 'no content type'}: {body}.", group_id=group_id
            )

    def _read(self, chunk: bytes, decoder: EventDecoder, *, group_id: str) -> Iterator[Event]:
        """Yield the events that a chunk completes, each parsed only when it is wanted, so that few are in memory."""
        hide, telltale, read_event = self._secret.hide, self._secret.telltale(chunk), dialects.read_event
        try:
            for data in decoder.feed(chunk):
                yield read_event(hide(data) if telltale in data else data)
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
        failure: ServiceError = UnavailableError(f"{self._client.host} was not asked.", group_id=group_id)
        status: int | None = None
        torn = 0
        for attempt in range(backoff.tries + 1):
            wait = backoff.wait(attempt)
            try:
                status, answered, answer = await self._send(method, path, body=body, params=params, headers=headers)
                if 200 <= status < 300:
                    return read(answer)
            except httpx.HTTPError as error:
                failure = unreachable(self._client.host, error)
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
                return self._secret.hide(await bounded_body(response))
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
        return self._secret.hide(b"".join(parts))

    def _note(self, response: httpx.Response) -> None:
        if SIMULATOR_HEADER in response.headers:
            self.simulated = True

    @staticmethod
    def _beta(job: Job) -> dict[str, str]:
        betas = ",".join(job.options.beta_headers)
        return {"parallel-beta": betas} if betas else {}


def _chunks(response: httpx.Response) -> AsyncIterator[bytes]:
    """Return a body's bytes as they come; what is not compressed needs no layer that would inflate or cut it anew."""
    stream, is_compressed = response.stream, "content-encoding" in response.headers
    return aiter(stream) if isinstance(stream, httpx.AsyncByteStream) and not is_compressed else response.aiter_bytes()

"""`Session`: one event loop's connections to the service: requests, retries, event streams.

This is the one border where httpx's errors become ours. Requests that may be repeated are, with backoff. A
batch may not be: `Session.add_runs` sends it once and returns what the answer proves, and the engine decides. Whatever
is received passes through `KeyRedactor` before anything can quote, log or store it.

It refuses to know what a run is for, and when a batch may be sent (`Pacer` and the engine know).
"""

from __future__ import annotations

import asyncio
import logging
import math
import re
import time
from contextlib import aclosing, asynccontextmanager
from email.utils import parsedate_to_datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from parallel_frames._clock import Backoff
from parallel_frames._format import format_count, format_duration
from parallel_frames._model import UNREADABLE, Accepted, Ambiguous, Refused, RunEvent
from parallel_frames._service._dialects import DIALECTS, PUBLISHED, PUBLISHED_V1BETA, SEED, Dialect
from parallel_frames._service._http import NOTHING_SENT, describe_connection, httpx
from parallel_frames._service._messages import (
    TornError,
    UnreadableError,
    excerpt,
    read_batch,
    read_error,
    read_event,
    read_group_id,
    read_json,
    read_listing,
    read_run,
    read_status,
)
from parallel_frames._service._pacer import clamp_retry_after
from parallel_frames._service._sse import EventDecoder, EventTooLargeError, NamedData
from parallel_frames.errors import (
    AuthenticationError,
    CreditError,
    ProtocolError,
    RateLimitError,
    RejectedError,
    ServiceError,
    UnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import (
        AsyncGenerator,
        AsyncIterator,
        Callable,
        Container,
        Iterable,
        Iterator,
        Mapping,
        Sequence,
    )

    from parallel_frames._model import DialectName, Event, GroupStatus, Job, Json, OutgoingRun, Posted
    from parallel_frames._service._client import Client

T = TypeVar("T")
logger = logging.getLogger("parallel_frames")

KEY_VARIABLE: Final = "PARALLEL_API_KEY"
SIMULATOR_HEADER: Final = "x-parallel-simulator"
MAX_BODY: Final = 256 * 2**20
MAX_EXCERPT: Final = 64 * 2**10
SILENCE: Final = 3.0  # real seconds without an answer, after which a person wants to know what is waited for
TORN_TRIES: Final = 2  # a body that stays torn is not a matter of luck

# What the service refuses, and what a gateway answers before the service has seen anything.
NOTHING_CREATED: Final = frozenset({*range(400, 406), 407, *range(409, 419), 421, 422, 429, 431, 451})
# Of a result: it still runs (408), it failed or the dialect has no such path (404), or this one run's cannot be had.
NO_RESULT: Final = frozenset({400, 404, 408, 409, 410, 422})
# Of a list from a cursor on, or of some runs: the service has no such thing, or forgot the cursor.
NARROW_REFUSED: Final = frozenset({400, 404, 410, 422})
RUN_ID: Final = re.compile(rb'"run_id"\s*:\s*"([^"]*)"')  # a user's own data may have such a name, too
# Of requests that may be repeated; runs are sent once, and what their refusal means is for the submitter to say.
RETRIED: Final = frozenset({408, 425, 429, 500, 502, 503, 504})


HINTS: Final = {
    405: " Check PARALLEL_BASE_URL: this address does not take what the service takes.",
    407: " A proxy asks for a password: put it into its address in HTTPS_PROXY, or add the host to NO_PROXY.",
    413: " A single row is too large for the service or a gateway before it: send less of it with `inputs=...`.",
    431: " The headers are too large: check 'beta_headers' in `options`, and the proxies on the way.",
}


class _Request(NamedTuple):
    """What one request sends, however often."""

    method: str
    path: str
    body: bytes | None = None
    params: Mapping[str, str] | None = None
    headers: Mapping[str, str] | None = None


class Session:
    """One event loop's connections to the service: the engine's `Service`."""

    def __init__(self, http: httpx.AsyncClient, *, client: Client, dialect: Dialect | None) -> None:
        self._http = http
        self._client = client
        self._clock = client.clock
        self._dialect = dialect
        self._refused_of_lists: set[str] = set()  # parameters that a list may do without
        self._guess: Dialect | None = None  # of a group that was found under /v1beta, where two dialects are read alike
        self._redactor = KeyRedactor(client.api_key)
        self.simulated = False
        self.keeps_raw = False  # whether runs carry the JSON that they were read from
        self.trouble: str | None = None
        self.on_answer: Callable[[Mapping[str, str], str | None], object] | None = None  # headers, and the connection
        self._alarm: asyncio.TimerHandle | None = None  # set while an answer is overdue
        self._reason = ""  # why there is none
        self._has_answered = self._has_warned = False

    def close(self) -> None:
        """Warn of nothing more."""
        self._stop_alarm()

    @property
    def dialect(self) -> DialectName | None:
        """The dialect, once it is fixed or detected."""
        return self._dialect.name if self._dialect else None

    @property
    def narrows_lists(self) -> bool:
        """Whether a list begins at a cursor, and has completed runs only, where that is asked for."""
        return not self._refused_of_lists and self._current.name != "seed"

    @property
    def _current(self) -> Dialect:
        return self._dialect or self._guess or PUBLISHED

    # Groups and batches

    async def create_group(self, job: Job, *, metadata: Mapping[str, Json]) -> str:
        """Create a group, and detect the dialect by it unless it is known.

        An unknown path answers 404 and an unknown body 422, and neither creates anything, so the dialects are tried
        in turn. An ambiguous request is repeated: an empty group costs nothing.
        """
        if self._dialect is not None:
            return await self._create_group(self._dialect, job=job, metadata=metadata)
        failure: ServiceError | None = None
        for dialect in DIALECTS.values():
            try:
                group_id = await self._create_group(dialect, job=job, metadata=metadata)
            except RejectedError as error:
                # What the published dialect answers to a refused body is the message worth raising.
                failure = error if failure is None or failure.status == 404 else failure
                if error.status not in (404, 422):
                    raise
            except ProtocolError as error:
                if dialect is PUBLISHED:
                    raise
                failure = failure or error
            else:
                self._dialect, self._guess = dialect, None
                logger.debug("%s speaks the %s dialect", self._client.host, dialect.name)
                return group_id
        raise failure or UnavailableError("no dialect was understood")

    async def _create_group(self, dialect: Dialect, *, job: Job, metadata: Mapping[str, Json]) -> str:
        request = _post(dialect.group_path(), dialect.group_body(job, metadata=metadata), job=job)
        return await self._request(request, read=partial(read_group_id, dialect=dialect))

    async def add_runs(self, group_id: str, *, job: Job, runs: Sequence[OutgoingRun]) -> Posted:
        """Send one batch, once, and return what its answer proves.

        `Refused` needs proof that nothing was created, `Accepted` one id for each run. Everything else, statuses of
        success included, is `Ambiguous`.
        """
        posted = await self._post_runs(group_id, job=job, runs=runs)
        if self._guess is None:
            return posted
        if isinstance(posted, Refused) and posted.status == 422:
            # An unknown body is refused with 422, and nothing is created: the other dialect of these paths is meant.
            guess, self._dialect = self._guess, SEED
            second = await self._post_runs(group_id, job=job, runs=runs)
            if isinstance(second, Refused):
                self._guess, self._dialect = guess, None
                return posted
            posted, self._guess = second, None
        elif isinstance(posted, Accepted):
            self._dialect, self._guess = self._guess, None
        return posted

    async def _post_runs(self, group_id: str, *, job: Job, runs: Sequence[OutgoingRun]) -> Posted:
        request = _post(self._current.group_path(group_id, "runs"), self._current.runs_body(job, runs=runs), job=job)
        if self._current.name != "seed":
            request = request._replace(params={"refresh_status": "false"})
        try:
            status, headers, answer = await self._send(request)
        except NOTHING_SENT as error:
            refused = self._connection_error(error)
            self.trouble = str(refused)
            self._expect_answer()
            return Refused(None, refused)
        except (httpx.HTTPError, ProtocolError) as error:
            return Ambiguous(f"the connection broke before the answer ({type(error).__name__})")
        if status in NOTHING_CREATED:
            return Refused(status, status_error(status, headers, answer, group_id=group_id), retry_after(headers))
        if not 200 <= status < 300:
            return Ambiguous(f"the answer was HTTP {status}")
        try:
            run_ids, run_cursor = read_batch(answer)
        except UnreadableError as error:
            return Ambiguous(f"the answer was torn: {error}")
        if len(run_ids) != len(runs):
            return Ambiguous(f"the answer names {format_count(len(run_ids), 'run')} where {len(runs):,} were sent")
        return Accepted(run_ids, run_cursor)

    async def group_status(self, group_id: str) -> GroupStatus:
        """Return the counts of a group, under ``/v1`` or, where that does not know it, under ``/v1beta``."""
        try:
            status = await self._group_status(group_id)
        except RejectedError as error:
            if error.status != 404 or self._dialect is not None or self._guess is not None:
                raise
            self._guess = PUBLISHED_V1BETA
            try:
                return await self._group_status(group_id)
            except RejectedError:
                self._guess = None
                raise error from None
        if self._dialect is None and self._guess is None:
            self._dialect = PUBLISHED  # the other dialects have other paths
        return status

    async def _group_status(self, group_id: str) -> GroupStatus:
        request = _Request("GET", self._current.group_path(group_id))
        return await self._request(request, read=partial(read_status, group_id), group_id=group_id)

    async def run_result(self, run_id: str) -> RunEvent | None:
        """Return a finished run with its output; None when it has not finished or the service has no such path."""
        request = _Request("GET", self._current.result_path(run_id), params={"timeout": "1"})
        try:
            return await self._request(request, read=lambda body: read_run(read_json(body)), final=frozenset({408}))
        except (RejectedError, UnavailableError) as error:
            if error.status in NO_RESULT:
                return None
            raise

    # Streams

    async def stream_events(
        self, group_id: str, *, last_event_id: str | None, include_input: bool = False
    ) -> AsyncGenerator[Iterator[Event], None]:
        """Yield the events of each chunk, as an iterator to be read before the next one, until the stream ends.

        Raises UnavailableError when the connection breaks or is silent for the request timeout.
        """
        params = {"include_output": "true", **({"include_input": "true"} if include_input else {})}
        if last_event_id:
            params["last_event_id"] = last_event_id
        path = self._current.group_path(group_id, "events")
        async with self._open_stream(path, params=params, group_id=group_id) as response:
            await self._require_event_stream(response, group_id=group_id)
            decoder = EventDecoder()
            async for chunk in _iterate_chunks(response):
                yield self._read_events(chunk, decoder, group_id=group_id)

    async def list_runs(
        self,
        group_id: str,
        *,
        include_input: bool,
        include_output: bool,
        last_event_id: str | None = None,
        completed: Iterable[str] | None = None,
    ) -> AsyncGenerator[RunEvent, None]:
        """Yield every run of the group as it is now. The caller checks whether the list is complete.

        `completed` are the ids of runs that have completed: no other needs to be in the list, and few others are.
        """
        asked = {"include_input": include_input, "include_output": include_output}
        params = {name: "true" for name, is_asked in asked.items() if is_asked}
        only = None if completed is None else {run_id.encode() for run_id in completed}
        narrow = {"last_event_id": last_event_id or "", "status": "" if completed is None else "completed"}
        narrow = {name: value for name, value in narrow.items() if value and name not in self._refused_of_lists}
        if self._current.name == "seed":
            narrow.clear()
        refused: list[str] = []
        while True:
            try:
                async with aclosing(self._list_runs(group_id, params=params | narrow, only=only)) as runs:
                    async for run in runs:
                        yield run
            except RejectedError as error:  # before the first entry; the whole list can always be had
                if not narrow or error.status not in NARROW_REFUSED:
                    raise
                refused.append(next(iter(narrow)))
                del narrow[refused[-1]]
            else:
                self._refused_of_lists.update(refused)
                return

    async def _list_runs(
        self, group_id: str, *, params: Mapping[str, str], only: Container[bytes] | None
    ) -> AsyncGenerator[RunEvent, None]:
        path = self._current.group_path(group_id, "runs")
        async with self._open_stream(path, params=params, group_id=group_id) as response:
            if "json" in response.headers.get("content-type", "").lower():
                try:
                    for run in read_listing(self._redactor.redact(await read_body(response)), keep_raw=self.keeps_raw):
                        yield run
                except UnreadableError as error:
                    raise ProtocolError(f"The list of runs: {error}.", group_id=group_id) from error
                return
            await self._require_event_stream(response, group_id=group_id)
            decoder = EventDecoder()
            async for chunk in _iterate_chunks(response):
                for event in self._read_events(chunk, decoder, group_id=group_id, only=only):
                    if isinstance(event, RunEvent):
                        yield event
                    elif event.type == "malformed":
                        yield RunEvent(event.message or "", UNREADABLE)
                    elif event.type == "error":
                        raise UnavailableError(f"The list of runs broke off: {event.message}.", group_id=group_id)

    @asynccontextmanager
    async def _open_stream(
        self, path: str, *, params: Mapping[str, str], group_id: str
    ) -> AsyncIterator[httpx.Response]:
        accept = {"accept": "text/event-stream, application/json;q=0.9", "cache-control": "no-store"}
        try:
            async with self._http.stream("GET", path, params=dict(params), headers=accept) as response:
                self._note_answer(response)
                if response.status_code != 200:
                    body = await self._read_excerpt(response)
                    advised = retry_after(response.headers)
                    if advised and response.status_code in RETRIED:  # the reader asks again when this has raised
                        await self._clock.sleep(clamp_retry_after(advised, at_least=0.0))
                    raise status_error(response.status_code, self._headers(response), body, group_id=group_id)
                yield response
        except httpx.HTTPError as error:
            self._expect_answer(f"the stream was cut ({type(error).__name__})")
            raise UnavailableError(
                f"The stream from {self._client.host} was cut ({type(error).__name__}).", group_id=group_id
            ) from None  # a traceback would show httpx's text, which may quote the key (see `_connection_error`)

    async def _require_event_stream(self, response: httpx.Response, *, group_id: str) -> None:
        kind = response.headers.get("content-type", "")
        if "event-stream" not in kind.lower():
            body = excerpt(await self._read_excerpt(response))
            raise ProtocolError(
                f"Expected an event stream, got {kind or 'no content type'}: {body}.", group_id=group_id
            )

    def _read_events(
        self, chunk: bytes, decoder: EventDecoder, *, group_id: str, only: Container[bytes] | None = None
    ) -> Iterator[Event]:
        """Yield the events that a chunk completes, each parsed only when it is wanted, so that few are in memory.

        Where `only` has the ids of runs, events of others are left out without being parsed.
        """
        redact, marker = self._redactor.redact, self._redactor.marker_byte(chunk)
        try:
            for data in decoder.feed(chunk):
                ids = RUN_ID.findall(data) if only is not None and b'"error"' not in data[:64] else None
                if ids and only is not None and not any(map(only.__contains__, ids)):
                    continue
                name = data.name.decode("utf-8", "replace") if isinstance(data, NamedData) else None
                data = redact(data) if marker in data else data  # noqa: PLW2901
                event = read_event(data, name=name)
                if self.keeps_raw and isinstance(event, RunEvent):
                    event.raw = bytes(data)
                yield event
        except EventTooLargeError as error:
            raise ProtocolError(f"The stream sent {error}.", group_id=group_id) from error

    # Requests

    async def _request(
        self,
        request: _Request,
        *,
        read: Callable[[bytes], T],
        group_id: str | None = None,
        final: frozenset[int] = frozenset(),
    ) -> T:
        """Send a request that may be repeated, until it is answered or hopeless, and return what `read` makes of it."""
        backoff = Backoff()
        attempt = torn = 0
        while True:
            wait = backoff.wait(attempt)
            status: int | None = None
            try:
                status, received, answer = await self._send(request)
                if 200 <= status < 300:
                    value = read(answer)
                    self.trouble = None
                    return value
            except httpx.HTTPError as error:
                failure: ServiceError = self._connection_error(error)
            except UnreadableError as error:
                failure = ProtocolError(
                    f"{self._client.host} is not the service, or its answer is incomplete: {error}.",
                    status=status,
                    group_id=group_id,
                )
                torn += isinstance(error, TornError)
                if not 0 < torn <= TORN_TRIES:
                    raise failure from error
            else:
                failure = status_error(status, received, answer, group_id=group_id)
                if not is_repeated(status, received) or status in final:
                    raise failure
                advised = retry_after(received)
                wait = wait if advised is None else clamp_retry_after(advised, at_least=wait)
            if attempt == backoff.tries:
                raise failure
            self.trouble = str(failure)
            self._expect_answer(None if status is None else self.trouble)
            logger.debug("%s %s: %s It is tried again in %.1f s.", request.method, request.path, failure, wait)
            await self._clock.sleep(wait)
            attempt += 1

    async def _send(self, request: _Request) -> tuple[int, httpx.Headers, bytes]:
        """Send one request and return the status of its answer, and its headers and body without the API key."""
        if not self._has_answered:  # later, a long answer is no news
            self._expect_answer()
        async with self._http.stream(
            request.method, request.path, content=request.body, params=request.params or {}, headers=request.headers
        ) as response:
            self._note_answer(response)
            try:
                # httpx's timeouts are per read. A body that drips must come within a request's time as a whole.
                async with asyncio.timeout(self._client.real_timeout):
                    answer = await read_body(response)
            except TimeoutError as error:
                raise httpx.ReadTimeout("the answer did not come to its end") from error
            return response.status_code, self._headers(response), self._redactor.redact(answer)

    async def _read_excerpt(self, response: httpx.Response) -> bytes:
        """Return as much of a body as is worth a message."""
        parts: list[bytes] = []
        try:
            async with asyncio.timeout(self._client.real_timeout):
                async for chunk in response.aiter_bytes():
                    parts.append(chunk)
                    if sum(map(len, parts)) > MAX_EXCERPT:
                        await response.aclose()  # or httpx would read on to the end of an endless body
                        break
        except (TimeoutError, httpx.HTTPError) as error:
            logger.debug("an error's text did not come whole (%s)", type(error).__name__)
        return self._redactor.redact(b"".join(parts))

    def _connection_error(self, error: httpx.HTTPError) -> UnavailableError:
        # httpx quotes what it cannot parse, such as a redirect's target.
        text = self._redactor.redact(str(error).encode("utf-8", "replace")).decode()
        self._reason = f"{type(error).__name__}: {text[:200]}"
        return UnavailableError(
            f"{self._client.host} could not be reached ({self._reason}). Check the network and PARALLEL_BASE_URL, then "
            "run the same again."
        )

    def _headers(self, response: httpx.Response) -> httpx.Headers:
        """Return the headers without the API key: a redirect's target may repeat it."""
        return httpx.Headers([(name, self._redactor.redact(value)) for name, value in response.headers.raw])

    def _note_answer(self, response: httpx.Response) -> None:
        self.simulated |= SIMULATOR_HEADER in response.headers
        if self.on_answer is not None:
            self.on_answer(self._headers(response), describe_connection(response))
        if response.status_code < 500:
            self._has_answered = True
            self._stop_alarm()

    # Silence: one warning, while requests are tried again

    def _expect_answer(self, reason: str | None = None) -> None:
        self._reason = reason or self._reason
        if self._alarm is None and not self._has_warned:
            self._alarm = asyncio.get_running_loop().call_later(SILENCE, self._warn_of_silence)

    def _stop_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = None

    def _warn_of_silence(self) -> None:
        self._has_warned = True
        reason = f" ({self._reason.rstrip('.')})" if self._reason else ""
        logger.warning(
            "%s has not answered for %s%s. It is asked again until it does; nothing is lost meanwhile.",
            self._client.host, format_duration(SILENCE), reason,
        )  # fmt: skip


class KeyRedactor:
    """Takes the API key out of what a service sends: some servers and proxies repeat the headers of a request."""

    REPLACEMENT: Final = b"[the API key]"
    MIN_KEY: Final = 8  # a shorter one may well be a word of an answer

    def __init__(self, api_key: str | None) -> None:
        key = (api_key or "").encode()
        self._key = key if len(key) >= self.MIN_KEY else b""
        self._marker: int | None = None

    def redact(self, data: bytes) -> bytes:
        return data.replace(self._key, self.REPLACEMENT) if self._key else data

    def marker_byte(self, sample: bytes) -> int:
        """Return a byte of the key, the one that is rarest in a sample: data without it needs no redaction.

        To look for one byte takes a tenth of the time that it takes to look for the key, and this is done for each
        event.
        """
        if self._marker is None:
            self._marker = min(self._key, key=sample.count, default=0)  # no JSON text has a zero byte
        return self._marker


async def read_body(response: httpx.Response) -> bytes:
    """Return a whole body; raises ProtocolError for one without end."""
    parts: list[bytes] = []
    size = 0
    async for chunk in response.aiter_bytes():
        size += len(chunk)
        if size > MAX_BODY:
            raise ProtocolError(f"An answer of more than {MAX_BODY:,} bytes.", status=response.status_code)
        parts.append(chunk)
    return b"".join(parts)


def _iterate_chunks(response: httpx.Response) -> AsyncIterator[bytes]:
    """Return a body's chunks as they arrive; httpx's decoding layers cost time and are needed for compression only."""
    stream, is_compressed = response.stream, "content-encoding" in response.headers
    return aiter(stream) if isinstance(stream, httpx.AsyncByteStream) and not is_compressed else response.aiter_bytes()


def _post(path: str, body: bytes, *, job: Job) -> _Request:
    betas = ",".join(job.options.beta_headers)
    headers = {"content-type": "application/json"} | ({"parallel-beta": betas} if betas else {})
    return _Request("POST", path, body, headers=headers)


def is_repeated(status: int, headers: httpx.Headers) -> bool:
    """Return whether a request that may be repeated is worth it, by the service's own word where it gives one."""
    advised = headers.get("x-should-retry", "").strip().lower()
    return advised == "true" if advised in ("true", "false") else status in RETRIED


def retry_after(headers: httpx.Headers) -> float | None:
    """Return the seconds of a Retry-After, given as seconds, milliseconds or a date; None without one to be read."""
    value, unit = headers.get("retry-after-ms", "").strip(), 1000.0
    if not value:
        value, unit = headers.get("retry-after", "").strip(), 1.0
    if not value:
        return None
    try:
        seconds = float(value) / unit
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
        except (ValueError, OverflowError, OSError):  # the last two: a year out of the platform's range
            return None
    return None if math.isnan(seconds) else min(max(seconds, 0.0), 3600.0)


def status_error(status: int, headers: httpx.Headers, body: bytes, *, group_id: str | None = None) -> ServiceError:
    """Return our error for an answer's status, with the service's explanation."""
    reason, ref_id = read_error(body)
    facts: dict[str, Any] = {"status": status, "group_id": group_id, "ref_id": ref_id}
    if status == 401:
        return AuthenticationError(
            f"The service rejects the API key (401): {reason}. Check {KEY_VARIABLE}, or the client's key.", **facts
        )
    if status == 403:
        return AuthenticationError(f"The account may not do this, or not use this processor (403): {reason}.", **facts)
    if status == 402:
        return CreditError(f"The account has too little credit (402): {reason}.", **facts)
    if status == 404 and group_id:
        ended = " A simulator's runs, which are free, end with it." if SIMULATOR_HEADER in headers else ""
        return RejectedError(
            f"The service does not know the group (404): {reason}. Does it belong to another account, another host or "
            f"another dialect (`api`)?{ended}",
            **facts,
        )
    if status in NOTHING_CREATED - {429}:
        hint = HINTS.get(status, "")
        return RejectedError(f"The service refuses the request ({status}): {reason}.{hint}", **facts)
    if status == 429:
        return RateLimitError(f"The service's rate limit is reached (429): {reason}.", **facts)
    if 300 <= status < 400:
        # Not `urlsplit`, which raises ValueError for a host in brackets, as the redacted key is.
        target = re.match(r"(?:[\w+.-]+:)?//([^/?#]+)", headers.get("location", ""))
        host = target[1] if target else "elsewhere"
        return ProtocolError(f"The service redirects to {host} ({status}); redirects are not followed.", **facts)
    return UnavailableError(f"The service failed ({status}): {reason}.", **facts)

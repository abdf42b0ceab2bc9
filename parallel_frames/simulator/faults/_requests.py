"""Faults of requests: another answer instead, a late or partial one, or one from an outdated view of the group."""

from __future__ import annotations

import asyncio
import time
from dataclasses import KW_ONLY, dataclass, field
from email.utils import formatdate
from typing import TYPE_CHECKING, Any, Literal

import orjson
from starlette.responses import Response

from parallel_frames.simulator._exchange import EventStream, Reset, Torn, reply
from parallel_frames.simulator._streams import frame

from ._base import Endpoints, RequestFault, fault

if TYPE_CHECKING:
    from collections.abc import Mapping

    from parallel_frames.simulator._exchange import Answering, Exchange, Frames

    from ._base import Proceed

When = Literal["before", "after"]

MESSAGES = {
    400: "simulated: bad request",
    401: "simulated: invalid API key",
    402: "simulated: insufficient credit",
    403: "simulated: processor not allowed",
    404: "simulated: not found",
    408: "simulated: request timed out",
    429: "simulated: rate limit exceeded",
    500: "simulated: internal error",
    502: "simulated: bad gateway",
    503: "simulated: service unavailable",
    504: "simulated: gateway timeout",
}


def _error(
    exchange: Exchange, code: int, message: str | None = None, headers: Mapping[str, str] | None = None
) -> Response:
    """Return an error in the form the service gives it."""
    if code == 422:
        problem = {"loc": ["body"], "msg": message or "simulated: refused", "type": "value_error"}
        return reply({"detail": [problem]}, status=422, headers=headers)
    return exchange.error(code, message or MESSAGES.get(code, f"simulated: status {code}"), headers=headers)


@dataclass(frozen=True, kw_only=True)
class _Instead(RequestFault):
    """Another answer, whether the request is handled or not.

    Parameters
    ----------
    when : {"before", "after"}, default "before"
        Before the request is handled, or after: then the runs were created.
    """

    when: When = "before"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.when not in ("before", "after"):
            raise ValueError(f'when must be "before" or "after", got {self.when!r}')

    async def strike(self, exchange: Exchange, proceed: Proceed) -> Answering:
        if self.when == "after":
            await proceed()
        return self.answer(exchange)

    def answer(self, exchange: Exchange) -> Answering:
        raise NotImplementedError


@fault
class reset(_Instead):
    """Reset the connection (a TCP reset) instead of answering.

    Examples
    --------
    >>> from parallel_frames.simulator import Simulator, faults
    >>> sim = Simulator(faults=[faults.reset("add_runs", when="after", nth=1)])
    """

    on: Endpoints

    def answer(self, exchange: Exchange) -> Answering:
        return Reset()


@fault
class status(_Instead):
    """Answer with an error status, such as 401, 402, 408, 422, 500, 502, 503 or 504.

    Parameters
    ----------
    code : int
        The status.
    message : str, optional
        The error's message.
    headers : mapping, optional
        More response headers.

    Examples
    --------
    >>> from parallel_frames.simulator import Simulator, faults
    >>> sim = Simulator(faults=[faults.status(503, on="add_runs", when="after", probability=0.2)])
    """

    code: int
    _: KW_ONLY
    message: str | None = None
    headers: Mapping[str, str] | None = None

    def answer(self, exchange: Exchange) -> Answering:
        return _error(exchange, self.code, self.message, self.headers)


@fault
class rate_limited(RequestFault):
    """Answer 429, whatever the rate limit is.

    Parameters
    ----------
    retry_after : float or None, default 5.0
        Seconds in the ``Retry-After`` header; None leaves the header out.
    form : {"seconds", "date"}, default "seconds"
        What the header holds; a date is that much later than the wall's clock.
    """

    on: Endpoints = "add_runs"
    _: KW_ONLY
    retry_after: float | None = 5.0
    form: Literal["seconds", "date"] = "seconds"

    async def strike(self, exchange: Exchange, proceed: Proceed) -> Answering:
        if self.retry_after is None:
            return _error(exchange, 429)
        date = formatdate(time.time() + self.retry_after, usegmt=True)
        return _error(exchange, 429, headers={"Retry-After": date if self.form == "date" else f"{self.retry_after:g}"})


@fault
class html(_Instead):
    """Answer with an HTML page, as proxies do; `code` 200 is a page that looks like a success.

    Parameters
    ----------
    code : int, default 502
        The status.
    """

    on: Endpoints
    _: KW_ONLY
    code: int = 502

    def answer(self, exchange: Exchange) -> Answering:
        text = MESSAGES.get(self.code, f"simulated: status {self.code}")
        page = f"<!doctype html><html><head><title>{text}</title></head><body><h1>{text}</h1></body></html>"
        return Response(page, status_code=self.code, media_type="text/html")


@fault
class redirect(_Instead):
    """Answer with a redirect; a client that follows one `when="after"` pays twice.

    Parameters
    ----------
    code : int, default 307
        The status.
    to : str, optional
        The location; by default the same address again.
    """

    on: Endpoints
    _: KW_ONLY
    code: int = 307
    to: str | None = None

    def answer(self, exchange: Exchange) -> Answering:
        location = str(exchange.request.url) if self.to is None else self.to
        return _error(exchange, self.code, "simulated: moved", {"Location": location})


@fault
class refuse_cursor(RequestFault):
    """Refuse requests that carry a ``last_event_id``, as if every cursor was forgotten; others don't count.

    Parameters
    ----------
    code : int, default 422
        The status answered.
    """

    on: Endpoints = ("events", "list_runs")
    _: KW_ONLY
    code: int = 422

    def concerns(self, exchange: Exchange) -> bool:
        return super().concerns(exchange) and bool(exchange.request.query_params.get("last_event_id"))

    async def strike(self, exchange: Exchange, proceed: Proceed) -> Answering:
        return _error(exchange, self.code, "simulated: unknown last_event_id")


@fault
class slow(RequestFault):
    """Answer late.

    Parameters
    ----------
    seconds : float
        Simulated seconds; ``float("inf")`` never answers.
    when : {"before", "after"}, default "after"
        Whether the wait is before the request is handled or after, when the runs exist already.
    """

    seconds: float
    _: KW_ONLY
    when: When = "after"

    async def strike(self, exchange: Exchange, proceed: Proceed) -> Answering:
        if self.when == "before":
            await exchange.service.sleep(self.seconds)
            return await proceed()
        answer = await proceed()
        await exchange.service.sleep(self.seconds)
        return answer


@fault
class torn(RequestFault):
    """Handle the request, and break the answer's body off; for streams see `cut_stream`.

    Parameters
    ----------
    keep : float, default 0.5
        The part of the body that is sent.
    """

    on: Endpoints
    _: KW_ONLY
    keep: float = 0.5

    async def strike(self, exchange: Exchange, proceed: Proceed) -> Answering:
        answer = await proceed()
        return Torn(answer, keep=self.keep) if isinstance(answer, Response) else answer


class _OtherIds(RequestFault):
    """Creates all runs of a batch, and answers other ids."""

    async def strike(self, exchange: Exchange, proceed: Proceed) -> Answering:
        answer = await proceed()
        if not isinstance(answer, Response) or answer.status_code != 200:
            return answer
        body = orjson.loads(answer.body)
        return reply(body | {"run_ids": self.change(body["run_ids"])} if "run_ids" in body else body)

    def change(self, ids: list[str]) -> list[str]:
        raise NotImplementedError


@fault
class few_ids(_OtherIds):
    """Create all runs of a batch, and leave some of their ids out of the answer.

    Parameters
    ----------
    missing : int, default 1
        How many, from the end.
    """

    _: KW_ONLY
    on: Endpoints = field(default="add_runs", init=False)
    missing: int = 1

    def change(self, ids: list[str]) -> list[str]:
        return ids[: max(0, len(ids) - self.missing)]


@fault
class swap_ids(_OtherIds):
    """Create all runs of a batch, and name them in the reverse order."""

    _: KW_ONLY
    on: Endpoints = field(default="add_runs", init=False)

    def change(self, ids: list[str]) -> list[str]:
        return ids[::-1]


@fault
class lose_fields(RequestFault):
    """Leave fields out of what is answered, wherever they are but in outputs: of bodies, and of the events of streams.

    Parameters
    ----------
    names : str or tuple of str
        The fields, such as ``"metadata"``, ``"input"``, ``"output"`` or ``"event_id"``.

    Examples
    --------
    >>> from parallel_frames.simulator import Simulator, faults
    >>> sim = Simulator(faults=[faults.lose_fields(("metadata", "input"), on=["events", "list_runs"])])
    """

    names: str | tuple[str, ...]
    _: KW_ONLY
    on: Endpoints

    async def strike(self, exchange: Exchange, proceed: Proceed) -> Answering:
        answer = await proceed()
        if isinstance(answer, EventStream):
            answer.frames = self._bend(answer.frames)
        elif isinstance(answer, Response) and answer.media_type == "application/json":
            return reply(self._without(orjson.loads(answer.body)), status=answer.status_code)
        return answer

    async def _bend(self, frames: Frames) -> Frames:
        async for chunk in frames:
            yield [
                frame(orjson.dumps(self._without(orjson.loads(data[6:])))) if data.startswith(b"data: ") else data
                for data in chunk
            ]

    def _without(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._without(entry) for entry in value]
        if not isinstance(value, dict):
            return value
        lost = (self.names,) if isinstance(self.names, str) else self.names
        kept = {name: entry for name, entry in value.items() if name not in lost}
        return {name: entry if name == "output" else self._without(entry) for name, entry in kept.items()}


@fault
class add_headers(RequestFault):
    """Answer with further headers, as gateways and proxies add them; those of event streams stay as they are.

    Parameters
    ----------
    headers : mapping
        Names and values.

    Examples
    --------
    >>> from parallel_frames.simulator import Simulator, faults
    >>> sim = Simulator(faults=[faults.add_headers({"Via": "1.1 gateway"}, on=["create_group", "status"])])
    """

    headers: Mapping[str, str]
    _: KW_ONLY
    on: Endpoints

    async def strike(self, exchange: Exchange, proceed: Proceed) -> Answering:
        answer = await proceed()
        if isinstance(answer, Response):
            answer.headers.update(self.headers)
        return answer


@fault
class late_post(RequestFault):
    """Answer an error at once, and handle the request later all the same.

    Parameters
    ----------
    delay : float
        Simulated seconds until the runs are created.
    answer : int or "reset", default 504
        The status answered at once, or a reset connection.
    """

    delay: float
    _: KW_ONLY
    answer: int | Literal["reset"] = 504
    on: Endpoints = "add_runs"

    async def strike(self, exchange: Exchange, proceed: Proceed) -> Answering:
        service = exchange.service

        def handle(_: object) -> None:
            task = asyncio.ensure_future(proceed())
            service.late_posts.add(task)  # the event loop itself keeps only a weak reference
            task.add_done_callback(service.late_posts.discard)

        with service.lock:
            service.scheduler.add(service.clock.now() + self.delay, handle, None)
        service.scheduler.arm()
        return Reset() if self.answer == "reset" else _error(exchange, self.answer)


@fault
class lagging(RequestFault):
    """Count and list only the runs that were created some time ago.

    Parameters
    ----------
    delay : float
        Simulated seconds by which the view lags.
    """

    delay: float
    _: KW_ONLY
    on: Endpoints = ("status", "list_runs")

    async def strike(self, exchange: Exchange, proceed: Proceed) -> Answering:
        exchange.as_of = exchange.service.clock.now() - self.delay
        return await proceed()


@fault
class short_list(RequestFault):
    """List only the first part of a group's runs, and end the listing as if it was whole.

    Parameters
    ----------
    keep : float, default 0.5
        The part that is listed.
    """

    _: KW_ONLY
    on: Endpoints = field(default="list_runs", init=False)
    keep: float = 0.5

    async def strike(self, exchange: Exchange, proceed: Proceed) -> Answering:
        exchange.keep = self.keep
        return await proceed()

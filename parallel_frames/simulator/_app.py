"""The ASGI application: routes, keys, totals, and the place where faults strike.

Owns what every request has in common. What an endpoint does is in `_endpoints`.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route

from . import _endpoints as endpoints
from ._exchange import Answering, EventStream, Exchange, RefusedError, reply
from ._records import SeenRequest, error_body

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.types import ASGIApp, Receive, Scope, Send

    from ._service import Service

Endpoint: TypeAlias = Callable[[Exchange], Awaitable[Answering]]
Proceed: TypeAlias = Callable[[], Awaitable[Answering]]

GROUP_PATHS: tuple[tuple[str, str, str, Endpoint], ...] = (
    ("POST", "", "create_group", endpoints.create_group),
    ("GET", "/{group_id}", "status", endpoints.get_group),
    ("POST", "/{group_id}/runs", "add_runs", endpoints.add_runs),
    ("GET", "/{group_id}/runs", "list_runs", endpoints.list_runs),
    ("GET", "/{group_id}/events", "events", endpoints.stream_events),
    ("GET", "/{group_id}/runs/{run_id}", "run", endpoints.get_run),
)
RUN_PATHS: tuple[tuple[str, str, str, Endpoint], ...] = (
    ("POST", "", "create_run", endpoints.create_run),
    ("GET", "/{run_id}", "run", endpoints.get_run),
    ("GET", "/{run_id}/input", "input", endpoints.get_input),
    ("GET", "/{run_id}/result", "result", endpoints.get_result),
)
CREATING = frozenset({"add_runs", "create_run"})


class _Endpoint:
    """One endpoint as an ASGI application: key, faults, totals."""

    def __init__(self, service: Service, *, name: str, endpoint: Endpoint) -> None:
        self._service = service
        self._name = name
        self._endpoint = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange(self._service, Request(scope, receive), endpoint=self._name)
        answer = await self._answer(exchange)
        self._count(exchange, answer.status_code)
        await answer(scope, receive, send)

    async def _answer(self, exchange: Exchange) -> Answering:
        await exchange.request.body()
        service = self._service
        with service.lock:
            struck = service.faults.for_request(exchange)
        proceed: Proceed = partial(self._handle, exchange)
        for fault in reversed(struck):
            proceed = partial(fault.strike, exchange, proceed)
        return await proceed()

    async def _handle(self, exchange: Exchange) -> Answering:
        try:
            _check_key(exchange)
            answer = await self._endpoint(exchange)
        except RefusedError as refused:
            return refused.response
        if isinstance(answer, EventStream):
            with self._service.lock:
                struck = self._service.faults.for_stream(self._name)
            for fault in struck:
                answer.frames = fault.bend(answer.frames, rng=self._service.faults.rng)
        return answer

    def _count(self, exchange: Exchange, status: int) -> None:
        service, url = self._service, exchange.request.url
        service.bump("requests")
        service.bump("posts", self._name in CREATING)
        if status == 429:
            service.bump("rejected")
        elif 400 <= status < 500:
            service.bump("refused")
        seen = SeenRequest(self._name, exchange.request.method, url.path, url.query, status, service.clock.now())
        service.requests.append(seen)


def _check_key(exchange: Exchange) -> None:
    given = exchange.request.headers.get("x-api-key", "")
    wanted = exchange.service.settings.api_key
    if not given or (wanted is not None and not hmac.compare_digest(given.encode(), wanted.encode())):
        exchange.refuse(401, "Unauthorized: the x-api-key header is missing or wrong")


async def _unknown(exchange: Exchange) -> Answering:
    return exchange.error(404, f"Not found: {exchange.request.method} {exchange.request.url.path}")


async def _wrong_method(request: Request, _error: Exception) -> Response:
    return reply(error_body(f"Method not allowed: {request.method}", ref_id="ref_405"), status=405)


def build_app(service: Service) -> ASGIApp:
    """Return the application that serves `service`."""
    dialect = service.settings.dialect
    prefixes = ("v1beta",) if dialect == "seed" else ("v1", "v1beta")
    tables = {"groups": GROUP_PATHS, "runs": () if dialect == "seed" else RUN_PATHS}
    routes = [
        Route(f"/{prefix}/tasks/{base}{path}", _Endpoint(service, name=name, endpoint=endpoint), methods=[method])
        for prefix in prefixes
        for base, table in tables.items()
        for method, path, name, endpoint in table
    ]
    app = Starlette(routes=routes, exception_handlers={405: _wrong_method})
    app.router.default = _Endpoint(service, name="unknown", endpoint=_unknown)
    app.router.redirect_slashes = False
    return _end_quietly(app)


def _end_quietly(app: ASGIApp) -> ASGIApp:
    """Let a request that is cancelled because the server stops end without a stack trace in the log."""

    async def quiet(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await app(scope, receive, send)
        except asyncio.CancelledError:
            return

    return quiet

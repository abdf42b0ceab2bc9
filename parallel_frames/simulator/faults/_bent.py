"""Faults that handle a request, but late, in part, or with a bent view of the group."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import orjson
from starlette.responses import Response

from parallel_frames.simulator._replies import Torn, reply

from ._base import Choice, Nth, RequestFault, endpoints
from ._canned import Canned

if TYPE_CHECKING:
    from collections.abc import Iterable

    from parallel_frames.simulator._exchange import Exchange
    from parallel_frames.simulator._replies import Answering

    from ._base import Proceed

When = Literal["before", "after"]
READING = ("status", "list_runs")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Slow(RequestFault):
    seconds: float
    when: When

    async def strike(self, exchange: Exchange, proceed: Proceed) -> Answering:
        if self.when == "before":
            await exchange.service.sleep(self.seconds)
            return await proceed()
        answer = await proceed()
        await exchange.service.sleep(self.seconds)
        return answer


def slow(
    seconds: float,
    *,
    on: str | Iterable[str],
    when: When = "after",
    nth: Nth = None,
    probability: float | None = None,
) -> RequestFault:
    """Answer late.

    Parameters
    ----------
    seconds : float
        Simulated seconds; ``float("inf")`` never answers.
    on : str or iterable of str
        Endpoints.
    when : {"before", "after"}, default "after"
        Whether the wait is before the request is handled or after, when the runs exist already.
    nth, probability : optional
        As for `reset`.

    Returns
    -------
    Fault
        For `Simulator(faults=[...])`.
    """
    return _Slow(on=endpoints(on), choice=Choice(nth, probability), seconds=seconds, when=when)


@dataclass(frozen=True, slots=True, kw_only=True)
class _TornBody(RequestFault):
    keep: float

    async def strike(self, exchange: Exchange, proceed: Proceed) -> Answering:  # noqa: ARG002 - the Fault's shape
        answer = await proceed()
        return Torn(answer, keep=self.keep) if isinstance(answer, Response) else answer


def torn(
    on: str | Iterable[str], *, keep: float = 0.5, nth: Nth = None, probability: float | None = None
) -> RequestFault:
    """Handle the request, and break the answer's body off; for streams see `cut_stream`.

    Parameters
    ----------
    on : str or iterable of str
        Endpoints.
    keep : float, default 0.5
        The part of the body that is sent.
    nth, probability : optional
        As for `reset`.

    Returns
    -------
    Fault
        For `Simulator(faults=[...])`.
    """
    return _TornBody(on=endpoints(on), choice=Choice(nth, probability), keep=keep)


@dataclass(frozen=True, slots=True, kw_only=True)
class _FewIds(RequestFault):
    missing: int

    async def strike(self, exchange: Exchange, proceed: Proceed) -> Answering:  # noqa: ARG002 - the Fault's shape
        answer = await proceed()
        if not isinstance(answer, Response) or answer.status_code != 200:
            return answer
        body = orjson.loads(answer.body)
        if "run_ids" in body:
            body["run_ids"] = body["run_ids"][: max(0, len(body["run_ids"]) - self.missing)]
        return reply(body)


def few_ids(*, missing: int = 1, nth: Nth = None, probability: float | None = None) -> RequestFault:
    """Create all runs of a batch, and leave some of their ids out of the answer.

    Parameters
    ----------
    missing : int, default 1
        How many, from the end.
    nth, probability : optional
        As for `reset`.

    Returns
    -------
    Fault
        For `Simulator(faults=[...])`.
    """
    return _FewIds(on=endpoints("add_runs"), choice=Choice(nth, probability), missing=missing)


@dataclass(frozen=True, slots=True, kw_only=True)
class _LatePost(RequestFault):
    delay: float
    answer: Canned

    async def strike(self, exchange: Exchange, proceed: Proceed) -> Answering:
        service = exchange.service

        def land(_: object) -> None:
            landing = asyncio.ensure_future(proceed())
            service.landings.add(landing)
            landing.add_done_callback(service.landings.discard)

        with service.lock:
            service.agenda.add(service.clock.now() + self.delay, land, None)
        service.agenda.arm()
        return self.answer.make(exchange)


def late_post(
    delay: float,
    *,
    answer: int | Literal["reset"] = 504,
    on: str | Iterable[str] = "add_runs",
    nth: Nth = None,
    probability: float | None = None,
) -> RequestFault:
    """Answer an error at once, and handle the request later all the same.

    Parameters
    ----------
    delay : float
        Simulated seconds until the runs are created.
    answer : int or "reset", default 504
        The status answered at once, or a reset connection.
    on : str or iterable of str, default "add_runs"
        Endpoints.
    nth, probability : optional
        As for `reset`.

    Returns
    -------
    Fault
        For `Simulator(faults=[...])`.
    """
    canned = Canned(status=0 if answer == "reset" else answer)
    return _LatePost(on=endpoints(on), choice=Choice(nth, probability), delay=delay, answer=canned)


@dataclass(frozen=True, slots=True, kw_only=True)
class _BentView(RequestFault):
    delay: float | None = None
    keep: float | None = None

    async def strike(self, exchange: Exchange, proceed: Proceed) -> Answering:
        if self.delay is not None:
            exchange.as_of = exchange.service.clock.now() - self.delay
        if self.keep is not None:
            exchange.keep = self.keep
        return await proceed()


def lagging(
    delay: float, *, on: str | Iterable[str] = READING, nth: Nth = None, probability: float | None = None
) -> RequestFault:
    """Count and list only the runs that were created some time ago.

    Parameters
    ----------
    delay : float
        Simulated seconds by which the view lags.
    on : str or iterable of str, default ("status", "list_runs")
        Endpoints.
    nth, probability : optional
        As for `reset`.

    Returns
    -------
    Fault
        For `Simulator(faults=[...])`.
    """
    return _BentView(on=endpoints(on), choice=Choice(nth, probability), delay=delay)


def short_list(*, keep: float = 0.5, nth: Nth = None, probability: float | None = None) -> RequestFault:
    """List only the first part of a group's runs, and end the listing as if it was whole.

    Parameters
    ----------
    keep : float, default 0.5
        The part that is listed.
    nth, probability : optional
        As for `reset`.

    Returns
    -------
    Fault
        For `Simulator(faults=[...])`.
    """
    return _BentView(on=endpoints("list_runs"), choice=Choice(nth, probability), keep=keep)

"""Faults that answer something else, before a request is handled or after."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ._base import Choice, Nth, RequestFault, endpoints
from ._canned import Canned

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from parallel_frames.simulator._exchange import Exchange
    from parallel_frames.simulator._replies import Answering

    from ._base import Proceed

When = Literal["before", "after"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Instead(RequestFault):
    """Another answer, before the request is handled or after."""

    answer: Canned
    when: When = "before"

    def __post_init__(self) -> None:
        RequestFault.__post_init__(self)
        if self.when not in ("before", "after"):
            raise ValueError(f'when must be "before" or "after", got {self.when!r}')

    async def strike(self, exchange: Exchange, proceed: Proceed) -> Answering:
        """Give the other answer."""
        if self.when == "after":
            await proceed()
        return self.answer.make(exchange)


def reset(
    on: str | Iterable[str], *, when: When = "before", nth: Nth = None, probability: float | None = None
) -> RequestFault:
    """Reset the connection (a TCP reset) instead of answering.

    Parameters
    ----------
    on : str or iterable of str
        Endpoints: `create_group`, `add_runs`, `status`, `events`, `list_runs`, `result`, `run`, `input`, `create_run`.
    when : {"before", "after"}, default "before"
        Before the request is handled, or after: then the runs were created.
    nth : int or collection of int, optional
        Which of the matching requests, counted from 1; see `onwards`.
    probability : float, optional
        Of each of them.

    Returns
    -------
    Fault
        For `Simulator(faults=[...])`.

    Examples
    --------
    >>> from parallel_frames.simulator import Simulator, faults
    >>> sim = Simulator(faults=[faults.reset("add_runs", when="after", nth=1)])
    """
    choice = Choice(nth, probability)
    return _Instead(on=endpoints(on), choice=choice, when=when, answer=Canned(status=0))


def status(
    code: int,
    *,
    on: str | Iterable[str],
    when: When = "before",
    message: str | None = None,
    headers: Mapping[str, str] | None = None,
    nth: Nth = None,
    probability: float | None = None,
) -> RequestFault:
    """Answer with an error status, such as 401, 402, 408, 422, 500, 502, 503 or 504.

    Parameters
    ----------
    code : int
        The status.
    on : str or iterable of str
        Endpoints.
    when : {"before", "after"}, default "before"
        Before the request is handled, or after: then the runs were created.
    message : str, optional
        The error's message.
    headers : mapping, optional
        More response headers.
    nth, probability : optional
        As for `reset`.

    Returns
    -------
    Fault
        For `Simulator(faults=[...])`.

    Examples
    --------
    >>> from parallel_frames.simulator import Simulator, faults
    >>> sim = Simulator(faults=[faults.status(503, on="add_runs", when="after", probability=0.2)])
    """
    canned = Canned(status=code, message=message, headers=tuple((headers or {}).items()))
    return _Instead(on=endpoints(on), choice=Choice(nth, probability), when=when, answer=canned)


def rate_limited(
    on: str | Iterable[str] = "add_runs",
    *,
    retry_after: float | None = 5.0,
    form: Literal["seconds", "date"] = "seconds",
    nth: Nth = None,
    probability: float | None = None,
) -> RequestFault:
    """Answer 429, whatever the rate limit says.

    Parameters
    ----------
    on : str or iterable of str, default "add_runs"
        Endpoints.
    retry_after : float or None, default 5.0
        Seconds in the ``Retry-After`` header; None leaves the header out.
    form : {"seconds", "date"}, default "seconds"
        How the header says it; a date is that much later than the wall's clock.
    nth, probability : optional
        As for `reset`.

    Returns
    -------
    Fault
        For `Simulator(faults=[...])`.
    """
    seconds = retry_after if form == "seconds" else None
    canned = Canned(
        status=429,
        headers=() if seconds is None else (("Retry-After", f"{seconds:g}"),),
        retry_date=retry_after if form == "date" else None,
    )
    return _Instead(on=endpoints(on), choice=Choice(nth, probability), answer=canned)


def html(
    on: str | Iterable[str],
    *,
    code: int = 502,
    when: When = "before",
    nth: Nth = None,
    probability: float | None = None,
) -> RequestFault:
    """Answer with an HTML page, as proxies do; `code` 200 is a page that looks like a success.

    Parameters
    ----------
    on : str or iterable of str
        Endpoints.
    code : int, default 502
        The status.
    when : {"before", "after"}, default "before"
        Before the request is handled, or after.
    nth, probability : optional
        As for `reset`.

    Returns
    -------
    Fault
        For `Simulator(faults=[...])`.
    """
    canned = Canned(status=code, page=True)
    return _Instead(on=endpoints(on), choice=Choice(nth, probability), when=when, answer=canned)


def redirect(
    on: str | Iterable[str],
    *,
    code: int = 307,
    to: str | None = None,
    when: When = "before",
    nth: Nth = None,
    probability: float | None = None,
) -> RequestFault:
    """Answer with a redirect.

    Parameters
    ----------
    on : str or iterable of str
        Endpoints.
    code : int, default 307
        The status.
    to : str, optional
        The location; by default the same address again.
    when : {"before", "after"}, default "before"
        Before the request is handled, or after: who follows it then, pays twice.
    nth, probability : optional
        As for `reset`.

    Returns
    -------
    Fault
        For `Simulator(faults=[...])`.
    """
    headers = () if to is None else (("Location", to),)
    canned = Canned(status=code, message="simulated: moved", headers=headers, same_place=True)
    return _Instead(on=endpoints(on), choice=Choice(nth, probability), when=when, answer=canned)


class _ForgottenCursor(_Instead):
    __slots__ = ()

    def concerns(self, exchange: Exchange) -> bool:
        return exchange.endpoint in self.on and bool(exchange.request.query_params.get("last_event_id"))


def refuse_cursor(
    on: str | Iterable[str] = ("events", "list_runs"),
    *,
    code: int = 422,
    nth: Nth = None,
    probability: float | None = None,
) -> RequestFault:
    """Refuse requests that carry a ``last_event_id``, as if every cursor was forgotten.

    Parameters
    ----------
    on : str or iterable of str, default ("events", "list_runs")
        Endpoints.
    code : int, default 422
        The status answered.
    nth, probability : optional
        As for `reset`; requests without a cursor don't count.

    Returns
    -------
    Fault
        For `Simulator(faults=[...])`.
    """
    canned = Canned(status=code, message="simulated: unknown last_event_id")
    return _ForgottenCursor(on=endpoints(on), choice=Choice(nth, probability), answer=canned)

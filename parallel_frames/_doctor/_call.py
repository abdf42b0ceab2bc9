"""`doctor`: the call, from the question before it to the diagnosis."""

from __future__ import annotations

from typing import TYPE_CHECKING

from parallel_frames._doctor._diagnosis import Diagnosis, make_check
from parallel_frames._doctor._examination import Examination
from parallel_frames._doctor._machine import check_cache, check_proxies, installed_versions
from parallel_frames._doctor._runs import RUNS, Bill
from parallel_frames._format import format_count, format_duration, format_utc
from parallel_frames._job._offline import choose_destination
from parallel_frames._prices import expected_seconds, price_of, processor_names
from parallel_frames._runtime import run_from_anywhere
from parallel_frames._service._session import KEY_VARIABLE
from parallel_frames._ui import ask
from parallel_frames.errors import ConfigurationError, DeclinedError, InputError, user_facing

if TYPE_CHECKING:
    from parallel_frames._doctor._diagnosis import Check
    from parallel_frames._prices import Price
    from parallel_frames._service import Client


def cheapest() -> Price:
    prices = [price for name in processor_names() if (price := price_of(name)).per_run is not None]
    return min(prices, key=lambda price: price.per_run or 0)


def describe_cost() -> str:
    """Return what a diagnosis sends, in words."""
    price = cheapest()
    duration = format_duration(expected_seconds(price, runs=RUNS, max_per_minute=None), estimate=True)
    return f"{format_count(RUNS, 'run')} on {price.processor} for {price.text(RUNS)}, {duration}"


@user_facing
def doctor(client: Client | None = None, *, confirm: bool = True) -> Diagnosis:
    """Check what this client assumes about the service and this machine, with three runs on the cheapest processor.

    Parameters
    ----------
    client : Client, optional
        Which service and account. Default: as for `enrich`.
    confirm : bool, default True
        Ask before anything is sent. In an `offline` block nothing is paid, and nothing is asked.

    Returns
    -------
    Diagnosis
        A table: each assumption, what was observed, and what that means. What cannot be checked, because there is no
        key or no answer, is one line of it with the reason.

    Raises
    ------
    DeclinedError
        The answer to the question was not yes. Nothing was sent.
    InputError
        There is neither a terminal nor a notebook to ask in; pass ``confirm=False``.

    Notes
    -----
    Each batch is sent once, whatever is answered, so that no more is paid than was announced. Interrupted, it says what
    was sent. It writes to the cache directory, and removes what it wrote.

    Examples
    --------
    >>> import parallel_frames as pf
    >>> with pf.offline(latency=0):
    ...     diagnosis = pf.doctor()
    >>> [check.name for check in diagnosis.breaks]
    []
    >>> diagnosis.frame.set_index("name").loc["listing", "observed"]
    'at once'
    """
    bill = Bill(cheapest())
    checks: list[Check] = []
    at, dialect, simulated = format_utc(), None, False
    try:
        destination = choose_destination(client, for_sending=False)
    except ConfigurationError as error:
        meaning = "Every call stops with this error. The rest could not be checked."
        name = "api_key" if KEY_VARIABLE in str(error) else "connection"
        checks += [*check_cache(None), make_check(name, str(error), "breaks", meaning)]
        return _conclude("no address", checks, bill, at=at)
    client = destination.client
    has_key = client.account is not None
    if has_key and confirm and destination.block is None:
        _ask(client)
    checks += [check_proxies(client), *check_cache(destination.root)]
    if not has_key:
        meaning = "Every call stops. Set PARALLEL_API_KEY, and type this again; the rest could not be checked."
        checks.append(make_check("api_key", "there is none", "breaks", meaning))
    if not has_key or checks[0].verdict == "breaks":
        return _conclude(client.host, checks, bill, at=at)

    async def examine() -> tuple[str | None, bool]:
        async with client.session() as session:
            await Examination(client, session, bill, checks).run()
            return session.dialect, session.simulated

    try:
        dialect, simulated = run_from_anywhere(examine)
    except KeyboardInterrupt as stop:
        stop.args = (str(bill),)
        raise
    return _conclude(destination.host, checks, bill, at=at, dialect=dialect, simulated=simulated)


def _ask(client: Client) -> None:
    try:
        is_agreed = ask(f"Check {client.host} with {describe_cost()}?")
    except InputError:
        raise InputError(
            f"It would send {describe_cost()}, and there is neither a terminal nor a notebook to ask in. Nothing was "
            "sent. Pass `confirm=False` to send without asking."
        ) from None
    if not is_agreed:
        raise DeclinedError("The answer was not yes. Nothing was sent. With `confirm=False` nothing is asked.")


def _conclude(
    host: str, checks: list[Check], bill: Bill, *, at: str, dialect: str | None = None, simulated: bool = False
) -> Diagnosis:
    return Diagnosis(
        checks=tuple(checks),
        host=host,
        dialect=dialect,
        simulated=simulated,
        processor=bill.price.processor,
        runs=bill.sent,
        cost=bill.cost,
        group_id=bill.group_id,
        at=at,
        versions=installed_versions(),
    )

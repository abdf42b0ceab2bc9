"""What a processor costs and how long it takes, from one dated table; it knows nothing of rows.

Processors and prices change: a name that is not in the table has no price, and is never refused.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from parallel_frames._format import closest, format_amount, format_costs
from parallel_frames.errors import CostError, InputError

if TYPE_CHECKING:
    from collections.abc import Callable


CONNECTOR_CALLS: Final = "plus connector calls"
NOTHING: Final = Decimal(0)


@dataclass(frozen=True, slots=True)
class Price:
    """The price of runs on one processor.

    Attributes
    ----------
    per_run : decimal.Decimal or None
        US dollars; None where the table does not know the processor.
    seconds : tuple of (float, float) or None
        How long one run usually takes.
    as_of : str
        The date of the table.
    fields : int or None
        About how many fields of an answer the processor is recommended for.
    extra : str
        What is billed on top of the runs, at prices that are not known, in words: `CONNECTOR_CALLS`, or nothing.
    """

    processor: str
    per_run: Decimal | None
    seconds: tuple[float, float] | None
    as_of: str
    fields: int | None = None
    extra: str = ""

    def of(self, runs: int) -> Decimal | None:
        """Return the dollars that so many runs cost."""
        return None if self.per_run is None else self.per_run * runs

    def text(self, runs: int, *, before: int = 0, elsewhere: Decimal = NOTHING) -> str:
        """Return that price as a person reads it.

        `before` are runs that earlier calls paid for, `elsewhere` dollars that they paid to other processors.
        """
        if self.per_run is None:
            return f"price of {self.processor!r} not known {self.extra}".rstrip()
        return format_costs(self.of(runs), before=self.per_run * before + elsewhere, extra=self.extra)

    @property
    def unknown(self) -> str | None:
        """What to say of a processor that the table does not have, with the name that may be meant; None for others."""
        if self.per_run is not None:
            return None
        return f"processor {self.processor!r} is not in the price table of {self.as_of}{self.question}"

    @property
    def question(self) -> str:
        """How a sentence about an unknown name ends: with the known name that may be meant, or a full stop."""
        close = processor_meant(self.processor)
        return "." if close is None else f"; did you mean {close!r}?"


@cache
def _table() -> dict[str, Any]:
    return dict(json.loads(files("parallel_frames.data").joinpath("prices.json").read_text(encoding="utf-8")))


def processor_names() -> list[str]:
    """Return the processors that are known, each with its faster variant."""
    return [name + variant for name in _table()["processors"] for variant in ("", "-fast")]


def processor_meant(processor: str) -> str | None:
    """Return the known name that is nearest to one; itself where it is known."""
    known = processor_names()
    near = processor if processor in known else closest(processor, known)
    return None if near is None else str(near)


def price_of(processor: str, *, advanced_settings: object = None) -> Price:
    """Return what a processor costs, a ``-fast`` variant included.

    Runs whose `advanced_settings` allow connectors that are paid per use may call them: their providers bill each call.
    """
    table = _table()
    sources = advanced_settings.get("data_sources") if isinstance(advanced_settings, dict) else None
    extra = CONNECTOR_CALLS if isinstance(sources, dict) and sources.get("pay_per_use") else ""
    name = processor.removesuffix("-fast")
    known = table["processors"].get(name)
    if known is None:
        return Price(processor, None, None, table["as_of"], extra=extra)
    low, high = known["seconds" if name == processor else "fast_seconds"]
    per_run = Decimal(known["per_1000"]) / 1000
    return Price(processor, per_run, (float(low), float(high)), table["as_of"], known["fields"], extra)


class Runs(NamedTuple):
    """Runs on one processor: those about to be sent, and those sent before for the same rows that did not fail."""

    price: Price
    to_send: int
    billed: int


def check_cost(
    *parts: Runs,
    max_cost: Decimal | None,
    elsewhere: Decimal = NOTHING,
    limit_for: Callable[[Decimal], int | None] | None = None,
) -> None:
    """Refuse runs that come to more than allowed, together with those sent before.

    Parameters
    ----------
    elsewhere : decimal.Decimal, default 0
        US dollars that runs of the same rows cost at other processors.
    limit_for : callable, optional
        Returns the ``limit=`` with which what is sent stays within so many dollars; None where there is none.
    """
    runs = sum(part.to_send for part in parts)
    if max_cost is None or not runs:
        return
    per_run = [require_price(part.price, max_cost=max_cost) for part in parts]
    paid = sum((price * part.billed for price, part in zip(per_run, parts, strict=True)), elsewhere)
    cost = sum((price * part.to_send for price, part in zip(per_run, parts, strict=True)), paid)
    if cost > max_cost:
        limit = None if limit_for is None or paid >= max_cost else limit_for(max_cost - paid)
        billed = sum(part.billed for part in parts)
        raise CostError(runs=runs, billed=billed, cost=cost, elsewhere=elsewhere, max_cost=max_cost, limit=limit)


def require_price(price: Price, *, max_cost: Decimal) -> Decimal:
    """Return what a run costs, so that a limit in dollars can be kept."""
    if price.extra:
        raise InputError(
            f"`max_cost={format_amount(max_cost)}` cannot be kept: the connectors in pay_per_use (data_sources in the "
            "advanced_settings of the options) are billed for each call, at their providers' prices, and how many "
            "calls there will be is not known. Nothing was sent. Pass `limit=...` to bound the runs, or leave them out."
        )
    if price.per_run is None:
        raise InputError(
            f"`max_cost={format_amount(max_cost)}` cannot be kept: the price of processor {price.processor!r} is not "
            f"known (the table is of {price.as_of}){price.question} Nothing was sent. Pass `limit=...` to bound the "
            "runs."
        )
    return price.per_run


def expected_seconds(price: Price, *, runs: int, max_per_minute: int | None) -> float | None:
    """Return about how long so many runs take: the windows of the rate limit, then one usual run."""
    if price.seconds is None:
        return None
    windows = 0 if max_per_minute is None else max(0, runs - 1) // max_per_minute
    return windows * 60.0 + sum(price.seconds) / 2

"""What a call says, and asks, before anything is sent: what it will do, cost and take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from parallel_frames._format import format_at_worst, format_columns, format_count, format_duration, format_label
from parallel_frames._job._defaults import options, origin_of
from parallel_frames._prices import expected_seconds
from parallel_frames._ui import ask, is_interactive
from parallel_frames.errors import DeclinedError

if TYPE_CHECKING:
    from decimal import Decimal

    from parallel_frames._job._options import Call
    from parallel_frames._job._prepare import PreparedCall
    from parallel_frames._state import JobStatus

SHOWN: Final = ("processor", "retry_failed", "older_than", "max_cost", "max_in_flight", "timeout")
ASKED_ABOVE: Final = 10  # US dollars, in a notebook or at Python's prompt


def announcement(
    prepared: PreparedCall,
    status: JobStatus,
    *,
    since: str | None,
    max_per_minute: int | None,
    checkpoint: str | None,
    earlier_groups: int,
    elsewhere: Decimal,
    at_worst: Decimal | None = None,
    simulated: bool = False,
) -> tuple[str, list[str]]:
    """Return the essence, and what else there is to know; `since` is when the oldest answer came.

    `earlier_groups` is how many groups the checkpoint does not know may hold runs of these rows, `elsewhere` what
    earlier calls paid to the processors that rows may be escalated to, `at_worst` what it costs at most with these.
    What is `simulated` takes no run's usual time.
    """
    price, limit = prepared.price, prepared.call.limit
    chosen = "" if status.chosen == status.rows else f"{status.chosen:,} of "
    runs = f"{format_count(status.to_send, 'run')}{prepared.on_processor}"
    divided = f" in {format_count(prepared.partitions, 'partition')}" if prepared.partitions else ""
    parts = [f"{chosen}{format_count(status.rows, 'row')}{divided} → {runs}"]
    if limit is not None and limit < status.runs:
        parts.append(f"of the first {limit:,} of {status.runs:,} runs")
    if status.answered:
        parts.append(f"{format_count(status.answered, 'run')} already answered" + (f" ({since[:10]})" if since else ""))
    if status.failed:
        parts.append(f"{status.failed:,} of them failed" + ("" if prepared.later else ", not tried again"))
    awaited = ((status.under_way, "under way"), (status.in_doubt, "in doubt, looked for first"))
    parts += [f"{format_count(number, 'run')} {words}" for number, words in awaited if number]
    if status.skipped:
        parts.append(f"{format_count(status.skipped, 'row')} with nothing to send")
    later = [each.call.processor for each in prepared.later]
    worst = format_at_worst(at_worst, later, certain=price.of(status.to_send))
    parts.append(price.text(status.to_send, before=status.billed, elsewhere=elsewhere) + worst)
    if status.to_send and not simulated:
        seconds = expected_seconds(price, runs=status.to_send, max_per_minute=max_per_minute)
        parts.append(format_duration(seconds, estimate=True))
    unsent = f" (not {format_columns(map(format_label, prepared.unsent))}, new since then)" if prepared.unsent else ""
    facts = [f"sends {prepared.selection.sends}{unsent}"]
    if earlier_groups and status.to_send:
        facts.insert(0, f"{format_count(earlier_groups, 'earlier group')} looked at first")
    if prepared.engine:
        facts.append(f"keys by {prepared.engine}")
    facts.append(f"checkpoint {checkpoint}" if checkpoint else "no checkpoint")
    return " · ".join(parts), [*facts, *_defaults_of(prepared.call)]


def _defaults_of(call: Call) -> list[str]:
    """Return the defaults that decide what is asked, and how long is waited, by what sets them."""
    found: dict[str, list[str]] = {}
    for name, value in options.in_force().items():
        if name in SHOWN and getattr(call, name) == value:
            found.setdefault(origin_of(name), []).append(f"{name}={value!r}")
    return [f"by {origin} {', '.join(values)}" for origin, values in found.items()]


def ask_before_paying(call: Call, *, runs: int, cost: Decimal | None, price: str, is_free: bool) -> None:
    """Ask whether to send so many runs where the call says so, or where nothing bounds what a cell may cost.

    `price` is the cost as a person reads it.
    """
    asks = call.confirm
    if asks is None:
        asks = call.max_cost is None and not is_free and cost is not None and cost > ASKED_ABOVE and is_interactive()
    if asks and not ask(f"Send {format_count(runs, 'run')} ({price})?", required=bool(call.confirm)):
        raise DeclinedError(
            "The answer was not yes. Nothing was sent. With `confirm=False` or `max_cost=...` nothing is asked."
        )

"""What a call says before anything is sent: what it will do, cost and take."""

from __future__ import annotations

from typing import TYPE_CHECKING

from parallel_frames._format import format_count, format_duration, format_label
from parallel_frames._prices import expected_seconds

if TYPE_CHECKING:
    from parallel_frames._job._prepare import PreparedCall
    from parallel_frames._state import JobStatus


def announcement(
    prepared: PreparedCall,
    status: JobStatus,
    *,
    since: str | None,
    max_per_minute: int | None,
    checkpoint: str | None,
    earlier_groups: int,
) -> tuple[str, list[str]]:
    """Return the essence, and what else there is to know; `since` is when the oldest answer came.

    `earlier_groups` is how many groups the checkpoint does not know may hold runs of these rows.
    """
    price, limit = prepared.price, prepared.call.limit
    chosen = "" if status.chosen == status.rows else f"{status.chosen:,} of "
    divided = f" in {format_count(prepared.partitions, 'partition')}" if prepared.partitions else ""
    parts = [f"{chosen}{format_count(status.rows, 'row')}{divided} → {format_count(status.to_send, 'run')}"]
    if limit is not None and limit < status.runs:
        parts.append(f"of the first {limit:,} of {status.runs:,}")
    if status.answered:
        parts.append(f"{status.answered:,} already answered" + (f" ({since[:10]})" if since else ""))
    if status.failed:
        parts.append(f"{status.failed:,} of them failed, not tried again")
    if status.awaited:
        parts.append(f"{status.awaited:,} under way")
    if status.skipped:
        parts.append(f"{format_count(status.skipped, 'row')} with nothing to send")
    parts.append(price.text(status.to_send, before=status.billed))
    if status.to_send:
        seconds = expected_seconds(price, runs=status.to_send, max_per_minute=max_per_minute)
        parts.append(format_duration(seconds, estimate=True))
    unsent = f" (not {', '.join(map(format_label, prepared.unsent))}, new since then)" if prepared.unsent else ""
    facts = [f"sends {', '.join(prepared.selection.names)}{unsent}"]
    if earlier_groups and status.to_send:
        facts.insert(0, f"{format_count(earlier_groups, 'earlier group')} looked at first")
    if prepared.engine:
        facts.append(f"keys by {prepared.engine}")
    facts.append(f"checkpoint {checkpoint}" if checkpoint else "no checkpoint")
    return " · ".join(parts), facts

"""What a call says before anything is sent, as one line: what it will do, cost and take."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from parallel_frames._prices import duration_text, expected_seconds

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
    simulated: bool,
) -> str:
    """Return the line; `since` is when the oldest answer came."""
    price, limit = prepared.price, prepared.call.limit
    chosen = "" if status.chosen == status.rows else f"{status.chosen:,} of "
    parts = [f"{chosen}{counted(status.rows, 'row')} → {counted(status.to_send, 'run')}"]
    if limit is not None and limit < status.runs:
        parts.append(f"of the first {limit:,} of {status.runs:,}")
    if status.answered:
        parts.append(f"{status.answered:,} already answered" + (f" ({since[:10]})" if since else ""))
    if status.failed:
        parts.append(f"{status.failed:,} of them failed, not tried again")
    if status.awaited:
        parts.append(f"{status.awaited:,} under way")
    if status.skipped:
        parts.append(f"{counted(status.skipped, 'row')} with nothing to send")
    parts.append(price.text(status.to_send))
    if status.to_send:
        parts.append(duration_text(expected_seconds(price, runs=status.to_send, max_per_minute=max_per_minute)))
    parts.append(f"sends {', '.join(prepared.selection.names)}")
    parts.append(f"checkpoint {checkpoint}" if checkpoint else "no checkpoint")
    return " · ".join([*parts, "SIMULATED"] if simulated else parts)


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural unless it is one."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


def iso_time(seconds: float) -> str:
    """Return a moment in seconds since 1970 as ISO 8601."""
    return datetime.fromtimestamp(seconds, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

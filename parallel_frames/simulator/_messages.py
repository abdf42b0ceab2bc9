"""The bodies the service sends: run states, statuses, events, errors; in the shapes of both dialects.

Pure: nouns in, JSON-ready values or bytes out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from ._runs import TERMINAL

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ._clock import Clock
    from ._runs import Group, Run

OPTIONS = orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS


def dump(value: Any, *, option: int = OPTIONS) -> bytes:
    """Serialise a message, in as much memory as it is long: orjson's own bytes keep kilobytes each, and many stay."""
    return bytes(memoryview(orjson.dumps(value, option=option)))


def error_body(message: str, *, ref_id: str, detail: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the body of an answer that isn't a success."""
    return {"type": "error", "error": {"ref_id": ref_id, "message": message, "detail": detail}}


def run_state(run: Run, *, clock: Clock, echo_metadata: bool) -> bytes:
    """Return a run's state; kept with the run once it can't change any more."""
    if run.state is not None:
        return run.state
    state = dump(
        {
            "run_id": run.run_id,
            "interaction_id": run.run_id,
            "status": run.status,
            "is_active": run.active,
            "processor": run.processor,
            "metadata": run.metadata if echo_metadata else None,
            "taskgroup_id": run.group.group_id if run.group else None,
            "created_at": clock.moment(run.created_at),
            "modified_at": clock.moment(run.modified_at),
            "warnings": [*run.spec.warnings, *run.warnings] or None,
            "error": run.error,
        }
    )
    if run.status in TERMINAL:
        run.state = state
    return state


def group_status(counts: dict[str, int], *, active: bool, modified_at: Any) -> dict[str, Any]:
    """Return a group's status, published dialect."""
    return {
        "num_task_runs": sum(counts.values()),
        "task_run_status_counts": {status: n for status, n in counts.items() if n},
        "is_active": active,
        "status_message": None,
        "modified_at": modified_at,
    }


def seed_status(counts: dict[str, int]) -> dict[str, int]:
    """Return a group's counts by state, seed dialect."""
    return {
        "pending": counts.get("queued", 0) + counts.get("action_required", 0),
        "running": counts.get("running", 0) + counts.get("cancelling", 0),
        "completed": counts.get("completed", 0),
        "failed": counts.get("failed", 0),
        "cancelled": counts.get("cancelled", 0),
    }


def count_runs(runs: Iterable[Run]) -> dict[str, int]:
    """Count runs by status."""
    counts: dict[str, int] = {}
    for run in runs:
        counts[run.status] = counts.get(run.status, 0) + 1
    return counts


def group_body(group: Group, counts: dict[str, int], *, clock: Clock) -> dict[str, Any]:
    """Return a group's description, in its dialect."""
    body = {
        "taskgroup_id": group.group_id,
        "metadata": group.metadata,
        "created_at": clock.moment(group.created_at),
    }
    if group.seed_dialect:
        return {**body, "processor": group.processor, "status": seed_status(counts)}
    modified_at = clock.moment(group.modified_at)
    return {**body, "status": group_status(counts, active=group.active, modified_at=modified_at)}


def event_cursor(group: Group, position: int) -> str | None:
    """Return the id of the event at this position of the log, counted from 1; None before the first."""
    return f"evt_{group.tag}_{position}" if position else None


def run_cursor(group: Group, position: int) -> str | None:
    """Return the id of the listing's event at this position, counted from 1; None before the first."""
    return f"lst_{group.tag}_{position}" if position else None


def read_cursor(cursor: str, *, group: Group, kind: str, length: int) -> int | None:
    """Return the position a cursor stands for, or None if it isn't one of this sequence."""
    prefix = f"{kind}_{group.tag}_"
    digits = cursor.removeprefix(prefix)
    if not cursor.startswith(prefix) or not (digits.isascii() and digits.isdigit()):
        return None
    return int(digits) if 0 < int(digits) <= length else None


def run_event_head(event_id: str | None, state: bytes) -> bytes:
    """Return a run's event up to its state, without the closing brace."""
    return b'{"type":"task_run.state","event_id":%b,"run":%b' % (orjson.dumps(event_id), state)


def run_event(head: bytes, *, shown_input: bytes | None, output: bytes | None) -> bytes:
    """Complete a run's event, with its input and output where asked for and there."""
    parts = [head]
    if shown_input is not None:
        parts += (b',"input":', shown_input)
    if output is not None:
        parts += (b',"output":', output)
    parts.append(b"}")
    return b"".join(parts)


def frame(data: bytes) -> bytes:
    """Return an event as server-sent bytes."""
    return b"data: %b\n\n" % data

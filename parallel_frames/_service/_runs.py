"""Runs as a service tells of them: in events, in listings, as results; and the outcomes they prove."""

from __future__ import annotations

from typing import TYPE_CHECKING

from parallel_frames._model import OtherEvent, Outcome, RunEvent
from parallel_frames._service._json import UnreadableError, dump, excerpt, load, read_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from parallel_frames._model import Event, Json, RunId


def read_event(data: bytes) -> Event:
    """Return one event of a stream; what cannot be read is an `OtherEvent` of type ``malformed``."""
    try:
        event = load(data)
    except ValueError:
        return OtherEvent("malformed", None, excerpt(data))
    if not isinstance(event, dict):
        return OtherEvent("malformed", None, excerpt(data))
    kind = event.get("type")
    if kind in ("task_run.state", None):
        run = read_run(event)
        if run is not None:
            return run
        kind = "malformed"
    return OtherEvent(
        kind if isinstance(kind, str) else "malformed", _string(event.get("event_id")), _event_message(event, data)
    )


def _event_message(event: Mapping[str, Json], data: bytes) -> str | None:
    """Return what an event about trouble says, with the service's reference."""
    error = event.get("error") or event.get("message")
    if error is None:
        return None
    if isinstance(error, dict):
        ref_id = _string(error.get("ref_id"))
        error = f"{error.get('message')} [reference {ref_id}]" if ref_id else error.get("message")
    return error[:500] if isinstance(error, str) else excerpt(data)


def read_run(event: Mapping[str, Json]) -> RunEvent | None:
    """Return the run an event, a listing entry or a result tells of; None if it tells of none."""
    run = event.get("run")
    if not isinstance(run, dict):
        run = event
    run_id = run.get("run_id")
    status = run.get("status")
    if not isinstance(run_id, str) or not isinstance(status, str):
        return None
    sent = event.get("input")
    output = event.get("output")
    metadata = run.get("metadata")
    if not metadata and isinstance(sent, dict) and "input" in sent:  # the run as it was sent, echoed whole
        metadata = sent.get("metadata")
    return RunEvent(
        run_id,
        "queued" if status == "pending" else status,
        _string(event.get("event_id")),
        metadata if isinstance(metadata, dict) else None,
        sent,
        output if isinstance(output, dict) else None,
        run.get("error"),
        run.get("warnings"),
        _string(run.get("created_at")),
        _string(run.get("modified_at")),
    )


def _string(value: Json) -> str | None:
    return value if isinstance(value, str) else None


def possible_inputs(event: RunEvent) -> list[Json]:
    """Return what may have been sent: a service may echo the bare input, or the whole run that held it."""
    sent = event.input
    if isinstance(sent, dict) and "input" in sent:
        return [sent, sent["input"]]
    return [] if sent is None else [sent]


def read_listing(body: bytes) -> Iterator[RunEvent]:
    """Yield the runs of a listing that came as plain JSON."""
    answer = read_json(body)
    if isinstance(answer, dict):
        answer = next(
            (answer[name] for name in ("runs", "data", "results") if isinstance(answer.get(name), list)), None
        )
    if not isinstance(answer, list):
        raise UnreadableError(f"expected a list of runs, got {excerpt(body)}")
    for entry in answer:
        run = read_run(entry) if isinstance(entry, dict) else None
        if run is None:
            raise UnreadableError(f"expected a run, got {type(entry).__name__} in {excerpt(body)}")
        yield run


def read_outcome(event: RunEvent, run: RunId, *, group_id: str) -> Outcome | None:
    """Return the outcome that an event proves; None while it is pending, or completed but without its output."""
    status = event.status
    if status not in ("completed", "failed", "cancelled"):
        return None
    output = event.output if status == "completed" else None
    if status == "completed" and (output is None or "content" not in output):
        return None
    content = kind = basis = details = None
    if output is not None:
        kind = output.get("type")
        kind = kind if isinstance(kind, str) else "json" if isinstance(output["content"], dict) else "text"
        try:
            content = dump(_content_of(output["content"], kind=kind))
        except ValueError:
            return None
        basis = _text(output.get("basis"))
        details = _text({k: v for k, v in output.items() if k not in ("type", "content", "basis") and v is not None})
    return Outcome(
        key=run.key,
        attempt=run.attempt,
        run_id=event.run_id,
        group_id=group_id,
        status=status,
        output=content,
        output_type=kind,
        basis=basis,
        error=_text(event.error),
        warnings=_text(event.warnings),
        details=details,
        created_at=event.created_at,
        modified_at=event.modified_at,
    )


def _content_of(content: Json, *, kind: str) -> Json:
    """Return an answer's content; older deployments send a JSON answer as text that holds it."""
    if kind == "json" and isinstance(content, str):
        try:
            parsed = load(content)
        except ValueError:
            return content
        return parsed if isinstance(parsed, dict) else content
    return content


def _text(value: Json) -> str | None:
    """Return JSON text, or None for what says nothing, or can't be written."""
    try:
        return dump(value) if value else None
    except ValueError:
        return None

"""Bodies, paths and answers of the service's two descriptions, as pure functions over bytes.

The *published* dialect is what the live service speaks (under ``/v1``; the same under ``/v1beta`` on older
deployments). The *seed* is the earlier description, in which a group carries the task spec and the shapes of some
answers are left open, so they are read leniently. What travels is known here and nowhere else; how it travels
(HTTP, retries, errors) is not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import orjson

from parallel_frames._model import GroupStatus, OtherEvent, Outcome, RunEvent

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from parallel_frames._model import DialectName, Event, Job, Json, OutgoingRun, RunId

ACTIVE: Final = frozenset({"queued", "running", "cancelling", "action_required"})
STATUS_WORDS: Final = frozenset({"completed", "failed", "cancelled"}) | ACTIVE


class UnreadableError(ValueError):
    """The text is not what this dialect answers."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """One way to speak to the service.

    Attributes
    ----------
    name : str
    prefix : str
        Where its paths begin.
    proves_links : bool
        Whether it is documented that run ids come back in the order sent.
    """

    name: DialectName
    prefix: str
    proves_links: bool

    def group_path(self, group_id: str = "", leaf: str = "") -> str:
        """Return the path of the groups, of one group, or of something in it."""
        return "/".join(part for part in (f"{self.prefix}/tasks/groups", group_id, leaf) if part)

    def result_path(self, run_id: str) -> str:
        """Return the path of one run's result, which only the published dialect documents."""
        prefix = "/v1" if self.name == "published" else self.prefix
        return f"{prefix}/tasks/runs/{run_id}/result"

    def group_body(self, job: Job, *, metadata: Mapping[str, Json]) -> bytes:
        """Return the body that opens a group."""
        if self.name != "seed":
            return orjson.dumps({"metadata": dict(metadata)})
        return orjson.dumps({"processor": job.processor, "task_spec": seed_spec(job.spec)})

    def runs_body(self, job: Job, *, runs: Sequence[OutgoingRun]) -> bytes:
        """Return the body that adds a batch; the inputs are JSON already."""
        rest: dict[str, Json] = job.options.on_the_wire()
        if self.name != "seed":
            rest = {"processor": job.processor, **rest}
        tail = b"," + orjson.dumps(rest)[1:] if rest else b"}"
        listed = b",".join(
            b'{"input":%b,"metadata":%b%b' % (run.input, orjson.dumps(run.metadata), tail) for run in runs
        )
        if self.name == "seed":
            return b'{"runs":[%b]}' % listed
        return b'{"default_task_spec":%b,"inputs":[%b]}' % (orjson.dumps(job.spec), listed)


PUBLISHED: Final = Dialect("published", "/v1", proves_links=True)
PUBLISHED_V1BETA: Final = Dialect("published-v1beta", "/v1beta", proves_links=True)
SEED: Final = Dialect("seed", "/v1beta", proves_links=False)
DIALECTS: Final[Mapping[str, Dialect]] = {dialect.name: dialect for dialect in (PUBLISHED, PUBLISHED_V1BETA, SEED)}


def seed_spec(spec: Mapping[str, Json]) -> dict[str, Json]:
    """Return a published task spec as the seed writes it: its output schema bare."""
    output = spec["output_schema"]
    bare = output.get("json_schema", output) if isinstance(output, dict) else output
    return {**spec, "output_schema": bare}


def read_json(body: bytes) -> Json:
    """Parse a body, or say what it is instead."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise UnreadableError(f"expected JSON, got {excerpt(body)}") from error


def excerpt(body: bytes, limit: int = 200) -> str:
    """Return the beginning of a body, on one line, for a message."""
    text = " ".join(body[: 4 * limit].decode("utf-8", "replace").split())
    return repr(text if len(text) <= limit else text[:limit] + "…")


def read_group_id(body: bytes, *, dialect: Dialect) -> str:
    """Return the id of the group that was opened."""
    answer = read_json(body)
    group_id = answer.get("taskgroup_id") if isinstance(answer, dict) else None
    if not isinstance(group_id, str) or not group_id:
        raise UnreadableError(f"expected a taskgroup_id, got {excerpt(body)}")
    if dialect.name == "published-v1beta" and not isinstance(answer.get("status"), dict):
        raise UnreadableError("a group without a status: this is not the published dialect")
    return group_id


def read_run_ids(body: bytes) -> list[str]:
    """Return the run ids of an answer to a batch; empty where the dialect gives none."""
    answer = read_json(body)
    if not isinstance(answer, dict):
        raise UnreadableError(f"expected an object, got {excerpt(body)}")
    ids = answer.get("run_ids")
    if ids is None and isinstance(answer.get("runs"), list):
        ids = [run.get("run_id") if isinstance(run, dict) else run for run in answer["runs"]]
    if not isinstance(ids, list) or not all(isinstance(run_id, str) and run_id for run_id in ids):
        return []
    return ids if len(set(ids)) == len(ids) else []


def read_status(group_id: str, body: bytes) -> GroupStatus:
    """Return a group's counts, wherever in the body they stand."""
    answer = read_json(body)
    if not isinstance(answer, dict):
        raise UnreadableError(f"expected a group, got {excerpt(body)}")
    status = answer.get("status") if isinstance(answer.get("status"), dict) else answer
    counts = _find_counts(status) or _find_counts(answer)
    total = status.get("num_task_runs", answer.get("num_task_runs"))
    if counts is None and not isinstance(total, int):
        raise UnreadableError(f"expected counts of runs, got {excerpt(body)}")
    counts = counts or {}
    active = status.get("is_active")
    return GroupStatus(
        group_id=group_id,
        runs=total if isinstance(total, int) else sum(counts.values()),
        counts=counts,
        is_active=active if isinstance(active, bool) else any(counts.get(word) for word in ACTIVE),
        metadata=answer.get("metadata") or {},
    )


def _find_counts(body: Mapping[str, Json]) -> dict[str, int] | None:
    """Return the mapping of statuses to numbers that an object is or holds."""
    for place in (body.get("task_run_status_counts"), body.get("counts"), body):
        if isinstance(place, dict):
            counts = {("queued" if word == "pending" else word): n for word, n in place.items() if type(n) is int}
            counts = {word: n for word, n in counts.items() if word in STATUS_WORDS}
            if counts or place is not body:
                return counts
    return None


def read_event(data: bytes) -> Event:
    """Return one event of a stream; what cannot be read is an `OtherEvent` of type ``malformed``."""
    try:
        event = orjson.loads(data)
    except orjson.JSONDecodeError:
        return OtherEvent("malformed", None, excerpt(data))
    if not isinstance(event, dict):
        return OtherEvent("malformed", None, excerpt(data))
    kind = event.get("type")
    if kind in ("task_run.state", None):
        run = read_run(event)
        if run is not None:
            return run
        kind = "malformed"
    event_id = event.get("event_id")
    message = event.get("error") or event.get("message")
    return OtherEvent(
        kind if isinstance(kind, str) else "malformed",
        event_id if isinstance(event_id, str) else None,
        None if message is None else str(message)[:500],
    )


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
    event_id = event.get("event_id")
    if metadata := run.get("metadata"):
        metadata = metadata if isinstance(metadata, dict) else None
    elif isinstance(sent, dict) and isinstance(sent.get("metadata"), dict):
        metadata = sent["metadata"]
    return RunEvent(
        run_id=run_id,
        status="queued" if status == "pending" else status,
        event_id=event_id if isinstance(event_id, str) else None,
        metadata=metadata,
        input=sent["input"] if isinstance(sent, dict) and "input" in sent and "processor" in sent else sent,
        output=output if isinstance(output, dict) else None,
        error=run.get("error"),
        warnings=run.get("warnings"),
        created_at=run.get("created_at"),
        modified_at=run.get("modified_at"),
    )


def read_listing(body: bytes) -> Iterator[RunEvent]:
    """Yield the runs of a listing that came as plain JSON."""
    answer = read_json(body)
    if isinstance(answer, dict):
        answer = next((answer[name] for name in ("runs", "data", "results") if isinstance(answer.get(name), list)), None)
    if not isinstance(answer, list):
        raise UnreadableError(f"expected a list of runs, got {excerpt(body)}")
    for entry in answer:
        run = read_run(entry) if isinstance(entry, dict) else None
        if run is None:
            raise UnreadableError(f"expected a run, got {excerpt(orjson.dumps(entry))}")
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
        content = _content_text(output["content"], kind=kind)
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


def _content_text(content: Json, *, kind: str) -> str:
    """Return a content's JSON text; older deployments send a JSON answer as text that holds it."""
    if kind == "json" and isinstance(content, str):
        try:
            parsed = orjson.loads(content)
        except orjson.JSONDecodeError:
            parsed = None
        if isinstance(parsed, dict):
            return content
    return orjson.dumps(content).decode()


def _text(value: Json) -> str | None:
    """Return JSON text, or None for what says nothing."""
    return orjson.dumps(value).decode() if value else None

"""Bodies, paths and answers of the service's two descriptions, as pure functions over bytes.

The *published* dialect is what the live service speaks (under ``/v1``; the same under ``/v1beta`` on older
deployments). The *seed* is the earlier description, in which a group carries the task spec and the shapes of some
answers are left open, so they are read leniently. What travels is known here and nowhere else; how it travels
(HTTP, retries, errors) is not.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import orjson

from parallel_frames._model import GroupStatus, OtherEvent, Outcome, RunEvent

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from parallel_frames._model import DialectName, Event, Job, Json, OutgoingRun, RunId

ACTIVE: Final = frozenset({"queued", "running", "cancelling", "action_required"})
STATUS_WORDS: Final = frozenset({"completed", "failed", "cancelled"}) | ACTIVE


class UnreadableError(ValueError):
    """The text is not what this dialect answers."""


class TornError(UnreadableError):
    """The text is JSON that breaks off, or nothing at all: another try may bring the whole of it."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """One way to speak to the service.

    Attributes
    ----------
    name : str
    prefix : str
        Where its paths begin.
    """

    name: DialectName
    prefix: str

    def group_path(self, group_id: str = "", leaf: str = "") -> str:
        """Return the path of the groups, of one group, or of something in it."""
        return "/".join(part for part in (f"{self.prefix}/tasks/groups", quote(group_id, safe=""), leaf) if part)

    def result_path(self, run_id: str) -> str:
        """Return the path of one run's result, which only the published dialect documents."""
        prefix = "/v1" if self.name == "published" else self.prefix
        return f"{prefix}/tasks/runs/{quote(run_id, safe='')}/result"

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


PUBLISHED: Final = Dialect("published", "/v1")
PUBLISHED_V1BETA: Final = Dialect("published-v1beta", "/v1beta")
SEED: Final = Dialect("seed", "/v1beta")
DIALECTS: Final[Mapping[str, Dialect]] = {dialect.name: dialect for dialect in (PUBLISHED, PUBLISHED_V1BETA, SEED)}


def seed_spec(spec: Mapping[str, Json]) -> dict[str, Json]:
    """Return a published task spec as the seed writes it: its output schema bare."""
    output = spec["output_schema"]
    bare = output.get("json_schema", output) if isinstance(output, dict) else output
    return {**spec, "output_schema": bare}


def read_json(body: bytes) -> Json:
    """Parse a body, or say what it is instead."""
    try:
        return _load(body)
    except ValueError as error:
        begins = body.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
        kind = TornError if begins in (b"{", b"[", b"") else UnreadableError
        raise kind(f"expected JSON, got {excerpt(body)}") from error


def _load(text: bytes | str) -> Json:
    """Parse JSON, forgiving what is common in the wild: half an emoji, NaN, bytes that are not UTF-8.

    Raises ValueError for everything else.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        text = text if isinstance(text, str) else text.decode("utf-8-sig", "replace")
        try:
            value = json.loads(text, strict=False, parse_constant=_nothing, parse_float=_finite)
            again = json.dumps(value, ensure_ascii=False)
        except RecursionError as error:
            raise ValueError("nested too deeply") from error
        return orjson.loads(again.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))


def _nothing(_name: str) -> None:
    """Return what NaN and Infinity say."""


def _finite(digits: str) -> float | None:
    value = float(digits)
    return value if math.isfinite(value) else None


def _dump(value: Json) -> str:
    """Return JSON text; raises ValueError for what no encoder can follow to its end."""
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError:
        try:
            return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        except RecursionError as error:
            raise ValueError("nested too deeply") from error


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
    status = answer["status"] if isinstance(answer.get("status"), dict) else answer
    told = _find_counts(status) or _find_counts(answer)
    total = next((n for n in (status.get("num_task_runs"), answer.get("num_task_runs")) if type(n) is int), None)
    if told is None and total is None:
        raise UnreadableError(f"expected counts of runs, got {excerpt(body)}")
    counts = told or {}
    active = status.get("is_active")
    metadata = answer.get("metadata")
    return GroupStatus(
        group_id=group_id,
        runs=sum(counts.values()) if total is None else total,
        counts=counts,
        is_active=active if isinstance(active, bool) else any(counts.get(word) for word in ACTIVE),
        metadata=metadata if isinstance(metadata, dict) else {},
    )


def _find_counts(body: Mapping[str, Json], *, depth: int = 2) -> dict[str, int] | None:
    """Return the numbers of runs by status that an object is or holds; None if there are none."""
    for name in ("task_run_status_counts", "counts"):
        if isinstance(place := body.get(name), dict):
            return _counts_in(place)
    if counts := _counts_in(body):
        return counts
    if depth:
        for name, place in body.items():
            found = _find_counts(place, depth=depth - 1) if isinstance(place, dict) and name != "metadata" else None
            if found:
                return found
    return None


def _counts_in(place: Mapping[str, Json]) -> dict[str, int]:
    """Return the entries that are a status and a number."""
    counts: dict[str, int] = {}
    for word, n in place.items():
        known = "queued" if word == "pending" else word
        if known in STATUS_WORDS and type(n) is int:
            counts[known] = counts.get(known, 0) + n
    return counts


def read_event(data: bytes) -> Event:
    """Return one event of a stream; what cannot be read is an `OtherEvent` of type ``malformed``."""
    try:
        event = _load(data)
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
        run_id=run_id,
        status="queued" if status == "pending" else status,
        event_id=_string(event.get("event_id")),
        metadata=metadata if isinstance(metadata, dict) else None,
        input=sent,
        output=output if isinstance(output, dict) else None,
        error=run.get("error"),
        warnings=run.get("warnings"),
        created_at=_string(run.get("created_at")),
        modified_at=_string(run.get("modified_at")),
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
            content = _dump(_content_of(output["content"], kind=kind))
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
            parsed = _load(content)
        except ValueError:
            return content
        return parsed if isinstance(parsed, dict) else content
    return content


def _text(value: Json) -> str | None:
    """Return JSON text, or None for what says nothing, or can't be written."""
    try:
        return _dump(value) if value else None
    except ValueError:
        return None

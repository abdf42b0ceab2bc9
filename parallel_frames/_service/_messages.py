"""Bytes of the service -> our values: groups, run ids, counts, runs, events, outcomes, errors.

Pure functions. This module knows the JSON of every dialect, and nothing of HTTP, of when a request was made, or of what
to do about an answer. It reads leniently, because an answer that is paid for must not be lost to half a character or
to a field in another place. It reads strictly where an answer is used as proof (`read_batch`, `read_listing`): there,
anything unexpected raises `UnreadableError` or reads as nothing.
"""

from __future__ import annotations

import json
import math
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import orjson

from parallel_frames._model import ACTIVE, TERMINAL, UNREADABLE, GroupStatus, OtherEvent, Outcome, RunEvent

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from parallel_frames._model import Event, Json, RunId
    from parallel_frames._service._dialects import Dialect

STATUSES: Final = TERMINAL | ACTIVE
OTHER_WORDS: Final = {"pending": "queued", "canceled": "cancelled"}
NO_TYPE: Final = frozenset({None, "message", "task_run.state"})  # in an `event:` line: nothing that the data lacks
WORDS: Final = ("error", "message", "errors", "detail", "msg", "error_description", "title")  # where errors have a text


class UnreadableError(ValueError):
    """The body is not what this service answers."""


class TornError(UnreadableError):
    """The body is JSON that breaks off, or empty: another try may bring all of it."""


# -- JSON ------------------------------------------------------------------------------------------------------------


def read_json(body: bytes) -> Json:
    """Parse a body; raise TornError where it breaks off, UnreadableError where it is not JSON."""
    try:
        return _load(body)
    except ValueError as error:
        start = body.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
        kind = TornError if start in (b"{", b"[", b"") else UnreadableError
        raise kind(f"expected JSON, got {excerpt(body)}") from error


def excerpt(body: bytes, limit: int = 200) -> str:
    """Return the beginning of a body on one line, for a message."""
    text = " ".join(body[: 4 * limit].decode("utf-8", "replace").split())
    return repr(text if len(text) <= limit else text[:limit] + "…")


def _load(text: bytes | str) -> Json:
    """Parse JSON, forgiving lone surrogates, NaN, control characters and bytes that are not UTF-8."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        text = text if isinstance(text, str) else text.decode("utf-8-sig", "replace")
        try:
            value = json.loads(text, strict=False, parse_constant=lambda _: None, parse_float=_finite_or_none)
            # Once more through orjson, so that what is stored later can be encoded: UTF-16 turns pairs of surrogates
            # into characters, and replaces lone ones.
            repaired = json.dumps(value, ensure_ascii=False).encode("utf-16", "surrogatepass")
        except RecursionError as error:
            raise ValueError("nested too deeply") from error
        return orjson.loads(repaired.decode("utf-16", "replace"))


def _finite_or_none(digits: str) -> float | None:
    value = float(digits)
    return value if math.isfinite(value) else None


def _dump(value: Json) -> str:
    """Return JSON text; raises ValueError for what is nested too deeply to encode."""
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError:  # orjson stops some 250 levels deep, the standard library at the recursion limit
        try:
            return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        except RecursionError as error:
            raise ValueError("nested too deeply") from error


def read_word(status: str) -> str:
    """Return a status in the words of the published dialect, however it is written."""
    word = status.strip().lower()
    return OTHER_WORDS.get(word, word)


def _string_or_none(value: Json) -> str | None:
    return value if isinstance(value, str) else None


# -- groups ----------------------------------------------------------------------------------------------------------


def read_group_id(body: bytes, *, dialect: Dialect) -> str:
    group = read_json(body)
    group_id = group.get("taskgroup_id") if isinstance(group, dict) else None
    if not isinstance(group_id, str) or not group_id:
        raise UnreadableError(f"expected a taskgroup_id, got {excerpt(body)}")
    # Under /v1beta the seed dialect may accept the published body and ignore it. Its answer has no status, and its
    # runs would have no schema.
    if dialect.name == "published-v1beta" and not isinstance(group.get("status"), dict):
        raise UnreadableError("a group without a status: this is not the published dialect")
    return group_id


def read_batch(body: bytes) -> tuple[list[str], str | None]:
    """Return what the answer to a batch says: the run ids, and where the group's list was before them.

    The ids are empty unless all of them are there and distinct.
    """
    answer = read_json(body)
    if not isinstance(answer, dict):
        raise UnreadableError(f"expected an object, got {excerpt(body)}")
    ids = answer.get("run_ids")
    if ids is None and isinstance(answer.get("runs"), list):
        ids = [run.get("run_id") if isinstance(run, dict) else run for run in answer["runs"]]
    listed = ids if isinstance(ids, list) else []
    valid = [run_id for run_id in listed if isinstance(run_id, str) and run_id]
    return (valid if len(set(valid)) == len(listed) else []), _string_or_none(answer.get("run_cursor"))


def read_status(group_id: str, body: bytes) -> GroupStatus:
    """Return a group's counts, wherever in the body they are."""
    group = read_json(body)
    if not isinstance(group, dict):
        raise UnreadableError(f"expected a group, got {excerpt(body)}")
    status = group["status"] if isinstance(group.get("status"), dict) else group
    found = _find_counts(status) or _find_counts(group)
    total = next((n for n in (status.get("num_task_runs"), group.get("num_task_runs")) if type(n) is int), None)
    if found is None and total is None:
        raise UnreadableError(f"expected counts of runs, got {excerpt(body)}")
    counts = found or {}
    is_active, metadata = status.get("is_active"), group.get("metadata")
    return GroupStatus(
        group_id=group_id,
        runs=sum(counts.values()) if total is None else total,
        counts=counts,
        is_active=is_active if isinstance(is_active, bool) else any(counts.get(name) for name in ACTIVE),
        metadata=metadata if isinstance(metadata, dict) else {},
        processor=_string_or_none(group.get("processor")),
    )


def _find_counts(body: Mapping[str, Json], *, depth: int = 2) -> dict[str, int] | None:
    """Return the numbers of runs by status that an object is or contains; None without any."""
    for name in ("task_run_status_counts", "counts"):
        if isinstance(counts := body.get(name), dict):
            return _read_counts(counts)
    if found := _read_counts(body):
        return found
    if depth:
        for name, value in body.items():
            # The user's own metadata may have a key named like a status.
            if isinstance(value, dict) and name != "metadata" and (nested := _find_counts(value, depth=depth - 1)):
                return nested
    return None


def _read_counts(counts: Mapping[str, Json]) -> dict[str, int]:
    """Return the entries whose name is a status and whose value is a number."""
    found: dict[str, int] = {}
    for name, n in counts.items():
        status = read_word(name)
        if status in STATUSES and type(n) is int:
            found[status] = found.get(status, 0) + n
    return found


# -- runs ------------------------------------------------------------------------------------------------------------


def read_event(data: bytes, *, name: str | None = None) -> Event:
    """Return one event of a stream; what cannot be read is an `OtherEvent` of type ``malformed``.

    `name` is what its `event:` line says, which is the type of data without one.
    """
    if data.strip() == b"[DONE]":  # as other services of this kind end a stream
        return OtherEvent("done", None, None)
    try:
        event = _load(data)
    except ValueError:
        event = None
    if not isinstance(event, dict):
        return OtherEvent("malformed" if name is None or name in NO_TYPE else name, None, excerpt(data))
    kind = event.get("type")
    if kind in ("task_run.state", None):
        run = read_run(event)
        if run is not None:
            return run
        kind = _type_of(event, name) if kind is None else "malformed"
    named = kind if isinstance(kind, str) else "malformed"
    message = _find_words({word: event[word] for word in ("error", "message", "errors") if word in event})
    if message is None and named in ("malformed", "error"):
        message = excerpt(data)
    ref_id = _find_reference(event)
    return OtherEvent(
        named,
        _string_or_none(event.get("event_id")),
        f"{message} [reference {ref_id}]" if message and ref_id else message,
    )


def _type_of(event: Mapping[str, Json], name: str | None) -> str:
    """Return the type of an event that is no run and does not state one."""
    if name is not None and name not in NO_TYPE:
        return name
    is_error = not event.keys() & {"run", "run_id", "status"} and event.keys() & {"error", "errors", "message"}
    return "error" if is_error else "malformed"


def read_run(event: Json) -> RunEvent | None:
    """Return the run of an event, a listing entry or a result; None without one."""
    if not isinstance(event, dict):
        return None
    run = event.get("run")
    if not isinstance(run, dict):
        run = event  # the seed's events are the run
    run_id, status = run.get("run_id"), run.get("status")
    if not isinstance(run_id, str) or not isinstance(status, str):
        return None
    word = read_word(status)
    if word not in STATUSES and run.get("is_active") is True:
        word = "running"  # the status is newer than this library
    sent = event.get("input")
    output = event.get("output")
    if output is None:  # where it stands is not fixed in every dialect
        others = (run.get("output"), event.get("result"), run.get("result"))
        output = next((other for other in others if other is not None), None)
    metadata = run.get("metadata")
    if not metadata and isinstance(sent, dict) and "input" in sent:  # the whole run as we sent it, echoed
        metadata = sent.get("metadata")
    return RunEvent(
        run_id,
        word,
        _string_or_none(event.get("event_id")),
        metadata if isinstance(metadata, dict) else None,
        sent,
        output,
        run.get("error"),
        run.get("warnings"),
        _string_or_none(run.get("created_at")),
        _string_or_none(run.get("modified_at")),
        processor=_string_or_none(run.get("processor")),
    )


def possible_inputs(event: RunEvent) -> list[Json]:
    """Return what may have been sent: a service may echo the bare input, or the whole run around it."""
    sent = event.input
    if isinstance(sent, dict) and "input" in sent:  # ambiguous where the user has a column named "input"
        return [sent, sent["input"]]
    return [] if sent is None else [sent]


def read_listing(body: bytes, *, keep_raw: bool = False) -> Iterator[RunEvent]:
    """Yield the runs of a listing that came as one JSON document; `keep_raw`: each with its JSON."""
    runs = read_json(body)
    if isinstance(runs, dict):
        runs = next((runs[name] for name in ("runs", "data", "results") if isinstance(runs.get(name), list)), None)
    if not isinstance(runs, list):
        raise UnreadableError(f"expected a list of runs, got {excerpt(body)}")
    for entry in runs:
        run = read_run(entry)
        if keep_raw and run is not None:
            run.raw = (_text_or_none(entry) or "{}").encode()
        yield RunEvent(excerpt((_text_or_none(entry) or "").encode()), UNREADABLE) if run is None else run


def read_outcome(event: RunEvent, run: RunId, *, group_id: str, asked: Json = None) -> Outcome | None:
    """Return the outcome that an event proves; None while it is pending, or completed but without its output.

    `asked` is the output schema of the job, as it was sent; None where it is not known.
    """
    status = event.status
    if status not in TERMINAL:
        return None
    content = kind = basis = details = None
    if status == "completed":
        output = _wrapped(event.output, asked=asked)
        if output is None:
            return None
        kind = _kind_of(output, asked=asked)
        try:
            content = _dump(_parse_content(output["content"], kind=kind))
        except ValueError:
            return None
        basis = _text_or_none(output.get("basis"))
        rest = {k: v for k, v in output.items() if k not in ("type", "content", "basis") and v is not None}
        details = _text_or_none(rest)
    return Outcome(
        key=run.key,
        attempt=run.attempt,
        run_id=event.run_id,
        group_id=group_id,
        status=status,
        output=content,
        output_type=kind,
        basis=basis,
        error=_text_or_none(event.error),
        warnings=_text_or_none(event.warnings),
        details=details,
        created_at=event.created_at,
        modified_at=event.modified_at,
    )


def describe_open_run(event: RunEvent, group_id: str) -> str:
    """Return why a run has no outcome, in words, where `read_outcome` finds none in what the service says of it."""
    run = f"run {event.run_id} of group {group_id}"
    if event.status in TERMINAL:
        return f"{run} completed, but the service shows no output of it"
    if event.status == "action_required":
        return f"{run} waits for an action that this client cannot take"
    if event.status in ACTIVE:
        return f"{run} is {event.status}"
    return f"{run} has the status {event.status!r}, which is not known"


def _wrapped(output: Json, *, asked: Json) -> Mapping[str, Json] | None:
    """Return an output as ``{"type", "content", "basis", ...}``; None where there is no answer in it.

    The seed does not say whether its events hold that or the bare answer, so both are read, in every dialect. An object
    with `content` is the wrapper unless the schema has a field of that name; then its `type` and an object in `content`
    decide.
    """
    is_empty_text = output == "" and isinstance(asked, dict) and asked.get("type") == "text"
    if output is None or (output in ("", {}, []) and not is_empty_text):
        return None
    if not isinstance(output, dict):
        return {"content": output}
    schema = asked.get("json_schema") if isinstance(asked, dict) else None
    fields = (schema.get("properties") if isinstance(schema, dict) else None) or ()
    has_type = output.get("type") in ("json", "text")
    if "content" in output:
        looks_wrapped = has_type and isinstance(_parse_content(output["content"], kind="json"), dict)
        return output if "content" not in fields or looks_wrapped else {"content": output}
    # A wrapper whose content was not kept, unless the answer itself has such fields.
    return None if has_type and "type" not in fields else {"content": output}


def _kind_of(output: Mapping[str, Json], *, asked: Json) -> str:
    """Return ``"json"`` or ``"text"``: what was asked for, or else what the service says or sent."""
    named = asked.get("type") if isinstance(asked, dict) else None, output.get("type")
    by_content = "json" if isinstance(output["content"], dict) else "text"
    return next((str(kind) for kind in named if kind in ("json", "text")), by_content)


def _parse_content(content: Json, *, kind: str) -> Json:
    """Return an answer's content; older deployments send a JSON answer as a string of JSON."""
    with suppress(ValueError):
        if kind == "json" and isinstance(content, str) and isinstance(parsed := _load(content), dict):
            return parsed
    return content


def _text_or_none(value: Json) -> str | None:
    """Return JSON text; None for what is empty or cannot be encoded."""
    try:
        return _dump(value) if value else None
    except ValueError:
        return None


# -- errors ----------------------------------------------------------------------------------------------------------


def read_error(body: bytes) -> tuple[str, str | None]:
    """Return the message of an error's body and the service's reference; of HTML and the like an excerpt."""
    try:
        answer = read_json(body)
    except UnreadableError:
        return (excerpt(body) if body else "no explanation"), None
    return (_find_words(answer) or excerpt(body)).rstrip("."), _find_reference(answer)


def _find_reference(answer: Json) -> str | None:
    error = answer.get("error") if isinstance(answer, dict) else None
    for place in (error, answer):
        ref_id = place.get("ref_id") if isinstance(place, dict) else None
        if isinstance(ref_id, str) and ref_id:
            return ref_id
    return None


def _find_words(answer: Json, *, depth: int = 4) -> str | None:
    """Return the text of an error, in whatever form services and gateways give it; None without one."""
    if isinstance(answer, str):
        return answer.strip()[:500] or None
    if isinstance(answer, list) and depth:
        texts = [_find_words(entry, depth=depth - 1) for entry in answer[:5]]
        return "; ".join(filter(None, texts))[:1000] or None
    if not isinstance(answer, dict) or not depth:
        return None
    if "loc" in answer:
        return _read_problem(answer)
    found = (_find_words(answer[name], depth=depth - 1) for name in WORDS if name in answer)
    return next(filter(None, found), None)


def _read_problem(entry: Mapping[str, Json]) -> str:
    """Return one entry of a 422's ``detail`` as "where: what"."""
    location, message = entry.get("loc"), entry.get("msg")
    steps = [str(step) for step in location if isinstance(step, str | int)] if isinstance(location, list) else []
    return f"{'.'.join(steps)}: {message if isinstance(message, str) else 'refused'}"

"""What a service answers about groups and batches: ids and counts, wherever they stand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from parallel_frames._model import GroupStatus
from parallel_frames._service._json import UnreadableError, excerpt, read_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from parallel_frames._model import Json
    from parallel_frames._service._dialects import Dialect


ACTIVE: Final = frozenset({"queued", "running", "cancelling", "action_required"})
STATUS_WORDS: Final = frozenset({"completed", "failed", "cancelled"}) | ACTIVE


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
    if not isinstance(ids, list):
        return []
    named = [run_id for run_id in ids if isinstance(run_id, str) and run_id]
    return named if len(set(named)) == len(ids) else []


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

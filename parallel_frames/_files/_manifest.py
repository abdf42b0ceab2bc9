"""What stands beside a target: where its answers came from, when, at what price, to which question."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from parallel_frames._files._address import MANIFEST
from parallel_frames.errors import TargetError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from parallel_frames._files._address import Address
    from parallel_frames._files._agenda import Counts
    from parallel_frames._files._ask import Asked
    from parallel_frames._files._index import Index
    from parallel_frames._model import Json


def make_manifest(
    asked: Asked, index: Index, counts: Counts, *, statuses: Mapping[str, int], checkpoint: str, simulated: bool
) -> dict[str, Json]:
    """Return the manifest, JSON-safe and without secrets."""
    price = asked.price
    cost = price.of(counts.sent)
    return {
        "library": f"parallel_frames {version('parallel-frames')}",
        "written_at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "simulated": simulated,
        "source": {
            "address": asked.source.shown,
            "files": [
                {"path": each.path, "bytes": each.size, "modified_at": time_of(each.modified, per_second=10**9)}
                for each in asked.source.files
            ],
        },
        "rows": counts.rows,
        "rows_by_status": dict(statuses),
        "sends": list(asked.selection.names),
        "schema": dict(asked.schema.wire),
        "processor": asked.call.processor,
        "job": asked.job.hash,
        "runs": counts.runs,
        "runs_sent": counts.sent,
        "price_per_run": None if price.per_run is None else float(price.per_run),
        "prices_as_of": price.as_of,
        "cost": None if cost is None else float(cost),
        "groups": [
            {**group, "first": time_of(group["first"]), "last": time_of(group["last"])} for group in index.by_group()
        ],
        "checkpoint": checkpoint,
    }


def time_of(moment: int | None, *, per_second: int = 10**6) -> str | None:
    """Return a moment that is counted since 1970 as ISO 8601."""
    if moment is None:
        return None
    return datetime.fromtimestamp(moment / per_second, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def text_of(manifest: Mapping[str, Any]) -> bytes:
    """Return a manifest as it is written."""
    return json.dumps(manifest, indent=2, ensure_ascii=False).encode()


def manifest_of(address: Address) -> str:
    """Return the path of a target's manifest."""
    return f"{address.path.rstrip('/')}{MANIFEST}"


def write_manifest(address: Address, text: bytes) -> None:
    """Write the manifest of a target in an object store.

    Raises
    ------
    TargetError
        The store does not take it.
    """
    path = manifest_of(address)
    try:
        with address.system.open_output_stream(path) as stream:
            stream.write(text)
    except OSError as error:
        raise TargetError(
            f"The target is written, but its manifest {path} is not ({error.strerror or error}).", path=path
        ) from error

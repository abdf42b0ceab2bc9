"""The manifest next to a target: where its answers came from, when, at what price, to which question."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from parallel_frames._files._address import MANIFEST
from parallel_frames._job._summary import iso_time
from parallel_frames.errors import TargetError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from parallel_frames._files._address import Address
    from parallel_frames._files._prepare import PreparedFile
    from parallel_frames._model import Json
    from parallel_frames._state import Index


def make_manifest(
    file: PreparedFile, index: Index, *, counts: Mapping[str, int], checkpoint: str, simulated: bool
) -> dict[str, Json]:
    """Return the manifest, JSON-safe and without secrets; `counts` are the asked rows by status."""
    source, prepared, status = file.source, file.prepared, index.plan()
    price = prepared.price
    cost = price.of(status.sent)
    return {
        "library": f"parallel_frames {version('parallel-frames')}",
        "written_at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "simulated": simulated,
        "source": {
            "address": source.shown,
            "files": [
                {
                    "path": facts.path,
                    "bytes": facts.size,
                    "modified_at": None if facts.modified is None else iso_time(facts.modified / 10**9),
                }
                for facts in source.files
            ],
        },
        "rows": status.rows,
        "rows_by_status": dict(counts),
        "sends": list(prepared.selection.names),
        "schema": dict(prepared.schema.wire),
        "processor": prepared.call.processor,
        "job": prepared.job.hash,
        "runs": status.runs,
        "runs_sent": status.sent,
        "price_per_run": None if price.per_run is None else float(price.per_run),
        "prices_as_of": price.as_of,
        "cost": None if cost is None else float(cost),
        "groups": [
            {**group, **{name: group[name] and f"{group[name][:19]}Z" for name in ("first", "last")}}
            for group in index.summarise_groups()
        ],
        "checkpoint": checkpoint,
    }


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

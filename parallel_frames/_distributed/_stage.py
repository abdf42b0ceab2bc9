"""Jobs of days, in three steps: `stage` on the cluster, `send` on any machine, `enrich` on the cluster again.

What is staged stays in the checkpoint with a small manifest, and holds no secret. Sending needs neither the engine nor
the rows.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from parallel_frames._checkpoint import open_store, read_header, read_manifests, remove_folder, write_manifest
from parallel_frames._columns import ERROR_COLUMN, STATUS_COLUMN, Layout
from parallel_frames._distributed._call import prepare_frame, staged_source
from parallel_frames._distributed._source import StagedSource
from parallel_frames._format import format_utc
from parallel_frames._inputs import Selection
from parallel_frames._job._defaults import make_call
from parallel_frames._job._handle import Enrichment
from parallel_frames._job._offline import choose_destination
from parallel_frames._job._prepare import PreparedCall
from parallel_frames._job._preview import EnrichmentPlan, plan_call
from parallel_frames._job._runner import JobRunner
from parallel_frames._model import STATUSES, Job, Options, Schema
from parallel_frames._prices import price_of
from parallel_frames.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from parallel_frames._checkpoint import StoragePath
    from parallel_frames._distributed._call import EngineFrame

# What concerns the sending, and is passed to `parallel-frames send`.
OF_SENDING: Final = (
    "limit", "max_cost", "confirm", "max_in_flight", "timeout", "refresh", "older_than", "retry_failed", "on_error",
)  # fmt: skip


def stage_frame(frame: EngineFrame, schema: object, options: Mapping[str, Any]) -> EnrichmentPlan:
    """Have the engine make the keys, leave the inputs in the checkpoint, and return what is to be sent."""
    for name in OF_SENDING:
        if name in options:
            raise InputError(
                f"`{name}` concerns the sending, and `stage(...)` sends nothing. Nothing was staged. Pass it to the "
                "command that sends what is staged, parallel-frames send, or to `enrich(...)`."
            )
    call = prepare_frame(frame, schema, options, sends=False)
    job = call.prepared.job
    _check_secrets(job.options)
    with staged_source(call, keep=True) as source:
        plan = plan_call(source)
        if read_header(call.folder) is None:
            with open_store(call.folder, job, host=call.destination.host) as store:
                store.write_header()
        manifest = {
            "created_at": format_utc(),
            "engine": frame.engine,
            "partitions": frame.partitions,
            "sends": list(call.prepared.selection.names),
            "options": {name: value for name, value in asdict(job.options).items() if value},
            "files": {file.name: [*counts] for file, counts in source.files.items()},
        }
        for folder in {file.parent for file in source.files}:
            write_manifest(folder, manifest)
    return plan


def _check_secrets(options: Options) -> None:
    has_headers = any(server.get("headers") for server in options.mcp_servers or ())
    if has_headers or options.webhook:
        what = "the headers of an MCP server" if has_headers else "a webhook"
        raise InputError(
            f"`options` holds {what}, which may be secret and is never written to a disk, so that it cannot be staged. "
            "Nothing was staged. Use `enrich(...)`, or leave it out."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What became of staged inputs: rows by status, and what they cost."""

    rows: int
    counts: Mapping[str, int]
    cost: float | None
    extra_cost: str
    group_ids: tuple[str, ...]
    checkpoint: str


def open_staged(folder: StoragePath, options: Mapping[str, Any]) -> StagedJob | None:
    """Return what is staged in a job's folder; None where nothing is.

    `options` are those that concern the sending, and ``client``.
    """
    calls = read_manifests(folder)
    return StagedJob(folder, calls, options) if calls else None


class StagedJob:
    """What is staged of one job, and is to be sent; `open_staged` makes it."""

    def __init__(
        self, folder: StoragePath, calls: Mapping[StoragePath, Mapping[str, Any]], options: Mapping[str, Any]
    ) -> None:
        self._folder = folder
        self._calls = calls
        newest = max(calls.values(), key=lambda manifest: str(manifest["created_at"]))
        header = read_header(folder) or {}
        processor = header["job"]["processor"]
        sending = Options(**{**newest["options"], "beta_headers": tuple(newest["options"].get("beta_headers") or ())})
        names = tuple(newest["sends"])
        # Answers are judged by the call that has the rows: without columns they are completed, failed or cancelled.
        schema = Schema("text", header["spec"]["output_schema"], {}, ())
        prepared = PreparedCall(
            frame=pd.DataFrame(),
            call=make_call({**options, "processor": processor, "checkpoint": str(folder.parent)}),
            schema=schema,
            layout=Layout((), STATUS_COLUMN, ERROR_COLUMN),
            selection=Selection("object", names, names),
            job=Job(header["job"], header["job_hash"], processor, header["spec"], sending),
            price=price_of(processor, advanced_settings=sending.advanced_settings),
            findings=(),
            engine=newest["engine"],
            partitions=sum(manifest["partitions"] for manifest in calls.values()),
        )
        self.source = StagedSource(prepared, self._files())

    def _files(self) -> dict[StoragePath, tuple[int, int]]:
        """Return the files of all that is staged; one that was staged twice is one."""
        named = {
            name: (place / name, (lines, batches))
            for place, manifest in self._calls.items()
            for name, (lines, batches) in manifest["files"].items()
        }
        return dict(named.values())

    def plan(self) -> EnrichmentPlan:
        """Return what would be sent."""
        return plan_call(self.source)

    def send(self, *, wait: bool = True) -> Sent:
        """Send it, and wait for the answers; what is answered whole is not staged any more."""
        runner = JobRunner(self.source)
        runner.destination = choose_destination(self.source.prepared.call.client)
        handle = Enrichment(runner)
        handle._wait_for(lambda: runner.run("answered" if wait else "sent"))
        status = runner.status()
        if not (status.to_send or status.awaited or status.left_out or status.failed):
            for place in self._calls:
                remove_folder(place, above=[place.parent])
        cost = runner.prepared.price.of(status.billed)
        counts = handle._counts()
        return Sent(
            rows=status.rows,
            counts={word: counts[word] for word in STATUSES if counts.get(word)},
            cost=None if cost is None else float(cost),
            extra_cost=runner.prepared.price.extra,
            group_ids=runner.group_ids,
            checkpoint=str(self._folder),
        )

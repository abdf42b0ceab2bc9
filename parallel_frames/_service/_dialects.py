"""What is sent and where: the paths and bodies of each dialect, as values.

Pure: nothing is sent here, and no answer is read (`_messages` does that, for all dialects alike). Inputs arrive as JSON
and are copied as they are, so that the service gets the very bytes that a row's key was made of.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import orjson

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from parallel_frames._model import DialectName, Job, Json, OutgoingRun


@dataclass(frozen=True, slots=True)
class Dialect:
    """One way to speak to the service."""

    name: DialectName
    prefix: str  # the version at the beginning of its paths

    def group_path(self, group_id: str = "", leaf: str = "") -> str:
        """Return the path of the groups, of one group, or of something in it."""
        return "/".join(part for part in (f"{self.prefix}/tasks/groups", quote(group_id, safe=""), leaf) if part)

    def result_path(self, run_id: str) -> str:
        """Return the path of one run's result, which only the published dialect documents."""
        return f"{self.prefix}/tasks/runs/{quote(run_id, safe='')}/result"

    def group_body(self, job: Job, *, metadata: Mapping[str, Json]) -> bytes:
        if self.name != "seed":
            return orjson.dumps({"metadata": dict(metadata)})
        return orjson.dumps({"processor": job.processor, "task_spec": seed_spec(job.spec)})

    def runs_body(self, job: Job, *, runs: Sequence[OutgoingRun]) -> bytes:
        shared: dict[str, Json] = job.options.on_the_wire()
        if self.name != "seed":
            shared = {"processor": job.processor, **shared}
        # Put together as bytes: the fields that all runs share are encoded once, the inputs not at all.
        tail = b"," + orjson.dumps(shared)[1:] if shared else b"}"
        encoded = b",".join(
            b'{"input":%b,"metadata":%b%b' % (run.input, orjson.dumps(run.metadata), tail) for run in runs
        )
        if self.name == "seed":
            return b'{"runs":[%b]}' % encoded
        return b'{"default_task_spec":%b,"inputs":[%b]}' % (orjson.dumps(job.spec), encoded)


PUBLISHED: Final = Dialect("published", "/v1")
PUBLISHED_V1BETA: Final = Dialect("published-v1beta", "/v1beta")
SEED: Final = Dialect("seed", "/v1beta")
# In the order in which they are tried on a host whose dialect is not known.
DIALECTS: Final[Mapping[str, Dialect]] = {dialect.name: dialect for dialect in (PUBLISHED, PUBLISHED_V1BETA, SEED)}


def seed_spec(spec: Mapping[str, Json]) -> dict[str, Json]:
    """Return a published task spec in the seed's form: its output schema without the wrapping."""
    output = spec["output_schema"]
    return {**spec, "output_schema": output.get("json_schema", output) if isinstance(output, dict) else output}

"""The two dialects as values: paths and bodies."""

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

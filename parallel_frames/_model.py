"""The nouns every floor speaks of, as frozen values.

It decides nothing and does nothing: no pandas, no HTTP, no files. What a row becomes (`Plan`), what the service
owes us (`Receipt`), what it gave (`Outcome`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np

    from parallel_frames.errors import ParallelFramesError

RowRuns: TypeAlias = "np.ndarray[Any, np.dtype[np.int64]]"
Json: TypeAlias = Any  # None, bool, int, float, str, list or dict: what orjson reads
DialectName: TypeAlias = Literal["published", "published-v1beta", "seed"]
Status: TypeAlias = Literal["completed", "invalid", "failed", "cancelled", "pending", "skipped", "not_sent"]

STATUSES: tuple[Status, ...] = ("completed", "invalid", "failed", "cancelled", "pending", "skipped", "not_sent")
UNREADABLE = "unreadable"  # the status of a listed entry that cannot be read; its id is an excerpt of it
TERMINAL = frozenset({"completed", "failed", "cancelled"})
# `action_required` is not active for the service. For us it is: the run may still end otherwise.
ACTIVE = frozenset({"queued", "running", "cancelling", "action_required"})
LOST = "lost"  # the type of an output that the service no longer holds
KEY_VERSION = 1
SKIPPED = -1
OUTSIDE = -2


class RunId(NamedTuple):
    """The identity of a run: one attempt at one distinct input."""

    key: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Column:
    """One output column, decided by the schema alone.

    Attributes
    ----------
    name : str
        The property's name in the answer; the frame's label is prefix + name.
    kind : str
        What the cells are; decides the dtype.
    node : mapping
        The property's normalised JSON Schema, constraints included: what an answer is checked against.
    nullable : bool
        Whether null is a legal answer.
    """

    name: str
    kind: Literal["string", "integer", "number", "boolean", "enum", "date", "datetime", "array", "object", "any"]
    node: Mapping[str, Json]
    nullable: bool = False


ARGUMENTS: Final = frozenset({"escalate", "group_id", "input_schema", "inputs", "options", "processor"})


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing `lint` or a plan has to say: an error refuses the schema, a warning is shown, advice is a plan's."""

    severity: Literal["error", "warning", "advice"]
    rule: str
    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message} ({self.rule})"

    @property
    def with_subject(self) -> str:
        """The same with the schema named in front, unless the path begins with another argument of the call."""
        return str(self) if self.path.partition(".")[0] in ARGUMENTS else f"schema: {self}"


@dataclass(frozen=True, slots=True)
class Schema:
    """What the user asked for, once: how it travels, what identifies it, what columns come of it.

    Attributes
    ----------
    form : str
        ``"json"`` has one column per property; ``"text"`` and ``"auto"`` have one column, ``output``.
    wire : mapping
        The ``output_schema`` of the published dialect: ``{"type": "json", "json_schema": ...}`` and so on.
    identity : mapping
        The user's schema in normal form: what enters keys. Generated texts are not in it.
    findings : tuple of Finding
        Lint warnings; errors were raised.
    model : type or None
        The pydantic model or dataclass it came from.
    """

    form: Literal["json", "text", "auto"]
    wire: Mapping[str, Json]
    identity: Mapping[str, Json]
    columns: tuple[Column, ...]
    findings: tuple[Finding, ...] = ()
    model: type | None = None


@dataclass(frozen=True, slots=True)
class Options:
    """What else travels with every run.

    MCP servers may carry secrets in their headers, which stay out of keys and off the disk.
    """

    source_policy: Mapping[str, Json] | None = None
    advanced_settings: Mapping[str, Json] | None = None
    mcp_servers: Sequence[Mapping[str, Json]] | None = field(default=None, repr=False)
    previous_interaction_id: str | None = None
    memory_scope_key: str | None = None
    enable_events: bool | None = None
    webhook: Mapping[str, Json] | None = field(default=None, repr=False)
    beta_headers: tuple[str, ...] = ()

    def on_the_wire(self) -> dict[str, Json]:
        """Return the fields of a run that are set."""
        names = (
            "source_policy",
            "advanced_settings",
            "mcp_servers",
            "previous_interaction_id",
            "memory_scope_key",
            "enable_events",
            "webhook",
        )
        return {name: value for name in names if (value := getattr(self, name)) is not None}

    def identity(self) -> dict[str, Json]:
        """Return what changes the answer, without any secret."""
        names = ("source_policy", "advanced_settings", "previous_interaction_id", "memory_scope_key")
        identity = {name: value for name in names if (value := getattr(self, name)) is not None}
        if self.mcp_servers:
            identity["mcp_servers"] = [
                {name: value for name, value in server.items() if name != "headers"} for server in self.mcp_servers
            ]
        return identity


@dataclass(frozen=True, slots=True)
class Job:
    """What, besides the input, decides an answer; its hash is part of every key.

    Attributes
    ----------
    identity : mapping
        Schema, input schema, processor and options in normal form, JSON-safe and free of secrets.
    hash : str
        32 hexadecimal digits over `identity`.
    spec : mapping
        The task spec as it is sent (published dialect): output schema and perhaps input schema.
    """

    identity: Mapping[str, Json]
    hash: str
    processor: str
    spec: Mapping[str, Json]
    options: Options


@dataclass(frozen=True, slots=True)
class Plan:
    """The rows of one frame as distinct runs: everything that can be decided without the network.

    The four sequences run in parallel, one entry per distinct input, in order of first appearance.

    Attributes
    ----------
    keys : sequence of str
        32 hexadecimal digits each.
    inputs : sequence of bytes
        The JSON of each input as it is sent.
    positions : sequence of int
        The position of the first row with that input.
    labels : sequence of (str or None)
        That row's index label as text; None where it is too long for metadata.
    metadata : sequence of mapping, or None
        The user's own metadata of that row.
    row_runs : numpy.ndarray of int64
        For each row of the frame, its entry in the sequences above; `SKIPPED` for a row with nothing to send,
        `OUTSIDE` for one that this call does not ask about.
    sent : tuple of str
        The names the service sees.
    """

    job: Job
    keys: Sequence[str]
    inputs: Sequence[bytes]
    positions: Sequence[int]
    labels: Sequence[str | None]
    metadata: Sequence[Mapping[str, Json]] | None
    row_runs: RowRuns
    sent: tuple[str, ...]

    def metadata_of(self, entry: int, attempt: int) -> dict[str, Json]:
        """Return what a run says of itself: whose it is, and what the user adds."""
        metadata: dict[str, Json] = {
            "row": str(self.positions[entry]),
            "key": self.keys[entry],
            "attempt": str(attempt),
        }
        if (label := self.labels[entry]) is not None:
            metadata["index"] = label
        return metadata if self.metadata is None else {**self.metadata[entry], **metadata}

    @property
    def rows(self) -> int:
        """Rows of the frame."""
        return len(self.row_runs)

    @property
    def chosen(self) -> int:
        """Rows that this call asks about."""
        return int((self.row_runs != OUTSIDE).sum())

    @property
    def skipped(self) -> int:
        """Rows with nothing to send."""
        return int((self.row_runs == SKIPPED).sum())


@dataclass(slots=True)
class Receipt:
    """A run the service acknowledged: it is paid for, and it is ours.

    Not frozen, as outcomes and outgoing runs are not, because making a frozen one takes three times as long; they are
    never changed.
    """

    key: str
    attempt: int
    run_id: str
    group_id: str
    row: int = -1


@dataclass(frozen=True, slots=True)
class Intent:
    """A batch that may be about to be created: durable before its POST, gone once it is decided."""

    number: int
    group_id: str
    runs: tuple[RunId, ...]
    rows: tuple[int, ...]


@dataclass(slots=True)
class Outcome:
    """A finished run, good or bad. JSON texts are raw: nothing is interpreted before the merge.

    Attributes
    ----------
    status : str
        ``"completed"``, ``"failed"`` or ``"cancelled"``.
    output : str or None
        The JSON text of the answer's content; None unless completed.
    output_type : str or None
        ``"json"`` or ``"text"``; ``"lost"`` for a run that completed, and counts as failed because the service no
        longer holds its output. It is billed all the same.
    basis : str or None
        The JSON text of the evidence.
    error, warnings : str or None
        JSON texts.
    details : str or None
        JSON text of whatever else came with the output (MCP calls, the schema that "auto" chose).
    created_at, modified_at : str or None
        The service's ISO 8601 times.
    """

    key: str
    attempt: int
    run_id: str
    group_id: str
    status: str
    output: str | None = None
    output_type: str | None = None
    basis: str | None = None
    error: str | None = None
    warnings: str | None = None
    details: str | None = None
    created_at: str | None = None
    modified_at: str | None = None

    @property
    def id(self) -> RunId:
        """The identity of the run it is the outcome of."""
        return RunId(self.key, self.attempt)

    @property
    def is_billed(self) -> bool:
        """Whether the service bills the run: it completed, with or without an output that can still be had."""
        return self.status == "completed" or self.output_type == LOST


@dataclass(frozen=True, slots=True)
class GroupStatus:
    """Counts of a group's runs by status, ``queued`` being what the seed calls pending."""

    group_id: str
    runs: int
    counts: Mapping[str, int]
    is_active: bool
    metadata: Mapping[str, Json] = field(default_factory=dict)
    processor: str | None = None  # of every run in it, which only the seed's groups have


@dataclass(slots=True)
class RunEvent:
    """One run as the service describes it: in an event, in a listing, or as a single result; it is never changed."""

    run_id: str
    status: str
    event_id: str | None = None
    metadata: Mapping[str, Json] | None = None
    input: Json = None
    output: Json = None
    error: Json = None
    warnings: Json = None
    created_at: str | None = None
    modified_at: str | None = None
    raw: bytes | None = None  # its JSON, where the session was to keep it
    processor: str | None = None


@dataclass(frozen=True, slots=True)
class OtherEvent:
    """An event that is not about a run, kept for its cursor: progress, or a type newer than this library."""

    type: str
    event_id: str | None
    message: str | None = None


Event: TypeAlias = RunEvent | OtherEvent


@dataclass(frozen=True, slots=True)
class Accepted:
    """The batch was created and every id is known, in the order sent.

    ``run_cursor`` is where the group's list was before it; None where the service does not say, or at its beginning.
    """

    run_ids: Sequence[str]
    run_cursor: str | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """Proof that nothing was created: the service refused, or no byte left us.

    ``retry_after`` is in seconds, None where the service did not say; ``error`` is what to raise if it is final.
    """

    status: int | None
    error: ParallelFramesError
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class Ambiguous:
    """It cannot be known from this answer whether the batch was created."""

    reason: str


Posted: TypeAlias = Accepted | Refused | Ambiguous


@dataclass(slots=True)
class OutgoingRun:
    """One run that is to be sent.

    Attributes
    ----------
    input : bytes
        The JSON of the input as it is sent.
    metadata : mapping
        What the run says of itself: whose it is, and what the user adds.
    row : int
        The first row with this input.
    rows : int
        How many rows share it.
    """

    input: bytes
    metadata: Mapping[str, Json]
    id: RunId = RunId("", 0)  # noqa: RUF009 - a tuple cannot change
    row: int = -1
    rows: int = 1

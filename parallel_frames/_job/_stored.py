"""What the outcomes of a job say of its runs, and the report on a job that only its checkpoint tells of.

A checkpoint knows no rows, only which inputs were sent, as hashes: its report has a line for each distinct input, under
the number of the first row that had it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import orjson
import pandas as pd

from parallel_frames._checkpoint import (
    forms_of,
    read_answers,
    read_header,
    read_outcomes,
    read_patiently,
    read_receipts,
    recall_folder,
)
from parallel_frames._columns import Unanswered, make_layout, merge_outcomes
from parallel_frames._prices import price_of
from parallel_frames._schema import parse_schema
from parallel_frames._service import Client
from parallel_frames._state import Answers, MemoryIndex
from parallel_frames._ui import Report, RunFacts, make_report
from parallel_frames.errors import CheckpointCorruptError, SchemaError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from parallel_frames._checkpoint import StoragePath
    from parallel_frames._columns import Layout
    from parallel_frames._model import Outcome, Schema

TOOL_CALL: Final = "tool_call"


def times_of(answers: Answers) -> list[tuple[str | None, str | None, str]]:
    """Return when each ended run began and ended, and its status."""
    completed = [
        (began, ended, "completed")
        for _, (began_at, ended_at) in answers.completed("created_at", "modified_at")
        for began, ended in zip(began_at, ended_at, strict=True)
    ]
    others = answers.others().values()
    return completed + [(outcome.created_at, outcome.modified_at, outcome.status) for outcome in others]


class RunWarning(NamedTuple):
    """What the service warned of; its kind is the service's type, or `TOOL_CALL` for one that failed."""

    kind: str
    message: str
    detail: str | None


class ToolCall(NamedTuple):
    """A call of an MCP tool; the error is None where it did not fail."""

    server: str | None
    tool: str | None
    arguments: str | None
    content: str | None
    error: str | None

    @property
    def name(self) -> str:
        """The tool and its server, as a person writes them."""
        return ".".join(filter(None, (self.server, self.tool))) or "a tool without a name"


def warnings_of(answers: Answers) -> Counter[str]:
    """Return what the service warned of, and for how many runs; calls of tools that failed are among it."""
    found: Counter[str] = Counter()
    pieces = (zip(*columns, strict=True) for _, columns in answers.completed("warnings", "details"))
    others = [(outcome.warnings, outcome.details) for outcome in answers.others().values()]
    for piece in chain(pieces, [others]):
        for texts, runs in Counter(piece).items():
            for message in dict.fromkeys(warning.message for warning in read_warnings(*texts)):
                found[message] += runs
    return found


def tool_calls_of(answers: Answers) -> Counter[str]:
    """Return which MCP tools were called, and how often."""
    texts = (text for _, column in answers.completed("details") for text in column)
    return Counter(call.name for text in texts for call in read_tool_calls(text))


def read_warnings(warnings: str | None, details: str | None) -> list[RunWarning]:
    """Return the warnings of a run, in whatever form they are, and the calls of tools that failed."""
    found = []
    listed = _read_json(warnings)
    for warning in listed if isinstance(listed, list) else [listed]:
        parts = warning if isinstance(warning, dict) else {"message": warning}
        if message := _as_text(parts.get("message")):
            found.append(RunWarning(_as_text(parts.get("type")) or "warning", message, _as_text(parts.get("detail"))))
    failed = [call for call in read_tool_calls(details) if call.error]
    return found + [RunWarning(TOOL_CALL, f"{call.name} failed: {call.error}", call.arguments) for call in failed]


def read_tool_calls(details: str | None) -> list[ToolCall]:
    """Return the calls of MCP tools in what came with an output."""
    parts = _read_json(details) if details and "mcp_tool_calls" in details else None
    calls = parts.get("mcp_tool_calls") if isinstance(parts, dict) else None
    names = ("server_name", "tool_name", "arguments", "content", "error")
    return [
        ToolCall(*(_as_text(call.get(name)) for name in names))
        for call in (calls if isinstance(calls, list) else ())
        if isinstance(call, dict)
    ]


def _read_json(text: str | None) -> Any:
    try:
        return orjson.loads(text or "null")
    except orjson.JSONDecodeError:
        return None


def _as_text(value: Any) -> str | None:
    """Return a text as it is, anything else as JSON, and nothing for what is empty."""
    return (value if isinstance(value, str) else orjson.dumps(value).decode()) if value else None


@dataclass(frozen=True, slots=True)
class StoredJob:
    """A job as its folder holds it.

    Attributes
    ----------
    rows : dict of str to (int or None)
        The keys of its distinct inputs, and the first row of each, in the order of the rows.
    answers : Answers
        What is known of each of these.
    """

    folder: StoragePath
    header: Mapping[str, Any]
    schema: Schema
    index: MemoryIndex
    rows: dict[str, int | None]
    answers: Answers

    @property
    def is_simulated(self) -> bool:
        """Whether its answers are a simulator's."""
        return bool(self.header.get("simulated"))

    def frame(self, answers: Answers) -> tuple[pd.DataFrame, Layout]:
        """Return answers as a frame, with a line for each distinct input under the number of its first row."""
        empty = pd.DataFrame(index=pd.Index(list(self.rows.values()), name="row", dtype="Int64"))
        layout = make_layout(empty, self.schema, prefix="", status=True, if_exists="suffix", basis="columns")
        merged = merge_outcomes(
            empty,
            list(self.rows),
            np.arange(len(self.rows)),
            self.schema,
            answers=answers,
            unanswered=lambda _: Unanswered("pending", "under way, or not fetched yet"),
            layout=layout,
            dtype_backend="numpy_nullable",
        )
        return merged.frame, layout

    def answers_before(self) -> Answers:
        """Return the answer before the newest one of each input that was answered more than once."""
        attempts: dict[str, dict[int, Outcome]] = {}
        for outcomes in read_patiently(self._asked_again):
            for outcome in outcomes:
                attempts.setdefault(outcome.key, {})[outcome.attempt] = outcome
        ordered = ([known[at] for at in sorted(known)] for known in (attempts.get(key, {}) for key in self.rows))
        return Answers.of([known[-2] if len(known) > 1 else None for known in ordered])

    def _asked_again(self) -> list[list[Outcome]]:
        """Return the answers to what was asked more than once."""
        receipts = (receipt for part in read_receipts(self.folder) for receipt in part)
        again = {receipt.key for receipt in receipts if receipt.attempt}
        return list(read_answers(self.folder, of=lambda keys: keys & again))


def read_job(folder: StoragePath) -> StoredJob:
    """Read a job's folder, without changing it."""
    header = read_header(folder)
    if header is None:
        raise CheckpointCorruptError(f"{folder} holds no job with a header that can be read.", path=folder)
    schema = _schema_of(header, folder)
    index, rows = read_patiently(lambda: _recall(folder))
    answers = Answers(partial(read_outcomes, folder), index.answers()[:, :3])
    return StoredJob(folder, header, schema, index, rows, answers)


def report_of_job(folder: StoragePath) -> Report:
    """Return the report on a job's folder, without changing it."""
    job = read_job(folder)
    frame, layout = job.frame(job.answers)
    return make_report(
        frame,
        outputs=layout.outputs,
        status=layout.status,
        error=layout.error,
        asked=np.ones(len(frame), dtype=bool),
        facts=_facts(job),
    )


def _schema_of(header: Mapping[str, Any], folder: StoragePath) -> Schema:
    """Return the schema that a job's answers are judged by: the user's, in the order in which it was sent."""
    try:
        sent = parse_schema(header["spec"]["output_schema"])
    except SchemaError as error:
        raise CheckpointCorruptError(f"{folder} asks a question that cannot be read: {error}", path=folder) from error
    try:
        parsed = parse_schema(header["job"].get("schema"))
    except SchemaError:
        return sent
    columns = {column.name: column for column in parsed.columns}
    if parsed.form != sent.form or columns.keys() != {column.name for column in sent.columns}:
        return sent  # it says less of what an answer must be, and is enough to read one
    return replace(parsed, columns=tuple(columns[column.name] for column in sent.columns))


def _recall(folder: StoragePath) -> tuple[MemoryIndex, dict[str, int | None]]:
    """Return what is stored, and the inputs with the first row of each, in the order of the rows."""
    known = MemoryIndex()
    recall_folder(folder, known, repair=False)
    groups = [known.group_state(group_id) for group_id in known.groups]
    keys = {run.key for group in groups for run in (*group.statuses, *group.awaited)}
    rows: dict[str, int] = {}
    for receipts in read_receipts(folder):
        for receipt in receipts:
            rows.setdefault(receipt.key, receipt.row)
    ordered = sorted(keys, key=lambda key: (key not in rows, rows.get(key, 0), key))
    return recall_keys(folder, ordered), {key: rows.get(key) for key in ordered}


def recall_keys(folder: StoragePath, keys: Sequence[str]) -> MemoryIndex:
    """Return what a job's folder holds for these keys, each of them once, without changing it."""
    index = MemoryIndex()
    index.add_rows(0, keys, range(len(keys)))
    index.end_rows()
    recall_folder(folder, index, repair=False)
    return index


def _facts(stored: StoredJob) -> RunFacts:
    header, answers, status = stored.header, stored.answers, stored.index.status()
    job = header["job"]
    price = price_of(str(job.get("processor")), advanced_settings=job.get("advanced_settings"))
    client = Client.without_key()
    groups = tuple(header["groups"])
    return RunFacts(
        processor=price.processor,
        rows=None,
        runs=status.runs,
        sent=status.sent,
        cost=price.of(status.billed),
        extra_cost=price.extra,
        prices_as_of=price.as_of,
        group_ids=groups,
        url=client.url_of(groups[-1]) if groups and client.host == header["host"] else None,
        checkpoint=str(stored.folder),
        simulated=stored.is_simulated,
        times=times_of(answers),
        sends=tuple(forms_of(header)),
        warnings=warnings_of(answers),
        tool_calls=tool_calls_of(answers),
    )

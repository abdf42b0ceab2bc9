"""The attrs of an enriched frame: which columns an enrichment made, from which groups and checkpoint.

They are a description only: pandas loses them on joins, so nothing that was paid for depends on them. While they are
there, the same question about the same frame is known by them: its columns are its own, and what they came from is
looked at before anything is sent again.
"""

from __future__ import annotations

import re
from copy import deepcopy
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

import orjson

from parallel_frames._columns import (
    BASIS_COLUMN,
    ERROR_COLUMN,
    PROCESSOR_COLUMN,
    STATUS_COLUMN,
    error_label,
    evidence_of,
    name_of,
    provenance_names,
    status_of_provenance,
)
from parallel_frames._format import format_utc
from parallel_frames._inputs import Selection
from parallel_frames._model import STATUSES
from parallel_frames.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping, Sequence

    import pandas as pd

    from parallel_frames._columns import Layout
    from parallel_frames._job._prepare import PreparedCall
    from parallel_frames._model import Json

ATTRS: Final = "parallel"
REMEMBERED: Final = 10
NAMED_STATUS: Final = re.compile(r"_status(_\d+)?$")
MADE: Final = (STATUS_COLUMN, ERROR_COLUMN, PROCESSOR_COLUMN, BASIS_COLUMN, *provenance_names(STATUS_COLUMN))
ENRICHED: Final = re.compile(rf"({'|'.join(MADE)})(_\d+)?$")


@dataclass(frozen=True, slots=True)
class EarlierAnswers:
    """What a frame's attrs say of the enrichment that wrote some columns last.

    Attributes
    ----------
    job, inputs, host : str
        What was asked, what a row sent, and where to; the first two are hashes.
    group_ids : tuple of str
        The newest groups that its runs are in.
    escalated : mapping of str to (tuple of str)
        The groups of the jobs that asked further processors about its rows, by the hash of the job.
    sends : tuple of label
        The columns that its rows sent, where the call named none; empty where one of them is no longer there.
    until : str or None
        When the newest of the answers came that the columns hold, by the service's clock; None for not known.
    is_whole : bool
        Whether each of its rows had an answer.
    """

    job: str
    inputs: str
    host: str
    group_ids: tuple[str, ...]
    escalated: Mapping[str, tuple[str, ...]]
    sends: tuple[Hashable, ...]
    simulated: bool
    until: str | None
    is_whole: bool


@dataclass(frozen=True, slots=True)
class EnrichmentFacts:
    """What a frame's attrs say of one enrichment of it.

    Attributes
    ----------
    job : str
        The hash of what was asked.
    selection : Selection or None
        What a row sent, where the frame still has these columns.
    dedupe : bool
        Whether equal rows share a run.
    outputs : dict of str to label
        The column of each name of the schema, as far as the frame still has it.
    types : dict of str to mapping
        The JSON Schema of each of these names; empty where an earlier version wrote the attrs.
    escalated : tuple of str
        The hashes of the jobs at further processors.
    """

    job: str
    selection: Selection | None
    dedupe: bool
    checkpoint: str | None
    group_ids: tuple[str, ...]
    outputs: Mapping[str, Hashable]
    types: Mapping[str, Json]
    escalated: tuple[str, ...] = ()


def earlier_answers(df: pd.DataFrame, outputs: Sequence[Hashable]) -> EarlierAnswers | None:
    """Return what attrs say of these output columns; None where they do not, or the frame lacks one of the columns."""
    names = [_json_label(label) for label in outputs]
    entry = next((entry for entry in reversed(_entries(df)) if not set(names).isdisjoint(entry["columns"])), None)
    if entry is None or entry["columns"] != names or not set(outputs) <= set(df.columns):
        return None
    rows = entry.get("rows") or {}
    labels = {_json_label(label): label for label in df.columns}
    sends = [labels.get(str(name)) for name in entry.get("sends") or ()]
    escalated = {str(job): tuple(map(str, groups)) for job, groups in (entry.get("escalated") or {}).items()}
    return EarlierAnswers(
        str(entry.get("job")),
        str(entry.get("inputs")),
        str(entry.get("host")),
        # In a group of another processor there is no answer of this one, though the inputs are the same.
        tuple(name for name in map(str, entry.get("group_ids") or ()) if name not in chain(*escalated.values())),
        escalated,
        () if None in sends else tuple(sends),
        bool(entry.get("simulated")),
        entry.get("answered_until"),
        bool(rows) and set(rows) <= {"completed", "invalid"} and sum(rows.values()) >= len(df),
    )


def status_names(df: pd.DataFrame, outputs: Sequence[Hashable]) -> tuple[str | None, frozenset[str]]:
    """Return the name of the status column that goes with these outputs, and those that go with other outputs only.

    Where an enrichment made provenance and no status columns, it is the name that goes with those.
    """
    names = {_json_label(label): name_of(label) for label in df.columns}
    ours = {_json_label(label) for label in outputs}
    own, others = None, set[str]()
    for entry in _entries(df):
        name = names.get(str(entry.get("status")))
        if name is None and (run_id := names.get(str(entry.get("provenance")))) is not None:
            name = status_of_provenance(run_id)
        if name is not None and ours.isdisjoint(entry["columns"]):
            others.add(name)
        elif name is not None:
            own = name
    return own, frozenset(others - {own})


def _entries(df: pd.DataFrame) -> list[dict[str, Any]]:
    """Return what attrs tell of each enrichment, the oldest first."""
    attrs = df.attrs.get(ATTRS)
    entries = attrs.get("enrichments") if isinstance(attrs, dict) else None
    found = entries if isinstance(entries, list) else []
    return [entry for entry in found if isinstance(entry, dict) and isinstance(entry.get("columns"), list)]


def write_attrs(
    out: pd.DataFrame,
    df: pd.DataFrame,
    *,
    layout: Layout,
    facts: Mapping[str, Json],
    sends: Sequence[Hashable] = (),
) -> pd.DataFrame:
    """Write small, JSON-safe attrs into an enriched frame, after those that `df` had; return the frame."""
    before = df.attrs.get(ATTRS)
    before = deepcopy(before) if isinstance(before, dict) else {}
    simulated = facts["simulated"] or before.get("simulated", False)
    enrichment = {
        "at": format_utc(),
        **facts,
        "group_ids": facts["group_ids"][-REMEMBERED:],
        "columns": [_json_label(label) for label in layout.outputs],
        "sends": [_json_label(label) for label in sends],
        "status": None if layout.status is None else _json_label(layout.status),
        "provenance": _json_label(layout.provenance[0]) if layout.provenance else None,
        "simulated": simulated,
    }
    columns = [*before.get("made", []), *map(_json_label, layout.made)]
    others = []
    for entry in _entries(df):
        if (entry["columns"], entry.get("host")) == (enrichment["columns"], enrichment["host"]):
            # This call may have asked about some rows only.
            times = (enrichment["answered_until"], entry.get("answered_until"))
            enrichment["answered_until"] = max(filter(None, times), default=None)
        if _is_replaced(entry, enrichment):
            enrichment["provenance"] = enrichment["provenance"] or entry.get("provenance")
        else:
            others.append(entry)
    out.attrs = deepcopy(df.attrs)
    out.attrs[ATTRS] = {
        "simulated": simulated,
        "made": list(dict.fromkeys(map(str, columns))),
        "enrichments": [*deepcopy(others), enrichment][-REMEMBERED:],
    }
    return out


def _is_replaced(entry: Mapping[str, Any], newer: Mapping[str, Any]) -> bool:
    """Return whether an entry is of the same question and columns as a newer one, which has its groups as well."""
    same = all(entry.get(name) == newer[name] for name in ("job", "host", "columns", "status"))
    return same and set(entry.get("group_ids") or ()) <= set(newer["group_ids"])


def question_facts(prepared: PreparedCall) -> dict[str, Json]:
    """Return what attrs say of a question so that its rows and answers can be read again: what is sent, the types.

    Each is one text: pandas copies attrs deeply, at every step, and a file may have thousands of columns.
    """
    of = prepared.selection
    sent = {"form": of.form, "names": of.names, "labels": list(map(_json_label, of.labels)), "parts": of.parts}
    return {
        "selection": orjson.dumps(sent).decode(),
        "dedupe": prepared.call.dedupe,
        "types": orjson.dumps({column.name: column.node for column in prepared.schema.columns}).decode(),
    }


def enrichments(df: pd.DataFrame) -> list[EnrichmentFacts]:
    """Return what attrs say of each enrichment, the oldest first; nothing that they do not say whole."""
    labels = {_json_label(label): label for label in df.columns}
    return [_facts_of(entry, labels) for entry in _entries(df)]


def _facts_of(entry: Mapping[str, Any], labels: Mapping[str, Hashable]) -> EnrichmentFacts:
    types = entry.get("types")
    nodes = orjson.loads(types) if isinstance(types, str) else {}
    names = nodes or entry["columns"]  # an earlier version wrote no types
    outputs = {name: labels[label] for name, label in zip(names, entry["columns"], strict=False) if label in labels}
    return EnrichmentFacts(
        str(entry.get("job")), _selection_of(entry, labels), bool(entry.get("dedupe", True)), entry.get("checkpoint"),
        tuple(map(str, entry.get("group_ids") or ())), outputs, nodes, tuple(map(str, entry.get("escalated") or ())),
    )  # fmt: skip


def _selection_of(entry: Mapping[str, Any], labels: Mapping[str, Hashable]) -> Selection | None:
    """Return what a row sent; None where that is not known, or one of its columns is no longer there."""
    text = entry.get("selection")
    sent = orjson.loads(text) if isinstance(text, str) else {}
    if not sent or not set(sent["labels"]) <= labels.keys():
        return None
    return Selection(
        sent["form"], tuple(sent["names"]), tuple(labels[label] for label in sent["labels"]), tuple(sent["parts"])
    )


def made_columns(df: pd.DataFrame, layout: Layout) -> list[Hashable]:
    """Return the columns an enrichment made, which are not inputs by default.

    Where there are no others, the answers to other questions are not among them: to select them is to send them.
    """
    attrs = df.attrs.get(ATTRS)
    made = frozenset(attrs.get("made", [])) if isinstance(attrs, dict) else frozenset()
    evidence = {name for labels in evidence_of(df).values() for name in labels}
    signs = [label for label in df.columns if is_status(df, label) or name_of(label) in evidence]
    orphans = [label for label in signs if not _is_among(label, made)]
    if set(layout.outputs) <= set(df.columns):  # this enrichment's own columns are known by their names
        orphans = [label for label in orphans if label not in layout.made]
    if orphans:
        raise InputError(
            f"The frame has {orphans[0]!r}, which an enrichment made, but no longer records which other columns it "
            "made: concat, merge and CSV lose a frame's attrs. Nothing was sent. Name what to send with `inputs=...`, "
            "so that old answers are not sent, and paid for, as inputs."
        )
    found: list[Hashable] = [
        label for label in df.columns if label in layout.made or _is_among(label, made) or is_status(df, label)
    ]
    if len(found) < len(df.columns):
        return found
    answers = earlier_outputs(df, found)
    return [label for label in found if label in layout.made or label not in answers]


def earlier_outputs(df: pd.DataFrame, labels: Iterable[Hashable]) -> list[Hashable]:
    """Return those of these columns that hold the answers of an enrichment, as far as attrs say."""
    answers = frozenset(chain.from_iterable(entry["columns"] for entry in _entries(df)))
    return [label for label in labels if _is_among(label, answers)]


def _is_among(label: Hashable, made: frozenset[str]) -> bool:
    """Return whether attrs tell that an enrichment made a column: its label is a text, or a tuple of texts."""
    return isinstance(label, str | tuple) and _json_label(label) in made


def is_status(df: pd.DataFrame, label: Any) -> bool:
    """Return whether it is a column of status or provenance: by its usual name, or one of its own and what it holds."""
    name = str(label[0] if isinstance(label, tuple) and label else label)
    if ENRICHED.search(name) is not None:
        return True
    if NAMED_STATUS.search(name) is None or label != name or error_label(name) not in df.columns:
        return False
    cells = df.loc[:, [label]].iloc[:, 0].dropna()
    return len(cells) > 0 and bool(cells.isin(STATUSES).all())


def _json_label(label: object) -> str:
    """Return a label as attrs tell it; the number 1 is not the name "1"."""
    if isinstance(label, str):
        return label
    return repr(label) if isinstance(label, tuple) else f"<{type(label).__name__}> {label!r}"

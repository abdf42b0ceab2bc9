"""What became of the rows of an enrichment, as numbers: by status, by cause, by field, over time. No text, no HTML.

A handle knows its columns and its `RunFacts`. A mere frame is read by its status columns, and by its attrs where
they are still there: concat, merge and CSV lose them.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import pandas as pd

from parallel_frames._columns import CONFIDENCE, confidence, error_label
from parallel_frames._foreign import check_enriched
from parallel_frames._format import format_label
from parallel_frames._model import STATUSES
from parallel_frames._ui._values import index_name, label_text
from parallel_frames.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence
    from decimal import Decimal

EXAMPLES: Final = 3
LEVELS: Final = (*CONFIDENCE, "none")
WAITING: Final = "pending"
NOT_FAILED: Final = frozenset({"completed", "skipped", "not_sent", WAITING})
STATUS: Final = re.compile(r"parallel_status(_\d+)?$")
# What differs between messages of one cause, and what it is replaced by; a number that all of them have stays.
VALUES: Final = (
    (re.compile(r"\b(?:trun|tgrp)_\w+"), "…"),
    (re.compile(r'"[^"]*"|“[^”]*”'), "“…”"),
)
NUMBER: Final = re.compile(r"\d[\d.,]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """What the handle of an enrichment knows and its frame does not.

    Attributes
    ----------
    rows, runs : int
        Rows asked about, and their distinct inputs; `rows` is None where only inputs are known, as in a checkpoint.
    sent : int
        Runs sent for them so far, and paid.
    cost, before : decimal.Decimal or None
        US dollars of these, and what of it calls before this one paid; None where it is not known.
    costs : mapping of str to (float or None)
        The cost by processor.
    extra_cost : str
        What is billed on top, in words.
    prices_as_of : str
        The date of the price table.
    times : sequence of (str or None, str or None, str)
        When each finished run was created and when it ended, ISO 8601, and its status.
    sends : tuple of str
        The names that the service saw, in one text for each form of input.
    not_asked : int
        Rows of the frame that were not asked about.
    warnings : mapping of str to int
        What the service warned of, and for how many runs; failed calls of MCP tools are among it.
    tool_calls : mapping of str to int
        Which MCP tools were called, and how often.
    answered_by : mapping of str to int
        How many rows have the answer of each processor, where there are several.
    """

    processor: str
    rows: int | None
    runs: int
    sent: int
    cost: Decimal | None
    prices_as_of: str
    group_ids: tuple[str, ...]
    url: str | None
    checkpoint: str | None
    simulated: bool
    times: Sequence[tuple[str | None, str | None, str]] = ()
    sends: tuple[str, ...] = ()
    not_asked: int = 0
    extra_cost: str = ""
    before: Decimal | None = None
    costs: Mapping[str, float | None] = field(default_factory=dict)
    warnings: Mapping[str, int] = field(default_factory=dict)
    tool_calls: Mapping[str, int] = field(default_factory=dict)
    answered_by: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Failure:
    """Rows that went wrong for one reason: how many, and the first few of them, label and error."""

    cause: str
    rows: int
    examples: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One enrichment of a frame.

    Attributes
    ----------
    name : str
        The name of its status column.
    counts : dict of str to int
        Rows by status; empty without a status column.
    failures, waiting : tuple of Failure
        What went wrong, and what has no answer yet, by cause; the most frequent first.
    missing : dict of label to int
        For each output column the answered rows without a value.
    confidence : pandas.DataFrame
        One line per field with evidence: rows of ``low``, ``medium``, ``high`` confidence and those with ``none``.
    answered, unsure : int
        Rows with an answer, and those of them with a field of ``low`` confidence.
    attrs : mapping
        What the frame's attrs say of it.
    status, error : label or None
        Its columns of statuses and of reasons.
    index : str
        What the labels of the rows are of.
    """

    name: str = ""
    counts: dict[str, int] = field(default_factory=dict)
    failures: tuple[Failure, ...] = ()
    waiting: tuple[Failure, ...] = ()
    missing: dict[Hashable, int] = field(default_factory=dict)
    confidence: pd.DataFrame = field(default_factory=pd.DataFrame)
    answered: int = 0
    unsure: int = 0
    attrs: Mapping[str, Any] = field(default_factory=dict)
    facts: RunFacts | None = None
    outputs: tuple[Hashable, ...] = ()
    status: Hashable | None = None
    error: Hashable | None = None
    index: str = "index"

    @property
    def simulated(self) -> bool:
        """Whether its answers are a simulator's."""
        return bool(self.attrs.get("simulated")) or (self.facts is not None and self.facts.simulated)

    @property
    def unit(self) -> str:
        """What its numbers count: rows, or runs where no rows are known."""
        return "run" if self.facts is not None and self.facts.rows is None else "row"

    @property
    def warnings(self) -> tuple[tuple[str, int], ...]:
        """What the service warned of and for how many runs, the most frequent first."""
        found = {} if self.facts is None else self.facts.warnings
        return tuple(sorted(found.items(), key=lambda item: -item[1]))

    def fields(self) -> list[dict[str, Any]]:
        """Return a line per field: its name, rows without a value, and rows by confidence; None where not known.

        Rows by confidence are those with an answer, each once; those without a value are among them.
        """
        missing = {format_label(label): rows for label, rows in self.missing.items()}
        levels: dict[Any, dict[Any, Any]] = self.confidence.to_dict("index")
        unknown = dict.fromkeys(LEVELS)
        names = dict.fromkeys([*missing, *levels])
        return [{"name": name, "missing": missing.get(name), **levels.get(name, unknown)} for name in names]


def make_section(
    df: pd.DataFrame,
    *,
    name: str = "",
    outputs: tuple[Hashable, ...] = (),
    status: Hashable | None,
    error: Hashable | None,
    attrs: Mapping[str, Any] | None = None,
    facts: RunFacts | None = None,
) -> Section:
    """Return the numbers of one enrichment."""
    statuses = pd.Series(dtype=object) if status is None else df[status].astype(object)
    counted = Counter(statuses.dropna().tolist())
    has_reasons = status is not None and error is not None
    answered = np.ones(len(df), dtype=bool) if status is None else statuses.isin(["completed", "invalid"]).to_numpy()
    return Section(
        name=name,
        counts={known: counted[known] for known in STATUSES if counted.get(known)},
        failures=_group_causes(df[error][~statuses.isin(NOT_FAILED).to_numpy()]) if has_reasons else (),
        waiting=_group_causes(df[error][(statuses == WAITING).to_numpy()]) if has_reasons else (),
        missing={label: int((df[label].isna().to_numpy() & answered).sum()) for label in outputs},
        confidence=_count_confidence(df, outputs, answered),
        answered=int(answered.sum()),
        unsure=int((find_unsure(df, outputs) & answered).sum()),
        attrs=attrs or {},
        facts=facts,
        outputs=outputs,
        status=status,
        error=error,
        index=index_name(df.index),
    )


def _group_causes(errors: pd.Series[Any]) -> tuple[Failure, ...]:
    """Return rows by cause, the most frequent first: messages that differ only in values are one cause."""
    causes: dict[tuple[str, ...], list[tuple[str, str]]] = {}
    numbers: dict[tuple[str, ...], list[Sequence[str]]] = {}
    errors = errors.dropna()
    for label, message in zip(errors.index, errors.astype(str), strict=True):
        cause = message
        for pattern, replacement in VALUES:
            cause = pattern.sub(replacement, cause)
        key = tuple(NUMBER.split(cause))
        numbers.setdefault(key, []).append(NUMBER.findall(cause))
        causes.setdefault(key, []).append((label_text(label), message))
    ranked = sorted(causes.items(), key=lambda item: -len(item[1]))
    return tuple(
        Failure(_with_numbers(key, numbers[key]), len(rows), tuple(dict.fromkeys(rows))[:EXAMPLES])
        for key, rows in ranked
    )


def _with_numbers(texts: Sequence[str], numbers: Sequence[Sequence[str]]) -> str:
    """Return a cause between the numbers of its messages, of which those that differ are #."""
    found = [same[0] if len(set(same)) == 1 else "#" for same in zip(*numbers, strict=True)]
    return "".join(chain.from_iterable(zip_longest(texts, found, fillvalue="")))


def _confidences(df: pd.DataFrame, outputs: Sequence[Hashable] = ()) -> pd.DataFrame:
    """Return the confidence in each field of these outputs, or in all; no column where the frame holds no evidence."""
    try:
        levels = confidence(df)
    except InputError:
        return pd.DataFrame(index=df.index)
    names = {format_label(label) for label in outputs}
    return levels.iloc[:, [not names or format_label(label) in names for label in levels.columns]].astype(object)


def find_unsure(df: pd.DataFrame, outputs: Sequence[Hashable] = ()) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return which rows have a field of low confidence; of these outputs, if any are named."""
    return np.asarray((_confidences(df, outputs) == "low").any(axis=1), dtype=bool)


def _count_confidence(df: pd.DataFrame, outputs: Sequence[Hashable], answered: np.ndarray[Any, Any]) -> pd.DataFrame:
    """Return how many answered rows of each field have which confidence."""
    levels, lines = _confidences(df, outputs), {}
    for position, label in enumerate(levels.columns):
        found = levels.iloc[:, position][answered].value_counts()
        known = [int(found.get(level, 0)) for level in CONFIDENCE]
        lines[format_label(label)] = [*known, int(answered.sum()) - sum(known)]
    return pd.DataFrame.from_dict(lines, orient="index", columns=list(LEVELS))


# Sections of a mere frame


def find_sections(df: pd.DataFrame) -> list[Section]:
    """Return a section for each enrichment that left a status column, or attrs and output columns."""
    check_enriched(df)
    parallel = df.attrs.get("parallel")
    enrichments: list[dict[str, Any]] = parallel.get("enrichments", []) if isinstance(parallel, dict) else []
    columns: Counter[Hashable] = Counter(df.columns)
    # A status column that was overwritten is named by several entries; the last one made what it holds now.
    newest = {str(attrs["status"]): attrs for attrs in enrichments if attrs.get("status") is not None}
    statuses = {
        label: name
        for label in columns
        if STATUS.search(name := _top_level(label)) is not None or _attrs_name(label) in newest
    }
    for label in statuses:
        if columns[label] != 1:
            raise InputError(
                f"The frame has {columns[label]} columns named {label!r}, and a report cannot know which one is meant. "
                "`df.loc[:, ~df.columns.duplicated()]` keeps the first of each name."
            )
    sections = [
        _section_of_status(df, columns, label, newest.get(_attrs_name(label), {}), names=[*statuses.values()])
        for label in statuses
    ]
    shown = {label for section in sections for label in section.outputs}
    labels, others = set(map(_attrs_name, columns)), list[Section]()
    for attrs in reversed(enrichments):  # the last one made what a column holds now
        outputs = tuple(label for label in _outputs_in_attrs(columns, attrs) if label not in shown)
        if attrs.get("status") not in labels and outputs:
            others.append(make_section(df, outputs=outputs, status=None, error=None, attrs=attrs))
            shown.update(outputs)
    sections.extend(reversed(others))
    if not sections:
        raise InputError(
            "The frame holds nothing of an enrichment: it has no status columns, and no column that its attrs name. "
            "`pf.last().report()` reports on the last enrichment of this process."
        )
    return sections


def _section_of_status(
    df: pd.DataFrame, columns: Mapping[Hashable, int], label: Any, attrs: Mapping[str, Any], *, names: Sequence[str]
) -> Section:
    name = _top_level(label)
    error: Any = error_label(name)
    error = (error, *label[1:]) if isinstance(label, tuple) else error
    return make_section(
        df,
        name=name,
        outputs=_outputs_in_attrs(columns, attrs) or _outputs_with_evidence(df, columns, name, statuses=names),
        status=label,
        error=error if error in columns else None,
        attrs=attrs,
    )


def _top_level(label: Any) -> str:
    return str(label[0] if isinstance(label, tuple) and label else label)


def _attrs_name(label: object) -> str:
    """Return a label as attrs hold it: they are JSON, which has no tuples."""
    return label if isinstance(label, str) else repr(label)


def _outputs_in_attrs(columns: Mapping[Hashable, int], attrs: Mapping[str, Any]) -> tuple[Hashable, ...]:
    """Return the output columns that the attrs name, as far as the frame still has them."""
    names = set(map(str, attrs.get("columns", [])))
    return tuple(label for label, times in columns.items() if times == 1 and _attrs_name(label) in names)


def _outputs_with_evidence(
    df: pd.DataFrame, columns: Mapping[Hashable, int], status: str, *, statuses: Sequence[str]
) -> tuple[Hashable, ...]:
    """Return the columns with evidence that have the prefix and the number of this status column."""
    fields = set(_confidences(df).columns)

    def is_ours(field: str) -> bool:
        affixes = {name: name.partition("parallel_status") for name in statuses}
        fitting = [name for name, (start, _, end) in affixes.items() if field.startswith(start) and field.endswith(end)]
        return max(fitting, key=len, default=None) == status

    names = {label: format_label(label) for label, times in columns.items() if times == 1}
    return tuple(label for label, name in names.items() if name in fields and is_ours(name))


# Time


class Curve(NamedTuple):
    """How many runs there were at which second: it begins with none and lasts until the end of the timeline."""

    name: str
    seconds: np.ndarray[Any, np.dtype[np.float64]]
    total: np.ndarray[Any, np.dtype[np.int64]]


class Timeline(NamedTuple):
    """When runs were sent, finished and failed."""

    start: pd.Timestamp
    length: float
    curves: list[Curve]


def make_timeline(times: Sequence[tuple[str | None, str | None, str]]) -> Timeline | None:
    """Return the timeline of runs that were created and ended; None where nothing of it is known."""
    table = pd.DataFrame(times, columns=["created", "ended", "status"])
    created = pd.to_datetime(table["created"], utc=True, errors="coerce", format="ISO8601")
    ended = pd.to_datetime(table["ended"], utc=True, errors="coerce", format="ISO8601")
    if created.notna().sum() == 0 or ended.notna().sum() == 0:
        return None
    # The service's clock, not ours: a resumed run may have been sent by another machine days ago.
    moments = {"sent": created, "finished": ended, "failed": ended[table["status"] != "completed"]}
    if moments["failed"].notna().sum() == 0:
        del moments["failed"]
    start = created.min()
    seconds = {
        name: np.sort((column.dropna() - start).dt.total_seconds().to_numpy(dtype=float))
        for name, column in moments.items()
    }
    length = max(float(offsets[-1]) for offsets in seconds.values())
    curves = [
        Curve(name, np.concatenate([[0.0], offsets, [length]]), np.append(np.arange(len(offsets) + 1), len(offsets)))
        for name, offsets in seconds.items()
    ]
    return Timeline(start, length, curves)

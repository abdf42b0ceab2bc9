"""Runs and their answers become columns of the frame: by position, through keys, never by label or order of arrival.

Owns the judgement of an answer (its shape, its fields, the user's own model), which cells an answer replaces, and the
status and error of each row. Which outcome counts for a key is the ledger's decision. Everything here is pure: the
input frame is never changed, and the result is a new frame around the same cells.
"""

from __future__ import annotations

import warnings
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeAlias

import numpy as np
import orjson
import pandas as pd

from parallel_frames._columns._cells import equal_cells, keep_old, take
from parallel_frames._columns._evidence import AnswerPlacement, place_evidence
from parallel_frames._columns._layout import ERROR_COLUMN
from parallel_frames._columns._typed import ABSENT, NO_ANSWER, PANDAS_3, convert_values, dtype_of, typed_column
from parallel_frames._model import OUTSIDE, STATUSES, Column
from parallel_frames._runtime import gc_paused
from parallel_frames._schema import compile_model_check, shown
from parallel_frames._state import Answers, utc_time
from parallel_frames.errors import CheckpointCorruptError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence

    from parallel_frames._columns._layout import Layout
    from parallel_frames._model import Json, Outcome, RowRuns, Schema

    Convert: TypeAlias = Callable[[Column, Sequence[Json]], tuple[Sequence[Any] | pd.Series[Any], dict[int, str]]]
    Codes: TypeAlias = np.ndarray[Any, np.dtype[np.int8]]
    Mask: TypeAlias = np.ndarray[Any, np.dtype[np.bool_]]
    Positions: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]

ERROR: Final = Column(ERROR_COLUMN, "string", {"type": "string"}, nullable=True)
MAX_ERROR: Final = 2000
CODES: Final[Mapping[str, int]] = {status: code for code, status in enumerate(STATUSES)}
UNASKED: Final = (CODES["not_sent"], CODES["skipped"])


@dataclass(frozen=True, slots=True)
class Merged:
    """The enriched frame, the rows that were asked about by status, and the cells by column that are not the answers.

    These are counted where a frame has the answers of this question already.
    """

    frame: pd.DataFrame
    counts: Mapping[str, int]
    kept: Mapping[Hashable, int] = field(default_factory=dict)


class Renewal(NamedTuple):
    """Which answers replace those that a frame has of this very question; every other value in a cell is kept.

    A value may be the user's own. An answer replaces it that came after those of the frame, and for a row that had an
    answer: because this call asks again, or because the row sends something else since.

    Attributes
    ----------
    refresh, by_age : bool
        Whether this call asks again about each row, or about those whose answer is old.
    since : str or None
        When the newest answer that the frame has came; None for not known.
    processor : str
        Who answered, where the frame has no column of processors.
    was_whole : bool
        Whether each row had an answer, which the frame's column of statuses may not say.
    """

    refresh: bool
    by_age: bool
    since: str | None
    processor: str
    was_whole: bool


def merge_outcomes(
    df: pd.DataFrame,
    keys: Sequence[str],
    row_runs: RowRuns,
    schema: Schema,
    *,
    answers: Answers,
    unanswered: Callable[[str], Unanswered],
    layout: Layout,
    dtype_backend: Literal["numpy_nullable", "pyarrow"],
    unsettled: Collection[str] = (),
    processors: Sequence[str] = (),
    renewal: Renewal | None = None,
) -> Merged:
    """Return the frame with its new columns.

    `keys`, `answers` and `processors` (where there is a column of them) have one entry for each distinct run;
    `row_runs` has the number of each row's run, `SKIPPED` or `OUTSIDE` for a row without one. `unanswered` returns what
    a run without an outcome is, by its key. Runs in `unsettled` have an outcome that another one is to replace: they
    count as unanswered, and their values are shown. `renewal` is there where the frame has the answers of this very
    question.
    """
    # A user's own model may leave cyclic garbage behind.
    with nullcontext() if schema.model is not None else gc_paused():
        judged = read_answers(answers, schema, convert=partial(typed_column, dtype_backend=dtype_backend))
    # -1 and below (a row without a run) take the last one, -1: no answer
    per_row = np.append(judged.position, -1)[np.maximum(row_runs, -1)]
    is_invalid, existing = judged.is_invalid, set(df.columns)
    arrays: dict[Hashable, Any] = {}
    replaced: list[Mask] = []
    kept: dict[Hashable, int] = {}
    renewed = None if renewal is None else _renewed_rows(df, row_runs, answers, processors, renewal, layout=layout)
    for label, column, broken in zip(layout.outputs, judged.columns, judged.broken, strict=True):
        cells, new = take(column, per_row), ~_mask(judged.size, broken, missing=True)[per_row]
        if label in existing:  # only a completed outcome replaces a value
            may_replace = ~is_invalid[per_row] & (not layout.fill if renewed is None else renewed)
            replaces = new & (df[label].isna().to_numpy(bool) | may_replace)
            if renewed is not None:
                is_answer = equal_cells(df[label], cells, where=new & ~replaces)
                kept[label] = int((new & ~replaces & ~is_answer & ~np.asarray(pd.isna(cells), dtype=bool)).sum())
                replaces |= is_answer  # its evidence is the cell's
            new = replaces
            cells = keep_old(df[label], cells, where=new)
        arrays[label] = cells
        replaced.append(new)
    if layout.evidence or layout.basis is not None:
        placement = AnswerPlacement(df, schema, layout, per_row, replaced)
        arrays |= place_evidence(placement, lambda: _bases(answers, judged), dtype_backend=dtype_backend)
    others = answers.others()
    codes, reasons = _run_statuses(keys, judged, others, unanswered=unanswered, unsettled=unsettled)
    statuses, is_old = _row_statuses(df, row_runs, codes, layout=layout)
    if layout.status is not None:
        arrays[layout.status] = pd.Categorical.from_codes(statuses, categories=pd.Index(STATUSES))
    if layout.error is not None:
        errors = _row_errors(df, row_runs, _run_errors(judged, others, reasons), is_old, layout=layout)
        arrays[layout.error] = pd.array(errors, dtype=dtype_of(ERROR, dtype_backend))
    if layout.processor is not None:
        names = _row_processors(df, row_runs, processors, np.any(replaced, axis=0), layout=layout)
        arrays[layout.processor] = pd.array(names, dtype=dtype_of(ERROR, dtype_backend))
    counts = np.bincount(statuses[row_runs != OUTSIDE], minlength=len(STATUSES)).tolist()
    frame = _assign(df, {label: arrays[label] for label in layout.all})
    return Merged(frame, {status: rows for status, rows in zip(STATUSES, counts, strict=True) if rows}, kept)


def _renewed_rows(
    df: pd.DataFrame,
    row_runs: RowRuns,
    answers: Answers,
    processors: Sequence[str],
    renewal: Renewal,
    *,
    layout: Layout,
) -> Mask:
    """Return the rows whose answer is another one than their cells held."""
    is_new, is_first = np.zeros(len(answers) + 2, dtype=bool), np.zeros(len(answers) + 2, dtype=bool)
    for runs, (times, attempts) in answers.completed("modified_at", "attempt"):
        if renewal.since is None:
            is_new[runs] = renewal.refresh or renewal.by_age
        else:
            is_new[runs] = [(utc_time(text) or ("" if not renewal.refresh else "~")) > renewal.since for text in times]
        is_first[runs] = np.array(attempts) == 0
    if renewal.refresh:
        return is_new[row_runs]
    before = np.full(len(df), renewal.processor, dtype=object)
    waiting = []
    if layout.processor in df.columns:
        before = df[layout.processor].astype(object).where(df[layout.processor].notna(), None).to_numpy()
        waiting = ["pending", "not_sent"]  # perhaps for a better answer than the one whose processor is named
    is_named = np.asarray(pd.notna(before))
    had_answer = np.full(len(df), renewal.by_age or renewal.was_whole)
    if layout.status in df.columns:
        status = df[layout.status].astype(object)
        had_answer = (status.isin(["completed", "invalid"]) | (status.isin(waiting) & is_named)).to_numpy(bool)
    renewed = is_new[row_runs] & (renewal.by_age | is_first[row_runs])
    if layout.processor is not None and len(processors):
        renewed |= is_named & (np.array([*processors, None, None], dtype=object)[row_runs] != before)
    return had_answer & renewed


class Unanswered(NamedTuple):
    """What a run without an outcome is, and why."""

    status: Literal["pending", "not_sent"]
    reason: str


class Judged(NamedTuple):
    """The status of one outcome, the values of the schema's columns, and what is wrong."""

    status: str
    values: dict[str, Any]
    error: str | None


def judge_answers(outcomes: Sequence[Outcome], schema: Schema) -> list[Judged]:
    """Return for each outcome what the frame will show for it, in Python values."""
    judged = read_answers(Answers.of(outcomes), schema, convert=partial(convert_values, dtype_backend="numpy_nullable"))
    rows = []
    for outcome, at in zip(outcomes, judged.position.tolist(), strict=True):
        values = {
            column.name: None if at < 0 or at in broken else cells[at]
            for column, cells, broken in zip(schema.columns, judged.columns, judged.broken, strict=True)
        }
        if problems := judged.problems.get(at):
            rows.append(Judged("invalid", values, "; ".join(problems)))
        else:
            rows.append(Judged(outcome.status, values, _error_of(outcome)))
    return rows


# Judging answers


@dataclass(slots=True)
class _Slice:
    """Some answers, judged."""

    size: int
    problems: dict[int, list[str]] = field(default_factory=dict)  # by position of the answer, where there are any
    columns: list[Any] = field(default_factory=list)  # the cells of each, missing where an answer is broken
    broken: list[set[int]] = field(default_factory=list)  # for each column the answers that have no cell in it


@dataclass(slots=True)
class JudgedAnswers(_Slice):
    """All answers, judged."""

    position: Positions = field(kw_only=True)  # of each run's answer, or -1
    is_completed: Mask = field(kw_only=True)  # whether each run completed

    @property
    def is_invalid(self) -> Mask:
        """Whether an answer has a problem; the last one, at -1, is no answer and has none."""
        return _mask(self.size, self.problems, missing=False)


def _mask(size: int, positions: Sequence[int] | set[int] | Mapping[int, Any], *, missing: bool) -> Mask:
    """Return a mask that is set at these positions, with one more entry, at -1, for where there is no answer."""
    mask = np.zeros(size + 1, dtype=bool)
    mask[list(positions)] = True
    mask[-1] = missing
    return mask


def read_answers(answers: Answers, schema: Schema, *, convert: Convert) -> JudgedAnswers:
    """Parse and judge answers, a slice at a time, so that few of them at once are Python objects."""
    whole = JudgedAnswers(
        0,
        broken=[set() for _ in schema.columns],
        position=np.full(len(answers), -1),
        is_completed=np.zeros(len(answers), bool),
    )
    slices: list[list[Any]] = []  # the cells of each slice by column
    for runs, texts in answers.completed("output"):
        part = _judge_slice(_parse(texts), schema, convert=convert)
        whole.is_completed[runs] = True
        whole.position[runs] = np.arange(whole.size, whole.size + part.size)
        whole.problems |= {at + whole.size: problems for at, problems in part.problems.items()}
        for broken, more in zip(whole.broken, part.broken, strict=True):
            broken.update(at + whole.size for at in more)
        whole.size += part.size
        slices.append(part.columns)
    slices = slices or [_judge_slice([], schema, convert=convert).columns]
    for number in range(len(schema.columns)):
        whole.columns.append(_joined([columns[number] for columns in slices]))
        for columns in slices:
            columns[number] = None  # so that one column at a time is in memory twice
    return whole


def _parse(texts: Sequence[str | None]) -> list[Json]:
    try:
        return [orjson.loads(text or "") for text in texts]
    except orjson.JSONDecodeError:
        raise CheckpointCorruptError(
            "A stored answer is not JSON. Run the same again: it is fetched from the service, for free."
        ) from None


def _joined(parts: Sequence[Any]) -> Any:
    if len(parts) == 1:
        return parts[0]
    return pd.concat(parts, ignore_index=True) if isinstance(parts[0], pd.Series) else list(chain(*parts))


def _judge_slice(contents: list[Json], schema: Schema, *, convert: Convert) -> _Slice:
    part = _Slice(len(contents))
    not_objects: set[int] = set()
    if schema.form == "json" and not {dict}.issuperset(map(type, contents)):
        not_objects = {at for at, content in enumerate(contents) if not isinstance(content, dict)}
    for at in not_objects:
        part.problems[at] = [f"the answer: expected an object, got {shown(contents[at])}"]
    for column in schema.columns:
        cells, problems = convert(column, _values(contents, column.name, form=schema.form))
        for at, problem in problems.items():
            part.problems.setdefault(at, []).append(f"{column.name}: {problem}")
        part.columns.append(cells)
        part.broken.append(not_objects.union(problems))
    if schema.model is not None and contents:
        _apply_model(part, contents, schema, convert=convert)
    return part


def _values(contents: Sequence[Json], name: str, *, form: str) -> list[Json]:
    if form != "json":
        return list(contents)
    try:
        return [content.get(name, ABSENT) for content in contents]
    except AttributeError:  # not all of them are objects
        return [content.get(name, ABSENT) if isinstance(content, dict) else NO_ANSWER for content in contents]


def _apply_model(part: _Slice, contents: list[Json], schema: Schema, *, convert: Convert) -> None:
    """Have the user's own model check the answers that fit the schema, and use the values its validators return."""
    check = compile_model_check(schema.model)
    changed: set[str] = set()
    refused: dict[str, set[int]] = {column.name: set() for column in schema.columns}
    for at, content in enumerate(contents):
        if at in part.problems:
            continue
        verdict = check(content)
        changed |= {name for name in verdict.content if verdict.content[name] != content.get(name)}
        contents[at] = verdict.content
        problems = [f"{name}: {problem}" for name, problem in verdict.problems.items()]
        if verdict.whole:
            problems.append(verdict.whole)
        if problems:
            part.problems[at] = problems
        for name in refused.keys() & verdict.problems.keys():
            refused[name].add(at)
    for number, column in enumerate(schema.columns):
        if column.name not in changed and not refused[column.name]:
            continue
        values = _values(contents, column.name, form=schema.form)
        for at in refused[column.name] | part.broken[number]:
            values[at] = NO_ANSWER
        part.columns[number], misfits = convert(column, values)
        for at, problem in misfits.items():
            text = f"{column.name}: the model's own validator returned a value that does not fit: {problem}"
            part.problems.setdefault(at, []).append(text)
        part.broken[number] |= refused[column.name] | misfits.keys()


def _bases(answers: Answers, judged: JudgedAnswers) -> Iterator[str | None]:
    """Yield the raw basis of each answer, in the order of the answers."""
    for runs, bases in answers.completed("basis"):
        for at, basis in zip(judged.position[runs].tolist(), bases, strict=True):
            if at >= 0:
                yield basis


# Status and error


def _run_statuses(
    keys: Sequence[str],
    judged: JudgedAnswers,
    others: Mapping[int, Outcome],
    *,
    unanswered: Callable[[str], Unanswered],
    unsettled: Collection[str],
) -> tuple[Codes, dict[int, str]]:
    """Return the status of each run as its position in `STATUSES`, and why runs have no outcome."""
    codes = np.where(judged.is_completed, CODES["completed"], -1).astype(np.int8)
    codes[judged.is_invalid[judged.position]] = CODES["invalid"]
    for run, outcome in others.items():
        codes[run] = CODES[outcome.status]
    if unsettled:
        codes[[run for run, key in enumerate(keys) if key in unsettled]] = -1
    reasons: dict[int, str] = {}
    for run in np.flatnonzero(codes < 0).tolist():
        status, reasons[run] = unanswered(keys[run])
        codes[run] = CODES[status]
    return codes, reasons


def _row_statuses(df: pd.DataFrame, row_runs: RowRuns, runs: Codes, *, layout: Layout) -> tuple[Codes, Mask]:
    """Return the status of each row, and whether it is an earlier one: a row that was not asked about keeps its own."""
    # -2 is a row outside `where`, -1 one with nothing to send
    now = np.append(runs, np.array(UNASKED, dtype=np.int8))[row_runs]
    if layout.status is None or layout.status not in df.columns:
        return now, row_runs == OUTSIDE
    old = [CODES.get(word, -1) if isinstance(word, str) else -1 for word in df[layout.status].astype(object)]
    before = np.array(old, dtype=np.int8)
    is_old = np.isin(now, UNASKED) & (before >= 0)
    return np.where(is_old, before, now), is_old


def _run_errors(judged: JudgedAnswers, others: Mapping[int, Outcome], reasons: Mapping[int, str]) -> list[str | None]:
    """Return the error of each run, and two more: those of a row without a run."""
    errors: list[str | None] = [None] * (len(judged.position) + 2)
    for run in np.flatnonzero(judged.is_invalid[judged.position]).tolist():
        errors[run] = "; ".join(judged.problems[judged.position[run]])
    for run, outcome in others.items():
        errors[run] = _error_of(outcome)
    for run, reason in reasons.items():
        errors[run] = reason
    return errors


def _row_errors(
    df: pd.DataFrame, row_runs: RowRuns, errors: Sequence[str | None], is_old: Mask, *, layout: Layout
) -> list[Any]:
    """Return the error of each row; a row that kept its status keeps its error."""
    texts: list[Any] = [errors[run] for run in row_runs.tolist()]
    if layout.error in df.columns and is_old.any():
        before = _or_none(df[layout.error])
        for row in np.flatnonzero(is_old).tolist():
            texts[row] = before.iat[row]
    return texts


def _row_processors(
    df: pd.DataFrame, row_runs: RowRuns, processors: Sequence[str], is_answered: Mask, *, layout: Layout
) -> list[Any]:
    """Return which processor answered each row; a row without a new value keeps what it had."""
    cells = np.array([*processors, None, None], dtype=object)[row_runs]
    before: Any = _or_none(df[layout.processor]) if layout.processor in df.columns else None
    return list(np.where(is_answered, cells, before))


def _or_none(column: pd.Series[Any]) -> pd.Series[Any]:
    return column.astype(object).where(column.notna(), None)


def _error_of(outcome: Outcome) -> str | None:
    """Return why a run has no answer; None if it has one."""
    if outcome.status == "completed":
        return None
    try:
        error = orjson.loads(outcome.error or "null")
    except orjson.JSONDecodeError:
        error = outcome.error
    if isinstance(error, dict):
        error = error.get("message") or outcome.error
    return str(error)[:MAX_ERROR] if error else f"the run was {outcome.status} without a reason (run {outcome.run_id})"


def _assign(df: pd.DataFrame, arrays: Mapping[Hashable, Any]) -> pd.DataFrame:
    out = df.copy(deep=not PANDAS_3)  # pandas 3 copies on write
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pd.errors.PerformanceWarning)  # a wide schema is nothing to warn about
        for label, array in arrays.items():
            # A bare array of objects would get another dtype if all of them were texts.
            out[label] = pd.Series(array, index=df.index, dtype=object) if array.dtype == object else array
    return out

"""`Comparison`: what several processors answered for the same rows, as numbers: how often the same, how often right.

It knows answers and known values, and nothing of how they were asked for. Equal inputs share an answer, and each of
their rows counts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import product
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import orjson
import pandas as pd

from parallel_frames._columns import CONFIDENCE, CONFIDENCE_DTYPE, Judged, evidence_columns, judge_answers, read_basis
from parallel_frames._job._normal_form import is_same, normal_form
from parallel_frames._job._stored import times_of
from parallel_frames._model import STATUSES
from parallel_frames._state import Answers

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from parallel_frames._columns import Unanswered
    from parallel_frames._model import Column, Outcome, Schema
    from parallel_frames._prices import Price

    Flags = np.ndarray[Any, np.dtype[np.bool_]]
    Objects = np.ndarray[Any, np.dtype[np.object_]]

UNKNOWN: Final = object()  # a known value that is not known after all


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Comparison:
    """What several processors answered for the same rows; `parallel_frames.compare` makes it.

    A share is of rows, between 0 and 1, and missing where there is nothing to share. Values count as the same where
    they differ only in what `compare` says does not matter.

    Attributes
    ----------
    frame : pandas.DataFrame
        One line for each field and processor. ``rows`` were compared; ``answered`` of them have an answer in this
        field, and in ``null`` of these it is null. ``agreement`` is the share with the same answer as `reference`, of
        the rows that both answered. Of the ``known`` rows, whose value is known, ``right`` have it, and ``accuracy`` is
        their share: a row without an answer is not right. ``seconds`` is what a run takes, the median;
        ``cost_per_row`` and ``cost_per_right`` are US dollars for a row, and for a right answer in this field.
    processors : pandas.DataFrame
        One line for each processor: rows by status, ``agreement`` and ``accuracy`` over all fields, ``seconds``, and US
        dollars: ``cost`` of its runs, ``cost_per_row``, ``cost_per_right`` answer.
    agreement : pandas.DataFrame
        For each field and processor (the index) the share of rows on which each processor (the columns) has the same
        answer, of the rows that both answered.
    calibration : pandas.DataFrame
        How far confidence can be trusted: for each field, processor and ``confidence`` the ``rows`` and the ``share``
        of them that is right. Where no value of the field is known it is the share with the same answer as
        `reference`; ``measure`` says which.
    cells : pandas.DataFrame
        One line for each row, field and processor, with the row's label as index: ``row`` (position), ``status``,
        whether the field is ``answered``, ``value`` (a null that is ``answered`` is an answer), ``confidence``,
        ``truth``, ``right`` (missing where the value is not known), whether the row ``differs`` in this field, between
        processors or from the truth, and ``error``.
    reference : str
        The most expensive processor.
    cost : float or None
        US dollars of the runs of these rows so far, whichever call sent them; None where a price is not known.
    extra_cost : str
        What is billed on top of that, in words, or nothing.
    prices_as_of : str
        The date of the price table.
    checkpoint : str or None
        The folder with the answers, which the call for all rows does not pay for again.
    simulated : bool
        Whether any answer is a simulator's.

    Examples
    --------
    >>> import pandas as pd, parallel_frames as pf
    >>> df = pd.DataFrame({"company": ["Acme", "Globex"]})
    >>> def answer(sent, processor):
    ...     return {"founded": 1900 if processor == "lite" and sent["company"] == "Acme" else 1949}
    >>> with pf.offline(answer, latency=0):
    ...     comparison = df.parallel.compare({"founded": int}, processors=["lite", "core"])
    >>> comparison.differences
       row    field  lite  core
    0    0  founded  1900  1949
    """

    frame: pd.DataFrame = field(repr=False)
    processors: pd.DataFrame
    agreement: pd.DataFrame = field(repr=False)
    calibration: pd.DataFrame = field(repr=False)
    cells: pd.DataFrame = field(repr=False)
    reference: str
    cost: float | None
    extra_cost: str
    prices_as_of: str
    checkpoint: str | None
    simulated: bool

    @property
    def differences(self) -> pd.DataFrame:
        """Where processors differ, from each other or from the truth: a line for each row and field, side by side."""
        cells = self.cells[self.cells["differs"]]
        names = self.processors.index.tolist()
        lines = cells.iloc[:: len(names)]
        truth = ["truth"] if self.has_truth else []
        values = cells["value"].to_numpy(dtype=object).reshape(-1, len(names))
        side_by_side = {name: pd.Series(values[:, at], lines.index, dtype=object) for at, name in enumerate(names)}
        return lines[["row", "field", *truth]].assign(**side_by_side)

    @property
    def has_truth(self) -> bool:
        """Whether any value is known."""
        return bool(self.frame["known"].any())

    def __repr__(self) -> str:
        from parallel_frames._ui import comparison_text

        return comparison_text(self)

    def _repr_html_(self) -> str:
        from parallel_frames._ui import comparison_html

        return comparison_html(self)


@dataclass(frozen=True, slots=True)
class ProcessorAnswers:
    """What one processor answered.

    Attributes
    ----------
    outcomes : sequence of (Outcome or None)
        Of each distinct input.
    unanswered : mapping of int to Unanswered
        What the inputs without an outcome are, and why.
    """

    processor: str
    price: Price
    outcomes: Sequence[Outcome | None]
    unanswered: Mapping[int, Unanswered]


@dataclass(frozen=True, slots=True, eq=False)
class ComparedRows:
    """The rows that are compared.

    Attributes
    ----------
    index : pandas.Index
        Their labels.
    positions, inputs : numpy.ndarray of int64
        Where each is in the frame, and which of the distinct inputs it sends.
    truth : mapping of str to list
        The known values of each field, as far as there are any; `UNKNOWN` where a row has none.
    tolerances : mapping of str to float
        How far numbers of a field may be apart.
    """

    index: pd.Index[Any]
    positions: np.ndarray[Any, np.dtype[np.int64]]
    inputs: np.ndarray[Any, np.dtype[np.int64]]
    truth: Mapping[str, list[Any]]
    tolerances: Mapping[str, float]


def compare_answers(
    answers: Sequence[ProcessorAnswers], schema: Schema, rows: ComparedRows, **facts: Any
) -> Comparison:
    """Return the comparison; `facts` are its attributes that are no tables."""
    judged = [_JudgedAnswers(each, schema, rows) for each in answers]
    reference = max(reversed(judged), key=lambda each: each.price.per_run or Decimal(-1))
    fields = [_Field(column.name, judged, reference, rows) for column in schema.columns]
    names = [each.processor for each in judged]
    of_fields = pd.DataFrame([line for each in fields for line in each.lines()])
    levels = [line for each in fields for line in each.calibration()]
    calibration = pd.DataFrame(levels, columns=["field", "processor", "confidence", "measure", "rows", "share"])
    return Comparison(
        frame=of_fields.astype({"right": "Int64"}),
        processors=pd.DataFrame([_total(each, fields) for each in judged], index=pd.Index(names, name="processor")),
        agreement=pd.concat({each.name: each.agreement() for each in fields}, names=["field", "processor"]),
        calibration=calibration.astype({"confidence": CONFIDENCE_DTYPE}),
        cells=_cells(fields, judged, rows),
        reference=reference.processor,
        prices_as_of=reference.price.as_of,
        **facts,
    )


class _JudgedAnswers:
    """The answers of one processor, judged: for each row that is compared, and by field."""

    def __init__(self, answers: ProcessorAnswers, schema: Schema, rows: ComparedRows) -> None:
        self.processor, self.price = answers.processor, answers.price
        outcomes = answers.outcomes
        there = [each for each in outcomes if each is not None]
        judged = iter(judge_answers(there, schema))
        nothing = {column.name: None for column in schema.columns}
        found = [
            Judged(answers.unanswered[at].status, nothing, answers.unanswered[at].reason)
            if each is None
            else next(judged)
            for at, each in enumerate(outcomes)
        ]
        self.statuses = _objects([each.status for each in found])[rows.inputs]
        self.errors = _objects([each.error for each in found])[rows.inputs]
        bases = [None if each is None else read_basis(each.basis) for each in outcomes]
        evidence = evidence_columns(bases, [*nothing], dtype_backend="numpy_nullable", whole=schema.form != "json")
        self.levels = {name: evidence[name, "confidence"].array.take(rows.inputs) for name in nothing}
        self.values = {name: _objects([each.values[name] for each in found])[rows.inputs] for name in nothing}
        self.forms = {
            name: _objects([normal_form(each.values[name]) for each in found])[rows.inputs] for name in nothing
        }
        self.has = {
            column.name: np.array([_has(*pair, column, schema) for pair in zip(outcomes, found, strict=True)])[
                rows.inputs
            ]
            for column in schema.columns
        }
        times = pd.DataFrame(times_of(Answers.of(there)), columns=["began", "ended", "status"])
        began, ended = (
            pd.to_datetime(times[name], utc=True, errors="coerce", format="ISO8601") for name in ("began", "ended")
        )
        self.seconds = float((ended - began).dt.total_seconds()[times["status"] == "completed"].median())
        billed = self.price.of(sum(each.is_billed for each in there))
        self.cost = math.nan if billed is None else float(billed)


def _has(outcome: Outcome | None, judged: Judged, column: Column, schema: Schema) -> bool:
    """Return whether an input has an answer in a column: a value, or a null that is one."""
    if judged.values[column.name] is not None:
        return True
    if outcome is None or outcome.status != "completed" or not column.nullable:
        return False
    if judged.status == "completed" or schema.form != "json":
        return True
    content = orjson.loads(outcome.output or "null")  # it is invalid for this column, or for another one
    return isinstance(content, dict) and content.get(column.name) is None


class _Field:
    """What the processors answered in one field, for each row that is compared.

    Attributes
    ----------
    known : numpy.ndarray of bool
        The rows whose value is known.
    right : dict of str to numpy.ndarray of bool
        For each processor the rows that have that value.
    both, same : dict of (str, str) to numpy.ndarray of bool
        For each two processors the rows that both answered, and those with the same answer.
    """

    def __init__(
        self, name: str, judged: Sequence[_JudgedAnswers], reference: _JudgedAnswers, rows: ComparedRows
    ) -> None:
        self.name, self.judged, self.reference = name, judged, reference.processor
        self._tolerance = rows.tolerances.get(name, 0.0)
        self.truth = rows.truth.get(name, [UNKNOWN] * len(rows.inputs))
        self.known = np.array([value is not UNKNOWN for value in self.truth], dtype=bool)
        forms = _objects([None if value is UNKNOWN else normal_form(value) for value in self.truth])
        self.right = {
            each.processor: self._are_same(each.forms[name], forms) & each.has[name] & self.known for each in judged
        }
        self.both = {(a.processor, b.processor): a.has[name] & b.has[name] for a, b in product(judged, judged)}
        self.same = {
            (a.processor, b.processor): self._are_same(a.forms[name], b.forms[name]) & a.has[name] & b.has[name]
            for a, b in product(judged, judged)
        }

    def _are_same(self, forms: Objects, others: Objects) -> Flags:
        pairs = zip(forms, others, strict=True)
        return np.array([is_same(one, other, tolerance=self._tolerance) for one, other in pairs], dtype=bool)

    @property
    def differs(self) -> Flags:
        """The rows that are not the same throughout: between processors, or with what is known."""
        answered = np.array([each.has[self.name] for each in self.judged])
        same = np.array([self.same[each.processor, self.reference] for each in self.judged])
        right = np.array([self.right[each.processor] for each in self.judged])
        differs: Flags = (answered.any(axis=0) & ~same.all(axis=0)) | (self.known & ~right.all(axis=0))
        return differs

    def lines(self) -> Iterator[dict[str, Any]]:
        """Yield the line of each processor."""
        for each in self.judged:
            has, right = each.has[self.name], int(self.right[each.processor].sum())
            yield {
                "field": self.name,
                "processor": each.processor,
                "rows": len(has),
                "answered": int(has.sum()),
                "null": int((has & np.array([value is None for value in each.values[self.name]], dtype=bool)).sum()),
                "agreement": self.agreement_with_reference(each.processor),
                "known": int(self.known.sum()),
                "right": right if self.known.any() else None,
                "accuracy": _share(self.right[each.processor], self.known),
                "seconds": each.seconds,
                "cost_per_row": each.cost / len(has),
                "cost_per_right": each.cost / right if right else math.nan,
            }

    def agreement_with_reference(self, processor: str) -> float:
        """Return how often a processor agrees with the reference, which has no such share itself."""
        pair = processor, self.reference
        return math.nan if processor == self.reference else _share(self.same[pair], self.both[pair])

    def agreement(self) -> pd.DataFrame:
        """Return how often each processor agrees with each."""
        shares = pd.Series({pair: _share(self.same[pair], self.both[pair]) for pair in self.same})
        names = [each.processor for each in self.judged]
        return shares.unstack().loc[names, names].rename_axis(index="processor")

    def calibration(self) -> Iterator[tuple[Any, ...]]:
        """Yield how often each processor is right at each confidence, or else the same as the reference."""
        is_known = bool(self.known.any())
        measure = "right" if is_known else f"same as {self.reference}"
        for each in self.judged:
            pair = each.processor, self.reference
            if not is_known and each.processor == self.reference:
                continue
            good = self.right[each.processor] if is_known else self.same[pair]
            counted = each.has[self.name] & self.known if is_known else self.both[pair]
            for level in CONFIDENCE:
                at = counted & (np.asarray(each.levels[self.name], dtype=object) == level)
                yield self.name, each.processor, level, measure, int(at.sum()), _share(good & at, at)


def _total(each: _JudgedAnswers, fields: Sequence[_Field]) -> dict[str, Any]:
    """Return the line of a processor over all fields."""
    rows, pair = len(each.statuses), (each.processor, fields[0].reference)
    known = np.concatenate([field.known for field in fields])
    right = np.concatenate([field.right[each.processor] for field in fields])
    both = np.concatenate([field.both[pair] for field in fields])
    same = np.concatenate([field.same[pair] for field in fields])
    return {
        "rows": rows,
        **{status: int((each.statuses == status).sum()) for status in STATUSES if status != "skipped"},
        "agreement": math.nan if pair[0] == pair[1] else _share(same, both),
        "accuracy": _share(right, known),
        "seconds": each.seconds,
        "cost": each.cost,
        "cost_per_row": each.cost / rows,
        "cost_per_right": each.cost / int(right.sum()) if right.any() else math.nan,
    }


def _cells(fields: Sequence[_Field], judged: Sequence[_JudgedAnswers], rows: ComparedRows) -> pd.DataFrame:
    """Return a line for each row, field and processor."""
    parts = [
        pd.DataFrame(
            {
                "row": rows.positions,
                "field": field.name,
                "processor": each.processor,
                "status": each.statuses,
                "answered": each.has[field.name],
                "value": pd.Series(each.values[field.name], dtype=object),
                "confidence": each.levels[field.name],
                "truth": pd.Series([None if value is UNKNOWN else value for value in field.truth], dtype=object),
                "right": pd.Series(field.right[each.processor], dtype="boolean").where(field.known),
                "differs": field.differs,
                "error": pd.Series(each.errors, dtype=object),
            }
        )
        for field in fields
        for each in judged
    ]
    # Each part has the rows in their order; taking one of every part after the other puts a row's cells side by side.
    order = np.arange(len(parts) * len(rows.positions)).reshape(len(parts), -1).T.ravel()
    cells = pd.concat(parts, ignore_index=True).take(order)
    return cells.set_axis(rows.index.repeat(len(parts)))


def _share(part: Flags, whole: Flags) -> float:
    """Return how many of some rows are among others; NaN where there are none."""
    return int(part.sum()) / int(whole.sum()) if whole.any() else math.nan


def _objects(values: Sequence[Any]) -> Objects:
    """Return an array of objects, in which a list is one of them."""
    return pd.Series(values, dtype=object).to_numpy()

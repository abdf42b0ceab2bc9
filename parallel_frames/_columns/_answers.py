"""Answers → their cells, and what is wrong with each: its shape, its fields, what the model says.

A slice at a time, so that few answers at once are Python objects.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import orjson
import pandas as pd

from parallel_frames._columns._convert import ABSENT, NO_ANSWER
from parallel_frames._schema import compile_model_check, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from parallel_frames._model import Column, Json, Schema
    from parallel_frames._state import Answers


Make: TypeAlias = "Callable[[Column, Sequence[Json]], tuple[Sequence[Any] | pd.Series[Any], dict[int, str]]]"


@dataclass(slots=True)
class Contents:
    """What the completed outcomes of a plan say, one entry per answer.

    Attributes
    ----------
    count : int
        How many there are.
    place : numpy.ndarray of int64
        For each entry of the plan its answer, or -1.
    completed : numpy.ndarray of bool
        For each entry of the plan whether its run completed.
    problems : dict of int to list of str
        What is wrong with an answer; one that is fine is not in it.
    columns : list of pandas.Series, or of lists
        The cells of each column of the schema, missing where an answer broke it.
    broken : list of set of int
        For each column the answers that have no cell in it.
    """

    count: int
    place: np.ndarray[Any, np.dtype[np.int64]]
    completed: np.ndarray[Any, np.dtype[np.bool_]]
    problems: dict[int, list[str]] = field(default_factory=dict)
    columns: list[Any] = field(default_factory=list)
    broken: list[set[int]] = field(default_factory=list)


def read_answers(answers: Answers, schema: Schema, *, make: Make) -> Contents:
    """Parse and judge answers; `make` turns a column's values into cells."""
    whole = Contents(0, np.full(len(answers), -1), np.zeros(len(answers), bool), broken=[set() for _ in schema.columns])
    slices: list[list[Any]] = []  # of each the cells by column
    for entries, texts in answers.completed("output"):
        there = np.fromiter(map(bool, texts), bool, len(texts))
        part = _read_slice(list(map(orjson.loads, filter(None, texts))), schema, make=make)
        whole.completed[entries] = True
        whole.place[entries[there]] = np.arange(whole.count, whole.count + part.count)
        whole.problems |= {at + whole.count: problems for at, problems in part.problems.items()}
        for broken, more in zip(whole.broken, part.broken, strict=True):
            broken.update(at + whole.count for at in more)
        whole.count += part.count
        slices.append(part.columns)
    slices = slices or [_read_slice([], schema, make=make).columns]
    for column in range(len(schema.columns)):
        whole.columns.append(_joined([cells[column] for cells in slices]))
        for cells in slices:
            cells[column] = None  # the cells are there twice for one column at a time only
    return whole


def _joined(parts: Sequence[Any]) -> Any:
    """Return the cells of consecutive slices as those of one."""
    if len(parts) == 1:
        return parts[0]
    if isinstance(parts[0], pd.Series):
        return pd.concat(parts, ignore_index=True)
    return list(chain.from_iterable(parts))


@dataclass(slots=True)
class _Part:
    """What some answers say, as in `Contents`."""

    count: int
    problems: dict[int, list[str]] = field(default_factory=dict)
    columns: list[Any] = field(default_factory=list)
    broken: list[set[int]] = field(default_factory=list)


def _read_slice(contents: list[Json], schema: Schema, *, make: Make) -> _Part:
    part = _Part(len(contents))
    shapeless = _not_objects(contents, form=schema.form)
    part.problems |= {at: [problem] for at, problem in shapeless.items()}
    for column in schema.columns:
        values = _values(contents, column.name, form=schema.form)
        cells, problems = make(column, values)
        for at, problem in problems.items():
            part.problems.setdefault(at, []).append(f"{column.name}: {problem}")
        part.columns.append(cells)
        part.broken.append({*problems, *shapeless})
    if schema.model is not None and contents:
        _ask_model(part, contents, schema, make=make)
    return part


def _values(contents: Sequence[Json], name: str, *, form: str) -> list[Json]:
    if form != "json":
        return list(contents)
    try:
        return [content.get(name, ABSENT) for content in contents]
    except AttributeError:  # not all are objects
        return [content.get(name, ABSENT) if isinstance(content, dict) else NO_ANSWER for content in contents]


def _not_objects(contents: Sequence[Json], *, form: str) -> dict[int, str]:
    """Return what is wrong with answers that are no object where one was asked for."""
    if form != "json" or {dict}.issuperset(map(type, contents)):
        return {}
    return {
        at: f"the answer: expected an object, got {shown(content)}"
        for at, content in enumerate(contents)
        if not isinstance(content, dict)
    }


def _ask_model(part: _Part, contents: list[Json], schema: Schema, *, make: Make) -> None:
    """Let the user's own model judge the answers that fit the schema, and take what its validators make of them."""
    judge = compile_model_check(schema.model)
    changed: set[str] = set()
    refused: dict[int, dict[str, str]] = {}
    for at, content in enumerate(contents):
        if at in part.problems:
            continue
        verdict = judge(content)
        changed |= {name for name in verdict.content if verdict.content[name] != content.get(name)}
        contents[at] = verdict.content
        refused[at] = dict(verdict.problems)
        told = [f"{name}: {problem}" for name, problem in verdict.problems.items()]
        if told or verdict.whole:
            part.problems[at] = [*told, *([verdict.whole] if verdict.whole else [])]
    for number, column in enumerate(schema.columns):
        lost = {at for at, problems in refused.items() if column.name in problems}
        if not lost and column.name not in changed:
            continue
        values = _values(contents, column.name, form=schema.form)
        for at in lost | part.broken[number]:
            values[at] = NO_ANSWER
        cells, problems = make(column, values)
        for at, problem in problems.items():
            said = f"{column.name}: the model's own validator makes of it what does not fit: {problem}"
            part.problems.setdefault(at, []).append(said)
        part.columns[number] = cells
        part.broken[number] |= lost | problems.keys()

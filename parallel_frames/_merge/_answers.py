"""Outcomes → the cells of their answers, and what is wrong with each: its shape, its fields, what the model says.

A slice at a time, so that few answers at once are Python objects.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain, count
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import orjson
import pandas as pd

from parallel_frames._columns import ABSENT, NO_ANSWER
from parallel_frames._schema import compile_model_check, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from parallel_frames._model import Column, Json, Outcome, Schema


Make: TypeAlias = "Callable[[Column, Sequence[Json]], tuple[Sequence[Any] | pd.Series[Any], dict[int, str]]]"


SLICE: Final = 10_000


@dataclass(slots=True)
class Answers:
    """The completed outcomes of a plan, one entry per answer.

    Attributes
    ----------
    count : int
        How many there are.
    place : list of int
        For each entry of the plan its answer, or -1.
    problems : dict of int to list of str
        What is wrong with an answer; one that is fine is not in it.
    columns : list of pandas.Series, or of lists
        The cells of each column of the schema, missing where an answer broke it.
    broken : list of set of int
        For each column the answers that have no cell in it.
    """

    count: int
    place: list[int]
    problems: dict[int, list[str]] = field(default_factory=dict)
    columns: list[Any] = field(default_factory=list)
    broken: list[set[int]] = field(default_factory=list)


def read_answers(outcomes: Sequence[Outcome | None], schema: Schema, *, make: Make) -> Answers:
    """Parse and judge answers, one outcome or None per distinct run; `make` turns a column's values into cells."""
    starts = range(0, len(outcomes), SLICE) or [0]
    parts = [_read_slice(outcomes[start : start + SLICE], schema, make=make) for start in starts]
    if len(parts) == 1:
        return parts[0]
    whole = Answers(0, [], broken=[set() for _ in schema.columns])
    for part in parts:
        before = whole.count
        whole.place += [at if at < 0 else at + before for at in part.place]
        whole.problems |= {at + before: problems for at, problems in part.problems.items()}
        for broken, more in zip(whole.broken, part.broken, strict=True):
            broken.update(at + before for at in more)
        whole.count += part.count
    for column in range(len(schema.columns)):
        whole.columns.append(_joined([part.columns[column] for part in parts]))
        for part in parts:
            part.columns[column] = None  # the cells are there twice for one column at a time only
    return whole


def _joined(parts: Sequence[Any]) -> Any:
    """Return the cells of consecutive slices as those of one."""
    if isinstance(parts[0], pd.Series):
        return pd.concat(parts, ignore_index=True)
    return list(chain.from_iterable(parts))


def _read_slice(outcomes: Sequence[Outcome | None], schema: Schema, *, make: Make) -> Answers:
    contents, place = _parse(outcomes)
    answers = Answers(len(contents), place)
    shapeless = _not_objects(contents, form=schema.form)
    answers.problems |= {at: [problem] for at, problem in shapeless.items()}
    for column in schema.columns:
        values = _values(contents, column.name, form=schema.form)
        cells, problems = make(column, values)
        for at, problem in problems.items():
            answers.problems.setdefault(at, []).append(f"{column.name}: {problem}")
        answers.columns.append(cells)
        answers.broken.append({*problems, *shapeless})
    if schema.model is not None and contents:
        _ask_model(answers, contents, schema, make=make)
    return answers


def _parse(outcomes: Sequence[Outcome | None]) -> tuple[list[Json], list[int]]:
    """Return the answers that there are, and for each outcome which one is its, or -1."""
    told = [None if outcome is None or outcome.status != "completed" else outcome.output for outcome in outcomes]
    texts = [text for text in told if text is not None]
    if len(texts) == len(told):
        return list(map(orjson.loads, texts)), list(range(len(told)))
    numbers = count()
    return list(map(orjson.loads, texts)), [-1 if text is None else next(numbers) for text in told]


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


def _ask_model(answers: Answers, contents: list[Json], schema: Schema, *, make: Make) -> None:
    """Let the user's own model judge the answers that fit the schema, and take what its validators make of them."""
    judge = compile_model_check(schema.model)
    changed: set[str] = set()
    refused: dict[int, dict[str, str]] = {}
    for at, content in enumerate(contents):
        if at in answers.problems:
            continue
        verdict = judge(content)
        changed |= {name for name in verdict.content if verdict.content[name] != content.get(name)}
        contents[at] = verdict.content
        refused[at] = dict(verdict.problems)
        told = [f"{name}: {problem}" for name, problem in verdict.problems.items()]
        if told or verdict.whole:
            answers.problems[at] = [*told, *([verdict.whole] if verdict.whole else [])]
    for number, column in enumerate(schema.columns):
        lost = {at for at, problems in refused.items() if column.name in problems}
        if not lost and column.name not in changed:
            continue
        values = _values(contents, column.name, form=schema.form)
        for at in lost | answers.broken[number]:
            values[at] = NO_ANSWER
        cells, problems = make(column, values)
        for at, problem in problems.items():
            said = f"{column.name}: the model's own validator makes of it what does not fit: {problem}"
            answers.problems.setdefault(at, []).append(said)
        answers.columns[number] = cells
        answers.broken[number] |= lost | problems.keys()

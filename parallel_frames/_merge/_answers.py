"""Outcomes → parsed answers, and what is wrong with each: its shape, its fields, and what the user's model says."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import orjson

from parallel_frames._columns import ABSENT, NO_ANSWER
from parallel_frames._schema import compile_model_check, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pandas as pd

    from parallel_frames._model import Column, Json, Outcome, Schema


Make: TypeAlias = "Callable[[Column, Sequence[Json]], tuple[Sequence[Any] | pd.Series[Any], dict[int, str]]]"


@dataclass(slots=True)
class Answers:
    """The completed outcomes of a plan, one entry per answer.

    Attributes
    ----------
    contents : list
        The parsed answers.
    place : list of int
        For each entry of the plan its answer, or -1.
    problems : dict of int to list of str
        What is wrong with an answer; one that is fine is not in it.
    columns : list of pandas.Series, or of lists
        The cells of each column of the schema, missing where an answer broke it.
    broken : list of set of int
        For each column the answers that have no cell in it.
    """

    contents: list[Json]
    place: list[int]
    problems: dict[int, list[str]] = field(default_factory=dict)
    columns: list[Any] = field(default_factory=list)
    broken: list[set[int]] = field(default_factory=list)


def read_answers(outcomes: Sequence[Outcome | None], schema: Schema, *, make: Make) -> Answers:
    """Parse and judge answers, one outcome or None per distinct run; `make` turns a column's values into cells."""
    answers = _parse(outcomes)
    shapeless = _not_objects(answers.contents, form=schema.form)
    answers.problems |= {at: [problem] for at, problem in shapeless.items()}
    for column in schema.columns:
        values = _values(answers.contents, column.name, form=schema.form)
        cells, problems = make(column, values)
        for at, problem in problems.items():
            answers.problems.setdefault(at, []).append(f"{column.name}: {problem}")
        answers.columns.append(cells)
        answers.broken.append({*problems, *shapeless})
    if schema.model is not None and answers.contents:
        _ask_model(answers, schema, make=make)
    return answers


def _parse(outcomes: Sequence[Outcome | None]) -> Answers:
    contents: list[Json] = []
    place: list[int] = []
    for outcome in outcomes:
        if outcome is None or outcome.status != "completed" or outcome.output is None:
            place.append(-1)
        else:
            place.append(len(contents))
            contents.append(orjson.loads(outcome.output))
    return Answers(contents, place)


def _values(contents: Sequence[Json], name: str, *, form: str) -> list[Json]:
    if form != "json":
        return list(contents)
    return [content.get(name, ABSENT) if isinstance(content, dict) else NO_ANSWER for content in contents]


def _not_objects(contents: Sequence[Json], *, form: str) -> dict[int, str]:
    """Return what is wrong with answers that are no object where one was asked for."""
    if form != "json":
        return {}
    return {
        at: f"the answer: expected an object, got {shown(content)}"
        for at, content in enumerate(contents)
        if not isinstance(content, dict)
    }


def _ask_model(answers: Answers, schema: Schema, *, make: Make) -> None:
    """Let the user's own model judge the answers that fit the schema, and take what its validators make of them."""
    judge = compile_model_check(schema.model)
    changed: set[str] = set()
    refused: dict[int, dict[str, str]] = {}
    for at, content in enumerate(answers.contents):
        if at in answers.problems:
            continue
        verdict = judge(content)
        changed |= {name for name in verdict.content if verdict.content[name] != content.get(name)}
        answers.contents[at] = verdict.content
        refused[at] = dict(verdict.problems)
        told = [f"{name}: {problem}" for name, problem in verdict.problems.items()]
        if told or verdict.whole:
            answers.problems[at] = [*told, *([verdict.whole] if verdict.whole else [])]
    for number, column in enumerate(schema.columns):
        lost = {at for at, problems in refused.items() if column.name in problems}
        if not lost and column.name not in changed:
            continue
        values = _values(answers.contents, column.name, form=schema.form)
        for at in lost | answers.broken[number]:
            values[at] = NO_ANSWER
        cells, problems = make(column, values)
        for at, problem in problems.items():
            said = f"{column.name}: the model's own validator makes of it what does not fit: {problem}"
            answers.problems.setdefault(at, []).append(said)
        answers.columns[number] = cells
        answers.broken[number] |= lost | problems.keys()

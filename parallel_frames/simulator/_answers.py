"""What a run answers: from the user's function or table, or made up from the output schema.

Owns the forms `answers=` takes and how an input finds its line in a table. Refuses to know how an answer travels.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from ._basis import Basis, Content, check_basis
from ._made_up import Dice, label_input

if TYPE_CHECKING:
    import pandas as pd

    from ._spec import Spec


@dataclass(frozen=True, slots=True)
class Failure:
    """An answer that makes its run fail.

    Parameters
    ----------
    message : str, default "simulated failure"
        The message of the run's error.

    Examples
    --------
    >>> from parallel_frames.simulator import Failure, Simulator
    >>> sim = Simulator(answers={"Atlantis": Failure("no such country")})
    """

    message: str = "simulated failure"


@dataclass(frozen=True, slots=True)
class Cancelled:
    """An answer that makes its run end as cancelled.

    Parameters
    ----------
    message : str, default "simulated cancellation"
        The message of the run's error.
    """

    message: str = "simulated cancellation"


@dataclass(frozen=True, slots=True)
class Stuck:
    """An answer that never comes: its run stays `running` for ever."""


@dataclass(frozen=True, slots=True)
class ActionRequired:
    """An answer that leaves its run waiting for an action nobody takes.

    Parameters
    ----------
    message : str, default "simulated: an action is required"
        The warning the run carries.
    """

    message: str = "simulated: an action is required"


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that brings its own evidence; one that brings none is given as its bare content.

    Parameters
    ----------
    content : mapping or str
        The answer, as it could stand without this.
    basis : mapping, list of mapping, or None, default None
        What speaks for the fields. A mapping names some of them, or elements of a list such as ``"products.0"``, and
        says for each a confidence (``"low"``, ``"medium"`` or ``"high"``), or any of ``confidence``, ``reasoning``
        and ``citations`` (a list of dicts with ``url``, and maybe ``title`` and ``excerpts``); what is not said is
        made up, as it is for an answer without this. A list is the whole basis as the service sends it, each entry
        with ``field`` and ``reasoning``, and maybe ``citations`` and ``confidence``: a field without an entry has no
        evidence. None makes all of it up. The field of a text is ``"output"``. Evidence of elements is sent to those
        only who ask for it, with the beta header ``field-basis-2025-11-25``.

    Raises
    ------
    TypeError, ValueError
        It is no basis, or is for a field that the content has not. In a function this makes the run fail.

    Examples
    --------
    >>> import pandas as pd, parallel_frames as pf
    >>> from parallel_frames.simulator import Answer
    >>> answers = {"Acme": Answer({"founded": 1949}, basis={"founded": "low"})}
    >>> with pf.offline(answers, latency=0):
    ...     out = pd.DataFrame({"company": ["Acme"]}).parallel.enrich({"founded": int}, basis="columns")
    >>> out["founded_confidence"].tolist()
    ['low']
    """

    content: Content
    basis: Basis | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.content, Mapping | str):
            raise TypeError(f"an answer's content must be a mapping or a string, got {type(self.content).__name__}")
        if self.basis is not None:
            check_basis(self.basis, self.content)


Ending: TypeAlias = Failure | Cancelled | Stuck | ActionRequired
Given: TypeAlias = "Mapping[str, Any] | str | Answer | Ending"
Answers: TypeAlias = "Callable[..., Given] | Mapping[Any, Given] | pd.DataFrame | None"


class AnswerBook:
    """Finds the answer to an input."""

    def __init__(self, answers: Answers, *, seed: int) -> None:
        self._seed = seed
        self._function: Callable[[Any, Spec], Given] | None = None
        self._table: Mapping[Any, Given] | None = None
        self._field: str | None = None
        if callable(answers):
            self._function = _with_spec(answers)
        elif isinstance(answers, Mapping):
            self._table = answers
        elif hasattr(answers, "to_dict"):
            self._table, self._field = _table_from_frame(answers)
        elif answers is not None:
            raise TypeError(f"answers must be None, a function, a mapping or a DataFrame, got {type(answers).__name__}")

    def answer(self, run_input: str | Mapping[str, Any], *, spec: Spec, canonical: bytes) -> Given:
        """Return the answer to one input; whatever the user's function raises becomes a `Failure`."""
        if self._function is not None:
            try:
                return _checked(self._function(run_input, spec.body), spec)
            except Exception as error:  # noqa: BLE001 - the user's function may raise anything: the run fails
                return Failure(str(error) or type(error).__name__)
        found = self._look_up(run_input)
        if found is None:
            dice = Dice(canonical + spec.digest, seed=self._seed)
            made: Given = spec.make(dice, label_input(run_input))
            return made
        try:
            return _checked(found, spec)
        except TypeError as error:
            return Failure(str(error))

    def _look_up(self, run_input: str | Mapping[str, Any]) -> Given | None:
        if self._table is None:
            return None
        if isinstance(run_input, str):
            return self._table.get(run_input)
        if self._field is not None and self._field in run_input:
            return self._table.get(run_input[self._field])
        for value in run_input.values():
            if isinstance(value, str | int | float) and value in self._table:
                return self._table[value]
        return None


def _with_spec(function: Callable[..., Given]) -> Callable[[Any, Any], Given]:
    """Let every function be called as f(input, spec); one that takes a single argument gets the input."""
    try:
        inspect.signature(function).bind(None, None)
    except TypeError:
        return lambda run_input, _spec: function(run_input)
    except ValueError:  # a builtin without a signature
        return lambda run_input, _spec: function(run_input)
    return function


def _checked(answer: Any, spec: Spec) -> Given:
    """Refuse what can't be an answer."""
    content = answer.content if isinstance(answer, Answer) else answer
    if isinstance(content, str) and spec.kind == "json":
        raise TypeError("the answer to a JSON output schema must be a mapping, got a string")
    if isinstance(answer, Answer) and answer.basis and isinstance(content, Mapping) and spec.kind == "text":
        raise TypeError("the answer to a text output schema must be a string to bring a basis, got a mapping")
    if isinstance(content, Mapping | str | Ending):
        return answer  # type: ignore[no-any-return]
    raise TypeError(f"an answer must be a mapping, a string, an Answer or a Failure, got {type(answer).__name__}")


def _table_from_frame(frame: Any) -> tuple[Mapping[Any, Given], str | None]:
    """Turn a frame into {key: answer}: keyed by its index where that has a name or labels, else by its first column."""
    if frame.index.name is None and frame.index.dtype.kind in "iu":
        frame = frame.set_index(frame.columns[0])
    field = None if frame.index.name is None else str(frame.index.name)
    lines = zip(frame.index.tolist(), frame.to_dict("records"), strict=True)
    return {key: {str(name): _plain(cell) for name, cell in line.items()} for key, line in lines}, field


def _plain(cell: Any) -> Any:
    """Turn a cell into a JSON value; every kind of missing is null."""
    if isinstance(cell, list | dict | str | bool) or cell is None:
        return cell
    if hasattr(cell, "tolist"):
        cell = cell.tolist()
    if isinstance(cell, list):
        return cell
    if type(cell).__name__ in ("NAType", "NaTType") or cell != cell:  # noqa: PLR0124 - NaN is not itself
        return None
    return cell.isoformat() if hasattr(cell, "isoformat") else cell

"""What a run answers: from the user's function or table, or made up from its output schema; and the evidence for it.

Owns the forms `answers=` takes, how an input finds its answer in a table, what a given basis may look like and how it
is completed. Refuses to know how an output travels.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from traceback import extract_tb
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import orjson

from ._made_up import AUTO_SCHEMA, label_input, make_answer
from ._records import dump

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd

    from ._made_up import Spec

Content: TypeAlias = "Mapping[str, Any] | str"
Basis: TypeAlias = "Mapping[str, str | Mapping[str, Any]] | Sequence[Mapping[str, Any]]"

CONFIDENCES: Final = ("low", "medium", "high")
PARTS: Final = ("confidence", "reasoning", "citations")
CITATION: Final = {"url": str, "title": str, "excerpts": list}
SHOWN: Final = 3
MAX_COMPARED: Final = 1_000  # keys that are looked at for the one that is meant
WHOLE: Final = "output"  # the one field of a text


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
    """An answer that leaves its run waiting for an action that is never taken.

    Parameters
    ----------
    message : str, default "simulated: an action is required"
        The warning the run carries.
    """

    message: str = "simulated: an action is required"


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer with its own evidence; an answer without evidence can be given as its bare content.

    Parameters
    ----------
    content : mapping or str
        The answer itself.
    basis : mapping, list of mapping, or None, default None
        The evidence for the fields. A mapping gives some of them, or elements of a list such as ``"products.0"``, a
        confidence (``"low"``, ``"medium"`` or ``"high"``), or any of ``confidence``, ``reasoning`` and ``citations``
        (a list of dicts with ``url``, and optionally ``title`` and ``excerpts``); the rest is made up, as it is for
        an answer without a basis. A list is the whole basis as the service sends it: entries with ``field`` and
        ``reasoning``, and optionally ``citations`` and ``confidence``; a field without an entry has no evidence.
        None makes all of it up. The field of a text is ``"output"``. Evidence of elements is sent only to clients
        that ask for it with the beta header ``field-basis-2025-11-25``.
    warnings : list of (str or mapping), default ()
        What the service warns of: messages, or mappings with ``type``, ``message`` and ``detail``.
    mcp_tool_calls : list of mapping, default ()
        The calls of MCP tools, as the service sends them: ``server_name``, ``tool_name``, ``arguments``, ``content``
        and ``error``.

    Raises
    ------
    TypeError, ValueError
        A part has the wrong form, or the basis names a field that the content does not have. In a function this makes
        the run fail.

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
    warnings: Sequence[str | Mapping[str, Any]] = ()
    mcp_tool_calls: Sequence[Mapping[str, Any]] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.content, Mapping | str):
            raise TypeError(f"an answer's content must be a mapping or a string, got {type(self.content).__name__}")
        if self.basis is not None:
            _check_basis(self.basis, self.content)
        if not _is_list_of(str | Mapping, self.warnings):
            raise TypeError(f"warnings must be a list of messages or mappings, got {self.warnings!r}")
        if not _is_list_of(Mapping, self.mcp_tool_calls):
            raise TypeError(f"mcp_tool_calls must be a list of mappings, got {self.mcp_tool_calls!r}")


Ending: TypeAlias = Failure | Cancelled | Stuck | ActionRequired
Given: TypeAlias = "Mapping[str, Any] | str | Answer | Ending"
Answers: TypeAlias = "Callable[..., Given] | Mapping[Any, Given] | pd.DataFrame | None"


class AnswerSource:
    def __init__(self, answers: Answers, *, seed: int) -> None:
        self._seed = seed
        self._function = _as_called(answers) if callable(answers) else None
        self._table: Mapping[Any, Given] | None = None
        self._field: str | None = None  # of an input, by which alone it is looked up
        self._found: set[Any] = set()  # keys of the table that matched an input
        self._error: BaseException | None = None
        self._unmatched: dict[str, bool] = {}  # inputs that no key matched, and whether that is noted
        self._unknown: dict[str, str] = {}  # fields that the schema does not have, and what is to be noted of them
        if isinstance(answers, Mapping):
            self._table = answers
        elif hasattr(answers, "to_dict"):
            self._table, self._field = _table_from_frame(answers)
        elif answers is not None and self._function is None:
            raise TypeError(f"answers must be None, a function, a mapping or a DataFrame, got {type(answers).__name__}")

    def answer(self, run_input: str | Mapping[str, Any], *, spec: Spec, canonical: bytes, processor: str) -> Given:
        """Return a processor's answer to one input; whatever the user's function raises becomes a `Failure`."""
        if self._function is not None:
            try:
                return self._noted(_checked(self._function(run_input, spec.body, processor), spec), spec)
            except BaseException as error:  # noqa: BLE001 - the user's function may raise anything, as pytest.fail does
                return self._failed(error)
        found = self._look_up(run_input)
        if found is None:
            if self._table is not None:
                self._unmatched.setdefault(label_input(run_input), False)
            made, levels = make_answer(spec, canonical, label_input(run_input), processor=processor, seed=self._seed)
            return Answer(made, basis=levels) if levels else made
        try:
            return self._noted(_checked(found, spec), spec)
        except TypeError as error:
            return self._failed(error)

    def _failed(self, error: BaseException) -> Failure:
        """Keep an error in the user's answers, and return the failure of its run."""
        self._error = self._error or error
        frames = [each for each in extract_tb(error.__traceback__) if each.filename != __file__]
        if not frames:
            return Failure(str(error))  # what was returned is no answer
        place = f"{Path(frames[0].filename).name}, line {frames[0].lineno}"
        return Failure(f"your answer function raised {type(error).__name__}: {error} ({place})")

    def take_error(self) -> BaseException | None:
        """Return the first error in the user's answers since this was called last; None if there was none."""
        error, self._error = self._error, None
        return error

    def _look_up(self, run_input: str | Mapping[str, Any]) -> Given | None:
        if self._table is None:
            return None
        if isinstance(run_input, str):
            values: list[Any] = [run_input]
        elif self._field is not None and self._field in run_input:
            values = [run_input[self._field]]
        else:
            values = [value for value in run_input.values() if isinstance(value, str | int | float)]
        for value in values:
            if (found := self._table.get(value)) is not None:
                self._found.add(value)
                return found
        return None

    def _noted(self, answer: Given, spec: Spec) -> Given:
        """Return an answer; note fields that the schema does not have where the answer lacks others."""
        content = answer.content if isinstance(answer, Answer) else answer
        asked = (spec.schema or {}).get("properties")
        if isinstance(content, Mapping) and isinstance(asked, dict):
            lacking = [name for name in asked if name not in content]
            for name in [str(name) for name in content if name not in asked] if lacking else []:
                meant = _did_you_mean(name, lacking)
                text = f"an answer has the field {name!r}, and the schema has none of that name{meant}"
                self._unknown.setdefault(name, text)
        return answer

    def take_notes(self) -> list[str]:
        """Return what may be misspelt in the answers, and was not returned before."""
        notes, self._unknown = list(filter(None, self._unknown.values())), dict.fromkeys(self._unknown, "")
        new = [label for label, is_noted in self._unmatched.items() if not is_noted]
        self._unmatched = dict.fromkeys(self._unmatched, True)
        if new:
            unused = [key for key in self._table or () if key not in self._found]
            named = ", ".join(f"{label!r}{_did_you_mean(label, unused[:MAX_COMPARED])}" for label in new[:SHOWN])
            more = f" and {len(new) - SHOWN:,} more" if len(new) > SHOWN else ""
            its = "its answer is" if len(new) == 1 else "their answers are"
            notes.append(f"`answers` has no key for {len(new):,} of the inputs, and {its} made up: {named}{more}")
        return notes


def _did_you_mean(name: str, known: Sequence[Any]) -> str:
    texts = {str(key).casefold(): key for key in known}
    near = get_close_matches(name.casefold(), texts, 1)
    return f" (did you mean {texts[near[0]]!r}?)" if near else ""


def _as_called(function: Callable[..., Given]) -> Callable[[Any, Any, str], Given]:
    """Let every function be called as f(input, spec, processor); it gets of these what it takes.

    The input is the first argument, and the spec the second one. The processor goes by its name: a second argument was
    always the spec.
    """
    try:
        signature = inspect.signature(function)
    except ValueError:  # a builtin without one
        return lambda run_input, _spec, _processor: function(run_input)
    named = {"processor"} & signature.parameters.keys()
    takes = 2
    try:
        signature.bind(None, None, **dict.fromkeys(named))
    except TypeError:
        takes = 1
    return lambda run_input, spec, processor: function(*(run_input, spec)[:takes], **dict.fromkeys(named, processor))


def _checked(answer: Any, spec: Spec) -> Given:
    """Return an answer that can be sent, or raise a TypeError."""
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


# -- outputs and their evidence ---------------------------------------------------------------------------------------


def _guess_schema(content: Mapping[str, Any]) -> dict[str, Any]:
    kinds = {str: "string", bool: "boolean", int: "integer", float: "number", list: "array", dict: "object"}
    properties = {key: {"type": kinds.get(type(value), "string")} for key, value in content.items()}
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def build_output(
    answer: Mapping[str, Any] | str | Answer, *, spec: Spec, draw: int, elements: bool, string_content: bool, bare: bool
) -> bytes:
    """Return an OUTPUT object as JSON bytes.

    `draw` decides the confidences; `elements` adds a basis for each list element; `string_content` sends a JSON
    content as text, as older deployments do; a `bare` output is the content alone.
    """
    answer = answer if isinstance(answer, Answer) else Answer(answer)
    content, given = answer.content, answer.basis
    more = {"mcp_tool_calls": list(map(dict, answer.mcp_tool_calls))} if answer.mcp_tool_calls else {}
    if spec.kind == "text" or isinstance(content, str):
        text = content if isinstance(content, str) else orjson.dumps(content).decode()
        if bare:
            return dump(text, option=0)
        basis = _build_basis(text, given, draw=draw, elements=elements)
        return dump({"type": "text", "content": text, "basis": basis, **more}, option=0)
    raw = orjson.dumps(content, option=orjson.OPT_NON_STR_KEYS)
    if bare:
        return dump(raw.decode(), option=0) if string_content else raw
    output: dict[str, Any] = {
        "type": "json",
        "content": raw.decode() if string_content else orjson.Fragment(raw),
        "basis": _build_basis(content, given, draw=draw, elements=elements),
        **more,
    }
    if spec.kind == "auto":
        made_up = content.keys() == AUTO_SCHEMA["properties"].keys()  # type: ignore[attr-defined]
        output["output_schema"] = AUTO_SCHEMA if made_up else _guess_schema(content)
    return dump(output, option=0)


def _build_basis(
    content: Content, given: Basis | None, *, draw: int, elements: bool
) -> list[orjson.Fragment | dict[str, Any]]:
    """Return the basis of an output; `draw` decides the confidences that are made up."""
    places = _places(content, draw=draw, elements=elements)
    if given is not None and not isinstance(given, Mapping):
        sent = {path for path, _ in places}
        return [{"citations": [], **entry} for entry in given if entry["field"] in sent]
    given = given or {}
    return [_completed(*place, given[place[0]]) if place[0] in given else _simulated_entry(*place) for place in places]


def _is_list_of(kind: Any, value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(each, kind) for each in value)


def _check_basis(basis: Basis, content: Content) -> None:
    """Raise a TypeError for a basis of the wrong form, a ValueError for an unknown field or confidence."""
    known = [name for name, _ in _places(content, draw=0, elements=True)]
    for where, path, parts in _basis_entries(basis):
        if path not in known:
            raise ValueError(f"{where} is for {path!r}, and the answer has {', '.join(map(repr, known)) or 'no field'}")
        _check_parts(parts, where)


def _basis_entries(basis: Basis) -> Iterator[tuple[str, Any, Any]]:
    """Yield (where the entry is, the path it is for, its parts) of either form."""
    if isinstance(basis, Mapping):
        for path, given in basis.items():
            yield f"basis[{path!r}]", path, {"confidence": given} if isinstance(given, str) else given
    elif isinstance(basis, Sequence) and not isinstance(basis, str | bytes):
        for number, entry in enumerate(basis):
            where = f"basis[{number}]"
            if not isinstance(entry, Mapping) or not isinstance(entry.get("reasoning"), str) or "field" not in entry:
                raise TypeError(f"{where} must be a mapping with a 'field' and a 'reasoning', got {entry!r}")
            yield where, entry["field"], {part: value for part, value in entry.items() if part != "field"}
    else:
        raise TypeError(f"basis must be a mapping of fields or a list of entries, got {type(basis).__name__}")


def _check_parts(parts: Any, where: str) -> None:
    if not isinstance(parts, Mapping) or parts.keys() - set(PARTS):
        raise TypeError(f"{where} must be a confidence, or a mapping of {', '.join(PARTS)}, got {parts!r}")
    if parts.get("confidence") is not None and parts["confidence"] not in CONFIDENCES:
        raise ValueError(f"{where}: a confidence must be one of {', '.join(CONFIDENCES)}, got {parts['confidence']!r}")
    if not isinstance(parts.get("reasoning", ""), str):
        raise TypeError(f"{where}: a reasoning must be a string, got {parts['reasoning']!r}")
    citations = parts.get("citations", [])
    if not isinstance(citations, list) or not all(map(_is_citation, citations)):
        raise TypeError(
            f"{where}: citations must be a list of mappings with a 'url', and optionally a 'title' and a list of "
            f"'excerpts', got {citations!r}"
        )


def _is_citation(value: Any) -> bool:
    if not isinstance(value, Mapping) or "url" not in value or value.keys() - CITATION.keys():
        return False
    typed = all(isinstance(part, CITATION[name]) for name, part in value.items())
    return typed and all(isinstance(excerpt, str) for excerpt in value.get("excerpts", ()))


def _places(content: Content, *, draw: int, elements: bool) -> list[tuple[str, int]]:
    """Return the paths that have evidence, and the number of their made-up confidence."""
    if isinstance(content, str):
        return [(WHOLE, draw % 3)]
    places: list[tuple[str, int]] = []
    for position, (field, value) in enumerate(content.items()):
        places.append((str(field), (draw + position) % 3))
        if elements and isinstance(value, list):
            places.extend((f"{field}.{number}", (draw + number) % 3) for number in range(len(value)))
    return places


def _completed(path: str, confidence: int, given: str | Mapping[str, Any]) -> dict[str, Any]:
    """Return an entry with what was given, and the rest made up."""
    return _simulated_parts(path, confidence) | ({"confidence": given} if isinstance(given, str) else dict(given))


@lru_cache(maxsize=4096)
def _simulated_entry(path: str, confidence: int) -> orjson.Fragment:
    return orjson.Fragment(orjson.dumps(_simulated_parts(path, confidence)))


def _simulated_parts(path: str, confidence: int) -> dict[str, Any]:
    slug = "".join(c if c.isalnum() and c.isascii() else "-" for c in path)
    return {
        "field": path,
        "reasoning": f"Simulated: nothing was researched for {path}.",
        "citations": [
            {
                "url": f"https://example.com/simulated/{slug}",
                "title": "Simulated source",
                "excerpts": ["Simulated excerpt: this page does not exist."],
            }
        ],
        "confidence": CONFIDENCES[confidence],
    }

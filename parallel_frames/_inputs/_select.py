"""What a row sends, decided from labels alone, before any cell is read.

It owns the four ways to say it (nothing, a list, a mapping, a string) and the names the service sees. It refuses to
look at values: a `Selection` made for one frame holds for every frame with those columns.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from string import Formatter
from typing import Any, Literal, TypeAlias

import numpy as np
import pandas as pd

from parallel_frames._format import did_you_mean, format_option, format_sends
from parallel_frames._inputs._keys import hash_identity
from parallel_frames.errors import InputError, UnknownColumnError

Label: TypeAlias = Hashable
NO_COLUMN = "(no column)"  # stands for what a source without rows and columns would send
_WHERE = "`inputs`"
_RENAME = "Rename one of the columns, or give each its own name: `inputs={name: column}`"


@dataclass(frozen=True, slots=True)
class Selection:
    """What every row of a frame sends: an object of cells by name, one column's bare cell, or a text."""

    form: Literal["object", "cell", "template"]
    names: tuple[str, ...]  # as they are sent, in order; of a template its placeholders
    labels: tuple[Label, ...]  # the column of each name
    parts: tuple[str | int, ...] = ()  # of a template: its texts, and the positions in `names` between them

    @property
    def identity(self) -> str:
        """A hash of what is sent and under which names."""
        fields = zip(self.names, (f"{type(label).__name__} {label}" for label in self.labels), strict=True)
        ordered = [list(field) for field in (fields if self.parts else sorted(fields))]
        return hash_identity({"form": self.form, "fields": ordered, "parts": [*self.parts]})

    @property
    def sends(self) -> str:
        """What a row sends, in a few words."""
        return format_sends(self.names, self.form)

    def __str__(self) -> str:
        if self.form == "template":
            shown = "".join(part if isinstance(part, str) else f"{{{self.names[part]}}}" for part in self.parts)
            return f"the text {shown!r}"
        if self.form == "cell":
            return f"the bare cell of {self.labels[0]!r}"
        return "an object of " + ", ".join(
            name if name == label else f"{name} (column {label!r})"
            for name, label in zip(self.names, self.labels, strict=True)
        )


def select_inputs(df: pd.DataFrame, inputs: Any = None, *, exclude: Collection[Label] = ()) -> Selection:
    """Resolve which cells a row sends, and under which names; only the columns of `df` are looked at.

    `inputs` are columns; ``{name the service sees: column}``; one column's label (its bare cell is the input); or a
    template ``"Research {company} ({website})"``, in which ``{{`` and ``}}`` are braces and a placeholder is a column's
    name exactly as it is sent. A label wins over a template. None: every column but those of `exclude`.
    """
    columns: Counter[Label] = Counter(list[Label](df.columns))
    if inputs is None:
        left_out = set(exclude)
        return _object([(name_of(label), label) for label in df.columns if label not in left_out], columns)
    if isinstance(inputs, Mapping):
        return _object([(_checked_name(name), label) for name, label in inputs.items()], columns)
    if _is_label(inputs, columns):
        check_label(inputs, columns)
        return Selection("cell", (name_of(inputs),), (inputs,))
    if isinstance(inputs, str):
        return _template(inputs, columns)
    if isinstance(inputs, (Sequence, pd.Index, np.ndarray)):
        for label in inputs:
            check_label(label, columns)
        return _object([(name_of(label), label) for label in inputs], columns)
    raise InputError(
        f"{format_option('inputs', inputs)} must be what a row sends: a list of columns, {{name: "
        "column}, a column's name, or a template such as 'Research {company}'."
    )


def named_columns(inputs: Any, metadata: Mapping[str, Label] | None) -> list[Label]:
    """Return the columns that options name, for a source without rows that has none itself, such as an empty pipe."""
    if isinstance(inputs, str):
        inputs = [name for _, name, _, _ in Formatter().parse(inputs) if name] or [inputs]
    labels = inputs.values() if isinstance(inputs, Mapping) else inputs
    return list(dict.fromkeys([*(labels or [NO_COLUMN]), *(metadata or {}).values()]))


def columns_of(df: pd.DataFrame, labels: Sequence[Label]) -> list[pd.Series[Any]]:
    """Return columns by their labels, each of which one column has."""
    positions: dict[Label, int] = {label: position for position, label in enumerate(df.columns)}
    return [df.iloc[:, positions[label]] for label in labels]


def name_of(label: Label) -> str:
    """Return the name under which a column is sent: of a MultiIndex the parts that are not blank."""
    if isinstance(label, tuple):
        return "/".join(str(part) for part in label if not _is_blank(part))
    return str(label)


def _is_blank(part: object) -> bool:
    return part == "" or part is None or (isinstance(part, float) and part != part)  # noqa: PLR0124 - NaN's own test


def _is_label(inputs: Any, columns: Counter[Label]) -> bool:
    return isinstance(inputs, Hashable) and inputs in columns


def check_label(label: Any, columns: Counter[Label]) -> None:
    """Refuse a label that no column has, or more than one."""
    if not _is_label(label, columns):
        raise UnknownColumnError(label, columns, where=_WHERE)
    if columns[label] > 1:
        raise InputError(
            f"{_WHERE} names the column {label!r}, but {columns[label]} columns have that label. Rename all but one of "
            "them: a label must name one column."
        )


def _object(fields: Sequence[tuple[str, Label]], columns: Counter[Label]) -> Selection:
    if not fields:
        has = "No column is selected" if columns else "The frame has no columns"
        what = "Name some with `inputs=...`." if columns else "Nothing was sent."
        raise InputError(f"{has}, so a row would have nothing to send. {what}")
    first: dict[str, Label] = {}
    for name, label in fields:
        if name in first:
            raise InputError(f"The columns {first[name]!r} and {label!r} would both be sent as {name!r}. {_RENAME}.")
        first[name] = label
    for name, label in fields:
        _check_text(name, f"the name of the column {label!r}")
        check_label(label, columns)
    return Selection("object", tuple(first), tuple(first.values()))


def _checked_name(name: Any) -> str:
    if not isinstance(name, str) or not name:
        raise InputError(f"`inputs` maps names to columns; {name!r} must be a text that is not empty.")
    return str(name)


def _check_text(text: str, what: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InputError(f"{text!r}, {what}, has a lone surrogate, which cannot travel as UTF-8. Rename it.") from None


def _template(template: str, columns: Counter[Label]) -> Selection:
    _check_text(template, "the template")
    pieces = _parse(template, columns)
    fields: dict[str, Label] = {}
    parts: list[str | int] = []
    for literal, placeholder in pieces:
        if literal and parts and isinstance(parts[-1], str):  # an escaped brace ends a piece
            parts[-1] += literal
        elif literal:
            parts.append(literal)
        if placeholder is not None:
            fields.setdefault(placeholder, _column_named(placeholder, columns))
            parts.append(list(fields).index(placeholder))
    if not fields:
        if not set(template) & set("{}") and get_close_matches(template, map(name_of, columns)):
            raise UnknownColumnError(template, columns, where=_WHERE)
        raise InputError(
            f"{format_option('inputs', template)} must be a column of the frame{did_you_mean(template, columns)} or a "
            f"template with {{placeholders}}; the columns are {_shown(columns)}."
        )
    return Selection("template", tuple(fields), tuple(fields.values()), tuple(parts))


def _parse(template: str, columns: Counter[Label]) -> list[tuple[str, str | None]]:
    try:
        pieces = list(Formatter().parse(template))
    except ValueError as problem:
        raise InputError(
            f"{format_option('inputs', template)} must be a column of the frame ({_shown(columns)}) or a "
            f"well-formed template: {problem}. Write {{{{ and }}}} for braces."
        ) from None
    for _, name, layout, conversion in pieces:
        if layout or conversion:
            asked = f"{name}{'!' if conversion else ':'}{conversion or layout}"
            known = any(name_of(label) == asked for label in columns)
            way_out = (
                f"Rename that column, or send it with {format_option('inputs', {name: asked})}"
                if known
                else "Format the column first"
            )
            raise InputError(
                f"The placeholder {{{asked}}} asks for a format; only plain column names may stand between braces. "
                f"{way_out}."
            )
    return [(literal, name) for literal, name, _, _ in pieces]


def _column_named(placeholder: str, columns: Counter[Label]) -> Label:
    found = [label for label in columns if name_of(label) == placeholder]
    if len(found) > 1:
        raise InputError(
            f"The placeholder {{{placeholder}}} could be any of the columns {found!r}. Rename one of them."
        )
    if found:
        check_label(found[0], columns)
        return found[0]
    if "." in placeholder or "[" in placeholder or not placeholder:
        raise InputError(
            f"The placeholder {{{placeholder}}} must be a column's name{did_you_mean(placeholder, columns)}; "
            f"attributes, positions and empty braces are not supported. The columns are {_shown(columns)}."
        )
    raise UnknownColumnError(placeholder, columns, where="The template")


def _shown(columns: Counter[Label]) -> str:
    labels = list(columns)
    more = f" and {len(labels) - 20} more" if len(labels) > 20 else ""
    return ", ".join(map(repr, labels[:20])) + more if labels else "none"

"""Rows as inputs: columns turned into tokens and put together, a slice of rows at a time.

It owns the three shapes an input has (object, bare cell, template), which rows have nothing to send, the message about
a cell that cannot travel, and which converter the dtype of a pandas column asks for (numpy, masked, Arrow, categories,
sparse, strings, zones). Memory beyond the result is that of one slice. Rows are known by position only.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
import orjson
import pandas as pd

from parallel_frames._inputs import _canonical_v1 as form
from parallel_frames._inputs import _plain as plain
from parallel_frames._inputs import _times as times
from parallel_frames._inputs._arrow import arrow_tokens
from parallel_frames._inputs._cells import pair_of
from parallel_frames._inputs._plain import Tokens
from parallel_frames._inputs._select import check_label, columns_of
from parallel_frames._inputs._wire import UnusableCellError, is_empty, quote, unquote
from parallel_frames.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Sequence

    from parallel_frames._inputs._select import Selection
    from parallel_frames._model import Json

Texts: TypeAlias = "list[str | None]"
SLICE_ROWS = 10_000


class Rendered(NamedTuple):
    """The inputs of consecutive rows, two entries per row, both None for a row with nothing to send."""

    sent: list[bytes | None]  # the JSON of the input as it travels
    canonical: list[bytes | None]  # what identifies it


def render_inputs(df: pd.DataFrame, selection: Selection, *, numbers: Sequence[int] | None = None) -> Rendered:
    """Turn every row into the JSON it sends and the form that identifies it.

    Messages call the rows by `numbers`, where `df` is a part of another frame, else by their positions.

    Missing cells (None, NaN, NaT, NA) are left out of an object and are empty text in a template. A row is skipped
    when nothing is left, or when all that is left is blank text (only white space) or empty objects and lists.

    A bare cell travels as text, or as an object if it is a dict: 5 travels as ``"5"``, a list as its JSON's text.
    Integers beyond 64 bits and Decimals travel as text with all their digits.
    """
    whole = Rendered([], [])
    for part in render_slices(df, selection, numbers=numbers):
        whole.sent.extend(part.sent)
        whole.canonical.extend(part.canonical)
    return whole


def render_slices(
    df: pd.DataFrame, selection: Selection, *, rows: int = SLICE_ROWS, numbers: Sequence[int] | None = None
) -> Iterator[Rendered]:
    """Yield what `render_inputs` returns, at most `rows` rows at a time."""
    columns = _columns(df, selection.labels)
    numbers = range(len(df)) if numbers is None else numbers
    shape = {"object": _objects, "cell": _cells, "template": _templates}[selection.form]
    for start in range(0, len(df), rows):
        slices = [column[start : start + rows] for column in columns]
        here = numbers[start : start + rows], df.index[start : start + rows]
        tokens = [_tokens(part, *here, label) for part, label in zip(slices, selection.labels, strict=True)]
        rendered = shape(selection, tokens)
        for row in _nothing_to_send([column.wire for column in tokens], len(slices[0])):
            rendered.sent[row] = rendered.canonical[row] = None
        yield rendered


def canonical_of_json(value: Json) -> bytes:
    """Return the canonical form of an input that was parsed from JSON, such as a server's echo of it.

    It is comparable with `canonical_of_sent` only: a Decimal's cell is a number, its JSON is text.
    """
    try:
        pair = pair_of(value)
    except UnusableCellError as refusal:
        raise InputError(f"This JSON has no canonical form: {refusal}.") from None
    return b"null" if pair is None else pair[1].encode()


def canonical_of_sent(sent: bytes) -> bytes:
    """Return the canonical form of an input as it was sent; nothing sent has numbers that 64 bits cannot hold."""
    return canonical_of_json(orjson.loads(sent))


def _columns(df: pd.DataFrame, labels: Sequence[Hashable]) -> list[Any]:
    counts: Counter[Hashable] = Counter(list[Any](df.columns))
    for label in labels:
        check_label(label, counts)
    return [column.array for column in columns_of(df, labels)]


def _tokens(values: Any, numbers: Sequence[int], index: pd.Index[Any], label: object) -> Tokens:
    try:
        return _column_tokens(values)
    except UnusableCellError as refusal:
        row = _first_refused(values)
        why = _refusal(values[row : row + 1]) or refusal
        kind = type(values[row]).__name__ if isinstance(values, pd.arrays.NumpyExtensionArray) else values.dtype
        where = f"Column {label!r}, row {numbers[row]} (index {index[row]!r}, {kind})"
        raise InputError(f"{where}: {why.reason}. {why.advice[0].upper()}{why.advice[1:]}.") from None


def _first_refused(values: Any) -> int:
    low, high = 0, len(values)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _refusal(values[low:middle]) else (middle, high)
    return low


def _refusal(values: Any) -> UnusableCellError | None:
    try:
        _column_tokens(values)
    except UnusableCellError as refusal:
        return refusal
    return None


def _objects(selection: Selection, tokens: Sequence[Tokens]) -> Rendered:
    fields = list(zip(selection.names, tokens, strict=True))
    ordered = sorted(fields, key=lambda field: field[0])
    sent = _join_objects([(name, column.wire) for name, column in fields])
    if ordered == fields and all(column.wire is column.canonical for column in tokens):
        return Rendered(sent, list(sent))
    return Rendered(sent, _join_objects([(name, column.canonical) for name, column in ordered]))


def _join_objects(fields: Sequence[tuple[str, Texts]]) -> list[bytes | None]:
    rows = zip(*(tokens for _, tokens in fields), strict=True)
    if not any(None in tokens for _, tokens in fields):
        layout = ",".join(f"{quote(name)}:".replace("%", "%%") + "%s" for name, _ in fields)
        layout = f"{{{layout}}}"
        return [(layout % row).encode() for row in rows]
    heads = [f"{quote(name)}:" for name, _ in fields]
    return [
        f"{{{','.join([head + token for head, token in zip(heads, row, strict=True) if token is not None])}}}".encode()
        for row in rows
    ]


def _cells(_: Selection, tokens: Sequence[Tokens]) -> Rendered:
    sent, canonical = tokens[0].wire, tokens[0].canonical
    return Rendered(
        [None if token is None else (token if token[0] in '"{' else quote(token)).encode() for token in sent],
        [None if token is None else token.encode() for token in canonical],
    )


def _templates(selection: Selection, tokens: Sequence[Tokens]) -> Rendered:
    texts = [["" if token is None else unquote(token) for token in column.wire] for column in tokens]
    layout = "".join(part.replace("%", "%%") if isinstance(part, str) else "%s" for part in selection.parts)
    order = [texts[part] for part in selection.parts if not isinstance(part, str)]
    filled = [layout % row for row in zip(*order, strict=True)]
    return Rendered([quote(text).encode() for text in filled], [form.text(text).encode() for text in filled])


def _nothing_to_send(columns: Sequence[Texts], rows: int) -> list[int]:
    empty = list(range(rows))
    for column in columns:
        empty = [row for row in empty if not ((token := column[row]) or "")[1:2].isalnum() and is_empty(token)]
        if not empty:
            break
    return empty


# Columns as tokens


def _column_tokens(values: Any) -> Tokens:
    """Return the tokens of a slice of ``Series.array``, one entry per row.

    A converter is chosen once per column, by its dtype; no cell is asked for its own. An `UnusableCellError` says that
    a cell has no JSON; which one is not known here.
    """
    tokens = _convert(values)
    try:
        "".join([token for token in tokens.wire if token is not None]).encode()
    except UnicodeEncodeError:
        advice = "clean it, for example with .str.encode('utf-8', 'replace').str.decode('utf-8')"
        raise UnusableCellError("a text has a lone surrogate, which UTF-8 cannot carry", advice) from None
    return tokens


def _convert(values: Any) -> Tokens:
    if isinstance(values, pd.arrays.NumpyExtensionArray):
        values = values.to_numpy()
    dtype = values.dtype
    for kind, convert in _EXTENSIONS:
        if isinstance(dtype, kind):
            return convert(values)
    if isinstance(dtype, np.dtype):
        by_kind: Callable[[Any], Tokens] = _NUMPY.get(dtype.kind, _object_cells)
        return by_kind(np.asarray(values))
    if hasattr(dtype, "numpy_dtype"):
        return _masked(values)
    return plain.cells(list(values))


def _masked(values: Any) -> Tokens:
    missing = np.asarray(values.isna())
    plain_values = values.to_numpy(dtype=values.dtype.numpy_dtype, na_value=0)
    return _NUMPY[values.dtype.kind](plain_values).without(missing)


def _object_cells(values: np.ndarray[Any, Any]) -> Tokens:
    if pd.api.types.infer_dtype(values, skipna=True) == "string":
        return plain.strings(values.tolist())
    return plain.cells(values.tolist())


def _categories(values: Any) -> Tokens:
    labels = values.categories
    return plain.take(np.asarray(values.codes), lambda used: _convert(labels.take(used).array))


_EXTENSIONS: tuple[tuple[type, Callable[[Any], Tokens]], ...] = (
    (pd.ArrowDtype, lambda values: arrow_tokens(values.__arrow_array__())),
    (pd.StringDtype, lambda values: plain.strings(np.asarray(values.to_numpy(dtype=object)).tolist())),
    (pd.CategoricalDtype, _categories),
    (pd.DatetimeTZDtype, plain.moments),
    (pd.PeriodDtype, plain.spelt),
    (pd.IntervalDtype, plain.spelt),
    (pd.SparseDtype, lambda values: _convert(np.asarray(values.to_dense()))),
)
_NUMPY: dict[str, Callable[[Any], Tokens]] = {
    "b": plain.truths,
    "i": plain.integers,
    "u": plain.integers,
    "f": plain.reals,
    "M": lambda values: Tokens.of_ascii(times.moments(values)),
    "m": lambda values: Tokens.of_ascii(times.durations(values)),
}

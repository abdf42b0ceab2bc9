"""A pandas column as tokens: which converter its dtype asks for.

It owns the knowledge of pandas' storage (numpy, masked, Arrow, categories, sparse, strings, zones), and nothing of
what the tokens look like. A converter is chosen once per column; no cell is asked for its dtype.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from parallel_frames._inputs import _plain as plain
from parallel_frames._inputs import _times as times
from parallel_frames._inputs._arrow import arrow_tokens
from parallel_frames._inputs._plain import Tokens
from parallel_frames._inputs._wire import UnusableCellError

if TYPE_CHECKING:
    from collections.abc import Callable


def column_tokens(values: Any) -> Tokens:
    """Return the tokens of a slice of a column.

    Parameters
    ----------
    values : pandas.api.extensions.ExtensionArray or numpy.ndarray
        ``Series.array``, or a slice of it.

    Returns
    -------
    Tokens
        One entry per row.

    Raises
    ------
    UnusableCellError
        A cell has no JSON; which one is not known here.
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
        by_kind: Callable[[Any], Tokens] = _NUMPY.get(dtype.kind, _objects)
        return by_kind(np.asarray(values))
    if hasattr(dtype, "numpy_dtype"):
        return _masked(values)
    return plain.cells(list(values))


def _masked(values: Any) -> Tokens:
    missing = np.asarray(values.isna())
    plain_values = values.to_numpy(dtype=values.dtype.numpy_dtype, na_value=0)
    return _NUMPY[values.dtype.kind](plain_values).without(missing)


def _objects(values: np.ndarray[Any, Any]) -> Tokens:
    if pd.api.types.infer_dtype(values, skipna=True) == "string":
        return plain.strings(values.tolist())
    return plain.cells(values.tolist())


def _text(values: Any) -> Tokens:
    return plain.strings(np.asarray(values.to_numpy(dtype=object)).tolist())


def _arrow(values: Any) -> Tokens:
    return arrow_tokens(values.__arrow_array__())


def _categories(values: Any) -> Tokens:
    labels = values.categories
    return plain.take(np.asarray(values.codes), lambda used: _convert(labels.take(used).array))


def _spelt(values: Any) -> Tokens:
    missing = np.asarray(values.isna())
    return plain.strings([str(value) for value in values]).without(missing)


def _moments(values: np.ndarray[Any, Any]) -> Tokens:
    return Tokens.of_ascii(times.moments(values))


def _spans(values: np.ndarray[Any, Any]) -> Tokens:
    return Tokens.of_ascii(times.durations(values))


def _sparse(values: Any) -> Tokens:
    return _convert(np.asarray(values.to_dense()))


_EXTENSIONS: tuple[tuple[type, Callable[[Any], Tokens]], ...] = (
    (pd.ArrowDtype, _arrow),
    (pd.StringDtype, _text),
    (pd.CategoricalDtype, _categories),
    (pd.DatetimeTZDtype, plain.moments),
    (pd.PeriodDtype, _spelt),
    (pd.IntervalDtype, _spelt),
    (pd.SparseDtype, _sparse),
)
_NUMPY: dict[str, Callable[[Any], Tokens]] = {
    "b": plain.truths,
    "i": plain.integers,
    "u": plain.integers,
    "f": plain.reals,
    "M": _moments,
    "m": _spans,
}

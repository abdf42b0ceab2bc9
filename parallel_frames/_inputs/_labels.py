"""Index labels as text, for people who read a run's metadata at the service.

They identify nothing: rows are known by key and position. It refuses to shorten a label, since half a label misleads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from parallel_frames._limits import MAX_METADATA_VALUE

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd


def index_labels(df: pd.DataFrame, positions: Sequence[int] | np.ndarray[Any, Any]) -> list[str | None]:
    """Return the index labels of these rows as text.

    Parameters
    ----------
    df : pandas.DataFrame
        Any index.
    positions : sequence of int
        Rows, by position.

    Returns
    -------
    list of (str or None)
        One per position; the parts of a MultiIndex label joined by ``/``. None where the text is longer than 512
        characters or is not Unicode that can travel.
    """
    index = df.index.take(np.asarray(positions, dtype="int64"))
    if index.dtype.kind == "i":
        return list(map(str, index.tolist()))
    texts = map(_joined, index) if index.nlevels > 1 else map(str, index.tolist())
    return [text if len(text) <= MAX_METADATA_VALUE and _is_unicode(text) else None for text in texts]


def _joined(label: tuple[object, ...]) -> str:
    return "/".join(map(str, label))


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True

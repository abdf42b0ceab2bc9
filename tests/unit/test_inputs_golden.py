"""Golden vectors of version 1: the same cell gives the same key on every pandas and pyarrow, for ever.

Vectors are appended, never changed: a changed vector means that checkpoints in the field would pay again. A new one is
what `vector_of` returns for its expression.
"""

from __future__ import annotations

import datetime as dt
import enum
import json
import pathlib
import uuid
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from parallel_frames._inputs import make_key, render_inputs, select_inputs

JOB = "0123456789abcdef0123456789abcdef"
VECTORS = json.loads((pathlib.Path(__file__).parent / "golden" / "keys_v1.json").read_text(encoding="utf-8"))


class Size(enum.Enum):
    """An enum of texts."""

    SMALL = "small"


class Level(enum.IntEnum):
    """An enum of numbers."""

    HIGH = 3


class Colour(str, enum.Enum):  # noqa: UP042 - the older spelling is what users have
    """An enum that is text."""

    RED = "red"


def _objects(*cells):
    column = np.empty(len(cells), dtype=object)
    for position, cell in enumerate(cells):
        column[position] = cell
    return pd.DataFrame({"x": pd.Series(column, dtype=object)})


def _column(*args, **options):
    return pd.DataFrame({"x": pd.Series(*args, **options)})


def _arrow(cell, kind):
    return _column(pd.arrays.ArrowExtensionArray(pa.array([cell], kind)))


NAMES = {
    "cell": _objects,
    "column": _column,
    "arrow": _arrow,
    "frame": pd.DataFrame,
    "pd": pd,
    "np": np,
    "pa": pa,
    "dt": dt,
    "Decimal": Decimal,
    "UUID": uuid.UUID,
    "Path": pathlib.PurePosixPath,
    "Size": Size,
    "Level": Level,
    "Colour": Colour,
    "zone": lambda hours: dt.timezone(dt.timedelta(hours=hours)),
}


def vector_of(cell, inputs=None, needs=None):
    """Return the vector of the first row of the frame that an expression builds."""
    frame = eval(cell, dict(NAMES))
    rendered = render_inputs(frame.iloc[:1], select_inputs(frame, inputs))
    sent, canonical = rendered.sent[0], rendered.canonical[0]
    return {
        "cell": cell,
        "inputs": inputs,
        "needs": needs,
        "sent": sent and sent.decode(),
        "canonical": canonical and canonical.decode(),
        "key": canonical and make_key(canonical, JOB),
    }


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["cell"] for vector in VECTORS])
def test_a_golden_vector_holds(vector):
    """A cell's JSON, canonical form and key are what they were when version 1 was made."""
    if vector["needs"] and not hasattr(pa, vector["needs"]):
        pytest.skip(f"this pyarrow has no {vector['needs']}")
    assert vector_of(vector["cell"], vector["inputs"], vector["needs"]) == vector


def test_golden_vectors_are_many_and_distinct():
    """The file was read, and no vector stands in it twice."""
    assert len({(vector["cell"], str(vector["inputs"])) for vector in VECTORS}) == len(VECTORS) > 150

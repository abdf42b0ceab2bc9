"""Objects by the million: made without Python's collector looking through all of them a dozen times meanwhile."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def collector_at_rest() -> Iterator[None]:
    """Let no cyclic garbage be looked for; what is made inside must have no cycles.

    The collector looks through all objects whenever there are a quarter more of them: a third of the time in which a
    million outcomes are read.
    """
    if not gc.isenabled():  # by the user, or by somebody further up, who ends it
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()

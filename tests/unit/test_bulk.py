"""Objects by the million, made while Python's collector rests: it is as it was afterwards, whatever happens."""

import gc
from contextlib import suppress

from parallel_frames._bulk import collector_at_rest


def test_the_collector_works_again_after_an_error_too() -> None:
    """It rests inside, also in a block within the block, and works afterwards."""
    assert gc.isenabled()
    with suppress(ValueError), collector_at_rest():
        with collector_at_rest():
            assert not gc.isenabled()
        assert not gc.isenabled()
        raise ValueError
    assert gc.isenabled()


def test_a_collector_that_the_user_stopped_stays_so() -> None:
    """What the user decided is not undone."""
    gc.disable()
    try:
        with collector_at_rest():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()

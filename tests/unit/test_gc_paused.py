"""Pausing the garbage collector: afterwards it is as it was, whatever happens."""

import gc
from contextlib import suppress

from parallel_frames._runtime import gc_paused


def test_the_collector_is_resumed_after_an_error_too() -> None:
    """It is paused inside, also after a block within the block, and runs afterwards."""
    assert gc.isenabled()
    with suppress(ValueError), gc_paused():
        with gc_paused():
            assert not gc.isenabled()
        assert not gc.isenabled()
        raise ValueError
    assert gc.isenabled()


def test_a_collector_that_the_user_disabled_stays_disabled() -> None:
    """What the user decided is not undone."""
    gc.disable()
    try:
        with gc_paused():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()

"""Calls of one process on one checkpoint: they wait for each other, and no call waits for what waits for it."""

import asyncio
import subprocess
import sys
import threading

import pytest

from parallel_frames._clock import Clock
from parallel_frames._job._turns import take_turn
from parallel_frames.errors import CheckpointLockedError

CLOCK = Clock(speed=1_000)


async def take(checkpoint: str, *, at_most: float | None = None, patience: float = 15.0) -> None:
    """Take a turn, and end it at once."""
    async with take_turn(checkpoint, clock=CLOCK, at_most=at_most, patience=patience):
        pass


def test_a_call_whose_loop_stands_still_is_not_waited_for() -> None:
    """A call that waits for another one in its event loop gets that one's error, rather than waiting for ever."""
    errors = []

    def inside() -> None:
        with pytest.raises(CheckpointLockedError, match="has not moved for") as caught:
            asyncio.run(take("ours", patience=0.1))
        errors.append(caught.value)

    async def outside() -> None:
        async with take_turn("ours", clock=CLOCK, at_most=None):
            await asyncio.sleep(0)
            thread = threading.Thread(target=inside)
            thread.start()
            thread.join()

    asyncio.run(outside())
    assert len(errors) == 1
    asyncio.run(take("ours", patience=0.1))


def test_a_call_waits_no_longer_than_its_timeout() -> None:
    """The timeout of a call counts while it waits for another, too."""

    async def main() -> None:
        async with take_turn("slow", clock=CLOCK, at_most=None):
            with pytest.raises(CheckpointLockedError, match="after `timeout=60`"):
                await asyncio.to_thread(run_elsewhere)

    def run_elsewhere() -> None:
        thread_error: list[BaseException] = []

        def call() -> None:
            try:
                asyncio.run(take("slow", at_most=60))
            except CheckpointLockedError as error:
                thread_error.append(error)

        thread = threading.Thread(target=call)  # without the context of the call that has its turn
        thread.start()
        thread.join()
        raise thread_error[0]

    asyncio.run(main())


FORKS = """
import asyncio, os
from parallel_frames._clock import Clock
from parallel_frames._job._turns import take_turn

async def main():
    async with take_turn("ours", clock=Clock(), at_most=None):
        child = os.fork()
        if not child:
            return
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7

async def again():
    async with take_turn("ours", clock=Clock(), at_most=None):
        return True

parent = os.getpid()
asyncio.run(main())
if os.getpid() != parent:
    os._exit(7 if asyncio.run(again()) else 1)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork")
def test_a_forked_child_waits_for_no_call_of_its_parent() -> None:
    """What goes on in the parent when it forks is not going on in the child."""
    subprocess.run([sys.executable, "-W", "ignore", "-c", FORKS], check=True, timeout=60)

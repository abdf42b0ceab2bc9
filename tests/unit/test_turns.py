"""Calls of one process on one checkpoint: they wait for each other, and no call waits for what waits for it."""

import asyncio
import subprocess
import sys
import threading

import pytest

from parallel_frames._clock import Clock
from parallel_frames._job._turns import only_user, take_turn
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


def test_a_turn_whose_loop_is_closed_is_the_next_calls() -> None:
    """What the call held is freed once, by the one that takes its place; its own end frees nothing of that one's."""
    released: list[str] = []

    async def leave() -> None:
        async with take_turn("closed", clock=CLOCK, at_most=None) as turn:
            turn.release = lambda: released.append("left")
            has_begun.set()
            await asyncio.sleep(3600)

    async def take_its_place() -> None:
        async with take_turn("closed", clock=CLOCK, at_most=None):
            left.close()
            thread = threading.Thread(target=wait_in_vain)
            thread.start()
            await asyncio.to_thread(thread.join)

    def wait_in_vain() -> None:
        with pytest.raises(CheckpointLockedError, match="after `timeout=1`"):
            asyncio.run(take("closed", at_most=1))
        released.append("waited")

    has_begun, loop, left = asyncio.Event(), asyncio.new_event_loop(), leave()
    task = loop.create_task(left)
    loop.run_until_complete(has_begun.wait())
    loop.close()
    asyncio.run(take_its_place())
    assert (released, task.done()) == (["left", "waited"], False)


def test_groups_of_a_call_whose_loop_is_closed_are_free() -> None:
    """Without a checkpoint, a call that names a group keeps others away for as long as its loop lives."""
    loop, other = asyncio.new_event_loop(), asyncio.new_event_loop()
    with only_user("host", ("tgrp_1",), loop=loop):
        with (
            pytest.raises(CheckpointLockedError, match="is completing group tgrp_1"),
            only_user("host", ("tgrp_0", "tgrp_1"), loop=other),
        ):
            pass
        loop.close()
        with only_user("host", ("tgrp_1",), loop=other):
            pass
    other.close()


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

"""Turns at something of which there is little."""

import asyncio

import pytest

from parallel_frames._service._turns import Turns

PATIENCE = 0.3


def test_a_turn_of_no_use_gives_way_and_one_of_use_stays() -> None:
    """Of two that would go on for ever, the one that is of use is left alone; the other ends without an error."""
    told: list[str] = []

    async def take(turns: Turns, name: str, *, useful: bool, seconds: float) -> None:
        async with turns.turn(useless=0) as use:
            told.append(name)
            for _ in range(int(seconds / PATIENCE * 10)):
                await asyncio.sleep(PATIENCE / 10)
                if useful:
                    use()
            told.append(f"{name} ended")

    async def work() -> None:
        turns = Turns(2, patience=PATIENCE)
        async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
            tasks.create_task(take(turns, "useful", useful=True, seconds=2.0))
            tasks.create_task(take(turns, "silent", useful=False, seconds=9.0))
            await asyncio.sleep(0)
            tasks.create_task(take(turns, "waiting", useful=True, seconds=0.03))

    asyncio.run(work())
    assert told == ["useful", "silent", "waiting", "waiting ended", "useful ended"]


def test_who_was_of_use_comes_first_and_who_was_cancelled_never() -> None:
    """The line is by turns of no use, then by patience; a place that was given up holds up nobody."""
    told: list[str] = []

    async def take(turns: Turns, name: str, useless: int) -> None:
        async with turns.turn(useless=useless):
            told.append(name)

    async def work() -> None:
        turns = Turns(1, patience=60)
        async with turns.turn(useless=0):
            waiting = [
                asyncio.create_task(take(turns, name, useless))
                for name, useless in (("old", 3), ("older", 3), ("gone", 0), ("new", 0))
            ]
            await asyncio.sleep(0)
            waiting[2].cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        async with asyncio.timeout(1), turns.turn(useless=9):
            told.append("free again")

    asyncio.run(work())
    assert told == ["new", "old", "older", "free again"]


def test_an_error_of_a_turn_is_not_swallowed() -> None:
    """Only giving way is silent: a timeout of the turn's own is an error like any other."""

    async def work() -> None:
        async with Turns(1, patience=60).turn(useless=0):
            raise TimeoutError("its own")

    with pytest.raises(TimeoutError, match="its own"):
        asyncio.run(work())

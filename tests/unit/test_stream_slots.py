"""The priority semaphore for event streams: who comes next, and whose slot is taken away."""

import asyncio

import pytest

from parallel_frames._service._slots import StreamSlots

PATIENCE = 0.1


def test_an_idle_holder_leaves_and_an_active_one_stays() -> None:
    """Of two endless holders, the active one is left alone; the idle one ends without an error once a third waits."""
    log: list[str] = []

    async def hold(slots: StreamSlots, name: str, *, is_active: bool, seconds: float) -> None:
        async with slots.slot(idle_rounds=0) as note_activity:
            log.append(name)
            for _ in range(int(seconds / PATIENCE * 10)):
                await asyncio.sleep(PATIENCE / 10)
                if is_active:
                    note_activity()
            log.append(f"{name} ended")

    async def main() -> None:
        slots = StreamSlots(2, patience=PATIENCE)
        async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
            tasks.create_task(hold(slots, "active", is_active=True, seconds=0.7))
            tasks.create_task(hold(slots, "idle", is_active=False, seconds=5.0))
            await asyncio.sleep(0)
            tasks.create_task(hold(slots, "waiter", is_active=True, seconds=0.01))

    asyncio.run(main())
    assert log == ["active", "idle", "waiter", "waiter ended", "active ended"]


def test_fewer_idle_rounds_come_first_and_a_cancelled_waiter_never() -> None:
    """Waiters are served by idle rounds, then by arrival; a cancelled one blocks nobody."""
    log: list[str] = []

    async def hold(slots: StreamSlots, name: str, idle_rounds: int) -> None:
        async with slots.slot(idle_rounds=idle_rounds):
            log.append(name)

    async def main() -> None:
        slots = StreamSlots(1, patience=60)
        async with slots.slot(idle_rounds=0):
            waiters = [
                asyncio.create_task(hold(slots, name, idle_rounds))
                for name, idle_rounds in (("idle", 3), ("idle, later", 3), ("cancelled", 0), ("new", 0))
            ]
            await asyncio.sleep(0)
            waiters[2].cancel()
        await asyncio.gather(*waiters, return_exceptions=True)
        async with asyncio.timeout(1), slots.slot(idle_rounds=9):
            log.append("free again")

    asyncio.run(main())
    assert log == ["new", "idle", "idle, later", "free again"]


def test_an_error_of_the_block_is_not_swallowed() -> None:
    """Only losing the slot is silent: a TimeoutError of the block's own passes."""

    async def main() -> None:
        async with StreamSlots(1, patience=60).slot(idle_rounds=0):
            raise TimeoutError("its own")

    with pytest.raises(TimeoutError, match="its own"):
        asyncio.run(main())

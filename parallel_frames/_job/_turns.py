"""Which calls of one process may work at the same time: one at a time on a checkpoint, and on a group that calls name.

The lock of a checkpoint's folder keeps other processes away; calls of this one wait for each other.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import os
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from parallel_frames._format import format_duration
from parallel_frames._runtime import real_time
from parallel_frames.errors import CheckpointError, CheckpointLockedError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from parallel_frames._clock import Clock

logger = logging.getLogger("parallel_frames")

LOOK_EVERY: Final = 0.02
BEAT_EVERY: Final = 1.0
PATIENCE: Final = 15.0  # without a beat: the loop of the call that is waited for stands still


@dataclass(slots=True, eq=False)
class Turn:
    """The call that works on one checkpoint.

    Attributes
    ----------
    loop : asyncio.AbstractEventLoop
        Where it runs. A loop that is closed before the call has ended never ends it: the turn is the next call's then.
    release : callable
        Frees what the call holds of the checkpoint, for the call that takes its place.
    beat : float
        When the loop last moved.
    """

    loop: asyncio.AbstractEventLoop
    release: Callable[[], object] = lambda: None
    beat: float = field(default_factory=real_time)

    async def keep_beating(self) -> None:
        """Record now and then that the loop moves."""
        while True:
            self.beat = real_time()
            await asyncio.sleep(BEAT_EVERY)


_guard = threading.Lock()
_turns: dict[str, Turn] = {}
_groups_in_use: dict[tuple[str, str], asyncio.AbstractEventLoop] = {}
_our_checkpoints: contextvars.ContextVar[frozenset[str]] = contextvars.ContextVar(
    "our_checkpoints", default=frozenset()
)


def _forget_all() -> None:
    """Start afresh in a forked child: the calls of its parent are not its own, and none of them ends there."""
    global _guard  # noqa: PLW0603 - it may be held
    _guard = threading.Lock()
    _turns.clear()
    _groups_in_use.clear()
    _our_checkpoints.set(frozenset())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)


@contextlib.asynccontextmanager
async def take_turn(
    checkpoint: str, *, clock: Clock, at_most: float | None, patience: float = PATIENCE
) -> AsyncIterator[Turn]:
    """Wait until no other call of this process works on a checkpoint, and keep the others waiting."""
    if checkpoint in _our_checkpoints.get():
        raise CheckpointLockedError(
            f"{checkpoint} is being written by the enrichment that called this one (in `on_row`, perhaps). Name "
            "another checkpoint for the one inside, or make it after the other.",
            path=checkpoint,
        )
    turn = Turn(asyncio.get_running_loop())
    began, is_waiting = clock.now(), False
    while (other := _try_to_take(checkpoint, turn)) is not None:
        if not is_waiting:
            logger.warning("Another call of this process uses %s: waiting for it.", checkpoint)
        is_waiting = True
        still = real_time() - other.beat
        if still > patience:
            raise CheckpointLockedError(
                f"{checkpoint} is being written by another call of this process, whose event loop has not moved for "
                f"{format_duration(still)}: it may be waiting for this one (in `on_row`, through a thread). This call "
                "sent nothing. Make it after the other, or name another checkpoint.",
                path=checkpoint,
            )
        if at_most is not None and clock.now() - began > at_most:
            raise CheckpointLockedError(
                f"Another call of this process still writes {checkpoint} after `timeout={at_most:g}`. This call sent "
                "nothing. Make it again when the other has ended, or with a longer `timeout`.",
                path=checkpoint,
            )
        await asyncio.sleep(LOOK_EVERY)
    beating = asyncio.create_task(turn.keep_beating())
    token = _our_checkpoints.set(_our_checkpoints.get() | {checkpoint})
    try:
        yield turn
    finally:
        with _guard:
            if _turns.get(checkpoint) is turn:
                del _turns[checkpoint]
        with contextlib.suppress(RuntimeError):  # the loop is closed
            beating.cancel()
        with contextlib.suppress(ValueError):  # where a generator that was left is closed, the context is another one
            _our_checkpoints.reset(token)


def _try_to_take(checkpoint: str, turn: Turn) -> Turn | None:
    """Take the turn, and return None; or return the one that is to be waited for."""
    with _guard:
        other = _turns.get(checkpoint)
        if other is not None and not other.loop.is_closed():
            return other
        turn.beat = real_time()
        _turns[checkpoint] = turn
    if other is not None:
        logger.warning("A call that used %s was left when its event loop was closed: taking its place.", checkpoint)
        with contextlib.suppress(CheckpointError, OSError):  # who opens the checkpoint says what is wrong
            other.release()
    return None


@contextlib.contextmanager
def only_user(host: str, group_ids: tuple[str, ...], *, loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Keep two calls of this process from completing one group at once, where no checkpoint does."""
    used = {(host, group_id): loop for group_id in group_ids}
    with _guard:
        if taken := [group for group in used if group in _groups_in_use and not _groups_in_use[group].is_closed()]:
            raise CheckpointLockedError(
                f"Another call of this process is completing group {min(taken)[1]}. Wait for it; two would pay twice."
            )
        _groups_in_use.update(used)
    try:
        yield
    finally:
        with _guard:
            for group in used:
                if _groups_in_use.get(group) is loop:
                    del _groups_in_use[group]

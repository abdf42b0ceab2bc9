"""A coroutine at work in a thread of its own, and what it gives as a plain iterator in this one.

It refuses to know what the coroutine is for. No thread outlives the block: leaving it early cancels the coroutine and
waits until it has tidied up.
"""

from __future__ import annotations

import asyncio
import contextvars
import queue
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

T = TypeVar("T")

POLL_SECONDS: Final = 0.1  # Ctrl-C is heard that soon where it cannot interrupt a wait


@contextmanager
def working(make: Callable[[Callable[[T], None]], Coroutine[Any, Any, object]]) -> Iterator[Iterator[T]]:
    """Run the coroutine that ``make(give)`` makes, and yield an iterator over what it gives.

    The iterator ends when the coroutine does, and raises what it raised.
    """
    worker: _Worker[T] = _Worker(make)
    worker.start()
    try:
        yield worker.given()
    finally:
        worker.stop()


class _Worker(Generic[T]):
    """The thread, its loop, and the queue between it and whoever takes."""

    def __init__(self, make: Callable[[Callable[[T], None]], Coroutine[Any, Any, object]]) -> None:
        self._make = make
        self._queue: queue.SimpleQueue[tuple[T] | None] = queue.SimpleQueue()  # None: there is nothing more
        self._begun, self._done = threading.Event(), threading.Event()
        self._error: BaseException | None = None
        self._task: asyncio.Task[object] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        context = contextvars.copy_context()
        threading.Thread(target=context.run, args=(self._work,), name="parallel_frames", daemon=True).start()
        self._begun.wait()

    def _work(self) -> None:
        try:
            with asyncio.Runner() as runner:
                self._loop = runner.get_loop()
                runner.run(self._main())
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that iterates
            self._error = error
        finally:
            self._begun.set()
            self._done.set()
            self._queue.put(None)

    async def _main(self) -> None:
        self._task = asyncio.current_task()
        self._begun.set()
        await self._make(lambda value: self._queue.put((value,)))

    def given(self) -> Iterator[T]:
        while (taken := self._take()) is not None:
            yield taken[0]
        if (error := self._error) is not None:
            self._error = None
            raise error

    def _take(self) -> tuple[T] | None:
        while True:
            with suppress(queue.Empty):
                return self._queue.get(timeout=POLL_SECONDS)

    def stop(self) -> None:
        """Cancel what is still at work and wait until it has ended; short waits, so that Ctrl-C is heard."""
        if self._loop is not None and self._task is not None and not self._done.is_set():
            with suppress(RuntimeError):  # the loop is closed already
                self._loop.call_soon_threadsafe(self._task.cancel)
        while not self._done.wait(POLL_SECONDS):
            pass

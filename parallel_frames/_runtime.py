"""Running a coroutine from anywhere: from a script, a notebook cell, a callback or a thread, with Ctrl-C.

It owns the choice of the event loop, what Ctrl-C does while it runs, and the cleanup afterwards: `run_from_anywhere`
returns a coroutine's result, `iterate_in_background` what one emits. It refuses to know what the coroutine is for. The
other switch of the interpreter that we touch is here too: `gc_paused`.

Only this module knows nest-asyncio, and of that only the part that makes one loop class re-entrant.
`nest_asyncio.apply()` would replace `asyncio.Task` and `asyncio.run` for the whole process, and run the user's own loop
from inside itself. The class patched here is ours; asyncio and the user's loop stay as they are.

There are three strategies:

- "here": no loop runs in this thread. A new loop, as `asyncio.run` makes one.
- "nested": a loop runs in this thread. A private re-entrant loop on top of it.
- "worker": the same, where nest-asyncio does not work (Python 3.14 on). A loop in a thread of its own.

With any of them, a loop that runs in the calling thread is blocked until the call returns, as by any blocking call: its
other tasks wait, and an `asyncio.timeout` around the call cannot fire before the call is over.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import gc
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

T = TypeVar("T")
Make: TypeAlias = Callable[[], Coroutine[Any, Any, T]]
Strategy: TypeAlias = Literal["here", "nested", "worker"]

_POLL_SECONDS = 0.1  # the delay of Ctrl-C where it cannot interrupt a wait
_GRACE_SECONDS = 1.0  # what a second Ctrl-C still leaves a worker for closing its loop

# The modules of handlers that only leave a note for a loop which is blocked while we run: with them, Ctrl-C is lost.
_HANDLERS_OF_BLOCKED_LOOPS = {"asyncio.runners", "ipykernel.ipkernel", __name__}

_thread = threading.local()  # .ctrl_c: in a worker thread of ours, the `_CtrlC` of the call that runs in it


def run_from_anywhere(make: Make[T], *, strategy: Strategy | None = None) -> T:
    """Run the coroutine that `make` makes to its end, whatever runs in this thread, and return its result.

    `make` is called once, in the thread that runs the coroutine, with the caller's context variables. When this
    returns or raises, the loop is closed and every task left on it was cancelled and awaited. What the coroutine
    raises comes out as it was raised. The first Ctrl-C cancels it, lets it clean up and raises KeyboardInterrupt;
    the second cuts the cleanup short. Tests choose the strategy themselves.
    """
    runners = {"here": _run_here, "nested": _run_nested, "worker": _run_in_worker}
    return runners[strategy or _choose_strategy()](make)


def real_time() -> float:
    """Return the seconds of the system's monotonic clock, also in tests that freeze Python's own clocks."""
    if hasattr(time, "clock_gettime"):
        return time.clock_gettime(time.CLOCK_MONOTONIC)
    return time.monotonic()


@contextmanager
def iterate_in_background(make: Callable[[Callable[[T], None]], Coroutine[Any, Any, object]]) -> Iterator[Iterator[T]]:
    """Run the coroutine that ``make(emit)`` makes in a thread of its own; yield an iterator over what it emits.

    The iterator ends when the coroutine does, and raises what it raised. No thread outlives the block: leaving it early
    cancels the coroutine and waits for its cleanup. Ctrl-C is not handled here: it belongs to the thread that iterates.
    """
    emitted: queue.SimpleQueue[tuple[T] | None] = queue.SimpleQueue()  # None: the end
    started = threading.Event()

    async def main() -> object:
        started.set()
        return await make(lambda item: emitted.put((item,)))

    def end() -> None:
        started.set()
        emitted.put(None)

    ctrl_c = _CtrlC(elsewhere=True)  # never entered: only its `cancel` is used
    outcome, done = _start_worker(main, ctrl_c, on_end=end)
    started.wait()  # before it, there is no task to cancel
    try:
        yield _iterate(emitted, outcome)
    finally:
        ctrl_c.cancel()
        while not done.wait(_POLL_SECONDS):
            pass
        outcome.clear()


@contextmanager
def gc_paused() -> Iterator[None]:
    """Pause the cyclic garbage collector, for making objects by the million; they must not form cycles.

    It looks through all objects whenever there are a quarter more of them: a third of the time in which a million
    outcomes are read.
    """
    if not gc.isenabled():  # by the user, or by an outer block, which resumes it
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _iterate(emitted: queue.SimpleQueue[tuple[T] | None], outcome: list[Future[object]]) -> Iterator[T]:
    while True:
        try:
            item = emitted.get(timeout=_POLL_SECONDS)
        except queue.Empty:
            continue
        if item is None:
            outcome.pop().result()
            return
        yield item[0]


def _choose_strategy() -> Strategy:
    """Choose by what runs in this thread and by what nest-asyncio can do on this Python."""
    trio = sys.modules.get("trio")
    if trio is not None and trio.lowlevel.in_trio_run():  # httpx would take this thread for trio's
        return "worker"
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return "here"
    return "worker" if _find_patch() is None else "nested"


def _find_patch() -> Callable[[asyncio.AbstractEventLoop], None] | None:
    """Return nest-asyncio's function that makes a loop's class re-entrant, or None where it does not work."""
    # `asyncio.current_task()` is None under it there, and every httpx request fails.
    if sys.version_info >= (3, 14):
        return None
    try:
        import nest_asyncio
    except Exception:  # noqa: BLE001 - no longer maintained: it may break in any way on a Python it never saw
        return None
    patch: Callable[[asyncio.AbstractEventLoop], None] | None = getattr(nest_asyncio, "_patch_loop", None)
    return patch


def _run_here(make: Make[T]) -> T:
    """Run it on a new loop in this thread, where no other runs."""
    with _CtrlC() as ctrl_c:
        return _drive(asyncio.new_event_loop, make, ctrl_c)


def _run_nested(make: Make[T]) -> T:
    """Run it on a private loop in this thread, on top of the one that runs."""
    hooks = sys.get_asyncgen_hooks()
    try:
        with _CtrlC() as ctrl_c:
            return _drive(_PrivateLoop, make, ctrl_c)
    finally:
        sys.set_asyncgen_hooks(*hooks)


def _run_in_worker(make: Make[T]) -> T:
    """Run it on a new loop in a thread of its own, while this thread waits."""
    with _CtrlC(elsewhere=True) as ctrl_c:
        outcome, done = _start_worker(make, ctrl_c)
        _wait_for_worker(done, ctrl_c)
        return outcome.pop().result()


def _start_worker(
    make: Make[T], ctrl_c: _CtrlC, *, on_end: Callable[[], object] = lambda: None
) -> tuple[list[Future[T]], threading.Event]:
    """Start a coroutine on a new loop in a new thread; return its result to come, and the event of its end.

    The result is in a list to be popped: the exception in it has a traceback, whose frames would refer back to it.
    """
    outcome: list[Future[T]] = [Future()]
    done = threading.Event()

    def work() -> None:
        _thread.ctrl_c = ctrl_c
        try:
            outcome[0].set_result(_drive(asyncio.new_event_loop, make, ctrl_c))
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that takes the result
            outcome[0].set_exception(error)
        finally:
            done.set()
            on_end()

    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(work,), name="parallel_frames", daemon=True).start()
    return outcome, done


def _wait_for_worker(done: threading.Event, ctrl_c: _CtrlC) -> None:
    """Wait until the worker is done; an exception in the wait first cancels the coroutine and lets it clean up."""
    try:
        # An Event in short waits and never `Thread.join`: a KeyboardInterrupt in there marks a live thread as ended.
        while not done.wait(_POLL_SECONDS) and ctrl_c.count < 2:
            pass
    except BaseException:  # a signal handler of the user's own raised
        ctrl_c.cancel()
        while not done.wait(_POLL_SECONDS):
            pass
        raise
    if not done.is_set():
        done.wait(_GRACE_SECONDS)
        raise KeyboardInterrupt


def _drive(make_loop: Callable[[], asyncio.AbstractEventLoop], make: Make[T], ctrl_c: _CtrlC) -> T:
    """Run the coroutine on a new loop in this thread; the Runner cancels what is left and closes the loop.

    `Runner.run` would refuse to run inside another loop. `run_until_complete` would keep the exception in its
    frame, and so the frames of the traceback, with the user's data in them, until the next garbage collection.
    """
    waiting = True

    def stop(_: object) -> None:
        if waiting:  # a late stop would cut the Runner's cleanup short
            loop.stop()

    with asyncio.Runner(loop_factory=make_loop) as runner:
        loop = runner.get_loop()
        loop.time = real_time  # type: ignore[method-assign] # a frozen clock would stop it
        task = loop.create_task(make())
        task.add_done_callback(stop)
        ctrl_c.watch(task)
        try:
            loop.run_forever()
            if not task.done():  # stopped by a second Ctrl-C
                raise KeyboardInterrupt
            return task.result()
        except asyncio.CancelledError:
            if ctrl_c.count and task.uncancel() == 0:
                raise KeyboardInterrupt from None
            raise
        finally:
            waiting = False
            if task.done() and not task.cancelled():
                task.exception()  # seen, or it is logged as never retrieved when a KeyboardInterrupt left the loop
            del task


class _PrivateLoop(asyncio.SelectorEventLoop):
    """A loop that runs on top of another in the same thread: the only class that nest-asyncio touches."""

    def __init__(self) -> None:
        super().__init__()
        patch = _find_patch()
        if patch is not None:
            patch(self)
        # The patched `run_until_complete` leaves the other loop's hooks in place, and our async generators would
        # be finalized over there. `_run_nested` puts the old hooks back.
        hooks = (self._asyncgen_firstiter_hook, self._asyncgen_finalizer_hook)  # type: ignore[attr-defined]
        sys.set_asyncgen_hooks(*hooks)


class _CtrlC:
    """Ctrl-C during one call: the first cancels the coroutine and lets it clean up, the second raises at once.

    Like `asyncio.Runner`, only in the main thread and only in place of Python's own handler (or of one that a
    blocked loop left behind); a coroutine that swallows its cancellation keeps its result. Unlike it, also while
    the loop is made and closed: a Ctrl-C too early or too late to cancel anything is raised at the end.
    """

    def __init__(self, *, elsewhere: bool = False) -> None:
        in_main = threading.current_thread() is threading.main_thread()
        self.count = 0
        self._raises = in_main and not elsewhere  # a thread that waits for a worker looks at the count instead
        self._delivered = False
        self._task: asyncio.Task[Any] | None = None
        self._previous: Any = None
        self._in_main = in_main
        self._outer: _CtrlC | None = None if in_main else getattr(_thread, "ctrl_c", None)
        self._inner: _CtrlC | None = None  # a call made inside our worker's loop, which is blocked by it

    def __enter__(self) -> Self:
        handler = signal.getsignal(signal.SIGINT)
        if self._in_main and _may_replace(handler):
            with suppress(ValueError):  # an embedded interpreter whose main thread gets no signals
                signal.signal(signal.SIGINT, self._on_sigint)
                self._previous = handler
        if self._in_main:
            _in_main_thread.append(self)
        if self._outer is not None:
            self._outer._inner = _thread.ctrl_c = self
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        self._task = None
        if self._in_main:
            _in_main_thread.remove(self)
        if self._outer is not None:
            self._outer._inner, _thread.ctrl_c = None, self._outer
        # A bound method is a new object each time: equal, never identical.
        if self._previous is not None and signal.getsignal(signal.SIGINT) == self._on_sigint:
            signal.signal(signal.SIGINT, self._previous)
        if self.count and not self._delivered and not isinstance(error, KeyboardInterrupt):
            raise KeyboardInterrupt

    def watch(self, task: asyncio.Task[Any]) -> None:
        """Set the task to cancel, from the thread that runs it."""
        self._task = task
        if self._raises:
            self._wake_up_often(task.get_loop())
        if self.count:
            self.cancel()

    def cancel(self) -> None:
        """Cancel the task if there is one, from any thread."""
        if self._inner is not None:
            self._inner.cancel()
        else:
            self._call_in_loop(self._deliver)

    def _on_sigint(self, number: int, frame: FrameType | None) -> None:
        if self._inner is not None:
            self._inner._on_sigint(number, frame)
            return
        self.count += 1
        if self.count == 1:
            self.cancel()
        elif self._raises:
            raise KeyboardInterrupt
        elif self._task is not None:
            self._call_in_loop(self._task.get_loop().stop)

    def _wake_up_often(self, loop: asyncio.AbstractEventLoop) -> None:
        """Have the loop's `select` return often: a signal just before it (on Windows: any) does not end it."""
        loop.call_later(_POLL_SECONDS, self._wake_up_often, loop)

    def _deliver(self) -> None:
        """Cancel the task, but only once: a second time would cut its cleanup short."""
        if self._task is not None and not self._delivered:
            self._delivered = self._task.cancel()

    def _call_in_loop(self, callback: Callable[[], object]) -> None:
        if self._task is not None:
            with suppress(RuntimeError):  # the loop is closed already
                self._task.get_loop().call_soon_threadsafe(callback)


_in_main_thread: list[_CtrlC] = []


def interrupt(number: int, frame: FrameType | None) -> None:
    """Do what Ctrl-C does, also where a shell had SIGINT ignored; a handler of other signals, for the main thread.

    A KeyboardInterrupt raised wherever the loop happens to be may land in code that cannot bear it.
    """
    if _in_main_thread:
        _in_main_thread[-1]._on_sigint(number, frame)
    else:
        signal.default_int_handler(number, frame)


def _may_replace(handler: Any) -> bool:
    """Return whether a SIGINT handler is Python's own or belongs to a loop that is blocked while we run."""
    function = handler.func if isinstance(handler, functools.partial) else handler
    known = getattr(function, "__module__", None) in _HANDLERS_OF_BLOCKED_LOOPS
    return handler is signal.default_int_handler or known

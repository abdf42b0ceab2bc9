"""One coroutine, run to its end from any synchronous caller: script, notebook cell, callback or thread.

Owns the choice of the event loop, what Ctrl-C does meanwhile, and the tidying up afterwards. It refuses to know
what the coroutine is for. It alone knows nest-asyncio, and of that only the part that makes one loop class
re-entrant: `nest_asyncio.apply()` would replace `asyncio.Task` and `asyncio.run` for the whole process and run the
user's own loop from inside itself. The class patched here is ours; asyncio and the user's loop stay as they are.

- "here": no loop runs in this thread. A new loop, as `asyncio.run` makes one.
- "nested": a loop runs in this thread. A private re-entrant loop on top of it.
- "worker": the same, where nest-asyncio cannot serve (Python 3.14 on). A loop in a thread of its own.

Whichever it is, a loop that runs in the calling thread stands still until the call returns, as in any blocking
call: its other tasks wait, and an `asyncio.timeout` around the call cannot fire before the call is over.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import signal
import sys
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias, TypeVar

if TYPE_CHECKING:
    from types import FrameType

T = TypeVar("T")
Make: TypeAlias = Callable[[], Coroutine[Any, Any, T]]
Strategy: TypeAlias = Literal["here", "nested", "worker"]

_POLL_SECONDS = 0.1  # Ctrl-C is heard that soon where it cannot interrupt a wait
_GRACE_SECONDS = 1.0  # what a second Ctrl-C still leaves a worker for closing its loop

# These handlers only leave a note for a loop that stands still while we run, so Ctrl-C would go unheard.
_HANDLERS_OF_BLOCKED_LOOPS = {"asyncio.runners", "ipykernel.ipkernel", __name__}

_innermost = threading.local()  # .ctrl_c: whose loop runs in this thread, where the thread is a worker of ours


def run_from_anywhere(make: Make[T], *, strategy: Strategy | None = None) -> T:
    """Run the coroutine that `make` makes to its end, whatever runs in this thread, and return its result.

    `make` is called once, in the thread that runs the coroutine, with the caller's context variables. When this
    returns or raises, the loop is closed and every task left on it was cancelled and awaited. What the coroutine
    raises comes out as it was raised. The first Ctrl-C cancels it, lets it clean up and raises KeyboardInterrupt;
    the second cuts the cleanup short. Tests choose the strategy themselves.
    """
    runners = {"here": _run_here, "nested": _run_nested, "worker": _run_in_worker}
    return runners[strategy or _choose_strategy()](make)


def _choose_strategy() -> Strategy:
    """Look at what runs in this thread and at what nest-asyncio can do on this Python."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return "here"
    return "worker" if _find_patch() is None else "nested"


def _find_patch() -> Callable[[asyncio.AbstractEventLoop], None] | None:
    """Return nest-asyncio's function that makes a loop's class re-entrant, or None where it cannot serve."""
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
    outcome: list[Future[T]] = [Future()]  # popped at the end: its exception's traceback holds this frame
    done = threading.Event()

    def work() -> None:
        _innermost.ctrl_c = ctrl_c
        try:
            outcome[0].set_result(_drive(asyncio.new_event_loop, make, ctrl_c))
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            outcome[0].set_exception(error)
        finally:
            done.set()

    with _CtrlC(elsewhere=True) as ctrl_c:
        context = contextvars.copy_context()
        threading.Thread(target=context.run, args=(work,), name="parallel_frames", daemon=True).start()
        _wait_for_worker(done, ctrl_c)
        return outcome.pop().result()


def _wait_for_worker(done: threading.Event, ctrl_c: _CtrlC) -> None:
    """Wait until the worker is done; what interrupts the wait first cancels the coroutine and lets it drain.

    An Event in short waits and never `Thread.join`: a KeyboardInterrupt in there marks a live thread as ended.
    """
    try:
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
    """Run the coroutine on a new loop in this thread; the Runner drains and closes the loop whatever happens.

    `Runner.run` would refuse to run beside another loop. `run_until_complete` would keep the exception in its
    frame, and so the frames of the traceback, with the user's data in them, until the next garbage collection.
    """
    waiting = True

    def stop(_: object) -> None:
        if waiting:  # a stop that comes late would cut the draining short
            loop.stop()

    with asyncio.Runner(loop_factory=make_loop) as runner:
        loop = runner.get_loop()
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
        # be finalized over there. Who makes this loop puts the old hooks back.
        hooks = (self._asyncgen_firstiter_hook, self._asyncgen_finalizer_hook)  # type: ignore[attr-defined]
        sys.set_asyncgen_hooks(*hooks)


class _CtrlC:
    """Ctrl-C during one call: the first cancels the coroutine and lets it drain, the next raises at once.

    Like `asyncio.Runner`, only in the main thread and only in place of Python's own handler (or of one that a
    blocked loop left behind); a coroutine that swallows its cancellation keeps its result. Unlike it, also while
    the loop is made and closed: a Ctrl-C too early or too late to cancel anything is raised at the end.
    """

    def __init__(self, *, elsewhere: bool = False) -> None:
        in_main = threading.current_thread() is threading.main_thread()
        self.count = 0
        self._raises = in_main and not elsewhere  # a waiting caller sees the count instead
        self._delivered = False
        self._task: asyncio.Task[Any] | None = None
        self._previous: Any = None
        self._in_main = in_main
        self._outer: _CtrlC | None = None if in_main else getattr(_innermost, "ctrl_c", None)
        self._inner: _CtrlC | None = None  # a call from inside our worker's loop, which stands still meanwhile

    def __enter__(self) -> Self:
        handler = signal.getsignal(signal.SIGINT)
        if self._in_main and _may_replace(handler):
            with suppress(ValueError):  # an embedded interpreter whose main thread gets no signals
                signal.signal(signal.SIGINT, self._on_sigint)
                self._previous = handler
        if self._outer is not None:
            self._outer._inner = _innermost.ctrl_c = self
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        self._task = None
        if self._outer is not None:
            self._outer._inner, _innermost.ctrl_c = None, self._outer
        # A bound method is made anew each time: equal, never identical.
        if self._previous is not None and signal.getsignal(signal.SIGINT) == self._on_sigint:
            signal.signal(signal.SIGINT, self._previous)
        if self.count and not self._delivered and not isinstance(error, KeyboardInterrupt):
            raise KeyboardInterrupt

    def watch(self, task: asyncio.Task[Any]) -> None:
        """Say which task to cancel, from the thread that runs it."""
        self._task = task
        if self._raises:
            self._stay_awake(task.get_loop())
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

    def _stay_awake(self, loop: asyncio.AbstractEventLoop) -> None:
        """Look up now and then: a signal just before the loop's `select` (on Windows: any) does not end it."""
        loop.call_later(_POLL_SECONDS, self._stay_awake, loop)

    def _deliver(self) -> None:
        """Cancel the task once, however often it is asked for: a second time would cut its cleanup short."""
        if self._task is not None and not self._delivered:
            self._delivered = self._task.cancel()

    def _call_in_loop(self, callback: Callable[[], object]) -> None:
        if self._task is not None:
            with suppress(RuntimeError):  # the loop is closed already
                self._task.get_loop().call_soon_threadsafe(callback)


def _may_replace(handler: Any) -> bool:
    """Tell whether a SIGINT handler is Python's own or belongs to a loop that stands still meanwhile."""
    function = handler.func if isinstance(handler, functools.partial) else handler
    known = getattr(function, "__module__", None) in _HANDLERS_OF_BLOCKED_LOOPS
    return handler is signal.default_int_handler or known

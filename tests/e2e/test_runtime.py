"""A coroutine runs to its end from any synchronous caller, and leaves everything around it as it was."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import signal
import subprocess
import sys
import threading
import time
import traceback
import weakref
from pathlib import Path

import httpx
import pytest

from parallel_frames import _runtime
from parallel_frames._runtime import iterate_in_background, run_from_anywhere

CALLER: contextvars.ContextVar[str] = contextvars.ContextVar("CALLER", default="unset")
# The folder of the module, which is imported as a file: the package's own imports would take seconds each time.
FOLDER = str(Path(_runtime.__file__).parent)
HERE = ["script", "thread"]  # callers in whose thread no loop runs
NESTED = ["asyncio", "callback", "two deep", *(["uvloop"] if sys.platform != "win32" else [])]
EVERYWHERE = [
    *((caller, None) for caller in HERE + NESTED),
    *((caller, "worker") for caller in HERE + NESTED),
]
everywhere = pytest.mark.parametrize(("caller", "strategy"), EVERYWHERE)
over_a_loop = pytest.mark.parametrize("strategy", ["nested", "worker"])


@pytest.fixture(autouse=True)
def _collect():
    """Have what a test leaves unclosed complain within that test."""
    yield
    gc.collect()


def call_from(caller, call):
    """Call a synchronous function from one of the places a user may call it from."""
    if caller == "script":
        return call()
    if caller == "thread":
        return asyncio.run(asyncio.to_thread(call))  # while this thread's loop runs
    if caller == "callback":
        return asyncio.run(_in_callback(call))
    if caller == "two deep":
        return asyncio.run(_async(lambda: run_from_anywhere(lambda: _async(call))))
    if caller == "uvloop":
        return pytest.importorskip("uvloop").run(_async(call))
    return asyncio.run(_async(call))


async def _async(call):
    return call()


async def _in_callback(call):
    answer = asyncio.get_running_loop().create_future()

    def callback():
        try:
            answer.set_result(call())
        except BaseException as error:  # noqa: BLE001 - handed over, as in any future
            answer.set_exception(error)

    asyncio.get_running_loop().call_soon(callback)
    return await answer


async def _double(number):
    await asyncio.sleep(0.001)
    return 2 * number


@everywhere
def test_result_comes_back(caller, strategy):
    """The result of the coroutine is the result of the call, wherever it comes from."""
    assert call_from(caller, lambda: run_from_anywhere(lambda: _double(21), strategy=strategy)) == 42


@everywhere
def test_exception_passes_as_it_was_raised(caller, strategy):
    """The very exception object comes out, its traceback leading to the line that raised it."""
    error = ValueError("boom")

    async def fail():
        await asyncio.sleep(0)
        raise error

    def call():
        with pytest.raises(ValueError, match="boom") as caught:
            run_from_anywhere(fail, strategy=strategy)
        return caught.value

    assert call_from(caller, call) is error
    assert traceback.extract_tb(error.__traceback__)[-1].name == "fail"
    assert error.__cause__ is error.__context__ is None


@everywhere
def test_context_is_seen_inside_and_not_changed_outside(caller, strategy):
    """The coroutine sees the caller's context variables, and what it sets stays its own."""

    async def look():
        seen = CALLER.get()
        CALLER.set("coroutine")
        return seen, await asyncio.create_task(_async(CALLER.get))

    def call():
        CALLER.set("user")
        return run_from_anywhere(look, strategy=strategy), CALLER.get()

    assert contextvars.copy_context().run(call_from, caller, call) == (("user", "coroutine"), "user")


@everywhere
def test_everything_left_behind_is_drained(caller, strategy):
    """Tasks left behind are cancelled and awaited, async generators closed, the executor shut down, the loop closed."""
    ends = []

    async def numbers():
        try:
            yield 1
        finally:
            await asyncio.sleep(0)
            ends.append(("generator", asyncio.get_running_loop()))

    async def linger():
        try:
            await asyncio.sleep(60)
        finally:
            async for _ in kept[1]:  # first iterated only while draining
                break
            ends.append(("task", asyncio.get_running_loop()))

    kept = []

    async def main():
        kept.extend([numbers(), numbers(), asyncio.create_task(linger())])
        await anext(kept[0])
        await asyncio.to_thread(threading.get_ident)
        return asyncio.get_running_loop()

    before = set(threading.enumerate())  # a loop of fsspec's, say, and its executor
    loop = call_from(caller, lambda: run_from_anywhere(main, strategy=strategy))
    assert loop.is_closed()
    assert sorted(name for name, _ in ends) == ["generator", "generator", "task"]
    assert {where for _, where in ends} == {loop}
    began = set(threading.enumerate()) - before
    assert not [thread for thread in began if thread.name.startswith(("asyncio", "parallel"))]


@everywhere
def test_frames_are_let_go(caller, strategy):
    """An exception that was handled keeps no frame alive, not even until the next garbage collection."""

    class Data:
        pass

    async def fail(data):
        await asyncio.sleep(0)
        raise ValueError(str(data))

    def call():
        data = Data()
        try:
            run_from_anywhere(lambda: fail(data), strategy=strategy)
        except ValueError:
            return weakref.ref(data)

    gc.collect()
    gc.disable()
    try:
        assert call_from(caller, call)() is None
    finally:
        gc.enable()


@everywhere
def test_httpx_works_inside(caller, strategy):
    """An httpx client inside the coroutine talks to a server over real sockets, several requests at a time."""

    async def answer(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async def main():
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with server, httpx.AsyncClient(trust_env=False, timeout=10) as client:
            answers = await asyncio.gather(*(client.get(url) for _ in range(5)))
        return [each.text for each in answers]

    assert call_from(caller, lambda: run_from_anywhere(main, strategy=strategy)) == ["hello"] * 5


@everywhere
def test_sigint_handler_comes_back(caller, strategy):
    """The handler of Ctrl-C is the same before and after, with a result as with an exception."""

    def call():
        before = signal.getsignal(signal.SIGINT)
        run_from_anywhere(lambda: _double(1), strategy=strategy)
        with pytest.raises(TypeError):
            run_from_anywhere(lambda: _double(None), strategy=strategy)
        return before == signal.getsignal(signal.SIGINT)

    assert call_from(caller, call)


@pytest.mark.parametrize("caller", NESTED)
@over_a_loop
def test_asyncio_and_the_users_loop_are_untouched(caller, strategy):
    """asyncio, its policy and the class of the user's loop hold the same objects before and after."""

    def snapshot():
        policy, loop = asyncio.get_event_loop_policy(), asyncio.get_running_loop()
        names = ["Task", "Future", "run", "get_event_loop", "get_running_loop", "ensure_future", "create_task"]
        values = [getattr(asyncio, name) for name in names]
        values += [asyncio.tasks.Task, asyncio.futures.Future, asyncio.events.get_event_loop]
        values += [policy, type(policy), type(policy).get_event_loop, type(loop)]
        return values + [
            getattr(cls, name, None)
            for cls in (asyncio.SelectorEventLoop, asyncio.BaseEventLoop)
            for name in ("run_forever", "run_until_complete", "_run_once", "_check_running", "_nest_patched")
        ]

    def call():
        before = snapshot()
        run_from_anywhere(lambda: _double(1), strategy=strategy)
        return all(old is new for old, new in zip(before, snapshot(), strict=True))

    assert call_from(caller, call)
    assert not hasattr(asyncio, "_nest_patched")


@pytest.mark.parametrize("runner", ["asyncio", "uvloop"])
@over_a_loop
def test_the_users_tasks_go_on_afterwards(runner, strategy):
    """The user's loop is blocked meanwhile; then its task is the current one again and the others continue."""
    run = asyncio.run if runner == "asyncio" else pytest.importorskip("uvloop").run

    async def user():
        ticks = []

        async def tick():
            while True:
                ticks.append(asyncio.current_task())
                await asyncio.sleep(0.001)

        other = asyncio.create_task(tick())
        await asyncio.sleep(0.02)
        me, loop, hooks, count = (
            asyncio.current_task(),
            asyncio.get_running_loop(),
            sys.get_asyncgen_hooks(),
            len(ticks),
        )
        assert run_from_anywhere(lambda: _double(2), strategy=strategy) == 4
        with pytest.raises(TypeError):
            run_from_anywhere(lambda: _double(None), strategy=strategy)
        assert len(ticks) == count
        assert asyncio.current_task() is me
        assert asyncio.get_running_loop() is asyncio.get_event_loop() is loop
        assert sys.get_asyncgen_hooks() == hooks
        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            doubled = group.create_task(_double(4))
        assert doubled.result() == 8
        await asyncio.sleep(0.02)
        assert len(ticks) > count
        assert set(ticks) == {other}
        other.cancel()

    run(user())


@over_a_loop
def test_two_deep_ends_in_order(strategy):
    """A call inside a callback inside a call returns to the right task and loop at every level."""

    async def inner():
        await asyncio.sleep(0.001)
        return asyncio.current_task(), asyncio.get_running_loop()

    async def outer():
        before = asyncio.current_task(), asyncio.get_running_loop()
        deeper = await _in_callback(lambda: run_from_anywhere(inner, strategy=strategy))
        await asyncio.sleep(0.001)
        assert before == (asyncio.current_task(), asyncio.get_running_loop())
        return before, deeper

    async def user():
        before = asyncio.current_task(), asyncio.get_running_loop()
        levels = run_from_anywhere(outer, strategy=strategy)
        assert before == (asyncio.current_task(), asyncio.get_running_loop())
        return before, *levels

    assert len({loop for _, loop in asyncio.run(user())}) == 3


def test_strategy_follows_what_runs():
    """Alone the coroutine runs on a plain loop, over another loop on a private one, and always in this thread."""

    async def where():
        return type(asyncio.get_running_loop()).__name__, threading.get_ident()

    alone, nested = run_from_anywhere(where), asyncio.run(_async(lambda: run_from_anywhere(where)))
    plain = asyncio.new_event_loop()
    plain.close()
    assert alone == (type(plain).__name__, threading.get_ident())
    if sys.version_info < (3, 14):
        assert nested == ("_PrivateLoop", threading.get_ident())


@pytest.mark.parametrize("body", ["raise ImportError", "raise RuntimeError", "pass"])
def test_worker_takes_over_where_nest_asyncio_cannot_serve(tmp_path, body):
    """With a nest-asyncio that is missing, broken or of another shape the coroutine runs in a worker thread."""
    (tmp_path / "nest_asyncio.py").write_text(body)
    script = """
import asyncio, sys, threading
sys.path[:0] = sys.argv[1:]
from _runtime import run_from_anywhere
async def where():
    return threading.current_thread().name
async def user():
    print(run_from_anywhere(where))
asyncio.run(user())
"""
    done = subprocess.run([sys.executable, "-c", script, tmp_path, FOLDER], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("parallel_frames\n", "")


def test_it_works_where_the_user_applied_nest_asyncio():
    """In a process that nest-asyncio has patched for good the call works all the same, twice and two deep."""
    script = """
import asyncio, sys, nest_asyncio
nest_asyncio.apply()
sys.path.insert(0, sys.argv[1])
from _runtime import run_from_anywhere
async def inner():
    await asyncio.sleep(0.001)
    return asyncio.current_task() is not None
async def outer():
    return run_from_anywhere(inner) and await inner()
async def user():
    print(run_from_anywhere(outer), run_from_anywhere(outer), await inner())
print(run_from_anywhere(outer))
asyncio.run(user())
"""
    command = [sys.executable, "-W", "ignore", "-c", script, FOLDER]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("True\nTrue True True\n", "")


def test_importing_it_does_not_import_nest_asyncio():
    """nest-asyncio is imported by the first call that needs it, not with the package."""
    script = "import sys, parallel_frames._runtime; print('nest_asyncio' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("False\n", "")


# -- iterating over what a coroutine in another thread emits ---------------------------------------------------------


@pytest.mark.parametrize("caller", HERE + NESTED)
def test_what_is_emitted_arrives_in_order_and_then_the_end(caller):
    """Items arrive as they are emitted, from a coroutine in another thread that sees the caller's context."""

    async def emit_numbers(emit):
        for number in range(100):
            emit((number, CALLER.get(), threading.get_ident()))
            await asyncio.sleep(0)

    def call():
        CALLER.set("user")
        with iterate_in_background(emit_numbers) as items:
            return list(items)

    items = contextvars.copy_context().run(call_from, caller, call)
    assert [(number, caller) for number, caller, _ in items] == [(number, "user") for number in range(100)]
    assert threading.get_ident() not in {thread for _, _, thread in items}


def test_an_exception_comes_after_what_was_emitted():
    """What came before it is handed out, and then the very exception is raised."""
    error = ValueError("boom")
    items = []

    async def fail(emit):
        emit(1)
        raise error

    def iterate():
        with iterate_in_background(fail) as emitted:
            items.extend(emitted)

    with pytest.raises(ValueError, match="boom") as caught:
        iterate()
    assert (items, caught.value) == ([1], error)


def test_leaving_the_block_early_cancels_the_coroutine_and_waits_for_its_cleanup():
    """No thread outlives the block, whether it is left after an item, before the first one or by an exception."""
    cleaned = []

    async def emit_for_ever(emit):
        try:
            while True:
                emit(len(cleaned))
                await asyncio.sleep(0.001)
        finally:
            await asyncio.sleep(0.01)
            cleaned.append(threading.current_thread())

    with iterate_in_background(emit_for_ever) as items:
        assert next(items) == 0
    with iterate_in_background(emit_for_ever):
        pass
    with pytest.raises(KeyError), iterate_in_background(emit_for_ever):
        raise KeyError
    assert len(cleaned) == 3
    for thread in cleaned:
        thread.join(5)  # its cleanup is over; of the thread itself, a few instructions may be left
        assert not thread.is_alive()


def test_a_call_inside_the_background_coroutine_is_cancelled_with_it():
    """Leaving the block does not wait for a call that blocks the coroutine's own loop."""

    async def call_again(emit):
        emit(1)
        run_from_anywhere(lambda: asyncio.sleep(60))

    started = time.monotonic()
    with iterate_in_background(call_again) as items:
        assert next(items) == 1
        time.sleep(0.05)
    assert time.monotonic() - started < 10


def test_a_coroutine_that_cannot_be_made_is_an_exception_and_no_hang():
    """What goes wrong before the coroutine runs is raised by the iterator."""

    def make(_emit):
        raise ZeroDivisionError

    def iterate():
        with iterate_in_background(make) as items:
            return list(items)

    with pytest.raises(ZeroDivisionError):
        iterate()

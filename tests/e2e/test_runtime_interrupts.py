"""Ctrl-C at any moment: the coroutine cleans up, KeyboardInterrupt comes out, and the process can continue."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from parallel_frames import _runtime

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT to a subprocess")

# Where the call is made: no loop, or under a runner that brings its own SIGINT handler.
CALLERS = ["script", "asyncio", "uvloop", "two deep"]
EVERYWHERE = [(caller, strategy) for caller in CALLERS for strategy in ("", "worker")]
everywhere = pytest.mark.parametrize(("caller", "strategy"), EVERYWHERE)

FOLDER = str(Path(_runtime.__file__).parent)

# The module is imported as a file: it needs nothing of the package, whose own imports would take a minute in all.
PRELUDE = """
import asyncio, os, random, signal, sys, threading, time
sys.path.insert(0, sys.argv[3])
from _runtime import run_from_anywhere

caller, strategy = sys.argv[1], sys.argv[2] or None

def echo(*words):
    print(*words, flush=True)

def run_async(make):
    return run_from_anywhere(make, strategy=strategy)

async def answer():
    await asyncio.sleep(0.001)
    return "next call works"

async def async_(call):
    return call()

def start(call):
    if caller == "script":
        return call()
    if caller == "uvloop":
        import uvloop
        return uvloop.run(async_(call))
    if caller == "two deep":
        return asyncio.run(async_(lambda: run_async(lambda: async_(call))))
    return asyncio.run(async_(call))
"""


class Program:
    """A Python program that gets Ctrl-C when it prints one of the given lines."""

    def __init__(self, body, caller="script", strategy=""):
        self.command = [sys.executable, "-W", "error", "-c", PRELUDE + body, caller, strategy, FOLDER]

    def run(self, *interrupt_at):
        """Run it, and return its exit code, its lines of output, its errors, and the seconds since the last Ctrl-C."""
        waiting, printed, last = list(interrupt_at), [], time.monotonic()
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        with subprocess.Popen(self.command, **pipes) as process:
            for line in process.stdout:
                printed.append(line.strip())
                if waiting and printed[-1] == waiting[0]:
                    waiting.pop(0)
                    time.sleep(0.05)  # it proceeds from its print to what it does next
                    process.send_signal(signal.SIGINT)
                    last = time.monotonic()
            errors = process.stderr.read()
        assert not waiting, (printed, errors)
        return process.returncode, printed, errors, time.monotonic() - last


WORK = """
async def linger(name):
    try:
        await asyncio.sleep(60)
    finally:
        await asyncio.sleep(0.05)
        echo(name, "cleaned")

async def main():
    other = asyncio.create_task(linger("other"))
    await asyncio.sleep(0)
    echo("working")
    await linger("main")
"""


@everywhere
def test_first_ctrl_c_cleans_up_and_ends_the_program(caller, strategy):
    """Uncaught, it ends the program as Ctrl-C does, after the coroutine's cleanup and then its tasks' ran."""
    program = Program(WORK + "start(lambda: run_async(main))", caller, strategy)
    code, printed, errors, seconds = program.run("working")
    assert (code, printed) == (-signal.SIGINT, ["working", "main cleaned", "other cleaned"])
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert "destroyed" not in errors
    assert "never" not in errors
    assert seconds < 5


@everywhere
def test_next_call_works_after_ctrl_c(caller, strategy):
    """Caught, it leaves a process in which the next call, and the next Ctrl-C, work as the first did."""
    body = """
def call():
    for _ in range(2):
        try:
            run_async(main)
        except KeyboardInterrupt:
            echo("interrupted")
    echo(run_async(answer))
start(call)
echo(asyncio.run(answer()))
"""
    code, printed, errors, _ = Program(WORK + body, caller, strategy).run("working", "working")
    once = ["working", "main cleaned", "other cleaned", "interrupted"]
    assert (code, printed, errors) == (0, [*once, *once, "next call works", "next call works"], "")


@pytest.mark.parametrize("stuck", ["await asyncio.sleep(60)", "time.sleep(60)"])
@pytest.mark.parametrize(("caller", "strategy"), [("script", ""), ("asyncio", ""), ("asyncio", "worker")])
def test_second_ctrl_c_ends_a_stuck_cleanup(caller, strategy, stuck):
    """A cleanup that hangs, waiting or blocking, is over soon after the second Ctrl-C; the next call works."""
    body = f"""
async def main():
    other = asyncio.create_task(linger())
    await asyncio.sleep(0)
    try:
        echo("working")
        await asyncio.sleep(60)
    finally:
        echo("cleaning")
        {stuck}
        echo("never printed")
async def linger():
    try:
        await asyncio.sleep(60)
    finally:
        await asyncio.sleep(0.05)
        notes.append("other cleaned")
notes = []
def call():
    try:
        run_async(main)
    except KeyboardInterrupt:
        echo("interrupted")
    echo(*notes, run_async(answer))
start(call)
"""
    code, printed, errors, seconds = Program(body, caller, strategy).run("working", "cleaning")
    # A thread that blocks is left behind with what it has not drained.
    last = "next call works" if (strategy, stuck[0]) == ("worker", "t") else "other cleaned next call works"
    assert (code, printed, errors) == (0, ["working", "cleaning", "interrupted", last], "")
    assert seconds < 5


@pytest.mark.parametrize(("caller", "strategy"), [("script", ""), ("asyncio", ""), ("asyncio", "worker")])
def test_ctrl_c_is_heard_when_it_does_not_end_the_wait(caller, strategy):
    """A signal that another thread catches wakes nothing up, and yet the coroutine is cancelled soon."""
    body = """
async def main():
    threading.Timer(0.1, lambda: signal.pthread_kill(threading.get_ident(), signal.SIGINT)).start()
    await asyncio.sleep(60)
def call():
    started = time.monotonic()
    try:
        run_async(main)
    except KeyboardInterrupt:
        echo("interrupted", time.monotonic() - started < 2)
start(call)
"""
    code, printed, errors, _ = Program(body, caller, strategy).run()
    assert (code, printed, errors) == (0, ["interrupted True"], "")


@pytest.mark.parametrize("strategy", ["here", "nested", "worker"])
def test_ctrl_c_at_random_moments(strategy):
    """Of 60 calls cut at random moments each raises KeyboardInterrupt once, and each that began has cleaned up."""
    body = """
began = cleaned = raised = 0

async def numbers():
    number = 0
    while True:
        await asyncio.sleep(0)
        yield number

async def busy():
    async for _ in numbers():
        await asyncio.to_thread(sum, range(100))

async def main(seconds):
    global began, cleaned
    began += 1
    try:
        others = [asyncio.create_task(busy()) for _ in range(5)]
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        await asyncio.sleep(0.001)
        cleaned += 1
        raise
    else:
        cleaned += 1

def interrupt(seconds):
    time.sleep(seconds)
    os.kill(os.getpid(), signal.SIGINT)

def call(moment, length):
    global raised
    thread = threading.Thread(target=interrupt, args=(moment,))
    try:
        thread.start()
        run_async(lambda: main(length))
        for _ in range(500):  # it ended before its interrupt
            time.sleep(0.01)
    except KeyboardInterrupt:
        raised += 1
    thread.join()

async def user():
    signal.signal(signal.SIGINT, signal.default_int_handler)  # as in a notebook's cell
    ticks = asyncio.create_task(asyncio.sleep(0.001, "user's task"))
    calls()
    echo(await ticks, run_async(answer))

def calls():
    for number in range(60):
        moment = random.uniform(0.0005, 0.03)
        call(moment, 60 if number % 2 else moment * random.uniform(0.8, 1.1))  # or about when it ends by itself
    echo(raised, began == cleaned, began > 30, began < 61)

calls() if strategy == "here" else asyncio.run(user())
"""
    code, printed, errors, _ = Program(body, "script", strategy).run()
    ends = [] if strategy == "here" else ["user's task next call works"]
    assert (code, printed, errors) == (0, ["60 True True True", *ends], "")


@pytest.mark.parametrize(("caller", "strategy"), [("script", ""), ("asyncio", ""), ("asyncio", "worker")])
def test_swallowed_cancellation_keeps_the_result(caller, strategy):
    """A coroutine that answers its cancellation with a result has decided to continue: the result comes back."""
    body = """
async def main():
    try:
        echo("working")
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        return "result"
start(lambda: echo(run_async(main)))
"""
    code, printed, errors, _ = Program(body, caller, strategy).run("working")
    assert (code, printed, errors) == (0, ["working", "result"], "")


@pytest.mark.parametrize(("caller", "strategy"), [("script", ""), ("asyncio", ""), ("asyncio", "worker")])
def test_ctrl_c_during_the_draining_is_raised_after_it(caller, strategy):
    """A Ctrl-C that comes when the coroutine has ended waits for its tasks' cleanup, and is raised then."""
    body = """
async def linger():
    try:
        await asyncio.sleep(60)
    finally:
        echo("draining")
        await asyncio.sleep(0.3)
        echo("cleaned")
async def main():
    keep.append(asyncio.create_task(linger()))
    await asyncio.sleep(0)
keep = []
def call():
    try:
        run_async(main)
    except KeyboardInterrupt:
        echo("interrupted")
start(call)
"""
    code, printed, errors, _ = Program(body, caller, strategy).run("draining")
    assert (code, printed, errors) == (0, ["draining", "cleaned", "interrupted"], "")


@pytest.mark.parametrize(("caller", "strategy"), [("script", ""), ("asyncio", ""), ("asyncio", "worker")])
def test_the_users_own_handler_is_left_alone(caller, strategy):
    """Where the user handles SIGINT, their handler is the one that runs; what it raises comes out, cleaned up."""
    body = """
class Stop(Exception):
    pass
def handler(*_):
    echo("handled")
    if not calm:
        raise Stop
async def main(seconds):
    try:
        echo("working")
        await asyncio.sleep(seconds)
        return "result"
    finally:
        echo("cleaned")
def call():
    global calm
    signal.signal(signal.SIGINT, handler)
    calm = True
    echo(run_async(lambda: main(0.5)))
    calm = False
    try:
        run_async(lambda: main(60))
    except Stop:
        echo("stopped")
    echo(signal.getsignal(signal.SIGINT) is handler)
start(call)
"""
    code, printed, errors, _ = Program(body, caller, strategy).run("working", "working")
    first, second = ["working", "handled", "cleaned", "result"], ["working", "handled", "cleaned", "stopped", "True"]
    assert (code, printed, errors) == (0, first + second, "")


def test_a_thread_of_the_user_is_not_interrupted():
    """A call in another thread continues through a Ctrl-C, which belongs to the main thread."""
    body = """
async def main():
    echo("working")
    await asyncio.sleep(0.5)
    return "result"
results = []
thread = threading.Thread(target=lambda: results.append(run_async(main)))
thread.start()
try:
    time.sleep(60)
except KeyboardInterrupt:
    echo("interrupted")
thread.join()
echo(*results)
"""
    code, printed, errors, _ = Program(body).run("working")
    assert (code, printed, errors) == (0, ["working", "interrupted", "result"], "")

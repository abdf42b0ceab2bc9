"""In a real Jupyter kernel a cell may call it: other cells queue behind it, the kernel's interrupt ends it."""

from __future__ import annotations

import gc
import sys
import time

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="interrupts a kernel by SIGINT")

SETUP = """
import asyncio
from parallel_frames._runtime import run_from_anywhere
notes = []

def run_async(make):
    return run_from_anywhere(make, strategy=strategy)

async def work(seconds):
    other = asyncio.create_task(asyncio.sleep(60))
    try:
        print("working", flush=True)
        await asyncio.sleep(seconds)
        return "worked"
    finally:
        await asyncio.sleep(0.05)
        notes.append("cleaned")
"""


class Notebook:
    """A kernel, and what its cells print."""

    def __init__(self, manager, client):
        self.manager, self.client = manager, client

    def close(self):
        """Shut the kernel down."""
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)
        self.manager.cleanup_resources()

    def queue(self, *cells):
        """Send cells one after the other without waiting, as Run All does."""
        return [self.client.execute(cell, stop_on_error=False) for cell in cells]

    def wait(self, cell, *, until=None):
        """Return what a cell printed and the name of the error it ended with, once it is idle or has printed that."""
        text, error, end = "", "", time.monotonic() + 30
        while time.monotonic() < end:
            message = self.client.get_iopub_msg(timeout=30)
            if message["parent_header"].get("msg_id") != cell:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind == "stream":
                text += content["text"]  # a line may come in two messages
            elif kind == "error":
                error = content["ename"]
            printed = text.splitlines()
            if (until and until in printed) or (kind == "status" and content["execution_state"] == "idle"):
                return printed, error
        raise AssertionError((text, error))

    def run(self, source):
        """Run one cell to its end."""
        return self.wait(*self.queue(source))

    def interrupt(self, source, at):
        """Run one cell, and interrupt the kernel once the cell has printed `at`."""
        (cell,) = self.queue(source)
        self.wait(cell, until=at)
        time.sleep(0.05)
        self.manager.interrupt_kernel()
        return self.wait(cell)[1]


@pytest.fixture(scope="module")
def kernel(start_kernel):
    """One kernel for the module: a cell must leave it as it was anyway."""
    notebook = Notebook(*start_kernel())
    yield notebook
    notebook.close()
    gc.collect()


@pytest.fixture(params=[None, "worker"], ids=["chosen", "worker"])
def notebook(request, kernel):
    """Run the first cell of a notebook, which sets the strategy for later ones."""
    assert kernel.run(f"strategy = {request.param!r}" + SETUP) == ([], "")
    return kernel


def test_a_cell_runs_it_and_queued_cells_follow(notebook):
    """Cells queued behind the call (Run All) run after it, in order, one with a top-level await among them."""
    cells = notebook.queue(
        "print(run_async(lambda: work(0.5)))",
        "print('second', notes)",
        "await asyncio.sleep(0.01); print('third')",
        "print(await work(0.01), run_async(lambda: work(0.01)))",
    )
    printed = [notebook.wait(cell) for cell in cells]
    assert printed == [
        (["working", "worked"], ""),
        (["second ['cleaned']"], ""),
        (["third"], ""),
        (["working", "working", "worked worked"], ""),
    ]


@pytest.mark.parametrize("before", ["", "await asyncio.sleep(0)"], ids=["plain cell", "cell with await"])
def test_interrupt_ends_the_cell_and_the_next_ones_work(notebook, before):
    """The kernel's interrupt is a KeyboardInterrupt in the cell, after the cleanup; the notebook works as before."""
    for _ in range(2):
        started = time.monotonic()
        assert notebook.interrupt(f"{before}\nrun_async(lambda: work(60))", at="working") == "KeyboardInterrupt"
        assert time.monotonic() - started < 10
    assert notebook.run("print(*notes, run_async(lambda: work(0.01)))") == (
        ["working", "cleaned cleaned worked"],
        "",
    )
    assert notebook.run("print(await work(0.01))") == (["working", "worked"], "")
    assert notebook.interrupt("print('up', flush=True)\nwhile True: pass", at="up") == "KeyboardInterrupt"


def test_the_users_background_task_goes_on(notebook):
    """A task that a cell left running on the kernel's loop continues after the call in another cell."""
    notebook.run("""
ticks = []
async def tick():
    while True:
        ticks.append(asyncio.current_task() is ticker)
        await asyncio.sleep(0.01)
ticker = asyncio.create_task(tick())
await asyncio.sleep(0.1)
""")
    assert notebook.run("run_async(lambda: work(0.05)); count = len(ticks)") == (["working"], "")
    printed = notebook.run("await asyncio.sleep(0.2)\nprint(len(ticks) > count, all(ticks))\nticker.cancel()")
    assert printed == (["True True"], "")


def test_the_kernels_asyncio_is_untouched(notebook):
    """After a call the kernel's asyncio and the class of its loop carry no trace of nest-asyncio."""
    source = """
before = asyncio.Task, asyncio.run, asyncio.get_event_loop, type(asyncio.get_running_loop()).run_forever
patched = [hasattr(thing, "_nest_patched") for thing in (asyncio, asyncio.get_running_loop())]
_ = run_async(lambda: work(0.01))
after = asyncio.Task, asyncio.run, asyncio.get_event_loop, type(asyncio.get_running_loop()).run_forever
again = [hasattr(thing, "_nest_patched") for thing in (asyncio, asyncio.get_running_loop())]
print(before == after, patched, again)
"""
    assert notebook.run(source) == (["working", "True [False, False] [False, False]"], "")

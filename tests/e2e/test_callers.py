"""An enrichment works from wherever it is called, and Ctrl-C loses nothing: scripts, loops, threads, notebooks."""

from __future__ import annotations

import asyncio
import os
import random
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
from itertools import pairwise

import pandas as pd
import pytest

import parallel_frames as pf
from parallel_frames.simulator import Simulator

posix = pytest.mark.skipif(sys.platform == "win32", reason="interrupts by SIGINT")


def answer(sent):
    """Answer with what was sent."""
    return {"name": sent["company"]}


def frame(rows=5):
    """Return that many distinct rows."""
    return pd.DataFrame({"company": [f"c{n}" for n in range(rows)]})


def check(out):
    """Check that every row has its own answer."""
    assert out["name"].tolist() == out["company"].tolist()
    assert out["parallel_status"].eq("completed").all()


def enrich(rows=5):
    """Enrich a fresh frame."""
    return frame(rows).parallel.enrich({"name": str}, checkpoint=None)


@pytest.fixture
def sim():
    """Start a simulator for the whole process."""
    with pf.offline(answers=answer, latency=(0, 1), speed=20) as sim:
        yield sim


async def _blocking():
    return enrich()


def test_inside_a_running_loop(sim):
    """A blocking call works in a coroutine, several times in one loop."""

    async def main():
        await asyncio.sleep(0)
        return [enrich(), enrich(3)]

    for out in asyncio.run(main()):
        check(out)


@pytest.mark.skipif(sys.platform == "win32", reason="uvloop is not for Windows")
def test_inside_uvloop(sim):
    """A blocking call works where uvloop runs the loop, and so does an awaited one."""
    uvloop = pytest.importorskip("uvloop")
    check(uvloop.run(_blocking()))

    async def main():
        return await pf.aenrich(frame(), {"name": str}, checkpoint=None)

    check(uvloop.run(main()))


def test_in_worker_threads(sim):
    """Calls in several threads at once run beside each other."""
    outs = []
    threads = [threading.Thread(target=lambda: outs.append(enrich())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outs) == 3
    for out in outs:
        check(out)


def test_awaited_it_leaves_the_loop_to_others(sim):
    """While aenrich is awaited, another task of the loop goes on."""
    ticks = []

    async def tick():
        while True:
            ticks.append(time.monotonic())
            await asyncio.sleep(0.005)

    async def main():
        ticker = asyncio.create_task(tick())
        out = await frame(50).parallel.aenrich({"name": str})
        ticker.cancel()
        return out

    check(asyncio.run(main()))
    assert len(ticks) > 10
    assert max(after - before for before, after in pairwise(ticks)) < 1


def test_a_cancelled_task_leaves_nothing_behind(sim):
    """Cancelling aenrich stops it at once; the same call later completes, and nothing is paid twice."""

    async def main():
        work = asyncio.create_task(frame(20).parallel.aenrich({"name": str}))
        while not sim.counts.runs:  # noqa: ASYNC110 - the simulator is in another thread
            await asyncio.sleep(0.005)
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
        return [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]

    assert asyncio.run(main()) == []
    check(frame(20).parallel.enrich({"name": str}))
    assert (sim.counts.runs, sim.counts.duplicates) == (20, 0)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # what the loop left unfinished
@pytest.mark.parametrize("end", ["enrich", "enrich_parquet"])
def test_a_loop_that_is_closed_under_a_call_leaves_its_checkpoint_to_the_next(sim, tmp_path, end):
    """A task that was neither awaited nor cancelled ends with its loop: the same call resumes and pays once."""
    df, checkpoint = frame(20), tmp_path / "ckpt"

    async def until_sent():
        while not sim.counts.runs:  # noqa: ASYNC110 - the simulator is in another thread
            await asyncio.sleep(0.005)

    loop = asyncio.new_event_loop()
    left = loop.create_task(df.parallel.aenrich({"name": str}, checkpoint=checkpoint))
    loop.run_until_complete(until_sent())
    loop.close()
    if end == "enrich":
        out = df.parallel.enrich({"name": str}, checkpoint=checkpoint)
    else:
        df.to_parquet(tmp_path / "in.parquet")
        pf.enrich_parquet(tmp_path / "in.parquet", tmp_path / "out.parquet", {"name": str}, checkpoint=checkpoint)
        out = pd.read_parquet(tmp_path / "out.parquet")
    check(out)
    assert not left.done()
    assert (sim.counts.runs, sim.counts.duplicates) == (20, 0)


def test_a_timeout_around_the_coroutine_works(sim):
    """asyncio.timeout around aenrich ends it in time, and what was answered is there afterwards."""

    async def main():
        async with asyncio.timeout(0.5):
            await frame().parallel.aenrich({"name": str, "never": str})

    sim.speed = 0.01
    with pytest.raises(TimeoutError):
        asyncio.run(main())
    assert sum(pf.last().status().values()) == 5


SCRIPT = textwrap.dedent(
    """
    import logging, sys
    import pandas as pd
    import parallel_frames as pf

    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    df = pd.DataFrame({"company": [f"c{n}" for n in range(60)]})
    out = df.parallel.enrich({"name": str}, checkpoint=sys.argv[1], client=pf.Client(max_per_minute=20))
    assert out["name"].tolist() == df["company"].tolist()
    print(out["parallel_status"].value_counts().loc["completed"], pf.last().status())
    """
)


@pytest.fixture
def script(forks, tmp_path):
    """Start the script against a simulator."""
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)

    def start(sim, checkpoint):
        environment = os.environ | {
            "PARALLEL_API_KEY": "any-secret",
            "PARALLEL_BASE_URL": sim.url,
            "PARALLEL_FRAMES_CLOCK_SPEED": str(sim.speed),
        }
        command = [sys.executable, "-W", "error", str(path), str(checkpoint)]
        return forks.start(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    return start


@posix
@pytest.mark.parametrize("when", ["answers come", "sending"])
def test_ctrl_c_in_a_script_loses_nothing(script, tmp_path, when):
    """Ctrl-C ends a script; what was answered is stored, and a second run pays for the rest only."""

    def latency(rng):
        return 0.0 if rng.random() < 0.5 else 500.0

    with Simulator(answers=answer, latency=latency, speed=4) as sim:
        first = script(sim, tmp_path / "ckpt")
        if when == "sending":
            sim.wait_until(lambda counts: counts.posts > 0, timeout=30)
        else:
            sim.wait_until(lambda counts: counts.completed >= 5, timeout=30)
            time.sleep(1)
        first.send_signal(signal.SIGINT)
        out, err = first.communicate(timeout=20)
        assert first.returncode == -signal.SIGINT, err
        assert "KeyboardInterrupt" in err
        assert re.search(r"^KeyboardInterrupt: \d+ of 60 rows are answered", err, re.MULTILINE)
        assert "What was sent continues there, and a simulator bills nothing: " in err or " may not have been" in err
        assert err.count("Traceback") == 1
        assert "_runner.py" not in err
        assert "Run the same again to resume: nothing is paid twice." in err
        assert "any-secret" not in out + err
        if when == "answers come":
            assert len(pf.Checkpoint(tmp_path / "ckpt").outcomes()) >= 5
        sim.speed = 400
        sim.advance(20_000)
        second = script(sim, tmp_path / "ckpt")
        out, err = second.communicate(timeout=60)
    assert second.returncode == 0, err
    assert out.startswith("60 ")
    assert (sim.counts.runs, sim.counts.duplicates) == (60, 0)
    for path in (tmp_path / "ckpt").rglob("*"):
        assert path.is_dir() or b"any-secret" not in path.read_bytes()


@pytest.fixture
def notebook(sim, start_kernel):
    """Start a kernel whose cells enrich against the simulator; each tells what it printed and how it ended."""
    manager, client = start_kernel()

    def queue(source):
        return client.execute(textwrap.dedent(source), stop_on_error=False)

    def wait(cell):
        said, error, end = "", "", time.monotonic() + 60
        while time.monotonic() < end:
            message = client.get_iopub_msg(timeout=60)
            if message["parent_header"].get("msg_id") != cell:
                continue
            content = message["content"]
            said += content["text"] if message["msg_type"] == "stream" else "\n".join(content.get("traceback", []))
            error = content["ename"] if message["msg_type"] == "error" else error
            if message["msg_type"] == "status" and content["execution_state"] == "idle":
                return said, error
        raise AssertionError((said, error))

    yield queue, wait, manager.interrupt_kernel
    client.stop_channels()
    manager.shutdown_kernel(now=True)
    manager.cleanup_resources()


@posix
@pytest.mark.slow
def test_in_a_notebook_an_interrupt_loses_nothing(notebook, sim, tmp_path):
    """In a Jupyter kernel cells enrich; an interrupt ends one, the next works, and the same call resumes, paid once."""
    queue, wait, interrupt = notebook
    call = f"df.parallel.enrich({{'name': str}}, checkpoint={str(tmp_path / 'ckpt')!r}, progress=False)"
    setup = """
        import pandas as pd, parallel_frames as pf
        df = pd.DataFrame({"company": [f"c{n}" for n in range(30)]})
        small = pd.DataFrame({"company": ["a", "b", "c"]})
        """
    assert wait(queue(setup)) == ("", "")
    options = "checkpoint=None, progress=False"
    cells = [
        f"out = small.parallel.enrich({{'name': str}}, {options}); print(out['name'].tolist())",
        f"out = await small[1:].parallel.aenrich({{'name': (str, 'x')}}, {options}); print(out['name'].tolist())",
        "print('queued', pf.last().status())",
    ]
    said = [wait(cell) for cell in [queue(source) for source in cells]]
    assert [text.splitlines()[-1:] for text, _ in said] == [
        ["['a', 'b', 'c']"], ["['b', 'c']"], ["queued {'completed': 2}"],
    ]  # fmt: skip
    assert [error for _, error in said] == [""] * 3
    before = sim.counts.runs
    sim.speed = 0.02  # nothing finishes until we say so
    cell = queue(f"print('up', flush=True); {call}")
    sim.wait_until(lambda counts: counts.runs == before + 30, timeout=30)
    time.sleep(0.2)
    interrupt()
    assert wait(cell)[1] == "KeyboardInterrupt"
    cell = queue(f"print('up', flush=True); await {call.replace('enrich', 'aenrich')}")
    time.sleep(0.5)
    interrupt()
    said, error = wait(cell)
    assert error == "CancelledError"
    assert len(said.splitlines()) < 6, said
    said, error = wait(queue("print(1 + 1, sum(pf.last().status().values())); pf.last()"))
    assert (said, error) == ("2 30\n", "")
    sim.speed = 20
    sim.advance(10)
    said, error = wait(queue(f"out = {call}; print((out['name'] == out['company']).all())"))
    assert (said.splitlines()[-1], error) == ("True", "")
    assert (sim.counts.runs, sim.counts.duplicates) == (before + 30, 0)


@posix
@pytest.mark.slow
def test_in_a_notebook_interrupts_at_random_moments_pay_once(notebook, sim, tmp_path):
    """However often and whenever the kernel is interrupted, the next cell works and the last call completes."""
    queue, wait, interrupt = notebook
    rng = random.Random(7)
    setup = """
        import pandas as pd, parallel_frames as pf
        df = pd.DataFrame({"company": [f"row {n}" for n in range(200)]})
        """
    assert wait(queue(setup)) == ("", "")
    call = f"df.parallel.enrich({{'name': str}}, checkpoint={str(tmp_path / 'ckpt')!r}, progress=False)"
    ends = []
    for _ in range(8):
        cell = queue(call + "; None")
        time.sleep(rng.choice([0.02, 0.2, 0.6]) * rng.random())
        interrupt()
        ends.append(wait(cell)[1])
        assert wait(queue("print('alive')")) == ("alive\n", "")
    assert set(ends) <= {"", "KeyboardInterrupt"}
    said, error = wait(queue(f"out = {call}; print((out['name'] == out['company']).all())"))
    assert (said.splitlines()[-1], error) == ("True", "")
    assert (sim.counts.runs, sim.counts.duplicates) == (200, 0)

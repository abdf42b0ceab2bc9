"""What belongs to an offline block, and what its end takes with it."""

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import parallel_frames as pf
from parallel_frames.errors import InputError

SCHEMA = {"founded": (int, "year")}
DF = pd.DataFrame({"company": list("ABCD")})
LASTING = "`sim = pf.offline(...).start()` lasts from cell to cell"


def interrupted(sim: Any, **options: Any) -> str:
    """Interrupt a call once its runs are created, and return what it says then."""

    def interrupt() -> None:
        sim.wait_until(lambda counts: counts.runs == 4, timeout=30)
        time.sleep(0.3)  # until the answer to the POST has come: before, they are in doubt
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt) as stopped:
        DF.parallel.enrich(SCHEMA, progress=False, **options)
    return str(stopped.value)


@pytest.mark.parametrize("named", [False, True])
def test_an_interrupted_block_says_what_its_end_ends(tmp_path, named):
    """Its runs, and its own checkpoint: nothing resumes them, nothing is billed, and `start` is the remedy."""
    options = {"checkpoint": tmp_path / "ck"} if named else {}
    with pf.offline(latency=1000) as sim:
        text = interrupted(sim, **options)
    safe = f" and safe in {tmp_path / 'ck'}" if named else "). Run the same again"
    what = "its simulator, 4 runs" if named else "its simulator and these answers, 4 runs"
    assert safe in text
    assert f"while the offline block lasts: its end ends {what} under way included. Nothing is billed." in text
    assert LASTING in text


def test_a_block_that_was_started_is_resumed():
    """It lasts until it is stopped, so that the same call resumes; nothing is billed by it either."""
    block = pf.offline(latency=1000)
    sim = block.start()
    try:
        text = interrupted(sim)
        assert "Run the same again to resume: nothing is paid twice." in text
        assert "What was sent continues there, and a simulator bills nothing: 4 runs under way." in text
        sim.advance(2000)
        assert DF.parallel.enrich(SCHEMA, progress=False)["parallel_status"].eq("completed").all()
        assert sim.counts.runs == 4
        assert "These answers are kept" in repr(DF.parallel.preview(SCHEMA, n=1, progress=False))
    finally:
        block.stop()


def test_a_preview_in_a_block_says_how_long_its_answers_last(tmp_path):
    """They end with the block, unless they are in a checkpoint with a name."""
    with pf.offline(latency=0):
        assert "These answers end with the offline block" in repr(DF.parallel.preview(SCHEMA, n=1, progress=False))
        named = DF.parallel.preview(SCHEMA, n=1, checkpoint=tmp_path / "ck", progress=False)
        assert "These answers are kept" in repr(named)


def test_a_client_without_an_address_belongs_to_its_block(tmp_path, monkeypatch, capsys):
    """Its answers are labelled and checkpointed as the block's, and nothing is left in the user's cache."""
    monkeypatch.setenv("PARALLEL_FRAMES_CACHE", str(tmp_path))
    with pf.offline(latency=0) as sim:
        for client in (pf.Client(api_key="x"), pf.Client(api_key="x", base_url=sim.url), None):
            out = DF.parallel.enrich(SCHEMA, client=client)
            assert out.attrs["parallel"]["simulated"] is True
            first, *_, last = capsys.readouterr().err.splitlines()
            assert first.endswith("· SIMULATED")
            assert last.endswith("· SIMULATED")
            folder = Path(pf.last().checkpoint)
            assert folder.is_dir()
            assert tmp_path not in folder.parents
        assert sim.counts.runs == 4
    assert not list(tmp_path.iterdir())


def test_a_client_of_the_live_service_is_refused_in_a_block(monkeypatch):
    """A block costs nothing: what a client made before it would send to be paid is not sent."""
    monkeypatch.delenv("PARALLEL_BASE_URL", raising=False)
    live = pf.Client(api_key="x")
    with pf.offline(latency=0) as sim:
        for call in (DF.parallel.enrich, DF.parallel.submit, DF.parallel.plan):
            with pytest.raises(InputError, match=r"this client asks api\.parallel\.ai, where runs are paid for"):
                call(SCHEMA, client=live)
        assert sim.counts.requests == 0

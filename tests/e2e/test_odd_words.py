"""Services that write statuses, types and ends of streams in other ways: understood, or named in a reason."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import pandas as pd
import pytest

import parallel_frames as pf
from parallel_frames.simulator import Simulator
from parallel_frames.simulator.faults import Fault, RequestFault, StreamFault

DF = pd.DataFrame({"company": [f"Company {n}" for n in range(12)]})
STATUS = re.compile(rb'("status":\s*|[{,])"(queued|running|completed|failed|pending)"')


def reworded(data: bytes, word: str | None) -> bytes:
    """Return JSON whose statuses are in capitals, or another word in place of completed."""

    def change(found: re.Match[bytes]) -> bytes:
        status = found[2].upper() if word is None else found[2].replace(b"completed", word.encode())
        return found[1] + b'"' + status + b'"'

    return STATUS.sub(change, data)


@dataclass(frozen=True, kw_only=True)
class RewordedStream(StreamFault):
    """Write statuses of events and listings otherwise."""

    on: Any = ("events", "list_runs")
    word: str | None = None

    async def bend(self, frames: Any, *, rng: Any) -> Any:
        async for chunk in frames:
            yield [reworded(data, self.word) for data in chunk]


@dataclass(frozen=True, kw_only=True)
class RewordedAnswer(RequestFault):
    """Write statuses of counts and results otherwise."""

    on: Any = ("status", "result", "list_runs")
    word: str | None = None

    async def strike(self, exchange: Any, proceed: Any) -> Any:
        answer = await proceed()
        if hasattr(answer, "body"):
            answer.body = reworded(answer.body, self.word)
            answer.headers["content-length"] = str(len(answer.body))
        return answer


@dataclass(frozen=True, kw_only=True)
class Named(StreamFault):
    """Put types into ``event:`` lines alone, and end streams as other services do."""

    on: Any = ("events", "list_runs")

    async def bend(self, frames: Any, *, rng: Any) -> Any:
        yield [b"event: ping\ndata: {}\n\n", b"event: hello\ndata: still here\n\n"]
        async for chunk in frames:
            yield [re.sub(rb'^data: {"type":"([^"]+)",', rb"event: \1\ndata: {", data) for data in chunk]
        yield [b"data: [DONE]\n\n"]


@pytest.mark.parametrize("dialect", ["published", "seed"])
@pytest.mark.parametrize("embed", [True, False])
@pytest.mark.parametrize("faults", [[RewordedStream(), RewordedAnswer()], [Named()]])
def test_capitals_and_types_in_event_lines_are_understood(
    tmp_path: Any, dialect: Any, embed: bool, faults: list[Fault]
) -> None:
    """Events, listings, results and counts may be written so: a submit, its resume and a collect bring every answer."""
    with Simulator(
        latency=(1, 20), speed=200, dialect=dialect, events_honour_include_output=embed, faults=faults
    ) as sim:
        client = pf.Client(api_key="k" * 20, base_url=sim.url, clock_speed=200)
        options: dict[str, Any] = {"client": client, "checkpoint": tmp_path / "ck", "progress": False}
        job = DF.parallel.submit({"n": str}, **options)
        out = DF.parallel.enrich({"n": str}, **options)
        again = DF.parallel.collect(list(job.group_ids), {"n": str}, client=client)
        assert (out["parallel_status"] == "completed").all()
        assert again["n"].tolist() == out["n"].tolist()
        assert sim.counts.runs == 12


@pytest.mark.parametrize("dialect", ["published", "seed"])
def test_a_status_that_is_not_known_ends_the_waiting_with_its_word(tmp_path: Any, dialect: Any) -> None:
    """The call ends, the row says which word it was, and a later call finds the answer without paying."""
    faults = [RewordedStream(word="wrapped_up"), RewordedAnswer(word="wrapped_up")]
    with Simulator(latency=1, speed=200, dialect=dialect, faults=faults) as sim:
        client = pf.Client(api_key="k" * 20, base_url=sim.url, clock_speed=200)
        options: dict[str, Any] = {"client": client, "checkpoint": tmp_path / "ck", "progress": False}
        out = DF.parallel.enrich({"n": str}, **options)
        assert set(out["parallel_status"]) == {"pending"}
        assert out["parallel_error"].str.contains("has the status 'wrapped_up'").all()
        sim.clear_faults()
        out = DF.parallel.enrich({"n": str}, **options)
        assert (out["parallel_status"] == "completed").all()
        assert sim.counts.runs == 12

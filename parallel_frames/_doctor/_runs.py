"""The runs that a diagnosis sends: how they are made, what is known of each, and what they cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import orjson
import pandas as pd

from parallel_frames._format import format_count
from parallel_frames._inputs import select_inputs
from parallel_frames._job._plan import make_job, make_options, make_plan
from parallel_frames._model import OutgoingRun, RunEvent, RunId
from parallel_frames._schema import parse_schema
from parallel_frames._service import possible_inputs
from parallel_frames._state import read_identity

if TYPE_CHECKING:
    from parallel_frames._model import Job, Json
    from parallel_frames._prices import Price

QUESTION: Final = {"capital": "the capital city"}
COUNTRIES: Final = ("France", "Japan", "Peru")
RUNS: Final = len(COUNTRIES)
FIRST_BATCH: Final = 2  # one id has no order, and a cursor needs a second batch


@dataclass(slots=True)
class Bill:
    """What was sent, or may have been, and what it costs at most."""

    price: Price
    sent: int = 0
    free: int = 0  # failed or cancelled
    group_id: str | None = None

    @property
    def cost(self) -> float:
        return float(self.price.of(self.sent - self.free) or 0)

    def __str__(self) -> str:
        if not self.sent:
            return "Nothing was sent, and nothing is billed."
        return (
            f"{format_count(self.sent, 'run')} sent, at most {self.price.text(self.sent - self.free)} billed. The "
            f"answers are in group {self.group_id}."
        )


@dataclass(slots=True)
class SentRun:
    """One of the runs, as far as it is known."""

    run: OutgoingRun
    sent_at: tuple[float, float] = (0.0, 0.0)  # when its POST began, and was answered, in seconds since 1970
    claimed_id: str | None = None  # by its place in the answer
    run_id: str | None = None  # by what the group lists
    listed: RunEvent | None = None  # its entry in the list
    ended: RunEvent | None = None  # the event of its end

    def has_metadata(self, event: RunEvent) -> bool:
        """Return whether an entry or an event says whose it is."""
        return read_identity(event.metadata) == self.run.id

    def has_input(self, event: RunEvent) -> bool:
        """Return whether it comes with what was sent."""
        sent: Json = orjson.loads(self.run.input)
        return sent in possible_inputs(event)


def make_runs(processor: str) -> tuple[Job, list[SentRun]]:
    """Return the runs, planned like the rows of a frame."""
    rows = pd.DataFrame({"country": COUNTRIES})
    job = make_job(parse_schema(QUESTION), input_schema=None, processor=processor, options=make_options(None))
    plan = make_plan(rows, job, selection=select_inputs(rows))
    made = [
        OutgoingRun(sent, plan.metadata_of(row, 0), RunId(key, 0), row)
        for row, (key, sent) in enumerate(zip(plan.keys, plan.inputs, strict=True))
    ]
    return job, [SentRun(run) for run in made]

"""Joining groups' results to a frame, from any process, any day: it reads, and sends nothing."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from parallel_frames._engine import list_patiently
from parallel_frames._inputs import canonical_of_json, canonical_of_sent
from parallel_frames._job._handle import frame_enrichment
from parallel_frames._job._offline import choose_destination
from parallel_frames._model import UNREADABLE, Receipt, RunId
from parallel_frames._service import possible_inputs, read_outcome
from parallel_frames._state import read_identity
from parallel_frames.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from parallel_frames._job._handle import Enrichment
    from parallel_frames._job._options import Call
    from parallel_frames._model import Job, Outcome, Plan, RunEvent
    from parallel_frames._service import Session

logger = logging.getLogger("parallel_frames")

AT_ONCE: Final = 8
WAYS: Final[tuple[str, ...]] = ("key", "input", "row", "unmatched")


async def collect_groups(
    df: pd.DataFrame, group_id: str | Sequence[str], schema: object, call: Call, *, processor: str | None
) -> pd.DataFrame:
    """Return the frame with what the groups hold for its rows, and record how runs were matched to rows."""
    group_ids = replace(call, group_id=group_id).group_ids
    if not group_ids:
        raise InputError(f"group_id={group_id!r} names no group.")
    destination = choose_destination(call.client)
    client = destination.client
    counts: Counter[str] = Counter(dict.fromkeys(WAYS, 0))
    receipts: list[Receipt] = []
    outcomes: dict[RunId, Outcome] = {}
    enrichment: Enrichment | None = None
    simulated = False
    for group in dict.fromkeys(group_ids):
        async with client.session() as session:
            status = await session.find_group(group)
            if enrichment is None:
                processor = str(processor or status.metadata.get("processor") or call.processor)
                enrichment = frame_enrichment(df, schema, replace(call, processor=processor, checkpoint=None))
            events: dict[str, RunEvent] = {}

            def take(event: RunEvent, events: dict[str, RunEvent] = events) -> None:
                if event.status == UNREADABLE:
                    logger.warning("An entry of the list of runs cannot be read: %s", event.run_id)
                else:
                    events[event.run_id] = event

            await list_patiently(session, group, take=take, clock=client.clock, include_input=True, include_output=True)
            found = match_runs(list(events.values()), enrichment.plan)
            done = (run_id for run_id in found.runs if events[run_id].status == "completed")
            lacking = [run_id for run_id in done if events[run_id].output is None]
            events |= await _fetch(session, lacking)
            simulated |= session.simulated
        _learn(receipts, outcomes, found.runs, events, group_id=group, job=enrichment.plan.job)
        counts.update(found.counts)
    in_words = ", ".join(f"{counts[way]:,} by {way}" for way in WAYS[:3])
    logger.info("%s: runs matched %s; %d belong to no row", ", ".join(group_ids), in_words, counts["unmatched"])
    if counts["row"]:
        logger.warning(
            "%d runs were matched by the row number in their metadata alone: right only if the frame's rows stand in "
            "the order in which they were sent.",
            counts["row"],
        )
    if enrichment is None:
        raise InputError(f"group_id={group_id!r} names no group.")
    return await enrichment._adopt(
        receipts, list(outcomes.values()), destination=destination, group_ids=group_ids, matched=counts,
        simulated=simulated,
    )  # fmt: skip


async def _fetch(session: Session, run_ids: Sequence[str]) -> dict[str, RunEvent]:
    """Return runs with the outputs that the listing came without, as far as they can be had."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def fetch(run_id: str) -> RunEvent | None:
        async with gate:
            return await session.run_result(run_id)

    fetched = await asyncio.gather(*map(fetch, run_ids))
    return {event.run_id: event for event in fetched if event is not None}


def _learn(
    receipts: list[Receipt],
    outcomes: dict[RunId, Outcome],
    runs: dict[str, RunId],
    events: dict[str, RunEvent],
    *,
    group_id: str,
    job: Job,
) -> None:
    """Add what matched; of several runs of one input the newest answer counts."""

    def rank(run_id: str) -> tuple[bool, str, str]:
        event = events[run_id]
        return event.status == "completed", event.modified_at or "", run_id

    for run_id in sorted(runs, key=rank, reverse=True):
        run, event = runs[run_id], events[run_id]
        receipts.append(Receipt(run.key, run.attempt, run_id, group_id))
        outcome = read_outcome(event, run, group_id=group_id, asked=job.spec.get("output_schema"))
        known = outcomes.get(run)
        if outcome is not None and (known is None or (known.status != "completed" and outcome.status == "completed")):
            outcomes[run] = outcome


class Matched:
    """Which run answers which input, by the run's id; and how many were matched in which way."""

    def __init__(self) -> None:
        self.runs: dict[str, RunId] = {}
        self.counts: Counter[str] = Counter()


def match_runs(events: Sequence[RunEvent], plan: Plan) -> Matched:
    """Say which of a plan's inputs each run answers.

    A run of ours carries its key. Another program's is known by its input being equal to what the row would send;
    failing that by the number of the row in its metadata, unless the numbers of runs that are known otherwise show
    that the rows stand in another order now, or two runs claim one row.
    """
    matched = Matched()
    entries = {key: entry for entry, key in enumerate(plan.keys)}
    by_input = _Inputs(plan)
    rest: list[RunEvent] = []
    for event in events:
        run = read_identity(event.metadata)
        way = "key"
        if run is None or run.key not in entries:
            key = by_input.find(event)
            run, way = None if key is None else RunId(key, run.attempt if run else 0), "input"
        if run is None:
            rest.append(event)
            continue
        matched.runs[event.run_id] = run
        matched.counts[way] += 1
    known = [(event, entries[matched.runs[event.run_id].key]) for event in events if event.run_id in matched.runs]
    answered = {entry for _, entry in known}
    claims = Counter(_row_of(event) for event in rest)
    trusted = _are_numbers_trusted(known, rest, plan)
    for event in rest:
        entry = _entry_of(event, plan) if trusted and claims[_row_of(event)] == 1 else None
        # A weaker proof never replaces a stronger one.
        fits = entry is not None and entry >= 0 and entry not in answered and read_identity(event.metadata) is None
        if fits and entry is not None:
            matched.runs[event.run_id] = RunId(plan.keys[entry], 0)
        matched.counts["row" if fits else "unmatched"] += 1
    return matched


def _are_numbers_trusted(known: Sequence[tuple[RunEvent, int]], rest: Sequence[RunEvent], plan: Plan) -> bool:
    """Return whether row numbers in metadata may be believed: one that does not fit makes all of them worthless.

    They do not where a run that is known otherwise has another number, a number is of no row, a label is another
    row's, or inputs are of our form and a run's is none of them.
    """
    if any(_entry_of(event, plan) not in (None, entry) for event, entry in known):
        return False
    if known and any(event.input is not None for event in rest if _row_of(event) is not None):
        return False
    for event in rest:
        row, label = _row_of(event), (event.metadata or {}).get("index")
        if row is None or read_identity(event.metadata) is not None:
            continue
        if row >= plan.rows:
            return False
        entry = int(plan.row_runs[row])
        first = entry >= 0 and plan.positions[entry] == row
        if first and isinstance(label, str) and plan.labels[entry] not in (None, label):
            return False
    return True


def _row_of(event: RunEvent) -> int | None:
    """Return the number of the row that a run's metadata names."""
    row = (event.metadata or {}).get("row")
    text = str(row) if isinstance(row, str | int) and not isinstance(row, bool) else ""
    return int(text) if text.isdecimal() and len(text) < 16 else None


def _entry_of(event: RunEvent, plan: Plan) -> int | None:
    """Return the entry of the row that a run's metadata names: None if it names none, negative if it was not asked."""
    row = _row_of(event)
    if row is None:
        return None
    return int(plan.row_runs[row]) if row < plan.rows else -1


class _Inputs:
    """A plan's inputs by their canonical form; made when the first run needs it."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._keys: dict[bytes, list[str]] | None = None

    def find(self, event: RunEvent) -> str | None:
        """Return the key of the input that a run was sent with; equal rows that are kept apart get a run each."""
        if self._keys is None:
            self._keys = {}
            for key, sent in zip(self._plan.keys[::-1], self._plan.inputs[::-1], strict=True):
                self._keys.setdefault(canonical_of_sent(sent), []).append(key)
        for sent in possible_inputs(event):
            if keys := self._keys.get(canonical_of_json(sent)):
                return keys.pop() if len(keys) > 1 else keys[0]
        return None

"""Joining groups' results to a frame, from any process, any day: it reads, and sends nothing."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from parallel_frames._engine import list_patiently
from parallel_frames._format import format_option
from parallel_frames._job._join import Joiner, Matches, count_matches, log_matches
from parallel_frames._job._offline import choose_destination
from parallel_frames._job._runner import JobRunner
from parallel_frames._model import UNREADABLE, Receipt, RunId
from parallel_frames._service import describe_open_run, read_outcome
from parallel_frames._state import read_identity
from parallel_frames.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from parallel_frames._clock import Clock
    from parallel_frames._job._handle import Enrichment
    from parallel_frames._job._options import Call
    from parallel_frames._model import Outcome, RunEvent
    from parallel_frames._service import Client, Session

logger = logging.getLogger("parallel_frames")

AT_ONCE: Final = 8


async def collect_groups(
    prepare: Callable[[Mapping[str, Any]], Enrichment],
    group_id: str | Sequence[str],
    call: Call,
    *,
    processor: str | None,
) -> Any:
    """Return the frame with what the groups hold for its rows, and record how runs were matched to rows.

    `prepare` makes its enrichment, with these options in place of the call's.
    """
    group_ids = tuple(dict.fromkeys(replace(call, group_id=group_id).group_ids))
    if not group_ids:
        raise InputError(f"{format_option('group_id', group_id)} names no group.")
    destination = choose_destination(call.client)
    client = destination.client
    processor = processor or await _processor_of(group_ids[0], client=client) or call.processor
    enrichment = prepare({"processor": processor, "checkpoint": None})
    runner = enrichment._runner
    assert isinstance(runner, JobRunner)  # noqa: S101 - nothing escalates here
    runner.scan()
    found, matches, simulated = Found(), Matches(), False
    for group in group_ids:
        async with client.session() as session:
            await session.group_status(group)
            joiner = Joiner(runner.source, runner.index, wanted=lambda _: 0, matches=matches)
            await found.take_group(session, group, joiner, runner, clock=client.clock)
            simulated |= session.simulated
    log_matches(group_ids, matches)
    return await enrichment._adopt(
        found.receipts, list(found.outcomes.values()), found.reasons, destination=destination, group_ids=group_ids,
        matched=count_matches(matches.ways), simulated=simulated,
    )  # fmt: skip


async def _processor_of(group_id: str, *, client: Client) -> str | None:
    """Return the processor that a group of ours names."""
    async with client.session() as session:
        processor = (await session.group_status(group_id)).metadata.get("processor")
    return processor if isinstance(processor, str) else None


@dataclass(slots=True)
class Found:
    """What groups hold for the rows of a source; of several runs of one input the newest answer counts."""

    receipts: list[Receipt] = field(default_factory=list)
    outcomes: dict[RunId, Outcome] = field(default_factory=dict)
    reasons: dict[RunId, str] = field(default_factory=dict)  # why a run has no outcome

    async def take_group(
        self,
        session: Session,
        group_id: str,
        joiner: Joiner,
        runner: JobRunner,
        *,
        clock: Clock,
        processor: str | None = None,
    ) -> None:
        """Read a group, and take the runs of it that answer rows; `processor` is that of the group's runs."""
        events = await _list_group(session, group_id, clock=clock)
        runs: dict[str, RunId] = {}
        for event in events.values():
            run = read_identity(event.metadata)
            if run is not None and runner.index.has_key(run.key):
                runs[event.run_id] = run
            joiner.add(event, runs.get(event.run_id))
        runs |= {event.run_id: run for event, run in joiner.finish(processor=processor)}
        done = (run_id for run_id in runs if events[run_id].status == "completed")
        events |= await fetch_results(session, [run_id for run_id in done if events[run_id].output is None])
        asked = runner.job.spec.get("output_schema")
        for run_id, run in runs.items():
            self.receipts.append(Receipt(run.key, run.attempt, run_id, group_id))
            outcome = read_outcome(events[run_id], run, group_id=group_id, asked=asked)
            if outcome is None:
                self.reasons[run] = describe_open_run(events[run_id], group_id)
            elif _is_better(outcome, self.outcomes.get(run)):
                self.outcomes[run] = outcome


def _is_better(outcome: Outcome, known: Outcome | None) -> bool:
    def rank(one: Outcome) -> tuple[bool, str]:
        return one.status == "completed", one.modified_at or ""

    return known is None or rank(outcome) > rank(known)


async def _list_group(session: Session, group_id: str, *, clock: Clock) -> dict[str, RunEvent]:
    """Return every run of a group that can be read, by its id."""
    events: dict[str, RunEvent] = {}

    def take(event: RunEvent) -> None:
        if event.status == UNREADABLE:
            logger.warning("An entry of the list of runs cannot be read: %s", event.run_id)
        else:
            events[event.run_id] = event

    await list_patiently(session, group_id, take=take, clock=clock, include_input=True, include_output=True)
    return events


async def fetch_results(session: Session, run_ids: Iterable[str]) -> dict[str, RunEvent]:
    """Return runs with the outputs that a list or an event came without, as far as they can be had, by their ids."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def fetch(run_id: str) -> RunEvent | None:
        async with gate:
            return await session.run_result(run_id)

    fetched = await asyncio.gather(*map(fetch, run_ids))
    return {event.run_id: event for event in fetched if event is not None}

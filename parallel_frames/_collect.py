"""Joining a group's results to a frame, from any process, any day: it reads, and sends nothing."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from parallel_frames._dialects import possible_inputs, read_outcome
from parallel_frames._engine import list_patiently
from parallel_frames._handle import Enrichment
from parallel_frames._inputs import canonical_of_json, canonical_of_sent
from parallel_frames._ledger import Ledger, read_identity
from parallel_frames._model import Receipt, RunId
from parallel_frames._offline import choose_destination
from parallel_frames.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from parallel_frames._call import Call
    from parallel_frames._model import Plan, RunEvent

logger = logging.getLogger("parallel_frames")


async def collect_group(
    df: pd.DataFrame, group_id: str, schema: object, call: Call, *, processor: str | None
) -> pd.DataFrame:
    """Return the frame with what the group holds for its rows.

    A run belongs to a row by the key in its metadata; failing that, by its input being equal to what the row would
    send. Which of the two it was is logged.
    """
    if not isinstance(group_id, str) or not group_id:
        raise InputError(f"group_id={group_id!r} is not a group's id.")
    client = choose_destination(call.client).client
    async with client.session() as session:
        status = await session.group_status(group_id)
        named = processor or status.metadata.get("processor") or call.processor
        enrichment = Enrichment(df, schema, replace(call, processor=str(named), checkpoint=None))
        ledger, matcher = Ledger(), Matcher(enrichment.plan)
        without_output: list[str] = []

        def take(event: RunEvent) -> None:
            if (run := matcher.run_of(event)) is None:
                return
            ledger.add_receipt(Receipt(run.key, run.attempt, event.run_id, group_id))
            outcome = read_outcome(event, run, group_id=group_id)
            if outcome is not None:
                ledger.add_outcome(outcome)
            elif event.status == "completed":
                without_output.append(event.run_id)

        await list_patiently(session, group_id, take=take, clock=client.clock, include_input=True, include_output=True)
        for run_id in dict.fromkeys(without_output):
            if (event := await session.run_result(run_id)) is not None:
                take(event)
        logger.info("group %s: %s", group_id, matcher)
        return enrichment.adopt(ledger, group_ids=(group_id,), simulated=session.simulated, matched={})


class Matcher:
    """Says which of a plan's inputs a run answers, and counts how it knew."""

    def __init__(self, plan: Plan) -> None:
        self._keys = frozenset(plan.keys)
        self._plan = plan
        self._inputs: dict[bytes, str] | None = None
        self._known: dict[str, RunId | None] = {}
        self._by_key = 0

    def __str__(self) -> str:
        matched = sum(run is not None for run in self._known.values())
        return (
            f"{self._by_key} runs matched by key, {matched - self._by_key} by input, "
            f"{len(self._known) - matched} belong to no row"
        )

    def run_of(self, event: RunEvent) -> RunId | None:
        """Return the run's identity in the plan, or None if it answers none of its rows."""
        if event.run_id not in self._known:
            self._known[event.run_id] = self._match(event)
        return self._known[event.run_id]

    def _match(self, event: RunEvent) -> RunId | None:
        run = read_identity(event.metadata)
        if run is not None and run.key in self._keys:
            self._by_key += 1
            return run
        for sent in possible_inputs(event):
            key = self._by_input().get(canonical_of_json(sent))
            if key is not None:
                return RunId(key, run.attempt if run else 0)
        return None

    def _by_input(self) -> dict[bytes, str]:
        if self._inputs is None:
            self._inputs = {}
            for key, sent in zip(self._plan.keys, self._plan.inputs, strict=True):
                self._inputs.setdefault(canonical_of_sent(sent), key)
        return self._inputs

"""The service, examined with three runs: each step goes through `Session` and the rules of the ledger.

The first steps are free. `send` posts two batches, each of them once, whatever is answered: no more is ever paid than
was announced. What cannot be read in one step is a check of its own, and the next steps are taken all the same.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Final, Literal

import orjson
import pandas as pd

from parallel_frames._clock import Backoff
from parallel_frames._doctor._machine import make_check
from parallel_frames._engine import list_patiently
from parallel_frames._engine._look import UNLINKED, read_status
from parallel_frames._format import format_count, format_duration
from parallel_frames._inputs import select_inputs
from parallel_frames._job._plan import group_metadata, make_job, make_options, make_plan
from parallel_frames._model import UNREADABLE, Accepted, Ambiguous, OutgoingRun, Refused, RunEvent, RunId
from parallel_frames._schema import parse_schema
from parallel_frames._service import possible_inputs, read_outcome
from parallel_frames._state import judge_batch, judge_look, read_identity
from parallel_frames.errors import (
    AuthenticationError,
    CreditError,
    ProtocolError,
    RateLimitError,
    RejectedError,
    ServiceError,
    UnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence

    from parallel_frames._doctor._diagnosis import Check, Verdict
    from parallel_frames._model import Event, Job, Json, Posted
    from parallel_frames._prices import Price
    from parallel_frames._service import Client, Session

QUESTION: Final = {"capital": "the capital city"}
COUNTRIES: Final = ("France", "Japan", "Peru")
RUNS: Final = len(COUNTRIES)
FIRST_BATCH: Final = 2  # one id has no order
NO_GROUP: Final = "tgrp_that_does_not_exist"
PATIENCE: Final = 300.0  # seconds that the runs may take
CONTACT: Final = 20.0  # real seconds until the host counts as unreachable
RESUMED: Final = 15.0  # seconds that a resumed stream may take
SKEW: Final = 5.0  # seconds that two clocks may differ
LARGE_SKEW: Final = 300.0
ENDS: Final = ("completed", "failed", "cancelled", "action_required")
LIMITS: Final = ("ratelimit", "rate-limit")
UNDECIDED: Final = (
    "A call that does not get the answer to a batch stops with UndecidedError. It pays nothing twice; please report it."
)


@dataclass(slots=True)
class Bill:
    """What was sent, or may have been, and what it costs at most."""

    price: Price
    sent: int = 0
    free: int = 0  # failed or cancelled
    group_id: str | None = None

    @property
    def cost(self) -> float:
        """US dollars."""
        return float(self.price.of(self.sent - self.free) or 0)

    def __str__(self) -> str:
        if not self.sent:
            return "Nothing was sent, and nothing is billed."
        return (
            f"{format_count(self.sent, 'run')} sent, at most {self.price.text(self.sent - self.free)} billed. The "
            f"answers are in group {self.group_id}."
        )


class EndedError(Exception):
    """Nothing more can be checked; the last check says why."""


@dataclass(slots=True)
class Look:
    """What the group showed of a batch.

    Attributes
    ----------
    verdict : str
        What the rules conclude, had the batch's answer been lost.
    seconds : float
        How long it took, 0 where the first look was enough.
    flaw : str or None
        Why nothing was to be concluded from what was not listed.
    """

    verdict: Literal["present", "absent", "undecided", "undecidable"]
    seconds: float
    flaw: str | None


@dataclass(slots=True)
class Sent:
    """One of the runs, as far as it is known.

    Attributes
    ----------
    run : OutgoingRun
    sent_at : tuple of (float, float)
        When its POST began, and was answered.
    claimed_id, run_id : str or None
        Its id by its place in the answer, and by what the group lists.
    listed, ended : RunEvent or None
        Its entry in the list, and the event of its end.
    """

    run: OutgoingRun
    sent_at: tuple[float, float] = (0.0, 0.0)
    claimed_id: str | None = None
    run_id: str | None = None
    listed: RunEvent | None = None
    ended: RunEvent | None = None

    @property
    def input(self) -> Json:
        """What was sent."""
        return orjson.loads(self.run.input)

    def has_metadata(self, event: RunEvent) -> bool:
        """Return whether an entry or an event says whose it is."""
        return read_identity(event.metadata) == self.run.id

    def has_input(self, event: RunEvent) -> bool:
        """Return whether it comes with what was sent."""
        return self.input in possible_inputs(event)


class Examination:
    """One examination of a service; `checks` is what was found so far."""

    def __init__(self, client: Client, session: Session, bill: Bill, checks: list[Check]) -> None:
        self.checks = checks
        self._client = client
        self._session = session
        self._bill = bill
        self._clock = client.clock
        self._group_id = ""
        self._job, runs = make_runs(bill.price.processor)
        self._all = [Sent(run) for run in runs]
        self._second_cursor: str | None = None  # where the list was before the second batch
        self._events: list[Event] = []
        self._headers: dict[str, str] = {}
        self._connection: str | None = None
        self._skews: list[float] = []
        session.on_answer = self._note_answer

    async def run(self) -> None:
        """Take every step, as far as it goes."""
        try:
            await self._contact()
            await self._take(self._open_group, "dialect")
            await self._take(self._ask_for_no_group, "unknown_group", is_needed=False)
            await self._take(self._refuse_body, "refused_body", is_needed=False)
            await self._take(self._send, "batch")
        except EndedError:
            pass
        else:
            await self._take(self._list_from_cursor, "run_cursor", is_needed=False)
            await self._take(self._hear_events, "events", is_needed=False)
            self._check_echoes()
            await self._take(self._resume_events, "event_cursor", is_needed=False)
            await self._take(self._read_outputs, "outputs", is_needed=False)
            await self._take(self._count, "counts", is_needed=False)
        self._check_limits()
        self._check_clock()

    @property
    def _created(self) -> dict[str, Sent]:
        """The runs that are known to exist, by their ids."""
        return {sent.run_id: sent for sent in self._all if sent.run_id is not None}

    def _add(self, name: str, observed: str, verdict: Verdict, meaning: str) -> None:
        self.checks.append(make_check(name, observed, verdict, meaning))

    async def _take(self, step: Callable[[], Awaitable[None]], name: str, *, is_needed: bool = True) -> None:
        """Take a step; where the service makes it fail, that is the check."""
        try:
            await step()
        except ServiceError as error:
            self._add(name, str(error), "breaks", "Calls stop with this error; it says what is safe.")
            if is_needed:
                raise EndedError from error

    def _note_answer(self, headers: Mapping[str, str], connection: str | None) -> None:
        self._connection = self._connection or connection
        self._headers.update(headers)
        with suppress(ValueError):  # a date that is none
            if "date" in headers:
                self._skews.append(parsedate_to_datetime(headers["date"]).timestamp() - time.time())

    # Without a run

    async def _contact(self) -> None:
        """Ask for a result that does not exist, which tells nothing of dialects: whether the service answers."""
        try:
            async with asyncio.timeout(CONTACT):
                await self._session.run_result("trun_that_does_not_exist")
        except TimeoutError:
            reason = self._session.trouble or f"no answer within {format_duration(CONTACT)}"
            self._give_up("connection", reason, "Check the network, HTTPS_PROXY and PARALLEL_BASE_URL, and try again.")
        except AuthenticationError as error:
            self._note_connection()
            self._refuse_key(error)
        except ServiceError as error:
            self._give_up("connection", str(error), "Every call stops. Check PARALLEL_BASE_URL and HTTPS_PROXY.")
        self._note_connection()

    def _refuse_key(self, error: AuthenticationError) -> None:
        self._give_up("api_key", str(error), "Every call stops with this error. Set PARALLEL_API_KEY.")

    def _note_connection(self) -> None:
        via = [f"through {self._headers['via']}"] if "via" in self._headers else []
        seen = ", ".join([self._connection or "this transport does not show it", *via])
        self._add("connection", seen, "ok", "Requests and streams take this way.")

    def _give_up(self, name: str, observed: str, meaning: str) -> None:
        self._add(name, observed, "breaks", f"{meaning} The rest could not be checked.")
        raise EndedError

    async def _open_group(self) -> None:
        metadata = group_metadata(self._job, library=version("parallel-frames"))
        try:
            self._group_id = self._bill.group_id = await self._session.create_group(self._job, metadata=metadata)
        except AuthenticationError as error:
            if error.status == 401:
                self._refuse_key(error)
            raise
        self._add("api_key", "the service takes it", "ok", "Runs are billed to its account.")
        name = self._session.dialect
        if name == "published":
            self._add("dialect", "the published API, under /v1", "ok", "It was found out by creating a group.")
        elif name == "seed":
            meaning = "The first batch is small and must prove whose its runs are. `options` may not be heeded."
            self._add("dialect", "the seed dialect, under /v1beta", "handled", meaning)
        else:
            self._add("dialect", "the published API, under /v1beta", "handled", "It is read in the same way.")

    async def _ask_for_no_group(self) -> None:
        try:
            await self._session.group_status(NO_GROUP)
        except RejectedError as error:
            if error.status != 404:
                meaning = "A group that is gone is an error with this text."
                self._add("unknown_group", str(error), "handled", meaning)
            elif error.ref_id is None:
                meaning = "Errors name no reference for the service's support."
                self._add("unknown_group", "404, without a reference", "handled", meaning)
            else:
                meaning = "A group that is gone is an error, and its rows are not paid for again."
                self._add("unknown_group", f"404, reference {error.ref_id}", "ok", meaning)
        else:
            meaning = "A group that is gone looks like an empty one, and its rows would be paid for again."
            self._add("unknown_group", "it is answered like one that exists", "breaks", meaning)

    async def _refuse_body(self) -> None:
        """Ask for a group with what no group may have; a group without runs costs nothing."""
        job = replace(self._job, processor="no-such-processor")
        try:
            await self._session.create_group(job, metadata={"longer than 16 characters": ""})
        except RejectedError as error:
            is_expected = error.status == 422
            meaning = "What is refused is an error, and proves that nothing was created."
            self._add("refused_body", str(error), "ok" if is_expected else "handled", meaning)
        except (UnavailableError, ProtocolError) as error:
            meaning = "A batch that is refused looks as if it may have been created: calls wait, and stop late."
            self._add("refused_body", str(error), "breaks", meaning)
        else:
            meaning = "The documented limits are checked before anything is sent, in any case."
            self._add("refused_body", "it was accepted", "handled", meaning)

    # Two batches

    async def _send(self) -> None:
        """Send the runs in two batches, each once, and look at the group after each."""
        looks: list[Look] = []
        lost: list[tuple[str, Look]] = []
        for batch in (self._all[:FIRST_BATCH], self._all[FIRST_BATCH:]):
            posted = await self._post(batch)
            if isinstance(posted, Refused):
                break
            try:
                look = await self._look(batch)
            except ServiceError as error:  # each request was repeated
                look = Look("undecidable", 0.0, str(error))
            if isinstance(posted, Ambiguous):
                lost.append((posted.reason, look))
                if look.verdict != "present":  # perhaps it was not created; nor would a call send more
                    break
            looks.append(look)
        if isinstance(posted, Refused):
            self._check_refusal(posted)
        elif lost:
            self._check_lost(*lost[-1])
        else:
            self._check_ids()
        if looks:
            self._check_looks(looks)
        if not self._created:
            raise EndedError

    async def _post(self, batch: Sequence[Sent]) -> Posted:
        """Send a batch, once."""
        await self._wait_for_rate_limit(len(batch))
        began = time.time()
        self._bill.sent += len(batch)  # also where it is interrupted
        posted = await self._session.add_runs(self._group_id, job=self._job, runs=[sent.run for sent in batch])
        self._second_cursor = posted.run_cursor if isinstance(posted, Accepted) else None
        for sent in batch:
            sent.sent_at = began, time.time()
        if isinstance(posted, Refused):
            self._bill.sent -= len(batch)
        elif isinstance(posted, Accepted):
            for sent, run_id in zip(batch, posted.run_ids, strict=True):
                sent.claimed_id = sent.run_id = run_id
        return posted

    async def _wait_for_rate_limit(self, runs: int) -> None:
        """Count these runs together with those of every other call of this process."""
        with self._client.pacer.joined(self._client.max_per_minute) as pacer:
            while True:
                granted, wait = pacer.take(runs, now=self._clock.now())
                pacer.finish(granted, created=granted, now=self._clock.now())
                runs -= granted
                if not runs:
                    return
                await self._clock.sleep(wait)

    async def _look(self, batch: Sequence[Sent]) -> Look:
        """Look at the group until the rules come to a conclusion, as if the batch's answer was lost."""
        began, looks = self._clock.now(), 0
        acknowledged = {sent.run_id for sent in self._all if sent not in batch and sent.run_id is not None}
        while True:
            waited = self._clock.now() - began if looks else 0.0
            flaw = await self._look_once(acknowledged)
            looks += 1
            verdict = judge_batch(
                missing=sum(sent.listed is None for sent in batch),
                flaw=flaw,
                waited=waited,
                settle_time=self._client.settle_time,
                looks=looks,
            )
            if verdict != "undecided":
                return Look(verdict, waited, flaw)
            await self._clock.sleep(Backoff().wait(looks))

    async def _look_once(self, acknowledged: Collection[str]) -> str | None:
        """Note what is listed of the runs; return why nothing could be concluded from what is not."""
        status = await read_status(self._session, self._group_id)
        listed = await self._list(include_input=True)
        readable = [event for event in listed if event.status != UNREADABLE]
        for event in readable:
            self._find(event)
        if status is None:
            return "its counts cannot be read"
        unreadable = len(listed) - len(readable)
        flaw = judge_look(status, {event.run_id for event in readable}, acknowledged, unreadable=unreadable)
        unlinked = [event for event in readable if event.run_id not in self._created and not event.metadata]
        return flaw or (UNLINKED if unlinked else None)

    def _find(self, event: RunEvent) -> None:
        """Note of which run an entry is: by its metadata, its input or its id, in this order."""
        by_metadata = [sent for sent in self._all if sent.has_metadata(event)]
        by_input = [sent for sent in self._all if sent.has_input(event)]
        by_id = [sent for sent in self._all if sent.claimed_id == event.run_id]
        for sent in (by_metadata or by_input or by_id)[:1]:
            sent.listed, sent.run_id = event, event.run_id

    async def _list(
        self,
        *,
        include_input: bool = False,
        cursor: str | None = None,
        completed: Iterable[str] | None = None,
    ) -> list[RunEvent]:
        """Return the group's list, with outputs where it is to hold the runs of `completed` at least."""
        listed: dict[str, RunEvent] = {}

        def take(event: RunEvent) -> None:
            listed[event.run_id] = event

        await list_patiently(
            self._session,
            self._group_id,
            take=take,
            clock=self._clock,
            include_input=include_input,
            include_output=completed is not None,
            last_event_id=cursor,
            completed=completed,
        )
        return list(listed.values())

    def _check_ids(self) -> None:
        listed = [(sent.claimed_id, sent.listed.run_id) for sent in self._all if sent.listed is not None]
        if any(claimed not in (None, run_id) for claimed, run_id in listed):
            meaning = "Whose a run is, its metadata or its input says, and not the place of its id."
            self._add("batch", "the ids are in another order", "handled", meaning)
        else:
            ids = f"{len(self._created)} ids of {RUNS} runs"
            self._add("batch", ids, "ok", "A receipt is kept for each run before the next batch is sent.")

    def _check_lost(self, reason: str, look: Look) -> None:
        """Check a batch whose ids did not come by what its group shows."""
        if look.verdict == "undecidable":
            self._add("batch", reason, "breaks", UNDECIDED)
        else:
            found = "its runs are found in the list" if look.verdict == "present" else "it counts as not created"
            self._add("batch", f"{reason}; {found}", "handled", "The group is looked at before more is sent.")

    def _check_refusal(self, refused: Refused) -> None:
        reason = str(refused.error)
        if isinstance(refused.error, RateLimitError):
            meaning = "Calls wait, and send the same again. To check the rest, try again in a minute."
            self._add("batch", reason, "not checked", meaning)
        else:
            way_out = "Add credit to the account." if isinstance(refused.error, CreditError) else "See the reason."
            self._add("batch", reason, "breaks", f"Nothing was created. {way_out} The rest could not be checked.")

    def _check_looks(self, looks: Sequence[Look]) -> None:
        settle_time = format_duration(self._client.settle_time)
        rule = f"A batch whose answer is lost counts as not created where it is not listed after {settle_time}"
        order = ("present", "undecidable", "absent")
        worst = max(looks, key=lambda look: (order.index(look.verdict), look.seconds))
        if worst.verdict == "absent":
            meaning = f"{rule}, and would be paid for twice. Pass a larger `pf.Client(settle_time=...)`."
            self._add("listing", f"not within {format_duration(worst.seconds)}", "breaks", meaning)
        elif worst.verdict != "present":
            self._add("listing", str(worst.flaw), "breaks", UNDECIDED)
        elif worst.seconds:
            seen = f"after {format_duration(worst.seconds)}"
            self._add("listing", seen, "handled", f"{rule}, which is late enough.")
        else:
            self._add("listing", "at once", "ok", f"{rule}.")

    async def _list_from_cursor(self) -> None:
        whole = "Lists are read whole."
        if self._second_cursor is None or self._session.dialect == "seed":
            self._add("run_cursor", "the answer to a batch has no cursor", "handled", whole)
            return
        listed = {event.run_id for event in await self._list(cursor=self._second_cursor)}
        wanted = {sent.run_id for sent in self._all[FIRST_BATCH:]}
        if not self._session.narrows_lists:
            self._add("run_cursor", "the cursor is refused", "handled", whole)
        elif wanted - listed:
            meaning = "What it leaves out is asked for run by run."
            self._add("run_cursor", "the list leaves out later runs", "handled", meaning)
        elif listed - wanted:
            self._add("run_cursor", "the list begins before the cursor", "handled", whole)
        else:
            self._add("run_cursor", "the runs of the second batch", "ok", "Only what is new of a large group is read.")

    # The stream of events

    async def _hear_events(self) -> None:
        """Take events until every run has ended, over cuts, as long as there is patience."""
        deadline = self._clock.now() + PATIENCE
        cursor: str | None = None
        cuts, is_active, backoff = 0, True, Backoff(first=0.2)
        while is_active and not self._have_all_ended and (left := deadline - self._clock.now()) > 0:
            known = len(self._events)
            try:
                async with asyncio.timeout(self._clock.real(left)):
                    cursor = await self._hear(cursor)
            except TimeoutError:
                break
            except RejectedError:
                if cursor is None:
                    raise
                cursor = None
            except (UnavailableError, RateLimitError):
                cuts += 1
                cursor = next((event.event_id for event in reversed(self._events) if event.event_id), None)
            if not self._have_all_ended:
                status = await read_status(self._session, self._group_id)
                is_active = status is None or status.is_active or len(self._events) > known
                await self._clock.sleep(backoff.wait(cuts))
        self._check_events(is_active=is_active, cuts=cuts)

    async def _hear(self, cursor: str | None) -> str | None:
        """Take the events of one stream and return the last one's id."""
        stream = self._session.stream_events(self._group_id, last_event_id=cursor, include_input=True)
        async with aclosing(stream) as bursts:
            async for burst in bursts:
                for event in burst:
                    self._events.append(event)
                    cursor = event.event_id or cursor
                    sent = self._created.get(event.run_id) if isinstance(event, RunEvent) else None
                    if isinstance(event, RunEvent) and sent is not None and event.status in ENDS:
                        sent.ended = event
                if self._have_all_ended:
                    break
        return cursor

    @property
    def _have_all_ended(self) -> bool:
        return all(sent.ended is not None for sent in self._created.values())

    def _check_events(self, *, is_active: bool, cuts: int) -> None:
        ended = [sent.ended for sent in self._created.values() if sent.ended is not None]
        counts = Counter(event.status for event in ended)
        self._bill.free = counts["failed"] + counts["cancelled"]
        parts = [f"{counts[status]} {status}" for status in ENDS if counts[status]] or ["none"]
        parts += [f"the stream was cut {cuts} times"] if cuts else []
        errors = [event.error for event in ended if event.error]
        reasons = [str(error.get("message") if isinstance(error, dict) else error) for error in errors]
        seen = ", ".join([*parts, *reasons[:1]])
        if len(ended) < len(self._created) and is_active:
            meaning = f"They may still end, and be billed: `parallel-frames status {self._group_id}`."
            self._add("events", f"{seen} within {format_duration(PATIENCE)}", "not checked", meaning)
        elif len(ended) < len(self._created):
            missed = len(self._created) - len(ended)
            meaning = "The list is asked for what the stream does not bring."
            self._add("events", f"{seen}; {missed} ended without an event", "handled", meaning)
        elif counts["completed"] < len(ended):
            self._add("events", seen, "handled", "Such runs are not billed; their rows say why.")
        else:
            self._add("events", seen, "handled" if cuts else "ok", "Rows are answered as soon as their runs end.")

        completed = [event for event in ended if event.status == "completed"]
        carrying = sum(self._has_output(event) for event in completed)
        if completed:
            seen = f"{carrying} of {len(completed)} carry one"
            expected = len(completed) if self._session.dialect == "seed" else 0
            meaning = "Answers arrive with the events." if carrying else "Outputs are read from the list."
            self._add("event_outputs", seen, "ok" if carrying == expected else "handled", meaning)

    def _has_output(self, event: RunEvent) -> bool:
        sent = self._created.get(event.run_id)
        asked = self._job.spec["output_schema"]
        if sent is None or event.status != "completed":
            return False
        return read_outcome(event, sent.run.id, group_id=self._group_id, asked=asked) is not None

    def _check_echoes(self) -> None:
        """Check what runs come back with, in the list and in events."""
        created = self._created.values()
        listed = [(sent, sent.listed) for sent in created if sent.listed is not None]
        ended = [(sent, sent.ended) for sent in created if sent.ended is not None]
        if not listed:
            return
        metadata = all(sent.has_metadata(event) for sent, event in listed)
        inputs = all(sent.has_input(event) for sent, event in listed)
        in_events = all(sent.has_metadata(event) for sent, event in ended)
        if metadata:
            seen = "in the list and in events" if in_events else "in the list, not in events"
            meaning = "It says whose a run is, whatever happens to the answer of its batch."
            self._add("metadata", seen, "ok" if in_events else "handled", meaning)
        elif inputs:
            self._add("metadata", "not in the list", "handled", "A run is recognised by its input instead.")
        elif self._session.dialect == "seed" and not any(sent.claimed_id is None for sent in created):
            self._add("metadata", "not in the list", "handled", "The order of the ids says whose a run is.")
        else:
            meaning = "Nothing proves which answer is whose. Calls stop after the first batch, except with "
            self._add("metadata", "not in the list", "breaks", f"{meaning}`max_in_flight=1`.")
        if inputs:
            meaning = "What another program sent to a group can be matched to rows."
            self._add("inputs", "in the list", "ok", meaning)
        else:
            meaning = "What another program sent to a group can be matched to rows by its metadata only."
            self._add("inputs", "not in the list", "handled", meaning)

    async def _resume_events(self) -> None:
        """Read the stream again from the first run's event on."""
        runs = {event.run_id: event.event_id for event in self._events if isinstance(event, RunEvent)}
        if not runs:
            return
        first, cursor = next(iter(runs.items()))
        if cursor is None:
            meaning = "A stream that is cut is read from its beginning."
            self._add("event_cursor", "events have no ids", "handled", meaning)
            return
        later, heard = runs.keys() - {first}, set[str]()
        try:
            async with asyncio.timeout(self._clock.real(RESUMED)):
                stream = self._session.stream_events(self._group_id, last_event_id=cursor)
                async with aclosing(stream) as bursts:
                    async for burst in bursts:
                        heard |= {event.run_id for event in burst if isinstance(event, RunEvent)}
                        if heard >= later:
                            break
        except RejectedError as error:
            meaning = "A stream that is cut is read from its beginning; nothing is lost."
            self._add("event_cursor", f"refused ({error.status})", "handled", meaning)
            return
        except (TimeoutError, UnavailableError, RateLimitError):
            pass  # what came is compared
        if first in heard:
            meaning = "Events that come twice are recognised."
            self._add("event_cursor", "it begins before that event", "handled", meaning)
        elif later - heard:
            seen = f"{len(later - heard)} of {len(later)} later runs are missing"
            self._add("event_cursor", seen, "handled", "The list is asked for what the stream does not bring.")
        else:
            seen = f"{format_count(len(later), 'later run')}, and no earlier one"
            self._add("event_cursor", seen, "ok", "A stream that is cut is read on from there.")

    # The end

    async def _read_outputs(self) -> None:
        """Read the outputs as calls do: from the list, and as a result of its own."""
        listed = [event for event in await self._list(completed=list(self._created)) if event.run_id in self._created]
        ended = [sent.ended for sent in self._created.values() if sent.ended is not None]
        completed = {event.run_id for event in [*listed, *ended] if event.status == "completed"}
        if not completed:
            self._add("outputs", "no run completed", "not checked", "Try again once runs complete.")
            return
        in_list = sum(map(self._has_output, listed))
        seen = f"{in_list} of {len(completed)} in the list"
        has_result = False
        if self._session.dialect != "seed":  # which documents no such path
            event = await self._session.run_result(min(completed))
            has_result = event is not None and self._has_output(event)
            seen += f", {'also' if has_result else 'not'} as a result"
        carried = any(map(self._has_output, ended))
        if in_list == len(completed) and (has_result or self._session.dialect == "seed"):
            self._add("outputs", seen, "ok", "Many are read in one list, a few one by one.")
        elif in_list == len(completed) or has_result or carried:
            self._add("outputs", seen, "handled", "Answers are read where they are, with more requests.")
        else:
            meaning = "Rows end as failed, although their runs are billed. Does the account keep no outputs?"
            self._add("outputs", seen, "breaks", meaning)

    async def _count(self) -> None:
        """Compare the group's counts with what was created and heard, until they agree or had time to."""
        began, looks, created = self._clock.now(), 0, len(self._created)
        heard = Counter(sent.ended.status for sent in self._created.values() if sent.ended is not None)
        while True:
            waited = self._clock.now() - began if looks else 0.0
            status = await read_status(self._session, self._group_id)
            if status is None:
                self._add("counts", "they cannot be read", "breaks", UNDECIDED)
                return
            seen = f"{status.runs} counted, {created} known"
            if status.runs > created:
                meaning = "The group holds, and bills, runs that were not acknowledged. Please report it."
                self._add("counts", seen, "breaks", meaning)
                return
            if status.runs == created and all(status.counts.get(word, 0) >= n for word, n in heard.items()):
                late = f" after {format_duration(waited)}" if waited else ""
                meaning = "What the stream does not bring is noticed by the counts."
                self._add("counts", f"{seen}{late}", "handled" if waited else "ok", meaning)
                return
            if waited >= self._client.settle_time:
                break
            looks += 1
            await self._clock.sleep(Backoff().wait(looks))
        if status.runs < created:
            self._add("counts", seen, "breaks", UNDECIDED)
        else:
            meaning = "An event that is lost is noticed late, or not before the stream ends."
            self._add("counts", f"{seen}, and fewer ended than events say", "handled", meaning)

    def _check_limits(self) -> None:
        limits = {name: value for name, value in self._headers.items() if any(word in name for word in LIMITS)}
        seen = ", ".join(f"{name}: {value}" for name, value in limits.items())
        own = self._client.max_per_minute
        lower = [int(value) for name, value in limits.items() if name.endswith("limit") and value.isdecimal()]
        lower = [limit for limit in lower if own is None or limit < own]
        if lower:
            meaning = f"Batches that are refused wait. `pf.Client(max_per_minute={min(lower)})` avoids it."
            self._add("rate_limit", seen, "handled", meaning)
        elif self._headers:
            pace = "without a limit" if own is None else f"at {own:,} a minute at most"
            self._add("rate_limit", seen or "no answer names a limit", "ok", f"Runs are sent {pace}.")

    def _check_clock(self) -> None:
        found = {"the Date header": min(self._skews, key=abs)} if self._skews else {}
        if self._clock.speed == 1 and (made := [each for sent in self._all if (each := _skew_of(sent)) is not None]):
            found["the times of runs"] = max(made, key=abs)
        if not found:
            if self._headers:
                self._add("clock", "no answer names the time", "not checked", "`older_than=...` goes by both clocks.")
            return
        seen = ", ".join(f"{format_duration(abs(skew))} by {name}" for name, skew in found.items())
        largest = max(map(abs, found.values()))
        if largest <= SKEW:
            self._add("clock", seen, "ok", "`older_than=...` goes by both clocks.")
        elif largest <= LARGE_SKEW:
            self._add("clock", seen, "handled", "`older_than=...` is off by so much.")
        else:
            meaning = "`older_than=...` asks, and pays, too early or too late. Set the clock of this machine."
            self._add("clock", seen, "breaks", meaning)


def _skew_of(sent: Sent) -> float | None:
    """Return how far the service's time of a run's creation is outside of its POST, in seconds."""
    try:
        created = datetime.fromisoformat((sent.listed and sent.listed.created_at) or "")
    except ValueError:
        return None
    at = (created if created.tzinfo else created.replace(tzinfo=UTC)).timestamp()
    began, answered = sent.sent_at
    return min(at - began, 0.0) + max(at - answered, 0.0)


def make_runs(processor: str) -> tuple[Job, list[OutgoingRun]]:
    """Return the runs that are sent, planned like the rows of a frame."""
    rows = pd.DataFrame({"country": COUNTRIES})
    job = make_job(parse_schema(QUESTION), input_schema=None, processor=processor, options=make_options(None))
    plan = make_plan(rows, job, selection=select_inputs(rows))
    runs = [
        OutgoingRun(sent, plan.metadata_of(row, 0), RunId(key, 0), row)
        for row, (key, sent) in enumerate(zip(plan.keys, plan.inputs, strict=True))
    ]
    return job, runs

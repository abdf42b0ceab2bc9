"""The service, examined step by step: each goes through `Session` and the rules of the ledger, as an enrichment does.

The first steps are free. Then two batches are sent, each of them once, whatever is answered: no more is ever paid than
was announced. What the service makes fail is a check of its own, and the other steps are taken all the same.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing, suppress
from dataclasses import replace
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

from parallel_frames._clock import Backoff
from parallel_frames._doctor import _judge as judge
from parallel_frames._doctor._diagnosis import make_check
from parallel_frames._doctor._judge import ENDS, PATIENCE, Look
from parallel_frames._doctor._runs import FIRST_BATCH, make_runs
from parallel_frames._engine import list_patiently
from parallel_frames._engine._look import UNLINKED, read_group, read_status
from parallel_frames._format import format_duration
from parallel_frames._job._plan import group_metadata
from parallel_frames._model import Accepted, Ambiguous, Refused, RunEvent
from parallel_frames._service import read_outcome
from parallel_frames._state import judge_batch
from parallel_frames.errors import AuthenticationError, RateLimitError, RejectedError, ServiceError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence

    from parallel_frames._doctor._diagnosis import Check, Verdict
    from parallel_frames._doctor._runs import Bill, SentRun
    from parallel_frames._model import Event, Posted
    from parallel_frames._service import Client, Session

CONTACT: Final = 20.0  # real seconds until the host counts as unreachable
RESUMED: Final = 15.0  # seconds that a resumed stream may take


class EndedError(Exception):
    """Nothing more can be checked; the last check says why."""


class Examination:
    """One examination of a service; what is found is appended to `checks`."""

    def __init__(self, client: Client, session: Session, bill: Bill, checks: list[Check]) -> None:
        self._client = client
        self._session = session
        self._bill = bill
        self._checks = checks
        self._clock = client.clock
        self._group_id = ""
        self._job, self._runs = make_runs(bill.price.processor)
        self._posted: list[Posted] = []  # the answer to each batch
        self._events: list[Event] = []
        self._headers: dict[str, str] = {}
        self._connection: str | None = None
        self._skews: list[float] = []
        session.on_answer = self._note_answer

    async def run(self) -> None:
        try:
            await self._contact()
            await self._take(self._open_group, "dialect", is_needed=True)
            await self._take(self._ask_for_no_group, "unknown_group")
            await self._take(self._refuse_body, "refused_body")
            await self._send()
        except EndedError:
            pass
        else:
            await self._take(self._list_from_cursor, "run_cursor")
            await self._take(self._hear_events, "events")
            if any(sent.listed is not None for sent in self._created.values()):
                self._note("metadata", *judge.judge_metadata(self._created.values(), is_seed=self._is_seed))
                self._note("inputs", *judge.judge_inputs(self._created.values()))
            await self._take(self._resume_events, "event_cursor")
            await self._take(self._read_outputs, "outputs")
            await self._take(self._count, "counts")
        if self._headers:
            limits = judge.judge_limits(self._headers, max_per_minute=self._client.max_per_minute)
            self._note("rate_limit", *limits)
            self._note("clock", *judge.judge_clock(self._find_skews()))

    async def _take(self, step: Callable[[], Awaitable[None]], name: str, *, is_needed: bool = False) -> None:
        """Take a step; where the service makes it fail, that is the check."""
        try:
            await step()
        except ServiceError as error:
            self._note(name, str(error), "breaks", "Calls stop with this error, which names what is safe.")
            if is_needed:
                raise EndedError from error

    def _give_up(self, name: str, observed: str, meaning: str) -> None:
        self._note(name, observed, "breaks", f"{meaning} The rest could not be checked.")
        raise EndedError

    def _note(self, name: str, observed: str, verdict: Verdict, meaning: str) -> None:
        self._checks.append(make_check(name, observed, verdict, meaning))

    @property
    def _is_seed(self) -> bool:
        return self._session.dialect == "seed"

    @property
    def _created(self) -> dict[str, SentRun]:
        """The runs that are known to exist, by their ids."""
        return {sent.run_id: sent for sent in self._runs if sent.run_id is not None}

    def _note_answer(self, headers: Mapping[str, str], connection: str | None) -> None:
        self._connection = self._connection or connection
        self._headers.update(headers)
        with suppress(ValueError):  # a date that is none
            if "date" in headers:
                self._skews.append(parsedate_to_datetime(headers["date"]).timestamp() - time.time())

    def _find_skews(self) -> dict[str, float]:
        skews = {"the Date header": min(self._skews, key=abs)} if self._skews else {}
        # A simulator's runs have the times of its own clock, which may be faster.
        of_runs = [skew for sent in self._runs if (skew := judge.skew_of(sent)) is not None]
        return skews | ({"the times of runs": max(of_runs, key=abs)} if of_runs and self._clock.speed == 1 else {})

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

    def _note_connection(self) -> None:
        via = [f"through {self._headers['via']}"] if "via" in self._headers else []
        seen = ", ".join([self._connection or "this transport does not show it", *via])
        self._note("connection", seen, "ok", "Requests and streams take this way.")

    def _refuse_key(self, error: AuthenticationError) -> None:
        self._give_up("api_key", str(error), "Every call stops with this error. Set PARALLEL_API_KEY.")

    async def _open_group(self) -> None:
        metadata = group_metadata(self._job, library=version("parallel-frames"))
        try:
            self._group_id = self._bill.group_id = await self._session.create_group(self._job, metadata=metadata)
        except AuthenticationError as error:
            if error.status == 401:
                self._refuse_key(error)
            raise
        self._note("api_key", "the service takes it", "ok", "Runs are billed to its account.")
        self._note("dialect", *judge.judge_dialect(self._session.dialect))

    async def _ask_for_no_group(self) -> None:
        refused: RejectedError | None = None
        try:
            await self._session.group_status("tgrp_that_does_not_exist")
        except RejectedError as error:
            refused = error
        self._note("unknown_group", *judge.judge_unknown_group(refused))

    async def _refuse_body(self) -> None:
        """Ask for a group with what no group may have; a group without runs costs nothing."""
        refused: ServiceError | None = None
        job = replace(self._job, processor="no-such-processor")
        try:
            await self._session.create_group(job, metadata={"longer than 16 characters": ""})
        except ServiceError as error:
            refused = error
        self._note("refused_body", *judge.judge_refused_body(refused))

    # Two batches

    async def _send(self) -> None:
        """Send the runs in two batches, each once, and look at the group after each."""
        looks: list[Look] = []
        lost: list[tuple[str, Look]] = []
        for batch in (self._runs[:FIRST_BATCH], self._runs[FIRST_BATCH:]):
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
            self._note("batch", *judge.judge_refusal(posted))
        elif lost:
            self._note("batch", *judge.judge_lost_answer(*lost[-1]))
        else:
            self._note("batch", *judge.judge_ids(self._runs))
        if looks:
            self._note("listing", *judge.judge_listing(looks, settle_time=self._client.settle_time))
        if not self._created:
            raise EndedError

    async def _post(self, batch: Sequence[SentRun]) -> Posted:
        """Send a batch, once, and count it together with what every other call of this process sends."""
        granted = created = 0
        missing = len(batch)
        with self._client.pacer.joined(self._client.max_per_minute) as pacer:
            try:
                while missing:
                    granted, wait = pacer.take(missing, now=self._clock.now())
                    missing -= granted
                    if missing:  # a part that was held would leave no room for the rest, where the limit is lower
                        pacer.finish(granted, created=granted, now=self._clock.now())
                        granted = 0
                        await self._clock.sleep(wait)
                created = granted
                posted = await self._send_batch(batch)
                created = 0 if isinstance(posted, Refused) else granted
            finally:
                pacer.finish(granted, created=created, now=self._clock.now())
        return posted

    async def _send_batch(self, batch: Sequence[SentRun]) -> Posted:
        began = time.time()
        self._bill.sent += len(batch)  # also where it is interrupted
        posted = await self._session.add_runs(self._group_id, job=self._job, runs=[sent.run for sent in batch])
        self._posted.append(posted)
        for sent in batch:
            sent.sent_at = began, time.time()
        if isinstance(posted, Refused):
            self._bill.sent -= len(batch)
        elif isinstance(posted, Accepted):
            for sent, run_id in zip(batch, posted.run_ids, strict=True):
                sent.claimed_id = sent.run_id = run_id
        return posted

    async def _look(self, batch: Sequence[SentRun]) -> Look:
        """Look at the group until the rules come to a conclusion, as if the batch's answer was lost."""
        began, looks = self._clock.now(), 0
        acknowledged = {sent.run_id for sent in self._runs if sent not in batch and sent.run_id is not None}
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
        unlinked: set[str] = set()

        def take(event: RunEvent) -> None:
            self._recognise(event)
            if event.run_id not in self._created and not event.metadata:
                unlinked.add(event.run_id)

        look = await read_group(
            self._session, self._group_id, take=take, acknowledged=acknowledged, clock=self._clock, include_input=True
        )
        return look.flaw or (UNLINKED if unlinked else None)

    def _recognise(self, event: RunEvent) -> None:
        """Note of which run an entry is: by its metadata, its input or its id, in this order."""
        by_metadata = [sent for sent in self._runs if sent.has_metadata(event)]
        by_input = [sent for sent in self._runs if sent.has_input(event)]
        by_id = [sent for sent in self._runs if sent.claimed_id == event.run_id]
        for sent in (by_metadata or by_input or by_id)[:1]:
            sent.listed, sent.run_id = event, event.run_id

    async def _list(self, *, cursor: str | None = None, completed: Iterable[str] | None = None) -> list[RunEvent]:
        """Return the group's list; with outputs where it is to hold the runs of `completed` at least."""
        listed: dict[str, RunEvent] = {}

        def take(event: RunEvent) -> None:
            listed[event.run_id] = event

        await list_patiently(
            self._session,
            self._group_id,
            take=take,
            clock=self._clock,
            include_input=False,
            include_output=completed is not None,
            last_event_id=cursor,
            completed=completed,
        )
        return list(listed.values())

    async def _list_from_cursor(self) -> None:
        accepted = [posted for posted in self._posted if isinstance(posted, Accepted)]
        if len(accepted) < 2:
            meaning = "A list is read from a cursor where there is one."
            self._note("run_cursor", "no second batch was acknowledged", "not checked", meaning)
            return
        cursor = None if self._is_seed else accepted[-1].run_cursor
        listed = [] if cursor is None else await self._list(cursor=cursor)
        wanted = {sent.run_id for sent in self._runs[FIRST_BATCH:] if sent.run_id is not None}
        found, is_refused = {event.run_id for event in listed}, not self._session.narrows_lists
        self._note("run_cursor", *judge.judge_run_cursor(cursor, found, wanted=wanted, is_refused=is_refused))

    # The stream of events

    async def _hear_events(self) -> None:
        deadline = self._clock.now() + PATIENCE
        cursor: str | None = None
        cuts, is_active, backoff = 0, True, Backoff(first=0.2)
        while is_active and not self._have_all_ended and (left := deadline - self._clock.now()) > 0:
            before = cursor
            try:
                async with asyncio.timeout(self._clock.real(left)):
                    await self._hear(cursor)
            except TimeoutError:
                break
            except RejectedError:
                if cursor is None:
                    raise
                self._events.clear()  # the cursor is refused, and all of them come again
            except (UnavailableError, RateLimitError):
                cuts += 1
            cursor = next((event.event_id for event in reversed(self._events) if event.event_id), None)
            if not self._have_all_ended:
                status = await read_status(self._session, self._group_id)
                is_active = status is None or status.is_active or cursor != before
                await self._clock.sleep(backoff.wait(cuts))
        self._judge_events(is_active=is_active, cuts=cuts)

    async def _hear(self, cursor: str | None) -> None:
        """Take the events of one stream, up to its end or that of the last run."""
        stream = self._session.stream_events(self._group_id, last_event_id=cursor, include_input=True)
        async with aclosing(stream) as bursts:
            async for burst in bursts:
                for event in burst:
                    self._events.append(event)
                    if isinstance(event, RunEvent) and event.status in ENDS and event.run_id in self._created:
                        self._created[event.run_id].ended = event
                if self._have_all_ended:
                    return

    @property
    def _have_all_ended(self) -> bool:
        return all(sent.ended is not None for sent in self._created.values())

    def _judge_events(self, *, is_active: bool, cuts: int) -> None:
        runs, ended = self._created.values(), self._ended
        self._bill.free = sum(event.status in ("failed", "cancelled") for event in ended)
        seen = judge.judge_events(runs, cuts=cuts, is_active=is_active, group_id=self._group_id)
        self._note("events", *seen)
        if completed := sum(event.status == "completed" for event in ended):
            carrying = sum(map(self._has_output, ended))
            seen = judge.judge_event_outputs(carrying, completed=completed, is_seed=self._is_seed)
            self._note("event_outputs", *seen)

    @property
    def _ended(self) -> list[RunEvent]:
        return [sent.ended for sent in self._created.values() if sent.ended is not None]

    def _has_output(self, event: RunEvent) -> bool:
        """Return whether an answer can be read from what the service says of a run."""
        sent, asked = self._created.get(event.run_id), self._job.spec["output_schema"]
        if sent is None or event.status != "completed":
            return False
        return read_outcome(event, sent.run.id, group_id=self._group_id, asked=asked) is not None

    async def _resume_events(self) -> None:
        """Read the stream again from the first run's event on."""
        runs = [event for event in self._events if isinstance(event, RunEvent)]
        ids = list(dict.fromkeys(event.event_id for event in runs if event.event_id is not None))
        if runs:
            heard = await self._hear_after(ids[0], wanted=ids[1:]) if ids else None
            self._note("event_cursor", *judge.judge_event_cursor(ids, heard))

    async def _hear_after(self, cursor: str, *, wanted: Sequence[str]) -> set[str] | None:
        """Return the ids of events after a cursor, until these are among them; None where the cursor is refused."""
        heard: set[str] = set()
        stream = self._session.stream_events(self._group_id, last_event_id=cursor)
        with suppress(TimeoutError, UnavailableError, RateLimitError):  # what came is compared
            try:
                async with asyncio.timeout(self._clock.real(RESUMED)), aclosing(stream) as bursts:
                    async for burst in bursts:
                        heard |= {event.event_id for event in burst if event.event_id is not None}
                        if heard.issuperset(wanted):
                            break
            except RejectedError:
                return None
        return heard

    # The end

    async def _read_outputs(self) -> None:
        """Read the outputs as calls do: from the list, and as a result of its own."""
        listed = [event for event in await self._list(completed=list(self._created)) if event.run_id in self._created]
        completed = {event.run_id for event in [*listed, *self._ended] if event.status == "completed"}
        has_result: bool | None = None
        if completed and not self._is_seed:  # which documents no such path
            event = await self._session.run_result(min(completed))
            has_result = event is not None and self._has_output(event)
        in_list, is_carried = sum(map(self._has_output, listed)), any(map(self._has_output, self._ended))
        seen = judge.judge_outputs(in_list, completed=len(completed), has_result=has_result, is_carried=is_carried)
        self._note("outputs", *seen)

    async def _count(self) -> None:
        """Read the group's counts until they agree with what was created and heard, or had time to."""
        began, looks, runs = self._clock.now(), 0, self._created.values()
        while True:
            waited = self._clock.now() - began if looks else 0.0
            status = await read_status(self._session, self._group_id)
            is_late = status is not None and status.runs <= len(runs) and not judge.has_settled(status, runs)
            if not is_late or waited >= self._client.settle_time:
                self._note("counts", *judge.judge_counts(status, runs, seconds=waited))
                return
            looks += 1
            await self._clock.sleep(Backoff().wait(looks))

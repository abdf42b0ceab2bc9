"""Looking at a group: one count and one whole listing, and what follows for the runs in it."""

from __future__ import annotations

from collections import defaultdict
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

from parallel_frames._clock import Backoff
from parallel_frames._inputs import canonical_of_json, canonical_of_sent
from parallel_frames._service import possible_inputs
from parallel_frames._state import Look, judge_look, read_identity
from parallel_frames.errors import ProtocolError, RateLimitError, UnavailableError, UndecidedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from parallel_frames._clock import Clock
    from parallel_frames._engine._books import Books
    from parallel_frames._engine._protocols import Service
    from parallel_frames._model import GroupStatus, RunEvent, RunId

    Seek = Callable[[RunEvent], RunId | None]


UNLINKED: Final = "it holds runs without metadata and without an input that was sent: they could be anybody's"


async def list_patiently(
    service: Service,
    group_id: str,
    *,
    take: Callable[[RunEvent], None],
    clock: Clock,
    include_input: bool,
    include_output: bool,
) -> None:
    """Hand every run of a group to `take`; a list that broke off is read again, so a run may be handed twice."""
    backoff = Backoff()
    for attempt in range(backoff.tries + 1):
        try:
            runs = service.list_runs(group_id, include_input=include_input, include_output=include_output)
            async with aclosing(runs):
                async for event in runs:
                    take(event)
        except (UnavailableError, RateLimitError):
            if attempt == backoff.tries:
                raise
            await clock.sleep(backoff.wait(attempt))
        else:
            return


async def look_at_group(
    service: Service,
    books: Books,
    group_id: str,
    *,
    clock: Clock,
    include_output: bool,
    seek: Seek | None = None,
) -> Look:
    """Read a group's count and then its whole list, and adopt every run of ours that stands in it.

    `seek` recognises a run of ours by its input alone, where the service holds no metadata of it at all. Returns the
    look, which says whether absence may be concluded.
    """
    acknowledged = books.ledger.acknowledged(group_id)
    status = await _read_status(service, group_id)
    listed: set[str] = set()
    unlinked: set[str] = set()
    echoes = False

    def take(event: RunEvent) -> None:
        nonlocal echoes
        listed.add(event.run_id)
        echoes = echoes or read_identity(event.metadata) is not None
        run = books.ledger.identify(event)
        if run is None and not event.metadata:
            run = None if seek is None else seek(event)
            if run is None and (event.input is None or service.dialect == "seed"):
                unlinked.add(event.run_id)  # it may be any run that was ever sent
        if run is not None:
            books.note_found(run, run_id=event.run_id, group_id=group_id)
            books.take_run(group_id, event, run)

    await list_patiently(
        service, group_id, take=take, clock=clock, include_input=seek is not None, include_output=include_output
    )
    if status is None:
        return Look(listed, "its counts cannot be read")
    look = judge_look(status, listed, acknowledged)
    if look.flaw is None and unlinked and seek is not None and not echoes:
        return Look(listed, UNLINKED)
    return look


async def look_until_whole(
    service: Service,
    books: Books,
    group_id: str,
    *,
    clock: Clock,
    include_output: bool,
    seek: Seek | None = None,
    sends: int,
) -> Look:
    """Look at a group, and again where so many runs are to be sent and what is absent cannot be told yet.

    Raises
    ------
    UndecidedError
        The group could not be read whole for as long as it is worth trying.
    """
    backoff = Backoff()
    attempt = 0
    while True:
        look = await look_at_group(service, books, group_id, clock=clock, include_output=include_output, seek=seek)
        if look.flaw is None or not sends:
            return look
        if attempt == backoff.tries:
            raise UndecidedError(group_id=group_id, runs=sends, reason=look.flaw)
        books.observer.said(f"group {group_id} cannot be read whole yet: {look.flaw}")
        await clock.sleep(backoff.wait(attempt))
        attempt += 1


async def _read_status(service: Service, group_id: str) -> GroupStatus | None:
    """Return a group's counts; None where the service writes them in a way nobody documented."""
    try:
        return await service.group_status(group_id)
    except ProtocolError:
        return None


def seek_among(books: Books, runs: Iterable[RunId]) -> Seek | None:
    """Return what recognises, each once, these runs of rows of this call's frame; None where there are none."""
    wanted = {run.key: run for run in runs}
    sought: defaultdict[bytes, list[RunId]] = defaultdict(list)
    if wanted:
        for entry, key in enumerate(books.plan.keys):
            if key in wanted:
                sought[canonical_of_sent(books.plan.inputs[entry])].append(wanted[key])

    def seek(event: RunEvent) -> RunId | None:
        for sent in possible_inputs(event):
            if same := sought.get(canonical_of_json(sent)):
                return same.pop(0)
        return None

    return seek if sought else None

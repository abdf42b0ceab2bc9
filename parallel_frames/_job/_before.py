"""What is said, asked and counted before a call sends anything, and who watches while it does."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from parallel_frames._job._arriving import Arrivals, RowMaker
from parallel_frames._job._telling import announce, counted
from parallel_frames._prices import check_cost
from parallel_frames._ui import ask
from parallel_frames.errors import DeclinedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from parallel_frames._engine._protocols import Observer
    from parallel_frames._job._arriving import Row
    from parallel_frames._job._course import Course
    from parallel_frames._job._remember import Memory
    from parallel_frames._service import Client
    from parallel_frames._state import Needs
    from parallel_frames._ui import Progress


def announce_call(course: Course, client: Client, memory: Memory, progress: Progress, needs: Needs) -> None:
    """Say what will be sent, and make sure that it may be."""
    decided = course.decided
    for finding in decided.findings if not course.has_begun else ():
        progress.warn(f"schema: {finding}")
    if decided.price.per_run is None and not course.has_begun:
        progress.warn(f"processor {decided.call.processor!r} is not in the price table of {decided.price.as_of}.")
    line = announce(
        course.plan,
        needs,
        limit=decided.call.limit,
        price=decided.price,
        max_per_minute=client.max_per_minute,
        answers=memory.ledger.answers([course.plan.keys[entry] for entry in needs.answered]),
        checkpoint=memory.location,
        simulated=course.destination is not None and course.destination.block is not None,
    )
    progress.line(line)
    runs = 0 if course.halted else len(needs.to_send)
    afford(course, [entry for entry, _ in needs.to_send[:runs]])
    if decided.call.confirm and runs and not course.has_begun:
        asked = f"Send {counted(runs, 'run')} ({decided.price.text(runs)})?"
        if not ask(asked):
            raise DeclinedError("confirm=True asked, and the answer was not yes. Nothing was sent.")


def afford(course: Course, entries: Sequence[int]) -> None:
    """Refuse to send these runs where all of them, with those before, would cost more than allowed."""
    call = course.decided.call
    sent, may_limit = course.count_sent(), not call.group_ids
    check_cost(course.decided.price, entries, sent=sent, max_cost=call.max_cost, may_limit=may_limit)


@contextmanager
def watching(
    course: Course, progress: Progress, client: Client, needs: Needs, tell: Callable[[Row], object] | None
) -> Iterator[Observer]:
    """Give the engine's observer, which tells of rows too where somebody wants to hear of them."""
    maker = RowMaker(course.decided.df, course.plan, course.decided.schema)
    _begin_progress(course, progress, client, needs, maker)
    if tell is None or course.ledger is None:
        yield progress
        return
    arrivals = Arrivals(progress, maker=maker, ledger=course.ledger, tell=tell)
    try:
        arrivals.tell_of([course.plan.keys[entry] for entry in needs.answered])
        yield arrivals
    finally:
        arrivals.close()


def _begin_progress(course: Course, progress: Progress, client: Client, needs: Needs, maker: RowMaker) -> None:
    """Tell the progress what there is to do, and what is done already."""
    rows_of = maker.count_rows()
    keys, per_run = course.plan.keys, course.decided.price.per_run
    answered = [keys[entry] for entry in needs.answered]
    bad = [] if course.ledger is None else [each.key for each in course.ledger.answers(answered).others().values()]
    open_keys = [keys[entry] for entry in (*needs.awaited, *(entry for entry, _ in needs.to_send))]
    done = sum(rows_of[key] for key in answered)
    progress.begin(
        rows=done + sum(rows_of[key] for key in open_keys),
        answered=done,
        failed=sum(rows_of[key] for key in bad),
        in_flight=len(needs.awaited),
        rows_of=rows_of,
        per_run=None if per_run is None else float(per_run),
        spent=None if per_run is None else float(per_run * course.count_sent()),
        url_of=client.url_of,
    )

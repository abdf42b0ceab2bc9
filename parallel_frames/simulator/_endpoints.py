"""The endpoints, one function each: an exchange in, a response out.

Owns the order of checks (body, processor, size, credit, rate limit) and which dialect a request speaks. Knows neither
keys nor faults, which come before.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any, Literal

import orjson

from ._exchange import EventStream, reply
from ._limits import DOLLARS_PER_1000
from ._records import ACTIVE, TERMINAL, Run, dump, group_body, group_status
from ._service import Draft
from ._streams import cursor_at, follow_events, listed_events, read_cursor, stream_listing
from ._validation import check_batch, check_group, check_run, check_size, problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.responses import Response

    from ._exchange import Exchange
    from ._records import Group

ELEMENT_BASIS = "field-basis-2025-11-25"
RESULT_TIMEOUT = 600.0
STATUSES = ACTIVE | TERMINAL | {"action_required"}


async def create_group(exchange: Exchange) -> Response:
    """Create a group, in the dialect its body speaks."""
    body = await exchange.body()
    dialect = exchange.service.settings.dialect
    speaks_seed = isinstance(body, dict) and not body.keys().isdisjoint(("processor", "task_spec"))
    seed = dialect == "seed" or (dialect == "both" and exchange.prefix == "v1beta" and speaks_seed)
    exchange.refuse_problems(check_group(body, seed=seed))
    if seed:
        _refuse_processors(exchange, [body["processor"]])
    group = exchange.service.create_group(body, seed_dialect=seed)
    return reply(group_body(group, group.counts, clock=exchange.service.clock))


async def get_group(exchange: Exchange) -> Response:
    group = exchange.group()
    is_current = math.isinf(exchange.as_of)
    counts = group.counts if is_current else Counter[str](run.status for run in exchange.visible_runs(group))
    return reply(group_body(group, counts, clock=exchange.service.clock))


async def add_runs(exchange: Exchange) -> Response:
    """Create runs in a group, all or none."""
    group = exchange.group()
    body = await exchange.body()
    seed = group.seed_dialect
    exchange.refuse_problems(check_batch(body, seed=seed))
    runs = body["runs" if seed else "inputs"]
    drafts = _draft_runs(exchange, runs, default_spec=body.get("default_task_spec"), group=group)
    cursors = {
        "event_cursor": cursor_at("evt", group, len(group.log)),
        "run_cursor": cursor_at("lst", group, len(group.runs)),
    }
    created = _create(exchange, drafts, group=group)
    run_ids = [run.run_id for run in created]
    if seed:
        return reply({"run_ids": run_ids} if exchange.service.settings.seed_answer_ids else {"status": "accepted"})
    status = group_status(group, group.counts, modified_at=exchange.service.clock.moment(group.modified_at))
    return reply({"run_ids": run_ids, "status": status, **cursors})


async def create_run(exchange: Exchange) -> Response:
    body = await exchange.body()
    exchange.refuse_problems(list(check_run(body)))
    (run,) = _create(exchange, _draft_runs(exchange, [body], default_spec=None, group=None), group=None)
    return _state(exchange, run, status=202)


def _draft_runs(
    exchange: Exchange, runs: Sequence[dict[str, Any]], *, default_spec: Any, group: Group | None
) -> list[Draft]:
    """Return runs that may be created; refuse the whole batch if one of them is too large."""
    service = exchange.service
    default = group.spec if group and group.spec else service.spec(default_spec)
    drafts, problems = [], []
    for position, run in enumerate(runs):
        own = run.get("task_spec")
        spec = default if own is None else service.spec(own)
        canonical = dump(run["input"], option=orjson.OPT_SORT_KEYS)
        problems += check_size(spec, canonical, "inputs", position)
        drafts.append(Draft(run, spec, run.get("processor") or (group.processor if group else ""), canonical))
    exchange.refuse_problems(problems)
    return drafts


def _refuse_processors(exchange: Exchange, processors: list[str]) -> None:
    settings = exchange.service.settings
    known = DOLLARS_PER_1000.keys() | settings.more_processors
    unknown = sorted(name for name in set(processors) if name.removesuffix("-fast") not in known)
    exchange.refuse_problems([problem(f"Unknown processor {name!r}", "processor") for name in unknown])
    if refused := settings.refused_processors.intersection(processors):
        exchange.refuse(403, f"Processor not allowed: {', '.join(sorted(refused))}")


def _create(exchange: Exchange, drafts: list[Draft], *, group: Group | None) -> list[Run]:
    """Create runs if the account allows it."""
    service = exchange.service
    processors = [draft.processor for draft in drafts]
    _refuse_processors(exchange, processors)
    if not service.credit.fits(processors):
        exchange.refuse(402, "Insufficient credit: add funds, or wait until runs in flight have finished")
    wait = service.limit.take(len(drafts), now=service.clock.now())
    if wait is not None:
        seconds = str(max(1, math.ceil(wait)))
        exchange.refuse(429, f"Rate limit exceeded: retry in {seconds} s", headers={"Retry-After": seconds})
    service.credit.reserve(processors)
    elements = ELEMENT_BASIS in exchange.request.headers.get("parallel-beta", "")
    created = service.create_runs(drafts, group=group, elements=elements)
    service.scheduler.arm()
    return created


def _cursor(exchange: Exchange, group: Group, *, kind: Literal["evt", "lst"], length: int) -> int:
    """Return the position the query's cursor stands for; what an unknown one means is an option."""
    cursor = exchange.request.query_params.get("last_event_id")
    if not cursor:
        return 0
    position = read_cursor(kind, group, cursor, length=length)
    if position is not None:
        return position
    policy = exchange.service.settings.unknown_cursor
    if policy == "refuse":
        exchange.refuse_query("last_event_id", f"Unknown event id {cursor!r}")
    return length if policy == "end" else 0


async def stream_events(exchange: Exchange) -> EventStream:
    group, service = exchange.group(), exchange.service
    settings = service.settings
    position = _cursor(exchange, group, kind="evt", length=len(group.log))
    timeout = exchange.seconds("timeout")
    lifetime = settings.stream_lifetime if timeout is None else min(timeout, settings.stream_lifetime)
    honours = group.seed_dialect or settings.events_honour_include_output
    echoes = settings.seed_echo_input or not group.seed_dialect
    service.totals["streams"] += 1
    frames = follow_events(
        service,
        group,
        position=position,
        with_input=echoes and exchange.flag("include_input"),
        with_output=honours and exchange.flag("include_output"),
        until=service.clock.now() + lifetime,
    )
    return EventStream(frames)


async def list_runs(exchange: Exchange) -> Response | EventStream:
    group, service = exchange.group(), exchange.service
    settings, seed = service.settings, group.seed_dialect
    wanted = exchange.request.query_params.get("status")
    if wanted is not None and wanted not in STATUSES:
        exchange.refuse_query("status", f"Unknown status {wanted!r}")
    start = _cursor(exchange, group, kind="lst", length=len(group.runs))
    listed = list(enumerate(exchange.visible_runs(group), start=1))[start:]
    runs = [(position, run) for position, run in listed if wanted in (None, run.status)]
    events = listed_events(
        service,
        runs,
        with_input=settings.seed_echo_input if seed else exchange.flag("include_input"),
        with_output=seed or exchange.flag("include_output"),
    )
    if seed and settings.seed_list_as == "json":
        return reply({"runs": [orjson.Fragment(event) for event in events]})
    return EventStream(stream_listing(service, events))


def _state(exchange: Exchange, run: Run, *, status: int = 200) -> Response:
    return reply(orjson.Fragment(exchange.service.state_of(run)), status=status)


async def get_run(exchange: Exchange) -> Response:
    return _state(exchange, exchange.run())


async def get_input(exchange: Exchange) -> Response:
    return reply(exchange.run().body)


async def get_result(exchange: Exchange) -> Response:
    """Wait for a run, and return its output."""
    run, clock = exchange.run(), exchange.service.clock
    timeout = exchange.seconds("timeout")
    until = clock.now() + (RESULT_TIMEOUT if timeout is None else timeout)
    waiters = run.group.waiters if run.group else exchange.service.lone_waiters
    while run.status in ACTIVE or run.status == "action_required":
        left = until - clock.now()
        if left <= 0:
            exchange.refuse(408, "Timed out: the run is still active")
        await waiters.wait(clock.wall(left))
    if run.output is None:
        message = run.error["message"] if run.error else "no output"
        exchange.refuse(404, f"Run {run.status}: {message}")
    state = exchange.service.state_of(run)
    return reply(orjson.Fragment(dump({"run": orjson.Fragment(state), "output": orjson.Fragment(run.output)})))

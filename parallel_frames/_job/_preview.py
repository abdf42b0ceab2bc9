"""What a call would do, as a value: rows, runs, price, time, and the first thing it would send. It sends nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
import pandas as pd

from parallel_frames._checkpoint import read_outcomes
from parallel_frames._format import format_count
from parallel_frames._inputs import Selection, render_inputs
from parallel_frames._job._checkpoints import other_form_of, preview_checkpoint
from parallel_frames._job._collect import Found
from parallel_frames._job._forecast import forecast, total_of
from parallel_frames._job._join import Matches, log_matches, refuse_other_question
from parallel_frames._job._lint import gaps_finding
from parallel_frames._job._offline import choose_destination
from parallel_frames._job._runner import JobRunner
from parallel_frames._job._source import FrameSource, IndexedFeed
from parallel_frames._model import Finding
from parallel_frames._runtime import run_from_anywhere
from parallel_frames._service import DIALECTS, PUBLISHED
from parallel_frames._state import runs_of, states_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from decimal import Decimal

    from parallel_frames._job._prepare import PreparedCall
    from parallel_frames._job._source import RowSource
    from parallel_frames._model import Job, Json, OutgoingRun
    from parallel_frames._prices import Price
    from parallel_frames._service import Client

HIDDEN = "•••"
MAX_COMPARED = 30  # columns whose savings are looked for
DATE_OR_NUMBER = re.compile(r"[\d\s.,:/+-]*(T[\d:.+-]+)?Z?", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrichmentPlan:
    """What an enrichment would do and cost; `parallel_frames.plan` makes it.

    Attributes
    ----------
    rows, chosen : int
        Rows of the frame, and those that ``where=`` picks.
    skipped : int
        Chosen rows with nothing to send.
    runs : int
        Distinct inputs of the chosen rows; with ``escalate=`` also those known to need a further processor, for each.
    duplicates : int
        Rows that share another row's run.
    answered, failed, awaited : int
        Runs that the checkpoint has the answer of, that failed and are not asked again, and that are under way.
    left_out : int
        Runs beyond ``limit=``.
    to_send : int
        Runs that would be sent now, and paid.
    processor : str
    price_per_run, cost : float or None
        US dollars, of one run and of those to send; None where the price is not known.
    escalation : dict of str to (float or None)
        US dollars that each processor of ``escalate=`` would cost at worst: if every row that may be escalated to it
        is. Runs of rows that are known to be escalated count as to send already.
    worst_cost : float or None
        US dollars that all of it would cost at worst; without ``escalate=`` the same as `cost`.
    extra_cost : str
        What is billed on top of that, at prices that are not known: ``"plus connector calls"``, or nothing.
    prices_as_of : str
        The date of the price table.
    spent : float or None
        US dollars that these rows' runs have cost before, as far as the checkpoint knows.
    seconds : float or None
        About how long it would take, from the rate limit and a run's usual time; None where that is not known, as
        it is not of a simulator.
    max_per_minute : int or None
        The rate limit it would keep.
    sends : tuple of str
        The names the service would see.
    sends_as : str
        How: ``"object"`` (names and cells), ``"cell"`` (one column's bare cell) or ``"template"`` (a text).
    findings : tuple of Finding
        What there is to say of the processor and of the schema, and advice on inputs that make more runs than others
        would.
    checkpoint : str or None
        The folder it would write.
    simulated : bool
        Whether it would go to a simulator.
    method_path : str
        The request that would send the runs.
    payload : dict or None
        The body of the first such request, with only its first run; None when nothing would be sent. Headers of MCP
        servers and the secret of a webhook are not shown.

    Examples
    --------
    >>> import pandas as pd, parallel_frames as pf
    >>> df = pd.DataFrame({"company": ["Acme", "Globex", "Acme"]})
    >>> plan = df.parallel.plan({"ceo": "full name of the CEO"}, processor="pro", checkpoint=None)
    >>> plan.runs, plan.duplicates, plan.cost, plan.sends
    (2, 1, 0.2, ('company',))
    >>> plan.payload["inputs"][0]["input"]
    {'company': 'Acme'}
    """

    rows: int
    chosen: int
    skipped: int
    runs: int
    duplicates: int
    answered: int
    failed: int
    awaited: int
    left_out: int
    to_send: int
    processor: str
    price_per_run: float | None
    cost: float | None
    escalation: Mapping[str, float | None]
    worst_cost: float | None
    extra_cost: str
    prices_as_of: str
    spent: float | None
    seconds: float | None
    max_per_minute: int | None
    sends: tuple[str, ...]
    sends_as: str
    findings: tuple[Finding, ...]
    checkpoint: str | None
    simulated: bool
    method_path: str
    payload: dict[str, Json] | None = field(repr=False)

    def __repr__(self) -> str:
        from parallel_frames._ui import plan_text

        return plan_text(self)

    def _repr_html_(self) -> str:
        from parallel_frames._ui import plan_html

        return plan_html(self)


def plan_call(source: RowSource[Any]) -> EnrichmentPlan:
    """Return what a call would do, and raise what it would raise.

    It reads the checkpoint, and the groups that the call names, and changes nothing.
    """
    prepared = source.prepared
    call, price = prepared.call, prepared.price
    destination = choose_destination(call.client, for_sending=bool(call.group_ids))
    runner = JobRunner(source)
    runner.scan()
    found = preview_checkpoint(source, runner.index, destination)
    groups, matches = call.group_ids, Matches()
    if not groups and destination.client.api_key != "none" and not call.refresh and runner.status().to_send:
        known = found.header.get("groups") or ()
        groups = tuple(group for group in prepared.earlier_groups if group not in known)
    if groups:
        run_from_anywhere(partial(_look_at_groups, runner, destination.client, groups, found.header, matches))
    status = runner.status()
    read = None if found.folder is None else partial(read_outcomes, found.folder)
    ahead = forecast(runner, read, destination)
    ahead.check_cost(limit_for=None if call.group_ids else runner.limit_within)
    client = destination.client
    simulated = bool(found.header.get("simulated")) or destination.asks_simulator()
    dialect = DIALECTS[found.header.get("dialect") or (PUBLISHED.name if client.api == "auto" else client.api)]
    worst = dict(zip((each.call.processor for each in prepared.later), ahead.costs_at_worst[1:], strict=True))
    gaps = gaps_finding(source.gaps) if status.to_send else None
    other_form = other_form_of(found.header, source) if status.to_send else None
    runner.index.decide_sending()
    first = next(iter(next(source.read(runner.index), [])), None)
    return EnrichmentPlan(
        rows=status.rows,
        chosen=status.chosen,
        skipped=status.skipped,
        runs=ahead.total("runs"),
        duplicates=status.chosen - status.skipped - status.runs,
        answered=ahead.total("answered") - ahead.total("failed"),
        failed=ahead.total("failed"),
        awaited=ahead.total("awaited"),
        left_out=ahead.total("left_out"),
        to_send=ahead.total("to_send"),
        processor=call.processor,
        price_per_run=_dollars(price.per_run),
        cost=_dollars(total_of(ahead.costs("to_send"))),
        escalation={processor: _dollars(cost) for processor, cost in worst.items()},
        worst_cost=_dollars(total_of(ahead.costs_at_worst)),
        extra_cost=price.extra,
        prices_as_of=price.as_of,
        spent=_dollars(total_of(ahead.costs("billed"))),
        seconds=None if simulated else ahead.seconds(max_per_minute=client.max_per_minute),
        max_per_minute=client.max_per_minute,
        sends=prepared.selection.names,
        sends_as=prepared.selection.form,
        findings=(
            *_unknown_processors(prepared),
            *prepared.findings,
            *(_group_findings(matches, call.processor) if call.group_ids else ()),
            *([] if gaps is None else [gaps]),
            *([] if other_form is None else [Finding("advice", "inputs", "inputs", other_form)]),
            *_fewer_inputs(source, price, status.runs),
        ),
        checkpoint=None if found.folder is None else str(found.folder),
        simulated=simulated,
        method_path=f"POST {dialect.group_path()}/{{taskgroup_id}}/runs",
        payload=None if first is None else _first_body(prepared.job, first, found.header, dialect),
    )


def _dollars(amount: Decimal | None) -> float | None:
    return None if amount is None else float(amount)


def _unknown_processors(prepared: PreparedCall) -> Iterator[Finding]:
    for each in (prepared, *prepared.later):
        if each.price.unknown is not None:
            message = each.price.unknown.removeprefix("processor ").removesuffix(".")
            yield Finding("warning", "processor", "processor", message)


def _group_findings(matches: Matches, processor: str) -> Iterator[Finding]:
    if (adopted := matches.adopted_text()) is not None:
        yield Finding("advice", "group_id", "group_id", adopted)
    for text in matches.left_texts(processor):
        yield Finding("warning", "group_id", "group_id", text)


def _fewer_inputs(source: RowSource[Any], price: Price, runs: int) -> Iterator[Finding]:
    """Yield what fewer inputs would save: the column that identifies rows alone, and all columns but one other.

    It is the column of text with the most distinct values; without one that tells rows apart there is no advice.
    """
    selection = source.prepared.selection
    if not isinstance(source, FrameSource) or selection.form != "object" or not source.prepared.call.dedupe or runs < 2:
        return
    columns = dict(zip(selection.names, selection.labels, strict=True))
    if not 2 <= len(columns) <= MAX_COMPARED:
        return
    frame = source.prepared.frame.iloc[np.flatnonzero(source.plan.row_runs >= 0)]
    cells: dict[str, np.ndarray[Any, np.dtype[np.int64]]] = {}  # with -1 for nothing to send
    for name, label in columns.items():
        canonical = render_inputs(frame, Selection("object", (name,), (label,))).canonical
        cells[name] = pd.factorize(pd.Series(canonical, dtype=object))[0]
    texts = {name: int(np.max(cells[name])) + 1 for name, label in columns.items() if _is_text(frame[label])}
    identity, values = max(texts.items(), key=itemgetter(1), default=("", 0))
    if values**2 < runs:  # a column of so few is a category
        return
    choices = {f"{identity!r} alone": [identity]}
    if len(columns) > 2:
        others = {f"without {name!r}": [each for each in columns if each != name] for name in columns}
        others.pop(f"without {identity!r}")
        which = min(others, key=lambda which: _count_runs(cells, others[which])[0])
        choices[which] = others[which]
    for which, names in choices.items():
        number, skipped = _count_runs(cells, names)
        if number + skipped < runs:
            lost = f", and {format_count(skipped, 'row')} with nothing to send" if skipped else ""
            saving = f"{which}: {format_count(number, 'run')}, {price.text(number)}{lost}"
            yield Finding("advice", "inputs", "inputs", f"{saving}; fewer inputs make fewer distinct rows")


def _is_text(column: pd.Series[Any]) -> bool:
    """Return whether most of the first cells are texts, and neither dates nor numbers that are written as text."""
    known = column.dropna().head(1_000).tolist()
    return 2 * sum(isinstance(cell, str) and not DATE_OR_NUMBER.fullmatch(cell) for cell in known) > len(known)


def _count_runs(cells: Mapping[str, np.ndarray[Any, np.dtype[np.int64]]], names: Sequence[str]) -> tuple[int, int]:
    """Return how many distinct rows these columns make, and how many rows have nothing in them."""
    rows = np.column_stack([cells[name] for name in names])
    has_any = (rows >= 0).any(axis=1)
    return len(np.unique(rows[has_any], axis=0)), int((~has_any).sum())


def _first_body(job: Job, run: OutgoingRun, header: Mapping[str, Any], dialect: Any) -> dict[str, Json]:
    """Return the first batch's body with one run, and without what must not be shown."""
    if "spec" in header:
        job = replace(job, spec=header["spec"])
    body: dict[str, Json] = orjson.loads(dialect.runs_body(job, runs=[run]))
    for sent in body.get("inputs") or body["runs"]:
        for server in sent.get("mcp_servers") or ():
            server["headers"] = dict.fromkeys(server.get("headers") or (), HIDDEN)
        if "webhook" in sent:
            sent["webhook"] = {
                name: value if name == "event_types" else HIDDEN for name, value in sent["webhook"].items()
            }
    return body


async def _look_at_groups(
    runner: JobRunner, client: Client, group_ids: Sequence[str], header: Mapping[str, Any], matches: Matches
) -> None:
    """Let the index know of the runs that groups hold for these rows."""
    feed = IndexedFeed(runner.source, runner.index, matches)
    async with client.session(dialect=header.get("dialect")) as session:
        for group_id in group_ids:
            processor = (await session.group_status(group_id)).processor
            found = Found()
            await found.take_group(session, group_id, feed.join({}), runner, clock=client.clock, processor=processor)
            runner.index.add_receipts(runs_of(found.receipts))
            runner.index.add_outcomes(0, states_of(found.outcomes.values()))
    log_matches(group_ids, matches)
    call = runner.prepared.call
    if call.group_ids:
        refuse_other_question(matches, call.processor, to_send=runner.index.status().to_send)

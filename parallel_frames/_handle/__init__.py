"""One enrichment from its frame to its enriched frame: what `enrich`, `collect` and `last()` share.

It puts the floors together: plan, memory, engine, merge. What it decides itself is only what a person is told: the
line before the first run, and what is safe when a call ends early.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from importlib.metadata import version
from typing import TYPE_CHECKING

import pandas as pd

from parallel_frames._client import Client
from parallel_frames._engine import Engine
from parallel_frames._inputs import select_inputs
from parallel_frames._merge import PANDAS_3, Layout, make_layout, merge_outcomes
from parallel_frames._offline import current_offline
from parallel_frames._plan import group_metadata, make_job, make_options, make_plan
from parallel_frames._prices import price_of
from parallel_frames._progress import showing
from parallel_frames._remember import Memory, freeze_spec, open_memory
from parallel_frames._schema import parse_schema
from parallel_frames._telling import announce, made_columns, tell_of_enrichment
from parallel_frames.errors import EnrichmentError, InputError, ParallelFramesError, Safety

if TYPE_CHECKING:
    from parallel_frames._call import Call
    from parallel_frames._ledger import Ledger
    from parallel_frames._merge import Merged
    from parallel_frames._model import Outcome, Plan, Schema
    from parallel_frames._progress import Progress


class Enrichment:
    """One enrichment: a frame, a schema and how to go about it.

    `pf.last()` gives the newest one of this process, also after Ctrl-C or an error.

    Attributes
    ----------
    group_ids : tuple of str
        The groups its runs are in.
    checkpoint : str or None
        The job's folder; None without a checkpoint.
    """

    def __init__(self, df: pd.DataFrame, schema: object, call: Call) -> None:
        if not isinstance(df, pd.DataFrame):
            raise InputError(f"expected a DataFrame first and then the schema, got a {type(df).__name__} first.")
        self._df = df.copy(deep=not PANDAS_3)  # what the caller does to the frame meanwhile must not move a row
        self._call = call
        self._schema: Schema = parse_schema(schema)
        self._raw_schema = schema
        self._layout: Layout = make_layout(
            df, self._schema, prefix=call.prefix, status=call.status, if_exists=call.if_exists
        )
        self._price = price_of(call.processor)
        self._plan: Plan = self._make_plan()
        self._ledger: Ledger | None = None
        self._memory: Memory | None = None
        self._refreshing = call.refresh
        self._simulated = False
        self.group_ids: tuple[str, ...] = ()
        self.checkpoint: str | None = None

    def __repr__(self) -> str:
        where = f" · checkpoint {self.checkpoint}" if self.checkpoint else ""
        groups = ", ".join(self.group_ids) or "no group"
        done = sum(self._outcome(key) is not None for key in self._plan.keys)
        runs = len(self._plan.keys)
        return f"<Enrichment of {self._plan.rows} rows: {done} of {runs} runs finished · {groups}{where}>"

    def _make_plan(self) -> Plan:
        call = self._call
        exclude = made_columns(self._df, self._layout) if call.inputs is None else ()
        selection = select_inputs(self._df, call.inputs, exclude=exclude)
        options = make_options(call.options)
        job = make_job(self._schema, input_schema=call.input_schema, processor=call.processor, options=options)
        return make_plan(self._df, job, selection=selection, dedupe=call.dedupe, metadata=call.metadata)

    # What a person asks of it

    @property
    def cost(self) -> float | None:
        """US dollars of the runs this frame's rows have in their groups; None where the price is not known."""
        dollars = self._price.of(self._sent())
        return None if dollars is None else float(dollars)

    def status(self) -> dict[str, int]:
        """Return the rows by status."""
        return dict(self._merge().counts)

    def partial(self) -> pd.DataFrame:
        """Return the frame with what is known so far; everything else is missing, and says why in its status."""
        return self._frame(self._merge())

    def errors(self) -> pd.DataFrame:
        """Return the rows that did not get a whole answer, with their status and error."""
        layout = make_layout(self._df, self._schema, prefix=self._call.prefix, status=True, if_exists="overwrite")
        frame = self._merge(layout).frame
        return frame[~frame[layout.status].isin(["completed", "skipped"])]

    def resume(self) -> pd.DataFrame:
        """Run the same call again: what is missing is sent, what is under way awaited, what failed tried again."""
        from parallel_frames._bridge import run_from_anywhere

        again = Enrichment(self._df, self._raw_schema, replace(self._call, refresh=self._refreshing))
        again._memory = self._memory
        return run_from_anywhere(again.run)

    @property
    def plan(self) -> Plan:
        """The distinct runs its rows mean."""
        return self._plan

    def adopt(self, ledger: Ledger, *, group_id: str, simulated: bool) -> pd.DataFrame:
        """Return the frame with outcomes that were learnt elsewhere."""
        self._ledger, self.group_ids, self._simulated = ledger, (group_id,), simulated
        return self._frame(self._merge())

    # Running

    async def run(self) -> pd.DataFrame:
        """Bring it to its end and return the frame."""
        global _last  # noqa: PLW0603 - one per process, by design
        _last = self
        if self._plan.keys:
            await self._run()
        merged = self._merge()
        frame = self._frame(merged)
        if self._call.on_error == "raise":
            self._raise_failures(merged, frame)
        return frame

    async def _run(self) -> None:
        offline = current_offline() if self._call.client is None else None
        client = self._call.client or (offline.client if offline else Client())
        if not isinstance(client, Client):
            raise InputError(f"client={client!r} is not a parallel_frames.Client.")
        host, root = (offline.host, offline.root) if offline else (client.host, None)
        with (
            showing(self._call.progress) as progress,
            open_memory(
                self._call, self._plan, host=host, root=root, price=self._price, carried=self._memory
            ) as memory,
        ):
            self._memory = memory
            self._ledger = memory.ledger
            self._simulated = memory.simulated or offline is not None
            self.checkpoint = memory.location
            self._plan = freeze_spec(self._plan, memory)
            try:
                await self._work(client, memory, progress)
            except ParallelFramesError as error:
                error.safety = self.safety()
                raise
            except (KeyboardInterrupt, asyncio.CancelledError):
                if (safety := self.safety()) is not None:
                    progress.line(f"Stopped: {safety}")
                raise
            finally:
                self.group_ids = tuple(memory.store.groups)
            if self._refreshing and memory.is_refreshed(self._plan):
                self._refreshing = False
                memory.store.end_refresh()

    async def _work(self, client: Client, memory: Memory, progress: Progress) -> None:
        for finding in self._schema.findings:
            progress.warn(f"schema: {finding}")
        if self._price.per_run is None:
            progress.warn(f"processor {self._call.processor!r} is not in the price table of {self._price.as_of}.")
        needs = memory.ledger.needs(self._plan.keys, retry_failed=self._call.retry_failed)
        progress.line(
            announce(
                self._plan,
                needs,
                price=self._price,
                max_per_minute=client.max_per_minute,
                answer=memory.ledger.answer,
                checkpoint=memory.location,
                simulated=current_offline() is not None and self._call.client is None,
            )
        )
        self.group_ids = tuple(memory.store.groups)
        if not (needs.to_send or needs.awaited):
            return
        with client.pacer.joined(client.max_per_minute) as pacer:
            async with client.session(dialect=memory.store.dialect) as session:
                engine = Engine(
                    plan=self._plan,
                    ledger=memory.ledger,
                    store=memory.store,
                    service=session,
                    pacer=pacer,
                    clock=client.clock,
                    settle_time=client.settle_time,
                    observer=progress,
                    group_metadata=group_metadata(self._plan.job, library=version("parallel-frames")),
                    cursors=memory.cursors,
                    retry_failed=self._call.retry_failed,
                    max_in_flight=self._call.max_in_flight,
                    unreadable_intents=memory.unreadable_intents,
                )
                try:
                    await engine.run(timeout=self._call.timeout)
                finally:
                    self._simulated |= session.simulated
                    memory.store.note_simulated(self._simulated)
                    self.group_ids = tuple(memory.store.groups)

    # Results

    def _outcome(self, key: str) -> Outcome | None:
        return None if self._ledger is None else self._ledger.answer(key)

    def _sent(self) -> int:
        ledger = self._ledger
        if ledger is None:
            return 0
        return sum((ledger.newest(key) or 0) + 1 for key in self._plan.keys if ledger.newest(key) is not None)

    def _merge(self, layout: Layout | None = None) -> Merged:
        ledger = self._ledger
        return merge_outcomes(
            self._df,
            self._plan,
            self._schema,
            outcomes=[self._outcome(key) for key in self._plan.keys],
            is_sent=lambda key: ledger is not None and ledger.newest(key) is not None,
            layout=layout or self._layout,
            dtype_backend=self._call.dtype_backend,
        )

    def _frame(self, merged: Merged) -> pd.DataFrame:
        """Return the frame with its small, JSON-safe attrs."""
        told = {
            "job": self._plan.job.hash,
            "processor": self._call.processor,
            "group_ids": list(self.group_ids),
            "checkpoint": self.checkpoint,
            "rows": dict(merged.counts),
            "simulated": self._simulated,
        }
        return tell_of_enrichment(merged.frame, self._df, layout=self._layout, told=told)

    def _raise_failures(self, merged: Merged, frame: pd.DataFrame) -> None:
        bad = {name: merged.counts[name] for name in ("failed", "cancelled", "invalid") if merged.counts.get(name)}
        if bad:
            told = ", ".join(f"{count} {name}" for name, count in bad.items())
            raise EnrichmentError(
                f"{told} of {len(frame)} rows; everything is stored, and the frame is on this exception as .frame. "
                "Run the same call again to try failed rows anew.",
                frame=frame,
            )

    def safety(self) -> Safety | None:
        """Return what is safe; None while nothing was sent."""
        if not self.group_ids and self._sent() == 0:
            return None
        answered = [self._outcome(key) is not None for key in self._plan.keys]
        rows = sum(answered[entry] for entry in self._plan.row_runs.tolist() if entry >= 0)
        return Safety(rows, self._plan.rows, self._sent(), self.group_ids, self.checkpoint)


_last: Enrichment | None = None


def last() -> Enrichment | None:
    """Return this process's last enrichment, also after Ctrl-C or an error; None if there was none.

    Examples
    --------
    >>> import pandas as pd, parallel_frames as pf
    >>> with pf.offline(latency=0):
    ...     out = pd.DataFrame({"company": ["Acme"]}).parallel.enrich({"ceo": "name of the CEO"})
    >>> pf.last().status()
    {'completed': 1}
    """
    return _last

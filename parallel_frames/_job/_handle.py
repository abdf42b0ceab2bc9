"""`Enrichment`, the handle of one enrichment, and the last one of this process.

What a person may ask of an enrichment is here: how it stands, its rows, its cost, its evidence; and to resume or to
stop. How it runs is the runner's.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np
import pandas as pd

from parallel_frames._foreign import refuse_frame
from parallel_frames._format import format_count, format_option
from parallel_frames._job._attrs import write_attrs
from parallel_frames._job._escalate import EscalationRunner
from parallel_frames._job._prepare import layout_of, prepare
from parallel_frames._job._runner import NOTHING_SENT, JobRunner
from parallel_frames._job._source import FrameSource, copied
from parallel_frames._model import STATUSES
from parallel_frames._runtime import iterate_in_background
from parallel_frames._tracebacks import decorate_methods, is_debugging
from parallel_frames.errors import (
    CheckpointError,
    ConfigurationError,
    EnrichmentError,
    InputError,
    ServiceError,
    user_facing,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Hashable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from parallel_frames._columns import Layout
    from parallel_frames._job._offline import Destination
    from parallel_frames._job._options import Call
    from parallel_frames._job._prepare import PreparedCall
    from parallel_frames._job._rows import Row
    from parallel_frames._job._runner import Results
    from parallel_frames._job._source import EscalatingSource, Piece
    from parallel_frames._model import Outcome, Plan, Receipt, RunId
    from parallel_frames._ui import Report, RunFacts

logger = logging.getLogger("parallel_frames")

T = TypeVar("T")
Runner: TypeAlias = JobRunner | EscalationRunner


class Enrichment:
    """The handle of one enrichment: its status, its answers so far and its result.

    `pf.submit` returns a handle, and `pf.last()` the newest one of this process, also after Ctrl-C or an error.
    Iterating over it resumes the enrichment and yields each row as its run ends: first the rows that are already
    answered, then the others as they arrive. Leaving the loop early stops the waiting, and loses nothing.

    Attributes
    ----------
    group_ids : tuple of str
        The groups its runs are in.
    checkpoint : str or None
        The job's folder; None without a checkpoint.

    Examples
    --------
    >>> import pandas as pd, parallel_frames as pf
    >>> df = pd.DataFrame({"company": ["Acme", "Globex"]})
    >>> with pf.offline(answers={"Acme": {"founded": 1949}, "Globex": {"founded": 1989}}, latency=0):
    ...     run = df.parallel.submit({"founded": int})
    ...     years = {row.index: row.values["founded"] for row in run}
    >>> sorted(years.items())
    [(0, 1949), (1, 1989)]
    """

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._sink: Callable[[pd.DataFrame], object] | None = None
        self._give_back: Callable[[pd.DataFrame], Any] = lambda frame: frame  # as the caller's own kind of frame

    def __repr__(self) -> str:
        where = f" · checkpoint {self.checkpoint}" if self.checkpoint else ""
        groups = ", ".join(self.group_ids) or "no group"
        status = self._runner.status()
        done = status.runs - status.to_send - status.awaited - status.left_out
        rows, runs = format_count(status.rows, "row"), format_count(status.runs, "run")
        return f"<Enrichment of {rows}: {done:,} of {runs} finished · {groups}{where}>"

    def _repr_html_(self) -> str:
        from parallel_frames._ui import enrichment_html

        return enrichment_html(facts=self._facts(), counts=self._counts())

    @property
    def group_ids(self) -> tuple[str, ...]:
        """The groups its runs are in, oldest first."""
        return self._runner.group_ids

    @property
    def checkpoint(self) -> str | None:
        """The job's folder; None without a checkpoint."""
        return self._runner.checkpoint

    @property
    def plan(self) -> Plan:
        """The distinct runs its rows mean; of a frame only, since a file's are never in memory at once."""
        if not isinstance(self._runner.source, FrameSource):
            raise InputError(
                "The runs of a file, or of an engine's frame, are not held in memory; `pf.plan_parquet()` and "
                "`pf.plan()` count and price them."
            )
        return self._runner.source.plan

    @property
    def url(self) -> str | None:
        """Where its newest group can be looked at; None before there is one."""
        destination = self._runner.destination
        return destination.client.url_of(self.group_ids[-1]) if destination is not None and self.group_ids else None

    @property
    def cost(self) -> float | None:
        """US dollars of the runs that were sent for these rows; None where the price is not known."""
        dollars = self._runner.spent
        return None if dollars is None else float(dollars)

    @property
    def extra_cost(self) -> str:
        """What is billed on top of that, at prices that are not known: ``"plus connector calls"``, or nothing."""
        return self._runner.prepared.price.extra

    # Looking

    def status(self) -> dict[str, int]:
        """Return the rows that were asked about by status.

        While runs are under way and no call waits for them, their groups are looked at first.

        Examples
        --------
        >>> import pandas as pd, parallel_frames as pf
        >>> df = pd.DataFrame({"company": ["Acme", "Globex"]})
        >>> with pf.offline(latency=1000):
        ...     run = df.parallel.submit({"founded": int}, progress=False)
        ...     run.status()
        {'pending': 2}
        """
        self._catch_up()
        return self._counts()

    def partial(self) -> pd.DataFrame:
        """Return the frame with what is known so far; everything else is missing, and says why in its status.

        While runs are under way and no call waits for them, their groups are looked at first.

        Examples
        --------
        >>> import pandas as pd, parallel_frames as pf
        >>> df = pd.DataFrame({"company": ["Acme", "Globex"]})
        >>> with pf.offline(latency=1000):
        ...     run = df.parallel.submit({"founded": int}, progress=False)
        ...     run.partial()["parallel_status"].tolist()
        ['pending', 'pending']
        """
        self._catch_up()
        frame: pd.DataFrame = self._give_back(self._frame(self._runner.prepared.layout)[0])
        return frame

    def errors(self) -> pd.DataFrame:
        """Return the rows that were asked and did not get a whole answer, with their status and error.

        Examples
        --------
        >>> import pandas as pd, parallel_frames as pf
        >>> df = pd.DataFrame({"company": ["Acme", "Globex"]})
        >>> from parallel_frames.simulator import Failure
        >>> answers = {"Acme": {"founded": 1949}, "Globex": Failure("no such company")}
        >>> with pf.offline(answers, latency=0):
        ...     out = df.parallel.enrich({"founded": int})
        >>> pf.last().errors()["parallel_error"].tolist()
        ['no such company']
        """
        self._catch_up()
        layout = self._layout_with_status()
        bad = [
            piece.frame[piece.asked & ~piece.frame[layout.status].isin(["completed", "skipped"]).to_numpy()]
            for piece in self._pieces(layout)
        ]
        frame: pd.DataFrame = self._give_back(bad[0] if len(bad) == 1 else pd.concat(bad))
        return frame

    def report(self) -> Report:
        """Return what became of its rows: by status, failures by cause, confidence, cost and time.

        A notebook shows it; ``report().to_html(path)`` writes a page of its own.

        Examples
        --------
        >>> import pandas as pd, parallel_frames as pf
        >>> df = pd.DataFrame({"company": ["Acme", "Globex"]})
        >>> with pf.offline(latency=0):
        ...     out = df.parallel.enrich({"founded": int}, processor="core")
        >>> report = pf.last().report()
        >>> report.counts, report.cost
        ({'completed': 2}, 0.05)
        """
        from parallel_frames._ui import make_report

        self._catch_up()
        layout = self._layout_with_status()
        frame, asked = self._frame(layout)
        of_rows: Counter[str] = Counter()
        if layout.processor is not None:  # with provenance, it names the processor of a run that failed, too
            answered = asked & ~frame[layout.status].isin(["failed", "cancelled"]).to_numpy()
            of_rows.update(frame[layout.processor][answered].tolist())
        by_processor = {name: of_rows[name] for name in self._runner.processors if of_rows[name]}
        return make_report(
            frame,
            outputs=layout.outputs,
            status=layout.status,
            error=layout.error,
            asked=asked,
            facts=replace(self._facts(), answered_by=by_processor),
        )

    def __iter__(self) -> Iterator[Row]:
        """Resume it, and yield each row as its run ends."""
        if self._runner.is_finished:
            yield from self._runner.known_rows()
            return
        arriving: AbstractContextManager[Iterator[Row]] = iterate_in_background(
            lambda give: self._runner.run(on_row=give)
        )
        with explaining_ctrl_c(self._runner), arriving as rows:
            yield from rows

    # Resuming and stopping

    def result(self) -> pd.DataFrame:
        """Wait until every row has its outcome and return the frame, as `enrich` would have.

        Of a file it returns what `enrich_parquet` would have: an `EnrichedParquet`.

        Examples
        --------
        >>> import pandas as pd, parallel_frames as pf
        >>> df = pd.DataFrame({"company": ["Acme", "Globex"]})
        >>> answers = {"Acme": {"founded": 1949}, "Globex": {"founded": 1989}}
        >>> with pf.offline(answers, latency=0):
        ...     run = df.parallel.submit({"founded": int})
        ...     out = run.result()
        >>> out["founded"].tolist()
        [1949, 1989]
        """
        result: pd.DataFrame = self._wait_for(self._finish)
        return result

    async def _finish(self) -> Any:
        if self._runner.is_finished:  # no need of the checkpoint's lock
            return self._deliver(self._runner.results())
        return await self._runner.run(deliver=self._deliver)

    def stop_sending(self) -> None:
        """Send nothing more, from any thread; what was sent continues and is awaited.

        Rows that were not sent are ``not_sent``; `resume` or the same call sends them another day. The service has
        no way to cancel a run.

        Examples
        --------
        >>> import pandas as pd, parallel_frames as pf
        >>> df = pd.DataFrame({"company": [f"Company {n}" for n in range(40)]})
        >>> with pf.offline(latency=0, max_per_minute=10, speed=50):
        ...     out = df.parallel.enrich({"founded": int}, on_row=lambda row: pf.last().stop_sending())
        >>> sorted(set(out["parallel_status"]))
        ['completed', 'not_sent']
        """
        self._runner.stop_sending()

    def resume(self) -> pd.DataFrame:
        """Run the same again: what is missing is sent, what is under way awaited, what failed tried again.

        It returns what `result` does.

        Examples
        --------
        >>> import pandas as pd, parallel_frames as pf
        >>> from parallel_frames.simulator import Failure
        >>> answers = iter([Failure("out of luck"), {"founded": 1949}])
        >>> with pf.offline(lambda sent: next(answers), latency=0):
        ...     out = pd.DataFrame({"company": ["Acme"]}).parallel.enrich({"founded": int})
        ...     again = pf.last().resume()
        >>> out["parallel_status"].tolist(), again["parallel_status"].tolist()
        (['failed'], ['completed'])
        """
        again = self._again()
        result: pd.DataFrame = again._wait_for(again._run)
        return result

    def _again(self) -> Enrichment:
        """Return a handle of the same call, made again."""
        again = Enrichment(self._runner.again())
        again._give_back = self._give_back
        return again

    # For the functions of this package

    def _wait_for(self, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run a coroutine of its own to the end; Ctrl-C carries what is safe as its text."""
        from parallel_frames._runtime import run_from_anywhere

        with explaining_ctrl_c(self._runner):
            return run_from_anywhere(make)

    async def _run(self) -> Any:
        """Bring it to its end and return the result."""
        self._be_last()
        return await self._runner.run(deliver=self._deliver)

    async def _send(self) -> Enrichment:
        """Send everything that is to be sent, and return itself."""
        self._be_last()
        await self._runner.run("sent")
        return self

    async def _adopt(
        self,
        receipts: Sequence[Receipt],
        outcomes: Sequence[Outcome],
        reasons: Mapping[RunId, str],
        *,
        destination: Destination,
        group_ids: Sequence[str],
        matched: Mapping[str, int],
        simulated: bool,
    ) -> pd.DataFrame:
        """Return the frame with outcomes that were collected rather than sent for."""
        runner = self._runner
        assert isinstance(runner, JobRunner)  # noqa: S101 - nothing that is collected is escalated
        await runner.adopt(receipts, outcomes, reasons, destination=destination)
        runner.group_ids, runner.matched, runner.simulated = tuple(group_ids), matched, simulated
        frame: pd.DataFrame = self._deliver(runner.results())
        return frame

    def _run_into(self, sink: Callable[[pd.DataFrame], object]) -> pd.DataFrame:
        """Run to the end, and hand the frame over while the checkpoint is still ours: a refresh ends after that."""
        self._sink = sink
        frame: pd.DataFrame = self._wait_for(self._run)
        return frame

    def _be_last(self) -> None:
        global _last  # noqa: PLW0603 - one per process, by design
        _last = self

    def _deliver(self, results: Results[Any]) -> Any:
        """Return the enriched frame, or raise it where failures are to raise."""
        (piece,) = self._runner.source.pieces(results, self._runner.prepared.layout)
        frame = self._with_attrs(piece.frame, piece.counts)
        results.statuses = piece.counts
        warn_of_kept(results.kept, self._runner.prepared)
        if problems := failures(piece.counts, on_error=self._runner.prepared.call.on_error):
            raise EnrichmentError(
                f"{problems} of {format_count(len(frame), 'row')}; everything is stored, and this exception has the "
                "frame as .frame. Run the same again to try failed rows again.",
                frame=self._give_back(frame),
            )
        if self._sink is not None:
            self._sink(frame)
        return self._give_back(frame)

    def _pieces(self, layout: Layout) -> Iterator[Piece]:
        return self._runner.source.pieces(self._runner.results(), layout)

    def _counts(self) -> dict[str, int]:
        counts: Counter[str] = Counter()
        for piece in self._pieces(self._runner.prepared.layout):
            counts.update(piece.counts)
        return {word: counts[word] for word in STATUSES if counts[word]}

    def _frame(self, layout: Layout) -> tuple[pd.DataFrame, np.ndarray[Any, Any]]:
        """Return all rows with what is known of them so far, and which were asked about."""
        pieces = list(self._pieces(layout))
        counts = sum((Counter(piece.counts) for piece in pieces), Counter[str]())
        frame = pieces[0].frame if len(pieces) == 1 else pd.concat([piece.frame for piece in pieces])
        return self._with_attrs(frame, counts), np.concatenate([piece.asked for piece in pieces])

    def _with_attrs(self, frame: pd.DataFrame, counts: Mapping[str, int]) -> pd.DataFrame:
        prepared = self._runner.prepared
        facts = self._runner.facts(counts)
        return write_attrs(frame, prepared.frame, layout=prepared.layout, facts=facts, sends=prepared.sends_by_default)

    def _catch_up(self) -> None:
        """Look at the groups where runs are under way; a service that cannot be reached now is no error here."""
        from parallel_frames._runtime import run_from_anywhere

        runner = self._runner
        gone = runner.destination is None or runner.destination.is_gone
        if gone or runner.is_running or not runner.has_store or not runner.status().awaited:
            return
        try:
            run_from_anywhere(lambda: runner.run("looked"))
        except (ServiceError, CheckpointError, ConfigurationError) as error:
            logger.warning("What became of the runs under way cannot be seen now: %s", error)

    def _layout_with_status(self) -> Layout:
        prepared = self._runner.prepared
        if prepared.layout.status is not None:
            return prepared.layout
        call = prepared.call
        if_exists = "overwrite" if call.if_exists == "error" else call.if_exists
        return layout_of(prepared.frame, prepared.schema, replace(call, status=True, if_exists=if_exists))

    def _facts(self) -> RunFacts:
        from parallel_frames._ui import RunFacts

        runner, prepared = self._runner, self._runner.prepared
        status = runner.status()
        return RunFacts(
            processor=" → ".join(runner.processors),
            rows=status.chosen,
            runs=status.runs,
            sent=status.sent,
            cost=runner.spent,
            before=runner.spent_before,
            extra_cost=prepared.price.extra,
            prices_as_of=prepared.price.as_of,
            group_ids=self.group_ids,
            url=self.url,
            costs=runner.costs,
            checkpoint=", ".join(runner.checkpoints) or None,
            simulated=runner.simulated,
            times=runner.results().times(),
            warnings=runner.results().warnings(),
            tool_calls=runner.results().tool_calls(),
            sends=(prepared.selection.sends,),
            not_asked=status.rows - status.chosen,
        )


@contextmanager
def explaining_ctrl_c(runner: Runner) -> Iterator[None]:
    """Have Ctrl-C, or a cancellation, carry as its text what is safe and what continues; in a notebook, only that."""
    try:
        yield
    except (KeyboardInterrupt, asyncio.CancelledError) as stop:
        stopped = runner.stopped or ("" if runner.has_store else NOTHING_SENT)
        if not stop.args and stopped:
            stop.args = (stopped,)
        if not is_debugging():
            line = ": ".join(filter(None, [type(stop).__name__, str(stop)]))
            stop._render_traceback_ = partial(list, [line])  # type: ignore[union-attr]
        raise


def warn_of_kept(kept: Mapping[Hashable, int], prepared: PreparedCall) -> None:
    """Log how many cells of a frame that was enriched before hold another value than the answer: they are edits."""
    cells = [f"{format_count(number, 'cell')} of {label!r}" for label, number in kept.items() if number]
    if cells:
        number = sum(kept.values())
        sends = f" and {format_option('inputs', [*prepared.selection.labels])}" if prepared.unsent else ""
        logger.warning(
            "%s %s another value than the answer, and %s kept. %s%s takes the answers.",
            " and ".join(cells), "holds" if number == 1 else "hold", "was" if number == 1 else "were",
            format_option("if_exists", "overwrite"), sends,
        )  # fmt: skip


decorate_methods(Enrichment, user_facing)


def failures(counts: Mapping[str, int], *, on_error: str) -> str | None:
    """Return the rows that are to raise, in words; None where none is."""
    bad = [f"{counts[word]:,} {word}" for word in ("failed", "cancelled", "invalid") if counts.get(word)]
    return ", ".join(bad) if bad and on_error == "raise" else None


def frame_enrichment(df: pd.DataFrame, schema: object, call: Call, *, target: str | None = None) -> Enrichment:
    """Return the handle of a frame's enrichment, before it runs; `target` is the file that the frame will go to."""
    return Enrichment(make_runner(frame_source(df, schema, call, target=target)))


def make_runner(source: EscalatingSource[Any]) -> Runner:
    """Return what runs a source's call: one job, or one for each processor that rows may be escalated to."""
    return EscalationRunner(source) if source.prepared.later else JobRunner(source)


def frame_source(df: pd.DataFrame, schema: object, call: Call, *, target: str | None = None) -> FrameSource:
    """Return a frame's rows with the call prepared for them."""
    if not isinstance(df, pd.DataFrame):
        refuse_frame(df, schema)
    return FrameSource(prepare(copied(df), schema, call).to_target(target))


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

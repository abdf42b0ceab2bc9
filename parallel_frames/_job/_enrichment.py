"""What a person may ask of one enrichment: how it stands, its rows, its cost, its evidence; and to go on or to stop."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from parallel_frames._columns import make_layout
from parallel_frames._job._course import Course
from parallel_frames._job._decide import decide
from parallel_frames._model import OUTSIDE
from parallel_frames._runtime import iterate_in_background
from parallel_frames.errors import CheckpointError, ConfigurationError, ServiceError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import AbstractContextManager

    import pandas as pd

    from parallel_frames._columns import Layout
    from parallel_frames._job._arriving import Row
    from parallel_frames._job._call import Call
    from parallel_frames._model import Plan
    from parallel_frames._state import Ledger
    from parallel_frames._ui import Report, RunFacts

logger = logging.getLogger("parallel_frames")


class Enrichment:
    """One enrichment: a frame, a schema and how to go about it.

    `pf.submit` returns one, and `pf.last()` gives the newest one of this process, also after Ctrl-C or an error.
    Iterating over it goes on with the enrichment and yields each row as its run ends: first those that are answered
    already, then the others as they arrive. Leaving the loop early stops the waiting, and loses nothing.

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

    def __init__(self, df: pd.DataFrame, schema: object, call: Call) -> None:
        self._course = Course(decide(df, schema, call))

    def __repr__(self) -> str:
        where = f" · checkpoint {self.checkpoint}" if self.checkpoint else ""
        groups = ", ".join(self.group_ids) or "no group"
        plan = self._course.plan
        done = self._course.count_ended()
        return f"<Enrichment of {plan.rows} rows: {done} of {len(plan.keys)} runs finished · {groups}{where}>"

    def _repr_html_(self) -> str:
        from parallel_frames._ui import enrichment_html

        return enrichment_html(facts=self._facts(), counts=dict(self._course.merge().counts))

    @property
    def group_ids(self) -> tuple[str, ...]:
        """The groups its runs are in, oldest first."""
        return self._course.group_ids

    @property
    def checkpoint(self) -> str | None:
        """The job's folder; None without a checkpoint."""
        return self._course.checkpoint

    @property
    def plan(self) -> Plan:
        """The distinct runs its rows mean."""
        return self._course.plan

    @property
    def url(self) -> str | None:
        """Where its newest group can be looked at; None before there is one."""
        place = self._course.destination
        return place.client.url_of(self.group_ids[-1]) if place is not None and self.group_ids else None

    @property
    def cost(self) -> float | None:
        """US dollars of the runs that were sent for this frame's rows; None where the price is not known."""
        dollars = self._course.decided.price.of(self._course.count_sent())
        return None if dollars is None else float(dollars)

    # Looking

    def status(self) -> dict[str, int]:
        """Return the rows that were asked about by status.

        While runs are under way that nobody waits for, their groups are looked at first.

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
        return dict(self._course.merge().counts)

    def partial(self) -> pd.DataFrame:
        """Return the frame with what is known so far; everything else is missing, and says why in its status.

        While runs are under way that nobody waits for, their groups are looked at first.

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
        return self._course.frame(self._course.merge())

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
        frame = self._course.merge(layout).frame
        asked = self._course.plan.row_runs != OUTSIDE
        bad: pd.DataFrame = frame[asked & ~frame[layout.status].isin(["completed", "skipped"]).to_numpy()]
        return bad

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
        merged = self._course.merge(layout)
        return make_report(
            self._course.frame(merged),
            outputs=layout.outputs,
            status=layout.status,
            error=layout.error,
            asked=self._course.plan.row_runs != OUTSIDE,
            facts=self._facts(),
        )

    def __iter__(self) -> Iterator[Row]:
        """Go on with it, and yield each row as its run ends."""
        needs = self._course.needs()
        if needs is not None and not (needs.to_send or needs.awaited):
            yield from self._course.known_rows()
            return
        arriving: AbstractContextManager[Iterator[Row]] = iterate_in_background(lambda emit: self._course.go(tell=emit))
        with arriving as rows:
            yield from rows

    # Going on

    def result(self) -> pd.DataFrame:
        """Wait until every row has its outcome and return the frame, as `enrich` would have.

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
        from parallel_frames._runtime import run_from_anywhere

        return run_from_anywhere(self._finish)

    async def _finish(self) -> pd.DataFrame:
        needs = self._course.needs()
        if needs is None or needs.to_send or needs.awaited:
            await self._course.go()
        return self._course.finish()

    def stop_sending(self) -> None:
        """Send nothing more, from any thread; what was sent goes on and is awaited.

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
        self._course.stop_sending()

    def resume(self) -> pd.DataFrame:
        """Run the same call again: what is missing is sent, what is under way awaited, what failed tried again.

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
        from parallel_frames._runtime import run_from_anywhere

        course = self._course
        place = course.destination
        call = replace(course.decided.call, refresh=course.refreshing)
        again = Enrichment(course.decided.df, course.decided.raw_schema, call)
        again._course.memory, again._course.destination = course.memory, place
        return run_from_anywhere(again._run)

    # For the functions of this package

    async def _run(self) -> pd.DataFrame:
        """Bring it to its end and return the frame."""
        self._be_last()
        await self._course.go()
        return self._course.finish()

    async def _send(self) -> Enrichment:
        """Send everything that is to be sent, and return itself."""
        self._be_last()
        await self._course.go("sent")
        return self

    def _adopt(
        self, ledger: Ledger, *, group_ids: tuple[str, ...], simulated: bool, matched: Mapping[str, int]
    ) -> pd.DataFrame:
        """Return the frame with outcomes that were learnt elsewhere."""
        course = self._course
        course.ledger, course.group_ids, course.simulated, course.matched = ledger, group_ids, simulated, matched
        return course.frame(course.merge())

    def _be_last(self) -> None:
        global _last  # noqa: PLW0603 - one per process, by design
        _last = self

    def _catch_up(self) -> None:
        """Look at the groups where runs are under way; a service that cannot be reached now is no error here."""
        from parallel_frames._runtime import run_from_anywhere

        course = self._course
        needs = course.needs()
        gone = course.destination is None or course.destination.is_gone
        if course.is_running or needs is None or not needs.awaited or gone:
            return
        try:
            run_from_anywhere(lambda: course.go("looked"))
        except (ServiceError, CheckpointError, ConfigurationError) as error:
            logger.warning("What became of the runs under way cannot be seen now: %s", error)

    def _layout_with_status(self) -> Layout:
        decided = self._course.decided
        if decided.layout.status is not None:
            return decided.layout
        if_exists = "overwrite" if decided.call.if_exists == "error" else decided.call.if_exists
        return make_layout(
            decided.df,
            decided.schema,
            prefix=decided.call.prefix,
            status=True,
            if_exists=if_exists,
            basis=decided.call.basis,
        )

    def _facts(self) -> RunFacts:
        from parallel_frames._ui import RunFacts

        course = self._course
        return RunFacts(
            processor=course.decided.call.processor,
            rows=course.plan.chosen,
            runs=len(course.plan.keys),
            sent=course.count_sent(),
            cost=self.cost,
            prices_as_of=course.decided.price.as_of,
            group_ids=self.group_ids,
            url=self.url,
            checkpoint=self.checkpoint,
            simulated=course.simulated,
            times=course.times(),
            sends=course.plan.sent,
            not_asked=course.plan.rows - course.plan.chosen,
        )


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

"""What is to be done about a source: its runs counted, and those that are to be sent or awaited, in the order of rows.

The index says what is known of each distinct input; here the call's options say what follows from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from parallel_frames._files._index import STATUS_NAMES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from parallel_frames._files._index import Index

NEVER: Final = -(2**62)
# Each distinct input with what is known of it. What a refresh found, and what is too old, is asked again; an old answer
# whose asking again failed is as old as that attempt, and asked once more only where failures are tried again.
SEEN: Final = "runs r left join known k on k.key = r.key left join stale s on s.key = r.key"
STALE: Final = """(k.status is not null
    and (coalesce(s.attempt = k.newest, 0) or
        (k.answered is not null and coalesce(k.tried < :stale_at, 0) and (k.status = 0 or :retry_failed))))"""
TO_SEND: Final = f"""(k.key is null or {STALE}
    or (k.status is not null and k.answered is null and :retry_failed))"""


@dataclass(frozen=True, slots=True)
class Counts:
    """What a job's source comes to.

    Attributes
    ----------
    rows, chosen, skipped : int
        Rows of the source, those asked about, and of these the ones with nothing to send.
    runs, left_out : int
        Distinct inputs, and those beyond ``limit``.
    answered, awaited, to_send : int
        Runs within the limit.
    rows_answered, rows_open : int
        Rows of the answered runs, and of those that are awaited or to be sent.
    sent : int
        Runs that were ever sent for these rows.
    known, keys : int
        Runs of which the checkpoint knows anything, and everything it knows.
    since : int or None
        When the oldest of the answers came, in microseconds since 1970.
    """

    rows: int
    chosen: int
    skipped: int
    runs: int
    left_out: int
    answered: int
    awaited: int
    to_send: int
    rows_answered: int
    rows_open: int
    sent: int
    known: int
    keys: int
    since: int | None


@dataclass(frozen=True, slots=True)
class Work:
    """One run that is to be sent.

    Attributes
    ----------
    row : int
        The first row with this input.
    attempt : int
    ended : str or None
        The status of the attempt before; None where there was none.
    rows : int
        How many rows share it.
    """

    row: int
    key: str
    attempt: int
    ended: str | None
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Agenda:
    """What a call's options make of what is known.

    Attributes
    ----------
    limit : int or None
        So many distinct inputs, the first ones.
    retry_failed : bool
    stale_at : int
        Answers from before this moment, in microseconds since 1970, are asked for again.
    """

    index: Index
    limit: int | None
    retry_failed: bool
    stale_at: int = NEVER

    def count(self) -> Counts:
        """Return the numbers of the job."""
        index, options = self.index, self._options()
        runs, keyed, sent, known = index.line(
            f"select count(*), coalesce(sum(r.rows), 0), coalesce(sum(k.newest + 1), 0), count(k.key) from {SEEN}"
        )
        awaits = "(k.key is not null and k.status is null)"
        within, to_send, awaited, rows, rows_open, since = index.line(
            f"""select count(*), coalesce(sum({TO_SEND}), 0), coalesce(sum({awaits}), 0), coalesce(sum(r.rows), 0),
            coalesce(sum(case when {TO_SEND} or {awaits} then r.rows end), 0),
            min(case when k.answered is not null and not {STALE} then k.at end)
            from {SEEN} where r.row <= :last""",
            options,
        )
        return Counts(
            rows=index.rows,
            chosen=keyed + index.skipped,
            skipped=index.skipped,
            runs=runs,
            left_out=runs - within,
            answered=within - to_send - awaited,
            awaited=awaited,
            to_send=to_send,
            rows_answered=rows - rows_open,
            rows_open=rows_open,
            sent=sent,
            known=known,
            keys=index.one("select count(*) from known"),
            since=since,
        )

    def count_timeless(self) -> int:
        """Return how many answers have no time, so that nobody can tell whether they are too old."""
        timeless = self.index.one(f"select count(*) from {SEEN} where k.answered is not null and k.tried is null")
        return 0 if self.stale_at == NEVER else int(timeless)

    def plan_work(self) -> None:
        """Put down what is to be sent, in the order of the rows."""
        self.index.lines("drop table if exists work")
        self.index.lines("create table work(row integer primary key, key blob, attempt int, ended int, rows int)")
        self.index.lines(
            f"""insert into work select r.row, r.key, coalesce(k.newest + 1, 0), k.status, r.rows
            from {SEEN} where r.row <= :last and {TO_SEND} order by r.row""",
            self._options(),
        )

    def work_between(self, start: int, end: int) -> list[Work]:
        """Return what is to be sent of the rows from `start` up to `end`."""
        found = self.index.lines(
            "select row, hex(key), attempt, ended, rows from work where row >= ? and row < ? order by row", (start, end)
        )
        return [
            Work(row, key.lower(), attempt, STATUS_NAMES.get(code), rows) for row, key, attempt, code, rows in found
        ]

    def last_work(self) -> int:
        """Return the last row with something to send; -1 where there is none."""
        return int(self.index.one("select coalesce(max(row), -1) from work"))

    def attempt_to_send(self, key: str) -> int | None:
        """Return the attempt that is to be sent next of an input; None where none is."""
        options = {"key": bytes.fromhex(key), "retry_failed": int(self.retry_failed), "stale_at": self.stale_at}
        found = self.index.line(
            f"select coalesce(k.newest + 1, 0) from {SEEN} where r.key = :key and {TO_SEND}", options
        )
        return None if found is None else int(found[0])

    def open_groups(self) -> Iterator[tuple[str, list[tuple[str, int, int]]]]:
        """Yield each group with runs of this source under way, or in doubt, and their key, first row and rows."""
        options = {"last": self._last_row()}
        for name, number in self.index.groups().items():
            found = self.index.lines(
                """select distinct hex(r.key), r.row, r.rows from (
                    select key, attempt from receipts where grp = :grp
                    union all select key, attempt from intents where grp = :grp
                ) t join known k on k.key = t.key and k.newest = t.attempt and k.status is null
                join runs r on r.key = t.key where r.row <= :last order by r.row""",
                {"grp": number, **options},
            )
            if lines := [(key.lower(), row, rows) for key, row, rows in found]:
                yield name, lines

    def is_refreshed(self) -> bool:
        """Return whether every marked attempt of this source was asked again."""
        left = f"from {SEEN} where k.status is not null and s.attempt = k.newest"
        return not self.index.one(f"select exists(select 1 {left})")

    def _options(self) -> dict[str, Any]:
        return {"last": self._last_row(), "retry_failed": int(self.retry_failed), "stale_at": self.stale_at}

    def _last_row(self) -> int:
        """Return the first row of the last input within the limit."""
        if self.limit is None:
            return self.index.rows
        found = self.index.lines("select row from runs order by row limit 1 offset ?", (self.limit - 1,)).fetchone()
        return self.index.rows if found is None else int(found[0])

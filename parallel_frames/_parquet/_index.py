"""What is known of every row and every run of a job larger than memory, in an SQLite file that ends with the call.

It answers the ledger's questions for a whole source at once: which inputs are distinct, what is answered, what is
awaited, what is to be sent, and in which part of the checkpoint a row's answer stands. Everything it knows is in the
checkpoint and the source; it is made anew for every call. Its memory is SQLite's cache, whatever the number of rows.
"""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from parallel_frames._model import Plan

CACHE_KIB: Final = 32 * 1024
AT_ONCE: Final = 20_000
STATUS_CODES: Final = {"completed": 0, "failed": 1, "cancelled": 2}
TABLES: Final = """
create table rows(row integer primary key, key blob);
create table groups(number integer primary key, name text unique);
create table outcomes(key blob, attempt int, status int, grp int, run_id text, at int, part int, offset int);
create table receipts(key blob, attempt int, grp int, run_id text);
create table intents(key blob, attempt int, grp int);
create table stale(key blob primary key, attempt int) without rowid;
"""
# Sorted by key, so that they are made by one external sort and joined in order.
RUNS: Final = """
drop table if exists runs;
create table runs(key blob primary key, row int, rows int) without rowid;
insert into runs select key, min(row), count(*) from rows where key is not null group by key order by key;
"""
KNOWN: Final = """
drop table if exists newest;
drop table if exists ended;
drop table if exists answered;
drop table if exists known;
create table newest(key blob primary key, attempt int) without rowid;
insert into newest select key, max(attempt) from (
    select key, attempt from outcomes union all select key, attempt from receipts
    union all select key, attempt from intents
) group by key order by key;
create table ended(key blob, attempt int, status int, at int, part int, offset int, primary key (key, attempt))
    without rowid;
insert into ended select key, attempt, min(status), at, part, offset from outcomes
    group by key, attempt order by key, attempt;
create table answered(key blob primary key, attempt int, at int, part int, offset int) without rowid;
insert into answered select key, max(attempt), at, part, offset from ended where status = 0 group by key order by key;
create table known(key blob primary key, newest int, status int, answered int, at int, part int, offset int)
    without rowid;
insert into known select n.key, n.attempt, e.status, a.attempt,
    coalesce(a.at, e.at), coalesce(a.part, e.part), coalesce(a.offset, e.offset)
from newest n left join ended e on e.key = n.key and e.attempt = n.attempt left join answered a on a.key = n.key
order by n.key;
"""
# Each distinct input with what is known of it. What a refresh found, and what is too old, is asked again.
SEEN: Final = "runs r left join known k on k.key = r.key left join stale s on s.key = r.key"
STALE: Final = """(k.status is not null
    and (coalesce(s.attempt = k.newest, 0) or (k.answered is not null and coalesce(k.at < :stale_at, 0))))"""
TO_SEND: Final = f"""(k.key is null or {STALE}
    or (k.status is not null and k.answered is null and :retry_failed))"""
NEVER: Final = -(2**62)


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


class Index:
    """The SQLite file of one call."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        for setting in ("journal_mode=off", "synchronous=off", f"cache_size=-{CACHE_KIB}", "temp_store=file"):
            self._db.execute(f"pragma {setting}")
        self._db.executescript(TABLES + RUNS + KNOWN)
        self._groups: dict[str, int] = {}
        self.rows = 0
        self.skipped = 0

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        self._db.execute("begin")
        yield self._db
        self._db.execute("commit")

    # Rows

    def add_rows(self, start: int, plan: Plan) -> None:
        """Take the keys of a batch's rows; a row that is not asked about is not in the table."""
        keys = [bytes.fromhex(key) for key in plan.keys]
        with self._writing() as db:
            db.executemany(
                "insert into rows values (?, ?)",
                (
                    (start + at, keys[entry] if entry >= 0 else None)
                    for at, entry in enumerate(plan.row_runs.tolist())
                    if entry >= -1
                ),
            )
        self.rows += plan.rows
        self.skipped += plan.skipped

    def find_distinct(self) -> None:
        """Group equal rows."""
        self._db.executescript(RUNS)

    # What the checkpoint holds

    def _group(self, name: str) -> int:
        if name not in self._groups:
            self._groups[name] = len(self._groups)
            self._db.execute("insert into groups values (?, ?)", (self._groups[name], name))
        return self._groups[name]

    def forget_checkpoint(self) -> None:
        """Forget what was read of the checkpoint, to read it anew."""
        with self._writing() as db:
            for table in ("outcomes", "receipts", "intents"):
                db.execute(f"delete from {table}")

    def add_outcomes(self, part: int, columns: dict[str, list[Any]]) -> None:
        """Take the outcomes of a part: ``key, attempt, status, group_id, run_id, modified_at``."""
        groups = {name: self._group(name) for name in set(columns["group_id"])}
        lines = zip(
            map(bytes.fromhex, columns["key"]),
            columns["attempt"],
            map(STATUS_CODES.__getitem__, columns["status"]),
            map(groups.__getitem__, columns["group_id"]),
            columns["run_id"],
            _microseconds(columns["modified_at"]),
            range(len(columns["key"])),
            strict=True,
        )
        with self._writing() as db:
            db.executemany(f"insert into outcomes values (?, ?, ?, ?, ?, ?, {int(part)}, ?)", lines)

    def add_receipts(self, columns: dict[str, list[Any]]) -> None:
        """Take the receipts of a part: ``key, attempt, group_id, run_id``."""
        groups = {name: self._group(name) for name in set(columns["group_id"])}
        lines = zip(
            map(bytes.fromhex, columns["key"]),
            columns["attempt"],
            map(groups.__getitem__, columns["group_id"]),
            columns["run_id"],
            strict=True,
        )
        with self._writing() as db:
            db.executemany("insert into receipts values (?, ?, ?, ?)", lines)

    def add_intent(self, group_id: str, runs: Iterable[tuple[str, int]]) -> None:
        """Take a batch of which it is not known whether it was created."""
        group = self._group(group_id)
        with self._writing() as db:
            db.executemany(
                "insert into intents values (?, ?, ?)", ((bytes.fromhex(key), at, group) for key, at in runs)
            )

    def find_known(self) -> None:
        """Work out what is known of each key."""
        self._db.executescript(KNOWN)

    # A refresh

    def begin_refresh(self, unfinished: Iterable[tuple[str, int]]) -> None:
        """Mark what a refresh finds, but for what an unfinished one found before it."""
        with self._writing() as db:
            db.executemany("insert into stale values (?, ?)", ((bytes.fromhex(key), at) for key, at in unfinished))
            db.execute(
                "insert or ignore into stale select r.key, case when k.status is null then -1 else k.newest end "
                "from runs r left join known k on k.key = r.key order by r.key"
            )

    def stale_attempts(self, *, of_others: bool = False) -> Iterator[tuple[str, int]]:
        """Yield the marked attempts; `of_others`: only those of inputs that this source does not have."""
        query = "select hex(s.key), s.attempt from stale s"
        if of_others:
            query += " left join runs r on r.key = s.key where r.key is null"
        for key, attempt in self._db.execute(query):
            yield key.lower(), attempt

    def is_refreshed(self) -> bool:
        """Return whether every marked attempt of this source was asked again."""
        left = f"from {SEEN} where k.status is not null and s.attempt = k.newest"
        return not self._one(f"select exists(select 1 {left})")

    def group_names(self) -> list[str]:
        """Return every group that a part names."""
        return list(self._groups)

    def runs_of_group(self, group_id: str) -> tuple[list[tuple[str, int, str]], list[tuple[str, int, str, str]]]:
        """Return a group's receipts (key, attempt, run id) and outcomes (and status)."""
        group = self._group(group_id)
        named = {code: name for name, code in STATUS_CODES.items()}
        receipts = self._db.execute("select hex(key), attempt, run_id from receipts where grp = ?", (group,))
        found = [(key.lower(), attempt, run_id) for key, attempt, run_id in receipts]
        outcomes = self._db.execute("select hex(key), attempt, run_id, status from outcomes where grp = ?", (group,))
        return found, [(key.lower(), attempt, run_id, named[code]) for key, attempt, run_id, code in outcomes]

    # What follows

    def count(self, *, limit: int | None, retry_failed: bool, stale_at: int = NEVER) -> Counts:
        """Return the numbers of the job."""
        options = self._options(limit=limit, retry_failed=retry_failed, stale_at=stale_at)
        runs, keyed, sent, known = self._line(
            f"select count(*), coalesce(sum(r.rows), 0), coalesce(sum(k.newest + 1), 0), count(k.key) from {SEEN}"
        )
        awaits = "(k.key is not null and k.status is null)"
        within, to_send, awaited, rows, rows_open, since = self._line(
            f"""select count(*), coalesce(sum({TO_SEND}), 0), coalesce(sum({awaits}), 0), coalesce(sum(r.rows), 0),
            coalesce(sum(case when {TO_SEND} or {awaits} then r.rows end), 0),
            min(case when k.answered is not null and not {STALE} then k.at end)
            from {SEEN} where r.row <= :last""",
            options,
        )
        return Counts(
            rows=self.rows,
            chosen=keyed + self.skipped,
            skipped=self.skipped,
            runs=runs,
            left_out=runs - within,
            answered=within - to_send - awaited,
            awaited=awaited,
            to_send=to_send,
            rows_answered=rows - rows_open,
            rows_open=rows_open,
            sent=sent,
            known=known,
            keys=self._one("select count(*) from known"),
            since=since,
        )

    def plan_work(self, *, limit: int | None, retry_failed: bool, stale_at: int = NEVER) -> None:
        """Put down what is to be sent, in the order of the rows."""
        self._db.execute("drop table if exists work")
        self._db.execute("create table work(row integer primary key, key blob, attempt int, ended int, rows int)")
        self._db.execute(
            f"""insert into work select r.row, r.key, coalesce(k.newest + 1, 0), k.status, r.rows
            from {SEEN} where r.row <= :last and {TO_SEND} order by r.row""",
            self._options(limit=limit, retry_failed=retry_failed, stale_at=stale_at),
        )

    def work_between(self, start: int, end: int) -> list[Work]:
        """Return what is to be sent of the rows from `start` up to `end`."""
        named = {code: name for name, code in STATUS_CODES.items()}
        found = self._db.execute(
            "select row, hex(key), attempt, ended, rows from work where row >= ? and row < ? order by row", (start, end)
        )
        return [Work(row, key.lower(), attempt, named.get(ended), rows) for row, key, attempt, ended, rows in found]

    def last_work(self) -> int:
        """Return the last row with something to send; -1 where there is none."""
        return int(self._one("select coalesce(max(row), -1) from work"))

    def open_groups(self, *, limit: int | None) -> Iterator[tuple[str, list[tuple[str, int, int]]]]:
        """Yield each group with runs of this source under way, or in doubt, and their key, first row and rows."""
        options = {"last": self._last_row(limit)}
        for name, number in list(self._groups.items()):
            found = self._db.execute(
                """select distinct hex(r.key), r.row, r.rows from (
                    select key, attempt from receipts where grp = :grp
                    union all select key, attempt from intents where grp = :grp
                ) t join known k on k.key = t.key and k.newest = t.attempt and k.status is null
                join runs r on r.key = t.key where r.row <= :last order by r.row""",
                {"grp": number, **options},
            )
            if lines := [(key.lower(), row, rows) for key, row, rows in found]:
                yield name, lines

    def by_group(self) -> list[dict[str, Any]]:
        """Return what each group answered of this source: runs by status, and from when to when, in microseconds."""
        found = self._db.execute(
            """select g.name, count(*), sum(o.status = 0), sum(o.status > 0), min(o.at), max(o.at)
            from outcomes o join groups g on g.number = o.grp join runs r on r.key = o.key
            group by g.name order by g.number"""
        )
        names = ("group_id", "runs", "completed", "failed", "first", "last")
        return [dict(zip(names, line, strict=True)) for line in found]

    # Answers

    def answers_by_part(self) -> Iterator[tuple[int, list[tuple[int, int]]]]:
        """Yield each part with the (offset, row) of answers that rows take from it, in order, so many at a time."""
        found = self._db.execute(
            "select k.part, k.offset, w.row from rows w join known k on k.key = w.key "
            "where k.part is not null order by k.part, k.offset"
        )
        part = -1
        lines: list[tuple[int, int]] = []
        for number, offset, row in found:
            if number != part or len(lines) == AT_ONCE:
                if lines:
                    yield part, lines
                part, lines = number, []
            lines.append((offset, row))
        if lines:
            yield part, lines

    def rows_between(self, start: int, end: int) -> Iterator[tuple[int, str | None, bool]]:
        """Yield the asked rows from `start` up to `end`: number, key (None: skipped), and whether it was sent."""
        found = self._db.execute(
            "select w.row, hex(w.key), k.newest is not null from rows w left join known k on k.key = w.key "
            "where w.row >= ? and w.row < ? order by w.row",
            (start, end),
        )
        for row, key, sent in found:
            yield row, key.lower() if key else None, bool(sent)

    def _options(self, *, limit: int | None, retry_failed: bool, stale_at: int = NEVER) -> dict[str, Any]:
        return {"last": self._last_row(limit), "retry_failed": int(retry_failed), "stale_at": stale_at}

    def _last_row(self, limit: int | None) -> int:
        """Return the first row of the last input within the limit."""
        if limit is None:
            return self.rows
        found = self._db.execute("select row from runs order by row limit 1 offset ?", (limit - 1,)).fetchone()
        return self.rows if found is None else int(found[0])

    def _one(self, query: str) -> Any:
        return self._line(query)[0]

    def _line(self, query: str, options: dict[str, Any] | Sequence[Any] = ()) -> Any:
        return self._db.execute(query, options).fetchone()


def _microseconds(times: Sequence[str | None]) -> list[int | None]:
    """Return the service's times as numbers that can be compared; None for what is no time."""
    moments = pd.to_datetime(pd.Series(list(times), dtype=object), utc=True, errors="coerce", format="ISO8601")
    known = moments.notna().tolist()
    counts = moments.dt.as_unit("us").astype("int64").tolist()
    return [count if here else None for count, here in zip(counts, known, strict=True)]

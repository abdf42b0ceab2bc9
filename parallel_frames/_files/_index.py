"""What is known of every row and every run of a job larger than memory, in an SQLite file that ends with the call.

It knows for a whole source at once which inputs are distinct, what the checkpoint holds of them, and in which of its
parts a row's answer stands; what is to be done about it is not its business (`_agenda`). Everything it knows is in the
checkpoint and the source; it is made anew for every call. Its memory is SQLite's cache, whatever the number of rows.
"""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from parallel_frames._files._tables import KNOWN, RUNS, TABLES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from parallel_frames._model import Plan

CACHE_KIB: Final = 32 * 1024
AT_ONCE: Final = 20_000
STATUS_CODES: Final = {"completed": 0, "failed": 1, "cancelled": 2}
STATUS_NAMES: Final = {code: name for name, code in STATUS_CODES.items()}


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

    def lines(self, query: str, options: dict[str, Any] | Sequence[Any] = ()) -> sqlite3.Cursor:
        """Return what a query finds."""
        return self._db.execute(query, options)

    def line(self, query: str, options: dict[str, Any] | Sequence[Any] = ()) -> Any:
        """Return the first line that a query finds."""
        return self.lines(query, options).fetchone()

    def one(self, query: str) -> Any:
        """Return the one value that a query finds."""
        return self.line(query)[0]

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        self._db.execute("begin")
        try:
            yield self._db
        except BaseException:
            with suppress(sqlite3.Error):  # without a journal there is no way back: what was read is read anew
                self._db.execute("commit")
            raise
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

    def count_equals(self, start: int, keys: Sequence[str | None]) -> list[int]:
        """Return how many rows before each, in this batch or an earlier one, have its key, and keep it for later."""
        numbers = []
        with self._writing() as db:
            for key in keys:
                counted = (
                    "insert into equals values (?, 1) on conflict do update set rows = rows + 1 returning rows - 1"
                )
                numbers.append(0 if key is None else db.execute(counted, (bytes.fromhex(key),)).fetchone()[0])
            db.executemany("insert into occurrences values (?, ?)", enumerate(numbers, start))
        return numbers

    def equals_of(self, key: str) -> int:
        """Return how many rows `count_equals` counted with a key."""
        found = self.line("select rows from equals where key = ?", (bytes.fromhex(key),))
        return 0 if found is None else int(found[0])

    def occurrences_of(self, rows: Iterable[int]) -> list[int]:
        """Return what `count_equals` said of rows."""
        return [self.line("select number from occurrences where row = ?", (row,))[0] for row in rows]

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

    def forget_parts(self, parts: Iterable[int]) -> None:
        """Forget the outcomes of these parts: another part holds them."""
        with self._writing() as db:
            db.executemany("delete from outcomes where part = ?", ((part,) for part in parts))

    def add_outcomes(self, part: int, columns: dict[str, list[Any]]) -> None:
        """Take the outcomes of a part: ``key, attempt, status, group_id, run_id, modified_at, created_at``.

        Where a service does not say when a run ended, it counts as old as the run.
        """
        groups = {name: self._group(name) for name in set(columns["group_id"])}
        lines = zip(
            map(bytes.fromhex, columns["key"]),
            columns["attempt"],
            map(STATUS_CODES.__getitem__, columns["status"]),
            map(groups.__getitem__, columns["group_id"]),
            columns["run_id"],
            _microseconds(
                [end or start for end, start in zip(columns["modified_at"], columns["created_at"], strict=True)]
            ),
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

    def claim(self, key: bytes) -> bool:
        """Take a key for a run that the service has; return False where it was taken before."""
        return self.lines("insert or ignore into claimed values (?)", (key,)).rowcount == 1

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

    def groups(self) -> dict[str, int]:
        """Return every group that a part names, with its number here."""
        return dict(self._groups)

    def runs_of_group(self, group_id: str) -> tuple[list[tuple[str, int, str]], list[tuple[str, int, str, str]]]:
        """Return a group's receipts (key, attempt, run id) and outcomes (and status)."""
        group = self._group(group_id)
        receipts = self._db.execute("select hex(key), attempt, run_id from receipts where grp = ?", (group,))
        found = [(key.lower(), attempt, run_id) for key, attempt, run_id in receipts]
        outcomes = self._db.execute("select hex(key), attempt, run_id, status from outcomes where grp = ?", (group,))
        return found, [(key.lower(), attempt, run_id, STATUS_NAMES[code]) for key, attempt, run_id, code in outcomes]

    def by_group(self) -> list[dict[str, Any]]:
        """Return what each group answered of this source: runs by status, and from when to when, in microseconds."""
        found = self._db.execute(
            """select g.name, count(*), sum(o.status = 0), sum(o.status > 0), min(o.at), max(o.at)
            from (select key, attempt, grp, min(status) as status, at from outcomes group by key, attempt, grp) o
            join groups g on g.number = o.grp join runs r on r.key = o.key
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


def _microseconds(times: Sequence[str | None]) -> list[int | None]:
    """Return the service's times as numbers that can be compared; None for what is no time."""
    moments = pd.to_datetime(pd.Series(list(times), dtype=object), utc=True, errors="coerce", format="ISO8601")
    known = moments.notna().tolist()
    counts = moments.dt.as_unit("us").astype("int64").tolist()
    return [count if here else None for count, here in zip(counts, known, strict=True)]

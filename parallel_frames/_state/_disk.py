"""What is known of every row and every run of a file's job, in an SQLite database that ends with the call.

It is `MemoryIndex` for rows that need not fit memory. `next_step` says what an input needs, and SQL calls it. Its
memory is SQLite's cache, whatever the number of rows; what does not fit goes to a temporary file that SQLite itself
deletes.
"""

from __future__ import annotations

import sqlite3
import threading
import weakref
from contextlib import contextmanager, suppress
from functools import cache, partial
from itertools import repeat
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from parallel_frames._model import RunId
from parallel_frames._state._group import GroupState
from parallel_frames._state._index import JobStatus, Step, are_billed, ended_at, locked
from parallel_frames._state._rules import (
    ANSWERED,
    AWAITED,
    COMPLETED,
    LEFT_OUT,
    NEVER,
    STATUS_CODES,
    STATUS_NAMES,
    next_step,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import pyarrow as pa


CACHE_KIB: Final = 32 * 1024
CHUNK: Final = 20_000

# `rows`: the asked rows of the source, with a null key where there is nothing to send. `shared`: with dedupe=False,
# how many rows before each had its input. `echoes`: the key of what a row sends, and the row's own, where these may
# differ. `elsewhere`: keys that another job has an answer to. `outcomes`, `receipts`, `intents`, `stale`: the
# checkpoint, without texts.
TABLES: Final = """
create table rows(row integer primary key, key blob);
create table shared(key blob primary key, rows int) without rowid;
create table occurrences(row integer primary key, number int);
create table groups(number integer primary key, name text unique);
create table outcomes(
    key blob, attempt int, status int, billed int, grp int, run_id text, at text, part int, offset int
);
create table receipts(key blob, attempt int, grp int, run_id text);
create table intents(number int, key blob, attempt int, grp int);
create table echoes(echo blob, key blob);
create table elsewhere(key blob primary key) without rowid;
create table stale(key blob primary key, attempt int) without rowid;
create table runs(key blob primary key, row int, rows int) without rowid;
create table known(
    key blob primary key, newest int, status int, tried text, answered int, at text, part int, offset int
) without rowid;
create table steps(
    row integer primary key, key blob, rows int, step int, newest int, status int, part int, offset int
);
create table feed(row integer primary key, key blob, rows int, step int);
"""
# Each is filled in the order of its key, which is one sort and then appends.
DISTINCT: Final = """
delete from runs;
insert into runs select key, min(row), count(*) from rows where key is not null group by key order by key;
"""
# Of each key the newest attempt and what became of it: the row with the highest rank, an outcome before a receipt of
# the same attempt, and a completed outcome before a failed one.
NEWEST: Final = """
delete from known;
insert into known
    select key, rank >> 2, case when part is not null then 3 - (rank & 3) end, at,
        case when rank & 3 = 3 then rank >> 2 end, at, part, offset
    from (
        select key, max(rank) as rank, at, part, offset from (
            select key, attempt * 4 + 3 - status as rank, at, part, offset from outcomes
            union all select key, attempt * 4, null, null, null from receipts
            union all select key, attempt * 4, null, null, null from intents
        ) group by key order by key
    );
"""
# An answer counts until a newer attempt completes, whatever became of those between.
REPEATED: Final = "select exists(select 1 from known where answered is null and newest > 0)"
OLDER_ANSWERS: Final = """
insert into known
    select k.key, k.newest, k.status, k.tried, o.attempt, o.at, o.part, o.offset from known k join (
        select key, max(attempt) as attempt, at, part, offset from outcomes where status = 0 group by key
    ) o on o.key = k.key where k.answered is null
    on conflict(key) do update set answered = excluded.answered, at = excluded.at, part = excluded.part,
        offset = excluded.offset;
"""
# Attempts at the source's inputs that are not billed. One that exists twice may have completed, too.
UNBILLED: Final = """
select count(*) from (
    select o.key, o.attempt from outcomes o join runs r on r.key = o.key
    where not o.billed group by o.key, o.attempt
    except select key, attempt from outcomes where billed and key in (select key from outcomes where not billed)
)
"""
BY_GROUP: Final = """
create index if not exists outcomes_of_group on outcomes(grp);
create index if not exists receipts_of_group on receipts(grp);
"""


class DiskIndex:
    """The database of one call.

    Attributes
    ----------
    rows, chosen, skipped : int
        Rows of the source, those asked about, and of these the ones with nothing to send.
    has_echoes : bool
        Whether all of `add_echoes` are there.
    """

    def __init__(self) -> None:
        # The empty name is a private database that lives in the cache and, where that is full, in a temporary file.
        self._db = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._close = weakref.finalize(self, self._db.close)  # a handle keeps its index for as long as it lives
        for setting in ("journal_mode=off", "synchronous=off", f"cache_size=-{CACHE_KIB}", "temp_store=file"):
            self._db.execute(f"pragma {setting}")
        self._db.executescript(TABLES)
        self._lock = threading.RLock()
        self._groups: dict[str, int] = {}
        self._unbilled = 0
        self._is_current = True  # whether `known` says what the other tables do
        self._status: JobStatus | None = None  # last decided, while nothing has changed since
        self._last_row = -1
        self._is_refreshing = False
        self._answered = "k.answered"
        self.rows = self.chosen = self.skipped = 0
        self.has_echoes = False
        self.configure()

    def close(self) -> None:
        """Let go of the database."""
        with self._lock:
            self._close()

    def configure(self, *, retry_failed: bool = True, stale_before: str = NEVER, limit: int | None = None) -> None:
        """Set what `status` goes by: the options of `next_step`, and how many distinct inputs are looked at."""
        with self._lock:
            # Few inputs differ in what the rule goes by, unless answers grow old.
            rule = cache(partial(next_step, retry_failed=retry_failed, stale_before=stale_before))
            self._db.create_function("next_step", 5, rule, deterministic=True)
            self._ended_at = "null" if stale_before == NEVER else "k.tried"
            found = (
                None if limit is None else self._line("select row from runs order by row limit 1 offset ?", limit - 1)
            )
            self._last_row = self.rows if found is None else int(found[0])
            self._status = None

    @property
    def _rule(self) -> str:
        marked = "s.attempt" if self._is_refreshing else "null"
        return f"next_step(k.newest, k.status, {self._answered}, {self._ended_at}, {marked})"

    def _line(self, query: str, *values: Any) -> Any:
        return self._db.execute(query, values).fetchone()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._db.execute("begin")
            try:
                yield self._db
            except BaseException:
                with suppress(sqlite3.Error):  # without a journal there is no way back: what was read is read again
                    self._db.execute("commit")
                raise
            self._db.execute("commit")

    # Rows of the source

    @property
    def runs(self) -> int:
        """Distinct inputs of the source."""
        with self._lock:
            return int(self._line("select count(*) from runs")[0])

    def add_rows(self, start: int, keys: Sequence[str], row_runs: Sequence[int]) -> None:
        """Add consecutive rows; `row_runs` holds each row's place in `keys`, -1 (nothing to send) or -2 (not asked)."""
        blobs = [*map(bytes.fromhex, keys), None]
        asked = [(row, blobs[entry]) for row, entry in enumerate(row_runs, start) if entry >= -1]
        with self._writing() as db:
            db.executemany("insert into rows values (?, ?)", asked)
        self.rows += len(row_runs)
        self.chosen += len(asked)
        self.skipped += sum(entry == -1 for entry in row_runs)

    def count_equals(self, start: int, keys: Sequence[str | None]) -> list[int]:
        """Return how many rows before each have its key, in this batch or an earlier one, and keep it for later."""
        query = "insert into shared values (?, 1) on conflict do update set rows = rows + 1 returning rows - 1"
        with self._writing() as db:
            numbers = [0 if key is None else db.execute(query, (bytes.fromhex(key),)).fetchone()[0] for key in keys]
            db.executemany("insert into occurrences values (?, ?)", enumerate(numbers, start))
        return numbers

    @locked
    def occurrences_of(self, rows: Iterable[int]) -> list[int]:
        """Return what `count_equals` counted for these rows."""
        return [self._line("select number from occurrences where row = ?", row)[0] for row in rows]

    @locked
    def end_rows(self) -> None:
        """Group equal rows, once all are added."""
        self._db.executescript(DISTINCT)
        self._last_row = self.rows

    def note_answered(self, keys: Iterable[str]) -> None:
        """Record that these inputs have an answer elsewhere: what failed here is not asked again for their sake."""
        with self._writing() as db:
            db.executemany("insert or ignore into elsewhere values (?)", ((bytes.fromhex(key),) for key in keys))
        self._answered = "coalesce(k.answered, (select 0 from elsewhere e where e.key = k.key))"
        self._status = None

    @locked
    def rows_of(self, keys: Iterable[str]) -> dict[str, list[int]]:
        """Return the rows of each key that the source has."""
        self._db.execute("create index if not exists rows_of_key on rows(key)")
        query = "select row from rows where key = ? order by row"
        found = {key: [row for (row,) in self._db.execute(query, (bytes.fromhex(key),))] for key in keys}
        return {key: rows for key, rows in found.items() if rows}

    def add_echoes(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Add what an input would have as its key if it were read as it is sent, and the key that its row has."""
        lines = ((bytes.fromhex(echo), bytes.fromhex(key)) for echo, key in pairs)
        with self._writing() as db:
            db.executemany("insert into echoes values (?, ?)", lines)

    @locked
    def keys_of_echo(self, echo: str) -> list[str]:
        """Return the keys of the rows with this echo, in the order of their rows."""
        self._db.execute("create index if not exists keys_of_echo on echoes(echo)")
        query = "select lower(hex(key)) from echoes where echo = ? group by key order by min(rowid)"
        return [key for (key,) in self._db.execute(query, (bytes.fromhex(echo),))]

    @locked
    def keys_at(self, rows: Iterable[int]) -> dict[int, str]:
        """Return the keys of those of these rows that are asked about and have something to send."""
        query = "select lower(hex(key)) from rows where row = ? and key is not null"
        return {row: key for row in rows for (key,) in self._db.execute(query, (row,))}

    @locked
    def rows_between(self, start: int, end: int) -> list[tuple[int, str | None, bool]]:
        """Return the asked rows from `start` up to `end`: number, key (None: nothing to send), and if it was sent."""
        self._derive()
        found = self._db.execute(
            "select w.row, lower(hex(w.key)), k.newest is not null from rows w left join known k on k.key = w.key "
            "where w.row >= ? and w.row < ? order by w.row",
            (start, end),
        )
        return [(row, key or None, bool(sent)) for row, key, sent in found]

    @locked
    def first_rows_between(self, start: int, end: int) -> list[int]:
        """Return the rows from `start` up to `end` that are the first ones with their inputs."""
        self._db.execute("create index if not exists runs_of_row on runs(row)")
        return [row for (row,) in self._db.execute("select row from runs where row >= ? and row < ?", (start, end))]

    # What the checkpoint holds

    @locked
    def _group(self, name: str) -> int:
        if name not in self._groups:
            self._groups[name] = len(self._groups)
            self._db.execute("insert into groups values (?, ?)", (self._groups[name], name))
        return self._groups[name]

    @property
    def groups(self) -> list[str]:
        """Every group that receipts, outcomes or intents name."""
        return list(self._groups)

    def add_outcomes(self, part: int, states: pa.Table) -> None:
        """Add the outcomes of a part of the store: a table of `STATE_SCHEMA`."""
        columns = states.to_pydict()
        groups = {name: self._group(name) for name in set(columns["group_id"])}
        lines = zip(
            map(bytes.fromhex, columns["key"]),
            columns["attempt"],
            map(STATUS_CODES.__getitem__, columns["status"]),
            are_billed(states).to_pylist(),
            map(groups.__getitem__, columns["group_id"]),
            columns["run_id"],
            ended_at(states).to_pylist(),
            repeat(part),
            range(states.num_rows),
            strict=False,
        )
        self._insert("outcomes", 9, lines)

    def add_receipts(self, runs: pa.Table) -> None:
        """Add runs that are paid for: a table of `RUN_SCHEMA`."""
        columns = runs.to_pydict()
        groups = {name: self._group(name) for name in set(columns["group_id"])}
        lines = zip(
            map(bytes.fromhex, columns["key"]),
            columns["attempt"],
            map(groups.__getitem__, columns["group_id"]),
            columns["run_id"],
            strict=True,
        )
        self._insert("receipts", 4, lines)

    def add_intent(self, number: int, group_id: str, runs: Iterable[RunId]) -> None:
        """Add a batch of which it is not known whether it was created."""
        group = self._group(group_id)
        self._insert("intents", 4, [(number, bytes.fromhex(run.key), run.attempt, group) for run in runs])

    def drop_intent(self, number: int) -> None:
        """Forget a batch that is decided."""
        with self._lock:
            self._db.execute("delete from intents where number = ?", (number,))
            self._note_change()

    def _insert(self, table: str, width: int, lines: Iterable[tuple[Any, ...]]) -> None:
        with self._writing() as db:
            db.executemany(f"insert into {table} values ({', '.join('?' * width)})", lines)  # noqa: S608 - our own names
            self._note_change()

    @locked
    def move_parts(self, moves: Mapping[int, tuple[int, int]]) -> None:
        """Record that parts were put together: of each its new part, and the place of its first outcome there."""
        for old, (new, base) in moves.items():
            self._db.execute("update outcomes set part = ?, offset = offset + ? where part = ?", (new, base, old))
        self._note_change()

    @locked
    def parts(self) -> list[int]:
        """Return the parts of the store in which outcomes lie."""
        return [part for (part,) in self._db.execute("select distinct part from outcomes order by part")]

    def drop_part(self, part: int) -> None:
        """Forget the outcomes of a part that cannot be read any more."""
        with self._lock:
            self._db.execute("delete from outcomes where part = ?", (part,))
            self._note_change()

    def _note_change(self) -> None:
        self._is_current, self._status = False, None

    def _derive(self) -> None:
        if not self._is_current:
            self._db.executescript(NEWEST)
            if self._line(REPEATED)[0]:
                self._db.executescript(OLDER_ANSWERS)
            self._unbilled = int(self._line(UNBILLED)[0])
            self._is_current = True

    @locked
    def forget_checkpoint(self) -> None:
        """Forget what the checkpoint holds, to read it again."""
        self._groups = {}
        for table in ("groups", "outcomes", "receipts", "intents", "stale", "steps"):
            self._db.execute(f"delete from {table}")  # noqa: S608 - our own names
        self._is_refreshing = False
        self._note_change()

    # A refresh

    @locked
    def begin_refresh(self, unfinished: Iterable[tuple[str, int]]) -> None:
        """Mark the newest attempt of each input, but for what an unfinished refresh had marked.

        An input without an answer is marked -1: once it has one, the refresh does not ask it a second time.
        """
        self.recall_refresh(unfinished)
        self._is_refreshing = True
        self._derive()
        with self._writing() as db:
            db.execute(
                "insert or ignore into stale select r.key, case when k.status is null then -1 else k.newest end "
                "from runs r left join known k on k.key = r.key order by r.key"
            )
            self._status = None

    @locked
    def recall_refresh(self, unfinished: Iterable[tuple[str, int]]) -> None:
        """Know what an unfinished refresh had marked, without continuing it: `is_refreshed` says when it is over."""
        marks = ((bytes.fromhex(key), at) for key, at in unfinished)
        with self._writing() as db:
            db.executemany("insert or replace into stale values (?, ?)", marks)

    @property
    @locked
    def has_marks(self) -> bool:
        """Whether a refresh is not over yet."""
        return bool(self._line("select exists(select 1 from stale)")[0])

    @locked
    def marked_attempts(self, *, of_others: bool = False) -> list[tuple[str, int]]:
        """Return the marked attempts; `of_others`: only those of inputs that this source does not have."""
        query = "select lower(hex(s.key)), s.attempt from stale s"
        if of_others:
            query += " left join runs r on r.key = s.key where r.key is null"
        return self._db.execute(query).fetchall()

    @locked
    def is_refreshed(self) -> bool:
        """Return whether each marked input of this source was asked again, and that has ended."""
        self._derive()
        left = self._line(
            "select exists(select 1 from stale s join runs r on r.key = s.key left join known k on k.key = s.key "
            "where k.status is null or k.newest <= s.attempt)"
        )
        return not left[0]

    # What is to be done

    @locked
    def status(self) -> JobStatus:
        """Decide for each input within the limit what it needs now, and return the numbers."""
        if self._status is not None:
            return self._status
        self._derive()
        self._db.execute("delete from steps")
        # With each step goes what else is asked of it, so that no query has to join again: the status is that of the
        # newest answer, or else of the newest attempt.
        self._db.execute(
            f"""insert into steps
            select r.row, r.key, r.rows, case when r.row <= ? then {self._rule} else {LEFT_OUT} end, k.newest,
                case when k.answered is not null then {COMPLETED} else k.status end, k.part, k.offset
            from runs r left join known k on k.key = r.key left join stale s on s.key = r.key order by r.row""",  # noqa: S608
            (self._last_row,),
        )
        self._status = self._count()
        return self._status

    @locked
    def decide_sending(self) -> int:
        """Decide what is to be sent, for `steps_between`, and return how many runs that is.

        It stays as it is while it is read, whoever asks for numbers meanwhile: what fails during a call is for the next
        call to send again.
        """
        to_send = self.status().to_send
        self._db.execute("delete from feed")
        self._db.execute("insert into feed select row, key, rows, step from steps where step >= 0 order by row")
        return to_send

    def _count(self) -> JobStatus:
        runs, sent, known, within, rows, to_send, awaited, rows_open, failed, rows_failed = (
            number or 0
            for number in self._line(
                f"""select count(*), sum(newest + 1), count(newest),
                sum(step != {LEFT_OUT}), sum(case when step != {LEFT_OUT} then rows end),
                sum(step >= 0), sum(step = {AWAITED}),
                sum(case when step not in ({ANSWERED}, {LEFT_OUT}) then rows end),
                sum(step = {ANSWERED} and status != {COMPLETED}),
                sum(case when step = {ANSWERED} and status != {COMPLETED} then rows end)
                from steps"""  # noqa: S608 - numbers of this package
            )
        )
        in_doubt = self._line(
            f"""select count(distinct r.row) from intents i join runs r on r.key = i.key
            join steps s on s.row = r.row and s.newest = i.attempt and s.step = {AWAITED}"""  # noqa: S608
        )[0]
        return JobStatus(
            rows=self.rows,
            chosen=self.chosen,
            skipped=self.skipped,
            runs=runs,
            left_out=runs - within,
            answered=within - to_send - awaited,
            failed=failed,
            awaited=awaited,
            in_doubt=in_doubt,
            to_send=to_send,
            rows_answered=rows - rows_open,
            rows_failed=rows_failed,
            rows_open=rows_open,
            sent=sent,
            billed=sent - self._unbilled,
            known=known,
            keys=self._line("select count(*) from known")[0],
        )

    @locked
    def answer_times(self) -> tuple[str | None, str | None]:
        """Return when the oldest and the newest answer of the source came that are not asked again."""
        self.status()
        of_answers = f"from steps s join known k on k.key = s.key where s.step = {ANSWERED}"
        oldest, newest = self._line(f"select min(k.at), max(k.at) {of_answers}")
        return oldest, newest

    @locked
    def steps_between(self, start: int, end: int) -> list[Step]:
        """Return what is to be sent of the rows from `start` up to `end`, in their order."""
        found = self._db.execute(
            "select row, lower(hex(key)), step, rows from feed where row >= ? and row < ? order by row",
            (start, end),
        )
        return list(map(partial(tuple.__new__, Step), found))  # half the time of Step._make

    @locked
    def steps_of(self, keys: Iterable[str]) -> list[Step]:
        """Return what is to be sent now of these inputs, in the order of their rows: the rule is asked again."""
        self._derive()
        query = f"""select r.row, lower(hex(r.key)), {self._rule}, r.rows
            from runs r left join known k on k.key = r.key left join stale s on s.key = r.key
            where r.key = ? and r.row <= ?"""  # noqa: S608
        found = (self._line(query, bytes.fromhex(key), self._last_row) for key in keys)
        return sorted((Step(*line) for line in found if line is not None and line[2] >= 0), key=lambda step: step.row)

    @locked
    def last_step(self) -> int:
        """Return the last row with something to send; -1 where there is none."""
        return int(self._line("select coalesce(max(row), -1) from feed")[0])

    @locked
    def limit_for(self, runs: int) -> int:
        """Return the ``limit`` with which only so many of the planned runs would be sent."""
        query = """select count(*) from runs where row < (
            select row from steps where step >= 0 order by row limit 1 offset ?)"""
        return int(self._line(query, runs)[0])

    @locked
    def has_key(self, key: str) -> bool:
        """Return whether the source has a row with this key."""
        return self._line("select 1 from runs where key = ?", bytes.fromhex(key)) is not None

    @locked
    def count_undated(self) -> int:
        """Return how many of the source's answers have no time, so that it cannot be known whether they are old."""
        self._derive()
        query = """select count(*) from runs r join known k on k.key = r.key
            where k.answered is not null and k.tried is null"""
        return int(self._line(query)[0])

    # Groups

    @locked
    def group_state(self, group_id: str, *, cursor: str | None = None) -> GroupState:
        """Return what is known of one group, without its open batches."""
        self._db.executescript(BY_GROUP)
        number, state = self._group(group_id), GroupState(group_id, has_key=self.has_key)
        state.cursor.durable = cursor
        outcomes = self._db.execute(
            "select run_id, lower(hex(key)), attempt, status from outcomes where grp = ?", (number,)
        )
        for run_id, key, attempt, status in outcomes:
            state.add_outcome(RunId(key, attempt), run_id=run_id, status=STATUS_NAMES[status])
        receipts = self._db.execute("select lower(hex(key)), attempt, run_id from receipts where grp = ?", (number,))
        for key, attempt, run_id in receipts:
            state.add_paid(RunId(key, attempt), run_id=run_id)
        state.waiting = self.waiting(group_id)
        return state

    @locked
    def waiting(self, group_id: str) -> dict[RunId, int]:
        """Return the group's unfinished runs that answer rows within the limit, and how many rows share each."""
        self._derive()
        found = self._db.execute(
            """select lower(hex(r.key)), k.newest, r.rows from (
                select key, attempt from receipts where grp = :grp
                union select key, attempt from intents where grp = :grp
            ) t join known k on k.key = t.key and k.newest = t.attempt and k.status is null
            join runs r on r.key = t.key where r.row <= :last""",
            {"grp": self._group(group_id), "last": self._last_row},
        )
        return {RunId(key, attempt): rows for key, attempt, rows in found}

    @locked
    def summarise_groups(self) -> list[dict[str, Any]]:
        """Return what each group answered of this source: runs by status, and from when to when."""
        found = self._db.execute(
            """select g.name, count(*), sum(o.status = 0), sum(o.status > 0), min(o.at), max(o.at)
            from (select key, attempt, grp, min(status) as status, at from outcomes group by key, attempt, grp) o
            join groups g on g.number = o.grp join runs r on r.key = o.key
            group by g.name order by g.number"""
        )
        names = ("group_id", "runs", "completed", "failed", "first", "last")
        return [dict(zip(names, line, strict=True)) for line in found]

    # Answers

    @locked
    def answers(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Return of each distinct input, in the order of first rows: part, offset, status code, and if it was sent.

        The first three are of the newest answer, or else of the newest attempt's failure; -1 without either.
        """
        self.status()
        found = self._db.execute(
            """select coalesce(part, -1), coalesce(offset, -1), coalesce(status, -1), newest is not null
            from steps order by row"""
        )
        return np.array(found.fetchall(), dtype=np.int64).reshape(-1, 4)

    @locked
    def done(self) -> list[bool]:
        """Return for each distinct input, in the order of first rows, whether nothing is left to do for it."""
        self.status()
        return [step == ANSWERED for (step,) in self._db.execute("select step from steps order by row")]

    def answers_by_part(self) -> Iterator[tuple[int, list[tuple[int, int]]]]:
        """Yield each part with the (offset, row) of answers that rows take from it, in order, so many at a time."""
        with self._lock:
            self._derive()
            found = self._db.execute(
                "select k.part, k.offset, w.row from rows w join known k on k.key = w.key "
                "where k.part is not null order by k.part, k.offset"
            )
            part = -1
            lines: list[tuple[int, int]] = []
            for number, offset, row in found:
                if number != part or len(lines) == CHUNK:
                    if lines:
                        yield part, lines
                    part, lines = number, []
                lines.append((offset, row))
            if lines:
                yield part, lines

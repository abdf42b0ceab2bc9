"""The tables of the index, and the statements that work some of them out from others."""

from __future__ import annotations

from typing import Final

TABLES: Final = """
create table rows(row integer primary key, key blob);
create table equals(key blob primary key, rows int) without rowid;
create table occurrences(row integer primary key, number int);
create table groups(number integer primary key, name text unique);
create table outcomes(key blob, attempt int, status int, grp int, run_id text, at int, part int, offset int);
create table receipts(key blob, attempt int, grp int, run_id text);
create table intents(key blob, attempt int, grp int);
create table stale(key blob primary key, attempt int) without rowid;
create table claimed(key blob primary key) without rowid;
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
create table known(key blob primary key, newest int, status int, tried int, answered int, at int, part int, offset int)
    without rowid;
insert into known select n.key, n.attempt, e.status, e.at, a.attempt,
    coalesce(a.at, e.at), coalesce(a.part, e.part), coalesce(a.offset, e.offset)
from newest n left join ended e on e.key = n.key and e.attempt = n.attempt left join answered a on a.key = n.key
order by n.key;
"""
# How many rows with this key there were before.
COUNTED: Final = "insert into equals values (?, 1) on conflict do update set rows = rows + 1 returning rows - 1"

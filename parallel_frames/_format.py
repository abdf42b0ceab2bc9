"""Counts, amounts, durations, times, labels and options as text; durations as seconds, options out of a message.

Texts for people are built from these, so an amount or a count reads the same in an error, a report, the progress bar
and the command line. It imports nothing of ours: even `errors` builds on it.
"""

from __future__ import annotations

import ast
import re
import textwrap
import time
from decimal import Decimal
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

UNITS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
MAX_COLUMNS: Final = 20
FIRST_COLUMNS: Final = 3
DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw]?)", re.ASCII)


def format_count(number: int, noun: str) -> str:
    """Return a number with its noun: ``1 row``, ``1,234 rows``."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


def format_columns(names: Iterable[str]) -> str:
    """Return columns by name: ``name, city``, or of many the first ones: ``300 columns (c0, c1, c2, …)``."""
    found = list(names)
    if len(found) <= MAX_COLUMNS:
        return ", ".join(found)
    return f"{format_count(len(found), 'column')} ({', '.join(found[:FIRST_COLUMNS])}, …)"


def format_share(part: float, whole: float) -> str:
    """Return a share in per cent; 0% and 100% only where they are exact."""
    if 0 < part < whole:
        percent = round(100 * part / whole)
        return "<1%" if percent == 0 else ">99%" if percent == 100 else f"{percent}%"
    return "100%" if part else "0%"


def format_dollars(amount: Decimal | float | None, *, extra: str = "") -> str:
    """Return an amount in US dollars: cents, and fractions of a cent where there are some (``$0.005``).

    `extra` is what is billed on top of it, in words (`Price.extra`).
    """
    if extra:
        return f"{format_dollars(amount)} {extra}"
    if amount is None:
        return "price not known"
    # Through its shortest text, a float is the amount that was meant: 2.155 is slightly less as a binary fraction.
    # Nothing above a millionth is rounded away, since a run may cost half a cent.
    amount = round(Decimal(str(amount)), 6)
    digits = max(2, -int(amount.normalize().as_tuple().exponent))
    return f"${amount:,.{digits}f}"


def format_costs(now: Decimal | float | None, *, before: Decimal | float | None, extra: str = "") -> str:
    """Return what a call costs; where earlier calls paid for the same rows, also what these cost."""
    if now is None or not before:
        return format_dollars(now, extra=extra)
    return f"{format_dollars(now)} now, {format_dollars(before)} before {extra}".rstrip()


def format_at_worst(
    amount: Decimal | float | None, processors: Sequence[str], *, certain: Decimal | float | None
) -> str:
    """Return what is put behind a `certain` price where it may be more, because rows may be escalated."""
    if not processors or (amount is not None and amount == certain):
        return ""
    names = " and ".join(processors)
    return (
        f", with {names} at a price not known"
        if amount is None
        else f", at worst {format_dollars(amount)} with {names}"
    )


def format_amount(amount: Decimal) -> str:
    """Return an amount exactly, as a user types it: ``0.2``, ``12345.645``, ``2000000``."""
    return f"{amount.normalize():f}"


def format_duration(seconds: float | None, *, estimate: bool = False) -> str:
    """Return seconds in the unit a person would use; an estimate begins with a tilde."""
    if seconds is None:
        return "time not known"
    about = "~" if estimate else ""
    # "90 s" and "90 min" are the largest: rounding "1 min" or "1 h" would be off by up to a half.
    if seconds < 90:
        return f"{about}{seconds:.0f} s"
    if seconds < 5400:
        return f"{about}{seconds / 60:.0f} min"
    return f"{about}{seconds / 3600:.1f} h"


def parse_duration(text: str) -> float:
    """Return the seconds of ``90``, ``90s``, ``30m``, ``12h``, ``30d`` or ``2w``; anything else is a ValueError."""
    match = DURATION.fullmatch(text.strip().lower())
    if match is None:
        raise ValueError(
            f"{text!r} must be a number of seconds, or a duration such as '90s', '10m', '12h', '30d' or '2w'"
        )
    return float(match[1]) * UNITS[match[2]]


def format_utc(seconds: float | None = None) -> str:
    """Return seconds since 1970 (default: now) as an ISO 8601 time in UTC, for files and attrs."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def format_time(seconds: float | None = None) -> str:
    """Return seconds since 1970 (default: now) as a time for people: ``2026-11-18 11:06:40 UTC``."""
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))


def format_label(label: Any) -> str:
    """Return a row's or a column's label as text; the parts of a MultiIndex label are joined by slashes."""
    parts = label if isinstance(label, tuple) else (label,)
    return " / ".join(str(part) for part in parts if str(part))


def format_code(code: str) -> str:
    """Return code as a span between backticks; those of its own, which stand within texts, are escaped."""
    return f"`{code.replace('`', chr(92) + 'x60')}`"


def format_option(name: str, value: object) -> str:
    """Return an option with its value as a code span."""
    return format_code(f"{name}={value!r}")


def spell_code(message: str, spell: Callable[[str], str | None]) -> str:
    """Return a message with each code span as `spell` has it; what it returns None for, as a stray backtick, stays."""
    spelled, *parts = message.split("`")
    while parts:
        code = parts.pop(0)
        text = spell(code) if parts else None
        spelled += f"`{code}" if text is None else text + parts.pop(0)
    return spelled


def parse_options(code: str) -> dict[str, str | None]:
    """Return the options of a code span as Python writes their values, None for a bare name; none for other code."""
    source = f"f({code})"
    try:
        call = ast.parse(source, mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return {}
    if code != code.strip() or not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
        return {}
    options: dict[str | None, str | None] = {arg.id if isinstance(arg, ast.Name) else None: None for arg in call.args}
    options |= {each.arg: ast.get_source_segment(source, each.value) for each in call.keywords}
    return {name: value for name, value in options.items() if name} if None not in options else {}


def literal(value: str) -> Any:
    """Return what Python's text of a value stands for; ValueError where only a run could tell."""
    try:
        return ast.literal_eval(value)
    except (SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise ValueError(value) from error


def options_in(message: str) -> dict[str, str]:
    """Return the options in a message's code spans with their values as text, but for those that only stand for one."""
    given: dict[str, str] = {}

    def take(code: str) -> str | None:
        options = parse_options(code)
        given.update({name: _text(value) for name, value in options.items() if value not in (None, "...")})
        return code if options else None

    spell_code(message, take)
    return given


def _text(value: str) -> str:
    try:
        found = literal(value)
    except ValueError:
        return value
    return found if isinstance(found, str) else value


def closest(name: object, known: Iterable[object]) -> object | None:
    """Return which of these is meant by a name that is none of them: the same but for case, or else the nearest."""
    texts = {str(each).casefold(): each for each in reversed(list(known))}
    near = get_close_matches(str(name).strip().casefold(), texts, 1)
    return texts[near[0]] if near else None


def did_you_mean(name: object, known: Iterable[object]) -> str:
    """Return a text that asks for the nearest of the known names, to be put behind a statement; nothing if none is."""
    meant = closest(name, known)
    return "" if meant is None else f" (did you mean {meant!r}?)"


def mark_simulated(text: str, *, simulated: bool) -> str:
    """Return a text that labels itself where answers are a simulator's."""
    return f"{text} · SIMULATED" if simulated else text


def format_sends(names: Sequence[str], form: str) -> str:
    """Return what a row sends, and in which form (`Selection.form`) where that is no object of these names."""
    forms = {"cell": " as bare text", "template": " in one text"}
    return format_columns(names) + forms.get(form, "")


def shorten(text: str, width: int) -> str:
    """Return a text cut between words, or within one where nothing would be left."""
    cut = textwrap.shorten(text, width, placeholder=" …")
    return cut if cut.strip() != "…" else f"{text.strip()[: width - 1]}…"

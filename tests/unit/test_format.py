"""Counts, amounts, durations, times and labels as text, and durations read back."""

from __future__ import annotations

import re
from decimal import Decimal

import pytest

from parallel_frames._format import (
    format_amount,
    format_count,
    format_dollars,
    format_duration,
    format_label,
    format_share,
    format_time,
    format_utc,
    parse_duration,
    shorten,
)
from parallel_frames._prices import Runs, check_cost, price_of
from parallel_frames.errors import CostError


@pytest.mark.parametrize(("number", "text"), [(0, "0 rows"), (1, "1 row"), (1234, "1,234 rows")])
def test_a_count_agrees_with_its_noun(number, text):
    """Plural but for one, with thousands separators."""
    assert format_count(number, "row") == text


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (None, "price not known"), (0, "$0.00"), (0.005, "$0.005"), (0.01, "$0.01"), (0.3, "$0.30"), (2.155, "$2.155"),
        (1_234_567.89, "$1,234,567.89"), (0.1 + 0.2, "$0.30"), (Decimal(20), "$20.00"),
        (Decimal("2E+6"), "$2,000,000.00"),
    ],
)  # fmt: skip
def test_dollars_are_cents_and_what_is_left_of_a_cent(amount, text):
    """At least cents; half a cent of the cheapest processor is not rounded away."""
    assert format_dollars(amount) == text


@pytest.mark.parametrize("runs", [1, 3, 5, 431, 433, 1_000_003])
@pytest.mark.parametrize("per_run", ["0.005", "0.01", "0.025"])
def test_a_float_and_a_decimal_of_one_amount_read_alike(runs, per_run):
    """Wherever an amount comes from, a plan, an announcement and a report state the same."""
    amount = Decimal(per_run) * runs
    assert format_dollars(amount) == format_dollars(float(amount)) == format_dollars(runs * float(per_run))


@pytest.mark.parametrize(("runs", "sent"), [(1, 0), (3, 0), (431, 2), (2_469_129, 0), (10**9 + 1, 7)])
@pytest.mark.parametrize("processor", ["lite", "base", "core", "ultra8x"])
def test_the_max_cost_that_an_error_names_is_enough(runs, sent, processor):
    """Typed as the message has it, or taken from the attribute, and not a tenth of a cent more than is needed."""
    price = price_of(processor)
    cost = price.of(runs + sent)
    with pytest.raises(CostError) as caught:
        check_cost(Runs(price, runs, sent), max_cost=cost - Decimal("0.001"))
    named = re.search(r"Pass `max_cost=([\d.]+)` to proceed", str(caught.value))[1]
    assert Decimal(named) == Decimal(str(caught.value.cost)) == cost
    assert f" to {format_dollars(cost)}, over" in str(caught.value)
    check_cost(Runs(price, runs, sent), max_cost=Decimal(named))


def test_limits_are_repeated_as_they_were_given():
    """Neither rounded nor in powers of ten."""
    error = CostError(runs=2_469_129, billed=0, cost=Decimal("12345.645"), max_cost=Decimal("2E+3"))
    assert "come to $12,345.645, over `max_cost=2000`." in str(error)
    assert format_amount(Decimal("0.0000001")) == "0.0000001"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "time not known"), (0, "0 s"), (57.5, "58 s"), (120, "2 min"), (5399, "90 min"), (7200, "2.0 h")],
)
def test_durations_are_seconds_minutes_or_hours(seconds, text):
    """An estimate has a tilde in front, unless there is none."""
    assert format_duration(seconds) == text
    assert format_duration(seconds, estimate=True) == (text if seconds is None else f"~{text}")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("30m", 1800), (" 1.5h ", 5400), ("30D", 2_592_000), ("2 w", 1_209_600)],
)
def test_a_duration_is_read(text, seconds):
    """A number with a unit, or seconds."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "d", "ten days", "-3d", "3y", "1e3", "nan", "infd", "٣d"])
def test_what_is_not_a_duration_is_refused(text):
    """The message repeats the text and shows what was expected."""
    with pytest.raises(ValueError, match="must be a number of seconds, or a duration such as '90s'") as caught:
        parse_duration(text)
    assert repr(text) in str(caught.value)


def test_times_are_utc():
    """To the second, in ISO 8601 or for people; without an argument it is now."""
    assert format_utc(1_795_000_000.9) == "2026-11-18T11:06:40Z"
    assert format_time(1_795_000_000.9) == "2026-11-18 11:06:40 UTC"
    assert min(format_utc(), format_time()) >= "2026"


@pytest.mark.parametrize(("label", "text"), [("a", "a"), (1, "1"), (("a", "b", 3), "a / b / 3"), (("a", ""), "a")])
def test_a_label_is_text(label, text):
    """The parts of a MultiIndex label are joined; empty ones are left out."""
    assert format_label(label) == text


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [(19_999, 20_000, ">99%"), (1, 20_000, "<1%"), (20_000, 20_000, "100%"), (0, 3, "0%"), (1, 3, "33%")],
)
def test_all_and_none_are_exact(part, whole, text):
    """One failure in many rows is not 100%, and one success not 0%."""
    assert format_share(part, whole) == text


@pytest.mark.parametrize(
    ("text", "shortened"), [("short", "short"), ("one two three four", "one two …"), ("a" * 30, "a" * 11 + "…")]
)
def test_long_texts_are_cut(text, shortened):
    """Between words where there are some, and within a word that alone is too long."""
    assert shorten(text, 12) == shortened

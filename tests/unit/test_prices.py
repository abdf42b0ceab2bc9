"""The price table: what it knows, unknown processors, and prices as text."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pandas as pd
import pytest

import parallel_frames as pf
from parallel_frames._prices import Price, expected_seconds, price_of
from parallel_frames.errors import InputError

PUBLISHED = {
    "lite": 5,
    "base": 10,
    "core": 25,
    "core2x": 50,
    "pro": 100,
    "ultra": 300,
    "ultra2x": 600,
    "ultra4x": 1200,
    "ultra8x": 2400,
}


@pytest.mark.parametrize(("processor", "per_1000"), PUBLISHED.items())
def test_a_thousand_runs_cost_what_is_published(processor, per_1000):
    """Exactly, in decimals, and the same for the fast variant."""
    assert price_of(processor).of(1000) == Decimal(per_1000)
    assert price_of(f"{processor}-fast").of(1000) == Decimal(per_1000)


@pytest.mark.parametrize("processor", PUBLISHED)
def test_a_fast_variant_is_faster(processor):
    """It has times of its own, in order, and never slower ones."""
    usual, fast = price_of(processor).seconds, price_of(f"{processor}-fast").seconds
    assert usual is not None
    assert fast is not None
    assert fast[0] < fast[1]
    assert usual[0] < usual[1]
    assert fast[0] <= usual[0]
    assert fast[1] < usual[1]


@pytest.mark.parametrize(("processor", "fields"), [("lite", 2), ("base", 5), ("core2x", 10), ("ultra8x", 25)])
def test_a_processor_is_recommended_for_so_many_fields(processor, fields):
    """The table's number, the same for the fast variant; an unknown processor has none."""
    assert price_of(processor).fields == fields
    assert price_of(f"{processor}-fast").fields == fields
    assert price_of("ultra16x").fields is None


def test_prices_never_pass_through_floats():
    """Any number of runs is priced without a rounding error."""
    assert price_of("lite").of(3) == Decimal("0.015")
    assert price_of("ultra8x").of(1_000_001) == Decimal("2400002.4")
    assert price_of("base").of(0) == 0


@pytest.mark.parametrize("processor", ["", "ultra16x", "Base", "lite-fast-fast", "-fast"])
def test_an_unknown_processor_has_no_price_and_is_not_refused(processor):
    """It has neither a price nor a time, and its text names it."""
    price = price_of(processor)
    assert (price.processor, price.per_run, price.seconds) == (processor, None, None)
    assert price.of(10) is None
    assert price.text(10) == f"price of {processor!r} not known"
    assert expected_seconds(price, runs=10, max_per_minute=2000) is None


def test_the_table_is_dated():
    """Whoever shows a price can say of when it is."""
    assert date.fromisoformat(price_of("base").as_of).year >= 2025
    assert price_of("unknown").as_of == price_of("base").as_of


@pytest.mark.parametrize(
    ("processor", "runs", "text"),
    [
        ("base", 431, "$4.31"),
        ("base", 0, "$0.00"),
        ("lite", 1, "$0.005"),
        ("lite", 2, "$0.01"),
        ("ultra8x", 1_000_000, "$2,400,000.00"),
    ],
)
def test_a_price_reads_as_dollars(processor, runs, text):
    """Cents and thousands separators; tenths of a cent only where cents would say nothing."""
    assert price_of(processor).text(runs) == text


@pytest.mark.parametrize(
    ("runs", "limit", "seconds"),
    [
        (0, 2000, 57.5),
        (1, 2000, 57.5),
        (2000, 2000, 57.5),
        (2001, 2000, 117.5),
        (10_000, 2000, 297.5),
        (10_000, None, 57.5),
    ],
)
def test_the_time_is_the_rate_limit_and_one_run(runs, limit, seconds):
    """Full minutes of the limit before the last batch, and then one usual run."""
    assert expected_seconds(price_of("base"), runs=runs, max_per_minute=limit) == seconds


@pytest.mark.parametrize(
    ("sources", "extra"),
    [
        ({"pay_per_use": ["a"], "free": ["b"]}, True), ({"free": ["b"]}, False), ({"pay_per_use": []}, False),
        (None, False), ("odd", False),
    ],
)  # fmt: skip
def test_connectors_that_are_billed_per_call_are_named_beside_every_price(sources, extra, capsys):
    """A plan, the progress and a report name what is billed on top; a limit that cannot be kept is refused."""
    df = pd.DataFrame({"company": ["Acme", "Globex"]})
    options = {"options": {"advanced_settings": {"data_sources": sources}}, "checkpoint": None}
    with pf.offline(latency=0) as sim:
        plan = df.parallel.plan({"n": str}, **options)
        assert ("$0.02 plus connector calls" in str(plan)) is extra
        assert ("plus connector calls" in plan._repr_html_()) is extra
        df.parallel.enrich({"n": str}, **options)
        assert ("$0.02 plus connector calls" in str(pf.last().report())) is extra
        assert ("· $0.02 plus connector calls" in capsys.readouterr().err.splitlines()[-1]) is extra
        some = df.parallel.preview({"n": str}, n=1, options=options["options"])
        assert ("1 more run: $0.01 plus connector calls." in str(some)) is extra
        words = "plus connector calls" if extra else ""
        assert plan.extra_cost == pf.last().extra_cost == pf.last().report().extra_cost == words
        paid = sim.counts.runs
        if extra:
            for call in (df.parallel.plan, df.parallel.enrich):
                with pytest.raises(InputError, match="`max_cost=5` cannot be kept: the connectors in pay_per_use"):
                    call({"n": str}, max_cost=5, **options)
            assert sim.counts.runs == paid
        else:
            assert df.parallel.enrich({"n": str}, max_cost=5, **options)["n"].notna().all()


def test_a_price_is_a_value():
    """The same processor's price is equal, and can be kept in sets."""
    assert price_of("pro") == price_of("pro")
    assert len({price_of("pro"), price_of("pro"), price_of("lite")}) == 2
    assert isinstance(price_of("pro"), Price)

"""The options of a call, checked at the door."""

from __future__ import annotations

import dataclasses
import datetime as dt
import pathlib
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest

from parallel_frames._job._options import Call, EnrichOptions, FrameOptions, make_call, seconds
from parallel_frames.errors import InputError


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, None),
        (0, 0.0),
        (90, 90.0),
        (1.5, 1.5),
        (np.int64(3), 3.0),
        (np.float64(0.5), 0.5),
        (dt.timedelta(minutes=2), 120.0),
        (pd.Timedelta("1h"), 3600.0),
        (float("inf"), None),
    ],
)
def test_a_time_is_seconds_however_it_was_given(given, expected):
    """Numbers of any kind are seconds, timedeltas become seconds, endless is no limit."""
    assert seconds(given, name="timeout") == expected


@pytest.mark.parametrize("given", ["1", True, float("nan"), -0.1, dt.timedelta(seconds=-1), [1], 1j])
def test_what_is_no_time_is_refused(given):
    """A text, a truth value, a negative time or none at all is an InputError that shows it."""
    with pytest.raises(InputError, match=r"timeout=.* is no time"):
        seconds(given, name="timeout")


@pytest.mark.parametrize("path", ["x", "auto", pathlib.Path("x"), None])
def test_checkpoints_may_be_paths_or_none(path):
    """A text, a path, "auto" and None are taken as they are."""
    assert Call(checkpoint=path).checkpoint == path


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (0.1, Decimal("0.1")),
        (2, Decimal(2)),
        (Decimal("0.05"), Decimal("0.05")),
        (np.float32(0.3), Decimal("0.3")),
        (Fraction(1, 4), Decimal("0.25")),
    ],
)
def test_an_amount_is_decimal_however_it_was_given(given, expected):
    """Numbers of any kind are dollars, without the noise of binary fractions."""
    assert Call(max_cost=given).max_cost == expected


@pytest.mark.parametrize(
    "given", ["1", True, float("nan"), Decimal("NaN"), Decimal("sNaN"), Decimal("Infinity"), -1, 1j]
)
def test_what_is_no_amount_is_refused(given):
    """What is no number of dollars is an InputError that shows it."""
    with pytest.raises(InputError, match=r"max_cost=.* is no amount"):
        Call(max_cost=given)


@pytest.mark.parametrize("name", ["limit", "max_in_flight"])
def test_whole_numbers_of_any_kind_count_runs(name):
    """Integers of numpy are taken as Python's; a truth value, a fraction and zero are not."""
    assert type(getattr(Call(**{name: np.int64(2)}), name)) is int
    for wrong in (True, np.bool_(True), 2.0, 0, np.int64(-1), "2"):
        with pytest.raises(InputError, match=f"{name}=.* is no number of runs"):
            Call(**{name: wrong})


@pytest.mark.parametrize("given", [[], ()])
def test_no_group_is_no_group_to_go_on_with(given):
    """An empty list of groups would buy everything anew, so it is refused."""
    with pytest.raises(InputError, match="names no group"):
        Call(group_id=given)


def test_a_call_is_a_value():
    """Two calls with the same options are equal, and none can be changed afterwards."""
    assert Call(timeout=60) == Call(timeout=dt.timedelta(minutes=1))
    with pytest.raises(dataclasses.FrozenInstanceError):
        Call().prefix = "x"


def test_the_list_of_options_stands_once():
    """What type checkers are told and what is checked are the same names."""
    names = {field.name for field in dataclasses.fields(Call)}
    assert names == EnrichOptions.__optional_keys__
    assert FrameOptions.__optional_keys__ < names
    assert not EnrichOptions.__required_keys__


def test_unknown_names_are_answered_with_the_nearest():
    """A name that is no option is a TypeError with the nearest option, or else all of them."""
    with pytest.raises(TypeError, match=r"no option 'checkpiont'; did you mean 'checkpoint'\?"):
        make_call({"checkpiont": None})
    with pytest.raises(TypeError, match=r"there are processor, inputs, .*client"):
        make_call({"zzz": None})
    assert make_call({"dedupe": False}) == Call(dedupe=False)

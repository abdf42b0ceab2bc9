"""The options of a call, checked at the door."""

from __future__ import annotations

import dataclasses
import datetime as dt
import pathlib

import numpy as np
import pandas as pd
import pytest

from parallel_frames._call import Call, EnrichOptions, FrameOptions, make_call, seconds
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

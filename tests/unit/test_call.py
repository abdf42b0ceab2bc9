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

from parallel_frames._job._options import SYNONYMS, Call, EnrichOptions, FrameOptions, check_call, seconds
from parallel_frames.errors import InputError, UnknownOptionError


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
        ("10m", 600.0),
        ("90", 90.0),
        ("1h30m", 5400.0),
        ("2 days", 172800.0),
    ],
)
def test_a_time_is_seconds_however_it_was_given(given, expected):
    """Numbers of any kind are seconds, texts and timedeltas become seconds, endless is no limit."""
    assert seconds(given, name="timeout") == expected


@pytest.mark.parametrize(
    "given", ["soon", "-1 day", "NaT", True, float("nan"), -0.1, dt.timedelta(seconds=-1), [1], 1j]
)
def test_what_is_no_time_is_refused(given):
    """Another text, a truth value, a negative time or none at all is an InputError that shows it."""
    with pytest.raises(InputError, match=r"timeout=.* must be a (time|number of seconds)"):
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
    with pytest.raises(InputError, match=r"max_cost=.* must be an amount"):
        Call(max_cost=given)


@pytest.mark.parametrize("name", ["limit", "max_in_flight"])
def test_whole_numbers_of_any_kind_count_runs(name):
    """Integers of numpy are taken as Python's; a truth value, a fraction and zero are not."""
    assert type(getattr(Call(**{name: np.int64(2)}), name)) is int
    for wrong in (True, np.bool_(True), 2.0, 0, np.int64(-1), "2"):
        with pytest.raises(InputError, match=f"{name}=.* must be a number of runs"):
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
        check_call({"checkpiont": None})
    with pytest.raises(TypeError, match=r"there are basis, checkpoint, .*where"):
        check_call({"zzz": None})
    assert check_call({"dedupe": False}) == Call(dedupe=False)


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("model", "`processor='core'`"),
        ("columns", "`inputs=['company']`"),
        ("prompt", "`inputs='Research {company}'`"),
        ("api_key", "`client=pf.Client(api_key='...')`"),
        ("batch_size", "`max_in_flight=...`"),
        ("n", "`limit=3`"),
        ("dry_run", "`df.parallel.plan(schema)`"),
        ("verbose", "`progress=True`"),
        ("cache", "`checkpoint='companies.ckpt'`"),
        ("source_policy", "`options={'source_policy': {...}}`"),
        ("Overwrite", "`if_exists='overwrite'`"),
    ],
)
def test_names_of_other_libraries_are_answered_with_ours(name, advice):
    """What users of other tools type is refused with the option that is meant; no such name is one of ours."""
    with pytest.raises(UnknownOptionError) as caught:
        check_call({name: 1})
    assert advice in str(caught.value)
    assert caught.value.option == name
    assert isinstance(caught.value, TypeError)
    assert not SYNONYMS.keys() & {field.name for field in dataclasses.fields(Call)}


def test_true_and_false_stand_for_the_words_that_are_meant():
    """basis=True adds columns, checkpoint=False keeps none; numbers are not taken for truth values."""
    assert (Call(basis=True), Call(basis=False)) == (Call(basis="columns"), Call(basis="none"))
    assert (Call(checkpoint=False), Call(checkpoint=True)) == (Call(checkpoint=None), Call(checkpoint="auto"))
    for options in ({"basis": 1}, {"checkpoint": 0}):
        with pytest.raises(InputError, match="must be"):
            Call(**options)


@pytest.mark.parametrize(
    ("given", "meant"), [("Base", "base"), ("CORE", "core"), (" lite", "lite"), ("Pro-Fast", "pro-fast")]
)
def test_a_processor_in_other_letters_is_named(given, meant):
    """The service would refuse capitals, so they are refused with the name that is meant; new names are passed on."""
    with pytest.raises(InputError, match=f"must be `processor='{meant}'`"):
        Call(processor=given)
    assert Call(processor="ultra16x").processor == "ultra16x"


@pytest.mark.parametrize(
    ("options", "meant"), [({"if_exists": "overwite"}, "overwrite"), ({"basis": "column"}, "columns")]
)
def test_a_misspelt_word_of_an_option_is_named(options, meant):
    """A word that is none of an option's is answered with the nearest."""
    with pytest.raises(InputError, match=f"did you mean '{meant}'"):
        Call(**options)

"""What a row sends, decided from labels alone."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pandas as pd
import pytest

from parallel_frames._inputs import select_inputs
from parallel_frames.errors import InputError, UnknownColumnError

FRAME = pd.DataFrame(columns=["company", "website", "founded"])


def test_no_inputs_select_every_column_in_order():
    """Without a choice a row sends every column, in the frame's order."""
    assert select_inputs(FRAME, None).names == ("company", "website", "founded")


def test_excluded_columns_are_left_out():
    """Columns an enrichment made are left out, and labels that are not there do not matter."""
    assert select_inputs(FRAME, None, exclude=["website", "elsewhere"]).names == ("company", "founded")


def test_exclusion_holds_only_without_inputs():
    """A column that is named is sent, excluded or not."""
    assert select_inputs(FRAME, ["website"], exclude=["website"]).names == ("website",)


@pytest.mark.parametrize("inputs", [["website", "company"], ("website", "company"), pd.Index(["website", "company"])])
def test_a_list_selects_in_its_own_order(inputs):
    """Any sequence of labels selects them in its order."""
    selection = select_inputs(FRAME, inputs)
    assert (selection.form, selection.names) == ("object", ("website", "company"))


def test_a_mapping_renames():
    """A mapping gives the names the service sees."""
    selection = select_inputs(FRAME, {"name": "company", "name again": "company"})
    assert selection.names == ("name", "name again")
    assert selection.labels == ("company", "company")


def test_a_column_label_selects_its_bare_cell():
    """A string that is a column is that column's cell."""
    assert select_inputs(FRAME, "company").form == "cell"


def test_a_label_wins_over_a_template():
    """A column whose label looks like a template is a column."""
    assert select_inputs(pd.DataFrame(columns=["{a}", "a"]), "{a}").form == "cell"


def test_a_template_names_its_columns_once():
    """A template's names are its placeholders in order of appearance, braces escaped by doubling."""
    selection = select_inputs(FRAME, "{{{website}}} of {company}, {website} 100%")
    assert selection.names == ("website", "company")
    assert selection.parts == ("{", 0, "} of ", 1, ", ", 0, " 100%")


def test_a_template_may_name_columns_with_spaces_and_dots():
    """A placeholder is a column's name exactly as it is sent."""
    frame = pd.DataFrame(columns=pd.Index(["company name", "a.b", 2020], dtype=object))
    assert select_inputs(frame, "{company name} {a.b} {2020}").labels == ("company name", "a.b", 2020)


def test_names_of_other_labels_are_their_text():
    """Numbers and dates are sent under their text."""
    frame = pd.DataFrame(columns=[2020, pd.Timestamp("2024-01-02"), None])
    assert select_inputs(frame, None).names[0] == "2020"


def test_names_of_a_multiindex_are_joined():
    """The non-empty parts of a MultiIndex label are joined by a slash; a full label is one column."""
    frame = pd.DataFrame([[1, 2]], columns=pd.MultiIndex.from_tuples([("firm", "name"), ("id", "")]))
    assert select_inputs(frame, None).names == ("firm/name", "id")
    assert select_inputs(frame, ("firm", "name")).form == "cell"
    assert select_inputs(frame, [("firm", "name")]).names == ("firm/name",)
    assert select_inputs(frame, "{firm/name}").labels == (("firm", "name"),)


@pytest.mark.parametrize(
    "inputs", ["compny", ["compny"], {"name": "compny"}, "About {compny}", [["company"]], {"n": ["company"]}]
)
def test_an_unknown_column_is_named(inputs):
    """A column the frame does not have is an UnknownColumnError that lists those it has."""
    with pytest.raises(UnknownColumnError, match=r"company.*website"):
        select_inputs(FRAME, inputs)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ("compny", r"which the frame does not have \(did you mean 'company'\?\)"),
        ("", "must be a column of the frame"),
        ("{{company}}", "must be a column of the frame"),
        ("{company", "well-formed template.*Write {{ and }} for braces"),
        ("company}", "well-formed template"),
        ("{}", "attributes, positions and empty braces"),
        ("{company.name}", "attributes, positions and empty braces"),
        ("{company[0]}", "attributes, positions and empty braces"),
        ("{founded:%Y}", "{founded:%Y} asks for a format.*Format the column first"),
        ("{company!r}", "{company!r} asks for a format"),
        ("\ud800{company}", "lone surrogate"),
        ([], "No column is selected"),
        ({}, "No column is selected"),
        (["company", "company"], "would both be sent as 'company'"),
        ({1: "company"}, "maps names to columns"),
        ({"": "company"}, "maps names to columns"),
        ({"\ud800": "company"}, "lone surrogate"),
        (7, "must be what a row sends"),
        ({"company"}, "must be what a row sends"),
        (pd, "must be what a row sends"),
    ],
)
def test_a_wrong_choice_says_what_to_type(inputs, message):
    """What cannot be a selection is refused with the way out."""
    with pytest.raises(InputError, match=message):
        select_inputs(FRAME, inputs)


def test_a_template_cannot_name_a_column_with_a_colon():
    """It reads as a format; the message says how to send the column all the same."""
    with pytest.raises(InputError, match=r"\{q:z\} asks for a format.*inputs=\{'q': 'q:z'\}"):
        select_inputs(pd.DataFrame({"q:z": [1]}), "about {q:z}")


@pytest.mark.parametrize("labels", [[1, "1"], ["a", "a"], [("a", ""), "a"]])
def test_two_columns_of_one_name_are_refused(labels):
    """Two columns that would be sent under one name ask for the mapping form."""
    frame = pd.DataFrame([[0, 0]], columns=pd.Index(labels, dtype=object, tupleize_cols=False))
    with pytest.raises(InputError, match=r"Rename one of the columns, or .*`inputs=\{name: column\}`"):
        select_inputs(frame, None)


@pytest.mark.parametrize("inputs", ["a", ["a"], {"x": "a"}, "{a}"])
def test_a_label_of_two_columns_is_refused(inputs):
    """A label must say which column is meant."""
    with pytest.raises(InputError, match="2 columns have that label"):
        select_inputs(pd.DataFrame([[0, 0]], columns=["a", "a"]), inputs)


def test_a_placeholder_of_two_columns_is_refused():
    """A placeholder must say which column is meant; columns it does not name may be ambiguous."""
    frame = pd.DataFrame([[0, 0, 0]], columns=pd.Index([1, "1", "b"], dtype=object))
    with pytest.raises(InputError, match="could be any of the columns"):
        select_inputs(frame, "{1}")
    assert select_inputs(frame, "{b}").names == ("b",)


def test_a_frame_without_columns_is_refused():
    """Nothing to select from is nothing to send."""
    with pytest.raises(InputError, match="The frame has no columns"):
        select_inputs(pd.DataFrame(index=[1, 2]), None)


def test_a_message_lists_twenty_columns_at_most():
    """A wide frame does not flood the message."""
    with pytest.raises(InputError, match="and 5 more"):
        select_inputs(pd.DataFrame(columns=[f"c{number}" for number in range(25)]), "nothing")


@pytest.mark.parametrize(
    ("inputs", "shown"),
    [
        ({"name": "company", "website": "website"}, "an object of name (column 'company'), website"),
        ("company", "the bare cell of 'company'"),
        ("About {company}", "the text 'About {company}'"),
    ],
)
def test_a_selection_prints_what_is_sent(inputs, shown):
    """A selection reads aloud."""
    assert str(select_inputs(FRAME, inputs)) == shown


def test_a_selection_is_a_value():
    """Equal choices are equal, hashable and frozen."""
    selection = select_inputs(FRAME, ["company"])
    assert selection == select_inputs(FRAME, {"company": "company"})
    assert hash(selection) == hash(select_inputs(FRAME, ["company"]))
    with pytest.raises(FrozenInstanceError):
        selection.names = ()

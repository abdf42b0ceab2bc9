"""Rows as the JSON they send, which rows send nothing, and what cannot travel."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import numpy as np
import orjson
import pandas as pd
import pyarrow as pa
import pytest

from parallel_frames._inputs import render_inputs, render_slices, select_inputs
from parallel_frames.errors import InputError, UnknownColumnError


def sent(frame, inputs=None):
    """Return what each row sends, parsed."""
    rendered = render_inputs(frame, select_inputs(frame, inputs))
    assert [row is None for row in rendered.sent] == [row is None for row in rendered.canonical]
    return [row if row is None else orjson.loads(row) for row in rendered.sent]


def objects(*cells):
    """Return a frame of one object column, x."""
    column = np.empty(len(cells), dtype=object)
    for position, cell in enumerate(cells):
        column[position] = cell
    return pd.DataFrame({"x": pd.Series(column, dtype=object)})


def arrow(cells, kind):
    """Return a frame of one Arrow column, x."""
    return pd.DataFrame({"x": pd.Series(pd.arrays.ArrowExtensionArray(pa.chunked_array([pa.array(cells, kind)])))})


def test_missing_cells_are_left_out_of_an_object():
    """None, NaN, NaT and NA of every storage are left out; names keep the selection's order."""
    frame = pd.DataFrame(
        {
            "text": ["a", None],
            "number": [1.5, np.nan],
            "whole": pd.array([1, None], dtype="Int64"),
            "when": pd.to_datetime(["2024-01-02", None]),
            "any": pd.Series([Decimal("NaN"), "x"], dtype=object),
        }
    )
    assert sent(frame) == [
        {"text": "a", "number": 1.5, "whole": 1, "when": "2024-01-02T00:00:00"},
        {"any": "x"},
    ]
    assert list(sent(frame, ["whole", "text"])[0]) == ["whole", "text"]


@pytest.mark.parametrize("nothing", [None, np.nan, pd.NA, pd.NaT, "", " \t\n", "\u3000", {}, [], {"a": None}])
@pytest.mark.parametrize("inputs", [["x"], "x", "About {x}"])
def test_a_row_with_nothing_to_send_is_skipped(nothing, inputs):
    """Missing cells, blank text and empty values alone are not worth a run, whatever the shape of the input."""
    assert sent(objects(nothing, "Acme"), inputs)[0] is None


def test_blank_text_beside_a_value_is_sent():
    """Blank text is left alone where something else is sent."""
    frame = pd.DataFrame({"a": [" ", " ", None], "b": ["x", None, " "]})
    assert sent(frame) == [{"a": " ", "b": "x"}, None, None]
    assert sent(frame, "{a}/{b}") == [" /x", None, None]


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        ("Acme", "Acme"),
        (5, "5"),
        (5.0, "5"),
        (True, "true"),
        (10**30, "1" + "0" * 30),
        (Decimal("1.50"), "1.50"),
        (pd.Timestamp("2024-01-02 10:00", tz="Europe/Berlin"), "2024-01-02T10:00:00+01:00"),
        ([1, 'a"b', None], '[1,"a\\"b",null]'),
    ],
)
def test_a_bare_cell_travels_as_text(cell, text):
    """A bare cell that is no dict travels as its text, and stands in a template in the same way."""
    assert sent(objects(cell), "x") == [text]
    assert sent(objects(cell), "<{x}>") == [f"<{text}>"]


def test_a_bare_dict_travels_as_an_object():
    """A dict is the input itself; so is a struct."""
    assert sent(objects({"a": 1, "b": None}), "x") == [{"a": 1}]
    assert sent(arrow([{"a": 1, "b": None}], pa.struct([("a", pa.int8()), ("b", pa.string())])), "x") == [{"a": 1}]


def test_a_template_is_filled_with_text():
    """Missing cells are empty text; braces and percent signs stand as they are."""
    frame = pd.DataFrame({"name": ["Acme", "Fö\n", None], "since": [1999.0, None, 2001]})
    assert sent(frame, "{{100%}} {name} ({since}) {name}") == [
        "{100%} Acme (1999) Acme",
        "{100%} Fö\n () Fö\n",
        "{100%}  (2001) ",
    ]


@pytest.mark.parametrize(
    "index",
    [
        pd.Index([1, 1, 1]),
        pd.Index([None, np.nan, "x"], dtype=object),
        pd.MultiIndex.from_tuples([("a", 1), ("a", 1), ("b", 2)]),
        pd.to_datetime(["2024-01-02"] * 3),
        pd.CategoricalIndex(["b", "a", "b"]),
        pd.IntervalIndex.from_breaks([0, 1, 2, 3]),
    ],
)
def test_any_index_works(index):
    """Rows are read by position, so an index may have any labels, any number of times."""
    frame = pd.DataFrame({"x": ["a", "b", "c"]}, index=index)
    assert sent(frame) == [{"x": "a"}, {"x": "b"}, {"x": "c"}]


def test_the_frame_is_not_changed():
    """The caller's frame is the same afterwards, nested cells included."""
    frame = pd.DataFrame({"x": [{"a": None, "b": [1, None]}], "y": [np.float32(0.1)]}, index=["r"])
    before = frame.copy(deep=True)
    sent(frame)
    pd.testing.assert_frame_equal(frame, before)
    assert frame["x"].iloc[0] == {"a": None, "b": [1, None]}


@pytest.mark.parametrize("rows", [1, 2, 7, 100])
def test_slices_are_the_whole(rows):
    """Rendering in slices of any size gives what rendering at once gives, for every storage."""
    kind = pa.map_(pa.string(), pa.list_(pa.struct([("a", pa.float32())])))
    cells = [[("k", [{"a": 0.1}, None])], None, [], [("l", None), ("m", [])], [("k", [{"a": None}])]]
    frame = pd.DataFrame(
        {
            "map": arrow(cells, kind)["x"],
            "fixed": arrow([[1, 2], None, [3, None], [5, 6], [7, 8]], pa.list_(pa.int8(), 2))["x"],
            "coded": arrow(["a", "b", None, "a", "c"], pa.dictionary(pa.int8(), pa.string()))["x"],
            "struct": arrow([{"a": 1}, None, {"a": None}, {"a": 4}, {"a": 5}], pa.struct([("a", pa.int8())]))["x"],
            "category": pd.Categorical(["x", None, "z", "x", "y"]),
            "sparse": pd.arrays.SparseArray([0, 1, 0, 0, 2]),
        }
    )
    selection = select_inputs(frame, None)
    parts = list(render_slices(frame, selection, rows=rows))
    assert [row for part in parts for row in part.sent] == render_inputs(frame, selection).sent
    assert all(len(part.sent) <= rows for part in parts)
    assert sent(frame)[0] == {
        "map": {"k": [{"a": 0.1}, None]},
        "fixed": [1, 2],
        "coded": "a",
        "struct": {"a": 1},
        "category": "x",
        "sparse": 0,
    }
    assert sent(frame)[1] == {"coded": "b", "sparse": 1}
    assert sent(frame)[3]["map"] == {"m": []}


def test_an_arrow_column_of_many_chunks_is_read_whole():
    """Chunks are joined, dictionaries with different values among them."""
    chunks = [pa.array(values).dictionary_encode() for values in (["a", "b"], [], ["c", None, "a"])]
    chunks[1] = chunks[1].cast(chunks[0].type)
    frame = pd.DataFrame({"x": pd.Series(pd.arrays.ArrowExtensionArray(pa.chunked_array(chunks)))})
    assert [row and row["x"] for row in sent(frame)] == ["a", "b", "c", None, "a"]


def test_runs_of_equal_values_are_read():
    """Arrow's run-end encoding is only another storage."""
    ends = pa.RunEndEncodedArray.from_arrays([2, 3], pa.array(["a", None]))
    frame = pd.DataFrame({"x": pd.Series(pd.arrays.ArrowExtensionArray(pa.chunked_array([ends])))})
    assert sent(frame, "x") == ["a", "a", None]


def test_no_rows_render_to_nothing():
    """A frame without rows has no inputs, and no error."""
    assert sent(pd.DataFrame({"x": pd.Series([], dtype="int64")})) == []
    assert sent(arrow([], pa.string())) == []


def test_a_selection_holds_for_another_frame():
    """A selection names labels, so it serves every frame that has them, in any order, and refuses others."""
    selection = select_inputs(pd.DataFrame(columns=["a", "b"]), ["a"])
    assert render_inputs(pd.DataFrame({"b": [1], "a": [2]}), selection).sent == [b'{"a":2}']
    with pytest.raises(UnknownColumnError):
        render_inputs(pd.DataFrame({"b": [1]}), selection)
    with pytest.raises(InputError, match="2 columns have that label"):
        render_inputs(pd.DataFrame([[1, 2]], columns=["a", "a"]), selection)


def test_names_are_escaped():
    """A name with quotes, braces or percent signs travels as it is."""
    name = 'a"b\\%s{}\n'
    assert sent(pd.DataFrame({name: [1]})) == [{name: 1}]


def test_a_single_tuple_label_of_a_multiindex_is_read():
    """Columns of a MultiIndex are found by their whole label."""
    frame = pd.DataFrame([[1, 2]], columns=pd.MultiIndex.from_tuples([("firm", "name"), ("id", "")]))
    assert sent(frame) == [{"firm/name": 1, "id": 2}]


REFUSED = [
    (b"x", "bytes cannot travel as JSON. Decode it to text"),
    (bytearray(b"x"), "bytearray cannot travel as JSON"),
    (np.bytes_(b"x"), "bytes_ cannot travel as JSON"),
    (np.timedelta64(1, "M"), "in years, months or no unit has no length"),
    ({1}, "a set has no order. Turn it into a list"),
    (frozenset({1}), "a frozenset has no order"),
    (1j, "type complex has no JSON"),
    (object(), "type object has no JSON"),
    (len, "builtin_function_or_method has no JSON"),
    (pd.Series([1]), "pandas.*Series has no JSON"),
    (float("inf"), "JSON has no infinity"),
    (Decimal("-Infinity"), "JSON has no infinity"),
    (np.float32("inf"), "JSON has no infinity"),
    ("\ud800", "lone surrogate"),
    (["a\udfff"], "lone surrogate"),
    ({"\ud800": 1}, "lone surrogate"),
    (10**5000, "thousands of digits"),
    ({1: "a", "1": "b"}, "both '1' as text"),
    ({None: "a"}, "missing value is the name"),
    ({(1, b"x"): "a"}, "bytes cannot travel"),
    ({"a": [{"b": b"x"}]}, "bytes cannot travel"),
]


@pytest.mark.parametrize(("cell", "message"), REFUSED, ids=[message for _, message in REFUSED])
@pytest.mark.parametrize("inputs", [["x"], "x", "About {x}"])
def test_a_cell_that_cannot_travel_is_named(cell, message, inputs):
    """The error names the column, the row by position and label, the type, and what to do."""
    frame = objects(*[1] * 11, cell, *[2] * 4).set_axis([f"r{row}" for row in range(16)])
    kind = type(cell).__name__
    with pytest.raises(InputError, match=rf"Column 'x', row 11 \(index 'r11', {kind}\): .*{message}"):
        render_inputs(frame, select_inputs(frame, inputs))


@pytest.mark.parametrize(
    ("frame", "row"),
    [
        (pd.DataFrame({"x": [1.0, 2.0, -np.inf]}), 2),
        (pd.DataFrame({"x": pd.array([1.0, np.inf, 2.0], dtype="Float32")}), 1),
        (pd.DataFrame({"x": [1j, 2j]}), 0),
        (arrow([None, b"x"], pa.binary()), 1),
        (arrow([[1.0], [float("inf")]], pa.list_(pa.float64())), 1),
        (arrow([{"a": None}, {"a": b"x"}], pa.struct([("a", pa.binary())])), 1),
        (arrow([[("a", 1)], [("a", 1), ("a", 2)]], pa.map_(pa.string(), pa.int8())), 1),
        (pd.DataFrame({"x": pd.Categorical(["a", "b", float("inf"), "a"])}), 2),
    ],
)
def test_a_typed_column_names_the_row_too(frame, row):
    """Converters work on columns, and still the first bad row is named."""
    with pytest.raises(InputError, match=rf"Column 'x', row {row} \(index {row}"):
        render_inputs(frame, select_inputs(frame, ["x"]))


def test_text_that_is_not_utf8_is_refused():
    """Arrow text with broken bytes is refused rather than mangled."""
    broken = pa.Array.from_buffers(
        pa.string(), 2, [None, pa.py_buffer(np.array([0, 1, 2], dtype="int32").tobytes()), pa.py_buffer(b"a\xff")]
    )
    frame = pd.DataFrame({"x": pd.Series(pd.arrays.ArrowExtensionArray(broken))})
    with pytest.raises(InputError, match=r"row 1 .*not UTF-8"):
        render_inputs(frame, select_inputs(frame, ["x"]))


def test_a_zone_nobody_knows_is_refused():
    """A moment in a zone that this machine has no rules for is refused, not sent in another."""
    frame = pd.DataFrame({"x": pd.Series(pd.arrays.ArrowExtensionArray(pa.array([0], pa.timestamp("s", "Mars/Base"))))})
    with pytest.raises(InputError, match="time zone 'Mars/Base' is unknown"):
        render_inputs(frame, select_inputs(frame, ["x"]))


def test_a_bad_cell_in_a_later_slice_is_named_by_its_row():
    """Positions are those of the frame, not of a slice."""
    frame = objects(*[1] * 10_050)
    frame.iloc[10_040, 0] = b"x"
    with pytest.raises(InputError, match="row 10040"):
        render_inputs(frame, select_inputs(frame, ["x"]))


def test_endless_nesting_is_refused():
    """A value that contains itself is refused, not followed."""
    knot: list[object] = []
    knot.append(knot)
    with pytest.raises(InputError, match="nested more than 100 deep"):
        sent(objects(knot))


def test_subclasses_are_what_they_extend():
    """A subclass of a plain type travels as that type."""

    class Text(str):
        pass

    class Whole(int):
        def __repr__(self):
            return "whole"

    class Day(dt.date):
        pass

    assert sent(objects(Text("a"), Whole(5), Day(2024, 1, 2), np.str_("b"))) == [
        {"x": "a"},
        {"x": 5},
        {"x": "2024-01-02"},
        {"x": "b"},
    ]

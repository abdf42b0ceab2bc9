"""Evidence: what a basis says, the columns that come of it, and the questions a frame answers about it."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parallel_frames._columns import (
    BASIS_COLUMN,
    citations,
    confidence,
    evidence_columns,
    evidence_label,
    evidence_struct,
    low_confidence,
    merge_entries,
    read_basis,
)
from parallel_frames.errors import InputError

BACKENDS = ["numpy_nullable", "pyarrow"]
ORDER = pd.CategoricalDtype(["low", "medium", "high"], ordered=True)
LEVELS = ["low", "medium", "high"]


def source(name):
    """Return a citation as the service sends it."""
    return {"url": f"https://{name}.example", "title": name.upper(), "excerpts": [f"{name} says so."]}


def an_entry(field, level=None, why=None, *sources):
    """Return an entry in its one shape."""
    return {"field": field, "reasoning": why, "citations": [source(name) for name in sources], "confidence": level}


def in_columns(bases, names, *, prefix="", dtype_backend="numpy_nullable", whole=False, index=None):
    """Return a frame that an enrichment with basis="columns" could have made."""
    built = evidence_columns(bases, names, dtype_backend=dtype_backend, whole=whole)
    frame = pd.DataFrame({name: [1] * len(bases) for name in names}) if prefix == "" else pd.DataFrame()
    for key, column in built.items():
        frame[prefix + evidence_label(*key)] = column
    return frame if index is None else frame.set_axis(index)


def in_struct(bases, names=(), *, prefix="", dtype_backend="numpy_nullable"):
    """Return a frame that an enrichment with basis="struct" could have made."""
    frame = pd.DataFrame({prefix + name: [1] * len(bases) for name in names}, index=range(len(bases)))
    return frame.assign(**{prefix + BASIS_COLUMN: evidence_struct(bases, dtype_backend=dtype_backend)})


class TestReadBasis:
    def test_every_entry_has_the_same_shape(self):
        """What the service leaves out is None or an empty list, what it adds is left out."""
        raw = json.dumps(
            [
                {"field": "capital", "reasoning": "Seen.", "citations": [source("a")], "confidence": "high", "x": 1},
                {"field": "rivers.0", "citations": [{"url": "https://b.example"}]},
            ]
        )
        assert read_basis(raw) == [
            {"field": "capital", "reasoning": "Seen.", "citations": [source("a")], "confidence": "high"},
            {
                "field": "rivers.0",
                "reasoning": None,
                "citations": [{"url": "https://b.example", "title": None, "excerpts": []}],
                "confidence": None,
            },
        ]

    @pytest.mark.parametrize(
        "raw", [None, "", "null", "{", "7", '{"field": "a"}', '[1, null, [], {"reasoning": "r"}, {"field": " "}]']
    )
    def test_anything_but_an_entry_is_left_out(self, raw):
        """Anything else in the place of a basis or an entry is skipped."""
        assert read_basis(raw) == []

    @pytest.mark.parametrize(
        ("word", "read"),
        [("low", "low"), ("HIGH", "high"), (" Medium ", "medium"), ("certain", None), ("", None), (3, None)],
    )
    def test_only_three_words_are_a_confidence(self, word, read):
        """Case and blanks do not matter; a word without a place in the order is no confidence."""
        (entry,) = read_basis(json.dumps([{"field": "a", "confidence": word}]))
        assert entry["confidence"] == read

    def test_parts_of_the_wrong_type_are_left_out(self):
        """A citation that is none, an excerpt that is no text and a reasoning that is a number leave no trace."""
        cited = ["https://a.example", {}, {"url": 7}, {"url": "u", "title": 1, "excerpts": ["e", 1, "", None]}]
        (entry,) = read_basis(json.dumps([{"field": "a", "reasoning": 3, "citations": cited}]))
        assert entry["reasoning"] is None
        assert entry["citations"] == [{"url": "u", "title": None, "excerpts": ["e"]}]
        assert read_basis('[{"field": "a", "citations": {"url": "u"}}]')[0]["citations"] == []

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from(["low", "a.0", "u", ""]),
            lambda part: (
                st.lists(part, max_size=3)
                | st.dictionaries(st.sampled_from(["field", "reasoning", "citations", "confidence", "url"]), part)
            ),
        )
    )
    def test_any_json_is_read(self, value):
        """Nothing raises, and whatever comes out has the one shape."""
        for entry in read_basis(json.dumps(value)):
            assert list(entry) == ["field", "reasoning", "citations", "confidence"]
            assert isinstance(entry["field"], str)
            assert entry["confidence"] in (None, *LEVELS)
            assert all(list(each) == ["url", "title", "excerpts"] for each in entry["citations"])


@pytest.mark.parametrize("backend", BACKENDS)
class TestColumns:
    def test_a_field_and_its_evidence(self, backend):
        """The field's own entry fills its three columns; each citation names its field."""
        bases = [[an_entry("capital", "high", "Two say so.", "a", "b")]]
        columns = evidence_columns(bases, ["capital"], dtype_backend=backend)
        assert {part: columns["capital", part].tolist() for _, part in columns} == {
            "confidence": ["high"],
            "reasoning": ["Two say so."],
            "citations": [[{**source("a"), "field": "capital"}, {**source("b"), "field": "capital"}]],
        }
        assert [column.name for column in columns.values()] == [
            "capital_confidence",
            "capital_reasoning",
            "capital_citations",
        ]

    def test_what_is_missing(self, backend):
        """Without an answer all is missing; without evidence the list of citations is empty and the rest missing."""
        columns = evidence_columns([None, []], ["a"], dtype_backend=backend)
        assert columns["a", "confidence"].isna().all()
        assert columns["a", "reasoning"].isna().all()
        none, empty = columns["a", "citations"].tolist()
        assert none is (None if backend == "numpy_nullable" else pd.NA)
        assert empty == []

    def test_elements_count_for_their_list(self, backend):
        """Without an entry of its own a list has its elements' lowest confidence and all their reasonings."""
        entries = [an_entry("p.0", "high", "A.", "a"), an_entry("p.1", "low", None, "b"), an_entry("p.2", None, "C.")]
        columns = evidence_columns([entries], ["p"], dtype_backend=backend)
        assert columns["p", "confidence"].tolist() == ["low"]
        assert columns["p", "reasoning"].tolist() == ["p.0: A.\np.2: C."]
        assert [each["field"] for each in columns["p", "citations"][0]] == ["p.0", "p.1"]

    def test_a_list_is_as_sure_as_its_least_sure_element(self, backend):
        """A list's own reasoning holds; of its confidence and its elements' the lowest counts."""
        entries = [an_entry("p.0", "low", "A.", "a"), an_entry("p", "high", "All.", "b")]
        columns = evidence_columns([entries], ["p"], dtype_backend=backend)
        assert columns["p", "confidence"].tolist() == ["low"]
        assert columns["p", "reasoning"].tolist() == ["All."]
        assert [each["field"] for each in columns["p", "citations"][0]] == ["p.0", "p"]

    def test_what_an_own_entry_lacks_comes_from_the_others(self, backend):
        """Of two own entries the lowest confidence counts, and the first reasoning."""
        entries = [an_entry("p", None, "All."), an_entry("p.0", "low", "A."), an_entry("p.1", "medium")]
        columns = evidence_columns([entries], ["p"], dtype_backend=backend)
        assert (columns["p", "confidence"][0], columns["p", "reasoning"][0]) == ("low", "All.")
        twice = [an_entry("p"), an_entry("p", "high", "First."), an_entry("p", "low", "Second.")]
        columns = evidence_columns([twice], ["p"], dtype_backend=backend)
        assert (columns["p", "confidence"][0], columns["p", "reasoning"][0]) == ("low", "First.")

    def test_an_entry_belongs_to_the_longest_name(self, backend):
        """Names may hold dots and begin alike; an entry for no column of the schema is in none."""
        entries = [an_entry("a.0", "low"), an_entry("a", "high"), an_entry("ab", "medium"), an_entry("z", "low")]
        columns = evidence_columns([entries], ["a", "a.0", "ab"], dtype_backend=backend)
        assert [columns[name, "confidence"][0] for name in ("a", "a.0", "ab")] == ["high", "low", "medium"]

    def test_a_whole_answer_has_all_evidence(self, backend):
        """An answer in one column has every entry, its parts named in the reasoning."""
        text = [an_entry("output", "high", "Read.", "a")]
        auto = [an_entry("summary", "medium", "S.", "b"), an_entry("relevance", "low", "R.")]
        columns = evidence_columns([text, auto], ["output"], dtype_backend=backend, whole=True)
        assert columns["output", "confidence"].tolist() == ["high", "low"]
        assert columns["output", "reasoning"].tolist() == ["Read.", "summary: S.\nrelevance: R."]
        assert [[each["field"] for each in cell] for cell in columns["output", "citations"]] == [
            ["output"],
            ["summary"],
        ]

    @pytest.mark.parametrize("bases", [[], [None], [[]], [[an_entry("a", "low", "r", "s")]]])
    def test_dtypes_do_not_depend_on_the_answers(self, backend, bases):
        """Empty or full, a confidence compares by its order and the other columns have their family's dtype."""
        columns = evidence_columns(bases, ["a"], dtype_backend=backend)
        full = evidence_columns([[an_entry("a", "low", "r", "s")]], ["a"], dtype_backend=backend)
        assert [column.dtype for column in columns.values()] == [column.dtype for column in full.values()]
        assert columns["a", "confidence"].dtype == ORDER
        arrow = [isinstance(column.dtype, pd.ArrowDtype) for column in columns.values()]
        assert arrow == [False, backend == "pyarrow", backend == "pyarrow"]
        struct = evidence_struct(bases, dtype_backend=backend)
        assert struct.dtype == evidence_struct([[an_entry("a", "low", "r", "s")]], dtype_backend=backend).dtype

    def test_answers_may_come_one_at_a_time(self, backend):
        """A generator gives the same columns as a list."""
        bases = [[an_entry("a", "low", "r", "s")], None, []]
        listed = evidence_columns(bases, ["a"], dtype_backend=backend)
        streamed = evidence_columns(iter(bases), ["a"], dtype_backend=backend)
        for key, column in listed.items():
            pd.testing.assert_series_equal(streamed[key], column)

    def test_the_struct_holds_the_entries(self, backend):
        """One cell has all entries of its answer; no answer is missing, no evidence is empty."""
        entries = [an_entry("a", "low", "r", "s"), an_entry("a.0")]
        one, none, empty = evidence_struct([entries, None, []], dtype_backend=backend).tolist()
        assert one == entries
        assert none is (None if backend == "numpy_nullable" else pd.NA)
        assert empty == []


OLD = [an_entry("a", "low", "old"), an_entry("a.0", "low"), an_entry("ab", "low", "old"), an_entry("b", "low")]
NEW = [an_entry("a", "high", "new"), an_entry("a.1", "high"), an_entry("ab", "high", "new")]


class TestMergeEntries:
    def test_replaced_fields_have_the_new_evidence(self):
        """An element's entry goes with its list, and a name that only begins alike is another field."""
        merged = merge_entries(OLD, NEW, {"a"})
        assert [(entry["field"], entry["confidence"]) for entry in merged] == [
            ("a", "high"),
            ("a.1", "high"),
            ("ab", "low"),
            ("b", "low"),
        ]

    def test_nothing_replaced_is_the_old_cell(self):
        """What was there stays as it was."""
        assert merge_entries(OLD, NEW, ()) == OLD

    @pytest.mark.parametrize("missing", [None, pd.NA, float("nan"), pd.NaT, "text", 7])
    def test_a_missing_cell_has_no_entries(self, missing):
        """A row that had no answer gets the new entries alone."""
        assert merge_entries(missing, NEW, ["ab"]) == [NEW[2]]

    def test_a_cell_may_have_been_in_a_file(self):
        """Parquet makes arrays of lists, at every depth."""
        old = an_entry("b", "high", "r", "s")
        old["citations"][0]["excerpts"] = np.array(["s says so."], dtype=object)
        cell = np.empty(1, dtype=object)
        cell[0] = {**old, "citations": np.array(old["citations"], dtype=object)}
        assert merge_entries(cell, [], ["a"]) == [an_entry("b", "high", "r", "s")]


BASES = [
    [an_entry("p", "high", "P.", "a"), an_entry("q", "low", "Q.", "b", "c")],
    None,
    [an_entry("p", "medium", "P.")],
    [an_entry("q.0", "high", "Q0.", "d"), an_entry("q.10", "medium", "Q10.", "e"), an_entry("q.2", "low", None, "f")],
]


class TestCitations:
    def test_one_line_for_each(self):
        """Lines follow the rows, then the frame's columns; each has its element, confidence and reasoning."""
        lines = citations(in_columns(BASES, ["p", "q"]))
        assert lines.columns.tolist() == [
            "row", "field", "element", "citation", "url", "title", "excerpts", "confidence", "reasoning",
        ]  # fmt: skip
        assert lines["row"].tolist() == [0, 0, 0, 3, 3, 3]
        assert lines["field"].tolist() == ["p", "q", "q", "q", "q", "q"]
        assert lines["citation"].tolist() == [0, 0, 1, 0, 1, 2]
        assert lines["element"].tolist() == [pd.NA, pd.NA, pd.NA, 0, 10, 2]
        assert lines["title"].tolist() == ["A", "B", "C", "D", "E", "F"]
        assert lines["url"].tolist()[0] == "https://a.example"
        assert lines["excerpts"].tolist()[0] == ["a says so."]
        assert lines["confidence"].tolist() == ["high", *["low"] * 5]
        assert lines["reasoning"].tolist()[:2] == ["P.", "Q."]

    def test_a_struct_keeps_what_each_entry_has(self):
        """In a struct the lines are the same, and an element has its own confidence and reasoning."""
        lines = citations(in_struct(BASES, ["p", "q"]))
        same = ["row", "field", "element", "citation", "url", "title", "excerpts"]
        pd.testing.assert_frame_equal(lines[same], citations(in_columns(BASES, ["p", "q"]))[same])
        assert lines["confidence"].tolist()[3:] == ["high", "medium", "low"]
        assert lines["reasoning"].isna().tolist()[3:] == [False, False, True]

    @pytest.mark.parametrize("make", [in_columns, in_struct])
    @pytest.mark.parametrize("bases", [[], [None], [[]], [[an_entry("p", "low", "r")]]])
    def test_none_at_all_is_an_empty_table_of_the_same_dtypes(self, make, bases):
        """A frame with evidence but no citations gives no lines, and the dtypes do not change."""
        lines = citations(make(bases, ["p"]))
        assert len(lines) == 0
        pd.testing.assert_series_equal(lines.dtypes, citations(make(BASES, ["p", "q"])).dtypes)
        assert lines.dtypes.astype(str).to_dict()["element"] == "Int64"

    def test_lines_join_their_rows(self):
        """The index has the rows' own labels, also where they are equal or of several levels."""
        twice = in_columns(BASES, ["p", "q"], index=pd.Index(["x", "y", "x", "x"], name="name"))
        lines = citations(twice)
        assert lines.index.tolist() == ["x"] * 6
        assert lines.index.name == "name"
        assert twice["q_citations"].iloc[lines["row"].iloc[-1]] is twice["q_citations"].iloc[3]
        levels = pd.MultiIndex.from_product([["u", "v"], [1, 2]], names=["l", "n"])
        lines = citations(in_columns(BASES, ["p", "q"], index=levels))
        assert lines.index.names == ["l", "n"]
        assert lines.index.tolist() == [("u", 1)] * 3 + [("v", 2)] * 3

    def test_a_sorted_and_filtered_frame(self):
        """Evidence goes where its row goes."""
        frame = in_columns(BASES, ["p", "q"]).iloc[[3, 0]]
        lines = citations(frame)
        assert lines["title"].tolist() == ["D", "E", "F", "A", "B", "C"]
        assert lines["row"].tolist() == [0, 0, 0, 1, 1, 1]
        assert lines.index.tolist() == [3, 3, 3, 0, 0, 0]

    def test_enrichments_with_prefixes(self):
        """Two enrichments of one frame keep their evidence apart, in either form, and elements keep their numbers."""
        frame = pd.concat(
            [in_columns(BASES, ["q"], prefix="old_"), in_struct(BASES, ["q"], prefix="new_"), in_columns(BASES, ["q"])],
            axis=1,
        )
        lines = citations(frame)
        assert lines["field"].drop_duplicates().tolist() == ["old_q", "q", "new_q", "new_p"]
        for field in ("old_q", "new_q", "q"):
            assert lines.loc[lines["field"] == field, "element"].tolist() == [pd.NA, pd.NA, 0, 10, 2]

    def test_enrichments_with_numbers(self):
        """Elements are known where if_exists="suffix" put a number behind the field, in either form."""
        columns = in_columns(BASES, ["q"]).rename(columns=lambda label: label.replace("q", "x_q_2", 1))
        struct = in_struct(BASES, ["q"]).rename(columns={"q": "x_q_2", BASIS_COLUMN: f"x_{BASIS_COLUMN}_2"})
        for frame in (columns, struct):
            lines = citations(frame)
            assert lines.loc[lines["field"] == "x_q_2", "element"].tolist() == [pd.NA, pd.NA, 0, 10, 2]

    def test_concatenated_frames(self):
        """Rows that were never enriched have no citations, and change no other row's."""
        frame = pd.concat([in_columns(BASES, ["p", "q"]), pd.DataFrame({"p": [1]})], ignore_index=True)
        pd.testing.assert_frame_equal(citations(frame), citations(in_columns(BASES, ["p", "q"])))
        frame = pd.concat([in_struct(BASES, ["p", "q"]), pd.DataFrame({"p": [1]})], ignore_index=True)
        assert citations(frame)["title"].tolist() == ["A", "B", "C", "D", "E", "F"]

    def test_other_columns_may_be_anything(self):
        """Numbers as labels, labels twice and labels of several levels do not matter."""
        frame = in_columns(BASES, ["p", "q"])
        for at, label in enumerate([0, "again", "again", None, ("p_confidence", "b"), ()]):
            frame.insert(at, label, 7, allow_duplicates=True)
        assert len(citations(frame)) == 6
        assert confidence(frame).columns.tolist() == ["p", "q"]

    @pytest.mark.parametrize("make", [in_columns, in_struct])
    def test_columns_of_several_levels(self, make):
        """A column is known by its first level where those below are blank."""
        frame = make(BASES, ["p", "q"])
        frame.columns = pd.MultiIndex.from_tuples([(label, "", "") for label in frame.columns])
        lines = citations(frame)
        assert lines["field"].tolist() == ["p", "q", "q", "q", "q", "q"]
        assert lines.columns.nlevels == 1
        assert confidence(frame).columns.tolist() == ["p", "q"]
        assert low_confidence(frame, fields=[("p", "", "")], at_most="medium").tolist() == [False, False, True, False]

    @pytest.mark.parametrize("make", [in_columns, in_struct])
    def test_labels_that_occur_twice_are_both_read(self, make):
        """Two columns of one name have each their own evidence, the first with the first."""
        other = [[an_entry("p", "low", "other", "z")], None, None, None]
        frame = pd.concat([make(BASES, ["p"]), make(other, ["p"])], axis=1)
        lines = citations(frame)
        assert lines.loc[lines["field"] == "p", "title"].tolist() == ["A", "Z"]
        assert confidence(frame)["p"].iloc[0].tolist() == ["high", "low"]
        assert low_confidence(frame, fields="p").tolist() == [True, False, False, False]

    def test_a_field_with_both_forms_is_read_once(self):
        """Where a field's evidence is both in columns and in entries, the columns are read."""
        frame = in_columns(BASES, ["p"]).join(in_struct(BASES))
        assert citations(frame)["field"].tolist() == ["p", "q", "q", "q", "q", "q"]

    def test_cells_of_the_wrong_kind_are_no_evidence(self):
        """A user's own columns that happen to be called so have no citations."""
        frame = pd.DataFrame({"x_confidence": [0.9, "low"], "x_reasoning": [1, "r"], "x_citations": ["a", [3, None]]})
        assert len(citations(frame)) == 0
        assert confidence(frame)["x"].isna().tolist() == [True, False]

    def test_an_answer_of_its_own_form_belongs_to_its_column(self):
        """Entries of an answer that is one column are its evidence: nothing else of the frame has their names."""
        auto = [[an_entry("summary", "low", "S.", "a"), an_entry("relevance.0", "high", "R.", "b")]]
        lines = citations(in_struct(auto, ["output"]))
        assert lines["field"].tolist() == ["output", "output"]
        assert lines["element"].isna().all()
        assert low_confidence(in_struct(auto, ["output"]), fields=["output"]).tolist() == [True]

    def test_a_dropped_column_keeps_its_name(self):
        """Evidence of a column that is no longer there keeps its name, an element's that of its list."""
        entries = [[an_entry("gone", "low", "G.", "a"), an_entry("list.1.name", "low", "L.", "b")]]
        lines = citations(in_struct(entries, ["p"]))
        assert lines["field"].tolist() == ["gone", "list"]
        assert lines["element"].tolist() == [pd.NA, 1]


class TestConfidence:
    @pytest.mark.parametrize("make", [in_columns, in_struct])
    @pytest.mark.parametrize("backend", BACKENDS)
    def test_one_column_a_field(self, make, backend):
        """Both forms give the same: ordered categories, missing where nothing is known, on the frame's own index."""
        frame = make(BASES, ["p", "q"], dtype_backend=backend).set_axis(["x", "y", "x", "z"])
        wide = confidence(frame)
        assert wide.index.tolist() == ["x", "y", "x", "z"]
        assert (wide.dtypes == ORDER).all()
        assert wide.astype(object).where(wide.notna(), None).to_dict("list") == {
            "p": ["high", None, "medium", None],
            "q": ["low", None, None, "low"],
        }
        assert (wide["q"] <= "medium").tolist() == [True, False, False, True]

    def test_elements_in_their_order(self):
        """Elements follow their list in numeric order; prefixes are kept."""
        wide = confidence(in_struct(BASES, ["p", "q"], prefix="x_"), elements=True)
        assert wide.columns.tolist() == ["x_p", "x_q", "x_q.0", "x_q.2", "x_q.10"]
        assert wide.iloc[3].tolist()[1:] == ["low", "high", "low", "medium"]
        assert (wide.dtypes == ORDER).all()

    def test_elements_need_the_struct(self):
        """Columns keep one confidence a field, and the message names the form that keeps the others."""
        with pytest.raises(InputError, match=r"`elements=True` needs `basis='struct'`.*not paid for again"):
            confidence(in_columns(BASES, ["p"]), elements=True)

    def test_no_rows(self):
        """An empty frame has its columns of evidence, and an empty struct names none."""
        assert confidence(in_columns([], ["p"])).dtypes.tolist() == [ORDER]
        assert confidence(in_struct([], ["p"])).shape == (0, 0)
        assert confidence(in_struct([None, None], ["p"])).shape == (2, 0)


@pytest.mark.parametrize("make", [in_columns, in_struct])
class TestLowConfidence:
    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            ({}, [True, False, False, True]),
            ({"at_most": "medium"}, [True, False, True, True]),
            ({"at_most": "high"}, [True, False, True, True]),
            ({"fields": ["p"]}, [False, False, False, False]),
            ({"fields": "p", "at_most": "medium"}, [False, False, True, False]),
            ({"fields": ("p", "q")}, [True, False, False, True]),
            ({"fields": pd.Index(["q"])}, [True, False, False, True]),
            ({"fields": []}, [False, False, False, False]),
        ],
    )
    def test_rows_of_low_confidence(self, make, options, expected):
        """Any of the fields is enough; a row without an answer, and one whose confidence is unknown, is False."""
        frame = make(BASES, ["p", "q"]).set_axis(["x", "y", "x", "z"])
        mask = low_confidence(frame, **options)
        assert mask.tolist() == expected
        assert mask.dtype == bool
        assert mask.index.tolist() == ["x", "y", "x", "z"]
        assert frame[mask].index.tolist() == [label for label, is_low in zip("xyxz", expected, strict=True) if is_low]

    @pytest.mark.parametrize("fields", ["population", ["p", "population"], [7], [("p", "q")], 7, [["p"]]])
    def test_unknown_fields_are_refused(self, make, fields):
        """A field without evidence is a mistake, and the message has those that there are."""
        with pytest.raises(InputError, match="of which the frame holds no evidence; it has some of 'p', 'q'"):
            low_confidence(make(BASES, ["p", "q"]), fields=fields)

    @pytest.mark.parametrize("at_most", ["none", "LOW", None, 1])
    def test_another_word_is_refused(self, make, at_most):
        """A confidence is one of three words."""
        with pytest.raises(InputError, match="is not a confidence: choose 'low', 'medium' or 'high'"):
            low_confidence(make(BASES, ["p", "q"]), at_most=at_most)

    def test_no_rows(self, make):
        """An empty frame gives an empty mask, and a field without an answer yet is not a mistake."""
        for bases in ([], [None]):
            mask = low_confidence(make(bases, ["p"]), fields=["p"])
            assert (mask.tolist(), mask.dtype) == ([False] * len(bases), np.dtype(bool))


@pytest.mark.parametrize("ask", [citations, confidence, low_confidence])
@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame(),
        pd.DataFrame({"p": [1], "p_confidence": ["low"], "p_reasoning": ["r"]}),
        pd.DataFrame({0: [1], "parallel_basis_x": [[]]}),
        pd.DataFrame([[1, 2, 3]], columns=pd.MultiIndex.from_product([["p"], ["p_confidence", "p_reasoning", "x"]])),
    ],
    ids=["nothing", "two of three", "other labels", "lower levels"],
)
def test_a_frame_without_evidence_says_how_to_get_some(ask, frame):
    """The three columns of a field, or a column of entries, is what it takes; the message says what to type."""
    with pytest.raises(InputError, match=r"has no evidence.*The same call with `basis=True` adds them"):
        ask(frame)


@pytest.mark.parametrize(
    ("frame", "name"),
    [
        (
            pd.DataFrame({"p_confidence": ["low"], "p_reasoning": ["r"], "p_citations": ["[{'url': 'https://a'}]"]}),
            "p_citations",
        ),
        (pd.DataFrame({"x_parallel_basis_2": ["[{'field': 'p'}]"]}), "x_parallel_basis_2"),
    ],
    ids=["columns", "struct"],
)
def test_evidence_that_csv_made_texts_of_is_refused(frame, name):
    """A list that has become a text is not an empty list; the message says how to keep or to get it."""
    with pytest.raises(InputError, match=rf"'{name}' holds texts .*Parquet"):
        citations(frame)

"""Where a frame holds evidence, known by its column labels alone, and what it says field by field.

It owns the recognition: ``x_confidence``, ``x_reasoning`` and ``x_citations`` together are the evidence of ``x``; a
label that ends in ``parallel_basis`` holds entries, and what precedes it is the prefix of their fields; a number
behind it (``parallel_basis_2``) stands behind the fields, too. Columns
stand behind a MultiIndex if the levels below their name are blank. Cells may have been through Parquet.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

import pandas as pd

from parallel_frames._columns._belong import element_of, evidence_label, heads_of, judge, owner_of
from parallel_frames._columns._entries import (
    BASIS_COLUMN,
    PARTS,
    Citation,
    Confidence,
    Entry,
    cells_of,
    confidence_or_none,
    listed,
    read_citation,
    read_entries,
    text_or_none,
)
from parallel_frames.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence

STRUCT: Final = re.compile(rf"(.*){BASIS_COLUMN}(_\d+)?\Z", re.DOTALL)
WHOLE: Final = "output"  # the one column of a text or of an answer whose form the service chose


class Source(NamedTuple):
    """A citation, the row and the list's element it is for, and what its evidence says."""

    row: int
    element: int | None
    citation: Citation
    confidence: Confidence | None
    reasoning: str | None


class Affixes(NamedTuple):
    """What stands before and behind the name of each field of one enrichment."""

    prefix: str
    number: str

    def around(self, name: str) -> str:
        """Return a field's column."""
        return f"{self.prefix}{name}{self.number}"

    def within(self, column: str) -> str | None:
        """Return the field of a column; None for one that is not between them."""
        fits = column.startswith(self.prefix) and column.endswith(self.number)
        name = column.removeprefix(self.prefix).removesuffix(self.number)
        return name if fits and self.around(name) == column else None


@dataclass(frozen=True, slots=True)
class InColumns:
    """The evidence of one field in three columns; one cell of each a row."""

    field: str
    words: pd.Series[Any]
    reasonings: pd.Series[Any]
    cited: pd.Series[Any]

    def confidences(self) -> list[Confidence | None]:
        """Return the field's confidence in each row."""
        return [confidence_or_none(word) for word in cells_of(self.words)]

    def sources(self) -> Iterator[Source]:
        """Give the field's citations, row by row."""
        elements: dict[str, int | None] = {}
        cells = zip(self.confidences(), cells_of(self.reasonings), cells_of(self.cited), strict=True)
        for row, (confidence, reasoning, cell) in enumerate(cells):
            for each in listed(cell):
                if (citation := read_citation(each)) is not None:
                    path = text_or_none(each.get("field")) or self.field
                    if path not in elements:
                        elements[path] = self._element(path)
                    yield Source(row, elements[path], citation, confidence, text_or_none(reasoning))

    def _element(self, path: str) -> int | None:
        """Return which element a path leads through; the field may have a prefix that the path has not."""
        name = next((head for head in heads_of(path) if self.field.endswith(head)), path)
        return element_of(path, name)


@dataclass(frozen=True, slots=True)
class InStruct:
    """The evidence of one field as entries, a list of them a row; their citations are as the cells have them."""

    name: str
    affixes: Affixes
    rows: Sequence[Sequence[Entry]]

    @property
    def field(self) -> str:
        """The column that the evidence is for."""
        return self.affixes.around(self.name)

    def confidences(self) -> list[Confidence | None]:
        """Return the field's confidence in each row."""
        return [judge(entries, self.name)[0] if entries else None for entries in self.rows]

    def sources(self) -> Iterator[Source]:
        """Give the field's citations, row by row."""
        for row, entries in enumerate(self.rows):
            for entry in entries:
                element = element_of(entry["field"], self.name)
                for each in entry["citations"]:
                    if (citation := read_citation(each)) is not None:
                        yield Source(row, element, citation, entry["confidence"], entry["reasoning"])

    def elements(self) -> dict[str, list[Confidence | None]]:
        """Return the confidence in each row of what lies below the field, such as ``products.0``, in order."""
        below: dict[str, list[Confidence | None]] = {}
        for row, entries in enumerate(self.rows):
            for entry in entries:
                if (path := entry["field"]) == self.name:
                    continue
                if path not in below:
                    below[path] = [None] * len(self.rows)
                below[path][row] = below[path][row] or entry["confidence"]
        paths = sorted(below, key=_by_number)
        return {f"{self.field}{path.removeprefix(self.name)}": below[path] for path in paths}


FieldEvidence: TypeAlias = InColumns | InStruct


@dataclass(frozen=True, slots=True)
class Found:
    """All the evidence of a frame.

    Attributes
    ----------
    fields : sequence of InColumns or InStruct
        One per field, in the frame's order. A field that has both is read from its columns.
    columns : tuple of str
        The names of the frame's columns.
    affixes : tuple of Affixes
        One per column of entries.
    """

    fields: Sequence[FieldEvidence]
    columns: tuple[str, ...]
    affixes: tuple[Affixes, ...]

    @property
    def nested(self) -> list[str]:
        """The columns that hold lists."""
        cited = [evidence_label(each.field, "citations") for each in self.fields if isinstance(each, InColumns)]
        return [*cited, *(affixes.around(BASIS_COLUMN) for affixes in self.affixes)]

    def names(self) -> frozenset[str]:
        """Return the fields that may have evidence: a column of entries names only those that some row has some of."""
        possible = {name for name in self.columns for affixes in self.affixes if affixes.within(name) is not None}
        return frozenset(possible.union(evidence.field for evidence in self.fields))


def find_evidence(df: pd.DataFrame) -> Found:
    """Return the evidence a frame holds.

    Raises
    ------
    InputError
        It has no column of evidence at all, or is no frame.
    """
    check_frame(df)
    places = _places(df)
    fields: list[FieldEvidence] = list(_in_columns(df, places))
    seen = {each.field for each in fields}
    matches = [(match, at) for name in places if (match := STRUCT.match(name)) for at in places[name]]
    structs = [(Affixes(match[1], match[2] or ""), at) for match, at in matches]
    for affixes, at in structs:
        found = _in_struct(cells_of(df.iloc[:, at]), affixes, columns=tuple(places))
        fields += [each for each in found if each.field not in seen]
    if not fields and not structs:
        raise InputError(
            "The frame holds no evidence: no columns such as capital_confidence, capital_reasoning and "
            f"capital_citations, and none whose name ends in {BASIS_COLUMN}. Enrich with basis='columns' or "
            "basis='struct'; from a checkpoint that has the answers already, that costs nothing."
        )
    return Found(fields, tuple(places), tuple(affixes for affixes, _ in structs))


def check_frame(df: object) -> None:
    """Refuse what is no DataFrame."""
    if not isinstance(df, pd.DataFrame):
        raise InputError(f"expected an enriched DataFrame, got a {type(df).__name__}.")


def evidence_of(df: pd.DataFrame) -> dict[str, tuple[str, ...]]:
    """Return for each field whose three columns are all there the names of these three."""
    names = _places(df)
    fields = [name.removesuffix("_confidence") for name in names if name.endswith("_confidence")]
    parts = {field: tuple(evidence_label(field, part) for part in PARTS) for field in fields}
    return {field: labels for field, labels in parts.items() if all(label in names for label in labels)}


def refuse_texts(df: pd.DataFrame, name: str) -> None:
    """Refuse a column whose lists have become texts, as CSV makes of them.

    Raises
    ------
    InputError
        It holds a text that was a list; other texts are the user's own, and no evidence.
    """
    for at in _places(df).get(name, ()):
        if any(isinstance(cell, str) and cell.startswith("[") for cell in cells_of(df.iloc[:, at])):
            raise InputError(
                f"The column {name!r} holds texts where lists of evidence should be: CSV makes texts of lists. "
                "Keep the frame as Parquet, or drop its evidence and enrich again with basis=: what a checkpoint holds "
                "is not paid for again."
            )


def name_of(label: Hashable) -> str | None:
    """Return the name of a column that is known by one text, whatever blank levels lie below it."""
    if isinstance(label, tuple):
        return name_of(label[0]) if label and all(below == "" for below in label[1:]) else None
    return label if isinstance(label, str) else None


def _places(df: pd.DataFrame) -> dict[str, list[int]]:
    """Return for each name the positions of its columns."""
    places: dict[str, list[int]] = {}
    for at, label in enumerate(df.columns.tolist()):
        if (name := name_of(label)) is not None:
            places.setdefault(name, []).append(at)
    return places


def _in_columns(df: pd.DataFrame, places: Mapping[str, Sequence[int]]) -> Iterator[InColumns]:
    """Give the fields whose three columns are all there; of labels that occur twice, the first with the first."""
    for name in places:
        field = name.removesuffix("_confidence")
        labels = [evidence_label(field, part) for part in PARTS]
        if field != name and all(label in places for label in labels):
            for three in zip(*(places[label] for label in labels), strict=False):
                yield InColumns(field, *(df.iloc[:, at] for at in three))


def _in_struct(cells: Sequence[object], affixes: Affixes, *, columns: Collection[str]) -> list[InStruct]:
    """Return the fields that a column of entries has evidence for, in the order of their columns."""
    rows = [read_entries(cell, deep=False) for cell in cells]
    paths = dict.fromkeys(entry["field"] for entries in rows for entry in entries)
    owners = _owners(list(paths), [name for each in columns if (name := affixes.within(each)) is not None])
    shared: dict[str, list[Sequence[Entry]]] = {}
    for row, entries in enumerate(rows):
        found: dict[str, list[Entry]] = {}
        for entry in entries:
            found.setdefault(owners[entry["field"]], []).append(entry)
        for name, own in found.items():
            if name not in shared:
                shared[name] = [()] * len(rows)
            shared[name][row] = own
    order = {name: at for at, name in enumerate(columns)}
    names = sorted(shared, key=lambda name: order.get(affixes.around(name), len(order)))
    return [InStruct(name, affixes, shared[name]) for name in names]


def _owners(paths: Sequence[str], names: Sequence[str]) -> dict[str, str]:
    """Return the field of each path: a column of the frame if there is one, else what its list must be called."""
    known = frozenset(names)
    found = {path: owner_of(path, known) for path in paths}
    if WHOLE in known and not any(found.values()):
        return dict.fromkeys(paths, WHOLE)
    return {path: owner or _before_number(path) for path, owner in found.items()}


def _before_number(path: str) -> str:
    steps = path.split(".")
    first = next((at for at, step in enumerate(steps) if at and step.isdecimal()), len(steps))
    return ".".join(steps[:first])


def _by_number(path: str) -> list[tuple[Any, ...]]:
    """Order paths as people count: products.2 comes before products.10."""
    return [(0, int(step), "") if step.isdecimal() and step.isascii() else (1, 0, step) for step in path.split(".")]

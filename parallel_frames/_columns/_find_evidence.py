"""Evidence in any frame, found again by the labels of its columns alone.

``x_confidence``, ``x_reasoning`` and ``x_citations`` together are the evidence of ``x``; a label that ends in
``parallel_basis`` (and perhaps a number) holds entries, and its affixes are those of their fields. The frame may have
been sorted, filtered, concatenated or written to Parquet since; a label may have blank levels below it. Owns the
recognition, and the reading field by field; what is asked of it is in `_citations`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from parallel_frames._columns._cells import cells_of
from parallel_frames._columns._evidence import (
    Citation,
    Confidence,
    Entry,
    combine_entries,
    confidence_or_none,
    element_of,
    group_entries,
    items_of,
    owner_of,
    prefixes_of,
    read_citation,
    read_entries,
    text_or_none,
)
from parallel_frames._columns._layout import BASIS_COLUMN, PARTS, Affixes, evidence_label, name_of
from parallel_frames._foreign import check_enriched
from parallel_frames.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import pandas as pd

WHOLE: Final = "output"  # the one column of a text, or of an answer whose form the service chose


class Source(NamedTuple):
    """A citation, the row and the list element that it supports, and what its evidence says."""

    row: int
    element: int | None
    citation: Citation
    confidence: Confidence | None
    reasoning: str | None


@dataclass(frozen=True, slots=True)
class ColumnEvidence:
    """The evidence of one field in three columns, with one cell of each per row."""

    field: str
    levels: pd.Series[Any]
    reasons: pd.Series[Any]
    citations: pd.Series[Any]

    def confidences(self) -> list[Confidence | None]:
        return [confidence_or_none(level) for level in cells_of(self.levels)]

    def reasonings(self) -> list[str | None]:
        return [text_or_none(cell) for cell in cells_of(self.reasons)]

    def sources(self) -> Iterator[Source]:
        elements: dict[str, int | None] = {}
        cells = zip(self.confidences(), self.reasonings(), cells_of(self.citations), strict=True)
        for row, (confidence, reasoning, cell) in enumerate(cells):
            for item in items_of(cell):
                if (citation := read_citation(item)) is not None:
                    path = text_or_none(item.get("field")) or self.field
                    if path not in elements:
                        elements[path] = self._element(path)
                    yield Source(row, elements[path], citation, confidence, reasoning)

    def by_element(self) -> list[dict[int | None, Confidence | None]]:
        """Return each row's confidence by list element; three columns know that of the field alone, under None."""
        return [{None: level} for level in self.confidences()]

    def _element(self, path: str) -> int | None:
        # The path has the schema's name, without the affixes of the field.
        name = next((prefix for prefix in prefixes_of(path) if Affixes.of(self.field, prefix) is not None), path)
        return element_of(path, name)


@dataclass(frozen=True, slots=True)
class StructEvidence:
    """The evidence of one field as entries, a list of them per row; their citations are still to be read."""

    name: str
    affixes: Affixes
    rows: Sequence[Sequence[Entry]]

    @property
    def field(self) -> str:
        return self.affixes.around(self.name)

    def confidences(self) -> list[Confidence | None]:
        return [combine_entries(entries, self.name)[0] if entries else None for entries in self.rows]

    def reasonings(self) -> list[str | None]:
        return [combine_entries(entries, self.name)[1] if entries else None for entries in self.rows]

    def sources(self) -> Iterator[Source]:
        for row, entries in enumerate(self.rows):
            for entry in entries:
                element = element_of(entry["field"], self.name)
                for item in entry["citations"]:
                    if (citation := read_citation(item)) is not None:
                        yield Source(row, element, citation, entry["confidence"], entry["reasoning"])

    def by_element(self) -> list[dict[int | None, Confidence | None]]:
        """Return each row's confidence by list element; that of the field's own entries is under None."""
        rows: list[dict[int | None, Confidence | None]] = []
        for entries in self.rows:
            owned = group_entries(entries, lambda path: element_of(path, self.name))
            rows.append({element: combine_entries(own, self.name)[0] for element, own in owned.items()})
        return rows

    def elements(self) -> dict[str, list[Confidence | None]]:
        """Return the confidence in each row of everything below the field, such as ``products.0``, in order."""
        below: dict[str, list[Confidence | None]] = {}
        for row, entries in enumerate(self.rows):
            for entry in entries:
                if (path := entry["field"]) == self.name:
                    continue
                if path not in below:
                    below[path] = [None] * len(self.rows)
                below[path][row] = below[path][row] or entry["confidence"]
        return {f"{self.field}{path.removeprefix(self.name)}": below[path] for path in sorted(below, key=_by_number)}


FieldEvidence: TypeAlias = ColumnEvidence | StructEvidence


@dataclass(frozen=True, slots=True)
class Found:
    """All evidence of a frame."""

    fields: Sequence[FieldEvidence]  # in the frame's order; a field that has both kinds is read from its columns
    labels: tuple[str, ...]  # of the frame's columns
    structs: Sequence[tuple[Affixes, pd.Series[Any]]]  # the columns of entries

    def lists(self) -> Iterator[tuple[str, pd.Series[Any]]]:
        for evidence in self.fields:
            if isinstance(evidence, ColumnEvidence):
                yield evidence_label(evidence.field, "citations"), evidence.citations
        for affixes, column in self.structs:
            yield affixes.around(BASIS_COLUMN), column

    def names(self) -> frozenset[str]:
        """Return the fields that may have evidence: a column of entries names only those that have some in a row."""
        possible = {name for name in self.labels for affixes, _ in self.structs if affixes.within(name) is not None}
        return frozenset(possible.union(evidence.field for evidence in self.fields))


def find_evidence(df: pd.DataFrame) -> Found:
    """Return the evidence in a frame."""
    check_enriched(df)
    positions = _positions(df)
    fields: list[FieldEvidence] = []
    for field, labels in _complete(positions).items():
        # Of labels that occur twice, the first goes with the first.
        triples = zip(*(positions[label] for label in labels), strict=False)
        fields += [ColumnEvidence(field, *(df.iloc[:, at] for at in triple)) for triple in triples]
    in_columns = {evidence.field for evidence in fields}
    structs = [
        (affixes, df.iloc[:, at])
        for name in positions
        if (affixes := Affixes.of(name, BASIS_COLUMN)) is not None
        for at in positions[name]
    ]
    for affixes, column in structs:
        found = _read_struct(cells_of(column), affixes, labels=list(positions))
        fields += [evidence for evidence in found if evidence.field not in in_columns]
    if not fields and not structs:
        raise InputError(
            "The frame has no evidence: neither columns for the confidence, reasoning and citations of its fields, nor "
            f"one whose name ends in {BASIS_COLUMN}. The same call with `basis=True` adds them, as in "
            "`df.parallel.enrich(schema, basis=True)`: answers that its checkpoint has already cost nothing."
        )
    return Found(fields, tuple(positions), structs)


def evidence_of(df: pd.DataFrame) -> dict[str, tuple[str, ...]]:
    """Return for each field whose three columns are all in the frame the names of these three."""
    return _complete(_positions(df))


def _positions(df: pd.DataFrame) -> dict[str, list[int]]:
    positions: dict[str, list[int]] = {}
    for at, label in enumerate(df.columns.tolist()):
        if (name := name_of(label)) is not None:
            positions.setdefault(name, []).append(at)
    return positions


def _complete(names: Mapping[str, object]) -> dict[str, tuple[str, ...]]:
    """Return the fields of which all three labels are among the names, with these labels."""
    ending = evidence_label("", "confidence")
    fields = [name.removesuffix(ending) for name in names if name.endswith(ending)]
    labels = {field: tuple(evidence_label(field, part) for part in PARTS) for field in fields}
    return {field: three for field, three in labels.items() if names.keys() >= set(three)}


def _read_struct(cells: Sequence[object], affixes: Affixes, *, labels: Sequence[str]) -> list[StructEvidence]:
    """Return the fields that a column of entries has evidence for, in the order of their columns."""
    rows = [read_entries(cell, deep=False) for cell in cells]
    paths = dict.fromkeys(entry["field"] for entries in rows for entry in entries)
    owners = _owners(paths, [name for label in labels if (name := affixes.within(label)) is not None])
    by_field: dict[str, list[Sequence[Entry]]] = {}
    for row, entries in enumerate(rows):
        for name, own in group_entries(entries, owners.__getitem__).items():
            if name not in by_field:
                by_field[name] = [()] * len(rows)
            by_field[name][row] = own
    order = {label: at for at, label in enumerate(labels)}
    names = sorted(by_field, key=lambda name: order.get(affixes.around(name), len(order)))
    return [StructEvidence(name, affixes, by_field[name]) for name in names]


def _owners(paths: Iterable[str], names: Sequence[str]) -> Mapping[str, str]:
    """Return the field of each path: a column of the frame if there is one, else the path up to its first index."""
    known = frozenset(names)
    found = {path: owner_of(path, known) for path in paths}
    if WHOLE in known and not any(found.values()):
        return dict.fromkeys(found, WHOLE)
    return {path: owner or _before_index(path) for path, owner in found.items()}


def _before_index(path: str) -> str:
    steps = path.split(".")
    first = next((at for at, step in enumerate(steps) if at and step.isdecimal()), len(steps))
    return ".".join(steps[:first])


def _by_number(path: str) -> list[tuple[int, int, str]]:
    """Return a sort key by which products.2 comes before products.10."""
    return [(0, int(step), "") if step.isdecimal() and step.isascii() else (1, 0, step) for step in path.split(".")]

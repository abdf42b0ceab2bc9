"""A comparison of processors as text and as HTML: the same table, made once, with a column for each processor.

It decides nothing: what is right or the same, and how often, comes with the comparison.
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pandas as pd

from parallel_frames._columns import CONFIDENCE
from parallel_frames._format import (
    format_count,
    format_dollars,
    format_duration,
    format_share,
    mark_simulated,
    shorten,
)
from parallel_frames._model import STATUSES
from parallel_frames._ui._html import render
from parallel_frames._ui._text import align_facts
from parallel_frames._ui._values import (
    MISSING,
    cell_text,
    cell_values,
    cut_to_difference,
    index_name,
    label_text,
    text_width,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from parallel_frames._job._comparison import Comparison

MAX_DIFFERENCES: Final = 50
MAX_DIFFERENCES_IN_TEXT: Final = 10
MAX_WIDTH: Final = 28
REFERENCE: Final = "reference"
MARKS: Final = {True: "✓", False: "✗", None: ""}


class Cell(NamedTuple):
    """A cell: its text, and the share that it is about, if it is about one."""

    text: str
    share: float | None = None


class Part(NamedTuple):
    """Lines of the table under a title: what each is about, and a cell for each processor."""

    title: str
    lines: list[tuple[str, list[Cell]]]


def _share(share: float, *, of: float | None = None) -> Cell:
    """Return a share, and of how many rows or answers it is."""
    if math.isnan(share) or of == 0:
        return Cell(MISSING)
    counts = "" if of is None else f" ({round(share * of):,} of {of:,.0f})"
    return Cell(format_share(share, 1) + counts, share)


def _per_thousand(amount: float) -> Cell:
    # A row costs fractions of a cent, which are hard to compare.
    return Cell(MISSING if math.isnan(amount) else format_dollars(round(amount * 1_000, 2)))


def _headline(comparison: Comparison) -> str:
    names = comparison.processors.index
    rows = format_count(int(comparison.processors["rows"].iloc[0]), "row")
    fields = format_count(comparison.frame["field"].nunique(), "field")
    cost = format_dollars(comparison.cost, extra=comparison.extra_cost)
    return f"{rows}, {fields}, {format_count(len(names), 'processor')} · {cost}"


def _heads(comparison: Comparison) -> list[str]:
    names = list(map(str, comparison.processors.index))
    return [f"{name} ({REFERENCE})" if name == comparison.reference and len(names) > 1 else name for name in names]


def _parts(comparison: Comparison) -> list[Part]:
    """Return the table: which processor is good enough, first over all fields, then by field and by confidence."""
    by_field: dict[str, dict[str, dict[str, Any]]] = {}
    lines: list[dict[Any, Any]] = comparison.frame.to_dict("records")
    for line in lines:
        by_field.setdefault(line["field"], {})[line["processor"]] = line
    same = f"the same as {comparison.reference}"
    parts = [_overall(comparison, lines, same=same)]

    def part(title: str, make: Callable[[dict[str, Any]], Cell], **options: Any) -> None:
        found = [(name, _cells(comparison, of_field, make, **options)) for name, of_field in by_field.items()]
        parts.append(Part(title, [line for line in found if {cell.text for cell in line[1]} != {MISSING}]))

    if comparison.has_truth:
        part("Correct, by field", lambda line: _share(line["accuracy"], of=line["known"]))
    if len(comparison.processors) > 1:
        part(f"{same.capitalize()}, by field", lambda line: _share(line["agreement"]), of_reference=REFERENCE)
    if any(line["null"] or line["answered"] < line["rows"] for line in lines):
        part(f"Rows with an answer, by field, of {lines[0]['rows']:,}", _answered)
    return [*parts, *_by_confidence(comparison, same=same)]


def _cells(
    comparison: Comparison,
    lines: Mapping[Any, dict[Any, Any]],
    make: Callable[[dict[Any, Any]], Cell],
    *,
    of_reference: str | None = None,
) -> list[Cell]:
    """Return a cell for each processor, made of what is known of it; the reference has no share of its own answers."""
    is_reference = {name: of_reference is not None and name == comparison.reference for name in lines}
    return [
        Cell(str(of_reference)) if is_reference.get(name) else make(lines[name]) for name in comparison.processors.index
    ]


def _overall(comparison: Comparison, lines: Sequence[dict[Any, Any]], *, same: str) -> Part:
    totals: dict[Any, dict[Any, Any]] = comparison.processors.to_dict("index")
    for line in lines:
        total = totals[line["processor"]]
        for name in ("answered", "known"):
            total[name] = total.get(name, 0) + line[name]
        total["cells"] = total.get("cells", 0) + line["rows"]
    statuses = [name for name in STATUSES if any(total.get(name) for total in totals.values())]
    makers: dict[str, Callable[[dict[Any, Any]], Cell]] = {
        "correct": lambda total: _share(total["accuracy"], of=total["known"]),
        same: lambda total: _share(total["agreement"]),
        "answered": lambda total: _share(total["answered"] / total["cells"], of=total["cells"]),
        "cost per 1,000 rows": lambda total: _per_thousand(total["cost_per_row"]),
        "cost per 1,000 correct answers": lambda total: _per_thousand(total["cost_per_right"]),
        "median time of a run": lambda total: _seconds(total["seconds"]),
        **{f"rows {name}": partial(_number, name) for name in statuses},
    }
    if not comparison.has_truth:
        del makers["correct"], makers["cost per 1,000 correct answers"]
    if len(totals) < 2:
        del makers[same]
    found = [
        (name, _cells(comparison, totals, make, of_reference=REFERENCE if name == same else None))
        for name, make in makers.items()
    ]
    return Part("All fields", found)


def _number(name: str, total: dict[Any, Any]) -> Cell:
    return Cell(f"{total[name]:,}")


def _seconds(seconds: float) -> Cell:
    return Cell(MISSING if math.isnan(seconds) else format_duration(seconds))


def _answered(line: dict[str, Any]) -> Cell:
    null = f" ({line['null']:,} null)" if line["null"] else ""
    return Cell(f"{line['answered']:,}{null}", line["answered"] / line["rows"])


def _by_confidence(comparison: Comparison, *, same: str) -> list[Part]:
    """Return how often answers of each confidence are correct; where nothing is known, the same as the reference's."""
    is_known = comparison.has_truth
    levels: dict[str, dict[str, dict[str, float]]] = {
        level: {name: {"good": 0, "rows": 0} for name in comparison.processors.index} for level in CONFIDENCE
    }
    for line in comparison.calibration.to_dict("records"):
        if line["rows"] and (line["measure"] == "right") == is_known:
            sums = levels[line["confidence"]][line["processor"]]
            sums["good"] += line["share"] * line["rows"]
            sums["rows"] += line["rows"]
    if not any(sums["rows"] for of_level in levels.values() for sums in of_level.values()):
        return []

    def share(sums: dict[Any, Any]) -> Cell:
        return _share(sums["good"] / sums["rows"], of=sums["rows"]) if sums["rows"] else Cell(MISSING)

    lines = [
        (level, _cells(comparison, of_level, share, of_reference=None if is_known else REFERENCE))
        for level, of_level in levels.items()
    ]
    return [Part(f"{'Correct' if is_known else same.capitalize()}, by confidence", lines)]


def _facts(comparison: Comparison) -> list[tuple[str, str]]:
    """Return how to read the table."""
    reference = comparison.reference
    return [
        *([("correct", "has the known value; a row without an answer is not correct")] if comparison.has_truth else []),
        *([(REFERENCE, f"{reference}, the most expensive; compared where both have an answer, and both may be wrong")]
          if len(comparison.processors) > 1 else []),
        ("prices", f"of {comparison.prices_as_of}; failed rows are not billed"),
        *([("answers", "kept: the call for all rows does not pay for them again")] if comparison.checkpoint else []),
    ]  # fmt: skip


class Difference(NamedTuple):
    """A row and a field in which answers differ: of each processor the value, whether it is right, and why not."""

    label: str
    field: str
    truth: dict[str, Any] | None
    answers: list[dict[str, Any]]


def _differences(comparison: Comparison, most: int) -> list[Difference]:
    """Return the first rows and fields in which processors differ, from one another or from what is known."""
    number = len(comparison.processors)
    cells = comparison.cells[comparison.cells["differs"]].iloc[: most * number]
    lines = []
    for start in range(0, len(cells), number):
        of_line: list[dict[Any, Any]] = cells.iloc[start : start + number].to_dict("records")
        first = of_line[0]
        is_known = not pd.isna(first["right"])
        answers = [
            {
                **cell_values(_shown(cell)),
                "line": cell_text(_shown(cell)),
                "why": cell["error"],
                "confidence": cell["confidence"] if cell["answered"] and isinstance(cell["confidence"], str) else None,
                "mark": MARKS[bool(cell["right"]) if is_known else None],
            }
            for cell in of_line
        ]
        truth = {**cell_values(first["truth"]), "line": cell_text(first["truth"])} if is_known else None
        lines.append(Difference(label_text(cells.index[start]), first["field"], truth, answers))
    return lines


def _shown(cell: dict[Any, Any]) -> Any:
    """Return an answer, a null that is one as such, or else what became of the row."""
    if not cell["answered"]:
        return f"({cell['status']})"
    return "null" if cell["value"] is None else cell["value"]


def _differences_title(comparison: Comparison, shown: int) -> str:
    number = len(comparison.processors)
    differs, cells = int(comparison.cells["differs"].sum()) // number, len(comparison.cells) // number
    first = f", the first {shown:,}" if shown < differs else ""
    return f"Where they differ: {differs:,} of {format_count(cells, 'cell')} (rows × fields){first}"


def _differences_heads(comparison: Comparison) -> list[str]:
    known = ["known value"] if comparison.has_truth else []
    return [index_name(comparison.cells.index), "field", *known, *map(str, comparison.processors.index)]


def comparison_text(comparison: Comparison) -> str:
    """Return a comparison as lines."""
    lines = [["", *_heads(comparison)]]
    titles: dict[int, str] = {}
    for title, of_part in _parts(comparison):
        titles[len(lines)] = title
        lines += [[name, *(cell.text for cell in cells)] for name, cells in of_part]
    aligned = _aligned(lines, right=range(1, len(lines[0])))
    texts = [mark_simulated(_headline(comparison), simulated=comparison.simulated)]
    for at, line in enumerate(aligned):
        texts += [titles[at]] if at in titles else []
        texts.append(line)
    if differences := _differences(comparison, MAX_DIFFERENCES_IN_TEXT):
        texts.append(_differences_title(comparison, len(differences)))
        known = [[line.truth["line"] if line.truth else ""] if comparison.has_truth else [] for line in differences]
        texts += _aligned([
            _differences_heads(comparison),
            *([line.label, line.field, *truth, *_answers_text(line.answers)]
              for line, truth in zip(differences, known, strict=True)),
        ])  # fmt: skip
    return "\n".join([*texts, *align_facts(_facts(comparison))])


def _answers_text(answers: list[dict[str, Any]]) -> list[str]:
    """Return answers in the width of a column, with what is right and their confidence."""
    texts = cut_to_difference([answer["line"] for answer in answers], MAX_WIDTH - 11)
    levels = [f"({answer['confidence']})" if answer["confidence"] else "" for answer in answers]
    marks = [answer["mark"] for answer in answers]
    return [" ".join(filter(None, parts)) for parts in zip(marks, texts, levels, strict=True)]


def _aligned(lines: Sequence[Sequence[str]], *, right: range = range(0)) -> list[str]:
    """Return lines of cells with their columns below one another, those at `right` by their ends."""
    lines = [[shorten(text, MAX_WIDTH) if at > 0 and text else text for at, text in enumerate(line)] for line in lines]
    widths = [max(map(text_width, column)) for column in zip(*lines, strict=True)]
    texts = []
    for line in lines:
        pads = [" " * (width - text_width(text)) for text, width in zip(line, widths, strict=True)]
        cells = [
            pad + text if at in right else text + pad for at, (text, pad) in enumerate(zip(line, pads, strict=True))
        ]
        texts.append(f"  {'  '.join(cells)}".rstrip())
    return texts


def comparison_html(comparison: Comparison) -> str:
    """Return a comparison as a fragment."""
    differences = _differences(comparison, MAX_DIFFERENCES)
    return render(
        "comparison.html",
        headline=_headline(comparison),
        simulated=comparison.simulated,
        heads=_heads(comparison),
        parts=_parts(comparison),
        facts=_facts(comparison),
        has_truth=comparison.has_truth,
        differences=differences,
        differences_title=_differences_title(comparison, len(differences)),
        differences_heads=_differences_heads(comparison),
    )

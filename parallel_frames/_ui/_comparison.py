"""A comparison of processors as text and as HTML: the same tables, made once.

It decides nothing: what is right or the same, and how often, comes with the comparison.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pandas as pd

from parallel_frames._columns import CONFIDENCE
from parallel_frames._format import (
    format_count,
    format_dollars,
    format_duration,
    format_label,
    format_share,
    mark_simulated,
    shorten,
)
from parallel_frames._model import STATUSES
from parallel_frames._ui._html import MAX_CELL, MAX_LABEL, cell_text, render
from parallel_frames._ui._text import align_facts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from parallel_frames._job._comparison import Comparison

MAX_DIFFERENCES: Final = 50
NOTHING: Final = "–"


class Cell(NamedTuple):
    """A cell: its text, and the share that it is about, if it is about one."""

    text: str
    share: float | None = None


class Table(NamedTuple):
    """A table: its title, the names of its columns, and for each processor the cells."""

    title: str
    heads: Sequence[str]
    lines: Sequence[tuple[str, Sequence[Cell]]]


def _share(share: float, *, of: int | None = None) -> Cell:
    """Return a share, and of how many rows or answers it is."""
    if math.isnan(share):
        return Cell(NOTHING)
    return Cell(format_share(share, 1) + ("" if of is None else f" of {of:,}"), share)


def _dollars(amount: float) -> Cell:
    return Cell(NOTHING if math.isnan(amount) else format_dollars(amount))


def _headline(comparison: Comparison) -> str:
    names = comparison.processors.index
    rows = format_count(int(comparison.processors["rows"].iloc[0]), "row")
    fields = format_count(comparison.frame["field"].nunique(), "field")
    cost = format_dollars(comparison.cost, extra=comparison.extra_cost)
    return f"{rows}, {fields}, {format_count(len(names), 'processor')} · {cost}"


def _processors(comparison: Comparison) -> Table:
    known = int(comparison.frame.drop_duplicates("field")["known"].sum())
    has_others = len(comparison.processors) > 1
    heads = ["processor", *(["right"] if known else []), *([f"= {comparison.reference}"] if has_others else [])]
    heads += ["median time", "a row", *(["a right answer"] if known else [])]
    lines = []
    for name, line in comparison.processors.iterrows():
        statuses = [f"{line[status]:,.0f} {status}" for status in STATUSES if line.get(status)]
        cells = [
            *([_share(line["accuracy"], of=known)] if known else []),
            *([_share(line["agreement"])] if has_others else []),
            Cell(NOTHING if math.isnan(line["seconds"]) else format_duration(line["seconds"])),
            _dollars(line["cost_per_row"]),
            *([_dollars(line["cost_per_right"])] if known else []),
            Cell(", ".join(statuses)),
        ]
        lines.append((str(name), cells))
    return Table("All fields", [*heads, "rows"], lines)


def _field(comparison: Comparison, name: str) -> Table:
    of_field = _records(comparison.frame, name)
    levels = {(line["processor"], line["confidence"]): line for line in _records(comparison.calibration, name)}
    agreement: dict[Any, dict[Any, float]] = comparison.agreement.loc[[name]].droplevel("field").to_dict("index")
    names = [line["processor"] for line in of_field]
    rows, known = of_field[0]["rows"], of_field[0]["known"]
    others = names if len(names) > 1 else []
    lines = []
    for line in of_field:
        processor = line["processor"]
        at_levels = [levels.get((processor, level)) for level in CONFIDENCE]
        cells = [
            *([_share(line["accuracy"], of=known)] if known else []),
            *(Cell(NOTHING) if at is None else _share(at["share"], of=at["rows"]) for at in at_levels),
            *(Cell(NOTHING) if other == processor else _share(agreement[processor][other]) for other in others),
            Cell(f"{line['null']:,}"),
            Cell(f"{line['rows'] - line['answered']:,}"),
        ]
        lines.append((processor, cells))
    heads = ["processor", *(["right"] if known else []), *CONFIDENCE, *(f"= {other}" for other in others)]
    title = f"{name}: known for {known:,} of {format_count(rows, 'row')}" if known else f"{name}: no known values"
    return Table(title, [*heads, "null", "no answer"], lines)


def _records(table: pd.DataFrame, name: str) -> list[dict[Any, Any]]:
    """Return the lines of a field."""
    return table[table["field"] == name].to_dict("records")


def _tables(comparison: Comparison) -> list[Table]:
    return [_processors(comparison), *(_field(comparison, name) for name in comparison.frame["field"].unique())]


def _facts(comparison: Comparison) -> list[tuple[str, str]]:
    """Return what the columns mean, and how to read on."""
    reference, number = comparison.reference, len(comparison.processors)
    measures = set(comparison.calibration["measure"])
    same = f"the same as that of {reference}, the most expensive processor"
    ways = [*(["right"] if "right" in measures else []), *([same] if measures - {"right"} else [])]
    known = f"how often an answer of this confidence is {', or where no value is known, '.join(ways)}; of how many"
    agreement = f"how often an answer is the same as that of {reference}, of the rows that both have an answer for"
    differs, cells = int(comparison.cells["differs"].sum()) // number, len(comparison.cells) // number
    return [
        ("low to high", known),
        *([(f"= {reference}", agreement)] if number > 1 else []),
        ("they differ", f"in {differs:,} of {format_count(cells, 'cell')}; .differences has them side by side"),
        ("prices", f"of {comparison.prices_as_of}; failed rows are not billed"),
        *([("answers", "kept: the call for all rows does not pay for them again")] if comparison.checkpoint else []),
    ]


def comparison_text(comparison: Comparison) -> str:
    """Return a comparison as lines."""
    lines = [mark_simulated(_headline(comparison), simulated=comparison.simulated)]
    for table in _tables(comparison):
        cells = [[name, *(cell.text for cell in line)] for name, line in table.lines]
        widths = [max(map(len, column)) for column in zip(table.heads, *cells, strict=True)]
        lines.append(table.title)
        for texts in (table.heads, *cells):
            padded = [
                text.ljust(width) if at in (0, _left(table)) else text.rjust(width)
                for at, (text, width) in enumerate(zip(texts, widths, strict=True))
            ]
            lines.append(f"  {'  '.join(padded)}".rstrip())
    return "\n".join([*lines, *align_facts(_facts(comparison))])


def _left(table: Table) -> int:
    """Return which column holds words besides the first."""
    return len(table.heads) - 1 if table.heads[-1] == "rows" else 0


def comparison_html(comparison: Comparison) -> str:
    """Return a comparison as a fragment."""
    differences, total = _differences(comparison)
    return render(
        "comparison.html",
        headline=_headline(comparison),
        simulated=comparison.simulated,
        tables=_tables(comparison),
        facts=_facts(comparison),
        names=[*(["truth"] if comparison.has_truth else []), *comparison.processors.index],
        differences=differences,
        total=total,
    )


def _differences(comparison: Comparison) -> tuple[list[dict[str, Any]], int]:
    """Return the first cells that differ as the template takes them, and how many there are."""
    number = len(comparison.processors)
    cells = comparison.cells[comparison.cells["differs"]]
    total = len(cells) // number
    lines = []
    for start in range(0, min(total, MAX_DIFFERENCES) * number, number):
        of_line: list[dict[Any, Any]] = cells.iloc[start : start + number].to_dict("records")
        first = of_line[0]
        is_known = not pd.isna(first["right"])
        answers = [
            {
                "text": _cell_text(cell["value"]) if cell["answered"] else cell["status"],
                "why": cell["error"],
                "confidence": cell["confidence"] if cell["answered"] and isinstance(cell["confidence"], str) else "",
                "is_right": bool(cell["right"]) if is_known else None,
            }
            for cell in of_line
        ]
        label = shorten(format_label(cells.index[start]), MAX_LABEL)
        truth = _cell_text(first["truth"]) if is_known else ""
        lines.append({"label": label, "field": first["field"], "truth": truth, "answers": answers})
    return lines, total


def _cell_text(value: Any) -> str:
    text = cell_text(value)
    return shorten(text, MAX_CELL) if len(text) > MAX_CELL else text

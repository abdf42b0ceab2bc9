"""`Diff`: what changed between two enrichments, as frames, as text and as a page; it knows not how that was found."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from parallel_frames._format import format_count, mark_simulated, shorten
from parallel_frames._ui._html import MAX_ROWS, render, write_page
from parallel_frames._ui._values import MAX_LABEL, cell_text, cell_values, cut_to_difference

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import pandas as pd

SHOWN: Final = 20
CHANGES: Final = ("changed", "new", "lost")
WIDTH: Final = 36
MAX_TEXT: Final = 60
# What a person sees of a change, and so what makes two of them one line.
SEEN: Final = ("name", "field", "before", "after", "confidence_before", "confidence_after", "sources_before",
               "sources_after")  # fmt: skip


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Diff:
    """What changed between two enrichments of the same rows; `parallel_frames.diff` makes it.

    A notebook shows it; `save` writes a page to hand on.

    Attributes
    ----------
    frame : pandas.DataFrame
        A line per cell that changed, under the label of its row: ``name`` (what names the row), ``field``, ``change``
        (``changed``; ``new`` where there was no value before; ``lost`` where there is none now), ``before``,
        ``after``, ``confidence_before``, ``confidence_after``, ``sources_before``, ``sources_after`` (lists of
        addresses), and the positions ``row_before`` and ``row_after``.
    counts : pandas.DataFrame
        A line per field: how many of its cells are ``changed``, ``new``, ``lost`` and the ``same``.
    rows : dict of str to int
        Rows that are ``compared``, of these ``changed``, and those that ``came`` and ``went``.
    came, went : pandas.DataFrame
        The rows that only the newer one has, and those that only the older one has.

    Examples
    --------
    >>> import pandas as pd, parallel_frames as pf
    >>> df = pd.DataFrame({"company": ["Acme", "Globex"]})
    >>> with pf.offline({"Acme": {"ceo": "A"}, "Globex": {"ceo": "B"}}, latency=0):
    ...     before = df.parallel.enrich({"ceo": "the CEO"})
    >>> with pf.offline({"Acme": {"ceo": "A"}, "Globex": {"ceo": "C"}}, latency=0):
    ...     after = df.parallel.enrich({"ceo": "the CEO"})
    >>> pf.diff(before, after).frame[["name", "field", "before", "after"]]
         name field before after
    1  Globex   ceo      B     C
    """

    frame: pd.DataFrame
    counts: pd.DataFrame
    rows: dict[str, int]
    came: pd.DataFrame
    went: pd.DataFrame
    _names: tuple[str, str]  # of what was compared
    _rows_by: str  # what names a row
    _came_names: list[str]  # of the rows
    _went_names: list[str]
    _simulated: bool

    def __len__(self) -> int:
        """How many cells changed."""
        return len(self.frame)

    def __repr__(self) -> str:
        lines = [mark_simulated(self._headline(), simulated=self._simulated), f"  {self._summary()}"]
        lines.append(f"  {'field':<{WIDTH}}" + "".join(f"{name:>9}" for name in self.counts.columns))
        for field, numbers in zip(self.counts.index, self.counts.to_numpy().tolist(), strict=True):
            lines.append(f"  {shorten(field, WIDTH - 2):<{WIDTH}}" + "".join(f"{number:>9,}" for number in numbers))
        shown = 0
        for change, rows in islice(self._lines(), SHOWN):
            name = shorten(change["name"], 30) + (f" × {rows:,} rows" if rows > 1 else "")
            lines.append(f"  {name} · {change['field']}: {_sides_text(change)}")
            shown += rows
        if len(self) > shown:
            lines.append(f"  and {format_count(len(self) - shown, 'more change')}, in .frame")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return render("diff.html", **self._values(SHOWN))

    def to_html(self, path: str | os.PathLike[str], *, title: str | None = None) -> Path:
        """Write a page of its own, with both values of each cell, their confidence and their sources.

        Parameters
        ----------
        path : path
            The file; one that is there is replaced, whole.
        title : str, optional
            Default: "What changed", and between what.

        Returns
        -------
        pathlib.Path
            The file.

        Raises
        ------
        InputError
            The folder does not exist, or cannot be written.

        Notes
        -----
        The page holds the first 1,000 changes and, of each row, what names it. It needs no network and no scripts.

        Examples
        --------
        >>> import tempfile, pandas as pd, parallel_frames as pf
        >>> with pf.offline(latency=0):
        ...     out = pd.DataFrame({"company": ["Acme"]}).parallel.enrich({"founded": int})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     page = pf.diff(out, out).to_html(f"{folder}/diff.html", title="November")
        ...     "<title>November</title>" in page.read_text(encoding="utf-8")
        True
        """
        return write_page(
            path, "diff_page.html", title=title or f"What changed: {' → '.join(self._names)}", **self._values(MAX_ROWS)
        )

    def to_dict(self) -> dict[str, Any]:
        """Return ``rows``, ``counts`` by field, ``changes`` (a dict per line of `frame`), ``came``, ``went`` (names).

        Examples
        --------
        >>> import pandas as pd, parallel_frames as pf
        >>> with pf.offline(latency=0):
        ...     out = pd.DataFrame({"company": ["Acme"]}).parallel.enrich({"founded": int})
        >>> pf.diff(out, out).to_dict()["counts"]
        {'founded': {'changed': 0, 'new': 0, 'lost': 0, 'same': 1}}
        """
        changes = self.frame.astype(object)
        return {
            "rows": self.rows,
            "counts": self.counts.to_dict("index"),
            "changes": changes.where(changes.notna(), None).to_dict("records"),
            "came": self._came_names,
            "went": self._went_names,
        }

    def _headline(self) -> str:
        return f"{self.rows['changed']:,} of {format_count(self.rows['compared'], 'row')} changed"

    def _summary(self) -> str:
        came = f"{format_count(self.rows['came'], 'row')} came"
        return f"{self._names[0]} → {self._names[1]} · {came} · {self.rows['went']:,} went"

    def _lines(self) -> Iterator[tuple[dict[Any, Any], int]]:
        """Yield each change as a person reads it, and of how many rows: those of equal inputs are one line."""
        changes = self.frame.to_dict("records")
        texts = [repr([change[name] for name in SEEN]) for change in changes]
        rows = Counter(texts)
        for text, change in zip(texts, changes, strict=True):
            if number := rows.pop(text, 0):
                yield change, number

    def _values(self, limit: int) -> dict[str, Any]:
        """Return it as the templates take it."""
        fields = list(self.counts.index)
        changes = [
            {
                "name": shorten(change["name"], MAX_LABEL),
                "rows": rows,
                "field": change["field"],
                "number": fields.index(change["field"]),
                "change": change["change"],
                "sides": [_side_values(change, side) for side in ("before", "after")],
            }
            for change, rows in islice(self._lines(), limit)
        ]
        shown: Counter[str] = Counter()
        for change in changes:
            shown[change["field"]] += change["rows"]
        return {
            "headline": self._headline(),
            "summary": self._summary(),
            "simulated": self._simulated,
            "counts": [
                (field, *numbers) for field, numbers in zip(fields, self.counts.to_numpy().tolist(), strict=True)
            ],
            "rows_by": self._rows_by,
            "changes": changes,
            "shown": shown.total(),
            "fields": [(number, field, shown[field]) for number, field in enumerate(fields) if shown[field]],
            "left_out": len(self) - shown.total(),
            "came": self._came_names[:limit],
            "went": self._went_names[:limit],
            "rows": self.rows,
        }


def _sides_text(change: Mapping[Any, Any]) -> str:
    """Return both values on one line, long ones from shortly before where they differ."""
    texts = cut_to_difference([cell_text(change[side]) for side in ("before", "after")], MAX_TEXT)
    levels = [change[f"confidence_{side}"] for side in ("before", "after")]
    levels = [f" ({level})" if isinstance(level, str) else "" for level in levels]
    return " → ".join(map("".join, zip(texts, levels, strict=True)))


def _side_values(change: Mapping[Any, Any], side: str) -> dict[str, Any]:
    level = change[f"confidence_{side}"]
    sources = change[f"sources_{side}"]
    return {**cell_values(change[side]), "confidence": level if isinstance(level, str) else None, "sources": sources}


def name_row(cells: list[Any]) -> str:
    """Return what names a row, from the cells that tell it from others."""
    text = ", ".join(map(cell_text, cells))
    return shorten(text, MAX_LABEL) if len(text) > MAX_LABEL else text

"""What changed between two enrichments of the same rows: frames, files and checkpoints, cell by cell.

It owns which row is which, which columns are compared, and when two values are the same to a person. What a diff looks
like is for `_ui` to know.
"""

from __future__ import annotations

import ast
import datetime as dt
import os
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import orjson
import pandas as pd

from parallel_frames._checkpoint import Checkpoint, job_folders, place_of
from parallel_frames._columns import cells_of, error_label, evidence_of, find_evidence, name_of, provenance_names
from parallel_frames._columns._cells import as_python, is_equal
from parallel_frames._columns._evidence import as_categories
from parallel_frames._columns._typed import STRING
from parallel_frames._file_formats import format_at
from parallel_frames._files._prepare import pandas_of
from parallel_frames._files._source import open_source
from parallel_frames._foreign import ENRICHED, is_arrow_frame, kind_of, name_of_kind, table_of
from parallel_frames._format import format_code, format_label, format_option
from parallel_frames._inputs import make_keys, render_inputs, select_inputs
from parallel_frames._job._attrs import enrichments, is_status
from parallel_frames._job._stored import read_job
from parallel_frames._ui import CHANGES, Diff, index_name, label_text, name_row
from parallel_frames.errors import InputError, UnknownColumnError, user_facing

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    from parallel_frames._columns import Confidence
    from parallel_frames._columns._find_evidence import FieldEvidence
    from parallel_frames._inputs import Selection
    from parallel_frames._job._attrs import EnrichmentFacts
    from parallel_frames._job._options import ArrowStream

    Comparable: TypeAlias = pd.DataFrame | ArrowStream | str | os.PathLike[str] | Checkpoint
    Ids: TypeAlias = list[Any]  # what tells each row from others; None for one that is not compared


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two that are compared.

    Attributes
    ----------
    name : str
        What a person calls it.
    enriched : list of EnrichmentFacts
        What the frame's attrs say of its enrichments.
    job : str or None
        The hash of a checkpoint's job; None for a frame or a file.
    keys : list of str
        The keys of a checkpoint's inputs, one a row.
    fields : tuple of label
        The columns of a checkpoint's answers.
    simulated : bool
        Whether answers are a simulator's.
    """

    name: str
    frame: pd.DataFrame
    enriched: list[EnrichmentFacts] = field(default_factory=list)
    job: str | None = None
    keys: Sequence[str] = ()
    fields: tuple[Hashable, ...] = ()
    simulated: bool = False


@user_facing
def diff(
    before: Comparable, after: Comparable | None = None, *, on: Hashable | Sequence[Hashable] | None = None
) -> Diff:
    """Compare two enrichments of the same rows: which cells changed, from what to what, with what confidence.

    Parameters
    ----------
    before, after : pandas.DataFrame, frame of another library, path or Checkpoint
        Enriched frames in memory; Parquet, CSV or other files of them; or checkpoints: two of the same job, or one with
        a frame or a file. One checkpoint alone compares, of each input that was asked again, its newest answer with the
        one before.
    on : label or list of labels, optional
        The columns that say which row is which; rows that are equal in them must have equal answers. Default: what
        each row sent, where the attrs of both frames know it and it is the same; equal rows in their order. Else the
        labels of the index, where it has labels of its own.

    Returns
    -------
    Diff
        Its ``frame`` has a line per changed cell, ``counts`` a line per field, ``came`` and ``went`` the rows that only
        one of the two has.

    Raises
    ------
    InputError
        It cannot be known which row is which, two rows have the same name in `on` or in the index, there is no column
        to compare, or a file or checkpoint is not there.

    Notes
    -----
    Compared are the columns that an enrichment made and both have. Where no attrs name them (CSV), it is every column
    that both have, without `on`, statuses, evidence and provenance.

    Values are compared as they are, where `compare` leaves out case and punctuation: numbers whatever their dtype,
    missing with missing, a date with its midnight, lists in order, and the text of a CSV file with what it says.
    Nothing is sent, and nothing changed.

    Examples
    --------
    >>> import pandas as pd, parallel_frames as pf
    >>> df = pd.DataFrame({"company": ["Acme", "Globex"]})
    >>> with pf.offline({"Acme": {"ceo": "A"}, "Globex": {"ceo": "B"}}, latency=0):
    ...     october = df.parallel.enrich({"ceo": "the CEO"})
    >>> with pf.offline({"Acme": {"ceo": "A"}, "Globex": {"ceo": "C"}}, latency=0):
    ...     november = df.parallel.enrich({"ceo": "the CEO"})
    >>> pf.diff(october, november)
    1 of 2 rows changed · SIMULATED
      before → after · 0 rows came · 0 went
      field                                 changed      new     lost     same
      ceo                                         1        0        0        1
      Globex · ceo: B → C
    """
    sides = _two_answers(before) if after is None else (_open(before, "before"), _open(after, "after"))
    ids, names, rows_by = _match(*sides, on)
    fields = _fields(*sides, () if on is None else _as_list(on, sides[0].frame))
    old_rows, new_rows = map(_positions, ids)
    pairs = [(old_rows[known], row) for known, row in new_rows.items() if known in old_rows]
    lines, counts = _compare(sides, fields, pairs)
    came = [row for known, row in new_rows.items() if known not in old_rows]
    went = [row for known, row in old_rows.items() if known not in new_rows]
    return Diff(
        _frame_of(lines, sides[1].frame, names[1]),
        pd.DataFrame.from_dict(counts, orient="index", columns=[*CHANGES, "same"]).rename_axis("field"),
        {"compared": len(pairs), "changed": len({line["row_after"] for line in lines}),
         "came": len(came), "went": len(went)},
        sides[1].frame.iloc[came],
        sides[0].frame.iloc[went],
        (sides[0].name, sides[1].name),
        rows_by,
        [names[1][row] for row in came],
        [names[0][row] for row in went],
        any(side.simulated for side in sides),
    )  # fmt: skip


# What is compared


def _open(given: object, name: str) -> Side:
    if isinstance(given, pd.DataFrame):
        return _side(name, given)
    if isinstance(given, Checkpoint):
        return _of_checkpoint(given)
    if is_arrow_frame(given):
        return _side(name, pandas_of(table_of(given)))
    if not isinstance(given, str | os.PathLike):
        code = ENRICHED.get(kind_of(given))
        advice = "an enriched frame in memory, the path of a file or a checkpoint, or a Checkpoint"
        raise InputError(f"`{name}` is {name_of_kind(given)}: pass {advice if code is None else format_code(code)}.")
    path = os.fspath(given)
    if not _is_file(path) and job_folders(place_of(path)):
        return _of_checkpoint(Checkpoint(path))
    source = open_source(path)
    return _side(Path(path).name, pandas_of(source.table()))


def _is_file(path: str | os.PathLike[str]) -> bool:
    return format_at(os.fspath(path)) is not None and not Path(path).is_dir()


def _side(name: str, frame: pd.DataFrame) -> Side:
    attrs = frame.attrs.get("parallel")
    return Side(name, frame, enrichments(frame), simulated=isinstance(attrs, dict) and bool(attrs.get("simulated")))


def _one_folder(given: Checkpoint) -> Any:
    folders = job_folders(given._place)
    if len(folders) != 1:
        found = ", ".join(folder.name for folder in folders)
        raise InputError(f"{given.path} holds {len(folders)} jobs ({found}): pass the folder of one of them.")
    return folders[0]


def _of_checkpoint(given: Checkpoint) -> Side:
    job = read_job(_one_folder(given))
    frame, layout = job.frame(job.answers)
    return Side(
        Path(str(given.path)).name, frame, [], job.header["job_hash"], list(job.rows), layout.outputs, job.is_simulated
    )


def _two_answers(given: object) -> tuple[Side, Side]:
    """Return the answers of one checkpoint before and after each input was last asked again."""
    if isinstance(given, str | os.PathLike) and not _is_file(given):
        given = Checkpoint(given)
    if not isinstance(given, Checkpoint):
        raise InputError(
            "`after` is missing: only a checkpoint holds earlier answers, and can be compared with itself."
        )
    job = read_job(_one_folder(given))
    earlier = job.answers_before()
    asked_again = {entry for entry, _ in earlier.outcomes()}
    name = Path(str(given.path)).name

    def side(answers: Any, when: str) -> Side:
        frame, layout = job.frame(answers)
        rows = sorted(asked_again)
        keys = list(job.rows)
        return Side(f"{name} {when}", frame.iloc[rows], [], job.header["job_hash"], [keys[row] for row in rows],
                    layout.outputs, job.is_simulated)  # fmt: skip

    return side(earlier, "before"), side(job.answers, "now")


# Which row is which


def _match(before: Side, after: Side, on: Any) -> tuple[tuple[Ids, Ids], tuple[list[str], list[str]], str]:
    """Return what tells each row of both from the others, what a person calls it, and what these names are of."""
    sides = (before, after)
    if on is not None:
        for side in sides:
            _check_columns(side, on)
        what = format_option("on", on)
        fields = _fields(*sides, _as_list(on, before.frame))
        ids = [_distinct(s, s.frame[_as_list(on, s.frame)], _labels(fields, s, sides), what=what) for s in sides]
        names = [_names(side.frame, _as_list(on, side.frame)) for side in sides]
        rows_by = name_row(_as_list(on, after.frame))
    elif before.job is not None or after.job is not None:
        ids, names, rows_by = _by_keys(before, after)
    elif (selections := _same_selection(before, after)) is not None:
        ids = [_numbered(render_inputs(s.frame, of).canonical) for s, of in zip(sides, selections, strict=True)]
        names = [_names(s.frame, of.labels) for s, of in zip(sides, selections, strict=True)]
        rows_by = name_row([*selections[1].labels])
    else:
        fields = _fields(*sides, ())
        ids = [_by_index(side, _labels(fields, side, sides)) for side in sides]
        names = [list(map(label_text, side.frame.index)) for side in sides]
        rows_by = index_name(after.frame.index)
    if len(before.frame) and len(after.frame) and set(ids[0]).isdisjoint(ids[1]):
        raise InputError(
            f"No row of {before.name} is in {after.name}, so there is nothing to compare. Pass `on=...`, "
            f"{'columns' if on is None else 'other columns'} that identify the rows; a number is not its text."
        )
    return (ids[0], ids[1]), (names[0], names[1]), rows_by


def _as_list(on: Any, frame: pd.DataFrame) -> list[Hashable]:
    if isinstance(on, str) or not isinstance(on, Iterable) or (isinstance(on, tuple) and on in frame.columns):
        return [on]
    return list(on)


def _check_columns(side: Side, on: Any) -> None:
    if side.job is not None:
        raise InputError(
            f"`on` is for frames and files: {side.name} is a checkpoint, which knows no columns, only what was sent. "
            "Leave it out, or compare the frames."
        )
    for label in _as_list(on, side.frame):
        if label not in side.frame.columns:
            raise UnknownColumnError(label, side.frame.columns, where="`on`")


def _labels(
    fields: Sequence[tuple[str, Hashable, Hashable]], side: Side, sides: tuple[Side, Side]
) -> Sequence[Hashable]:
    """Return the columns that are compared of one side."""
    return [labels[side is sides[1]] for _, *labels in fields]


def _by_index(side: Side, answers: Sequence[Hashable]) -> Ids:
    if isinstance(side.frame.index, pd.RangeIndex) and side.frame.index.name is None:
        raise InputError(
            f"Which row of {side.name} is which is not known: its index only numbers them, and what rows sent is not "
            "in the attrs of both (concat, merge and CSV lose them), or is not the same. Pass `on=...`, columns that "
            "identify the rows."
        )
    index = side.frame.index
    levels = {str(level): index.get_level_values(level) for level in range(index.nlevels)}
    return _distinct(side, pd.DataFrame(levels), answers, what="the index")


def _distinct(side: Side, cells: pd.DataFrame, answers: Sequence[Hashable], *, what: str) -> Ids:
    """Return what identifies each row; rows that share it must have the same answers, and are told apart by number."""
    found = render_inputs(cells, select_inputs(cells)).canonical
    if None in found:
        row = found.index(None)
        raise InputError(f"Row {row} of {side.name} has no value in {what}, so which row it is cannot be known.")
    first: dict[Any, int] = {}
    twins = [(one, row) for row, known in enumerate(found) if (one := first.setdefault(known, row)) != row]
    for label in answers if twins else ():
        values = list(map(as_python, cells_of(side.frame[label])))
        for one, row in twins:
            if _change(values[one], values[row]) is not None:
                raise InputError(
                    f"{what} is the same in the rows {one} and {row} of {side.name} "
                    f"({name_row(cells.iloc[row].tolist())}), and {format_label(label)} is not, so which row is which "
                    "cannot be known. Pass `on=...` with columns that "
                    "distinguish them."
                )
    return _numbered(found)


def _same_selection(before: Side, after: Side) -> tuple[Selection, Selection] | None:
    """Return what the rows of both sent, of the newest enrichments that sent the same, best without answers."""
    pairs = [
        (older.selection, newer.selection)
        for newer in reversed(after.enriched)
        for older in reversed(before.enriched)
        if older.selection is not None and newer.selection is not None
        if _shape(older.selection) == _shape(newer.selection)
    ]
    answers = {label for side in (before, after) for facts in side.enriched for label in facts.outputs.values()}
    # A row whose answer changed would be another row, if it was known by that answer.
    return min(pairs, key=lambda pair: not answers.isdisjoint([*pair[0].labels, *pair[1].labels]), default=None)


def _shape(selection: Selection) -> tuple[Any, ...]:
    names = selection.names if selection.parts else tuple(sorted(selection.names))
    return selection.form, names, selection.parts


def _by_keys(before: Side, after: Side) -> tuple[list[Ids], list[list[str]], str]:
    """Return the keys of inputs, which are all that a checkpoint knows; a frame's by what its rows send.

    And the names of rows, and what these are of.
    """
    job = before.job or after.job
    if before.job and after.job and before.job != after.job:
        raise InputError(
            f"{before.name} and {after.name} are checkpoints of different questions (schema, processor or options), "
            "whose inputs have different keys. Compare the frames or files of their answers."
        )
    ids: list[Ids] = []
    names: list[list[str]] = []
    rows_by = "input"
    for side in (before, after):
        if side.job is not None:
            ids.append(list(side.keys))
            names.append([f"row {label}" for label in side.frame.index])
            continue
        facts, selection = _facts_of(side, str(job))
        keys = make_keys(render_inputs(side.frame, selection).canonical, str(job), dedupe=facts.dedupe)
        first = dict(zip(reversed(keys), range(len(keys))[::-1], strict=True))  # of equal rows, which share an answer
        ids.append([key if first[key] == row else None for row, key in enumerate(keys)])
        names.append(_names(side.frame, selection.labels))
        rows_by = name_row([*selection.labels])
    known = {key: name for side, keys, named in zip((before, after), ids, names, strict=True) if side.job is None
             for key, name in zip(keys, named, strict=True)}  # fmt: skip
    found = [[known.get(key, name) for key, name in zip(*each, strict=True)] for each in zip(ids, names, strict=True)]
    return ids, found, rows_by


def _facts_of(side: Side, job: str) -> tuple[EnrichmentFacts, Selection]:
    """Return the enrichment of a frame that a checkpoint's job is compared with, and what its rows sent."""
    known = [(facts, facts.selection) for facts in side.enriched if facts.selection is not None]
    if not known:
        raise InputError(
            f"What the rows of {side.name} sent is not known, and a checkpoint knows rows by nothing else: concat, "
            "merge and CSV lose a frame's attrs. Use the frame that `enrich` returned, or a Parquet file of it."
        )
    return next((pair for pair in reversed(known) if pair[0].job == job), known[-1])


def _numbered(canonicals: Sequence[bytes | None]) -> Ids:
    """Return what each row sent, with how many equal ones are before it."""
    seen: defaultdict[bytes | None, count[int]] = defaultdict(count)
    return [None if known is None else (known, next(seen[known])) for known in canonicals]


def _names(frame: pd.DataFrame, labels: Sequence[Hashable]) -> list[str]:
    columns = [cells_of(frame[label]) for label in labels]
    return [name_row([cell for cell in cells if as_python(cell) is not None]) for cells in zip(*columns, strict=True)]


def _positions(ids: Ids) -> dict[Any, int]:
    return {known: row for row, known in enumerate(ids) if known is not None}


# Which columns are compared


def _fields(before: Side, after: Side, on: Sequence[Hashable]) -> list[tuple[str, Hashable, Hashable]]:
    """Return the name of each field, and its column in both."""
    job = before.job or after.job
    found = [_outputs(side, job) for side in (before, after)]
    outputs = [columns or _others(side, on) for side, columns in zip((before, after), found, strict=True)]
    # Where only one of the two knows what was made, its columns count.
    fields = [(name, outputs[0][name], label) for name, label in outputs[1].items() if name in outputs[0]]
    if not fields:
        raise InputError(
            f"{before.name} and {after.name} have no answers to the same field: the one has "
            f"{', '.join(outputs[0]) or 'none'}, the other {', '.join(outputs[1]) or 'none'}."
        )
    return fields


def _outputs(side: Side, job: str | None) -> dict[str, Hashable]:
    """Return the columns that enrichments made: by their labels, or by the names in the schema of a checkpoint."""
    if side.job is not None:
        return {format_label(label): label for label in side.fields}
    if job is not None:
        return dict(_facts_of(side, job)[0].outputs)
    return {format_label(label): label for facts in side.enriched for label in facts.outputs.values()}


def _others(side: Side, on: Sequence[Hashable]) -> dict[str, Hashable]:
    """Return the columns that may be answers, of a frame that does not know which are."""
    statuses = [format_label(label) for label in side.frame.columns if is_status(side.frame, label)]
    made = {*statuses, *map(error_label, statuses), *chain.from_iterable(map(provenance_names, statuses))}
    made.update(name for labels in evidence_of(side.frame).values() for name in labels)
    names = {format_label(label): label for label in side.frame.columns if label not in on}
    return {name: label for name, label in names.items() if name not in made}


# What changed


def _compare(
    sides: tuple[Side, Side], fields: Sequence[tuple[str, Hashable, Hashable]], pairs: Sequence[tuple[int, int]]
) -> tuple[list[dict[str, Any]], dict[str, list[int]]]:
    """Return the cells that changed, and how many did of each field."""
    lines: list[dict[str, Any]] = []
    counts: dict[str, list[int]] = {}
    for name, *labels in fields:
        cells = [cells_of(side.frame[label]) for side, label in zip(sides, labels, strict=True)]
        changes = []
        for old, new in pairs:
            before, after = as_python(cells[0][old]), as_python(cells[1][new])
            if (change := _change(before, after)) is not None:
                changes.append({"field": name, "change": change, "before": before, "after": after, "row_before": old,
                                "row_after": new})  # fmt: skip
        numbers = [sum(line["change"] == kind for line in changes) for kind in CHANGES]
        counts[name] = [*numbers, len(pairs) - len(changes)]
        if changes:
            for side, label, when in zip(sides, labels, ("before", "after"), strict=True):
                _add_evidence(changes, _evidence_of(side.frame, label), when)
        lines += changes
    return sorted(lines, key=lambda line: line["row_after"]), counts


def _change(before: Any, after: Any) -> str | None:
    """Return what became of a cell; None where a person sees the same."""
    if before is None or after is None:
        return None if before is after else "new" if before is None else "lost"
    return None if is_equal(before, after) or _says(before, after) or _says(after, before) else "changed"


def _says(text: Any, value: Any) -> bool:
    """Return whether a text, as CSV holds it, is that of a value of another type."""
    if not isinstance(text, str) or isinstance(value, str):
        return False
    try:
        if isinstance(value, dt.date):
            return is_equal(dt.datetime.fromisoformat(text), value)
        return is_equal(orjson.loads(text.lower() if isinstance(value, bool) else text), value)
    except ValueError:
        return isinstance(value, list | tuple | dict) and _says_as_python(text, value)


def _says_as_python(text: str, value: Any) -> bool:
    """Return whether a text is that of a list or an object as DataFrame.to_csv writes it."""
    try:
        return is_equal(ast.literal_eval(text), value)
    except (ValueError, SyntaxError, MemoryError, RecursionError):  # the last two where it is nested too deep
        return False


def _evidence_of(frame: pd.DataFrame, label: Hashable) -> FieldEvidence | None:
    try:
        found = find_evidence(frame)
    except InputError:  # the frame holds none
        return None
    return next((evidence for evidence in found.fields if evidence.field == name_of(label)), None)


def _add_evidence(changes: list[dict[str, Any]], evidence: FieldEvidence | None, when: str) -> None:
    """Add confidence and sources to changes of one field."""
    rows = {change[f"row_{when}"] for change in changes}
    levels: Sequence[Confidence | None] = [] if evidence is None else evidence.confidences()
    urls: defaultdict[int, dict[str, None]] = defaultdict(dict)
    for source in () if evidence is None else evidence.sources():
        if source.row in rows and source.citation["url"]:
            urls[source.row][source.citation["url"]] = None
    for change in changes:
        row = change[f"row_{when}"]
        change[f"confidence_{when}"] = levels[row] if levels else None
        change[f"sources_{when}"] = list(urls[row])


def _frame_of(lines: Sequence[Mapping[str, Any]], after: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Return changes as a frame under the labels of their rows."""

    def column(name: str, dtype: Any = object) -> pd.Series[Any]:
        cells: pd.Series[Any] = pd.Series([line[name] for line in lines], dtype=dtype)
        return cells

    def levels(name: str) -> pd.Series[Any]:
        return pd.Series(as_categories([line[name] for line in lines]))

    rows = [line["row_after"] for line in lines]
    frame = pd.DataFrame(
        {
            "name": pd.Series([names[row] for row in rows], dtype=STRING),
            "field": column("field", STRING),
            "change": column("change", pd.CategoricalDtype(list(CHANGES))),
            "before": column("before"),
            "after": column("after"),
            "confidence_before": levels("confidence_before"),
            "confidence_after": levels("confidence_after"),
            "sources_before": column("sources_before"),
            "sources_after": column("sources_after"),
            "row_before": column("row_before", "int64"),
            "row_after": column("row_after", "int64"),
        }
    )
    return frame.set_axis(after.index.take(np.array(rows, dtype="int64")))

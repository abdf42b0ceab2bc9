"""What came with the answers of a frame besides evidence: warnings of the service, and calls of MCP tools.

Neither is in the frame. Both are in the checkpoint, which its attrs name, under the keys of what its rows send.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from parallel_frames._checkpoint import JOB_DIGITS, place_of, read_header, read_outcomes, read_patiently
from parallel_frames._columns._typed import STRING
from parallel_frames._foreign import check_enriched
from parallel_frames._inputs import make_keys, render_inputs
from parallel_frames._job._attrs import REMEMBERED, enrichments
from parallel_frames._job._handle import last
from parallel_frames._job._stored import read_tool_calls, read_warnings, recall_keys
from parallel_frames._state import Answers
from parallel_frames.errors import InputError, user_facing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from parallel_frames._job._attrs import EnrichmentFacts
    from parallel_frames._model import Outcome

WARNING: Final = ("kind", "message", "detail")
CALL: Final = ("server", "tool", "arguments", "content", "error")


@user_facing
def warnings(df: pd.DataFrame) -> pd.DataFrame:
    """Return what the service warned of while it answered these rows, one warning a line.

    Parameters
    ----------
    df : pandas.DataFrame
        Enriched, with the attrs that `enrich` wrote; the warnings are read from the checkpoint that these name.
        Without a checkpoint they are known for the last enrichment of this process.

    Returns
    -------
    pandas.DataFrame
        Its index has each row's own label; rows without a warning have no line, equal rows one each.

        - ``row`` (int64): the row's position in `df`;
        - ``run_id`` (string): the run that answered it;
        - ``kind`` (string): the service's type, such as ``warning``; ``tool_call`` for a call of an MCP tool that
          failed;
        - ``message`` (string), and ``detail`` (string): JSON, where there is more; of a call its arguments.

    Raises
    ------
    InputError
        The frame's attrs are lost, a column that its rows sent is, or the checkpoint.

    Examples
    --------
    >>> import pandas as pd, parallel_frames as pf
    >>> from parallel_frames.simulator import Answer
    >>> answer = Answer({"founded": 1949}, warnings=["The MCP server cannot be reached."])
    >>> with pf.offline(lambda sent: answer, latency=0):
    ...     out = pd.DataFrame({"company": ["Acme"]}, index=["a"]).parallel.enrich({"founded": int})
    ...     found = out.parallel.warnings()
    >>> found[["row", "kind", "message"]]
       row     kind                            message
    a    0  warning  The MCP server cannot be reached.
    """
    return _table(df, WARNING, lambda outcome: read_warnings(outcome.warnings, outcome.details))


@user_facing
def tool_calls(df: pd.DataFrame) -> pd.DataFrame:
    """Return the calls of MCP tools that the service made for these rows, one a line.

    Parameters
    ----------
    df : pandas.DataFrame
        As for `warnings`.

    Returns
    -------
    pandas.DataFrame
        With the index of `warnings` and ``row``, ``run_id``, ``server``, ``tool``, ``arguments`` (JSON), ``content``
        (what the tool returned) and ``error``, missing where it did not fail; all but ``row`` are strings.

    Raises
    ------
    InputError
        As for `warnings`.

    Examples
    --------
    >>> import pandas as pd, parallel_frames as pf
    >>> from parallel_frames.simulator import Answer
    >>> call = {"server_name": "crm", "tool_name": "find", "arguments": "{}", "content": "[]", "error": ""}
    >>> with pf.offline(lambda sent: Answer({"founded": 1949}, mcp_tool_calls=[call]), latency=0):
    ...     out = pd.DataFrame({"company": ["Acme"]}, index=["a"]).parallel.enrich({"founded": int})
    ...     found = out.parallel.tool_calls()
    >>> found[["row", "server", "tool", "content"]]
       row server  tool content
    a    0    crm  find      []
    """
    return _table(df, CALL, lambda outcome: read_tool_calls(outcome.details))


def _table(df: pd.DataFrame, names: Sequence[str], read: Callable[[Outcome], Sequence[Any]]) -> pd.DataFrame:
    check_enriched(df)
    lines = [
        (row, outcome.run_id, *found)
        for facts in _known(df)
        for row, outcome in _outcomes(df, facts)
        for found in read(outcome)
    ]
    lines.sort(key=lambda line: line[0])
    columns = zip(*lines, strict=True) if lines else [()] * (len(names) + 2)
    dtypes: dict[str, Any] = {"row": "int64", **dict.fromkeys(["run_id", *names], STRING)}
    table = pd.DataFrame(
        {name: pd.Series(list(cells), dtype=dtypes[name]) for name, cells in zip(dtypes, columns, strict=True)}
    )
    return table.set_axis(df.index.take(table["row"].to_numpy()))


def _known(df: pd.DataFrame) -> list[EnrichmentFacts]:
    known = enrichments(df)
    if not known:
        raise InputError(
            "The frame does not record how it was enriched: concat, merge and CSV lose a frame's attrs. Use the frame "
            "that `enrich` returned, or a Parquet file of it."
        )
    return known


def _outcomes(df: pd.DataFrame, facts: EnrichmentFacts) -> Iterator[tuple[int, Outcome]]:
    """Yield the newest outcome of each row that has one, of each processor that was asked about it."""
    for number, job in enumerate((facts.job, *facts.escalated)):
        rows: dict[str, list[int]] = {}
        for row, key in enumerate(row_keys(df, facts, job)):
            if key is not None:
                rows.setdefault(key, []).append(row)
        for outcome in _read(facts, number, job, list(rows)):
            for row in rows.get(outcome.key, ()):
                yield row, outcome


def row_keys(df: pd.DataFrame, facts: EnrichmentFacts, job: str) -> list[str | None]:
    """Return the keys that the rows of an enriched frame have in a job, by what they send."""
    if facts.selection is None:
        raise InputError(
            f"What the rows sent for {', '.join(map(repr, facts.outputs.values()))} is no longer known, or the frame "
            "lost a column of it. Use the frame that `enrich` returned, or a Parquet file of it."
        )
    return make_keys(render_inputs(df, facts.selection).canonical, job, dedupe=facts.dedupe)


def _read(facts: EnrichmentFacts, number: int, job: str, keys: Sequence[str]) -> Iterator[Outcome]:
    if facts.checkpoint is None:
        handle = last()
        is_it = handle is not None and handle._runner.prepared.job.hash == facts.job
        if handle is None or not is_it or handle.group_ids[-REMEMBERED:] != facts.group_ids:
            raise InputError(
                "These answers came without a checkpoint, which is what keeps warnings and tool calls: they are known "
                "for the last enrichment of this process only. Enrich with a checkpoint."
            )
        for outcomes in handle._runner.results().jobs[number].outcomes():
            yield from outcomes
        return
    folder = place_of(facts.checkpoint)
    if number:
        folder = folder.parent / job[:JOB_DIGITS]
    if read_header(folder) is None:
        raise InputError(f"The checkpoint {folder}, which keeps warnings and tool calls, is no longer there.")
    places = read_patiently(lambda: recall_keys(folder, keys)).answers()
    for _, outcome in Answers(partial(read_outcomes, folder), places[:, :3]).outcomes():
        yield outcome

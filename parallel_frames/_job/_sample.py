"""A few rows asked for real before all of them are: what came, on what evidence, and what the rest would cost."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pandas as pd

from parallel_frames._columns import evidence_label
from parallel_frames._format import (
    format_at_worst,
    format_count,
    format_dollars,
    format_duration,
    format_label,
    format_option,
)
from parallel_frames._job._handle import frame_enrichment, frame_source
from parallel_frames._job._offline import choose_destination
from parallel_frames._job._options import is_count
from parallel_frames._job._preview import EnrichmentPlan, plan_call
from parallel_frames.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

    from parallel_frames._job._handle import Enrichment
    from parallel_frames._job._options import Call


@dataclass(frozen=True, slots=True)
class EnrichmentPreview:
    """A few rows with their answers, and what all rows would cost; `parallel_frames.preview` makes it.

    Attributes
    ----------
    frame : pandas.DataFrame
        A column for each row asked: what it sent, and each answer with its confidence and its sources below it.
    plan : EnrichmentPlan
        What the call for all rows would do now; these answers are not paid again.

    Examples
    --------
    >>> import pandas as pd, parallel_frames as pf
    >>> df = pd.DataFrame({"company": ["Acme", "Globex", "Initech", "Hooli"]})
    >>> with pf.offline(lambda sent: {"founded": 1949}, latency=0):
    ...     some = df.parallel.preview({"founded": int}, n=2)
    >>> some.frame.loc["founded"].tolist(), some.plan.to_send, some.cost
    ([1949, 1949], 2, 0.02)
    """

    frame: pd.DataFrame = field(repr=False)
    plan: EnrichmentPlan
    _is_temporary: bool = field(default=False, repr=False)

    @property
    def cost(self) -> float | None:
        """US dollars that the call for all rows would cost on top of this; None where the price is not known."""
        return self.plan.cost

    def _summary(self) -> str:
        plan = self.plan
        worst = format_at_worst(plan.worst_cost, [*plan.escalation], certain=plan.cost)
        rest = f"{format_count(plan.to_send, 'more run')}: {format_dollars(plan.cost, extra=plan.extra_cost)}{worst}"
        took = f", {format_duration(plan.seconds, estimate=True)}" if plan.to_send and not plan.simulated else ""
        kept = "end with the offline block" if self._is_temporary else "are kept"
        return f"All {format_count(plan.rows, 'row')} would take {rest}{took}. These answers {kept}"

    def __repr__(self) -> str:
        from parallel_frames._ui import cell_text

        marked = " · SIMULATED" if self.plan.simulated else ""
        return f"{self.frame.map(cell_text).to_string(max_colwidth=40)}\n\n{self._summary()}{marked}"

    def _repr_html_(self) -> str:
        from parallel_frames._ui import preview_html

        return preview_html(self.frame, self._summary(), simulated=self.plan.simulated)


def prepare_sample(df: pd.DataFrame, schema: object, call: Call, *, n: int) -> Enrichment:
    """Return the enrichment of the first `n` distinct inputs, evidence included."""
    if call.checkpoint is None:
        raise InputError(
            "`checkpoint=None` keeps no answers, so the call for all rows would pay for these again. Leave it out, or "
            "pass `limit=3` to `df.parallel.enrich`. Nothing was sent."
        )
    if not is_count(n):
        raise InputError(f"{format_option('n', n)} must be how many inputs are asked, 1 or more. Nothing was sent.")
    few = replace(
        call, limit=n, basis="columns", status=call.status or True, on_error="keep", dtype_backend="numpy_nullable"
    )
    return frame_enrichment(df, schema, few)


def read_sample(
    enrichment: Enrichment, out: pd.DataFrame, df: pd.DataFrame, schema: object, call: Call
) -> EnrichmentPreview:
    """Return what the first few distinct inputs were answered, and what the same call for all of them would cost."""
    prepared = enrichment._runner.prepared
    rows = out.iloc[list(enrichment.plan.positions[: prepared.call.limit])]
    lines = [*((label, rows[label]) for label in prepared.selection.labels), *_answers(rows, enrichment)]
    shown = pd.DataFrame({format_label(label): cells.astype(object) for label, cells in lines}, index=rows.index).T
    plan = plan_call(frame_source(df, schema, replace(call, max_cost=None)))
    destination = choose_destination(call.client, for_sending=False)
    return EnrichmentPreview(shown, plan, destination.is_temporary(call.checkpoint))


def _answers(rows: pd.DataFrame, enrichment: Enrichment) -> Iterator[tuple[Hashable, pd.Series[Any]]]:
    """Yield each answer, how sure it is, and the pages it cites; then the status, and what else there is of a row."""
    layout = enrichment._runner.prepared.layout
    for output, (confidence, _, citations) in zip(layout.outputs, layout.evidence, strict=True):
        yield output, rows[output]
        yield confidence, rows[confidence]
        yield evidence_label(format_label(output), "sources"), rows[citations].map(_sources)
    for label in (layout.status, layout.error, layout.processor):
        if label is not None and (label == layout.status or rows[label].notna().any()):
            yield label, rows[label]


def _sources(citations: Any) -> str:
    """Return the addresses of citations, each once."""
    found = citations if isinstance(citations, list | tuple) else []
    return " ".join(dict.fromkeys(str(citation.get("url")) for citation in found if citation and citation.get("url")))

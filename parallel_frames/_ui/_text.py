"""A plan and a report in words: their headlines and facts, which HTML shows too, and both as plain text."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Final, TypeAlias

from parallel_frames._format import (
    format_at_worst,
    format_costs,
    format_count,
    format_dollars,
    format_duration,
    format_sends,
    format_share,
    mark_simulated,
    shorten,
)
from parallel_frames._ui._sections import LEVELS, make_timeline

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from parallel_frames._job._preview import EnrichmentPlan
    from parallel_frames._ui._sections import Failure, RunFacts, Section

    Facts: TypeAlias = list[tuple[str, str]]

WIDTH: Final = 98
UNKNOWN_ORIGIN: Final = "not known, a simulator or the service: merge, concat and CSV lose a frame's attrs"
WARNINGS_TITLE: Final = "Warnings of the service (runs)"


def plan_headline(plan: EnrichmentPlan) -> str:
    """Return the essence of a plan."""
    parts = [
        f"{format_count(plan.rows, 'row')} → {format_count(plan.to_send, 'run')}",
        format_costs(plan.cost, before=plan.spent, extra=plan.extra_cost)
        + format_at_worst(plan.worst_cost, [*plan.escalation], certain=plan.cost),
    ]
    if plan.to_send and not plan.simulated:
        parts.append(format_duration(plan.seconds, estimate=True))
    return " · ".join(parts)


def plan_facts(plan: EnrichmentPlan) -> Facts:
    """Return everything else of a plan, by name."""
    unit = "a run" if plan.price_per_run is not None else ""
    per_run = format_dollars(plan.price_per_run, extra=f"{unit} {plan.extra_cost}".strip())
    spent = format_dollars(plan.spent, extra=plan.extra_cost)
    rows = [
        (plan.chosen if plan.chosen != plan.rows else 0, "of them chosen"),
        (plan.skipped, "with nothing to send"),
        (plan.duplicates, "share another row's run"),
    ]
    runs = [
        (plan.answered, "answered already"),
        (plan.failed, "failed" if plan.escalation else "failed, not tried again"),
        (plan.awaited, "under way"),
        (plan.left_out, "beyond the limit"),
        (plan.to_send, "to send"),
    ]
    return [
        ("processor", f"{plan.processor}, {per_run} (prices of {plan.prices_as_of})"),
        *([("escalation", ", ".join(_at_most(plan)))] if plan.escalation else []),
        ("rows", ", ".join([f"{plan.rows:,}", *_nonzero(rows)])),
        ("runs", ", ".join([f"{plan.runs:,} distinct", *_nonzero(runs)])),
        *([("spent before", f"{spent} for these rows")] if plan.spent else []),
        ("sends", format_sends(plan.sends, plan.sends_as)),
        ("checkpoint", plan.checkpoint or "none"),
    ]


def _at_most(plan: EnrichmentPlan) -> list[str]:
    return [f"{processor} for at most {format_dollars(cost)}" for processor, cost in plan.escalation.items()]


def _nonzero(numbers: list[tuple[int, str]]) -> list[str]:
    return [f"{number:,} {text}" for number, text in numbers if number]


def plan_text(plan: EnrichmentPlan, *, with_request: bool = True) -> str:
    """Return a plan as lines; `with_request` names the attribute of its first request, which a shell has not."""
    facts = [*plan_facts(plan), *((finding.severity, finding.with_subject) for finding in plan.findings)]
    if with_request and plan.payload is not None:
        facts.append(("first request", f"{plan.method_path}, body in .payload"))
    return "\n".join([mark_simulated(plan_headline(plan), simulated=plan.simulated), *align_facts(facts)])


def report_headline(section: Section) -> str:
    """Return the essence of an enrichment."""
    rows = sum(section.counts.values())
    done = section.counts.get("completed", 0)
    headline = "An enrichment without status columns"
    if section.status is not None or section.facts is not None:
        share = f" ({format_share(done, rows)})" if rows else ""
        headline = f"{done:,} of {format_count(rows, section.unit)} completed{share}"
    # `b_parallel_status_2` is the second enrichment with `prefix="b_"`.
    prefix, _, number = section.name.partition("parallel_status")
    name = f"{prefix}{number}".strip("_")
    return f"{name}: {headline}" if name else headline


def report_facts(section: Section) -> Facts:
    """Return what is known of an enrichment's runs, by name."""
    facts, attrs = section.facts, section.attrs
    if facts is None:
        known = {
            "processor": " → ".join(attrs.get("processors", ())) or attrs.get("processor"),
            "at": str(attrs.get("at") or "").replace("T", " ").replace("Z", " UTC"),
            "cost": _costs_then(attrs.get("costs") or {}),
            "groups": ", ".join(attrs.get("group_ids", [])),
            "checkpoint": ", ".join(attrs.get("checkpoints", ())) or attrs.get("checkpoint"),
            "origin": None if attrs else UNKNOWN_ORIGIN,
        }
    else:
        timeline = make_timeline(facts.times)
        of_rows = "" if facts.rows is None else f" for {format_count(facts.rows, 'row')}"
        known = {
            "processor": facts.processor,
            "answered by": ", ".join(f"{name} {rows:,}" for name, rows in facts.answered_by.items()),
            "runs": f"{facts.runs:,} distinct{of_rows}, {facts.sent:,} sent so far",
            "not asked": format_count(facts.not_asked, "row") if facts.not_asked else None,
            "cost": f"{_costs(facts)} ({'; '.join([*_by_processor(facts.costs), f'prices of {facts.prices_as_of}'])})",
            "took": timeline and f"{format_duration(timeline.length)} from the first run to the last answer",
            "inputs": " · ".join(facts.sends),
            "tool calls": ", ".join(f"{calls:,} of {tool}" for tool, calls in facts.tool_calls.items()),
            "group": facts.url,
            "groups": ", ".join(facts.group_ids) if len(facts.group_ids) > 1 else None,
            "checkpoint": facts.checkpoint or "none",
        }
    return [(name, str(value)) for name, value in known.items() if value]


def report_text(section: Section) -> str:
    """Return an enrichment as lines."""
    lines = [mark_simulated(report_headline(section), simulated=section.simulated)]
    others = [f"{rows:,} {status}" for status, rows in section.counts.items() if status != "completed"]
    if others:
        lines.append(f"  {' · '.join(others)}")
    if section.unsure:
        lines.append(f"  {unsure_text(section)}")
    for title, causes in ((wrong_title(section), section.failures), (waiting_title(section), section.waiting)):
        if causes:
            lines.append(title)
        for cause in causes:
            label = shorten(cause.examples[0][0], 24)
            lines.append(f"  {cause.rows:>7,}  {shorten(cause.cause, 60)}  ({section.index} {label})")
    if section.warnings:
        lines.append(WARNINGS_TITLE)
    for text, runs in section.warnings:
        lines += textwrap.wrap(text, WIDTH, initial_indent=f"  {runs:>7,}  ", subsequent_indent=" " * 11)
    lines += align_facts(report_facts(section))
    if fields := section.fields():
        columns = (*(LEVELS if len(section.confidence) else ()), "missing")
        lines.append(fields_title(section))
        lines.append(f"  {'field':<38}" + "".join(f"{column:>9}" for column in columns))
        for field in fields:
            cells = ["–" if field[column] is None else f"{field[column]:,}" for column in columns]
            lines.append(f"  {shorten(field['name'], 36):<38}" + "".join(f"{cell:>9}" for cell in cells))
    return "\n".join(lines)


def unsure_text(section: Section) -> str:
    """Return how many of the rows with an answer are unsure; nothing if none is."""
    if not section.unsure:
        return ""
    rows = f"{section.unsure:,} of {format_count(section.answered, section.unit)} with an answer"
    return f"Unsure: {rows} (low confidence in a field)"


def wrong_title(section: Section) -> str:
    """Return what the list of causes is of."""
    return f"What went wrong ({_count(section.failures, section)})"


def waiting_title(section: Section) -> str:
    """Return what the list of what is waited for is of."""
    return f"Not answered yet ({_count(section.waiting, section)})"


def _count(causes: Sequence[Failure], section: Section) -> str:
    return format_count(sum(cause.rows for cause in causes), section.unit)


def fields_title(section: Section) -> str:
    """Return what the numbers of the fields are of; what overlaps is named."""
    by = ", by confidence" if len(section.confidence) else ""
    return (
        f"Answers by field: {format_count(section.answered, section.unit)} with an answer{by}; missing are among them"
    )


def _costs(facts: RunFacts) -> str:
    """Return what this call cost, and all calls for these rows."""
    if facts.cost is None or not facts.before:
        return format_dollars(facts.cost, extra=facts.extra_cost)
    before = min(facts.before, facts.cost)
    return format_costs(facts.cost - before, before=before, extra=facts.extra_cost)


def _costs_then(costs: Mapping[str, float | None]) -> str:
    """Return what a frame's rows had cost when it was enriched; nothing where a price is not known."""
    if not costs or None in costs.values():
        return ""
    total = format_dollars(sum(filter(None, costs.values())))
    return " · ".join([f"{total} when it was enriched", *_by_processor(costs)])


def _by_processor(costs: Mapping[str, float | None]) -> list[str]:
    """Return what each of several processors cost, as one text."""
    return [", ".join(f"{name} {format_dollars(cost)}" for name, cost in costs.items())] if len(costs) > 1 else []


def align_facts(facts: Facts) -> list[str]:
    """Return facts as lines with their values in one column."""
    width = max((len(name) for name, _ in facts), default=0)
    lines = []
    for name, value in facts:
        # Paths and addresses stay whole, so that they can be copied, even where that makes a long line.
        start, indent = f"  {name:<{width}}  ", " " * (width + 4)
        wrapped = textwrap.wrap(
            value,
            WIDTH,
            initial_indent=start,
            subsequent_indent=indent,
            break_long_words=False,
            break_on_hyphens=False,
        )
        lines += wrapped or [f"  {name}"]
    return lines

"""A plan and a report in words: the same facts as lines of text, and as what the templates put in."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any, Final

from parallel_frames._format import format_dollars, format_duration
from parallel_frames._ui._sections import draw_timeline, label_text, seconds_taken

if TYPE_CHECKING:
    from collections.abc import Sequence

    from parallel_frames._job._preview import EnrichmentPlan
    from parallel_frames._ui._sections import Section

WIDTH: Final = 98
Facts = "list[tuple[str, str]]"


def shorten(text: str, most: int) -> str:
    """Return a text cut between words, or within one where that would leave nothing."""
    cut = textwrap.shorten(text, most, placeholder=" …")
    return cut if cut.strip() != "…" else f"{text.strip()[: most - 1]}…"


def plan_headline(plan: EnrichmentPlan) -> str:
    """Return the essence of a plan."""
    parts = [f"{_rows(plan.rows)} → {plan.to_send:,} run{'s' * (plan.to_send != 1)}", format_dollars(plan.cost)]
    if plan.to_send:
        parts.append(format_duration(plan.seconds, estimate=True))
    return " · ".join(parts)


def plan_facts(plan: EnrichmentPlan) -> list[tuple[str, str]]:
    """Return everything else of it, by name."""
    per_run = "price not known" if plan.price_per_run is None else f"{format_dollars(plan.price_per_run)} a run"
    facts = [("processor", f"{plan.processor}, {per_run} (prices of {plan.prices_as_of})")]
    rows = [f"{plan.rows:,}"]
    if plan.chosen != plan.rows:
        rows.append(f"{plan.chosen:,} of them chosen by where=")
    if plan.skipped:
        rows.append(f"{plan.skipped:,} with nothing to send")
    if plan.duplicates:
        rows.append(f"{plan.duplicates:,} share another row's run")
    facts.append(("rows", ", ".join(rows)))
    runs = [f"{plan.runs:,} distinct"]
    for number, what in (
        (plan.answered, "answered already"),
        (plan.awaited, "under way"),
        (plan.left_out, "beyond limit="),
        (plan.to_send, "to send"),
    ):
        if number:
            runs.append(f"{number:,} {what}")
    facts.append(("runs", ", ".join(runs)))
    if plan.spent:
        facts.append(("spent before", f"{format_dollars(plan.spent)} for these rows"))
    facts.append(("sends", ", ".join(plan.sends)))
    facts.append(("checkpoint", plan.checkpoint or "none"))
    return facts


def plan_text(plan: EnrichmentPlan) -> str:
    """Return a plan as lines."""
    lines = [f"{plan_headline(plan)}{' · SIMULATED' if plan.simulated else ''}"]
    facts = [*plan_facts(plan), *(("schema", f"{found.severity}: {found}") for found in plan.findings)]
    if plan.payload is not None:
        facts.append(("first request", f"{plan.method_path}, body in .payload"))
    return "\n".join([*lines, *_aligned(facts)])


def report_headline(section: Section) -> str:
    """Return the essence of one enrichment."""
    rows = sum(section.counts.values())
    done = section.counts.get("completed", 0)
    share = f" ({share_text(done, rows)})" if rows else ""
    knows = section.status is not None or section.facts is not None
    name = section.name.partition("parallel_status")
    which = f"{name[0]}{name[2]}".strip("_")
    told = f"{done:,} of {_rows(rows)} completed{share}" if knows else "An enrichment without status columns"
    return f"{which}: {told}" if which else told


def share_text(part: int, whole: int) -> str:
    """Return a share in per cent; none and all are said only where they are exact."""
    if 0 < part < whole:
        percent = round(100 * part / whole)
        return "<1%" if percent == 0 else ">99%" if percent == 100 else f"{percent}%"
    return "100%" if part else "0%"


def report_facts(section: Section) -> list[tuple[str, str]]:
    """Return what is known of an enrichment's runs, by name."""
    facts, known = section.facts, section.told
    if facts is None:
        told = [("processor", known.get("processor")), ("at", known.get("at")),
                ("groups", ", ".join(known.get("group_ids", []))), ("checkpoint", known.get("checkpoint"))]  # fmt: skip
        return [(name, str(value)) for name, value in told if value]
    lines = [("processor", facts.processor)]
    lines.append(("runs", f"{facts.runs:,} distinct for {_rows(facts.rows)}, {facts.sent:,} sent so far"))
    if facts.not_asked:
        lines.append(("not asked", _rows(facts.not_asked)))
    lines.append(("cost", f"{format_dollars(facts.cost)} (prices of {facts.prices_as_of})"))
    if (seconds := seconds_taken(facts.times)) is not None:
        lines.append(("took", f"{format_duration(seconds)} from the first run to the last answer"))
    if facts.sends:
        lines.append(("inputs", ", ".join(facts.sends)))
    if facts.url:
        lines.append(("group", facts.url))
    if len(facts.group_ids) > 1:
        lines.append(("groups", ", ".join(facts.group_ids)))
    return [*lines, ("checkpoint", facts.checkpoint or "none")]


def report_values(section: Section) -> dict[str, Any]:
    """Return an enrichment as the template takes it."""
    has_confidence = len(section.confidence) > 0
    names = [*dict.fromkeys([*map(label_text, section.missing), *map(str, section.confidence.index)])]
    missing = {label_text(label): rows for label, rows in section.missing.items()}
    fields = []
    for name in names:
        levels = section.confidence.loc[name].to_dict() if name in section.confidence.index else {}
        field = {"name": name, "missing": missing.get(name)}
        fields.append(field | {level: levels.get(level) for level in ("low", "medium", "high", "none")})
    times = section.facts.times if section.facts is not None else ()
    return {
        "headline": report_headline(section),
        "simulated": section.simulated,
        "counts": section.counts,
        "facts": report_facts(section),
        "failures": section.failures,
        "fields": fields,
        "has_confidence": has_confidence,
        "timeline": draw_timeline(times, duration=format_duration) if times else None,
    }


def report_text(section: Section) -> str:
    """Return an enrichment as lines."""
    values = report_values(section)
    lines = [f"{values['headline']}{' · SIMULATED' if section.simulated else ''}"]
    rest = [f"{rows:,} {name}" for name, rows in section.counts.items() if name != "completed"]
    lines += [f"  {' · '.join(rest)}"] if rest else []
    lines += _aligned(values["facts"])
    if section.failures:
        lines.append("What went wrong")
        for failure in section.failures:
            cause = shorten(failure.cause, 60)
            label = shorten(failure.examples[0][0], 24)
            lines.append(f"  {failure.rows:>7,}  {cause}  (row {label})")
    if values["fields"]:
        lines.append(_field_line("Field", "missing", *(("low", "medium", "high", "none") * values["has_confidence"])))
        for field in values["fields"]:
            levels = [field[level] for level in ("low", "medium", "high", "none")] if values["has_confidence"] else []
            lines.append(_field_line(f"  {field['name']}", field["missing"], *levels))
    return "\n".join(lines)


def _field_line(name: str, *cells: object) -> str:
    shown = ("–" if cell is None else f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in cells)
    return "".join([f"{shorten(name.strip(), 38):<40}", *(f"{cell:>9}" for cell in shown)])


def _aligned(facts: Sequence[tuple[str, str]]) -> list[str]:
    """Return pairs as lines with their values in one column."""
    width = max((len(name) for name, _ in facts), default=0)
    lines = []
    for name, value in facts:
        indent = " " * (width + 4)
        lines += textwrap.wrap(
            value, WIDTH, initial_indent=f"  {name:<{width}}  ", subsequent_indent=indent, break_long_words=False
        ) or [f"  {name}"]
    return lines


def _rows(number: int) -> str:
    return f"{number:,} row{'s' * (number != 1)}"

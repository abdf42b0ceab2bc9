"""What a person sees: progress, plans and reports, as text and as HTML."""

from parallel_frames._ui._progress import Progress, Tally, showing
from parallel_frames._ui._report import Report, enrichment_html, make_report, plan_html, report_of_frame
from parallel_frames._ui._screen import ask, readable
from parallel_frames._ui._sections import RunFacts
from parallel_frames._ui._words import plan_text

__all__ = [
    "Progress",
    "Report",
    "RunFacts",
    "Tally",
    "ask",
    "enrichment_html",
    "make_report",
    "plan_html",
    "plan_text",
    "readable",
    "report_of_frame",
    "showing",
]

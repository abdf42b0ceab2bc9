"""What a person sees: progress, a question before anything is paid, plans and reports as text and as HTML.

It takes numbers and finished frames, and decides nothing about an enrichment. Only it knows tqdm, jinja2 and
matplotlib, which are imported when they are needed. A failing screen must never cost an answer that was paid for.
"""

from parallel_frames._ui._comparison import comparison_html, comparison_text
from parallel_frames._ui._diff import CHANGES, Diff, name_row
from parallel_frames._ui._progress import IDLE, Progress, ProgressCounts, bar_fits, report_call, showing
from parallel_frames._ui._report import Report, enrichment_html, make_report, plan_html, preview_html, report_of_frame
from parallel_frames._ui._screen import ask, is_interactive, readable, spelling
from parallel_frames._ui._sections import RunFacts
from parallel_frames._ui._shared_progress import SharedProgress
from parallel_frames._ui._text import plan_text
from parallel_frames._ui._values import cell_text, index_name, label_text

__all__ = [
    "CHANGES",
    "IDLE",
    "Diff",
    "Progress",
    "ProgressCounts",
    "Report",
    "RunFacts",
    "SharedProgress",
    "ask",
    "bar_fits",
    "cell_text",
    "comparison_html",
    "comparison_text",
    "enrichment_html",
    "index_name",
    "is_interactive",
    "label_text",
    "make_report",
    "name_row",
    "plan_html",
    "plan_text",
    "preview_html",
    "readable",
    "report_call",
    "report_of_frame",
    "showing",
    "spelling",
]

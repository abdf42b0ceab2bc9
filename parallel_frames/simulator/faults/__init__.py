"""What can go wrong, to test a pipeline with: `Simulator(faults=[...])`.

Faults of requests (`reset`, `status`, `rate_limited`, `html`, `redirect`, `refuse_cursor`, `slow`, `torn`, `few_ids`,
`swap_ids`, `lose_fields`, `add_headers`, `late_post`, `lagging`, `short_list`), of event streams (`cut_stream`,
`silent_stream`, `repeat_events`, `shuffle_events`, `lose_events`, `malform_events`, `huge_events`, `insert_event`,
`line_ends`, `byte_order_mark`, `dressed`, `pieces`) and of runs (`fail_runs`, `cancel_runs`, `stick_runs`,
`require_action`, `break_answers`, `odd_text`).

A fault strikes every time, or by `nth` (a number counted from 1, a set or range of them, or `onwards`), or by
`probability`, drawn from the simulator's seed. Faults wrap each other in the order given: the first request fault is
the outermost, the first stream fault is next to the events. For a fault of your own, make a frozen dataclass of
`RequestFault`, `StreamFault` or `RunFault`, and override `strike`, `bend` or `change`.

Examples
--------
The runs of the first batch are created, but the client sees a reset; of the streams, every one breaks after two
events::

    >>> from parallel_frames.simulator import Simulator, faults
    >>> trouble = [faults.reset("add_runs", when="after", nth=1), faults.cut_stream(after=2)]
    >>> with Simulator(faults=trouble) as sim:
    ...     sim.counts.faults
    0
"""

from __future__ import annotations

from ._base import Choice, Fault, RequestFault, RunFault, StreamFault, onwards
from ._requests import (
    add_headers,
    few_ids,
    html,
    lagging,
    late_post,
    lose_fields,
    rate_limited,
    redirect,
    refuse_cursor,
    reset,
    short_list,
    slow,
    status,
    swap_ids,
    torn,
)
from ._runs import break_answers, cancel_runs, fail_runs, odd_text, require_action, stick_runs
from ._streams import (
    byte_order_mark,
    cut_stream,
    dressed,
    huge_events,
    insert_event,
    line_ends,
    lose_events,
    malform_events,
    pieces,
    repeat_events,
    shuffle_events,
    silent_stream,
)

__all__ = [
    "Choice",
    "Fault",
    "RequestFault",
    "RunFault",
    "StreamFault",
    "add_headers",
    "break_answers",
    "byte_order_mark",
    "cancel_runs",
    "cut_stream",
    "dressed",
    "fail_runs",
    "few_ids",
    "html",
    "huge_events",
    "insert_event",
    "lagging",
    "late_post",
    "line_ends",
    "lose_events",
    "lose_fields",
    "malform_events",
    "odd_text",
    "onwards",
    "pieces",
    "rate_limited",
    "redirect",
    "refuse_cursor",
    "repeat_events",
    "require_action",
    "reset",
    "short_list",
    "shuffle_events",
    "silent_stream",
    "slow",
    "status",
    "stick_runs",
    "swap_ids",
    "torn",
]

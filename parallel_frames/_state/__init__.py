"""What is known of every row, run and group of a job, and the rules of paying once on that knowledge.

`Index` knows all of a job, whatever its size; `GroupState` knows one group while the engine works with it. Neither
decides anything: `next_step`, `judge_look` and `judge_batch` do, as pure functions. Answers are in the store.
"""

from parallel_frames._state._answers import Answers
from parallel_frames._state._group import GroupState
from parallel_frames._state._index import Index, JobStatus, Step
from parallel_frames._state._rules import (
    ANSWERED,
    AWAITED,
    NEVER,
    STATUS_NAMES,
    Look,
    judge_batch,
    judge_look,
    next_step,
    read_identity,
)

__all__ = [
    "ANSWERED",
    "AWAITED",
    "NEVER",
    "STATUS_NAMES",
    "Answers",
    "GroupState",
    "Index",
    "JobStatus",
    "Look",
    "Step",
    "judge_batch",
    "judge_look",
    "next_step",
    "read_identity",
]

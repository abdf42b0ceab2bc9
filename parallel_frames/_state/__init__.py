"""What is known of every row, run and group of a job, and the rules of paying once on that knowledge.

An `Index` knows all of a job: a `MemoryIndex` of a frame's, a `DiskIndex` of a file's, whatever its size. `GroupState`
knows one group while the engine works with it. Neither decides anything: `next_step`, `judge_look` and `judge_batch`
do, as pure functions. Answers are in the store.
"""

from typing import TypeAlias

from parallel_frames._state._answers import Answers
from parallel_frames._state._disk import DiskIndex
from parallel_frames._state._group import GroupState
from parallel_frames._state._index import RUN_SCHEMA, STATE_SCHEMA, JobStatus, Step, runs_of, states_of, utc_time
from parallel_frames._state._memory import MemoryIndex
from parallel_frames._state._rules import (
    ANSWERED,
    AWAITED,
    NEVER,
    STATUS_NAMES,
    judge_batch,
    judge_look,
    next_step,
    read_identity,
)
from parallel_frames._state._staged import StagedIndex, StagedInput

Index: TypeAlias = MemoryIndex | DiskIndex

__all__ = [
    "ANSWERED",
    "AWAITED",
    "NEVER",
    "RUN_SCHEMA",
    "STATE_SCHEMA",
    "STATUS_NAMES",
    "Answers",
    "DiskIndex",
    "GroupState",
    "Index",
    "JobStatus",
    "MemoryIndex",
    "StagedIndex",
    "StagedInput",
    "Step",
    "judge_batch",
    "judge_look",
    "next_step",
    "read_identity",
    "runs_of",
    "states_of",
    "utc_time",
]

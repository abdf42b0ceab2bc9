"""Frames that an engine holds, such as Dask's: keys on the engine, runs from one process, answers by key.

::

    frame ─ keys ─▶ staged/<call>/*.parquet ─ runner ─▶ receipts, outcomes ─▶ answers/*.parquet ─ lookup ─▶ lazy frame
     engine          one line per input        here: that of frames and files                     engine

An engine may run any task twice, on another machine, or years later: nothing that it runs can send, or pay. What it
writes are files named by their content, and answers are found by key, so that none lands on a wrong row.

An adapter gives an `EngineFrame` to these functions; it is all that an engine needs.
"""

from parallel_frames._distributed._answers import AnswerLookup
from parallel_frames._distributed._arrow import (
    empty_frame,
    look_up,
    merge_batches,
    merge_table,
    new_types,
    stage_table,
)
from parallel_frames._distributed._call import (
    EngineFrame,
    engine_enrichment,
    plan_frame,
)
from parallel_frames._distributed._keys import InputStager, KeyMaker, StagedFile
from parallel_frames._distributed._stage import Sent, StagedJob, open_staged, stage_frame

__all__ = [
    "AnswerLookup",
    "EngineFrame",
    "InputStager",
    "KeyMaker",
    "Sent",
    "StagedFile",
    "StagedJob",
    "empty_frame",
    "engine_enrichment",
    "look_up",
    "merge_batches",
    "merge_table",
    "new_types",
    "open_staged",
    "plan_frame",
    "stage_frame",
    "stage_table",
]

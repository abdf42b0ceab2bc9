"""The directory in which a job survives this process: plain Parquet beside a small readable header.

::

    companies.ckpt/<job>/
      header.json               format, versions, the job, the service's host and dialect, group ids
      receipts/000001.parquet   key, attempt, row, run_id, group_id
                                (000001.intent.parquet until it is decided)
      outcomes/000001.parquet   one line per finished run; the file's metadata holds the streams' cursors
      refresh.parquet           key, attempt: what an unfinished refresh is to ask anew
      lock, writer.json         one writer at a time

It owns durability: every file is written whole under a hidden name, fsynced, given its number exclusively, and its
folder fsynced. It decides nothing about sending; that is the ledger's.
"""

from parallel_frames._checkpoint._directory import (
    auto_root,
    choose_folder,
    open_store,
)
from parallel_frames._checkpoint._files import list_parts, read_part
from parallel_frames._checkpoint._header import read_header
from parallel_frames._checkpoint._inside import Checkpoint
from parallel_frames._checkpoint._lock import held
from parallel_frames._checkpoint._memory import MemoryStore
from parallel_frames._checkpoint._recall import CURSORS, Peek, Remembered, peek_folder, read_intent, read_stale
from parallel_frames._checkpoint._store import DirectoryStore

__all__ = [
    "CURSORS",
    "Checkpoint",
    "DirectoryStore",
    "MemoryStore",
    "Peek",
    "Remembered",
    "auto_root",
    "choose_folder",
    "held",
    "list_parts",
    "open_store",
    "peek_folder",
    "read_header",
    "read_intent",
    "read_part",
    "read_stale",
]

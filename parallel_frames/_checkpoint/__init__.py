"""The directory in which a job survives this process: plain Parquet beside a small readable header.

::

    companies.ckpt/<job>/
      header.json               format, versions, the job, the service's host and dialect, group ids
      receipts/000001.parquet   key, attempt, row, run_id, group_id
                                (000001.intent.parquet until it is decided)
      outcomes/000001.parquet   one line per finished run; the file's metadata holds the streams' cursors
      refresh.parquet           key, attempt: what an unfinished refresh is to ask anew
      lock, writer.json         one writer at a time

It owns durability: on a file system every file is written whole under a hidden name, fsynced, given its number
exclusively, and its folder fsynced; in an object store it is put whole. It decides nothing about sending; that is the
ledger's.
"""

from parallel_frames._checkpoint._care import compact_job, job_folders, last_used, remove_job
from parallel_frames._checkpoint._directory import (
    auto_home,
    auto_root,
    choose_folder,
    open_store,
)
from parallel_frames._checkpoint._files import in_thread, list_parts, read_part, read_patiently
from parallel_frames._checkpoint._header import read_header
from parallel_frames._checkpoint._inside import Checkpoint
from parallel_frames._checkpoint._lock import held
from parallel_frames._checkpoint._memory import MemoryStore
from parallel_frames._checkpoint._places import Place, check_path, place_of
from parallel_frames._checkpoint._recall import (
    Peek,
    Remembered,
    cursors_of,
    intents_first,
    peek_folder,
    read_intent,
    read_stale,
    replaced_by,
)
from parallel_frames._checkpoint._store import DirectoryStore
from parallel_frames._checkpoint._writer import is_being_written

__all__ = [
    "Checkpoint",
    "DirectoryStore",
    "MemoryStore",
    "Peek",
    "Place",
    "Remembered",
    "auto_home",
    "auto_root",
    "check_path",
    "choose_folder",
    "compact_job",
    "cursors_of",
    "held",
    "in_thread",
    "intents_first",
    "is_being_written",
    "job_folders",
    "last_used",
    "list_parts",
    "open_store",
    "peek_folder",
    "place_of",
    "read_header",
    "read_intent",
    "read_part",
    "read_patiently",
    "read_stale",
    "remove_job",
    "replaced_by",
]

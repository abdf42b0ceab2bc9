"""The directory in which a job survives this process: plain Parquet and a small readable header.

::

    companies.ckpt/<job>/
      header.json               format, versions, the job, the service's host and dialect, group ids
      receipts/000001.parquet   key, attempt, row, run_id, group_id
                                (000001.intent.parquet until it is decided)
      outcomes/000001.parquet   one line per finished run; the file's metadata holds the streams' cursors
      refresh.parquet           key, attempt: what an unfinished refresh is to ask again
      staged/<call>/*.parquet   inputs by key, as an engine's workers wrote them
      answers/*.parquet         answers by key, for an engine's workers; named by a hash of their content
      lock, writer.json         one writer at a time

It owns durability: on a file system every file is written whole under a hidden name, fsynced, given its number
exclusively, and its folder fsynced; in an object store it is put whole. It decides nothing about sending; that is the
ledger's.
"""

from parallel_frames._checkpoint._folders import (
    JOB_DIGITS,
    auto_folder,
    auto_home,
    check_header,
    choose_folder,
    memory_store,
    open_store,
    read_header,
)
from parallel_frames._checkpoint._inspect import Checkpoint, asked_of, forms_of, sent_of
from parallel_frames._checkpoint._keyed import (
    ANSWER_SCHEMA,
    ANSWERS,
    STAGED_SCHEMA,
    make_keyed_folder,
    new_staging,
    read_hashed,
    read_manifests,
    remove_folder,
    write_hashed,
    write_manifest,
)
from parallel_frames._checkpoint._lease import file_lock, is_being_written
from parallel_frames._checkpoint._maintenance import compact_job, job_folders, last_used, remove_job
from parallel_frames._checkpoint._parts import (
    OUTCOME_SCHEMA,
    in_thread,
    read_patiently,
    table_of,
)
from parallel_frames._checkpoint._paths import (
    LocalPath,
    StoragePath,
    check_path,
    place_of,
)
from parallel_frames._checkpoint._recall import (
    Recalled,
    read_answers,
    read_outcomes,
    read_receipts,
    read_stale,
    recall_folder,
)
from parallel_frames._checkpoint._store import JobStore

__all__ = [
    "ANSWERS",
    "ANSWER_SCHEMA",
    "JOB_DIGITS",
    "OUTCOME_SCHEMA",
    "STAGED_SCHEMA",
    "Checkpoint",
    "JobStore",
    "LocalPath",
    "Recalled",
    "StoragePath",
    "asked_of",
    "auto_folder",
    "auto_home",
    "check_header",
    "check_path",
    "choose_folder",
    "compact_job",
    "file_lock",
    "forms_of",
    "in_thread",
    "is_being_written",
    "job_folders",
    "last_used",
    "make_keyed_folder",
    "memory_store",
    "new_staging",
    "open_store",
    "place_of",
    "read_answers",
    "read_hashed",
    "read_header",
    "read_manifests",
    "read_outcomes",
    "read_patiently",
    "read_receipts",
    "read_stale",
    "recall_folder",
    "remove_folder",
    "remove_job",
    "sent_of",
    "table_of",
    "write_hashed",
    "write_manifest",
]

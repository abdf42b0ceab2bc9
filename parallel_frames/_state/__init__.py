"""What is known of every run, and the rules of paying once, as decisions on that knowledge.

Pure bookkeeping: no clock, no file, no network. It is told of intents, receipts, listings and outcomes, and says
what is answered, what is awaited, what may be sent, and whether an ambiguous batch is present, absent, or has to
wait. Whoever acts on it makes things durable in the order of `Store`.

A run's identity is (key, attempt). *Present* is what was found by run id, by the key and attempt in a run's
metadata, or, where a service echoes no metadata, by its input. *Absent* is never concluded from an event, a count
or a partial listing: only from a whole listing taken after the settle time.

`_books` is told; `_archive` keeps what most of it comes to, an answer to a first attempt, by the million; `_look` says
whose a run is and what a look at a group proves.
"""

from parallel_frames._state._answers import Answers
from parallel_frames._state._archive import Archive, encode, encode_table
from parallel_frames._state._books import WEIGHT, Ledger, Needs
from parallel_frames._state._look import Look, judge_look, read_identity
from parallel_frames._state._tables import OUTCOME_SCHEMA, RECEIPT_SCHEMA, receipts_of, table_of

__all__ = [
    "OUTCOME_SCHEMA",
    "RECEIPT_SCHEMA",
    "WEIGHT",
    "Answers",
    "Archive",
    "Ledger",
    "Look",
    "Needs",
    "encode",
    "encode_table",
    "judge_look",
    "read_identity",
    "receipts_of",
    "table_of",
]

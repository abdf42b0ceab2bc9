"""Bodies, paths and answers of the service's two descriptions, as pure functions over bytes.

The *published* dialect is what the live service speaks (under ``/v1``; the same under ``/v1beta`` on older
deployments). The *seed* is the earlier description, in which a group carries the task spec and the shapes of some
answers are left open, so they are read leniently. What travels is known here and nowhere else; how it travels
(HTTP, retries, errors) is not.
"""

from parallel_frames._dialects._answers import read_group_id, read_run_ids, read_status
from parallel_frames._dialects._json import TornError, UnreadableError, excerpt, read_json
from parallel_frames._dialects._requests import DIALECTS, PUBLISHED, PUBLISHED_V1BETA, SEED, Dialect, seed_spec
from parallel_frames._dialects._runs import possible_inputs, read_event, read_listing, read_outcome, read_run

__all__ = [
    "DIALECTS",
    "PUBLISHED",
    "PUBLISHED_V1BETA",
    "SEED",
    "Dialect",
    "TornError",
    "UnreadableError",
    "excerpt",
    "possible_inputs",
    "read_event",
    "read_group_id",
    "read_json",
    "read_listing",
    "read_outcome",
    "read_run",
    "read_run_ids",
    "read_status",
    "seed_spec",
]

"""The service: what is sent to it, what it answers, and how (httpx, only here)."""

from parallel_frames._service._answers import read_group_id, read_run_ids, read_status
from parallel_frames._service._client import Client
from parallel_frames._service._dialects import DIALECTS, PUBLISHED, PUBLISHED_V1BETA, SEED, Dialect, seed_spec
from parallel_frames._service._json import TornError, UnreadableError, excerpt, read_json
from parallel_frames._service._runs import possible_inputs, read_event, read_listing, read_outcome, read_run
from parallel_frames._service._session import Session

__all__ = [
    "DIALECTS",
    "PUBLISHED",
    "PUBLISHED_V1BETA",
    "SEED",
    "Client",
    "Dialect",
    "Session",
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

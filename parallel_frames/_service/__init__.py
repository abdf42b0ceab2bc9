"""The service as the rest of the package sees it: a `Client`, its `Session`, and what messages mean.

Only this package knows httpx. It owns the requests and their retries (`_session`), what is sent (`_dialects`), what is
received (`_messages`, `_sse`), how fast runs may be created (`_pacer`) and the API key (`_client`). It decides nothing
about rows or money: whether a batch may be sent, or sent again, is up to the engine.
"""

from parallel_frames._service._client import Client
from parallel_frames._service._dialects import DIALECTS, PUBLISHED, PUBLISHED_V1BETA, SEED
from parallel_frames._service._messages import describe_open_run, possible_inputs, read_outcome
from parallel_frames._service._pacer import Pacer
from parallel_frames._service._session import Session

__all__ = [
    "DIALECTS",
    "PUBLISHED",
    "PUBLISHED_V1BETA",
    "SEED",
    "Client",
    "Pacer",
    "Session",
    "describe_open_run",
    "possible_inputs",
    "read_outcome",
]

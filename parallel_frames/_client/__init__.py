"""HTTP for one account of one service: the only room that knows httpx.

`Client` is the user's: where the service is, which key, how fast (`_account`). `Session` is one event loop's
connection with it and keeps the engine's `Service` protocol (`_session`). httpx's exceptions become ours here, and
what an answer's status and body mean is decided here (`_answers`). Whether a request may be repeated follows from
what it is: reading is retried, adding runs never is. The API key is in the request's header and nowhere else.
"""

from parallel_frames._client._account import Client
from parallel_frames._client._session import Session

__all__ = ["Client", "Session"]

"""What an answer means: its body within bounds, how long to wait, and which of our errors it is."""

from __future__ import annotations

import math
import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from parallel_frames import _service as dialects
from parallel_frames.errors import (
    AuthenticationError,
    CreditError,
    ProtocolError,
    RateLimitError,
    RejectedError,
    ServiceError,
    UnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    import httpx

    from parallel_frames._model import Json

KEY_VARIABLE: Final = "PARALLEL_API_KEY"
BODY_LIMIT: Final = 256 * 2**20


async def bounded_body(response: httpx.Response) -> bytes:
    """Return a body, unless it has no end."""
    parts: list[bytes] = []
    size = 0
    async for chunk in response.aiter_bytes():
        size += len(chunk)
        if size > BODY_LIMIT:
            raise ProtocolError(f"An answer of more than {BODY_LIMIT:,} bytes.", status=response.status_code)
        parts.append(chunk)
    return b"".join(parts)


def unreachable(host: str, error: httpx.HTTPError) -> UnavailableError:
    """Return our error for a connection that failed; httpx's own text holds no header."""
    return UnavailableError(
        f"{host} could not be reached ({type(error).__name__}: {str(error)[:200]}). Check the network and "
        "PARALLEL_BASE_URL, then run the same call again."
    )


def retry_after(headers: httpx.Headers) -> float | None:
    """Return the seconds a Retry-After asks for, whether it says seconds or a date; None if it says nothing."""
    value = headers.get("retry-after", "").strip()
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
        except (ValueError, OverflowError, OSError):  # the last two: a year that no clock here knows
            return None
    return None if math.isnan(seconds) else min(max(seconds, 0.0), 3600.0)


def error_of(status: int, headers: httpx.Headers, body: bytes, *, group_id: str | None = None) -> ServiceError:
    """Return the error that an answer's status and body mean."""
    said, ref_id = _message_of(body)
    details: dict[str, Any] = {"status": status, "group_id": group_id, "ref_id": ref_id}
    if status == 401:
        return AuthenticationError(
            f"The service does not know this API key (401): {said}. Check {KEY_VARIABLE} or client=.", **details
        )
    if status == 403:
        return AuthenticationError(f"The account may not do this, or not use this processor (403): {said}.", **details)
    if status == 402:
        return CreditError(f"The account has too little credit (402): {said}.", **details)
    if status == 404 and group_id:
        return RejectedError(
            f"The service does not know the group (404): {said}. Is it another account's, another host's, or one of "
            "another dialect (Client(api=...))? If it is gone for good, name another checkpoint to begin anew.",
            **details,
        )
    if status in (400, 404, 405, 409, 413, 422):
        return RejectedError(f"The service refuses the request ({status}): {said}.", **details)
    if status == 429:
        return RateLimitError(f"The service's rate limit is reached (429): {said}.", **details)
    if 300 <= status < 400:
        where = urlsplit(headers.get("location", "")).netloc or "elsewhere"
        return ProtocolError(f"The service redirects to {where} ({status}); redirects are not followed.", **details)
    return UnavailableError(f"The service is in trouble ({status}): {said}.", **details)


def _message_of(body: bytes) -> tuple[str, str | None]:
    """Return what an error's body says, and its reference; HTML and the like become an excerpt."""
    try:
        answer = dialects.read_json(body)
    except dialects.UnreadableError:
        return (dialects.excerpt(body) if body else "no explanation"), None
    error = answer.get("error") if isinstance(answer, dict) else None
    if isinstance(error, dict):
        said, ref_id = error.get("message"), error.get("ref_id")
        text = said[:500].rstrip(".") if isinstance(said, str) and said else "no explanation"
        return text, ref_id if isinstance(ref_id, str) and ref_id else None
    if isinstance(answer, dict) and isinstance(answer.get("detail"), list):
        findings = [_finding(entry) for entry in answer["detail"][:5] if isinstance(entry, dict)]
        return "; ".join(findings)[:1000] or "no explanation", None
    return dialects.excerpt(body), None


def _finding(entry: Mapping[str, Json]) -> str:
    """Return one thing that is wrong with a body, as a 422 tells it."""
    place = entry.get("loc")
    steps = [str(step) for step in place if isinstance(step, str | int)] if isinstance(place, list) else []
    said = entry.get("msg")
    return f"{'.'.join(steps)}: {said if isinstance(said, str) else 'refused'}"

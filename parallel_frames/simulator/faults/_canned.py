"""Answers that come from no service: statuses, pages, redirects, resets."""

from __future__ import annotations

import time
from dataclasses import dataclass
from email.utils import formatdate
from typing import TYPE_CHECKING

from starlette.responses import Response

from parallel_frames.simulator._replies import Reset, reply

if TYPE_CHECKING:
    from parallel_frames.simulator._exchange import Exchange
    from parallel_frames.simulator._replies import Answering

MESSAGES = {
    400: "simulated: bad request",
    401: "simulated: invalid API key",
    402: "simulated: insufficient credit",
    403: "simulated: processor not allowed",
    404: "simulated: not found",
    408: "simulated: request timed out",
    429: "simulated: rate limit exceeded",
    500: "simulated: internal error",
    502: "simulated: bad gateway",
    503: "simulated: service unavailable",
    504: "simulated: gateway timeout",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Canned:
    """An answer made without the service; status 0 is a reset."""

    status: int
    message: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    retry_date: float | None = None
    page: bool = False
    same_place: bool = False

    def make(self, exchange: Exchange) -> Answering:
        """Return the answer to this request."""
        headers = dict(self.headers)
        if self.retry_date is not None:
            headers["Retry-After"] = formatdate(time.time() + self.retry_date, usegmt=True)
        if self.same_place:
            headers.setdefault("Location", str(exchange.request.url))
        if self.status == 0:
            return Reset()
        text = self.message or MESSAGES.get(self.status, f"simulated: status {self.status}")
        if self.page:
            page = f"<!doctype html><html><head><title>{text}</title></head><body><h1>{text}</h1></body></html>"
            return Response(page, status_code=self.status, headers=headers, media_type="text/html")
        if self.status == 422:
            problem = {"loc": ["body"], "msg": self.message or "simulated: refused", "type": "value_error"}
            return reply({"detail": [problem]}, status=422, headers=headers)
        return exchange.error(self.status, text, headers=headers)

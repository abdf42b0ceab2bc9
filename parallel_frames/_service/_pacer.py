"""How fast runs may be created, and how much of a `Retry-After` is heeded.

It knows nothing of HTTP or of rows: numbers go in, seconds come out, and the caller sleeps.
"""

from __future__ import annotations

import asyncio
import math
import threading
from collections import Counter, deque
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from parallel_frames._clock import Clock

WINDOW: Final = 60.0  # seconds that the service's rate limit counts over
SMALL_BATCH: Final = 100
DEFAULT_RETRY_AFTER: Final = 5.0  # for a 429 without the header
MIN_RETRY_AFTER: Final = 0.5
MAX_RETRY_AFTER: Final = 60.0  # advice, not law: a wrong one must not stop a job for an hour


def clamp_retry_after(retry_after: float, *, at_least: float) -> float:
    """Return how long to wait where a service advises so many seconds, within reason."""
    return max(at_least, min(retry_after, MAX_RETRY_AFTER))


class Pacer:
    """A sliding-window rate limiter for creations, each counted when its response arrives.

    The state is what the window holds: `_created`, a queue of (time of the response, runs created), of which the last
    60 seconds count, and `_in_flight`, runs that were granted and not answered yet, which count already. Room is the
    limit minus both. What an event loop was granted that is closed is never answered: it counts as created.

    The service counts a run at some moment between request and response. A limiter that counts at the request lets a
    run leave its window up to one latency before it leaves the service's, and is refused. Counting at the response, our
    window is never ahead, under any latency, and whether the service's limit is a fixed window, a sliding one or a
    token bucket.

    One pacer serves one account of one host in this process, whichever thread or event loop asks; it has a lock, and
    the caller sleeps. Senders join with limits of their own, and the lowest of them applies.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._limits: list[tuple[float, asyncio.AbstractEventLoop | None]] = []
        self._created: deque[tuple[float, int]] = deque()
        self._in_window = 0  # the sum over `_created`
        self._in_flight: Counter[asyncio.AbstractEventLoop | None] = Counter()
        self._not_before = 0.0  # the end of the last 429's Retry-After
        self._small_until = -math.inf

    @contextmanager
    def joined(self, max_per_minute: int | None) -> Iterator[Pacer]:
        """Take part with a limit in creations per 60 seconds; None for no limit."""
        share = math.inf if max_per_minute is None else float(max_per_minute), _running_loop()
        with self._lock:
            self._limits.append(share)
        try:
            yield self
        finally:
            with self._lock, suppress(ValueError):  # its loop was closed, and it is dropped
                self._limits.remove(share)

    def take(self, wanted: int, *, now: float) -> tuple[int, float]:
        """Reserve up to `wanted` creations: return how many, and where none, after how many seconds to ask again.

        `finish` has to give each grant back.
        """
        with self._lock:
            if now < self._not_before:
                return 0, self._not_before - now
            self._drop_left(now)
            while self._created and self._created[0][0] <= now - WINDOW:
                self._in_window -= self._created.popleft()[1]
            limit = min((limit for limit, _ in self._limits), default=math.inf)
            room = limit - self._in_window - self._in_flight.total()
            small = min(SMALL_BATCH, max(1.0, limit / 20))
            if now < self._small_until:
                wanted = min(wanted, int(small))
            # A partial batch is sent at once, but not a tiny one: requests would multiply.
            smallest = min(wanted, small)
            if room < smallest:
                return 0, self._time_until(smallest - room, now=now)
            granted = int(min(wanted, room))
            self._in_flight[_running_loop()] += granted
            return granted, 0.0

    def finish(self, granted: int, *, created: int, now: float) -> None:
        """Give a grant back when its response has arrived: `created` of it count from now on."""
        with self._lock:
            loop = _running_loop()
            self._in_flight[loop] = max(0, self._in_flight[loop] - granted)
            self._add_created(created, now)

    def note_refusal(self, retry_after: float | None, *, now: float) -> None:
        """Record a 429: nothing is granted before its Retry-After, and only small batches for a minute after it.

        With our own window behind the service's, a 429 means that another client uses the account. The service refuses
        a batch as a whole if one run does not fit, so that a small one gets through where a large one does not.
        """
        wait = DEFAULT_RETRY_AFTER if retry_after is None else clamp_retry_after(retry_after, at_least=MIN_RETRY_AFTER)
        with self._lock:
            self._not_before = max(self._not_before, now + wait)
            self._small_until = self._not_before + WINDOW

    def _add_created(self, created: int, now: float) -> None:
        if created:
            self._created.append((now, created))
            self._in_window += created

    def _drop_left(self, now: float) -> None:
        """Drop the senders whose event loops were closed under them."""
        loops = {*self._in_flight, *(loop for _, loop in self._limits)}
        for left in [loop for loop in loops if loop is not None and loop.is_closed()]:
            self._add_created(self._in_flight.pop(left, 0), now)
            self._limits = [share for share in self._limits if share[1] is not left]

    def _time_until(self, missing: float, *, now: float) -> float:
        """Return the seconds until so many creations have left the window."""
        for at, count in self._created:
            missing -= count
            if missing <= 0:
                return max(at + WINDOW - now, 0.001)
        return 0.05  # what is missing is in flight: look again soon


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


_pacers: dict[tuple[str, str, float], Pacer] = {}
_pacers_lock = threading.Lock()


def shared_pacer(host: str, *, account: str, clock: Clock) -> Pacer:
    """Return this process's one pacer for an account of a host."""
    with _pacers_lock:
        return _pacers.setdefault((host, account, clock.speed), Pacer())

"""When the next batch may start: against every kind of limit, with company, after refusals; and the clock of it all."""

from __future__ import annotations

import asyncio
import math
import random
import threading
import time
from dataclasses import dataclass, field
from typing import Literal

import pytest

from parallel_frames._clock import Backoff, Clock
from parallel_frames._service._pacer import SMALL_BATCH, WINDOW, Pacer, shared_pacer
from parallel_frames.errors import ConfigurationError
from parallel_frames.simulator._limits import RateLimit

BATCH = 1000


@dataclass
class Account:
    """An account with a limit, and perhaps another client of it that creates ten runs at a time, evenly."""

    window: Literal["fixed", "sliding", "bucket"]
    per_minute: int = 2000
    others: float = 0.0
    refusals: int = 0
    _limit: RateLimit = field(init=False)
    _others_next: float = 0.0

    def __post_init__(self) -> None:
        self._limit = RateLimit(self.per_minute, window=self.window)
        self._others_next = -2 * WINDOW if self.others else math.inf

    def create(self, runs: int, *, at: float) -> float | None:
        """Create a batch and return None, or refuse it and return its Retry-After."""
        while self._others_next <= at:
            self._limit.take(10, now=self._others_next)
            self._others_next += 10 * WINDOW / (self.per_minute * self.others)
        wait = self._limit.take(runs, now=at)
        self.refusals += wait is not None
        return wait


@dataclass
class Sender:
    """One enrichment in simulated time: asks the pacer, sends, waits, one POST at a time."""

    account: Account
    pacer: Pacer
    rows: int
    seed: int = 0
    latency: tuple[float, float] = (0.02, 0.9)
    advice: bool = True
    now: float = 0.0
    sizes: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._rng = random.Random(self.seed)

    def step(self) -> None:
        """Wait once, or send one batch."""
        granted, wait = self.pacer.take(min(BATCH, self.rows), now=self.now)
        if not granted:
            assert wait > 0, "neither a grant nor a wait"
            self.now += wait
            return
        there, back = self._rng.uniform(*self.latency) / 2, self._rng.uniform(*self.latency) / 2
        refused = self.account.create(granted, at=self.now + there)
        self.now += there + back
        self.pacer.finish(granted, created=0 if refused is not None else granted, now=self.now)
        if refused is not None:
            self.pacer.note_refusal(math.ceil(refused) if self.advice else None, now=self.now)
            return
        self.rows -= granted
        self.sizes.append(granted)

    def run(self) -> float:
        """Send everything; return the seconds it took."""
        began = self.now
        while self.rows:
            self.step()
        return self.now - began


def least_seconds(rows: int, *, per_minute: float) -> float:
    """Return the least time in which a sliding minute of so many lets so many rows pass."""
    return math.floor((rows - 1) / per_minute) * WINDOW


@pytest.mark.parametrize("window", ["fixed", "sliding", "bucket"])
@pytest.mark.parametrize("began", [0.0, 13.7, 59.5], ids=lambda began: f"begun at {began}")
def test_no_limit_of_any_kind_refuses_a_lone_sender(window, began):
    """Ten thousand rows under latency jitter: no refusal at all, and within 3 % of the least possible time."""
    for seed in range(5):
        account, pacer = Account(window), Pacer()
        with pacer.joined(2000):
            took = Sender(account, pacer, 10_000, seed=seed, now=began).run()
        assert account.refusals == 0
        assert took <= 1.03 * least_seconds(10_000, per_minute=2000)


@pytest.mark.parametrize("latency", [(0.0, 0.0), (5.0, 30.0)], ids=["none", "up to 30 s"])
@pytest.mark.parametrize("window", ["fixed", "sliding", "bucket"])
def test_no_latency_leads_to_a_refusal(window, latency):
    """What is counted at its response is counted late enough, however slow the answers are."""
    account, pacer = Account(window), Pacer()
    with pacer.joined(2000):
        Sender(account, pacer, 10_000, latency=latency).run()
    assert account.refusals == 0


@pytest.mark.parametrize("per_minute", [1, 30, 99, 100, 101, 250, 5000])
def test_limits_of_every_size_are_met(per_minute):
    """Small limits grant small batches, large ones whole batches; none is exceeded."""
    account, pacer = Account("sliding", per_minute=per_minute), Pacer()
    with pacer.joined(per_minute):
        took = Sender(account, pacer, 3 * per_minute, latency=(0.1, 0.1)).run()
    assert account.refusals == 0
    assert 120 <= took < 125 + per_minute / BATCH


def test_two_senders_of_one_account_share_its_limit():
    """Two at once draw no refusal, and take as long as one with all their rows."""
    account, pacer = Account("sliding"), Pacer()
    with pacer.joined(2000), pacer.joined(2000):
        senders = [Sender(account, pacer, 5000, seed=seed) for seed in (1, 2)]
        while any(sender.rows for sender in senders):
            min((sender for sender in senders if sender.rows), key=lambda sender: sender.now).step()
    assert account.refusals == 0
    assert max(sender.now for sender in senders) <= 1.03 * least_seconds(10_000, per_minute=2000)


def test_what_is_in_flight_takes_room():
    """A grant that has no answer yet counts, so that two senders can't both fill the window."""
    pacer = Pacer()
    with pacer.joined(2000):
        assert pacer.take(1000, now=0.0) == (1000, 0.0)
        assert pacer.take(1000, now=0.0) == (1000, 0.0)
        granted, wait = pacer.take(1000, now=0.0)
        assert granted == 0
        assert 0 < wait < 1


def test_a_creation_counts_from_its_response():
    """The window opens again 60 seconds after the answer, not after the request."""
    pacer = Pacer()
    with pacer.joined(1000):
        pacer.take(1000, now=0.0)
        pacer.finish(1000, created=1000, now=7.0)
        assert pacer.take(1000, now=60.0) == (0, 7.0)
        assert pacer.take(1000, now=67.0) == (1000, 0.0)


def test_what_was_not_created_does_not_count():
    """A refused or failed batch gives its room back."""
    pacer = Pacer()
    with pacer.joined(1000):
        pacer.take(1000, now=0.0)
        pacer.finish(1000, created=0, now=1.0)
        assert pacer.take(1000, now=1.0) == (1000, 0.0)


def test_a_partial_batch_is_worth_sending_a_crumb_is_not():
    """Room for a hundred is used at once; less than that waits until there is more."""
    pacer = Pacer()
    with pacer.joined(2000):
        for size in (1000, 850):
            pacer.take(size, now=0.0)
            pacer.finish(size, created=size, now=float(size == 850))
        assert pacer.take(1000, now=2.0) == (150, 0.0)
        pacer.finish(150, created=140, now=2.0)
        assert pacer.take(1000, now=2.0) == (0, 58.0)
        assert pacer.take(5, now=2.0) == (5, 0.0)


def test_the_lowest_limit_holds_while_its_owner_is_in():
    """A careful client slows the others down only for as long as it takes part."""
    pacer = Pacer()
    with pacer.joined(2000):
        with pacer.joined(300), pacer.joined(300):
            assert pacer.take(1000, now=0.0) == (300, 0.0)
            pacer.finish(300, created=300, now=0.0)
            assert pacer.take(1000, now=0.0)[0] == 0
        assert pacer.take(1000, now=0.0) == (1000, 0.0)
        pacer.finish(1000, created=1000, now=0.0)
        with pacer.joined(300):
            assert pacer.take(10, now=0.0) == (0, 60.0)


def test_a_limit_ends_with_an_exception_too():
    """A sender that leaves by an exception takes its limit with it."""
    pacer = Pacer()
    with pacer.joined(None):
        with pytest.raises(ZeroDivisionError), pacer.joined(1):
            raise ZeroDivisionError
        assert pacer.take(1000, now=0.0) == (1000, 0.0)


def test_no_limit_never_waits():
    """None grants everything at once."""
    pacer = Pacer()
    with pacer.joined(None):
        for _ in range(100):
            assert pacer.take(1000, now=0.0) == (1000, 0.0)
            pacer.finish(1000, created=1000, now=0.0)


@pytest.mark.parametrize(("advice", "wait"), [(17.0, 17.0), (None, 5.0), (0.0, 0.5)], ids=["17", "absent", "0"])
def test_nothing_is_granted_before_a_retry_after(advice, wait):
    """The advice is obeyed by all who share the pacer; none is five seconds, zero is half a second."""
    pacer = Pacer()
    with pacer.joined(2000):
        pacer.note_refusal(advice, now=100.0)
        assert pacer.take(1000, now=100.0) == (0, pytest.approx(wait))
        assert pacer.take(1000, now=100.0 + wait - 0.1)[0] == 0
        assert pacer.take(1000, now=100.0 + wait)[0] > 0


def test_a_shorter_advice_does_not_cut_a_longer_one_short():
    """Of two refusals, the later end holds."""
    pacer = Pacer()
    with pacer.joined(2000):
        pacer.note_refusal(30.0, now=0.0)
        pacer.note_refusal(1.0, now=1.0)
        assert pacer.take(1000, now=2.0) == (0, 28.0)


@pytest.mark.parametrize("advice", [1.0, 59.0])
def test_batches_are_small_for_a_minute_after_a_refusal(advice):
    """The minute begins when sending may go on: a long Retry-After does not use it up."""
    pacer = Pacer()
    with pacer.joined(None):
        pacer.note_refusal(advice, now=0.0)
        assert pacer.take(1000, now=advice) == (SMALL_BATCH, 0.0)
        assert pacer.take(1000, now=advice + 59.9) == (SMALL_BATCH, 0.0)
        assert pacer.take(1000, now=advice + 60.0) == (1000, 0.0)


@pytest.mark.parametrize("advice", [True, False], ids=["with Retry-After", "without"])
@pytest.mark.parametrize("seed", range(3))
def test_another_client_of_the_account_slows_but_never_stops(seed, advice):
    """Where another client creates 30 % of a sliding limit, all is sent within 15 % of the best that is left."""
    account, pacer = Account("sliding", others=0.3), Pacer()
    with pacer.joined(2000):
        took = Sender(account, pacer, 20_000, seed=seed, advice=advice).run()
    assert account.refusals > 0
    assert took <= 1.15 * least_seconds(20_000, per_minute=1400)


@pytest.mark.parametrize("window", ["fixed", "bucket"])
def test_another_client_of_another_kind_of_account_is_no_worse(window):
    """A fixed minute and a bucket are shared within the same bounds."""
    account, pacer = Account(window, others=0.3), Pacer()
    with pacer.joined(2000):
        took = Sender(account, pacer, 20_000).run()
    assert took <= 1.15 * least_seconds(20_000, per_minute=1400)


def test_many_threads_never_exceed_the_limit():
    """Grants made at one instant by many threads add up to the limit exactly, and are all given back."""
    pacer = Pacer()
    granted: list[int] = []
    barrier = threading.Barrier(8)

    def take_all() -> None:
        barrier.wait()
        for _ in range(200):
            with pacer.joined(2000):
                size, _wait = pacer.take(7, now=0.0)
                granted.append(size)
                if size:
                    pacer.finish(size, created=size, now=0.0)

    with pacer.joined(2000):
        threads = [threading.Thread(target=take_all) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum(granted) == 2000 // 7 * 7
        assert pacer.take(7, now=60.0) == (7, 0.0)


def test_a_sender_whose_loop_is_closed_keeps_no_room():
    """Its limit goes with it, and what it was sending counts as created: for a minute, not for ever."""
    pacer, loop = Pacer(), asyncio.new_event_loop()

    async def leave():
        with pacer.joined(300):
            assert pacer.take(1000, now=0.0) == (300, 0.0)
            await asyncio.sleep(3600)

    left = leave()
    task = loop.create_task(left)
    loop.run_until_complete(asyncio.sleep(0))
    with pacer.joined(1000):
        assert pacer.take(1000, now=10.0) == (0, 0.05)
        loop.close()
        assert pacer.take(1000, now=20.0) == (700, 0.0)
        pacer.finish(700, created=0, now=21.0)
        left.close()
        assert pacer.take(1000, now=80.0) == (1000, 0.0)
    assert not task.done()


def test_one_pacer_per_host_account_and_clock():
    """The same three give the same pacer; any other gives another."""
    clock = Clock(7.0)
    one = shared_pacer("host-a", account="a", clock=clock)
    assert shared_pacer("host-a", account="a", clock=Clock(7.0)) is one
    others = [
        shared_pacer("host-b", account="a", clock=clock),
        shared_pacer("host-a", account="b", clock=clock),
        shared_pacer("host-a", account="a", clock=Clock(8.0)),
    ]
    assert len({id(pacer) for pacer in [one, *others]}) == 4


def test_the_clock_runs_as_fast_as_the_environment_says(monkeypatch):
    """The variable turns it faster; without one, or with an empty one, it is the wall's."""
    monkeypatch.delenv("PARALLEL_FRAMES_CLOCK_SPEED", raising=False)
    assert Clock.from_environment() == Clock(1.0)
    monkeypatch.setenv("PARALLEL_FRAMES_CLOCK_SPEED", "")
    assert Clock.from_environment() == Clock(1.0)
    monkeypatch.setenv("PARALLEL_FRAMES_CLOCK_SPEED", "250")
    assert Clock.from_environment() == Clock(250.0)


@pytest.mark.parametrize("speed", ["fast", "0", "-1", "nan", "inf"])
def test_a_clock_speed_that_is_not_a_number_above_zero_is_refused(monkeypatch, speed):
    """The message names the variable and its value."""
    monkeypatch.setenv("PARALLEL_FRAMES_CLOCK_SPEED", speed)
    with pytest.raises(
        ConfigurationError, match=f"PARALLEL_FRAMES_CLOCK_SPEED must be a number above 0, not '{speed}'"
    ):
        Clock.from_environment()


def test_a_fast_clock_sleeps_and_counts_faster():
    """A minute of a clock that runs 600 times as fast is a tenth of a second of the wall."""
    clock = Clock(600.0)
    assert clock.real(60.0) == pytest.approx(0.1)
    began, wall = clock.now(), time.monotonic()
    asyncio.run(clock.sleep(60.0))
    assert clock.now() - began >= 60.0
    assert time.monotonic() - wall < 5.0


def test_a_clock_does_not_sleep_backwards():
    """A wait that is already over is no wait."""
    began = time.monotonic()
    asyncio.run(Clock().sleep(-5.0))
    assert time.monotonic() - began < 1.0


def test_backoff_doubles_up_to_its_limit_with_jitter():
    """Each wait lies between half and the whole of what doubling gives, never above the limit."""
    backoff = Backoff(first=0.5, limit=30.0)
    for attempt in range(12):
        whole = min(30.0, 0.5 * 2**attempt)
        waits = [backoff.wait(attempt) for _ in range(200)]
        assert whole / 2 <= min(waits) < max(waits) <= whole


def test_backoff_stands_any_number_of_tries():
    """A stream that reconnects for days gets its longest wait, not an arithmetic error."""
    assert 15.0 <= Backoff().wait(100_000) <= 30.0

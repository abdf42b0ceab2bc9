"""What a simulator was asked to be: every option of its constructor, checked once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Literal, TypeAlias

from ._limits import Window  # noqa: TC001 - part of the dataclass's run-time annotations

Dialect = Literal["both", "published", "seed"]
Latency: TypeAlias = float | tuple[float, float] | Callable[[Random], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The options of a simulator; see `Simulator` for what each means."""

    latency: Latency = 0.2
    max_per_minute: int | None = 2000
    window: Window = "sliding"
    dialect: Dialect = "both"
    api_key: str | None = None
    seed: int = 0
    credit: float | None = None
    price: float | None = None
    reserve: float = 2.0
    refused_processors: tuple[str, ...] = ()
    string_content: bool = False
    events_honour_include_output: bool = True
    unknown_cursor: Literal["refuse", "start", "end"] = "refuse"
    stream_lifetime: float = 3600.0
    keep_alive: float = 15.0
    status_every: float = 5.0
    seed_answer_ids: bool = True
    seed_echo_metadata: bool = True
    seed_echo_input: bool = True
    seed_input_as: Literal["bare", "run"] = "bare"
    seed_list_as: Literal["json", "sse"] = "json"

    def __post_init__(self) -> None:
        choices = {
            "dialect": ("both", "published", "seed"),
            "unknown_cursor": ("refuse", "start", "end"),
            "seed_list_as": ("json", "sse"),
            "seed_input_as": ("bare", "run"),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {getattr(self, name)!r}")


def lognormal(median: float, *, sigma: float = 0.5) -> Callable[[Random], float]:
    """Return a latency that is mostly near its median and now and then much longer.

    Parameters
    ----------
    median : float
        Seconds half of the runs take at most.
    sigma : float, default 0.5
        How wide the distribution is: 0.5 puts one run in twenty above 2.3 times the median.

    Returns
    -------
    callable
        For `Simulator(latency=...)`.

    Examples
    --------
    >>> from parallel_frames.simulator import Simulator, lognormal
    >>> sim = Simulator(latency=lognormal(40, sigma=0.6), speed=100)
    """

    def draw(rng: Random) -> float:
        return median * rng.lognormvariate(0.0, sigma)

    return draw


def draw_latency(latency: Latency, *, rng: Random) -> float:
    """Return how many seconds one run takes."""
    if isinstance(latency, tuple):
        return rng.uniform(*latency)
    return float(latency(rng)) if callable(latency) else float(latency)

"""When runs were sent and when they ended: cumulative counts over time, for the eye."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Sequence

POINTS: Final = 160
LEFT, RIGHT, TOP, BOTTOM = 46.0, 630.0, 12.0, 140.0


class Curve(NamedTuple):
    """How many runs had come so far, at which second."""

    name: str
    seconds: np.ndarray[Any, np.dtype[np.float64]]
    total: np.ndarray[Any, np.dtype[np.int64]]


def make_curves(times: Sequence[tuple[str | None, str | None, str]]) -> tuple[pd.Timestamp | None, list[Curve]]:
    """Return when the first run was sent, and the curves of sent, finished and failed runs."""
    table = pd.DataFrame(times, columns=["created", "ended", "status"])
    created = pd.to_datetime(table["created"], utc=True, errors="coerce", format="ISO8601")
    ended = pd.to_datetime(table["ended"], utc=True, errors="coerce", format="ISO8601")
    if created.notna().sum() == 0 or ended.notna().sum() == 0:
        return None, []
    start = created.min()
    bad = table["status"] != "completed"
    curves = [Curve("sent", *_steps(created, start)), Curve("finished", *_steps(ended, start))]
    if bad.any():
        curves.append(Curve("failed", *_steps(ended[bad], start)))
    return start, curves


def steps(curve: Curve, length: float) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return a curve's moments and counts from nothing at the start to the end of the time shown."""
    return np.concatenate([[0.0], curve.seconds, [length]]), np.concatenate([[0], curve.total, [curve.total[-1]]])


def _steps(moments: pd.Series[Any], start: pd.Timestamp) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    seconds = np.sort((moments.dropna() - start).dt.total_seconds().to_numpy(dtype=float))
    return seconds, np.arange(1, len(seconds) + 1)


def seconds_taken(times: Sequence[tuple[str | None, str | None, str]]) -> float | None:
    """Return the seconds from the first run's creation to the last one's end; None where they are not known."""
    _, curves = make_curves(times)
    ends = [curve.seconds[-1] for curve in curves if len(curve.seconds)]
    return float(max(ends)) if ends else None


def draw_timeline(times: Sequence[tuple[str | None, str | None, str]], *, duration: Any) -> dict[str, Any] | None:
    """Return what the template draws; None where there is nothing to see. `duration` says seconds in words."""
    start, curves = make_curves(times)
    length = max((curve.seconds[-1] for curve in curves if len(curve.seconds)), default=0.0)
    most = max((int(curve.total[-1]) for curve in curves if len(curve.total)), default=0)
    if start is None or length < 0.5 or most < 2:
        return None
    colours = {"sent": "pending", "finished": "completed", "failed": "failed"}
    lines = [
        {"name": curve.name, "colour": colours[curve.name], "dashed": curve.name == "sent",
         "points": _points(curve, length=length, most=most)}
        for curve in curves
    ]  # fmt: skip
    told = f"{most} runs over {duration(length)}"
    return {
        "lines": lines,
        "most": most,
        "start": start.strftime("%Y-%m-%d %H:%M:%S UTC"),
        "length": duration(length),
        "told": told,
    }


def _points(curve: Curve, *, length: float, most: int) -> str:
    """Return a curve as the points of a polyline in steps, few enough to be small and the last one exact."""
    kept = np.unique(np.linspace(0, len(curve.seconds) - 1, min(POINTS, len(curve.seconds))).astype(int))
    seconds, totals = steps(Curve(curve.name, curve.seconds[kept], curve.total[kept]), length)
    seconds, totals = np.repeat(seconds, 2)[1:-1], np.repeat(totals, 2)[:-2]  # along, then up
    x = LEFT + seconds / length * (RIGHT - LEFT)
    y = BOTTOM - totals / most * (BOTTOM - TOP)
    return " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))

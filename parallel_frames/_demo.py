"""The demonstration: the shipped table of countries, enriched on this machine by a simulator of the service.

Owns what is shown, and shows real calls only: this module makes up nothing that it prints. The answers come from the
shipped facts, and the output is labelled simulated at its start and at its end.
"""

from __future__ import annotations

import inspect
import json
import shutil
import sys
import textwrap
from contextlib import contextmanager, redirect_stderr
from typing import TYPE_CHECKING, Any, Final, Literal

import pandas as pd
from pydantic import BaseModel, Field

import parallel_frames as pf
from parallel_frames._format import format_count
from parallel_frames._job._defaults import without_project
from parallel_frames._prices import price_of
from parallel_frames._ui import report_call
from parallel_frames.data import load_countries, load_country_facts
from parallel_frames.simulator import Failure, faults

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO

    from parallel_frames.simulator import Simulator

PROCESSOR: Final = "base"
SPEED: Final = 40.0
WIDTH: Final = min(100, shutil.get_terminal_size((100, 24)).columns)
NEXT: Final = 'parallel-frames enrich my.csv out.csv --column "founded (int): year of foundation" --offline'
SHOWN: Final = ["country", "capital", "continent", "population", "area_km2", "neighbours"]


class Country(BaseModel):
    """What to find out about a country."""

    capital: str | None = Field(description="The capital city; null if there is none")
    continent: Literal["Africa", "Antarctica", "Asia", "Europe", "North America", "Oceania", "South America"]
    population: int = Field(description="How many people live there")
    area_km2: float | None = Field(description="Area in square kilometres")
    neighbours: list[str] = Field(description="ISO codes of its land neighbours")


def enrich_countries(df: pd.DataFrame) -> pd.DataFrame:
    """Ask for a `Country` about every row: the call that the demonstration shows and makes."""
    out: pd.DataFrame = df.parallel.enrich(Country, processor=PROCESSOR, inputs=["country", "iso_code"], progress=True)
    return out


def run_demo(*, rows: int) -> None:
    """Show a first call, the same call again, and a call with a grown frame on a bad connection."""
    table = load_countries().head(rows)
    today = table.head(max(1, rows * 4 // 5))
    options: dict[str, Any] = {"latency": (15, 100), "speed": SPEED}
    with without_project(), _on_screen() as screen, pf.offline(_answers(), **options) as sim:
        screen.paragraph(
            "SIMULATED: a server on this machine stands in for Parallel's service, on a clock that runs "
            f"{SPEED:.0f} times as fast. No key, no network, no cost. Its answers are facts shipped with the package, "
            "from GeoNames (CC BY 4.0)."
        )
        calls = CallLog(sim)
        _show_first_call(screen, calls, today)
        _show_same_call(screen, calls, today)
        _show_grown_frame(screen, calls, _grown(table))
        _show_summary(screen, calls)


def _answers() -> dict[str, Any]:
    """Return the simulator's answers: the shipped facts by code, and a failure for the country that does not exist."""
    facts = load_country_facts().set_index("iso_code")
    return {**json.loads(facts.to_json(orient="index")), "--": Failure("No such country was found on the web.")}


def _grown(table: pd.DataFrame) -> pd.DataFrame:
    """Return every row twice, shuffled, and one that cannot be answered."""
    atlantis = pd.DataFrame([{"country": "Atlantis", "iso_code": "--", "iso_code_3": "---"}], dtype="string")
    return pd.concat([table, table, atlantis]).sample(frac=1, random_state=1)


class CallLog:
    """What every call sent, by the simulator's own count."""

    def __init__(self, sim: Simulator) -> None:
        self._sim = sim
        self.lines: list[dict[str, object]] = []

    def break_connection(self) -> None:
        """Lose the answer to the next batch, and cut every stream."""
        self._sim.add_faults(faults.reset("add_runs", when="after", nth=1), faults.cut_stream(after=8))

    def enrich(self, name: str, df: pd.DataFrame) -> pd.DataFrame:
        """Enrich a frame and log what was sent."""
        before = self._sim.counts
        out = enrich_countries(df)
        after = self._sim.counts
        billed = after.completed - before.completed  # failed runs are not
        self.lines.append(
            {
                "call": name,
                "rows": len(df),
                "answered": int((out["parallel_status"] == "completed").sum()),
                "POSTs": after.posts - before.posts,
                "runs": after.runs - before.runs,
                "paid twice": after.duplicates - before.duplicates,
                "real price": price_of(PROCESSOR).text(billed),
            }
        )
        return out


def _show_first_call(screen: Screen, calls: CallLog, df: pd.DataFrame) -> None:
    screen.title("1. One call fills typed columns")
    screen.paragraph(
        f"The frame has {format_count(len(df), 'row')}, with a country's name and codes. What to find out is a model:"
    )
    screen.code(inspect.getsource(Country) + "\n\n" + _shown_call())
    out = calls.enrich("first call", df)
    screen.line()
    screen.frame(out[SHOWN].head(9), max_colwidth=26)
    screen.paragraph("Every row has a status. Dtypes follow from the model alone, whatever the answers hold:")
    screen.frame(out[[*SHOWN[1:], "parallel_status"]].dtypes.astype(str).to_frame().T)
    price = price_of(PROCESSOR)
    screen.paragraph(
        f"On the real service, {format_count(len(df), 'run')} of {PROCESSOR!r} would have cost {price.text(len(df))} "
        f"(prices of {price.as_of})."
    )


def _show_same_call(screen: Screen, calls: CallLog, df: pd.DataFrame) -> None:
    screen.title("2. The same call again sends nothing")
    screen.paragraph("Every answer is in the checkpoint. A call that was killed resumes the same way: run it again.")
    calls.enrich("the same again", df)
    screen.line()
    screen.paragraph(_sent(calls))


def _show_grown_frame(screen: Screen, calls: CallLog, df: pd.DataFrame) -> None:
    screen.title("3. A grown frame pays for its new rows, on any connection")
    screen.paragraph(
        f"Now {len(df)} rows: the whole table, each country twice, shuffled, and one that does not exist. The "
        "connection breaks after the service took the batch and before it answered. Then every stream is cut after "
        "8 events."
    )
    calls.break_connection()
    out = calls.enrich("grown, doubled", df)
    screen.line()
    screen.paragraph(_sent(calls))
    screen.paragraph("The country that does not exist is a row with a status, and fails nothing else:")
    failed = out.loc[out["parallel_status"] == "failed", ["country", "capital", "parallel_status", "parallel_error"]]
    screen.frame(failed)


def _show_summary(screen: Screen, calls: CallLog) -> None:
    screen.title("What was sent, by the simulator's own count")
    screen.frame(pd.DataFrame(calls.lines))
    screen.paragraph("Next, a file of your own, at no cost and with answers that are made up:")
    screen.code(NEXT)
    screen.paragraph(
        "SIMULATED: all of the above. Without --offline, and with a key in PARALLEL_API_KEY, the command asks the live "
        "web, and costs money."
    )


def _sent(calls: CallLog) -> str:
    line = calls.lines[-1]
    return f"Runs sent: {line['runs']}. Requests that send runs: {line['POSTs']}. Paid twice: {line['paid twice']}."


def _shown_call() -> str:
    call = inspect.getsource(enrich_countries).partition("DataFrame = ")[2].partition("\n")[0]
    return f"out = {call}".replace("processor=PROCESSOR", f'processor="{PROCESSOR}"').replace(", progress=True", "")


class Screen:
    """Text on standard output, no wider than it should be; progress bars pass, where they can be drawn."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._bar = ""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._out, name)

    def write(self, text: str) -> int:
        """Write the messages of an enrichment: lines wrapped, and only the last state of a progress bar."""
        if text.startswith("\r") and not self._out.isatty():
            self._bar = text.strip() or self._bar
        elif text == "\n" and self._bar:
            self.line(self._bar)
            self._bar = ""
        elif text.startswith("\r") or len(text) <= WIDTH:
            self._out.write(text)
        else:
            self._out.write(wrapped_at_dots(text))
        return len(text)

    def flush(self) -> None:
        """Show what was written."""
        self._out.flush()

    def line(self, text: str = "") -> None:
        """Write a line as it is."""
        self._out.write(f"{text}\n")
        self._out.flush()

    def title(self, text: str) -> None:
        """Write a title."""
        self.line(f"\n── {text} ".ljust(WIDTH + 1, "─") + "\n")

    def paragraph(self, text: str) -> None:
        """Write a text in lines."""
        self.line(textwrap.fill(text, WIDTH, break_on_hyphens=False) + "\n")

    def code(self, text: str) -> None:
        """Write code, indented."""
        lines = [self._broken(line) for line in text.strip().splitlines()]
        self.line(textwrap.indent("\n".join(lines), "    ") + "\n")

    def _broken(self, line: str) -> str:
        indent = " " * (len(line) - len(line.lstrip()) + 4)
        return textwrap.fill(line, 96, subsequent_indent=indent, break_on_hyphens=False)

    def frame(self, df: pd.DataFrame, *, max_colwidth: int = 60) -> None:
        """Write a frame whole; long cells are cut."""
        self.line(df.to_string(index=False, max_colwidth=max_colwidth, float_format="{:.0f}".format) + "\n")


def wrapped_at_dots(text: str) -> str:
    """Break the summary line of a call at its separators."""
    lines = [""]
    for part in text.split(" · "):
        if lines[-1] and len(lines[-1]) + len(part) + 3 > WIDTH:
            lines.append("  " + part)
        else:
            lines[-1] += f" · {part}" if lines[-1] else part
    return "\n".join(lines)


@contextmanager
def _on_screen() -> Iterator[Screen]:
    """Redirect standard error to standard output, so that a file gets all of it in order.

    Calls end without Python's way to a report: the reader is at a shell's prompt.
    """
    screen = Screen(sys.stdout)
    token = report_call.set(None)
    try:
        with redirect_stderr(screen):
            yield screen
    finally:
        report_call.reset(token)

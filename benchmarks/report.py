"""`results.json` as tables and plots: everything between the marks of `README.md`, and the two pictures in it."""

from __future__ import annotations

from statistics import median, quantiles
from typing import TYPE_CHECKING, Any

from serving import HERE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
OURS, KEPT, SDK = "parallel_frames", "parallel_frames, checkpoint", "vendor's SDK by hand"


def table(heads: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    rule = ["---", *["---:"] * (len(heads) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heads, rule, *lines))


def spread(values: Sequence[float], form: str) -> str:
    """Return a median, and from where to where the turns went."""
    middle = format(median(values), form)
    return middle if len(values) < 2 else f"{middle} ({min(values):{form}}–{max(values):{form}})"


def rounded(value: float) -> str:
    """Return three digits of a figure: more of them would be noise."""
    return f"{float(f'{value:.3g}'):,.0f}" if value >= 100 else f"{value:#.3g}"


def paired(ratios: Sequence[float]) -> str:
    """Return the median of turns' ratios, and where the middle half of them lies."""
    low, middle, high = quantiles(ratios, n=4)
    return f"{middle:.0%} [middle half of the turns {low:.0%}–{high:.0%}]"


def job_tables(told: dict[str, Any]) -> str:
    """Return the whole job's table for each latency."""
    parts = []
    for latency in dict.fromkeys(record["latency"] for record in told["rows"]):
        lines = []
        for record in told["rows"]:
            if record["latency"] != latency:
                continue
            turns, rows = record["turns"], record["rows"]
            per_row = [turn["cpu"] / rows * 1e6 for turn in turns]
            lines.append(
                (
                    record["client"], f"{rows:,}", spread([turn["wall"] for turn in turns], ".2f"),
                    spread(per_row, ",.0f"), f"{max(turn['peak'] for turn in turns):,.0f}",
                    f"{median(turn['requests'] for turn in turns):,.0f}",
                )
            )  # fmt: skip
        heads = ("client", "rows", "wall, s", "CPU, µs a row", "peak, MB", "requests")
        parts += [f"Runs of {latency.replace('-', ' to ')} s:", table(heads, lines)]
    turns = sorted({len(record["turns"]) for record in told["rows"]})
    many = " or ".join(map(str, turns))
    return "\n\n".join([f"Medians of {many} turns (lowest–highest); of the peaks, the highest.", *parts])


def target_lines(told: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Return each target with what was measured."""

    def figure(what: str) -> dict[tuple[str, int, str], float]:
        return {
            (each["client"], each["rows"], each["latency"]): median(turn[what] for turn in each["turns"])
            for each in told["rows"]
        }

    cpu, wall, requests, peak = map(figure, ("cpu", "wall", "requests", "peak"))

    def over_sdk(client: str) -> str:
        shares = {
            (n, slow): cpu[client, n, slow] / cpu[SDK, n, slow]
            for name, n, slow in cpu
            if name == SDK and n > 10 and "-" not in slow
        }
        lowest, highest = min(shares.values()), max(shares.values())
        return f"{shares[10_000, '0.2']:.0%} (10,000 rows of 0.2 s; {lowest:.0%}–{highest:.0%} from 1,000 rows on)"

    def growth(client: str) -> str:
        (largest,) = [each for each in told["million"] if each["client"] == client]
        at_most = median(turn["cpu"] for turn in largest["turns"]) / largest["rows"]
        return f"{at_most / cpu[client, 10_000, '0'] * 10_000:.2f} ×"

    files = {each["rows"]: each["cpu"] / each["rows"] for each in told["files"] if each["pass"] == "first"}

    streams = {  # turn by turn: the machine's pace changes more between turns than within one
        name: [
            ours / bare for ours, bare in zip(readers["parallel_frames"], readers["httpx bytes + orjson"], strict=True)
        ]
        for name, readers in told["stream"].items()
    }
    merge, kept, delays, payloads = told["merge"], told["checkpoint"], told["delays"], told["payloads"]
    paced, resumed = told["schedule"], told["resume"]
    slow, many = (4_000, "1-9"), (10_000, "0.2")
    return [
        ("CPU of a row over the SDK's by hand, typed columns included", "≤ 65 %", over_sdk(OURS)),
        ("the same with a checkpoint", "≤ 85 %", over_sdk(KEPT)),
        ("wall of 10,000 rows of 0.2 s over the SDK's", "≤ 1", f"{wall[OURS, *many] / wall[SDK, *many]:.2f}"),
        ("CPU of a row, 4,000 rows of 1 to 9 s", "≤ 350 µs", f"{cpu[OURS, *slow] / 4_000 * 1e6:.0f} µs"),
        ("rows of a request there", "≥ 20", f"{4_000 / requests[OURS, *slow]:.0f}"),
        (
            "memory of 10,000 rows",
            "≤ 28 MB, ≤ 56 MB with a checkpoint",
            f"{peak[OURS, *many]:.0f} MB, {peak[KEPT, *many]:.0f} MB",
        ),
        (
            "resume of a group of 50,000 finished runs over one listing by the SDK",
            "≤ 1.3 ×",
            f"{resumed['resume, s'] / resumed['listing by the SDK, s']:.2f} ×",
        ),
        (
            "events of a second of CPU over bare httpx bytes + orjson",
            "≥ 85 %",
            " and ".join(f"{paired(ratios)} ({name})" for name, ratios in streams.items()),
        ),
        (
            "rows to payloads (each row's JSON and its key), rows a second",
            "≥ 150,000",
            "{}; {} with the bodies of the requests".format(
                *(rounded(payloads[f"rows a second, {what}"]) for what in ("planned with keys", "both"))
            ),
        ),
        (
            "merge of 1,000,000 outcomes over plain Arrow building",
            "≤ 1.3 ×",
            f"{merge['seconds, ours'] / merge['seconds, plain']:.2f} ×",
        ),
        ("memory of that merge over base", "≤ 300 MB", f"{merge['peak MB, ours']:,.0f} MB"),
        ("checkpoint flush of 1,000 outcomes", "≤ 12 ms", f"{kept['flush, ms, median']:.1f} ms"),
        ("resume of 1,000,000 outcomes", "≤ 8 s", f"{kept['resume, s']:.1f} s"),
        ("the same over a plain dataset read", "≤ 1.5 ×", f"{kept['resume, s'] / kept['plain dataset read, s']:.2f} ×"),
        (
            "10,000 rows at 2,000 a minute over the ideal",
            "≤ 1.01 ×",
            ", ".join(f"{each['ratio']:.3f} ({window})" for window, each in paced.items()),
        ),
        ("refused by the rate limit (429)", "0", f"{sum(each['refused (429)'] for each in paced.values()):.0f}"),
        ("a run's end to its row being durable, p99", "≤ 2.5 s", f"{delays['to durable, ms, p99'] / 1e3:.2f} s"),
        ("a run's end to `on_row`, p99", "≤ 2 s", f"{delays['to on_row, ms, p99'] / 1e3:.2f} s"),
        (
            "CPU of a row at 1,000,000 over 10,000 rows",
            "flat",
            f"{growth(OURS)}, {growth(KEPT)} (checkpoint), {files[1_000_000] / files[10_000]:.2f} × (file to file)",
        ),
    ]


def stream_table(told: dict[str, Any]) -> str:
    """Return the readers of a stream."""
    kinds = list(told["stream"])
    readers = list(told["stream"][kinds[0]])
    lines = [(reader, *(spread(told["stream"][kind][reader], ",.0f") for kind in kinds)) for reader in readers]
    return table(("events of a second of CPU", *kinds), lines)


def million_table(told: dict[str, Any]) -> str:
    """Return how a job grows."""
    lines = []
    for record in [*told["rows"], *told["million"]]:
        if record["latency"] == "0" and record["client"] in (OURS, KEPT):
            turns, rows = record["turns"], record["rows"]
            per_row = median(turn["cpu"] for turn in turns) / rows * 1e6
            peak = max(turn["peak"] for turn in turns)
            wall = median(turn["wall"] for turn in turns)
            lines.append((record["client"], f"{rows:,}", f"{wall:,.2f}", f"{per_row:,.0f}", f"{peak:,.0f}"))
    for record in told["files"]:
        if record["pass"] == "first":
            per_row = record["cpu"] / record["rows"] * 1e6
            name = "enrich_parquet, file to file"
            lines.append(
                (
                    name,
                    f"{record['rows']:,}",
                    f"{record['seconds']:,.2f}",
                    f"{per_row:,.0f}",
                    f"{record['peak_mb']:,.0f}",
                )
            )
    return table(("way", "rows", "wall, s", "CPU, µs a row", "peak over base, MB"), lines)


def plain_table(told: dict[str, Any]) -> str:
    """Return the other figures as they are."""
    lines = [
        (f"{part}: {name}", rounded(value))
        for part in ("payloads", "merge", "checkpoint", "resume", "delays", "imports")
        for name, value in told[part].items()
    ]
    return table(("figure", "measured"), lines)


def plot(told: dict[str, Any]) -> None:
    """Draw time and memory against rows, and the clients side by side."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    plt.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    figure, (time_axes, memory_axes) = plt.subplots(1, 2, figsize=(9, 3.6), constrained_layout=True)
    series: dict[str, list[tuple[int, float, float]]] = {}
    for record in [*told["rows"], *told["million"]]:
        if record["latency"] == "0":
            turns = record["turns"]
            seconds, peak = median(turn["cpu"] for turn in turns), max(turn["peak"] for turn in turns)
            series.setdefault(record["client"], []).append((record["rows"], seconds, peak))
    for record in told["files"]:
        if record["pass"] == "first":
            series.setdefault("parallel_frames, file to file", []).append(
                (record["rows"], record["cpu"], record["peak_mb"])
            )
    for name, points in series.items():
        rows, seconds, peaks = zip(*sorted(points), strict=True)
        width, line = (2.2, "-") if "parallel_frames" in name else (1.2, "--")
        style: dict[str, Any] = {"marker": "o", "markersize": 4, "linewidth": width, "linestyle": line}
        time_axes.plot(rows, seconds, label=name, **style)
        memory_axes.plot(rows, [max(peak, 0.1) for peak in peaks], **style)
    for axes, title in ((time_axes, "CPU of the client, seconds"), (memory_axes, "memory over base, MB")):
        axes.set(xscale="log", yscale="log", xlabel="rows", title=title)
        axes.grid(visible=True, which="major", alpha=0.3)
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    figure.savefig(HERE / "growth.png", dpi=130)
    plt.close(figure)

    kinds = list(told["stream"])
    figure, axes = plt.subplots(figsize=(9, 2.6), constrained_layout=True)
    readers = list(told["stream"][kinds[0]])[::-1]
    for offset, kind in enumerate(kinds):
        rates = [median(told["stream"][kind][reader]) / 1e3 for reader in readers]
        places = [place + 0.4 * (0.5 - offset) for place in range(len(readers))]
        axes.barh(places, rates, height=0.38, label=kind)
    axes.set_yticks(range(len(readers)), readers)
    axes.set_xlabel("thousand events of a second of CPU")
    axes.legend(frameon=False)
    figure.savefig(HERE / "stream.png", dpi=130)
    plt.close(figure)


def write(told: dict[str, Any]) -> None:
    """Write the figures into the README, and draw."""
    readme = HERE / "README.md"
    text = readme.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    measured_on = "; ".join(f"{name} {what}" if name != "machine" else what for name, what in told["machine"].items())
    body = "\n\n".join(
        [
            f"Measured on {measured_on}.",
            "### Targets",
            table(("what", "target", "measured"), target_lines(told)),
            "### The whole job",
            job_tables(told),
            "### The stream alone",
            stream_table(told),
            "![events of a second of CPU by reader](stream.png)",
            "### How cost grows",
            million_table(told),
            "![CPU and memory against rows](growth.png)",
            "### The parts",
            plain_table(told),
        ]
    )
    readme.write_text(f"{before}{BEGIN}\n\n{body}\n\n{END}{after}")
    plot(told)

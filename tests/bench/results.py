"""From measurements to figures: ratios by round, their median and range, bench.json, and the table.

Owns the form of bench.json: each part of the benchmark adds its figures to the same file. Knows nothing of how a
measurement was made.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
from generators import Result
from goals import GOALS
from rich import box
from rich.table import Table
from scenarios import BARE, FIGURES, Figure

if TYPE_CHECKING:
    from rich.console import Console

WIDE = 145
"""Columns of a terminal from which on there is room to say what a figure compares."""
Round = Mapping[tuple[str, str], Result]
"""One round's results, by load and contender."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """A figure's median over `runs` interleaved runs, and the lowest and highest of them."""

    value: float
    low: float
    high: float
    runs: int = 1


def median_of(ratios: Sequence[float]) -> Value:
    """The value of a figure from the ratio of each round."""
    value, low, high = statistics.median(ratios), min(ratios), max(ratios)
    return Value(value=round(value, 4), low=round(low, 4), high=round(high, 4), runs=len(ratios))


def figure_value(figure: Figure, rounds: Sequence[Round]) -> Value | None:
    """None where the figure's load was not run. Each round is divided by its own bare run, then the median is taken."""
    ratios = []
    for results in rounds:
        other = (figure.load, BARE) if figure.base is None else (figure.base, figure.contender)
        subject, bare = results.get((figure.load, figure.contender)), results.get(other)
        if subject is not None and bare is not None:
            ratios.append(getattr(subject, figure.quantity) / getattr(bare, figure.quantity))
    return median_of(ratios) if ratios else None


def figure_values(rounds: Sequence[Round]) -> dict[str, Value]:
    values = {figure.name: figure_value(figure, rounds) for figure in FIGURES}
    return {name: value for name, value in values.items() if value is not None}


def missed(values: Mapping[str, Value]) -> list[str]:
    """The figures that do not reach their target."""
    return [name for name, value in values.items() if GOALS[name].reaches(value.value, GOALS[name].target) is False]


def commit(root: Path) -> str:
    """The commit that was measured, with `-dirty` where the tree differs from it."""
    command = ["git", "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def machine(generator: str) -> str:
    """What the figures depend on, in one line."""
    processor = platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        processor = names[0] if names else processor
    cores = len(os.sched_getaffinity(0))
    python = f"Python {platform.python_version()}, grpcio {grpc.__version__}"
    return f"{platform.system()}, {cores} cores ({processor}), {python}, {generator}"


def write(path: Path, values: Mapping[str, Value], *, commit: str, machine: str) -> None:
    """Writes bench.json. Figures of other benchmarks that the file holds for the same commit stay."""
    figures = {}
    if path.exists():
        before = json.loads(path.read_text())
        figures = before["figures"] if before.get("commit") == commit else {}
    figures |= {name: _entry(name, value) for name, value in values.items()}
    ordered = {name: figures[name] for name in (*GOALS, *figures) if name in figures}
    path.write_text(json.dumps({"commit": commit, "machine": machine, "figures": ordered}, indent=2) + "\n")


def _entry(name: str, value: Value) -> dict[str, Any]:
    goal = GOALS[name]
    return {
        "value": value.value,
        "low": value.low,
        "high": value.high,
        "runs": value.runs,
        "target": goal.target,
        "aim": goal.aim,
        "better": "lower" if goal.lower_is_better else "higher",
        "met": goal.reaches(value.value, goal.target),
    }


def show_rounds(console: Console, rounds: Sequence[Round]) -> None:
    """Prints the medians of what was measured."""
    measured = Table(title=f"Medians of {len(rounds)} rounds")
    for heading in ("load", "contender", "calls/s", "p50", "server CPU/call"):
        measured.add_column(heading, justify="left" if heading in {"load", "contender"} else "right")
    for load, contender in rounds[0]:
        results = [results[load, contender] for results in rounds]
        rate = statistics.median(result.calls_per_s for result in results)
        p50 = statistics.median(result.p50_s for result in results)
        cpu = statistics.median(result.server_cpu_s for result in results)
        measured.add_row(load, contender, f"{rate:,.0f}", f"{p50 * 1000:.2f} ms", f"{cpu * 1e6:.0f} µs")
    console.print(measured)


def show(console: Console, values: Mapping[str, Value], absent: Mapping[str, str]) -> None:
    """Prints the figures; `absent` says why others were not measured."""
    wide = console.width >= WIDE
    table = Table(title="Figures: medians of interleaved runs", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("figure", no_wrap=True)
    if wide:
        table.add_column("what is compared")
    for heading in ("median", "from", "to", "must", "aim"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for name, goal in GOALS.items():
        head = (name, goal.what) if wide else (name,)
        if name in values:
            value = values[name]
            sign = "≤" if goal.lower_is_better else "≥"
            bounds = ["" if bound is None else f"{sign} {bound:g}" for bound in (goal.target, goal.aim)]
            numbers = [f"{number:.2f}" for number in (value.value, value.low, value.high)]
            table.add_row(*head, *numbers, *bounds, goal.verdict(value.value))
        elif name in absent:
            table.add_row(*head, "-", "-", "-", "", "", absent[name])
    console.print(table)

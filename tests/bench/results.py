"""From measurements to figures: ratios by round, their median and range, bench.json, and the table.

Owns the form of bench.json: other benchmarks add their figures to the same file under their own names. Knows nothing
of how a measurement was made.
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
from typing import TYPE_CHECKING

import grpc
from generators import Result
from rich.table import Table
from scenarios import BARE, FIGURES, Figure

if TYPE_CHECKING:
    from rich.console import Console

Round = Mapping[tuple[str, str], Result]
"""One round's results, by load and contender."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """A figure's median over the rounds, and the lowest and highest round."""

    value: float
    low: float
    high: float
    target: float | None


def figure_value(figure: Figure, rounds: Sequence[Round]) -> Value | None:
    """None where the figure's load was not run. Each round is divided by its own bare run, then the median is taken."""
    ratios = []
    for results in rounds:
        other = (figure.load, BARE) if figure.base is None else (figure.base, figure.contender)
        subject, bare = results.get((figure.load, figure.contender)), results.get(other)
        if subject is not None and bare is not None:
            ratios.append(getattr(subject, figure.quantity) / getattr(bare, figure.quantity))
    if not ratios:
        return None
    value, low, high = statistics.median(ratios), min(ratios), max(ratios)
    return Value(value=round(value, 4), low=round(low, 4), high=round(high, 4), target=figure.target)


def figure_values(rounds: Sequence[Round]) -> dict[str, Value]:
    values = {figure.name: figure_value(figure, rounds) for figure in FIGURES}
    return {name: value for name, value in values.items() if value is not None}


def met(figure: Figure, value: Value) -> bool | None:
    """None for a figure without a target."""
    if figure.target is None:
        return None
    return value.value >= figure.target if figure.higher_is_better else value.value <= figure.target


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
    for name, value in values.items():
        figures[name] = {"value": value.value, "low": value.low, "high": value.high, "target": value.target}
    path.write_text(json.dumps({"commit": commit, "machine": machine, "figures": figures}, indent=2) + "\n")


def show(console: Console, rounds: Sequence[Round], values: Mapping[str, Value]) -> None:
    """Prints the measured medians, then the figures."""
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
    table = Table(title="Ratios: to the bare echo, unless the name says otherwise")
    for heading in ("figure", "value", "low", "high", "target", ""):
        table.add_column(heading, justify="left" if heading in {"figure", ""} else "right")
    for figure in FIGURES:
        if figure.name not in values:
            continue
        value = values[figure.name]
        sign = "≥" if figure.higher_is_better else "≤"
        target = "" if value.target is None else f"{sign} {value.target:.2f}"
        verdict = {None: "", True: "met", False: "MISSED"}[met(figure, value)]
        table.add_row(figure.name, f"{value.value:.2f}", f"{value.low:.2f}", f"{value.high:.2f}", target, verdict)
    console.print(table)

"""Measures the bridge against a bare gRPC echo and its own other ways of serving, and writes bench.json.

`python tests/bench/run.py [--quick] [--part NAME]`. What is compared runs in turn, on the same machine, with the same
load generator; a figure is the median of the ratios. bench.json is written after every part.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(1, str(ROOT))

import clients_bench  # noqa: E402
import echo_rounds  # noqa: E402
import embeddings_bench  # noqa: E402
import front_memory  # noqa: E402
import grpc  # noqa: E402
import programs_bench  # noqa: E402
import router_bench  # noqa: E402
import run_streams  # noqa: E402
from generators import Generator, LoadError, choose  # noqa: E402
from goals import GOALS  # noqa: E402
from results import Value, commit, figure_values, machine, missed, show, show_rounds, write  # noqa: E402
from rich.console import Console  # noqa: E402
from scenarios import LOADS  # noqa: E402
from targets import TargetError  # noqa: E402

Values = dict[str, Value]
ROUNDS, SECONDS = 9, 0.9
QUICK_ROUNDS, QUICK_SECONDS = 5, 0.6


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure the bridge against a bare gRPC echo.")
    parser.add_argument("--quick", action="store_true", help="the echo figures only, in under 50 s")
    parser.add_argument("--part", action="append", choices=[*PARTS], help="only this part; may be repeated")
    parser.add_argument("--rounds", type=int, help=f"rounds of the echo ({ROUNDS}, or {QUICK_ROUNDS} with --quick)")
    parser.add_argument("--duration", type=float, help=f"seconds of each run ({SECONDS}, or {QUICK_SECONDS})")
    parser.add_argument("--workers", type=int, default=2, help="workers in the general pool (2)")
    parser.add_argument("--load", action="append", choices=[load.name for load in LOADS], help="only this load")
    parser.add_argument("--generator", choices=["h2load", "grpc"], help="h2load where it is installed, else grpc")
    parser.add_argument("--out", type=Path, default=ROOT / "bench.json", help="where to write the figures")
    parser.add_argument("--memory", action="store_true", help="with --quick or --load: the front's memory too")
    parser.add_argument("--gate", action="store_true", help="exit with 1 where a target is missed")
    parser.add_argument("--calibrate", action="store_true", help="bare echo against bare echo; writes no file")
    return parser.parse_args()


def echo(options: argparse.Namespace, console: Console, generator: Generator) -> Values:
    loads = [load for load in LOADS if load.name in options.load] if options.load else list(LOADS)
    if options.quick and not options.load:
        loads = [load for load in loads if load.quick]
    rounds = echo_rounds.measure(
        loads,
        generator,
        options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS),
        options.duration or (QUICK_SECONDS if options.quick else SECONDS),
        console.print,
        workers=options.workers,
        calibrate=options.calibrate,
    )
    show_rounds(console, rounds)
    return figure_values(rounds)


def memory(options: argparse.Namespace, console: Console, generator: Generator) -> Values:
    name = "front_memory_100k" if options.quick else "front_memory"
    return {name: front_memory.measure(name, generator, console.print, workers=options.workers)}


def streams(options: argparse.Namespace, console: Console, _generator: Generator) -> Values:
    return run_streams.figures(console, workers=options.workers)


def embeddings(_options: argparse.Namespace, console: Console, _generator: Generator) -> Values:
    return embeddings_bench.figures(console)


def router(options: argparse.Namespace, console: Console, _generator: Generator) -> Values:
    return router_bench.figures(console, workers=options.workers)


def programs(_options: argparse.Namespace, console: Console, _generator: Generator) -> Values:
    return programs_bench.figures(console)


def clients(_options: argparse.Namespace, console: Console, _generator: Generator) -> Values:
    return clients_bench.figures(console)


PARTS: dict[str, Callable[[argparse.Namespace, Console, Generator], Values]] = {
    "echo": echo,
    "streams": streams,
    "embeddings": embeddings,
    "router": router,
    "programs": programs,
    "clients": clients,
    "memory": memory,
}
FIGURES_OF = {
    "streams": ("multiplex_50", "multiplex_50_native", "stream_single", "stream_aggregated"),
    "embeddings": ("embed_batched", "embed_token_budget"),
    "router": ("router_auto", "router_by_hand", "router_oracle", "router_prediction_error"),
    "programs": ("program_p50", "program_concurrency"),
    "clients": clients_bench.FIGURES,
    "memory": ("front_memory",),
}
"""What is missing where a part fails; the rest is the echo's."""


def parts(options: argparse.Namespace) -> list[str]:
    """The parts to run, in order."""
    if options.part:
        return [name for name in PARTS if name in options.part]
    if options.quick or options.load or options.calibrate:
        return ["echo", "memory"] if options.memory else ["echo"]
    return [*PARTS]


def absent(failed: dict[str, str], values: Values, done: list[str]) -> dict[str, str]:
    """Why figures are missing, by name."""
    skipped = {name: "not here" for part in done for name in FIGURES_OF.get(part, ()) if name not in values}
    apart = {name for names in FIGURES_OF.values() for name in names}
    rest = tuple(name for name in GOALS if name not in apart)
    return skipped | {name: why for part, why in failed.items() for name in FIGURES_OF.get(part, rest)}


def main() -> int:
    options = arguments()
    console = Console()
    generator = choose(options.generator)
    values: Values = {}
    failed: dict[str, str] = {}
    measured_commit = commit(ROOT)  # now: who works on the tree meanwhile measures what it was
    console.print(f"Load average at the start: {os.getloadavg()[0]:.1f}, on {len(os.sched_getaffinity(0))} cores")
    for part in parts(options):
        began = time.monotonic()
        console.print(f"[bold]{part}[/bold]")
        try:
            measured = PARTS[part](options, console, generator)
        except (TargetError, LoadError, grpc.RpcError) as error:
            console.print(f"The part {part} failed: {error}", style="bold red", markup=False)
            failed[part] = "FAILED"
            continue
        values |= measured
        if not options.calibrate:
            write(options.out, measured, commit=measured_commit, machine=machine(generator.name))
        console.print(f"{part} took {time.monotonic() - began:.0f} s, load average now {os.getloadavg()[0]:.1f}")
    show(console, values, absent(failed, values, parts(options)))
    if not options.calibrate:
        console.print(f"Written: {options.out}")
    return 1 if failed or (options.gate and missed(values)) else 0


if __name__ == "__main__":
    sys.exit(main())

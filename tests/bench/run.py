"""Measures the bridge against a bare gRPC echo, in turn and interleaved, and writes bench.json.

`python tests/bench/run.py [--quick]`. Every round runs each load on each contender once, in a rotating order, so that
a slow moment of the machine falls on all of them; a figure is the median of the rounds' ratios.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(1, str(ROOT))

import front_memory  # noqa: E402
from generators import Generator, LoadError, Result, choose  # noqa: E402
from results import Round, Value, commit, figure_values, machine, met, show, write  # noqa: E402
from rich.console import Console  # noqa: E402
from scenarios import FIGURES, LOADS, Load  # noqa: E402
from targets import Target, TargetError, targets, verify  # noqa: E402


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure the bridge against a bare gRPC echo.")
    parser.add_argument("--quick", action="store_true", help="the echo figures only, in under 50 s")
    parser.add_argument("--rounds", type=int, help="rounds (9, or 5 with --quick)")
    parser.add_argument("--duration", type=float, help="seconds of each run (1.5, or 0.6 with --quick)")
    parser.add_argument("--workers", type=int, default=2, help="workers in the general pool (2)")
    parser.add_argument("--load", action="append", choices=[load.name for load in LOADS], help="only this load")
    parser.add_argument("--generator", choices=["h2load", "grpc"], help="h2load where it is installed, else grpc")
    parser.add_argument("--out", type=Path, default=ROOT / "bench.json", help="where to write the figures")
    parser.add_argument("--memory", action="store_true", help="the front's memory too, with --quick or --load")
    parser.add_argument("--gate", action="store_true", help="exit with 1 where a target is missed")
    parser.add_argument("--calibrate", action="store_true", help="bare echo against bare echo; writes no file")
    return parser.parse_args()


def run_round(
    number: int, loads: list[Load], by_name: dict[str, Target], generator: Generator, seconds: float
) -> Round:
    """Each load on each of its contenders once; the order of the contenders rotates with the round's number."""
    results: dict[tuple[str, str], Result] = {}
    for load in loads:
        turn = number % len(load.contenders)
        for name in (*load.contenders[turn:], *load.contenders[:turn]):
            target = by_name[name]
            request, reply = target.contender.request(load.size), target.contender.response(load.size)
            before = target.cpu_s()
            result = generator.run(target.address, request, len(reply), load.concurrency, seconds, load.sessions)
            results[load.name, name] = replace(result, server_cpu_s=(target.cpu_s() - before) / result.calls)
    return {(load.name, name): results[load.name, name] for load in loads for name in load.contenders}


def measure(
    options: argparse.Namespace, console: Console, generator: Generator
) -> tuple[list[Round], dict[str, Value]]:
    loads = [load for load in LOADS if load.name in options.load] if options.load else list(LOADS)
    if options.quick and not options.load:
        loads = [load for load in loads if load.quick]
    rounds = options.rounds or (5 if options.quick else 9)
    seconds = options.duration or (0.6 if options.quick else 1.5)
    runs = sum(len(load.contenders) for load in loads)
    console.print(f"Starting a bare gRPC echo and the bridge; load by {generator.name}")
    measured: list[Round] = []
    wanted = {"pooled", *(name for load in loads for name in load.contenders)}
    with targets(options.workers, wanted, calibrate=options.calibrate) as by_name:
        for load in loads:
            for name in load.contenders:
                verify(by_name[name], load.size)
        console.print(f"{rounds} rounds of {runs} runs, about {rounds * runs * (seconds + 0.25):.0f} s")
        for number in range(rounds):
            measured.append(run_round(number, loads, by_name, generator, seconds))
            console.print(f"Round {number + 1} of {rounds} done")
        if options.calibrate or (options.load and not options.memory):
            return measured, {}
        name = "front_memory_100k" if options.quick else "front_memory"
        if name != "front_memory" and not options.memory:
            return measured, {}
        return measured, {name: front_memory.measure(name, by_name["pooled"], generator, console.print)}


def main() -> int:
    options = arguments()
    console = Console()
    generator = choose(options.generator)
    try:
        rounds, apart = measure(options, console, generator)
    except (TargetError, LoadError) as error:
        console.print(f"The benchmark failed: {error}", style="bold red", markup=False)
        return 1
    values = figure_values(rounds) | apart
    show(console, rounds, values)
    if not options.calibrate:
        write(options.out, values, commit=commit(ROOT), machine=machine(generator.name))
        console.print(f"Written: {options.out}")
    missed = [figure.name for figure in FIGURES if figure.name in values and met(figure, values[figure.name]) is False]
    return 1 if options.gate and missed else 0


if __name__ == "__main__":
    sys.exit(main())

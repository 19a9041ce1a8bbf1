"""The echo figures: every round runs each load on each contender once, in a rotating order.

So a slow moment of the machine falls on all of them; a figure is the median of the rounds' ratios. Knows nothing of
the other parts of the benchmark.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from generators import Generator, Result
from results import Round
from scenarios import Load
from targets import Target, targets, verify


def run_round(
    number: int, loads: Sequence[Load], by_name: dict[str, Target], generator: Generator, seconds: float
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
    loads: Sequence[Load],
    generator: Generator,
    rounds: int,
    seconds: float,
    say: Callable[[str], None],
    *,
    workers: int,
    calibrate: bool = False,
) -> list[Round]:
    """To calibrate, a second bare echo stands in for the bridge. Raises TargetError, LoadError."""
    runs = sum(len(load.contenders) for load in loads)
    wanted = {name for load in loads for name in load.contenders}
    measured: list[Round] = []
    with targets(workers, wanted, calibrate=calibrate) as by_name:
        for load in loads:
            for name in load.contenders:
                verify(by_name[name], load.size)
        say(f"{rounds} rounds of {runs} runs, about {rounds * runs * (seconds + 0.25):.0f} s; load by {generator.name}")
        for number in range(rounds):
            measured.append(run_round(number, loads, by_name, generator, seconds))
            say(f"Round {number + 1} of {rounds} done")
    return measured

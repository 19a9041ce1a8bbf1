"""Measures placement by measurement on a mixed load: a part of `run.py`, also by itself.

`python tests/bench/router_bench.py [--rounds N] [--seconds S]` starts one server with two workers and lets 16 callers
make the same calls, with pauses, where each contender wants them to run:

- `native`, `pooled`: all calls in the front, or all in workers: the fixed placements;
- `by hand`: each function where it does best by itself, as somebody who knows them all would declare them;
- `auto`: each call where the bridge puts it;
- `oracle`: each call in the front if what it takes, which is measured beforehand for each single request, is at most a
  limit; the best of several limits counts, found in the same run.

`router_auto` is the mean latency of auto / that of the better fixed placement. Rounds are interleaved.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import statistics
import sys
import tempfile
import time
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
sys.path.insert(1, str(ROOT))

import grpc.aio  # noqa: E402
import router_app  # noqa: E402
from results import Value, commit, machine, median_of, missed, show, write  # noqa: E402
from rich.console import Console  # noqa: E402
from scenarios import CALL_PATH  # noqa: E402
from targets import process, wait_for_workers  # noqa: E402

from bridge.v1 import common_pb2, invoke_pb2  # noqa: E402

CALLERS = 16
PAUSE_S = 0.015
"""Mean of the exponential pause that a caller makes between two calls."""
REQUESTS = 600
ROUNDS, SECONDS = 15, 0.6
WARM_S = 3.0
LIMITS_S = (0.0003, 0.001, 0.003)
"""What the oracles let into the front."""
WORDS = "the quick brown fox jumps over a lazy dog while central banks raise interest rates once more".split()  # noqa: SIM905
CONFIG = """\
[pools.general]
size = {workers}

[pools.llm]
size = 0

[pools.embeddings]
size = 0
"""
METRICS = """
[metrics]
address = "127.0.0.1:0"
"""
BY_HAND = {"slug": "native", "statistics": "native", "distance": "pooled", "report": "pooled"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request of the load. `takes_s` is what the function itself takes for it, here."""

    function: str
    arguments: str
    takes_s: float

    def message(self, placement: str) -> bytes:
        payload = common_pb2.Payload(json=self.arguments)
        return invoke_pb2.CallRequest(function=f"{self.function}_{placement}", arguments=payload).SerializeToString()


def text(chance: random.Random, least: int, most: int) -> str:
    """Words of about so many characters in all, with every order of magnitude as likely as the others."""
    size = round(least * (most / least) ** chance.random())
    words: list[str] = []
    while sum(map(len, words)) + len(words) < size:
        words.append(chance.choice(WORDS))
    return " ".join(words)


def arguments(chance: random.Random) -> tuple[str, dict[str, str]]:
    """A call as the mix has it: 65 % slug, 22 % statistics, 11 % distance, 2 % report."""
    draw = chance.random()
    if draw < 0.65:
        return "slug", {"text": text(chance, 20, 120)}
    if draw < 0.87:
        return "statistics", {"text": text(chance, 100, 40_000)}
    if draw < 0.98:
        return "distance", {"left": text(chance, 8, 250), "right": text(chance, 8, 250)}
    return "report", {"text": text(chance, 2000, 4000)}


def calls() -> list[Call]:
    """The load, the same in every run; what each request takes is the best of three tries."""
    chance = random.Random(11)
    made = []
    for _ in range(REQUESTS):
        name, given = arguments(chance)
        work = getattr(router_app, name)
        times = []
        for _ in range(3):
            began = time.perf_counter()
            work(**given)
            times.append(time.perf_counter() - began)
        made.append(Call(function=name, arguments=json.dumps(given), takes_s=min(times)))
    return made


Place = Callable[[Call], str]
CONTENDERS: dict[str, Place] = {
    "native": lambda call: "native",
    "pooled": lambda call: "pooled",
    "by hand": lambda call: BY_HAND[call.function],
    "auto": lambda call: "auto",
    **{
        f"oracle {limit_s * 1e3:g} ms": lambda call, limit_s=limit_s: "native" if call.takes_s <= limit_s else "pooled"
        for limit_s in LIMITS_S
    },
}


async def load(address: str, made: list[Call], place: Place, seconds: float, seed: int) -> dict[str, list[float]]:
    """Latencies in seconds, by function."""
    messages = [(call.function, call.message(place(call))) for call in made]
    found: dict[str, list[float]] = defaultdict(list)
    async with grpc.aio.insecure_channel(address) as channel:
        run = channel.unary_unary(CALL_PATH)
        ends = time.perf_counter() + seconds

        async def caller(number: int) -> None:
            chance = random.Random(seed * CALLERS + number)
            while time.perf_counter() < ends:
                await asyncio.sleep(chance.expovariate(1 / PAUSE_S))
                function, message = chance.choice(messages)
                began = time.perf_counter()
                await run(message, timeout=60)
                found[function].append(time.perf_counter() - began)

        await asyncio.gather(*(caller(number) for number in range(CALLERS)))
    return found


@contextmanager
def server(workers: int) -> Iterator[tuple[str, str | None]]:
    """Yields the address of a server, and the URL of its metrics where they can be had."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            import prometheus_client  # noqa: F401

            metrics = METRICS
        except ImportError:
            metrics = ""
        (folder / "bridge.toml").write_text(CONFIG.format(workers=workers) + metrics)
        code = "import sys; from bridge.cli.main import main; sys.exit(main())"
        command = [sys.executable, "-c", code, "serve", str(HERE / "router_app.py")]
        command += ["--config", str(folder / "bridge.toml"), "--json", "--address", "127.0.0.1:0"]
        with process("router", command, folder) as (first, _):
            address = json.loads(first)["address"]
            wait_for_workers(address, workers)
            log = (folder / "router.log").read_text()
            urls = re.findall(r"http://\S+?/metrics", log) if metrics else []
            yield address, urls[0] if urls else None


def prediction_error(url: str | None) -> float | None:
    """The mean error of the predictions, as a part of what calls took; from the server's own metrics."""
    if url is None:
        return None
    with urllib.request.urlopen(url, timeout=10) as reply:
        lines = reply.read().decode().splitlines()
    name = "bridge_auto_prediction_error_ratio"
    sums = [float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(f"{name}_sum")]
    counts = [float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(f"{name}_count")]
    return sum(sums) / sum(counts) if sum(counts) else None


def figures(console: Console, workers: int = 2, rounds: int = ROUNDS, seconds: float = SECONDS) -> dict[str, Value]:
    """Measure. Raises TargetError where the server does not start."""
    made = calls()
    describe(console, made)
    means: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    names = list(CONTENDERS)
    with server(workers) as (address, url):
        asyncio.run(load(address, made, CONTENDERS["auto"], WARM_S, 0))
        for number in range(rounds):
            turn = number % len(names)
            for name in (*names[turn:], *names[:turn]):
                found = asyncio.run(load(address, made, CONTENDERS[name], seconds, number + 1))
                means[name].append(statistics.fmean(one for times in found.values() for one in times))
            shown = ", ".join(f"{name} {means[name][-1] * 1e3:.2f}" for name in names)
            console.print(f"Round {number + 1} of {rounds}, mean latency in ms: {shown}")
        error = prediction_error(url)
    oracle = min((name for name in names if name.startswith("oracle")), key=lambda name: statistics.median(means[name]))
    fixed = min(("native", "pooled"), key=lambda name: statistics.median(means[name]))
    console.print(f"The better fixed placement: {fixed}; the best oracle: {oracle}; prediction error: {error or 0:.0%}")
    values = {
        "router_auto": ratios(means["auto"], means[fixed]),
        "router_by_hand": ratios(means["auto"], means["by hand"]),
        "router_oracle": ratios(means["auto"], means[oracle]),
    }
    if error is not None:
        values["router_prediction_error"] = median_of([error])
    return values


def ratios(subject: list[float], other: list[float]) -> Value:
    return median_of([one / against for one, against in zip(subject, other, strict=True)])


def describe(console: Console, made: list[Call]) -> None:
    """Say what the load is made of."""
    for name in sorted({call.function for call in made}):
        times = sorted(call.takes_s * 1e3 for call in made if call.function == name)
        share, middle = len(times) / len(made), statistics.median(times)
        console.print(f"{name}: {share:.0%} of the calls, {times[0]:.3g} to {times[-1]:.3g} ms, median {middle:.3g} ms")


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure placement by measurement on a mixed load.")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"rounds ({ROUNDS})")
    parser.add_argument("--seconds", type=float, default=SECONDS, help=f"seconds of each run ({SECONDS:g})")
    parser.add_argument("--workers", type=int, default=2, help="workers (2)")
    parser.add_argument("--out", type=Path, default=ROOT / "bench.json", help="where to write the figures")
    parser.add_argument("--gate", action="store_true", help="exit with 1 where a target is missed")
    options = parser.parse_args()
    console = Console()
    values = figures(console, options.workers, options.rounds, options.seconds)
    show(console, values, {})
    write(options.out, values, commit=commit(ROOT), machine=machine("grpc.aio"))
    return 1 if options.gate and missed(values) else 0


if __name__ == "__main__":
    sys.exit(main())

"""`bridge bench`: puts load on a server and says how many calls it answers, how fast, and where the time goes.

Owns nothing beyond one command. With `--vs` each step runs on both servers in turn, several times, so that a slow
moment of the machine falls on both.
"""

from __future__ import annotations

import itertools
import json
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bridge.cli import arguments
from bridge.cli.benchmark_figures import PERCENTILES, Step, is_enough, saturation, shown_parts
from bridge.cli.benchmark_load import WARM_UP_S, Work, run_step
from bridge.cli.benchmark_target import served
from bridge.cli.connection import Connection
from bridge.cli.failures import ExitCode, Failure
from bridge.cli.output import Output, clean, duration, table
from bridge.v1 import common_pb2, invoke_pb2

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

_Functions = invoke_pb2.ListFunctionsResponse
CALL, STREAM = "InvokeService/Call", "InvokeService/StreamCall"
ROUNDS_VS = 3
LARGEST_LOAD = 4096
"""At a time; the search for saturation ends there."""
RATE_GROWTH = 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchOptions:
    """What was typed."""

    target: str
    pairs: tuple[str, ...]
    json_args: str | None
    function: str
    raw_bytes: int | None
    concurrency: str | None
    rate: str | None
    duration_s: float
    timeout_s: float
    vs: str | None
    html: Path | None
    config: Path | None


def run(options: BenchOptions, output: Output) -> int:
    """Measure. FAILED where no call was answered. Raises Failure."""
    loads = _loads(options)
    with served(options.target, options.config) as address:
        work = _work(address, options)
        addresses = [address] if options.vs is None else [address, options.vs]
        if options.vs is not None:
            _reach(options.vs)
        measured = _measure(addresses, work, loads, options, output)
    names = [options.target if options.target == address else f"{options.target} ({address})", *addresses[1:]]
    if len(names) > 1 and names[0] == names[1]:
        names[1] += " (again)"
    found = dict(zip(names, measured, strict=True))
    report = {
        "function": options.function,
        "request_bytes": len(work.request),
        "loop": "open" if options.rate is not None else "closed",
        "targets": [
            {"address": name, "steps": [step.as_fields() for step in steps], "saturation": _found(steps, options)}
            for name, steps in found.items()
        ],
    }
    if output.machine:
        output.json(report)
    else:
        _show(found, options, output)
    if options.html is not None:
        from bridge.cli.benchmark_html import page

        options.html.write_text(page(report, found), encoding="utf-8")
        output.note(f"written: {options.html}")
    return ExitCode.OK if any(step.latencies.count for steps in measured for step in steps) else ExitCode.FAILED


def _reach(address: str) -> None:
    """Raise Failure where no server answers; it need not be a bridge."""
    with Connection(address) as connection:
        try:
            connection.ask("InvokeService/ListFunctions", invoke_pb2.ListFunctionsRequest(), _Functions)
        except Failure as failure:
            if failure.code == ExitCode.NO_CONNECTION:
                raise


def _loads(options: BenchOptions) -> tuple[Iterator[Step], bool]:
    """Return the steps, and whether they go on until the server is saturated. Raises Failure."""
    if options.concurrency is not None and options.rate is not None:
        raise Failure(ExitCode.USAGE, "--concurrency is for a closed loop and --rate for an open one; name one of them")
    if options.duration_s <= 0 or options.timeout_s <= 0:
        raise Failure(ExitCode.USAGE, "--duration and --timeout expect seconds above 0")
    open_loop = options.rate is not None
    text = options.rate if options.rate is not None else options.concurrency or "1.."
    rising = text.endswith("..")
    values = [_number(part) for part in text.removesuffix("..").split(",")]
    if rising and len(values) != 1:
        raise Failure(ExitCode.USAGE, f"'..' goes up from one number, such as 1.. or 500.., got {text!r}")
    if rising:
        factor = RATE_GROWTH if open_loop else 2
        numbers: Iterator[float] = (values[0] * factor**index for index in itertools.count())
        if not open_loop:
            numbers = itertools.takewhile(lambda number: number <= LARGEST_LOAD, numbers)
    else:
        numbers = iter(values)
    return (Step(rate=number) if open_loop else Step(concurrency=int(number)) for number in numbers), rising


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 1 <= number <= 1e6:
        raise Failure(ExitCode.USAGE, f"a load is a number from 1 to 1000000, several with commas, got {text!r}")
    return number


def _work(address: str, options: BenchOptions) -> Work:
    with Connection(address) as connection:
        request = invoke_pb2.DescribeFunctionRequest(function=options.function)
        reply = invoke_pb2.DescribeFunctionResponse
        info = connection.ask("InvokeService/DescribeFunction", request, reply).function
    if options.raw_bytes is not None:
        payload = common_pb2.Payload(raw=b"\x5a" * options.raw_bytes)
    else:
        schema = json.loads(info.arguments_schema or "{}")
        base = options.json_args
        if base is None and not options.pairs:
            base = info.example or None
        payload = common_pb2.Payload(json=json.dumps(arguments.parse(options.pairs, base, schema)))
    kind = invoke_pb2.StreamCallRequest if info.streaming else invoke_pb2.CallRequest
    return Work(
        path=f"/bridge.v1.{STREAM if info.streaming else CALL}",
        request=kind(function=options.function, arguments=payload).SerializeToString(),
        streaming=info.streaming,
        timeout_s=options.timeout_s,
    )


def _measure(
    addresses: Sequence[str],
    work: Work,
    loads: tuple[Iterator[Step], bool],
    options: BenchOptions,
    output: Output,
) -> list[list[Step]]:
    """Run every step on every server, in turn where there are two; return the steps of each."""
    steps, rising = loads
    measured: list[list[Step]] = [[] for _ in addresses]
    rounds = ROUNDS_VS if len(addresses) > 1 else 1
    with _progress(output) as progress:
        for load in steps:
            sums = [replace_load(load) for _ in addresses]
            total_s = options.duration_s * len(addresses)
            for number, which in _turns(rounds, len(addresses)):
                begun_s = (number * len(addresses) + which) * options.duration_s / rounds
                tick = progress(f"{load.label}, {clean(addresses[which])}", begun_s, total_s)
                step = run_step(addresses[which], work, replace_load(load), options.duration_s / rounds, tick)
                sums[which].merge(step)
            for done, one in zip(measured, sums, strict=True):
                done.append(one)
            if rising and all(is_enough(done) for done in measured):
                break
    return measured


def replace_load(step: Step) -> Step:
    """Return an empty step of the same load."""
    return Step(concurrency=step.concurrency, rate=step.rate)


def _turns(rounds: int, servers: int) -> Iterator[tuple[int, int]]:
    """Return which server is next in which round; every other round goes the other way."""
    for number in range(rounds):
        order = range(servers) if number % 2 == 0 else reversed(range(servers))
        yield from ((number, which) for which in order)


@contextmanager
def _progress(output: Output) -> Iterator[Callable[[str, float, float], Callable[[float], None]]]:
    """Show a bar on a terminal, nothing elsewhere; yields what makes a step's tick of (text, begun, total)."""
    if output.machine or not sys.stderr.isatty():
        yield lambda _text, _begun, _total: lambda _seconds: None
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
    with Progress(*columns, TimeElapsedColumn(), console=output.side, transient=True) as bar:
        task = bar.add_task("", total=1.0)

        def tick_of(text: str, begun: float, total: float) -> Callable[[float], None]:
            bar.update(task, description=text, completed=begun, total=total)
            return lambda seconds: bar.update(task, completed=begun + seconds)

        yield tick_of


def _found(steps: list[Step], options: BenchOptions) -> dict[str, Any] | None:
    """Return the saturation point; None where fixed loads were asked for."""
    text = options.rate if options.rate is not None else options.concurrency or "1.."
    point = saturation(steps) if text.endswith("..") else None
    if point is None:
        return None
    best = max(step.goodput for step in steps)
    return {"concurrency": point.concurrency, "rate": point.rate, "calls_per_s": round(best, 1)}


def _show(found: dict[str, list[Step]], options: BenchOptions, output: Output) -> None:
    heads = ("LOAD", "CALLS/S", *(f"P{percent:g}" for percent in PERCENTILES))
    parts = shown_parts([step for steps in found.values() for step in steps])
    for name, steps in found.items():
        output.line(f"{clean(options.function)} on {clean(name)}")
        rows = [_row(step, parts) for step in steps]
        output.show(table((*heads, *(part.upper() for part in parts), "ERRORS"), rows))
        if point := _found(steps, options):
            where = f"{point['rate']:g}/s" if point["rate"] is not None else f"{point['concurrency']} at a time"
            output.line(f"\nsaturated at {point['calls_per_s']:,.0f} calls/s, reached with {where}")
        if any(step.limited_by_client for step in steps):
            output.note(f"this client was the limit: {clean(name)} may do more; run several of them, or h2load")
        output.line()
    if len(found) > 1:
        (first, ours), (second, theirs) = found.items()
        for one, other in zip(ours, theirs, strict=True):
            if one.goodput and other.goodput:
                p50 = one.latencies.percentile(50) / other.latencies.percentile(50)
                output.line(
                    f"{one.label}: {clean(first)} / {clean(second)}: calls/s {one.goodput / other.goodput:.2f}, "
                    f"p50 {p50:.2f}"
                )
    output.note(
        f"means of the parts are from receipts; {WARM_UP_S:g} s of warm-up are left out; "
        + ("latency counts from when a call was due" if options.rate else "a closed loop waits for slow answers")
    )


def _row(step: Step, parts: Sequence[str]) -> list[str]:
    means = step.split.means()
    errors = ", ".join(f"{count} {clean(reason)}" for reason, count in step.errors.most_common(3)) or "none"
    times = [duration(step.latencies.percentile(percent)) for percent in PERCENTILES]
    return [
        step.label,
        f"{step.goodput:,.0f}",
        *(times if step.latencies.count else ["-"] * len(times)),
        *(duration(means[part]) if means else "-" for part in parts),
        errors,
    ]

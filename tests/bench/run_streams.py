"""Measures multiplexed calls and streams against bare grpc.aio: a part of `run.py`, also by itself.

`python tests/bench/run_streams.py [--quick]`. Each round runs each contender once in a rotating order, and a figure is
the median of the rounds' ratios. Needs h2load: a client in Python would be the slowest part.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(1, str(ROOT))

import grpc  # noqa: E402
from generators import WARM_UP_S, LoadError, Result, evaluate  # noqa: E402
from results import Value, commit, machine, median_of, missed, show, write  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402
from scenarios import CALL_PATH, CHUNK, CHUNKS, SMALL_BYTES, STREAM_PATH  # noqa: E402
from targets import TargetError, bare_echo, bridge  # noqa: E402

from bridge.v1 import common_pb2, invoke_pb2  # noqa: E402

ROUNDS, SECONDS = 7, 1.5
MULTIPLEX_PATH = "/bridge.v1.InvokeService/Multiplex"
FRAME_CALLS = 50
STREAM_CALLS = 2000
"""Calls of one multiplexed stream of the load; h2load then opens another."""
APP = f'''"""What streams the chunks of the benchmark."""

from collections.abc import Iterator


def chunks(n: int) -> Iterator[str]:
    """Yield `n` small chunks."""
    for _ in range(n):
        yield {"x" * SMALL_BYTES!r}
'''


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """One contender under one kind of load: requests of some messages each, `units` of work in each request."""

    name: str
    server: str
    """``bare`` or ``bridge``."""
    path: str
    messages: tuple[bytes, ...]
    units: int
    concurrency: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A line of bench.json: units per second of one load, divided by those of another."""

    name: str
    load: str
    bare: str


def small_call(function: str) -> invoke_pb2.CallRequest:
    return invoke_pb2.CallRequest(function=function, arguments=common_pb2.Payload(raw=b"\x5a" * SMALL_BYTES))


def frames(function: str) -> tuple[bytes, ...]:
    """The messages of one multiplexed stream."""
    request = small_call(function)
    return tuple(
        invoke_pb2.MultiplexRequest(
            calls=[invoke_pb2.MultiplexCall(id=first + one, request=request) for one in range(FRAME_CALLS)]
        ).SerializeToString()
        for first in range(1, STREAM_CALLS, FRAME_CALLS)
    )


def stream_request(*, aggregate: bool) -> bytes:
    payload = common_pb2.Payload(json=json.dumps({"n": CHUNKS}))
    request = invoke_pb2.StreamCallRequest(function="chunks", arguments=payload, aggregate=aggregate)
    return request.SerializeToString()


def loads() -> tuple[Load, ...]:
    call = small_call("bridge.echo").SerializeToString()
    multiplexed = {"path": MULTIPLEX_PATH, "units": STREAM_CALLS, "concurrency": 4, "server": "bridge"}
    streamed = {"path": STREAM_PATH, "units": CHUNKS, "concurrency": 2}
    single, joined = (stream_request(aggregate=aggregate) for aggregate in (False, True))
    return (
        Load(name="unary bare", server="bare", path=CALL_PATH, messages=(call,), units=1, concurrency=16),
        Load(name="multiplex pooled", messages=frames("bridge.echo"), **multiplexed),  # type: ignore[arg-type]
        Load(name="multiplex native", messages=frames("bridge.echo_native"), **multiplexed),  # type: ignore[arg-type]
        Load(name="stream bare", server="bare", messages=(single,), **streamed),  # type: ignore[arg-type]
        Load(name="stream single", server="bridge", messages=(single,), **streamed),  # type: ignore[arg-type]
        Load(name="stream aggregated", server="bridge", messages=(joined,), **streamed),  # type: ignore[arg-type]
    )


FIGURES = (
    Figure(name="multiplex_50", load="multiplex pooled", bare="unary bare"),
    Figure(name="multiplex_50_native", load="multiplex native", bare="unary bare"),
    Figure(name="stream_single", load="stream single", bare="stream bare"),
    Figure(name="stream_aggregated", load="stream aggregated", bare="stream bare"),
)


def run(load: Load, address: str, seconds: float) -> Result:
    """Units per second that were answered. Raises LoadError."""
    with tempfile.TemporaryDirectory() as folder:
        body, log = Path(folder) / "body", Path(folder) / "log"
        body.write_bytes(b"".join(struct.pack(">BI", 0, len(one)) + one for one in load.messages))
        command = [
            *("h2load", "-c", "1", "-t", "1", "-m", str(load.concurrency), "-w", "24", "-W", "24"),
            *("-D", f"{(WARM_UP_S + seconds) * 1000:.0f}ms", "-d", str(body), "--log-file", str(log)),
            *("-H", "content-type: application/grpc", "-H", "te: trailers", f"http://{address}{load.path}"),
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30, check=False)
        lines = log.read_text().splitlines() if log.exists() else []
    if done.returncode != 0 or not lines:
        raise LoadError(f"h2load failed with exit code {done.returncode}: {done.stdout}{done.stderr}")
    result = evaluate(lines, seconds)
    return Result(calls_per_s=result.calls_per_s * load.units, p50_s=result.p50_s, calls=result.calls * load.units)


def verify(load: Load, address: str) -> None:
    """Make one request with a real client and count what comes back. Raises TargetError."""
    with grpc.insecure_channel(address) as channel:
        if load.path == CALL_PATH:
            units = int(channel.unary_unary(load.path)(load.messages[0], timeout=20) == load.messages[0])
        elif load.path == MULTIPLEX_PATH:
            reply = channel.stream_stream(load.path, response_deserializer=invoke_pb2.MultiplexResponse.FromString)
            results = [one for message in reply(iter(load.messages), timeout=60) for one in message.results]
            units = sum(len(one.response.result.raw) == SMALL_BYTES for one in results)
        else:
            stream = channel.unary_stream(load.path, response_deserializer=invoke_pb2.StreamCallResponse.FromString)
            messages = list(stream(load.messages[0], timeout=60))
            items = [item for message in messages for item in (message.items or [message.item])]
            units = sum(item.json == CHUNK for item in items)
    if units != load.units:
        raise TargetError(f"{load.name}: {units} right answers of {load.units}")


def measure(rounds: int, seconds: float, workers: int, console: Console) -> list[dict[str, Result]]:
    """The results of each round by load. Raises LoadError, TargetError."""
    if shutil.which("h2load") is None:
        raise LoadError("h2load (Debian: nghttp2-client) is needed for these figures")
    todo = loads()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        addresses = {
            "bare": stack.enter_context(bare_echo(folder))[0],
            "bridge": stack.enter_context(bridge(folder, workers, source=APP))[0],
        }
        for load in todo:
            verify(load, addresses[load.server])
        console.print(f"{rounds} rounds, about {rounds * len(todo) * (seconds + 0.3):.0f} s")
        measured = []
        for number in range(rounds):
            turn = number % len(todo)
            measured.append(
                {load.name: run(load, addresses[load.server], seconds) for load in todo[turn:] + todo[:turn]}
            )
    return measured


def figures(console: Console, *, workers: int, rounds: int = ROUNDS, seconds: float = SECONDS) -> dict[str, Value]:
    """Measure and show what was measured. Raises LoadError, TargetError."""
    measured = measure(rounds, seconds, workers, console)
    table = Table(title=f"Medians of {len(measured)} rounds")
    for heading in ("load", "calls or chunks/s"):
        table.add_column(heading)
    for load in loads():
        table.add_row(load.name, f"{statistics.median(one[load.name].calls_per_s for one in measured):,.0f}")
    console.print(table)
    return {
        figure.name: median_of([one[figure.load].calls_per_s / one[figure.bare].calls_per_s for one in measured])
        for figure in FIGURES
    }


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure multiplexed calls and streams against bare grpc.aio.")
    parser.add_argument("--quick", action="store_true", help="3 rounds of 1 s")
    parser.add_argument("--rounds", type=int, help=f"rounds ({ROUNDS}, or 3 with --quick)")
    parser.add_argument("--duration", type=float, help=f"seconds of each run ({SECONDS}, or 1 with --quick)")
    parser.add_argument("--workers", type=int, default=2, help="workers in the general pool (2)")
    parser.add_argument("--out", type=Path, default=ROOT / "bench.json", help="where to write the figures")
    parser.add_argument("--gate", action="store_true", help="exit with 1 where a target is missed")
    options = parser.parse_args()
    rounds, seconds = (3, 1.0) if options.quick else (ROUNDS, SECONDS)
    console = Console()
    try:
        values = figures(
            console,
            workers=options.workers,
            rounds=options.rounds or rounds,
            seconds=options.duration or seconds,
        )
    except (TargetError, LoadError) as error:
        console.print(f"The benchmark failed: {error}", style="bold red", markup=False)
        return 1
    show(console, values, {})
    write(options.out, values, commit=commit(ROOT), machine=machine("h2load"))
    return 1 if options.gate and missed(values) else 0


if __name__ == "__main__":
    sys.exit(main())

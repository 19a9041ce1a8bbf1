"""What the client costs on top of the bare generated stub: `python clients/python/bench/overhead.py ADDRESS N`.

Calls `add` of examples/demo_app.py N times through each, in turns of a few calls, and prints one JSON line with both
medians: {"client_p50_ms": ..., "stub_p50_ms": ...}. The bare stub does what any program must do with it: make the
request, set a deadline, take the result out of its JSON. `--async` measures the asyncio client against an asyncio stub.
The stub is the server package's (`bridge.v1`), so both must be importable. A development tool, no part of the package.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
from bridge_client import connect, connect_async

from bridge.v1 import common_pb2, invoke_pb2, invoke_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

TURN = 20
WARM_UP = 200
TIMEOUT_S = 10.0
SUM = 3


def request() -> invoke_pb2.CallRequest:
    """The request of a bare stub, made anew for each call, as its arguments would be."""
    arguments = common_pb2.Payload(json=json.dumps({"a": 1, "b": 2}))
    return invoke_pb2.CallRequest(function="add", arguments=arguments)


def measure(ways: dict[str, Callable[[], Any]], calls: int) -> dict[str, float]:
    """The median of each way in milliseconds; the ways take turns."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():
        for _ in range(WARM_UP):
            check(way())
    while min(map(len, times.values())) < calls:
        for name, way in ways.items():
            for _ in range(TURN):
                began = time.perf_counter()
                result = way()
                times[name].append(time.perf_counter() - began)
                check(result)
    return medians(times)


async def measure_async(ways: dict[str, Callable[[], Awaitable[Any]]], calls: int) -> dict[str, float]:
    """The same for coroutines."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():
        for _ in range(WARM_UP):
            check(await way())
    while min(map(len, times.values())) < calls:
        for name, way in ways.items():
            for _ in range(TURN):
                began = time.perf_counter()
                result = await way()
                times[name].append(time.perf_counter() - began)
                check(result)
    return medians(times)


def medians(times: dict[str, list[float]]) -> dict[str, float]:
    """By way, in milliseconds."""
    return {name: round(statistics.median(taken) * 1000, 5) for name, taken in times.items()}


def check(result: Any) -> None:
    """A wrong answer is no measurement."""
    if result != SUM:
        msg = f"expected {SUM} from add(1, 2), got {result!r}"
        raise SystemExit(msg)


def blocking(address: str, calls: int) -> dict[str, float]:
    """The blocking client against a blocking stub."""
    with connect(address, timeout=TIMEOUT_S) as client, grpc.insecure_channel(address) as channel:
        stub = invoke_pb2_grpc.InvokeServiceStub(channel)
        ways = {
            "client_p50_ms": lambda: client.call("add", a=1, b=2),
            "stub_p50_ms": lambda: json.loads(stub.Call(request(), timeout=TIMEOUT_S).result.json),
        }
        return measure(ways, calls)


async def asynchronous(address: str, calls: int) -> dict[str, float]:
    """The asyncio client against an asyncio stub."""
    async with connect_async(address, timeout=TIMEOUT_S) as client, grpc.aio.insecure_channel(address) as channel:
        stub = invoke_pb2_grpc.InvokeServiceStub(channel)

        async def bare() -> Any:
            return json.loads((await stub.Call(request(), timeout=TIMEOUT_S)).result.json)

        return await measure_async({"client_p50_ms": lambda: client.call("add", a=1, b=2), "stub_p50_ms": bare}, calls)


def main() -> None:
    """Parse the command line, measure, print one line."""
    parser = argparse.ArgumentParser(description="Measure the client against the bare generated stub.")
    parser.add_argument("address", help="of a bridge that serves examples/demo_app.py")
    parser.add_argument("calls", type=int, help="how many of each")
    parser.add_argument("--async", dest="asynchronous", action="store_true", help="the asyncio client")
    options = parser.parse_args()
    if options.asynchronous:
        print(json.dumps(asyncio.run(asynchronous(options.address, options.calls))))
    else:
        print(json.dumps(blocking(options.address, options.calls)))


if __name__ == "__main__":
    main()

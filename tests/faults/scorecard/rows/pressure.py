"""Too much: calls, memory, and streams that are broken, read slowly or left."""

from __future__ import annotations

import asyncio
import re
import signal
import statistics
import time

from calling import CallFailed
from scene import QUIET_S, Scene, Unmet, ms, until

CAPACITY = 20
"""Calls of 0.1 s that two workers answer in a second."""
OFFERED_S = 2.0
ANSWERED_S = 2.0
"""Twice what a call takes behind 16 others that wait."""
REFUSED_S = 0.5
MIB = 1 << 20


async def overloaded(scene: Scene) -> str:
    """Ten times as many calls as it can answer, evenly spread over two seconds."""

    async def one() -> tuple[str, float]:
        begin = time.monotonic()
        try:
            await scene.call("sleep", 4.0, seconds=0.1)
        except CallFailed as error:
            return error.kind, time.monotonic() - begin
        return "answered", time.monotonic() - begin

    total = int(10 * CAPACITY * OFFERED_S)
    begin = time.monotonic()
    tasks = []
    for number in range(total):
        await asyncio.sleep(max(0.0, begin + number * OFFERED_S / total - time.monotonic()))
        tasks.append(asyncio.ensure_future(one()))
    outcomes = await asyncio.gather(*tasks)
    times = {kind: sorted(took for one, took in outcomes if one == kind) for kind, _ in outcomes}
    parts = [f"{len(all_)} {kind} (p95 {ms(_p95(all_))})" for kind, all_ in sorted(times.items())]
    seen = f"of {total} calls {', '.join(parts)}"
    answered, refused = times.get("answered", []), times.get("refused", [])
    fair = len(answered) >= CAPACITY * OFFERED_S / 2 and _p95(answered) < ANSWERED_S
    if not fair or not refused or _p95(refused) > REFUSED_S or len(answered) + len(refused) < total:
        raise Unmet(seen)
    return seen


def _p95(values: list[float]) -> float:
    return statistics.quantiles(values, n=20)[-1] if len(values) > 1 else sum(values)


async def ballooned(scene: Scene) -> str:
    """Twice the limit, and only if the machine has room for it."""
    other, _, _ = await scene.begin_running("sleep", 15.0, seconds=2)
    task = scene.begin("allocate", 10.0, scene.mark(), mebibytes=512, hold_s=3)
    told, error = await scene.fails(task, 10.0)
    if not re.search("memory|oom", error.text, re.IGNORECASE):
        raise Unmet(f"failed after {ms(told)}, with no word of memory: {error.text}")
    await scene.unharmed(other)
    again = await scene.answers(5.0)
    return f"failed after {ms(told)} ({error.text[:90]}), next call after {ms(again)}"


async def stream_killed(scene: Scene) -> str:
    items, mark = scene.stream(count=1000, kibibytes=1, pause_s=0.02)
    got = 0
    at = None
    try:
        async with asyncio.timeout(10):
            async for size in items:
                got += size
                if got >= 5 << 10 and at is None:
                    at = scene.signal(await scene.running(mark), signal.SIGKILL)
    except CallFailed as error:
        if at is None or error.kind == "deadline":
            raise Unmet(f"{'before the kill' if at is None else 'no end'}: {error.text}") from error
        return f"told after {ms(time.monotonic() - at)} ({error.text[:60]})"
    except TimeoutError as error:
        raise Unmet("10 s after the kill the reader still waits") from error
    raise Unmet(f"a clean end after {got >> 10} of 1000 KiB")


async def _standing_still(mark, limit_s: float) -> int:
    """Wait until a producer is suspended; returns how many items it has made."""
    steps, since, end = mark.steps, time.monotonic(), time.monotonic() + limit_s
    while time.monotonic() - since < QUIET_S:
        if (now_steps := mark.steps) != steps:
            steps, since = now_steps, time.monotonic()
        if time.monotonic() > end:
            raise Unmet(f"the producer ran on: {steps} items of 64 KiB")
        await asyncio.sleep(0.02)
    return steps


async def read_slowly(scene: Scene) -> str:
    before = scene.server.rss_bytes()
    items, mark = scene.stream(60.0, count=4000, kibibytes=64, pause_s=0)
    await anext(items)
    try:
        made = await _standing_still(mark, 15.0)
        grown = scene.server.rss_bytes() - before
        seen = f"the producer was {made * 64 >> 10} MiB ahead, memory grew by {max(0, grown) >> 20} MiB"
        if mark.ended or made * 64 << 10 > 32 * MIB or grown > 96 * MIB:
            raise Unmet(seen)
        got = 0
        async with asyncio.timeout(10):
            while got < (made * 64 << 10) + 4 * MIB:
                got += await anext(items)
        await until(lambda: mark.steps > made, 2.0, f"{seen}; it did not go on when the reader did")
        return seen
    finally:
        await items.aclose()


async def reader_left(scene: Scene) -> str:
    items, mark = scene.stream(60.0, count=3000, kibibytes=1, pause_s=0.02)
    for _ in range(5):
        await anext(items)
    await items.aclose()
    after = await scene.stops(mark, 2.0, time.monotonic())
    return f"the producer's last item was {ms(after)} after the reader had left"

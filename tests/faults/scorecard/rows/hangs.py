"""Workers that live and do nothing: code that holds the GIL, processes that are stopped; and what health says of it."""

from __future__ import annotations

import asyncio
import signal
import time
from contextlib import suppress

from calling import CallFailed
from scene import Scene, Unmet, alive, ms

LIE_S = 15.0
RECOVER_S = 30.0


async def hangs(scene: Scene) -> str:
    begin = time.monotonic()
    hung, _, pid = await scene.begin_running("hang", 1.0)
    for _ in range(3):
        try:
            await scene.call("echo", 1.0, text="beside")
        except CallFailed as error:
            raise Unmet(f"beside the hung worker, another call failed: {error.text}") from error
    health = await scene.server.client.healthy()
    await scene.fails(hung, 2.0)
    told = time.monotonic() - begin
    if told > 1.5:
        raise Unmet(f"the deadline of 1 s was answered after {ms(told)}")
    await scene.workers(10.0, without={pid})
    freed = time.monotonic() - begin - 1.0
    await scene.healthy(5.0)
    said = "said OK (the other worker served)" if health else "said not OK"
    return f"told after {ms(told)}, place filled again {ms(freed)} after the deadline, health meanwhile {said}"


async def stopped(scene: Scene) -> str:
    pids = await scene.workers()
    at = scene.signal(pids[0], signal.SIGSTOP)
    calls = [asyncio.ensure_future(_timed(scene, 2.0)) for _ in range(6)]
    try:
        while alive(pids[0]) and await scene.server.client.healthy():
            if time.monotonic() - at > 5.0:
                raise Unmet("after 5 s it still says that it is healthy, with the stopped worker")
            await asyncio.sleep(0.05)
        noticed = time.monotonic() - at
    finally:
        longest = max(await asyncio.gather(*calls))
    if longest > 2.5:
        raise Unmet(f"a call with a deadline of 2 s took {ms(longest)}")
    return f"{'not healthy' if alive(pids[0]) else 'replaced'} after {ms(noticed)}; the longest call took {ms(longest)}"


async def _timed(scene: Scene, timeout_s: float) -> float:
    begin = time.monotonic()
    with suppress(CallFailed):
        await scene.call("sleep", timeout_s, seconds=0.05)
    return time.monotonic() - begin


async def all_hung(scene: Scene) -> str:
    for _ in range(2):
        await scene.begin_running("hang", 2.0)
    return await _truth(scene)


async def all_stopped(scene: Scene) -> str:
    for pid in await scene.workers():
        scene.signal(pid, signal.SIGSTOP)
    return await _truth(scene)


async def _truth(scene: Scene) -> str:
    """Ask health and make calls until a call succeeds; OK for more than 15 s meanwhile is a lie."""
    begin = time.monotonic()
    lying_since: float | None = begin
    lie = 0.0
    while (passed := time.monotonic() - begin) < RECOVER_S:
        attempt = scene.begin("echo", 1.0, text="truth")
        ok = await scene.server.client.healthy()
        now = time.monotonic()
        if not ok:
            lying_since = None
        elif lying_since is None:
            lying_since = now
        else:
            lie = max(lie, now - lying_since)
        if lie > LIE_S:
            raise Unmet(f"health said OK for {lie:.0f} s while no call was answered")
        try:
            await attempt
        except CallFailed:
            await asyncio.sleep(0.05)
            continue
        return f"served again after {ms(time.monotonic() - begin)}; health said OK for {ms(lie)} of it at a stretch"
    raise Unmet(f"no call was answered for {passed:.0f} s, though health said so")

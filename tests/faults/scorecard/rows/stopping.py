"""Work that nobody waits for: cancelled, out of time, waiting in the queue; and a front that ends."""

from __future__ import annotations

import asyncio
import signal
import time

from calling import CallFailed
from scene import Mark, Scene, Unmet, ms, until

STOP_S = 2.0


async def _cancelled(scene: Scene, function: str) -> str:
    task, mark, _ = await scene.begin_running(function, 60.0, seconds=20)
    await until(lambda: mark.steps >= 3, 5.0, "the work did not get going")
    task.cancel()
    after = await scene.stops(mark, STOP_S, time.monotonic())
    return f"its last step was {ms(after)} after the cancel"


async def cancelled_sleeping(scene: Scene) -> str:
    return await _cancelled(scene, "sleep")


async def cancelled_looping(scene: Scene) -> str:
    return await _cancelled(scene, "spin")


async def _expired(scene: Scene, function: str) -> str:
    begin = time.monotonic()
    task, mark, _ = await scene.begin_running(function, 1.0, seconds=20)
    await scene.fails(task, 1.5)
    told = time.monotonic() - begin
    if told > 1.5:
        raise Unmet(f"the deadline of 1 s was answered after {ms(told)}")
    after = await scene.stops(mark, STOP_S, begin + 1.0)
    return f"told after {ms(told)}, its last step was {ms(after)} after the deadline"


async def expired_sleeping(scene: Scene) -> str:
    return await _expired(scene, "sleep")


async def expired_looping(scene: Scene) -> str:
    return await _expired(scene, "spin")


async def _never_begun(scene: Scene, fillers: list[asyncio.Task[int]], mark: Mark) -> None:
    """Wait until the queue has moved past a call; Unmet where the call was executed nevertheless."""
    for filler in fillers:
        await scene.unharmed(filler)
    for _ in range(6):
        await scene.call("echo", 5.0, text="behind")
    if mark.pid is not None:
        raise Unmet("it was executed, though nobody waited for it any more")


async def expired_in_queue(scene: Scene) -> str:
    fillers = await scene.occupy(1.5)
    begin = time.monotonic()
    mark = scene.mark()
    await scene.fails(scene.begin("sleep", 0.5, mark, seconds=0), 1.0)
    told = time.monotonic() - begin
    await _never_begun(scene, fillers, mark)
    return f"told after {ms(told)}, never executed"


async def cancelled_in_queue(scene: Scene) -> str:
    fillers = await scene.occupy(1.5)
    mark = scene.mark()
    task = scene.begin("sleep", 10.0, mark, seconds=0)
    await asyncio.sleep(0.3)  # on its way to the queue
    task.cancel()
    await _never_begun(scene, fillers, mark)
    return "never executed"


async def front_killed(scene: Scene) -> str:
    await scene.begin_running("spin", 60.0, seconds=50)
    at = scene.signal(scene.server.pid, signal.SIGKILL)
    await scene.server.exit_code(2.0)
    while left := scene.server.processes():
        if time.monotonic() - at > STOP_S:
            raise Unmet(f"{len(left)} processes are left 2 s after it: {', '.join(one.name() for one in left)[:80]}")
        await asyncio.sleep(0.05)
    return f"the last process was gone after {ms(time.monotonic() - at)}"


async def terminated(scene: Scene) -> str:
    running, _, _ = await scene.begin_running("sleep", 10.0, seconds=1)
    at = scene.signal(scene.server.pid, signal.SIGTERM)
    try:
        await running
    except CallFailed as error:
        raise Unmet(f"the call that ran failed: {error.text}") from error
    code = await scene.server.exit_code(10.0)
    took = time.monotonic() - at
    if code is None:
        raise Unmet("the call that ran ended well, but the server still runs 10 s after SIGTERM")
    if code:
        raise Unmet(f"the call that ran ended well, exit code {code} after {ms(took)}")
    await until(lambda: not scene.server.processes(), 2.0, "exit code 0, but processes are left 2 s after")
    return f"the call that ran ended well, exit code 0 after {ms(took)}"

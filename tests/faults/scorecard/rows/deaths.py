"""Workers that die: killed, exited, crashed, alone and under load, and inputs that kill every worker they meet."""

from __future__ import annotations

import asyncio
import signal
import statistics
import time
from dataclasses import dataclass, field

from calling import CallFailed
from scene import Scene, Unmet, alive, ms, until

CLIENTS = 16
SHORT_S = 0.01
POISONED = 12
STEADY_S = 10.5
"""Between two kills under load: each is an accident of its own, not a crash loop, which servers may treat otherwise."""


async def killed_in_call(scene: Scene) -> str:
    lost, _, pid = await scene.begin_running("sleep", 30.0, seconds=20)
    other, _, _ = await scene.begin_running("sleep", 10.0, seconds=1)
    scene.signal(pid, signal.SIGKILL)
    told, error = await scene.fails(lost, 1.0)
    again = await scene.answers(5.0)
    await scene.unharmed(other)
    return f"told after {ms(told)} ({error.text[:60]}), next call after {ms(again)}"


async def killed_idle(scene: Scene) -> str:
    pids = await scene.workers()
    at = scene.signal(pids[0], signal.SIGKILL)
    await until(lambda: not alive(pids[0]), 2.0, "the worker outlived SIGKILL")
    for number in range(10):
        try:
            await scene.call("echo", 5.0, text="idle")
        except CallFailed as error:
            raise Unmet(f"call {number + 1} after it failed: {error.text}") from error
    await scene.workers(10.0, without={pids[0]})
    return f"no call failed, two workers again after {ms(time.monotonic() - at)}"


async def killed_all(scene: Scene) -> str:
    pids = await scene.workers()
    for pid in pids:
        at = scene.signal(pid, signal.SIGKILL)
    again = await scene.answers(10.0)
    await scene.workers(10.0, without=set(pids))
    return f"next call after {ms(again)}, two workers again after {ms(time.monotonic() - at)}"


async def _death_in_call(scene: Scene, how: str) -> str:
    other, _, _ = await scene.begin_running("sleep", 10.0, seconds=1)
    begin = time.monotonic()
    lost, mark, _ = await scene.begin_running("crash", 30.0, how=how)
    _, error = await scene.fails(lost, 1.0)
    told = time.monotonic() - begin
    assert mark.pid is not None
    await until(lambda: not alive(mark.pid), 1.0, "the worker lives on")
    again = await scene.answers(5.0)
    await scene.unharmed(other)
    return f"told after {ms(told)} ({error.text[:60]}), next call after {ms(again)}"


async def exits(scene: Scene) -> str:
    return await _death_in_call(scene, "exit")


async def segfaults(scene: Scene) -> str:
    return await _death_in_call(scene, "segfault")


@dataclass
class Load:
    """Clients that call without a pause, and what became of their calls."""

    scene: Scene
    good: dict[int, float] = field(default_factory=dict)
    """When each worker gave its first good answer."""
    last: int = 0
    failed: int = 0
    hung: int = 0
    calls: int = 0
    over: bool = False
    errors: list[str] = field(default_factory=list)

    async def client(self) -> None:
        while not self.over:
            self.calls += 1
            try:
                self.last = await self.scene.call("sleep", 5.0, seconds=SHORT_S)
            except CallFailed as error:
                self.failed += 1
                self.hung += error.kind == "deadline"
                self.errors.append(error.text)
                await asyncio.sleep(0.01)
            else:
                self.good.setdefault(self.last, time.monotonic())


async def killed_under_load(scene: Scene) -> str:
    """Each kill may fail the one call that its worker runs, and no other."""
    load = Load(scene)
    clients = [asyncio.ensure_future(load.client()) for _ in range(CLIENTS)]
    recoveries: list[float] = []
    try:
        await until(lambda: len(load.good) >= 2, 5.0, "two workers did not answer under load")
        for number in range(scene.kills):
            before = set(load.good)
            at = scene.signal(load.last, signal.SIGKILL)
            unmet = f"kill {number + 1}: no answer from a replacement within 5 s; {load.failed} calls failed"
            new = await until(lambda before=before: set(load.good) - before, 5.0, unmet)
            recoveries.append(min(load.good[pid] for pid in new) - at)
            if number + 1 < scene.kills:
                await asyncio.sleep(STEADY_S)
    finally:
        load.over = True
        await asyncio.wait(clients, timeout=6.0)
    seen = f"{load.failed} of {load.calls} calls failed by {scene.kills} kills, {load.hung} hung; first answer of a "
    seen += f"replacement after {ms(statistics.median(recoveries))} (median; most {ms(max(recoveries))})"
    if load.failed > scene.kills or load.hung:
        raise Unmet(f"{seen}: {load.errors[0]}")
    return seen


async def poisoned(scene: Scene) -> str:
    refused = 0
    slowest = 0.0
    for number in range(POISONED):
        task = scene.begin("crash", 5.0, how="segfault")
        _, error = await scene.fails(task, 6.0)
        refused += "quarantine" in error.text.lower()
        begin = time.monotonic()
        try:
            await scene.call("echo", 5.0, text="other")
        except CallFailed as other:
            raise Unmet(f"after {number + 1} such inputs another input failed: {other.text}") from other
        slowest = max(slowest, time.monotonic() - begin)
    await scene.workers(10.0)
    return f"other inputs were served, the slowest after {ms(slowest)}; {refused} of {POISONED} such inputs refused"

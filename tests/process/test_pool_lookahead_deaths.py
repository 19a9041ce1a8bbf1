"""Calls that are lined up in the sockets of real workers: each is begun once at most, and a death costs one."""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter

import pytest

from pool.admission import LINED_BYTES, PACKED_S
from pool.errors import DeadlineExceeded, PoolError, QueueFull, WorkerLost, WorkerMemoryLimit, WorkerProtocol

NOTE = """
import os, time
descriptor = os.open({path!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
os.write(descriptor, b"{nonce}\\n")
os.close(descriptor)
time.sleep({seconds})
result = {nonce}
"""
WAIT = "import os, time\nopen({began!r}, 'w').close()\nwhile not os.path.exists({gate!r}): time.sleep(0.001)"


class Held:
    """A worker that is held busy by a call, which has begun, until `let_go`."""

    def __init__(self, one, folder, prefer="rig-1"):
        self.gate, began = folder / "gate", folder / "began"
        self._began = began
        text = WAIT.format(began=str(began), gate=str(self.gate))
        self.call = one.submit("run", text.encode(), prefer=prefer)
        self.one = one

    async def begun(self):
        while not self._began.exists():
            await asyncio.sleep(0.001)
        return self

    async def let_go(self):
        self.gate.touch()
        assert (await self.reply(self.call)).ok

    async def reply(self, call):
        try:
            return await asyncio.wait_for(asyncio.shield(call.future), 10)
        finally:
            self.one.pool.release(call)


@pytest.fixture
def hold(tmp_path):
    async def hold(one, prefer="rig-1"):
        return await Held(one, tmp_path, prefer).begun()

    return hold


def note(path, nonce, seconds=0.0):
    return NOTE.format(path=str(path), nonce=nonce, seconds=seconds).encode()


def noted(path):
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def short_calls(one):
    """Let the pool believe that its calls are short enough to be packed."""
    while one.pool._admission._times.usual_s > PACKED_S:
        one.pool._admission.observe(0.0)


async def test_calls_behind_a_slow_one_are_run_by_the_other_worker(rig, hold, tmp_path):
    one = await rig(size=2).start()
    held = await hold(one)
    short = one.submit("run", b"import time; time.sleep(0.1)", prefer="rig-2")
    calls = [one.submit("run", note(tmp_path / "notes", number)) for number in range(10)]
    behind = [call for call in calls if call.lined and call.worker is held.call.worker]
    assert len(behind) == 5
    for number, call in enumerate(calls):
        assert (await held.reply(call)).body == b"%d" % number
        assert call.worker.id == "rig-2"
    assert (await held.reply(short)).ok
    assert sorted(noted(tmp_path / "notes")) == list(range(10))
    await held.let_go()
    assert (await one.call("echo", b"next", prefer="rig-1")).body == b"next", "it has passed over what was taken back"
    assert one.pool.snapshot().waiting == 0


async def test_short_calls_that_were_packed_behind_a_slow_one_go_to_the_idle_worker(rig, hold):
    one = await rig(size=2).start()
    short_calls(one)
    held = await hold(one)
    calls = [one.submit("echo", b"%d" % number) for number in range(6)]
    assert [call.worker.id for call in calls] == ["rig-1"] * 6
    started = asyncio.get_running_loop().time()
    assert [(await held.reply(call)).body for call in calls] == [b"%d" % number for number in range(6)]
    assert asyncio.get_running_loop().time() - started < 0.5, "a few milliseconds, on a machine with time"
    assert {call.worker.id for call in calls} == {"rig-2"}
    await held.let_go()


@pytest.mark.parametrize("size", [1, 2])
async def test_a_crash_costs_the_call_that_ran(rig, tmp_path, size):
    """Those behind it are run, in their order, by the neighbour or by the replacement."""
    one = await rig(size=size, lookahead=8).start()
    crash = one.submit("run", b"import os, time\ntime.sleep(0.05)\nos._exit(1)", prefer="rig-1")
    calls = [one.submit("run", note(tmp_path / "notes", number), prefer="rig-1") for number in range(12)]
    assert sum(call.lined for call in calls) == 8
    with pytest.raises(WorkerLost, match="exited with code 1"):
        await crash.future
    replies = await asyncio.gather(*(call.future for call in calls))
    assert [reply.body for reply in replies] == [b"%d" % number for number in range(12)]
    assert noted(tmp_path / "notes") == list(range(12)) or size == 2
    assert sorted(noted(tmp_path / "notes")) == list(range(12))
    for call in [crash, *calls]:
        one.pool.release(call)
    assert one.pool.snapshot().waiting == 0


BREAKS = {
    "protocol": (WorkerProtocol, "from pool import frames\nloop._sock.sendall(frames.pack(99, 1))\ntime.sleep(60)"),
    "an answer for a call that is lined up": (
        WorkerProtocol,
        "from pool import frames\n"
        "loop._sock.sendall(frames.result_head(loop._running + 1, True, b'', 0, 0, None))\ntime.sleep(60)",
    ),
    "memory": (WorkerMemoryLimit, "block = bytearray(300 << 20)\ntime.sleep(60)"),
    "garbage": (
        WorkerProtocol,
        "for fd in range(3, 200):\n  try: os.write(fd, b'is there anybody?' * 9), os.ftruncate(fd, 0)\n"
        "  except OSError: pass\ntime.sleep(60)",
    ),
}
FIND = """
import gc, os, time
(loop,) = [found for found in gc.get_objects() if type(found).__name__ == "Blocking"]
time.sleep(0.05)
"""


@pytest.mark.parametrize("how", BREAKS)
async def test_whatever_ends_a_worker_fails_the_running_call_alone(rig, tmp_path, how):
    error, text = BREAKS[how]
    one = await rig(size=1, memory_limit_bytes=150 << 20).start()
    running = one.submit("run", (FIND + text).encode())
    calls = [one.submit("run", note(tmp_path / "notes", number)) for number in range(5)]
    with pytest.raises(error):
        await asyncio.wait_for(running.future, 10)
    replies = await asyncio.gather(*(call.future for call in calls))
    assert [reply.body for reply in replies] == [b"%d" % number for number in range(5)]
    assert noted(tmp_path / "notes") == list(range(5))
    for call in [running, *calls]:
        one.pool.release(call)


async def test_a_call_that_does_not_stop_keeps_no_line(rig, tmp_path):
    """Its worker is killed at the end of the grace, with calls lined up behind it, which are run elsewhere."""
    one = await rig(size=1, grace_s=0.2).start()
    stubborn = b"import time\nwhile True:\n  try: time.sleep(60)\n  except BaseException: pass"
    running = one.submit("run", stubborn, timeout_s=0.1)
    calls = [one.submit("run", note(tmp_path / "notes", number)) for number in range(5)]
    with pytest.raises(DeadlineExceeded):
        await running.future
    replies = await asyncio.wait_for(asyncio.gather(*(call.future for call in calls)), 10)
    assert [reply.body for reply in replies] == [b"%d" % number for number in range(5)]
    assert noted(tmp_path / "notes") == list(range(5))
    assert one.pool.snapshot().restarts == 1
    for call in [running, *calls]:
        one.pool.release(call)


async def test_who_leaves_a_line_is_never_run_and_the_others_keep_their_order(rig, hold, tmp_path):
    one = await rig(size=1).start()
    held = await hold(one)
    loop = asyncio.get_running_loop()
    calls = [
        one.submit("run", note(tmp_path / "notes", number), timeout_s=0.05 if number == 4 else 20.0)
        for number in range(8)
    ]
    assert all(call.lined for call in calls)
    one.pool.release(calls[1])
    started = loop.time()
    with pytest.raises(DeadlineExceeded) as late:
        await calls[4].future
    assert (late.value.where, loop.time() - started < 0.5) == ("IN_QUEUE", True)
    await held.let_go()
    left = [number for number in range(8) if number not in (1, 4)]
    assert [(await held.reply(calls[number])).body for number in left] == [b"%d" % number for number in left]
    assert noted(tmp_path / "notes") == left


async def test_the_queue_limit_counts_what_is_lined_up(rig, hold):
    one = await rig(size=1, queue_limit=2).start()
    held = await hold(one)
    calls = [one.submit("echo") for _ in range(2)]
    assert [call.lined for call in calls] == [True, True]
    with pytest.raises(QueueFull):
        one.submit("echo")
    await held.let_go()
    assert [(await held.reply(call)).ok for call in calls] == [True, True]


async def test_large_requests_are_not_lined_up(rig, hold):
    one = await rig(size=1).start()
    held = await hold(one)
    small, large, last = (one.submit("echo", bytes(size)) for size in (LINED_BYTES, LINED_BYTES + 1, 0))
    assert [call.lined for call in (small, large, last)] == [True, False, False]
    await held.let_go()
    assert [len((await held.reply(call)).body) for call in (small, large, last)] == [LINED_BYTES, LINED_BYTES + 1, 0]


async def test_pinned_calls_stay_with_their_worker_and_in_order(rig, hold, tmp_path):
    one = await rig(size=2).start()
    held = await hold(one)
    calls = [one.submit("run", note(tmp_path / "notes", number), prefer="rig-1") for number in range(12)]
    for number in range(20):
        assert (await one.call("echo", b"%d" % number)).body == b"%d" % number, "the other is idle, and takes none"
    assert noted(tmp_path / "notes") == []
    await held.let_go()
    assert [(await held.reply(call)).ok for call in calls] == [True] * 12
    assert noted(tmp_path / "notes") == list(range(12))
    assert {call.worker.id for call in calls} == {"rig-1"}


async def test_every_call_is_begun_once_at_most_whatever_happens(rig, tmp_path):
    """Short calls with slow ones between them, callers that leave, workers that are killed."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    path = tmp_path / "notes"
    one = await rig(size=3, queue_limit=4000, grace_s=3).start()
    launched, left, tasks = Counter(), set(), {}

    async def run(nonce):
        body = note(path, nonce, 0.02 if chance.random() < 0.02 else 0)
        prefer = chance.choice([None, None, None, *one.pool._supervisor.workers])
        deadline = asyncio.get_running_loop().time() + chance.choice([0.05, 30, 30, 30])
        count = lambda _worker: launched.update([nonce])  # noqa: E731
        call = one.pool.submit("run", b"", body, deadline, prefer=prefer, on_launch=count)
        try:
            return await call.future
        finally:
            one.pool.release(call)

    kills = 0
    for nonce in range(2000):
        tasks[nonce] = asyncio.ensure_future(run(nonce))
        if chance.random() < 0.05:
            victim = chance.choice(list(tasks)[-30:])
            if tasks[victim].cancel():
                left.add(victim)
        if nonce % 100 == 99:
            kills += 1
            os.kill(chance.choice(one.pids()), 9)
        if chance.random() < 0.3:
            await asyncio.sleep(chance.random() * 0.004)
    results = dict(zip(tasks, await asyncio.gather(*tasks.values(), return_exceptions=True), strict=True))
    notes = Counter(noted(path))
    assert max(notes.values()) == 1, "a call was run twice"
    answers = Counter()
    for nonce, result in results.items():
        answers[type(result).__name__] += 1
        if isinstance(result, WorkerLost):
            assert launched[nonce] == 1, "a call that was not begun was lost"
        elif isinstance(result, DeadlineExceeded):
            assert notes[nonce] == 0 or result.where == "IN_WORKER"
        elif isinstance(result, asyncio.CancelledError):
            assert nonce in left
        else:
            assert not isinstance(result, PoolError), result
            assert (result.body, notes[nonce]) == (b"%d" % nonce, 1)
    print(answers)
    assert answers["WorkerLost"] <= kills, "a death costs the one call that ran"
    assert answers["Reply"] > 1000
    assert one.pool.snapshot().waiting == 0
    await one.until(lambda: one.pool.ready_workers == 3)
    for worker in list(one.pool._supervisor.workers.values()):
        await asyncio.wait_for(worker.idle(), 5)
        assert (worker.lined, len(worker._passed_over), worker.child.tokens.take()) == (0, 0, False)

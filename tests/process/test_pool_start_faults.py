"""Slow, loud and multiplying workers: what takes long is left alone, what is loud is cut, what multiplies is ended."""

import asyncio
import os
import time

import psutil
import pytest

from pool.errors import DeadlineExceeded, WorkerLost
from pool.events import OutputDropped, WorkerExited, WorkerOutput
from pool.exits import Killed
from pool.orphans import MARK


def marked(mark):
    """The living processes that carry a worker's mark."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


async def gone(mark, timeout_s):
    """Wait until nothing is left that carries a mark; what is."""
    deadline = time.monotonic() + timeout_s
    while (left := marked(mark)) and time.monotonic() < deadline:
        await asyncio.sleep(0.02)  # processes that are no children of ours send no event
    return left


async def test_a_slow_import_within_its_time_is_no_hang(rig):
    """It takes longer than any check of a ready worker may."""
    one = await rig(start="import time; time.sleep(1.5)", check_interval_s=0.2, check_timeout_s=0.2).start()
    assert one.of(WorkerExited) == []
    assert (await one.call("echo", b"up")).body == b"up"


async def test_an_import_that_prints_ten_megabytes_harms_nothing(rig):
    loud = "import os, sys\nfor _ in range(1000):\n    os.write(1, b'x' * 9_999 + b'\\n')\nsys.stdout.write('half')"
    one = await rig(start=loud).start()
    assert (await one.call("echo", b"up")).body == b"up"
    told = sum(len(event.line) for event in one.of(WorkerOutput))
    assert told < 4_000_000
    assert sum(event.lines for event in one.of(OutputDropped)) > 0 or told < 10_000_000


FORKS = """
import os, time
for _ in range(30):
    if os.fork() == 0:
        if _ % 2:
            os.setsid()
        for _ in range(2):
            os.fork()
        time.sleep(300)
        os._exit(0)
{end}
"""


@pytest.mark.parametrize("concurrency", [1, 4])
@pytest.mark.parametrize(
    ("end", "error"), [("os._exit(1)", WorkerLost), ("while True:\n    sum(range(1000))", DeadlineExceeded)]
)
async def test_a_worker_that_multiplies_is_ended_with_all_it_has_made(rig, concurrency, end, error):
    """120 processes, half of them in sessions of their own: none is left two seconds after the worker's end."""
    one = await rig(concurrency=concurrency).start()
    (worker,) = one.pool._supervisor.workers.values()
    mark = worker.child.mark
    with pytest.raises(error):
        await one.run(FORKS.format(end=end), timeout_s=1.5)
    if error is DeadlineExceeded and concurrency == 1:  # the worker obeys: it and what it has made live on
        assert len(marked(mark)) > 100
        worker.kill(Killed(why="the test ends it"))
    elif error is DeadlineExceeded:
        worker.kill(Killed(why="the test ends it"))
    await one.until(lambda: one.of(WorkerExited))
    assert await gone(mark, 2.0) == []
    assert (await one.call("echo", b"next", timeout_s=10)).body == b"next"


async def test_nobody_is_killed_in_the_place_of_a_worker_that_has_gone(rig, monkeypatch):
    """Its pid may be another's by now."""
    one = await rig().start()
    (worker,) = one.pool._supervisor.workers.values()
    os.kill(worker.pid, 9)
    await one.until(lambda: one.of(WorkerExited))
    sent = []
    monkeypatch.setattr(os, "killpg", lambda *arguments: sent.append(arguments))
    monkeypatch.setattr("signal.pidfd_send_signal", lambda *arguments: sent.append(arguments))
    worker.kill(Killed(why="too late"), stack=True)
    await asyncio.sleep(0)
    assert sent == []


GREEDY = """
import os, resource
resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128))
try:
    while True:
        os.open("/dev/null", os.O_RDONLY)
except OSError as error:
    result = error.strerror
"""


async def test_a_worker_that_can_open_no_more_files_goes_on_with_those_it_has(rig):
    one = await rig().start()
    assert await one.run(GREEDY) == "Too many open files"
    assert (await one.call("echo", b"still")).body == b"still"
    assert one.of(WorkerExited) == []

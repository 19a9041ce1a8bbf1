"""Workers that are forked from a template: whose children they are, what they share, and what outlives what."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from pool import template_process
from pool.errors import PoolError, WorkerLost
from pool.events import WorkerExited, WorkerOutput, WorkerReady

pytestmark = pytest.mark.parametrize("rig", ["template"], indirect=True)
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
"""As the bridge sets it; a library that has started threads when it was imported is not forked."""


def told(one):
    return one.pool.snapshot().started


async def killed(one, number=signal.SIGKILL):
    """Kill a worker and wait for the one in its place; the pids of both."""
    old = one.pids()[0]
    os.kill(old, number)
    await one.until(lambda: old not in one.pids() and one.pool.ready_workers == one.options.size)
    return old, one.pids()[-1]


def dead_children():
    """Those that this process has not been reaped of, its own `Popen` apart."""
    children = psutil.Process().children()
    return [child.pid for child in children if child.status() == psutil.STATUS_ZOMBIE]


async def eventually(condition, timeout_s=10):
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.02)


async def test_a_worker_is_forked_and_is_the_fronts_child(rig):
    one = await rig(size=2).start()
    assert (told(one).kind, told(one).why) == ("template", "")
    template = told(one).template_pid
    assert template not in one.pids()
    for number, pid in enumerate(one.pids(), 1):
        text = "import os; result = (os.getppid(), os.getpgrp() == os.getpid(), os.environ['BRIDGE_WORKER_ID'])"
        assert await one.run(text, prefer=f"rig-{number}") == repr((os.getpid(), True, f"rig-{number}"))
        process = psutil.Process(pid)
        assert process.environ()["BRIDGE_WORKER_ID"] == f"rig-{number}", "as operators see it"
        assert f"pool.child rig-{number}" in process.cmdline()
    assert "BRIDGE_WORKER_ID" not in psutil.Process(template).environ(), "it is no worker"


async def test_the_code_is_imported_once(rig, tmp_path):
    log = tmp_path / "imports"
    one = await rig(size=3, start=f"print(1, file=open({str(log)!r}, 'a'))").start()
    await killed(one)
    assert log.read_text() == "1\n"


async def test_what_importing_prints_is_told_once_by_the_template(rig):
    one = await rig(size=2, start="print('importing')").start()
    await one.run("print('calling')", prefer="rig-2")
    await one.until(lambda: len(one.of(WorkerOutput)) == 2)
    assert [(event.worker, event.line) for event in one.of(WorkerOutput)] == [
        ("rig-template", "importing"),
        ("rig-2", "calling"),
    ]


async def test_the_template_is_replaced_and_its_workers_live_on(rig):
    one = await rig(size=2).start()
    workers, template = one.pids(), told(one).template_pid
    os.kill(template, signal.SIGKILL)
    await eventually(lambda: told(one).template_pid not in (None, template))
    assert one.pids() == workers
    assert (await one.call("echo", b"still")).body == b"still"
    _, new = await killed(one)
    assert psutil.Process(new).ppid() == os.getpid()
    assert one.pool.snapshot().restarts == 1, "the template is none of the pool's workers"


async def test_a_template_that_stands_still_is_replaced(rig, monkeypatch):
    monkeypatch.setattr(template_process, "FORK_S", 0.3)
    one = await rig().start()
    template = told(one).template_pid
    os.kill(template, signal.SIGSTOP)
    await killed(one)
    assert told(one).template_pid not in (None, template)


async def test_a_worker_that_was_forked_ahead_and_is_killed_holds_nothing_up(rig):
    one = await rig().start()

    def is_template(process):
        try:
            return "pool.template_child" in process.cmdline()
        except (psutil.NoSuchProcess, psutil.ZombieProcess):  # a fork's first half ends at once
            return False

    def ahead():
        known = {*one.pids(), told(one).template_pid}
        return [each.pid for each in psutil.Process().children() if is_template(each) and each.pid not in known]

    await eventually(ahead)
    os.kill(ahead()[0], signal.SIGKILL)
    await killed(one)
    assert (await one.call("echo", b"on")).body == b"on"


@pytest.mark.parametrize(
    ("text", "name", "code"),
    [
        ("import os; os._exit(7)", "", 7),
        ("import os; os._exit(0)", "", 0),
        ("import os; os.abort()", "SIGABRT", None),
        ("import ctypes; ctypes.string_at(0)", "SIGSEGV", None),
        ("import os; os.kill(os.getpid(), 9)", "SIGKILL", None),
    ],
)
async def test_how_a_worker_ended_is_read_right(rig, text, name, code):
    one = await rig().start()
    with pytest.raises(WorkerLost) as lost:
        await one.run(text)
    assert (lost.value.signal, lost.value.exit_code) == (name, code)


async def test_a_worker_that_ends_by_itself_runs_what_is_left_to_do_at_the_end(rig, tmp_path):
    done = tmp_path / "done"
    one = await rig(start=f"import atexit; atexit.register(open, {str(done)!r}, 'a')").start()
    await one.pool.stop()
    assert done.exists()
    assert one.of(WorkerExited)[-1].expected


async def test_orphans_are_reaped_and_the_fronts_own_children_are_left_alone(rig):
    one = await rig().start()
    own = subprocess.Popen(["sh", "-c", "exit 3"])
    os.waitid(os.P_PID, own.pid, os.WEXITED | os.WNOWAIT)
    text = """
        import os, subprocess
        subprocess.run(["sh", "-c", "setsid true & sleep 0 & setsid sleep 300 &"])
        if os.fork() == 0:
            os.setsid()
            os.kill(os.fork() or os.getpid(), 9)
            os._exit(0)
    """
    await one.run(text)
    await killed(one)
    await eventually(lambda: dead_children() == [own.pid])
    assert own.wait() == 3, "its status was not stolen"


async def test_a_fork_that_leaves_the_group_is_ended_with_its_worker(rig, process_exit):
    """It executes nothing, so that only the block of variables that it was forked with tells whose it is."""
    one = await rig(size=2).start()
    text = """
        import os, time
        told, tell = os.pipe()
        if os.fork() == 0:
            os.setsid()
            os.write(tell, b"%d" % os.getpid())
            time.sleep(300)
        result = os.read(told, 20).decode()
    """
    away = int(await one.run(text, prefer="rig-1"))
    neighbour = int(await one.run(text, prefer="rig-2"))
    await killed(one)
    await asyncio.to_thread(process_exit, away, 5)
    assert psutil.pid_exists(neighbour)
    assert {worker.id for worker in one.pool.snapshot().workers} == {"rig-2", "rig-3"}


async def test_each_worker_draws_other_random_numbers(rig):
    environment = rig().options.env
    one = await rig(size=3, start="import random, numpy.random, uuid", env={**environment, **ONE_THREAD}).start()
    text = "import random, numpy, uuid\nresult = (random.random(), numpy.random.rand(), str(uuid.uuid4()))"
    drawn = [await one.run(text, prefer=worker.id) for worker in one.pool.snapshot().workers]
    for each in zip(*(text.split(",") for text in drawn), strict=True):
        assert len(set(each)) == 3


async def test_a_blas_with_several_threads_starts_them_in_the_worker(rig):
    environment = {**rig().options.env, "OPENBLAS_NUM_THREADS": "2", "OMP_NUM_THREADS": "2"}
    one = await rig(start="import numpy", env=environment).start()
    assert psutil.Process(told(one).template_pid).num_threads() == 1
    text = "import numpy, os; a = numpy.ones((900, 900)); a @ a; result = len(os.listdir('/proc/self/task'))"
    assert await one.run(text) == "2"


async def test_code_that_has_changed_is_imported_anew(rig, tmp_path):
    module = tmp_path / "changing_code.py"
    module.write_text("VALUE = 'old'\n")
    one = await rig(start=f"import sys; sys.path.append({str(tmp_path)!r}); import changing_code").start()
    ask = "import sys; result = sys.modules['changing_code'].VALUE"
    template = told(one).template_pid
    assert await one.run(ask) == "old"
    await killed(one)
    assert (await one.run(ask), told(one).template_pid) == ("old", template)
    module.write_text("VALUE = 'newer'\n")
    await killed(one)
    assert await one.run(ask) == "newer"
    assert told(one).template_pid not in (None, template)


async def test_a_restart_imports_the_code_anew(rig, tmp_path):
    data = tmp_path / "data"
    data.write_text("one")
    one = await rig(size=2, start=f"import builtins; builtins.read = open({str(data)!r}).read()").start()
    data.write_text("two")
    await killed(one)
    ask = "import builtins; result = builtins.read"
    assert await one.run(ask, prefer=one.pool.snapshot().workers[-1].id) == "one", "a file of data is no code"
    assert await one.pool.restart() == 2
    assert {await one.run(ask, prefer=worker.id) for worker in one.pool.snapshot().workers} == {"two"}


async def test_other_options_come_with_a_reload(rig):
    one = await rig(start="import builtins; builtins.name = 'old'").start()
    options = json.dumps({"start": "import builtins; builtins.name = 'new'"}).encode()
    await one.pool.reload(replace(one.options, entry_options=options))
    assert await one.run("import builtins; result = builtins.name") == "new"
    assert told(one).kind == "template"


async def test_calls_at_a_time_are_taken_by_forked_workers_too(rig):
    one = await rig(concurrency=8, size=2).start()
    calls = [one.run("import time; time.sleep(0.05); result = 1") for _ in range(16)]
    assert await asyncio.wait_for(asyncio.gather(*calls), 5) == ["1"] * 16


async def test_a_worker_for_one_call_at_a_time_holds_no_event_loop(rig):
    one = await rig().start()
    assert await one.run("import sys; result = 'asyncio' in sys.modules or 'uvloop' in sys.modules") == "False"


async def test_a_stop_while_the_template_imports(rig, leaks):
    one = rig(start="print('importing'); import time; time.sleep(60)", size=2)
    starting = asyncio.ensure_future(one.pool.start())
    await one.until(lambda: one.of(WorkerOutput))
    await asyncio.wait_for(one.pool.stop(), 3)
    with pytest.raises(PoolError):
        await starting
    assert not one.of(WorkerReady)


async def test_nothing_is_left_after_a_stop(rig):
    before = {child.pid for child in psutil.Process().children()}
    one = await rig(size=3).start()
    await killed(one)
    await one.pool.stop()
    assert {child.pid for child in psutil.Process().children()} <= before


async def test_many_kills_of_workers_and_templates_leave_nothing_behind(rig):
    one = await rig(size=2).start()
    for number in range(15):
        if number % 3 == 0 and (template := told(one).template_pid):
            os.kill(template, signal.SIGKILL)
        await killed(one)
    await one.pool.stop()
    await eventually(lambda: not dead_children())
    assert not [path for path in Path("/proc/self/fd").iterdir() if "memfd:bridge" in os.path.realpath(path)]

"""What surrounds a worker process, what it writes, and how its end is told."""

from __future__ import annotations

import asyncio
import json
import os
import signal

import pytest

from pool.errors import DeadlineExceeded, WorkerLost, WorkerMemoryLimit, WorkerProtocol
from pool.events import OutputDropped, WorkerExited, WorkerOutput
from pool.lifecycle import State

pytestmark = pytest.mark.parametrize("rig", ["spawn", "template"], indirect=True)

# -- surroundings -------------------------------------------------------------------------------------------------

SURROUNDINGS = """
import json, os, resource, signal, sys
status = dict(line.split(":\\t", 1) for line in open("/proc/self/status").read().splitlines())
result = json.dumps({
    "worker": os.environ["BRIDGE_WORKER_ID"], "given": os.environ["GIVEN"], "nice": os.nice(0),
    "group": os.getpgid(0) == os.getpid(), "no_new_privs": status["NoNewPrivs"],
    "core": resource.getrlimit(resource.RLIMIT_CORE)[0], "stdin": os.readlink("/proc/self/fd/0"),
    "oom": int(open("/proc/self/oom_score_adj").read()), "first_on_path": sys.path[0],
    "pipe": signal.getsignal(signal.SIGINT) is signal.SIG_IGN, "asyncio": "asyncio" in sys.modules,
})
"""


async def test_the_surroundings_of_a_worker(rig):
    one = rig(nice=3)
    one.options.env["GIVEN"] = "by the pool"
    await one.start()
    found = json.loads(await one.run(SURROUNDINGS))
    first = found.pop("first_on_path")
    assert first != "", "the working directory is not searched for modules"
    assert found == {
        "worker": "rig-1",
        "given": "by the pool",
        "nice": os.nice(0) + 3,
        "group": True,
        "no_new_privs": "1",
        "core": 0,
        "stdin": "/dev/null",
        "oom": 500,
        "pipe": True,
        "asyncio": False,
    }


async def test_programs_that_a_worker_starts_inherit_no_socket(rig):
    one = await rig().start()
    found = await one.run(
        """
        import subprocess
        listing = ["ls", "-l", "/proc/self/fd"]
        result = subprocess.run(listing, close_fds=False, capture_output=True, text=True).stdout
        """
    )
    assert "pipe:" in found
    assert "socket:" not in found


async def test_a_fork_that_returns_from_its_call_answers_nothing(rig):
    one = await rig().start()
    first = await one.run("import os\nresult = os.fork() and 'parent'", timeout_s=10)
    assert first == "parent"
    for number in range(20):
        assert (await one.call("echo", b"%d" % number)).body == b"%d" % number
    assert one.pool.snapshot().restarts == 0


# -- output -------------------------------------------------------------------------------------------------------


async def test_output_is_captured_and_labelled(rig):
    one = await rig(size=2).start()
    await one.run(
        """
        import ctypes, os, subprocess, sys
        print("from print")
        print("from stderr", file=sys.stderr)
        os.write(1, b"from the descriptor\\n")
        subprocess.run(["echo", "from a child"])
        ctypes.CDLL(None).puts(b"from C")
        ctypes.CDLL(None).fflush(None)
        """,
        prefer="rig-2",
    )
    await one.until(lambda: len(one.of(WorkerOutput)) == 5)
    assert {(event.worker, event.stream, event.line) for event in one.of(WorkerOutput)} == {
        ("rig-2", "stdout", "from print"),
        ("rig-2", "stderr", "from stderr"),
        ("rig-2", "stdout", "from the descriptor"),
        ("rig-2", "stdout", "from a child"),
        ("rig-2", "stdout", "from C"),
    }


async def test_a_flood_of_garbage_neither_blocks_nor_breaks_the_protocol(rig):
    one = await rig().start()
    flood = """
    import os
    for turn in range(100):
        os.write(1, os.urandom(100_000) + b"\\n")
        os.write(2, b'{"half": ' * 10_000 + b"\\n" * 100)
    result = "through"
    """
    assert await one.run(flood) == "through"
    assert (await one.call("echo", b"on")).body == b"on"
    await one.pool.stop()
    assert len(one.of(WorkerOutput)) < 2000
    assert sum(event.lines for event in one.of(OutputDropped)) > 1000
    assert one.pool.snapshot().restarts == 0


# -- ends ---------------------------------------------------------------------------------------------------------

ENDS = [
    ("os._exit(0)", "exited with code 0", "", 0),
    ("os._exit(7)", "exited with code 7", "", 7),
    ("os.kill(os.getpid(), 9)", "killed by SIGKILL", "SIGKILL", None),
    ("os.kill(os.getpid(), 1)", "killed by SIGHUP", "SIGHUP", None),
    ("ctypes.string_at(0)", "killed by SIGSEGV", "SIGSEGV", None),
    ("os.abort()", "killed by SIGABRT", "SIGABRT", None),
    ("raise RuntimeError('an entry that raises')", "exited with code 1", "", 1),
]


@pytest.mark.parametrize(("end", "cause", "name", "code"), ENDS, ids=[end[0] for end in ENDS])
async def test_an_end_is_told_as_it_was(rig, end, cause, name, code):
    one = await rig().start()
    with pytest.raises(WorkerLost) as lost:
        await one.run(f"import ctypes, os, sys\nprint('last words', file=sys.stderr)\n{end}")
    error = lost.value
    assert error.cause.startswith(cause)
    assert (error.worker, error.function, error.signal, error.exit_code) == ("rig-1", "run", name, code)
    assert "last words" in error.stderr
    (exited,) = one.of(WorkerExited)
    assert not exited.expected
    assert (exited.report.cause, exited.report.exit_code) == (error.cause, code)
    assert (await one.call("echo", b"next", timeout_s=5)).body == b"next"


@pytest.mark.parametrize("concurrency", [1, 2])
async def test_sigterm_is_for_the_server(rig, concurrency):
    """A service manager may send it to every process: a worker goes on with its call, and with the next one."""
    one = await rig(concurrency=concurrency).start()
    (pid,) = one.pids()
    text = "import os, signal, time; os.kill(os.getpid(), signal.SIGTERM); time.sleep(0.05); result = 'ended well'"
    assert await one.run(text) == "ended well"
    os.kill(pid, signal.SIGTERM)
    assert (await one.call("echo", b"next")).body == b"next"
    assert one.pids() == [pid]
    inherited = "import subprocess, sys; result = str(subprocess.run([sys.executable, '-c', "
    inherited += "'import os, signal; os.kill(os.getpid(), signal.SIGTERM)']).returncode)"
    assert await one.run(inherited) == "-15", "programs that user code starts end as ever"


LOOP = """
import gc, os, sys, time
(loop,) = [found for found in gc.get_objects() if type(found).__name__ == "Blocking"]
"""


async def test_an_answer_that_was_written_before_the_end_still_counts(rig):
    one = await rig().start()
    last = "send = loop._send\nloop._send = lambda *frame: (send(*frame), os._exit(0))\nresult = 'in time'"
    assert await one.run(LOOP + last) == "in time"
    await one.until(lambda: one.of(WorkerExited))
    assert one.of(WorkerExited)[0].report.cause == "exited with code 0"
    assert (await one.call("echo", b"next")).body == b"next"


async def test_a_worker_that_closes_its_socket_and_lives_on_is_replaced(rig):
    one = await rig(size=2).start()
    closing = asyncio.ensure_future(one.run(LOOP + "loop._sock.close()\ntime.sleep(60)", prefer="rig-1"))
    await asyncio.sleep(0)
    for number in range(5):
        assert (await one.call("echo", b"%d" % number, prefer="rig-1")).body == b"%d" % number, "served by the other"
    with pytest.raises(WorkerProtocol, match="closed its channel and lives on"):
        await asyncio.wait_for(closing, 5)
    await one.until(lambda: one.pool.ready_workers == 2)


BROKEN = {
    "an unknown kind": "loop._sock.sendall(frames.pack(99, 1))",
    "the wrong call": "loop._sock.sendall(frames.result_head(77, True, b'', 0, 0, None))",
    "two answers": "loop._sock.sendall(frames.result_head(loop._running, True, b'', 0, 0, None) * 2); time.sleep(60)",
    "a chunk of a call that does not stream": "loop._sock.sendall(frames.pack(frames.CHUNK, loop._running, b'x'))",
    "a frame above the limit": "loop._sock.sendall(frames.HEADER.pack(2**31, frames.CHUNK, 1))",
    "a result that is none": "loop._sock.sendall(frames.pack(frames.RESULT, loop._running, b'short'))",
    "text on every descriptor": (
        "for fd in range(3, 256):\n  try: os.write(fd, b'hello, who is there?')\n  except OSError: pass"
    ),
}


@pytest.mark.parametrize("sent", BROKEN)
async def test_a_worker_that_breaks_the_protocol_is_replaced(rig, sent):
    one = await rig(size=2).start()
    neighbour = asyncio.ensure_future(one.run("import time; time.sleep(0.5); result = 'unharmed'", prefer="rig-2"))
    await asyncio.sleep(0)
    answers = await asyncio.gather(
        one.run(f"from pool import frames{LOOP}{BROKEN[sent]}\ntime.sleep(60)", timeout_s=5, prefer="rig-1"),
        return_exceptions=True,
    )
    if sent == "two answers":
        assert answers == [""], "the first of the two came in time"
    else:
        assert [type(answer) for answer in answers] == [WorkerProtocol]
        assert "broke the frame protocol" in str(answers[0])
    await one.until(lambda: one.of(WorkerExited))
    assert [event.report.killed.protocol for event in one.of(WorkerExited)] == [True]
    assert await neighbour == "unharmed"
    assert (await one.call("echo", b"next", timeout_s=5)).body == b"next"


async def test_a_frame_cut_short_by_the_end_is_a_lost_worker(rig):
    one = await rig().start()
    with pytest.raises(WorkerLost, match="exited with code 4"):
        await one.run(
            f"from pool import frames{LOOP}loop._sock.sendall(frames.pack(17, 1, b'x' * 99)[:50])\nos._exit(4)"
        )


async def test_a_worker_over_its_memory_limit_is_killed_and_its_neighbour_is_not(rig):
    limit = 150 << 20
    one = await rig(size=2, memory_limit_bytes=limit).start()
    neighbour = asyncio.ensure_future(
        one.run("import sys\nwhile not entry.calls > 99: entry.calls += 1\nresult = 'unharmed'", prefer="rig-2")
    )
    with pytest.raises(WorkerMemoryLimit) as killed:
        await one.run("import time\nblock = bytearray(300 << 20)\ntime.sleep(60)", prefer="rig-1")
    error = killed.value
    assert (error.worker, error.function, error.limit_bytes) == ("rig-1", "run", limit)
    assert error.used_bytes > limit
    assert "raise pools.rig.memory_limit" in str(error)
    assert await neighbour == "unharmed"
    assert [event.worker for event in one.of(WorkerExited)] == ["rig-1"]


async def test_the_memory_of_a_grandchild_counts(rig):
    one = await rig(memory_limit_bytes=150 << 20).start()
    hold = "import sys; block = bytearray(300 << 20); sys.stdin.read()"
    text = f"import subprocess\nsubprocess.Popen(['python3', '-S', '-c', {hold!r}], stdin=subprocess.PIPE).wait()"
    with pytest.raises(WorkerMemoryLimit):
        await one.run(text)


async def test_a_worker_that_hangs_at_its_end_is_killed(rig):
    """A thread of user code that is no daemon keeps an interpreter from ending."""
    one = await rig(stop_timeout_s=0.3).start()
    await one.run("import threading\nthreading.Thread(target=threading.Event().wait).start()")
    await asyncio.wait_for(one.pool.stop(), 5)
    (exited,) = one.of(WorkerExited)
    assert exited.report.cause == "did not stop within 0.3 s"


STUBBORN = """
import os, time
while not os.path.exists({gate!r}):
    try:
        while not os.path.exists({gate!r}): time.sleep(0.005)
    except BaseException: pass
"""
PATIENT = "import os, time\nwhile not os.path.exists({gate!r}): time.sleep(0.005)\nresult = 'unharmed'"


@pytest.mark.parametrize("gives_up", [True, False])
async def test_a_call_that_does_not_stop_costs_its_neighbours_nothing(rig, tmp_path, gives_up):
    """Its worker takes no more calls and is replaced at once, but ends only after its other calls."""
    stubborn_gate, patient_gate = tmp_path / "stubborn", tmp_path / "patient"
    one = await rig(concurrency=2, grace_s=0.2).start()
    patient = asyncio.ensure_future(one.run(PATIENT.format(gate=str(patient_gate))))
    with pytest.raises(DeadlineExceeded):
        await one.run(STUBBORN.format(gate=str(stubborn_gate)), timeout_s=0.1)
    await one.until(lambda: len(one.pool.snapshot().workers) == 2 and one.pool.ready_workers == 1)
    assert [worker.state for worker in one.pool.snapshot().workers] == [State.DRAINING, State.READY]
    assert (await one.call("echo", b"new")).body == b"new"
    if gives_up:
        stubborn_gate.touch()
    patient_gate.touch()
    assert await patient == "unharmed"
    await one.until(lambda: one.of(WorkerExited))
    (exited,) = one.of(WorkerExited)
    assert (exited.worker, exited.expected) == ("rig-1", gives_up)
    if not gives_up:
        assert "went on 0.2 s after its cancel or deadline" in exited.report.cause
        assert "<test>" in exited.report.stderr_tail, "the stack shows where it stood"

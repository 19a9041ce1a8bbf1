"""Which dead children are reaped: those that come from workers, and never one that the front waits for."""

import os
import subprocess
import sys

import psutil
import pytest

from pool.guard import Guard
from pool.reaper import Reaper, become_subreaper

BATCH = "import os, sys; os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0)); "


@pytest.fixture
def dead():
    """`dead(code, **how)`: a child that has ended and was not reaped."""
    made = []

    def make(code, **how):
        child = subprocess.Popen([sys.executable, "-S", "-c", code], **how)
        made.append(child)
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        return child.pid

    yield make
    for child in made:
        child.wait()


def is_there(pid):
    return pid in [child.pid for child in psutil.Process().children()]


def test_no_child_at_all():
    assert Reaper(lambda _pid: False).reap() in (0, 1)


def test_what_the_front_has_started_itself_is_left(dead):
    pid = dead("pass", process_group=0)
    reaper = Reaper(lambda _pid: False)
    reaper.reap()
    reaper.reap()
    assert is_there(pid)


def test_what_a_worker_has_started_is_reaped(dead):
    pid = dead(BATCH, start_new_session=True)
    assert Reaper(lambda _pid: False).reap() >= 1
    assert not is_there(pid)


def test_what_is_known_is_left(dead):
    pid = dead(BATCH, start_new_session=True)
    Reaper(lambda one: one == pid).reap()
    assert is_there(pid)


def test_what_could_be_another_pools_worker_is_left_at_the_first_sight(dead):
    pid = dead(BATCH, process_group=0)
    reaper = Reaper(lambda _pid: False)
    reaper.reap()
    assert is_there(pid)
    reaper.reap()
    assert not is_there(pid)


def test_an_orphan_comes_to_a_subreaper_and_is_seen():
    code = """
import os, sys, time
from pool.reaper import Reaper, become_subreaper
become_subreaper()
reaper = Reaper(lambda pid: False)
told, tell = os.pipe()
first = os.fork()
if first == 0:
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    if os.fork() == 0:
        os.setsid()
        os.write(tell, b"1")
        time.sleep(0.05)
    os._exit(0)
os.waitpid(first, 0)
os.read(told, 1)
assert reaper.has_orphans()
while reaper.has_orphans():
    reaper.reap()
print("none is left")
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("none is left\n", "")


def test_becoming_a_subreaper_twice_does_no_harm():
    become_subreaper()
    become_subreaper()


def test_what_another_guard_of_the_process_knows_is_left(dead):
    """Two pools that do not share a guard must not read the exit status of each other's workers."""
    pid = dead(BATCH, start_new_session=True)
    mine, other = Guard(), Guard()
    other._watched["mark"] = pid
    mine._reaper.reap()
    assert is_there(pid)
    other._watched.clear()
    mine._reaper.reap()
    assert not is_there(pid)

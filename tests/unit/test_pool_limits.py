"""The memory of real processes."""

import os
import subprocess
import sys

import pytest

from pool.limits import descendants, members_by_group, proportional_bytes, resident_bytes
from pool.memory import ProcReadings

HOLD = "import sys; block = bytearray({size}); print('ready', flush=True); sys.stdin.read()"
PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {hold!r}], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
child.stdout.readline()
print(child.pid, flush=True)
sys.stdin.read()
"""

ORPHAN = """
import os, subprocess, sys
parent = subprocess.Popen([sys.executable, "-c", {parent!r}], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
line = parent.stdout.readline()
parent.kill()
parent.wait()
print(line, flush=True)
sys.stdin.read()
os.kill(int(line), 9)
"""
THREADED = """
import subprocess, sys, threading
def start():
    child = subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True)
    print(child.pid, flush=True)
    child.wait()
threading.Thread(target=start, daemon=True).start()
sys.stdin.read()
"""


@pytest.fixture
def holder():
    """Start a process group that holds memory; its leader's Popen, after it has said a line."""
    started = []

    def start(code):
        process = subprocess.Popen(
            [sys.executable, "-S", "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            process_group=0,
        )
        started.append(process)
        assert process.stdout is not None
        return process, process.stdout.readline().strip()

    yield start
    for process in started:
        process.communicate("")


def test_resident_and_proportional_memory_of_a_process(holder):
    size = 64 << 20
    small, _ = holder(HOLD.format(size=0))
    large, _ = holder(HOLD.format(size=size))
    for measure in (resident_bytes, proportional_bytes):
        assert measure(large.pid) - measure(small.pid) == pytest.approx(size, rel=0.1)


def test_a_process_that_has_ended_holds_nothing():
    process = subprocess.Popen([sys.executable, "-S", "-c", ""])
    process.wait()
    assert resident_bytes(process.pid) == 0
    assert proportional_bytes(process.pid) == 0


def test_a_group_is_its_leader_and_all_its_members(holder):
    size = 48 << 20
    leader, line = holder(PARENT.format(hold=HOLD.format(size=size)))
    member = int(line)
    assert sorted(members_by_group([leader.pid])[leader.pid]) == sorted([leader.pid, member])
    assert descendants(leader.pid) == [member]
    readings = ProcReadings()
    pids = readings.members(leader.pid)
    assert pids == [leader.pid, member]
    assert readings.resident(pids) >= readings.resident([leader.pid]) + size
    assert readings.proportional(pids) >= size


def test_a_member_whose_parent_has_ended_is_found_by_a_scan(holder):
    size = 16 << 20
    leader, line = holder(ORPHAN.format(parent=PARENT.format(hold=HOLD.format(size=size))))
    readings = ProcReadings()
    assert readings.members(leader.pid) == [leader.pid]
    readings.scan([leader.pid])
    assert readings.members(leader.pid) == [leader.pid, int(line)]


def test_descendants_are_found_through_threads_and_other_groups(holder):
    leader, line = holder(THREADED)
    assert descendants(leader.pid) == [int(line)]
    assert members_by_group([leader.pid])[leader.pid] == [leader.pid]


def test_a_group_that_nobody_is_in():
    assert members_by_group([2**22 + 1]) == {2**22 + 1: []}


def test_our_own_group_is_found():
    assert os.getpid() in members_by_group([os.getpgid(0)])[os.getpgid(0)]

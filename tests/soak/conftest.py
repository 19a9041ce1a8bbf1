"""Measures of what a process holds, taken several times while work goes on, and judged by their trend.

One difference between two measures says little: an allocator takes memory in lumps. A leak is what grows with the work,
so memory is judged by the slope of a line through all measures, and everything else by equality.
"""

from __future__ import annotations

import asyncio
import gc
import os
import random
import runpy
import threading
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from pool.calls import Call
from pool.streams import StreamBuffer

ROOT = Path(__file__).resolve().parents[2]
LONG = os.environ.get("TEST_LENGTH") == "long"


def slope(points):
    """The slope of the line through points, by least squares: bytes per unit of work."""
    middle_x = sum(x for x, _ in points) / len(points)
    middle_y = sum(y for _, y in points) / len(points)
    spread = sum((x - middle_x) ** 2 for x, _ in points)
    return sum((x - middle_x) * (y - middle_y) for x, y in points) / spread


@dataclass
class Trend:
    """Measures of one process by the work done."""

    pid: int
    memory: list = field(default_factory=list)
    held: list = field(default_factory=list)

    def measure(self, work):
        process = psutil.Process(self.pid)
        self.memory.append((work, process.memory_info().rss))
        below = len(process.children(recursive=True))
        self.held.append({"descriptors": process.num_fds(), "threads": process.num_threads(), "processes": below})

    def grown(self):
        """What is held now and was not at the first measure; descriptors have two to spare, threads one."""
        spare = {"descriptors": 2, "threads": 1, "processes": 0}
        first, last = self.held[0], self.held[-1]
        return {name: last[name] - first[name] for name in first if last[name] > first[name] + spare[name]}

    @property
    def bytes_per_unit(self):
        """The memory that each unit of work has left behind, to the end: what a warm-up takes comes to rest."""
        return min(slope(self.memory), slope(self.memory[len(self.memory) // 2 :]))


def objects():
    """The futures, tasks, calls and buffers of this process, and its threads."""
    gc.collect()
    kinds = (asyncio.Future, Call, StreamBuffer)
    found = Counter(type(one).__name__ for one in gc.get_objects() if isinstance(one, kinds))
    return found | Counter(threads=threading.active_count(), descriptors=len(list(Path("/proc/self/fd").iterdir())))


@pytest.fixture
def trend():
    """`trend(pid)`: measures of a process."""
    return Trend


@pytest.fixture(name="objects")
def objects_fixture():
    return objects


@pytest.fixture
def length():
    """`length(short, long)`: how much of something this run does."""
    return lambda short, long: long if LONG else short


@pytest.fixture
def chance():
    """Random numbers by a seed that is printed; TEST_SEED sets it."""
    seed = int(os.environ.get("TEST_SEED") or random.randrange(2**32))
    print(f"seed {seed} (TEST_SEED={seed} repeats this run)")
    return random.Random(seed)


@pytest.fixture
async def rig():
    """`rig(**options)` makes a pool of processes, as for tests/process."""
    make = runpy.run_path(str(ROOT / "tests/process/conftest.py"))["Rig"]
    made = []

    def one(**changes):
        environment = {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests/process'}"}
        made.append(make(**{"env": environment, **changes}))
        return made[-1]

    yield one
    for each in made:
        await asyncio.wait_for(each.pool.stop(), 20)
        assert each.fatal == []

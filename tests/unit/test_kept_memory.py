"""Freed memory is kept while a process works and given back once it is idle."""

import subprocess
import sys
from types import SimpleNamespace

import pytest

from bridge.upkeep.idle_memory import IdleMemory
from pool import heap
from pool.idle import KeptMemory
from pool.own_memory import PAGE_BYTES, rss_reader

FREES = """
import os, sys
from pool import heap
from pool.own_memory import PAGE_BYTES, rss_pages, rss_reader
heap.keep(of_any_size=sys.argv[1] == "any")
statm = rss_reader()
before = rss_pages(statm)
for _ in range(3):
    held = [b"x" * (int(sys.argv[2]) << 20) for _ in range(int(sys.argv[3]))]
    del held
kept = rss_pages(statm) - before
heap.give_back()
print(kept * PAGE_BYTES >> 20, (rss_pages(statm) - before) * PAGE_BYTES >> 20)
"""


@pytest.mark.parametrize(
    ("what", "mebibytes", "count", "least", "most"),
    [("small", 1, 64, 60, 70), ("small", 48, 2, 0, 4), ("any", 48, 2, 90, 100)],
    ids=["up to 32 MiB", "above, by a worker", "above, by the front"],
)
def test_freed_memory_is_kept_and_given_back(what, mebibytes, count, least, most):
    command = [sys.executable, "-c", FREES, what, str(mebibytes), str(count)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    kept, left = map(int, done.stdout.split())
    assert least <= kept <= most
    assert left <= 4


def test_only_growth_is_worth_it():
    memory = KeptMemory(rss_reader())
    settled = memory.give_back()
    assert not memory.worth(settled + heap.WORTH_BYTES // PAGE_BYTES)
    assert memory.worth(settled + heap.WORTH_BYTES // PAGE_BYTES + 1)


def test_the_front_gives_back_when_it_was_idle_twice(monkeypatch):
    dispatcher = SimpleNamespace(is_idle=False)
    memory = IdleMemory(dispatcher)
    monkeypatch.setattr(KeptMemory, "worth", lambda _self, _pages: True)
    assert not memory.look()
    dispatcher.is_idle = True
    assert not memory.look()
    assert memory.look()
    dispatcher.is_idle = False
    assert not memory.look()
    monkeypatch.setattr(KeptMemory, "worth", lambda _self, _pages: False)
    dispatcher.is_idle = True
    assert [memory.look() for _ in range(3)] == [False] * 3

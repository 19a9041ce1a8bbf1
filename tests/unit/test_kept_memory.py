"""Freed memory is kept while a process works and given back once it is idle."""

import subprocess
import sys
from types import SimpleNamespace

from bridge.idle_memory import IdleMemory
from pool import heap
from pool.idle import KeptMemory
from pool.own_memory import PAGE_BYTES, rss_reader

FREES = """
import os, sys
from pool import heap
from pool.own_memory import PAGE_BYTES, rss_pages, rss_reader
if sys.argv[1] == "keep":
    heap.keep()
statm = rss_reader()
before = rss_pages(statm)
for _ in range(3):
    held = [b"x" * (1 << 20) for _ in range(64)]
    del held
kept = rss_pages(statm) - before
heap.give_back()
print(kept * PAGE_BYTES >> 20, (rss_pages(statm) - before) * PAGE_BYTES >> 20)
"""


def test_freed_memory_is_kept_and_given_back():
    done = subprocess.run([sys.executable, "-c", FREES, "keep"], capture_output=True, text=True, check=True)
    kept, left = map(int, done.stdout.split())
    assert kept >= 60
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

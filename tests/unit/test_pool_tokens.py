"""The count that two processes share: each token is had by one, and nothing of it outlives its end."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pool.tokens import SIZE, Tokens, shared_memory

ROOT = Path(__file__).resolve().parents[2]
RACER = """
import select, sys
from pool.tokens import Tokens
tokens = Tokens(int(sys.argv[1]))
print("ready", flush=True)
taken, told = 0, False
while True:
    for _ in range(1000):
        taken += tokens.take()
    if told:
        break
    told = bool(select.select([sys.stdin], [], [], 0)[0])
while tokens.take():
    taken += 1
print(taken, flush=True)
"""


@pytest.fixture
def memory():
    descriptor = shared_memory()
    yield descriptor
    os.close(descriptor)


@pytest.fixture
def tokens(memory):
    made = Tokens(memory, new=True)
    yield made
    made.close()


def test_as_many_are_taken_as_were_put(tokens):
    assert tokens.take() is False
    for _ in range(3):
        tokens.put()
    assert [tokens.take() for _ in range(5)] == [True, True, True, False, False]


def test_both_ends_see_one_count(tokens, memory):
    other = Tokens(memory)
    tokens.put()
    assert other.take()
    assert not tokens.take()
    other.put()
    assert tokens.take()
    other.close()


def test_two_processes_race_and_each_token_is_taken_once(tokens, memory):
    """Those put in all are those taken by both: none is had twice, none is lost."""
    command = [sys.executable, "-c", RACER, str(memory)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, pass_fds=(memory,), env=environment, **pipes) as racer:
        assert racer.stdout.readline() == "ready\n"
        ours = 0
        for number in range(20_000):
            tokens.put()
            ours += number % 2 and tokens.take()
        racer.stdin.close()
        theirs = int(racer.stdout.readline())
    assert ours + theirs == 20_000
    assert ours > 0


def test_an_end_that_was_closed_has_no_tokens_and_can_be_closed_again(memory):
    tokens = Tokens(memory, new=True)
    tokens.put()
    tokens.close()
    tokens.close()
    tokens.put()
    assert not tokens.take()


def held():
    """Descriptors, and mappings of such memory."""
    return len(list(Path("/proc/self/fd").iterdir())), Path("/proc/self/maps").read_text().count("bridge-tokens")


def test_nothing_is_held_after_the_end():
    descriptors, mappings = held()
    descriptor = shared_memory()
    tokens = Tokens(descriptor, new=True)
    os.close(descriptor)
    assert held() == (descriptors, mappings + 1)
    tokens.put()
    assert tokens.take(), "the memory does not need the descriptor"
    tokens.close()
    assert held() == (descriptors, mappings)


def test_the_memory_can_not_be_taken_away_under_the_other_end(tokens, memory):
    with pytest.raises(PermissionError):
        os.ftruncate(memory, 0)
    assert os.fstat(memory).st_size == SIZE
    tokens.put()
    assert tokens.take()


def test_what_can_not_be_mapped_says_so():
    read, write = os.pipe()
    with pytest.raises(OSError, match="could not be mapped"):
        Tokens(read)
    os.close(read)
    os.close(write)

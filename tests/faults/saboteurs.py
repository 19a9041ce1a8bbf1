"""User code that does its worst: served like any app, each function breaks something in its own way."""

import asyncio
import ctypes
import itertools
import mmap
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Iterator


def echo(text: str) -> str:
    return text


# -- deaths -------------------------------------------------------------------------------------------------------


def kill_self(number: int) -> None:
    os.kill(os.getpid(), number)
    time.sleep(60)


def exit_now(code: int) -> None:
    os._exit(code)


def segfault() -> None:
    ctypes.string_at(0)


def abort() -> None:
    os.abort()


def bus_error() -> None:
    with tempfile.TemporaryFile() as file:
        file.truncate(4096)
        page = mmap.mmap(file.fileno(), 4096)
        file.truncate(0)
        page[0] = 1


async def exit_now_async(code: int) -> None:
    await asyncio.sleep(0)
    os._exit(code)


def die_after(count: int) -> Iterator[int]:
    yield from range(count)
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)


# -- exceptions that are none of Exception ------------------------------------------------------------------------


class Unusual(BaseException):
    def __str__(self) -> str:
        raise RuntimeError("not even its text can be had")


ERRORS = {
    "SystemExit": lambda: SystemExit(3),
    "KeyboardInterrupt": KeyboardInterrupt,
    "GeneratorExit": GeneratorExit,
    "CancelledError": asyncio.CancelledError,
    "StopIteration": StopIteration,
    "Unusual": Unusual,
    "RecursionError": RecursionError,
    "MemoryError": MemoryError,
}


def throw(name: str) -> None:
    raise ERRORS[name]()


async def throw_async(name: str) -> None:
    await asyncio.sleep(0)
    raise ERRORS[name]()


def throw_in_stream(name: str) -> Iterator[int]:
    yield 1
    raise ERRORS[name]()


async def throw_in_stream_async(name: str) -> AsyncIterator[int]:
    yield 1
    await asyncio.sleep(0)
    raise ERRORS[name]()


# -- calls that do not end ----------------------------------------------------------------------------------------


def hold_the_interpreter() -> None:
    """C code that never lets another thread run, and never looks for signals."""
    sum(itertools.repeat(0))


def sleep_holding_the_interpreter() -> None:
    ctypes.PyDLL(None).sleep(3600)


def endless_match() -> None:
    re.match(r"(a+)+$", "a" * 64 + "b")


def sleep_for_ever() -> None:
    time.sleep(3600)


def compute_for_ever() -> None:
    while True:
        sum(range(1000))


async def wait_for_ever() -> None:
    await asyncio.Event().wait()


async def compute_for_ever_async() -> None:
    while True:
        sum(range(1000))


def ignore_the_cancel() -> None:
    while True:
        try:
            while True:
                time.sleep(0.01)
        except BaseException:
            continue


async def ignore_the_cancel_async() -> None:
    while True:
        try:
            await asyncio.sleep(3600)
        except BaseException:
            continue


def lock_twice() -> None:
    lock = threading.Lock()
    with lock:
        lock.acquire()


def stop_self() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)
    time.sleep(60)


def stream_for_ever() -> Iterator[bytes]:
    while True:
        yield bytes(1000)


def stream_that_ignores_its_close() -> Iterator[int]:
    while True:
        try:
            yield 1
        except GeneratorExit:
            continue


async def stream_for_ever_async() -> AsyncIterator[bytes]:
    try:
        while True:
            yield bytes(1000)
            await asyncio.sleep(0)
    finally:
        await asyncio.sleep(0)
        print("closed by its owner", file=sys.stderr)


# -- the process and what is around it ----------------------------------------------------------------------------


def shout() -> str:
    for _ in range(50):
        os.write(1, os.urandom(50_000))
        os.write(2, b'{"half": \x00\xff' * 5_000)
        sys.stdout.write("no end of line")
    return "through"


def close_descriptors() -> str:
    for descriptor in range(256):
        try:
            os.close(descriptor)
        except OSError:
            continue
    return "how?"


def write_descriptors() -> str:
    for descriptor in range(3, 256):
        try:
            os.write(descriptor, b"is anybody there? " * 10)
        except OSError:
            continue
    time.sleep(60)
    return "how?"


def leave_a_child(away: bool, then_die: bool) -> int:
    """Start a program that holds all descriptors, in the worker's group or away from it."""
    child = subprocess.Popen(["sleep", "300"], start_new_session=away, close_fds=False)
    if then_die:
        print(f"child {child.pid}", file=sys.stderr, flush=True)
        os._exit(1)
    return child.pid


def fork_and_return() -> int:
    return os.fork()


def silence() -> str:
    """Take away what failures are written to."""
    sys.stderr.close()
    sys.stdout.close()
    raise ValueError("nowhere to write this")


# -- memory and descriptors ---------------------------------------------------------------------------------------


def allocate(mebibytes: int) -> int:
    return len(b"x" * (mebibytes << 20))


def map_and_touch_little(mebibytes: int) -> int:
    """As torch does: much is mapped, little is used."""
    with mmap.mmap(-1, mebibytes << 20) as block:
        block[0] = 1
        return len(block)


def leak(mebibytes: int) -> int:
    LEAKED.append(b"x" * (mebibytes << 20))
    return os.getpid()


LEAKED: list[bytes] = []


def open_files_for_ever() -> None:
    while True:
        LEAKED_FILES.append(os.open(os.devnull, os.O_RDONLY))


LEAKED_FILES: list[int] = []


def close_files() -> int:
    count = len(LEAKED_FILES)
    while LEAKED_FILES:
        os.close(LEAKED_FILES.pop())
    return count

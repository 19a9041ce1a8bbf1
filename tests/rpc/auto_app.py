"""What the server of the tests of placement by measurement serves: pure functions, quick or slow by what they get."""

import os
import signal
import time

from bridge import Batch, function


@function(placement="auto", pure=True, thread_safe=True)
def quick(text: str) -> int:
    return os.getpid()


@function(placement="auto", pure=True, thread_safe=True)
def by_size(text: str) -> int:
    """Take longer than the limit of the test's server where the text is long."""
    if len(text) >= 512:
        time.sleep(0.3)
    return os.getpid()


@function(placement="auto", pure=True, thread_safe=True)
def sleeps(ms: int) -> int:
    if ms:
        time.sleep(ms / 1000)
    return os.getpid()


@function(placement="auto", pure=True, thread_safe=True)
def dies(really: bool) -> int:
    if really:
        os.kill(os.getpid(), signal.SIGKILL)
    return os.getpid()


@function(placement="auto", pure=True, thread_safe=True)
async def quick_async(text: str) -> int:
    return os.getpid()


@function(placement="native")
def native_pid(text: str) -> int:
    return os.getpid()


def pooled_pid(text: str) -> int:
    return os.getpid()


@function(batch=Batch(max_items=8))
def batched_pids(text: list[str]) -> list[int]:
    return [os.getpid()] * len(text)

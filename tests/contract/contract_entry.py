"""The entry that the contract suite runs in every kind of pool: each function in a blocking and in an async form.

Its options are `sync` or `async`. Bodies are text; `note` files tell the test what a worker has done.
"""

import asyncio
import os
import threading
import time
from pathlib import Path

MEETING = threading.Barrier(2)


def open_entry(options):
    return ContractEntry(options == b"async")


class ContractEntry:
    """Knows echo, fail, sleep, spin, where, meet; the streams count, note and forever."""

    def __init__(self, is_async):
        self._is_async = is_async
        self._meeting = asyncio.Barrier(2)

    def preload(self):
        pass

    def warm_up(self):
        pass

    def catalogue(self):
        return b"the catalogue"

    def is_async(self, _function):
        return self._is_async

    def interrupt(self, _frame):
        return False

    def call(self, function, meta, body, timeout_s):
        if function == "sleep":
            end = time.monotonic() + float(body)
            while time.monotonic() < end:
                time.sleep(0.005)  # in steps: nothing can be raised in a thread that is inside of a C call
        elif function == "meet":
            MEETING.wait(10)
        return self._answer(function, meta, body, timeout_s)

    async def acall(self, function, meta, body, timeout_s):
        if function == "sleep":
            await asyncio.sleep(float(body))
        elif function == "meet":
            async with asyncio.timeout(10):
                await self._meeting.wait()
        return self._answer(function, meta, body, timeout_s)

    def _answer(self, function, meta, body, timeout_s):
        if function == "fail":
            return False, b"the reason", b""
        if function == "timeout":
            return True, meta, str(timeout_s).encode()
        if function == "where":
            return True, meta, str(os.getpid()).encode()
        return True, meta, body

    def stream(self, function, _meta, body, _timeout_s):
        items = getattr(self, f"_{function}")(body.decode())
        try:
            yield from items
        finally:
            items.close()
        yield True, b"meta", b"end"

    async def astream(self, function, _meta, body, _timeout_s):
        items = getattr(self, f"_{function}")(body.decode())
        try:
            for item in items:
                yield item
                await asyncio.sleep(0)
        finally:
            items.close()
        yield True, b"meta", b"end"

    def _count(self, body):
        count, size = map(int, body.split())
        for number in range(count):
            yield str(number).encode().ljust(size)

    def _note(self, body):
        """Chunks whose number is in the file before it is sent: how far the producer is."""
        count, size, path = body.split()
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
        try:
            for number in range(int(count)):
                os.pwrite(descriptor, b"%12d" % number, 0)
                yield str(number).encode().ljust(int(size))
        finally:
            os.close(descriptor)

    def _forever(self, body):
        try:
            while True:
                yield bytes(1000)
        finally:
            Path(body).write_text("closed")

    def _broken(self, _body):
        yield b"one"
        yield False, b"the reason", b""

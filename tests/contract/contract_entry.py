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
    """Knows echo, fail, sleep, spin, where, meet, ask, asks, tell, late; streams: count, note, forever, asking."""

    def __init__(self, is_async):
        self._is_async = is_async
        self._meeting = asyncio.Barrier(2)
        self._asker = None
        self._left = None

    def bind(self, asker):
        self._asker = asker

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
        elif function == "ask":
            return self._told(*self._asker.ask(meta.decode(), body))
        elif function == "asks":
            return True, b"", b",".join(self._asker.ask("echo", part)[1] for part in body.split(b","))
        return self._answer(function, meta, body, timeout_s)

    async def acall(self, function, meta, body, timeout_s):
        if function == "sleep":
            await asyncio.sleep(float(body))
        elif function == "meet":
            async with asyncio.timeout(10):
                await self._meeting.wait()
        elif function == "ask":
            return self._told(*await self._asker.aask(meta.decode(), body))
        elif function == "asks":
            asked = (self._asker.aask("echo", part) for part in body.split(b","))
            answers = await asyncio.gather(*asked, return_exceptions=True)
            if errors := [answer for answer in answers if isinstance(answer, Exception)]:
                return False, type(errors[0]).__name__.encode(), b"%d" % len(errors)
            return True, b"", b",".join(answer for _, answer in answers)
        elif function == "leave":
            self._left = asyncio.ensure_future(self._ask_later())
        elif function == "late":
            return True, b"", (await self._left).encode()
        return self._answer(function, meta, body, timeout_s)

    @staticmethod
    def _told(ok, answer):
        return True, b"ok" if ok else b"refused", answer

    async def _ask_later(self):
        """Ask when the call that began this has ended."""
        await asyncio.sleep(0)
        await asyncio.sleep(0.01)
        try:
            return f"answered: {await self._asker.aask('echo', b'late')}"
        except Exception as error:
            return type(error).__name__

    def _answer(self, function, meta, body, timeout_s):
        if function == "tell":
            for part in body.split(b","):
                self._asker.tell(meta.decode(), part)
        if function == "fail":
            return False, b"the reason", b""
        if function == "timeout":
            return True, meta, str(timeout_s).encode()
        if function == "where":
            return True, meta, str(os.getpid()).encode()
        return True, meta, body

    def stream(self, function, _meta, body, _timeout_s):
        if function == "asking":
            for part in body.split(b","):
                yield self._asker.ask("echo", part)[1]
            yield True, b"meta", b"end"
            return
        items = getattr(self, f"_{function}")(body.decode())
        try:
            yield from items
        finally:
            items.close()
        yield True, b"meta", b"end"

    async def astream(self, function, _meta, body, _timeout_s):
        if function == "asking":
            for part in body.split(b","):
                yield (await self._asker.aask("echo", part))[1]
            yield True, b"meta", b"end"
            return
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

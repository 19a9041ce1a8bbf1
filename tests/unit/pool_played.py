"""Workers without processes for a real pool: their ends of the sockets are played here, in the same event loop.

Everything of the front is real (queue, supervision, frames, tokens); only what a process would do is played. A worker
answers its canary by itself and holds every other call until `end_one`, so that a test decides what happens when.
"""

import asyncio
import os
import signal
import socket

from pool import frames
from pool.reader import FrameReader
from pool.spawn import Child, HowStarted
from pool.tokens import Tokens, shared_memory


class PlayedWorker:
    """A worker's process. `begun(body)` is told of each call that it begins."""

    def __init__(self, crew, concurrency):
        self.crew = crew
        self.concurrency = concurrency
        self.running = {}
        self.stubborn = False
        """Whether it goes on when it is told to cancel."""
        self.status = None
        self._ahead = []
        self._loop = asyncio.get_running_loop()
        ours, self._sock = socket.socketpair()
        self._sock.setblocking(False)
        self._reader = FrameReader()
        memory = shared_memory()
        self._tokens, tokens = Tokens(memory, new=True), Tokens(memory)
        os.close(memory)
        self._control, control = os.pipe()
        os.set_blocking(self._control, False)
        pidfd, self._alive = os.pipe()
        stdout, self._stdout = os.pipe()
        stderr, self._stderr = os.pipe()
        for end in (stdout, stderr):
            os.set_blocking(end, False)
        self.child = Child(
            pid=os.getpid(),
            pidfd=pidfd,
            sock=ours,
            control=control,
            tokens=tokens,
            stdout=stdout,
            stderr=stderr,
            mark="played",
            reap=lambda: self.status,
        )
        self._loop.add_reader(self._sock, self._receive)

    def _receive(self):
        try:
            while count := self._sock.recv_into(self._reader.space()):
                self._reader.filled(count)
                while self.status is None and (frame := self._reader.next()) is not None:
                    self._take(*frame)
            self.exit(0)
        except BlockingIOError:
            self._go_on()
        except OSError:
            return  # it has ended meanwhile

    def _take(self, kind, call_id, body):
        if kind == frames.INIT:
            if self.crew.next_start_fails():
                self.exit(1)
            else:
                self._send(frames.pack(frames.READY, 0, b"catalogue"))
        elif kind & ~frames.LINED in (frames.CALL, frames.STREAM):
            self._ahead.append((kind, frames.read_call(kind, call_id, body)))
        elif kind == frames.CANCEL:
            self.cancel(call_id)
        elif kind == frames.STOP:
            self.exit(0)

    def _go_on(self):
        """Begin what may be begun."""
        while self.status is None and self._ahead and len(self.running) < self.concurrency:
            kind, request = self._ahead.pop(0)
            if kind & frames.LINED and not self._tokens.take():
                self._send(frames.result_head(request.call_id, False, b"", 0, 0, None))
                continue
            if request.function == "canary":
                self._send(frames.result_head(request.call_id, True, b"", 0, 0, None))
                continue
            self.running[request.call_id] = request
            self.crew.begun(request.body)

    def end_one(self, call_id, ok=True):
        """Answer a running call with its own body."""
        request = self.running.pop(call_id)
        body = request.body if ok else b""
        self._send(frames.result_head(call_id, ok, b"", len(body), 1000, None) + body)
        self._go_on()

    def cancel(self, call_id):
        if call_id in self.running and not self.stubborn:
            self.end_one(call_id, ok=False)

    def signalled(self, number):
        """The front sends a signal."""
        if number == signal.SIGUSR1 and self.status is None:
            data = os.read(self._control, 4096)
            for start in range(0, len(data), 8):
                self.cancel(int.from_bytes(data[start : start + 8], "little"))

    def _send(self, data):
        try:
            self._sock.sendall(data)
        except OSError:
            self.exit(1)

    def exit(self, status):
        """End, with whatever runs."""
        if self.status is not None:
            return
        self.status = status
        self.running.clear()
        self._loop.remove_reader(self._sock)
        self._sock.close()
        self._tokens.close()
        for descriptor in (self._control, self._stdout, self._stderr, self._alive):
            os.close(descriptor)
        self.crew.living.discard(self)


class PlayedCrew:
    """A `Spawner` of played workers. `living` are those that have not ended."""

    def __init__(self, begun):
        self.begun = begun
        self.living = set()
        self.made = []
        self.failing = 0
        """So many starts more fail."""

    def next_start_fails(self):
        self.failing -= self.failing > 0
        return self.failing > 0

    async def spawn(self, launch):
        worker = PlayedWorker(self, 4 if launch.concurrent else 1)
        self.living.add(worker)
        self.made.append(worker)
        await asyncio.sleep(0)
        return worker.child

    def of(self, child):
        return next(worker for worker in self.made if worker.child is child)

    def ended(self, child):
        self.made.remove(self.of(child))

    def describe(self):
        return HowStarted(kind="spawn")

    def rebuild(self, options=None):
        pass

    def halt(self):
        pass

    async def close(self):
        assert not self.living

    def play(self, monkeypatch):
        """Let signals reach played workers, and nothing else."""

        def kill(child):
            worker = next((one for one in self.made if one.child is child), None)
            if worker is not None:
                worker.exit(-9)

        async def kill_slowly(child):
            await asyncio.sleep(0.001)
            kill(child)

        def never(*arguments):
            raise AssertionError(f"a real signal: {arguments}")

        monkeypatch.setattr("pool.worker.send", lambda child, number: self.of(child).signalled(number))
        monkeypatch.setattr("pool.worker.kill_group", kill)
        monkeypatch.setattr("pool.runs.kill_group", kill)
        monkeypatch.setattr("pool.worker.kill_with_stack", kill_slowly)
        monkeypatch.setattr(os, "killpg", never)
        monkeypatch.setattr(os, "kill", never)

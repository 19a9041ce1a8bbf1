"""The template process of a pool: it imports what the workers serve, calls nothing, and forks the workers.

Started as `python -P -m pool.template_child SOCKET PARENT MODE`. A worker is forked twice, so that it becomes the
child of the front, and goes on as if it had been started afresh. Owns nothing but what it has imported.
"""

from __future__ import annotations

import array
import gc
import os
import socket
import sys
from collections.abc import Sequence
from importlib import import_module

from pool import child, frames
from pool.entry import Entry
from pool.environ_block import TEMPLATE, WORKER
from pool.fork_safety import dangers, open_descriptors
from pool.forked import become_worker
from pool.forking import BECOME, DESCRIPTORS, FORK, FORKED, REFUSED, STALE, UNSAFE, Order, to_body
from pool.reader import FrameReader
from pool.sources import Sources
from pool.startup import Limits, harden, keep_private, next_frame, open_entry, report_failure
from pool.tokens import Tokens


def main(arguments: list[str]) -> int:
    """Run a template, or a worker that it has forked; return the exit status."""
    sock_fd, parent, mode = arguments
    sock = socket.socket(fileno=int(sock_fd))
    sys.excepthook = lambda _type, error, _traceback: report_failure(sock, error)
    harden(int(parent), Limits())
    os.environ[WORKER] = os.environ.pop(TEMPLATE, "").strip()  # by this, code that is imported tells it from a front
    sock.set_inheritable(False)
    reader = FrameReader()
    init = next_frame(sock, reader)
    if init is None:
        return 0
    options = bytes(init[2])
    before = open_descriptors()
    entry = open_entry(memoryview(options))
    if (preload := getattr(entry, "preload", None)) is not None:
        preload()
    if mode == "concurrent":
        import_module("pool.child_async")
        import_module("uvloop")
    gc.collect()
    gc.freeze()
    return Template(sock, reader, options, entry, before).serve()


class Template:
    """Answers the front's orders, one at a time."""

    def __init__(
        self, sock: socket.socket, reader: FrameReader, options: bytes, entry: Entry, before: dict[int, str]
    ) -> None:
        self._sock = sock
        self._reader = reader
        self._options = options
        self._entry = entry
        self._before = before
        self._sources = Sources()
        self._descriptors = array.array("i")

    def serve(self) -> int:
        """Say that it is ready, or why it must not fork, and fork until the front goes away.

        Returns in the template at its end, and in each worker at the end of that.
        """
        self._answer(frames.READY, 0, dangers(self._before))
        sys.excepthook = sys.__excepthook__
        while (frame := self._next()) is not None:
            kind, call_id, body = frame
            received, self._descriptors = list(self._descriptors), array.array("i")
            if kind == BECOME:
                order = Order.read(body)
                self._answer(FORKED, call_id, [os.getpid()])
                self._sock.close()
                return self._work(order, 0, *received)
            if self._must_not_fork(call_id, received):
                close_all(received)
                continue
            status = self._fork(call_id, Order.read(body), received)
            if status is not None:
                return status
        return 0

    def _must_not_fork(self, call_id: int, received: list[int]) -> bool:
        if (changed := self._sources.changed()) is not None:
            self._answer(STALE, call_id, [changed])
        elif reasons := dangers(self._before, but=received):
            self._answer(UNSAFE, call_id, reasons)
        else:
            return False
        return True

    def _next(self) -> tuple[int, int, memoryview] | None:
        """Wait for an order, collecting the descriptors that come with it; None when the front has gone."""
        while (frame := self._reader.next()) is None:
            size = socket.CMSG_SPACE(DESCRIPTORS * self._descriptors.itemsize)
            count, ancillary, _, _ = self._sock.recvmsg_into([self._reader.space()], size, socket.MSG_CMSG_CLOEXEC)
            for level, kind, data in ancillary:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    self._descriptors.frombytes(data)
            if count == 0:
                return None
            self._reader.filled(count)
        assert frame[0] in (FORK, BECOME)
        return frame

    def _fork(self, call_id: int, order: Order, received: list[int]) -> int | None:
        """Fork a worker and tell its pid; the exit status, in the worker at its end, and None in the template."""
        told, tell = os.pipe()
        try:
            first = os.fork()
        except OSError as error:
            self._refuse(call_id, error)
            close_all([told, tell, *received])
            return None
        if first == 0:
            os.close(told)
            return self._worker_of(order, received, tell)
        close_all([tell, *received])
        said = os.read(told, 64)
        os.close(told)
        os.waitpid(first, 0)
        pid, error_number = (int(word) for word in said.split()) if said else (0, 0)
        if pid:
            self._answer(FORKED, call_id, [pid])
        else:
            self._refuse(call_id, OSError(error_number, os.strerror(error_number)))
        return None

    def _worker_of(self, order: Order, received: list[int], tell: int) -> int:
        """Fork once more: this process ends, so that its child becomes the front's, and the child is the worker."""
        intermediate = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:
            os.write(tell, f"0 {error.errno}".encode())
            os._exit(1)
        if pid:
            os.setpgid(pid, pid)
            os.write(tell, f"{pid} 0".encode())
            os._exit(0)
        os.close(tell)
        self._sock.close()
        return self._work(order, intermediate, *received)

    def _work(self, order: Order, intermediate: int, sock_fd: int, control: int, memory: int, *streams: int) -> int:
        sock = socket.socket(fileno=sock_fd)
        sys.excepthook = lambda _type, error, _traceback: report_failure(sock, error)
        become_worker(order, intermediate, *streams)
        keep_private(sock, control)
        tokens = Tokens(memory)
        os.close(memory)
        reader = FrameReader()
        init = next_frame(sock, reader)
        if init is None:
            return 0
        entry = self._entry if init[2] == self._options else open_entry(init[2])
        return child.run(sock, reader, entry, control, tokens, concurrent=order.concurrent)

    def _refuse(self, call_id: int, error: OSError) -> None:
        self._answer(REFUSED, call_id, [error.errno, str(error.strerror)])

    def _answer(self, kind: int, call_id: int, values: Sequence[object]) -> None:
        self._sock.sendall(frames.pack(kind, call_id, to_body(values)))


def close_all(descriptors: list[int]) -> None:
    """Close descriptors that were received."""
    for descriptor in descriptors:
        os.close(descriptor)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

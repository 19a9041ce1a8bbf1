"""The template process of a pool: it imports what the workers serve, calls nothing, and forks the workers.

Started as `python -P -m pool.template_child SOCKET PARENT MODE`. A worker is forked twice, so that it becomes the
child of the front, and goes on as if it had been started afresh. One is forked ahead while there is nothing else to do:
the two forks, and the end of the process between, take as long as all the rest of a start. Owns what it has imported,
and the one that is ahead.
"""

from __future__ import annotations

import array
import errno
import gc
import os
import select
import socket
import sys
from collections.abc import Sequence
from importlib import import_module

from pool import child, frames
from pool.environ_block import TEMPLATE, WORKER
from pool.fork_safety import dangers, open_descriptors
from pool.forked import become_worker
from pool.forking import BECOME, DESCRIPTORS, FORK, FORKED, REFUSED, STALE, UNSAFE, Order, to_body
from pool.reader import FrameReader
from pool.sources import Sources
from pool.startup import Limits, harden, keep_private, next_frame, open_entry, report_failure
from pool.tokens import Tokens

QUIET_S = 0.1
"""How long no order has come before a worker is forked ahead: its start must not compete with the last one's."""
PARENT_S = 0.00005
ORDER_BYTES = 1 << 18


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
    template = Template(sock, reader, int(parent), bytes(init[2]))
    template.open(concurrent=mode == "concurrent")
    return template.serve()


class Ahead:
    """A worker that was forked ahead of its order: it waits for that, and ends where the template does first."""

    def __init__(self, pid: int, sock: socket.socket) -> None:
        self.pid = pid
        self._sock = sock

    @property
    def descriptor(self) -> int:
        """What the template holds open for it."""
        return self._sock.fileno()

    def give(self, order: bytes, received: list[int]) -> bool:
        """Pass an order on; False where the process has been killed meanwhile. Raises OSError.

        It has its own process group when this returns. Until then it belongs to the template's, and ends with that.
        """
        with self._sock:
            try:
                socket.send_fds(self._sock, [order], received)
                return self._sock.recv(1) != b""
            except ConnectionError:
                return False


class Template:
    """Answers the front's orders, one at a time. While there are none it forks the next worker ahead."""

    def __init__(self, sock: socket.socket, reader: FrameReader, parent: int, options: bytes) -> None:
        self._sock = sock
        self._reader = reader
        self._parent = parent
        self._options = options
        self._before = open_descriptors()
        self._descriptors: list[int] = []
        self._ahead: Ahead | None = None
        self._orders: socket.socket | None = None

    def open(self, *, concurrent: bool) -> None:
        """Import all that workers will need, and leave it out of their garbage collection: a look would copy it."""
        self._entry = open_entry(memoryview(self._options))
        if (preload := getattr(self._entry, "preload", None)) is not None:
            preload()
        if concurrent:
            import_module("pool.child_async")
            import_module("uvloop")
        self._sources = Sources()
        gc.collect()
        gc.freeze()

    def serve(self) -> int:
        """Say that it is ready, or why it must not fork, and fork until the front goes away.

        Returns in the template at its end, and in each worker at the end of that.
        """
        self._answer(frames.READY, 0, self._dangers([]))
        sys.excepthook = sys.__excepthook__
        while True:
            if self._is_idle() and not self._dangers([]) and self._fork_ahead_quietly():
                return self._await_order()
            frame = self._next()
            if frame is None:
                return 0
            kind, call_id, body = frame
            received, self._descriptors = self._descriptors, []
            if kind == BECOME:
                self._answer(FORKED, call_id, [os.getpid()])
                return self._work(Order.read(body), received)
            if not self._must_not_fork(call_id, received) and self._start(call_id, bytes(body), received):
                return self._await_order()
            close_all(received)

    def _dangers(self, received: list[int]) -> list[str]:
        ours = [] if self._ahead is None else [self._ahead.descriptor]
        return dangers(self._before, but=[*received, *ours])

    def _must_not_fork(self, call_id: int, received: list[int]) -> bool:
        if (changed := self._sources.changed()) is not None:
            self._answer(STALE, call_id, [changed])
        elif reasons := self._dangers(received):
            self._answer(UNSAFE, call_id, reasons)
        else:
            return False
        return True

    def _is_idle(self) -> bool:
        """Return whether it is time to fork ahead: nobody waits for an order, and none has come for a moment."""
        return self._ahead is None and not select.select([self._sock], [], [], QUIET_S)[0]

    def _next(self) -> tuple[int, int, memoryview] | None:
        """Wait for an order, collecting the descriptors that come with it; None when the front has gone."""
        while (frame := self._reader.next()) is None:
            count, descriptors = receive(self._sock, self._reader.space())
            self._descriptors += descriptors
            if count == 0:
                return None
            self._reader.filled(count)
        assert frame[0] in (FORK, BECOME)
        return frame

    def _start(self, call_id: int, order: bytes, received: list[int]) -> bool:
        """Give an order to a worker and tell its pid; True in a worker that was forked for it."""
        try:
            while True:
                if self._ahead is None and self._fork_ahead():
                    close_all(received)
                    return True
                ahead, self._ahead = self._ahead, None
                if ahead is not None and ahead.give(order, received):
                    self._answer(FORKED, call_id, [ahead.pid])
                    return False
        except OSError as error:
            self._answer(REFUSED, call_id, [error.errno, str(error.strerror)])
            return False

    def _fork_ahead_quietly(self) -> bool:
        try:
            return self._fork_ahead()
        except OSError:
            return False  # the next order tries again, and tells the front

    def _fork_ahead(self) -> bool:
        """Fork a worker, twice: what is between ends, so that the worker becomes the front's child.

        Returns True in the worker, False in the template. Raises OSError in the template.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        told, tell = os.pipe()
        try:
            first = os.fork()
        except OSError:
            ours.close()
            theirs.close()
            close_all([told, tell])
            raise
        if first == 0:
            try:
                fork_again(tell)
                self._sock.close()
            except OSError:
                os._exit(1)  # whatever failed, this process must not go on as a second template
            close_all([told, tell])
            ours.close()
            self._orders = theirs
            return True
        theirs.close()
        os.close(tell)
        said = os.read(told, 64).split()
        os.close(told)
        os.waitpid(first, 0)
        pid, number = (int(word) for word in said or (0, errno.ECHILD))
        if not pid:
            ours.close()
            raise OSError(number, os.strerror(number))
        self._ahead = Ahead(pid, ours)
        return False

    def _await_order(self) -> int:
        """Be a worker that waits for its order; return its exit status."""
        harden(self._parent, Limits())
        assert self._orders is not None
        space = bytearray(ORDER_BYTES)
        count, received = receive(self._orders, memoryview(space))
        if count == 0:
            os._exit(0)  # the template has gone; what the imports want done at the end is not for this process
        os.setpgid(0, 0)
        self._orders.send(b"1")
        self._orders.close()
        return self._work(Order.read(memoryview(space)[:count]), received)

    def _work(self, order: Order, received: list[int]) -> int:
        sock_fd, control, memory, stdout, stderr = received
        sock = socket.socket(fileno=sock_fd)
        sys.excepthook = lambda _type, error, _traceback: report_failure(sock, error)
        self._sock.close()
        become_worker(order, self._parent, stdout, stderr)
        keep_private(sock, control)
        tokens = Tokens(memory)
        os.close(memory)
        reader = FrameReader()
        init = next_frame(sock, reader)
        if init is None:
            return 0
        entry = self._entry if init[2] == self._options else open_entry(init[2])
        return child.run(sock, reader, entry, control, tokens, concurrent=order.concurrent)

    def _answer(self, kind: int, call_id: int, values: Sequence[object]) -> None:
        self._sock.sendall(frames.pack(kind, call_id, to_body(values)))


def fork_again(tell: int) -> None:
    """Fork, say the child's pid and end; in the child return when the kernel has made the front its parent."""
    between = os.getpid()
    try:
        pid = os.fork()
    except OSError as error:
        os.write(tell, f"0 {error.errno}".encode())
        os._exit(1)
    if pid:
        os.write(tell, f"{pid} 0".encode())
        os._exit(0)
    while os.getppid() == between:
        select.select([], [], [], PARENT_S)


def receive(sock: socket.socket, space: memoryview) -> tuple[int, list[int]]:
    """Read what there is, with the descriptors that come with it; 0 bytes at the end."""
    descriptors = array.array("i")
    size = socket.CMSG_SPACE(DESCRIPTORS * descriptors.itemsize)
    try:
        count, ancillary, _, _ = sock.recvmsg_into([space], size, socket.MSG_CMSG_CLOEXEC)
    except ConnectionError:
        return 0, []
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            descriptors.frombytes(data)
    return count, descriptors.tolist()


def close_all(descriptors: list[int]) -> None:
    """Close descriptors that were received."""
    for descriptor in descriptors:
        os.close(descriptor)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The descriptors between the front and one worker, made before the process is: the front's ends and the worker's."""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack

from pool.tokens import Tokens, shared_memory


class Wires:
    """A socket pair, a control pipe, shared tokens and two pipes for output.

    `close_theirs` once the worker has its ends; the front's go to a `Child`, or where there is none, `close_ours`.
    """

    def __init__(self) -> None:
        with ExitStack() as ours, ExitStack() as theirs:
            self.sock, sock = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
            ours.callback(self.sock.close)
            theirs.callback(sock.close)
            control, self.control = _pipe(ours, theirs)
            os.set_blocking(control, False)
            memory = shared_memory()
            theirs.callback(os.close, memory)
            self.tokens = Tokens(memory, new=True)
            ours.callback(self.tokens.close)
            self.stdout, stdout = _pipe(theirs, ours)
            self.stderr, stderr = _pipe(theirs, ours)
            for descriptor in (self.control, self.stdout, self.stderr):
                os.set_blocking(descriptor, False)
            self.theirs = (sock.fileno(), control, memory, stdout, stderr)
            """Socket, control pipe, tokens, stdout, stderr."""
            self.close_ours = ours.pop_all().close
            self.close_theirs = theirs.pop_all().close


def _pipe(writers: ExitStack, readers: ExitStack) -> tuple[int, int]:
    """Return a pipe as (read end, write end), each to be closed by whose it is."""
    read, write = os.pipe()
    readers.callback(os.close, read)
    writers.callback(os.close, write)
    return read, write

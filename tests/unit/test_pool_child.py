"""The loop of a blocking worker, fed by hand: what it keeps apart when several things come at once."""

import os
import signal
import socket
import struct

import pytest

from pool import frames
from pool.child import Blocking
from pool.errors import CallCancelled
from pool.reader import FrameReader
from pool.tokens import Tokens, shared_memory


class Entry:
    """Echoes; the stream sends one chunk that fills the window, then waits for room."""

    def __init__(self):
        self.begun = []

    def interrupt(self):
        return False

    def call(self, function, meta, body, _timeout_s):
        self.begun.append(function)
        return True, meta, body

    def stream(self, function, _meta, _body, _timeout_s):
        self.begun.append(function)
        yield bytes(frames.STREAM_WINDOW)
        yield b"more"
        yield True, b"", b"end"


class Rig:
    def __init__(self):
        self.front, back = socket.socketpair()
        self.back = back
        read, self.control = os.pipe()
        os.set_blocking(read, False)
        memory = shared_memory()
        self.tokens = Tokens(memory, new=True)
        os.close(memory)
        self.descriptors = (read, self.control)
        self.entry = Entry()
        self.before = signal.getsignal(signal.SIGUSR1)
        self.blocking = Blocking(back, FrameReader(), self.entry, read, self.tokens)

    def send(self, kind, call_id, function="f", body=b""):
        self.front.sendall(frames.call_head(kind, call_id, -1.0, function, b"", len(body)) + body)

    def serve(self):
        """Serve what has been sent up to STOP; the ids and statuses of the results."""
        self.front.sendall(frames.pack(frames.STOP))
        assert self.blocking.serve() == 0
        self.back.close()
        reader, found = FrameReader(), []
        while count := self.front.recv_into(reader.space()):
            reader.filled(count)
            while (frame := reader.next()) is not None:
                if frame[0] == frames.RESULT:
                    found.append((frame[1], frames.read_result(frame[2]).ok))
        return found

    def close(self):
        signal.signal(signal.SIGUSR1, self.before)
        os.close(self.blocking._statm)
        for descriptor in self.descriptors:
            os.close(descriptor)
        self.tokens.close()
        self.front.close()
        self.back.close()


@pytest.fixture
def rig():
    made = Rig()
    yield made
    made.close()


def test_a_call_without_a_token_is_passed_over_and_said_so(rig):
    for call_id in (1, 2, 3, 4):
        rig.send(frames.CALL | (frames.LINED if call_id > 1 else 0), call_id, f"f{call_id}")
    rig.tokens.put()
    rig.tokens.put()  # the last one was taken back
    assert rig.serve() == [(1, True), (2, True), (3, True), (4, False)]
    assert rig.entry.begun == ["f1", "f2", "f3"]
    assert not rig.tokens.take()


def test_calls_that_are_read_while_a_stream_waits_for_room_are_answered_after_it(rig):
    rig.front.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    rig.back.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
    rig.send(frames.STREAM, 1, "stream")
    rig.send(frames.CALL | frames.LINED, 2, "lined", b"body")
    rig.send(frames.CALL | frames.LINED, 3, "taken back")
    rig.tokens.put()
    rig.front.sendall(frames.pack_credit(1, 1000))
    assert rig.serve() == [(1, True), (2, True), (3, False)]
    assert rig.entry.begun == ["stream", "lined"]


def test_of_several_cancels_the_newest_calls_is_remembered(rig):
    """The front has not read yet that the older call ended when it cancels both, in whichever order."""
    os.write(rig.control, struct.pack("<QQ", 7, 5))
    rig.blocking._on_cancel(signal.SIGUSR1, None)
    with pytest.raises(CallCancelled):
        rig.blocking._interruptible(7)
    os.write(rig.control, struct.pack("<Q", 6))
    rig.blocking._on_cancel(signal.SIGUSR1, None)
    rig.blocking._interruptible(8)
    rig.blocking._running = 0

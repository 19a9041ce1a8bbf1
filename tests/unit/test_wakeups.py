"""Wake-ups of the loop: gathered, and none is lost."""

import asyncio
import functools
import socket

import pytest
from grpc._cython.cygrpc import PollerCompletionQueue

from bridge.wakeups import _Gathered, gathered


async def test_no_other_socket_gathers():
    loop = asyncio.get_running_loop()
    own, other = socket.socketpair()
    with own, other:
        own.setblocking(False)
        with gathered(loop):
            loop.add_reader(own, functools.partial(own.recv, 1))
        loop.remove_reader(own)
        other.send(b"123")
        assert own.recv(1) == b"1"
    assert "add_reader" not in vars(loop)


async def test_the_socket_of_grpcios_own_queue_gathers():
    loop = asyncio.get_running_loop()
    watched = []
    queue = PollerCompletionQueue()
    with gathered(loop):
        monkeypatched = loop.add_reader
        loop.add_reader = lambda fd, callback: (watched.append((fd, callback)), monkeypatched(fd, callback))
        queue.bind_loop(loop)
    ((found, handle),) = watched
    assert type(found) is _Gathered
    handle()  # nothing has come: that is no error
    loop.remove_reader(found)


def test_what_has_gathered_is_read_at_once():
    own, other = socket.socketpair()
    with own, other:
        own.setblocking(False)
        own.__class__ = _Gathered
        other.send(b"111")
        own.recv(1)
        with pytest.raises(BlockingIOError):
            own.recv(1)

"""A worker as the front sees it, whose other end the test plays by hand: who has a call at each moment."""

import asyncio
import os
import socket
from types import SimpleNamespace

import pytest

from pool import frames
from pool.admission import Admission
from pool.calls import Call
from pool.errors import WorkerLost
from pool.exits import ExitReport
from pool.growth import Growth
from pool.hooks import WorkerHooks
from pool.lifecycle import Event
from pool.options import Canary, PoolOptions
from pool.reader import FrameReader
from pool.tokens import Tokens, shared_memory
from pool.worker import Worker

OPTIONS = PoolOptions(name="p", entry="e:f", entry_options=b"", canary=Canary(function="c", meta=b"", body=b""))
REPORT = ExitReport(
    worker="a", pid=0, cause="killed", signal="SIGKILL", exit_code=None, stderr_tail="", exited_at=0.0, killed=None
)


class Rig:
    """A worker with a queue in front of it; `sent` reads what it was sent, `answer` answers for it."""

    def __init__(self, loop):
        self.loop = loop
        ours, self.sock = socket.socketpair()
        self.reader = FrameReader()
        memory = shared_memory()
        self.tokens = Tokens(memory, new=True)
        front = Tokens(memory)
        os.close(memory)
        self.pipe = os.pipe()
        pidfd = os.pidfd_open(os.getpid())
        self.descriptors = (*self.pipe, pidfd)
        child = SimpleNamespace(sock=ours, tokens=front, control=self.pipe[1], pidfd=pidfd, pid=0)
        self.queue = Admission("p", 20, loop)
        self.growth = Growth()
        nothing = lambda *_: None  # noqa: E731
        hooks = WorkerHooks(
            ready=nothing,
            failed=nothing,
            unfit=nothing,
            slot_free=self.queue.slot_free,
            leaving=self.queue.remove,
            grew=self.growth.add,
        )
        self.worker = Worker("a", child, OPTIONS, loop, hooks)
        self.worker.advance(Event.PROVED)
        self.queue.add(self.worker)
        self.sent()

    def submit(self):
        call = Call("f", b"", b"", None, self.loop.create_future())
        self.queue.submit(call)
        return call

    def sent(self):
        """The kinds and ids of the frames that have come."""
        found = []
        self.sock.setblocking(False)
        try:
            while count := self.sock.recv_into(self.reader.space()):
                self.reader.filled(count)
                while (frame := self.reader.next()) is not None:
                    found.append(frame[:2])
        except BlockingIOError:
            return found

    async def answer(self, call_id, ok=True):
        """Answer a call, and let the front read that."""
        self.sock.sendall(frames.result_head(call_id, ok, b"", 0, 0, None))
        for _ in range(3):
            await asyncio.sleep(0)

    def die(self):
        self.queue.remove(self.worker)
        left = self.worker.settle(REPORT)
        self.queue.adopt(left)
        return left

    def close(self):
        self.worker._channel.close()
        self.worker.child.tokens.close()
        self.tokens.close()
        self.queue.close()
        self.sock.close()
        for descriptor in self.descriptors:
            os.close(descriptor)


@pytest.fixture
async def rig(monkeypatch):
    monkeypatch.setattr("pool.worker.send", lambda *_: None)  # no signals: they would reach the tests
    made = Rig(asyncio.get_running_loop())
    yield made
    made.close()


async def test_a_token_is_there_before_the_frame(rig):
    rig.submit()
    sent, send = [], rig.worker._channel.send

    def look(head, body=b""):
        had = rig.tokens.take()
        if had:
            rig.tokens.put()
        sent.append(had)
        send(head, body)

    rig.worker._channel = SimpleNamespace(send=look, close=rig.worker._channel.close)
    rig.submit()
    assert sent == [True]


async def test_the_next_in_line_runs_when_the_one_before_is_answered(rig):
    first, second, third = rig.submit(), rig.submit(), rig.submit()
    assert [kind & frames.LINED for kind, _ in rig.sent()] == [0, frames.LINED, frames.LINED]
    assert rig.tokens.take()  # the worker goes on to the second
    await rig.answer(first.id)
    assert (first.future.done(), second.lined, third.lined) == (True, False, True)
    assert (rig.worker.running, rig.worker.free, rig.queue.waiting) == (1, 0, 1)
    assert rig.sent() == [], "nothing had to be sent for that"


async def test_a_call_taken_back_is_answered_for_before_more_is_lined_up(rig):
    first, second = rig.submit(), rig.submit()
    passed = second.id
    rig.queue.release(second)
    assert not rig.tokens.take(), "the worker finds no token"
    third = rig.submit()
    assert (third.queued, rig.worker.line_room) == (True, 0)
    await rig.answer(first.id)
    assert third.worker is rig.worker
    assert rig.worker.running == 1
    await rig.answer(passed, ok=False)
    fourth = rig.submit()
    assert (fourth.lined, rig.worker.running) == (True, 1)


async def test_a_cancel_after_the_worker_has_the_token_is_the_workers(rig):
    first, second, third = rig.submit(), rig.submit(), rig.submit()
    assert rig.tokens.take()  # the worker is on the second; its answer to the first has not been read
    rig.queue.release(second)
    assert (second.abandoned, second.future.done()) == (True, False)
    assert third.queued, "it was taken back on the way"
    await rig.answer(first.id)
    await rig.answer(second.id)
    assert rig.worker.running == 1
    assert third.worker is rig.worker
    assert second.grace.cancelled()


async def test_a_death_costs_the_call_that_has_lost_its_token(rig):
    first, second, third, fourth = (rig.submit() for _ in range(4))
    assert rig.tokens.take()
    rig.sock.sendall(frames.result_head(first.id, True, b"", 0, 0, None))  # not read before the death
    rig.die()
    assert first.future.result().ok
    assert isinstance(second.future.exception(), WorkerLost)
    assert [(call.queued, call.worker) for call in (third, fourth)] == [(True, None)] * 2
    assert rig.queue.waiting == 2


async def test_a_call_that_was_next_but_not_begun_survives_a_death(rig):
    first, second, third = rig.submit(), rig.submit(), rig.submit()
    await rig.answer(first.id)  # and the worker dies before it looks at the second
    assert (second.lined, rig.worker.running) == (False, 1)
    assert rig.die() == [second]
    assert [call.queued for call in (second, third)] == [True, True]
    assert [call.number for call in rig.queue._queue] == [second.number, third.number]


async def test_a_call_that_was_next_and_abandoned_is_not_run_elsewhere(rig):
    """Its caller has left: nobody would ever end it."""
    first, second = rig.submit(), rig.submit()
    await rig.answer(first.id)
    rig.queue.release(second)
    assert (second.abandoned, second.future.done()) == (True, False)
    assert rig.die() == []
    assert isinstance(second.future.exception(), WorkerLost)
    assert rig.queue.waiting == 0


async def test_the_tokens_end_with_the_worker(rig):
    rig.submit(), rig.submit()
    rig.die()
    assert rig.worker.child.tokens._address is None
    rig.worker.child.tokens.put()
    assert rig.worker.take_back() is None


async def test_a_stuck_call_is_killed_although_others_are_lined_up(rig, monkeypatch):
    killed = []
    monkeypatch.setattr("pool.worker.kill_with_stack", lambda child: killed.append(child) or asyncio.sleep(0))
    first, second = rig.submit(), rig.submit()
    rig.queue.release(first)
    rig.worker._overdue(first)
    await asyncio.sleep(0)
    assert len(killed) == 1
    assert (second.queued, rig.queue.has_member("a")) == (True, False), "and they are taken back at once"

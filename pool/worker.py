"""One worker as the front sees it: its process, its channel, and the calls that were sent to it.

Owns those calls: every one of them ends exactly once, by a result, a deadline, a cancel, or the worker's death. A call
whose caller has left keeps its slot until the worker is really free of it, so that a slot is never promised twice.
Knows nothing of queues or restarts.
"""

from __future__ import annotations

import asyncio
import os
import signal
import struct
import time
from collections import deque

from pool import asks, frames, packs, streams
from pool.calls import Call
from pool.channel import Channel
from pool.errors import DeadlineExceeded, FrameError, PoolError
from pool.exits import ExitReport, Killed, loss
from pool.hooks import NOBODY, WorkerHooks
from pool.lifecycle import Event, State, advance
from pool.options import PoolOptions
from pool.packs import Pack
from pool.spawn import Child
from pool.stop import kill_group, kill_with_stack, send
from pool.tokens import PACKS

_CALL_ID = struct.Struct("<Q")
_CHUNKS = (frames.CHUNK, frames.CHUNKS)
_READY = State.READY


class Worker:
    """A worker process. `free` is how many more calls it may be given now; `take` it before `launch`."""

    def __init__(
        self,
        worker_id: str,
        child: Child,
        options: PoolOptions,
        loop: asyncio.AbstractEventLoop,
        hooks: WorkerHooks,
    ) -> None:
        self.id = worker_id
        self.child = child
        self.state = State.STARTING
        self.free = options.concurrency
        self.answered = 0
        self.lined = 0
        """Calls that are lined up behind the running one, as far as is known here."""
        self.rss_bytes = 0
        self.started_at = loop.time()
        self.killed: Killed | None = None
        self.condemned: Killed | None = None
        """Why it is to be killed as soon as that hurts no call."""
        self.culprit: Call | None = None
        """Once it has died by itself: the call that it died of, if that ran alone."""
        self._options = options
        self._loop = loop
        self._hooks = hooks
        self._calls: dict[int, Call] = {}
        self._line = min(options.lookahead, PACKS - 2) if options.concurrency == 1 else 0
        self._lined: deque[Call] = deque()
        self._passed_over: set[int] = set()
        self._last_id = 0
        self._kill_task: asyncio.Task[None] | None = None
        self._freed: asyncio.Future[None] | None = None
        self._channel = Channel(child.sock, loop, self._on_frame, self._on_closed, options.max_frame_bytes)
        entry = options.entry.encode()
        self._channel.send(frames.pack(frames.INIT, 0, struct.pack("<H", len(entry)) + entry + options.entry_options))

    @property
    def pid(self) -> int:
        """The process id."""
        return self.child.pid

    @property
    def running(self) -> int:
        """Calls that it has begun, abandoned ones included."""
        return len(self._calls) - len(self._lined)

    async def idle(self) -> None:
        """Wait until no slot is taken or the process has ended: a caller that has left keeps its slot until then."""
        while self.free < self._options.concurrency and self.state is not State.DEAD:
            if self._freed is None:
                self._freed = self._loop.create_future()
            await asyncio.shield(self._freed)

    def _wake_idle(self) -> None:
        if self._freed is not None:
            self._freed.set_result(None)
            self._freed = None

    def advance(self, event: Event) -> None:
        """Move along the life cycle."""
        self.state = advance(self.state, event)

    def take(self) -> None:
        """Reserve a slot."""
        self.free -= 1

    def give_back(self) -> None:
        """Return a slot."""
        self.free += 1
        self._hooks.slot_free(self)
        if self._freed is not None:
            self._wake_idle()

    @property
    def next_lined(self) -> int | None:
        """The number of the first call in line."""
        return self._lined[0].number if self._lined else None

    @property
    def begun(self) -> list[Call]:
        """The calls that it runs, abandoned ones included."""
        return [call for call in self._calls.values() if not call.lined]

    @property
    def line_room(self) -> int:
        """How many more calls may be lined up now: none while one that was taken back has not been passed over."""
        return 0 if self.free or self._passed_over or self.state is not _READY else self._line - self.lined

    def launch(self, call: Call) -> None:
        """Send a call into a taken slot; its end gives the slot back."""
        call.launched_at = time.perf_counter()
        self._send(call, call.kind if call.buffer is None else frames.STREAM)
        if call.on_launch is not None:
            call.on_launch(self.id)

    def line_up(self, call: Call) -> None:
        """Send a call ahead of its turn; it is begun when those before it have ended, unless it is taken back."""
        call.lined = True
        self._lined.append(call)
        self.lined += 1
        self.child.tokens.put()  # before the frame: the worker passes over a call that has no token
        self._send(call, frames.LINED | (call.kind if call.buffer is None else frames.STREAM))

    def _send(self, call: Call, kind: int) -> None:
        call.id = call_id = self._last_id + 1
        self._last_id = call_id + call.more
        call.worker = self
        if call.buffer is not None:
            call.buffer.credit = lambda amount: self._credit(call_id, amount)
        self._calls[call_id] = call
        if call.more:
            call.arm(self.child.tokens)
        body = call.body
        deadline = -1.0 if call.deadline is None else call.deadline
        self._channel.send(frames.call_head(kind, call_id, deadline, call.function, call.meta, len(body)), body)

    def take_back(self, *, pinned: bool = True) -> Call | None:
        """Return the call that was lined up last, for another worker: it has not begun and never will here.

        None where there is none, the worker was quicker, or it is pinned to this worker and `pinned` is False.
        """
        if not self._lined or (self._lined[-1].pinned is not None and not pinned) or not self.child.tokens.take():
            return None
        call = self._lined.pop()
        self.lined -= 1
        del self._calls[call.id]
        self._passed_over.add(call.id)
        call.worker = None
        call.lined = False
        if call.buffer is not None:
            call.buffer.credit = None
        return call

    def _begin_next(self) -> None:
        """The running call has ended: the worker begins the next in line by itself."""
        call = self._lined.popleft()
        self.lined -= 1
        call.lined = False
        call.launched_at = time.perf_counter()
        if call.on_launch is not None:
            call.on_launch(self.id)
        self._hooks.slot_free(self)

    def abandon(self, call: Call) -> None:
        """Say that nobody waits for a call any more: the worker is told, and killed if it goes on past the grace."""
        if call.abandoned or call.id not in self._calls:
            return
        call.abandoned = True
        if call.asking:
            asks.end(call)
        if call.buffer is not None:
            call.buffer.discard()
        if self._options.concurrency > 1:
            self._channel.send(frames.pack(frames.CANCEL, call.id))
        else:
            self.interrupt(call.abandoned_id(self.child.tokens) if isinstance(call, Pack) else call.id)
        call.grace = self._loop.call_later(self._options.grace_s, self._overdue, call)

    def interrupt(self, call_id: int) -> None:
        """Name the call on the control pipe, then signal: a signal that comes late hits no other call."""
        try:
            os.write(self.child.control, _CALL_ID.pack(call_id))
        except OSError:
            return  # full or gone: the grace period decides
        send(self.child, signal.SIGUSR1)

    def expire(self, call: Call) -> None:
        """End a call whose deadline has passed."""
        self.fail_call(call, DeadlineExceeded(self._options.name, "IN_WORKER"))

    def _overdue(self, call: Call) -> None:
        """The worker goes on with a call that nobody waits for: it ends, as soon as that hurts no other call."""
        if call.id not in self._calls:
            return
        if any(not other.abandoned and not other.lined for other in self._calls.values()):
            self._take_no_more()
            call.grace = self._loop.call_later(self._options.grace_s, self._overdue, call)
            return
        why = f"'{call.function}' went on {self._options.grace_s:g} s after its cancel or deadline"
        self.kill(self.condemned or Killed(why=why, kind="overdue"), stack=True)

    def _take_no_more(self) -> None:
        if self.state in (State.READY, State.SUSPENDED):
            self.advance(Event.DRAIN)
            self._hooks.unfit()

    def condemn(self, killed: Killed) -> None:
        """Take no more calls and be replaced at once; an abandoned one ends it, as soon as that hurts no other."""
        self.condemned = killed
        self._take_no_more()

    def fail_call(self, call: Call, error: PoolError) -> None:
        """End one call with an error, and the worker too where it goes on with the call past the grace."""
        self._fail(call, error)
        self.abandon(call)

    def kill(self, killed: Killed, *, stack: bool = False) -> None:
        """End the process, with its group, and remember why. With `stack` it writes its stack to stderr first."""
        if self.state is State.DEAD or self.killed is not None:
            return
        self.killed = killed
        self.advance(Event.STOP)
        self._hooks.leaving(self)
        if stack:
            self._kill_task = self._loop.create_task(kill_with_stack(self.child))
        else:
            kill_group(self.child)

    def ask_to_stop(self) -> None:
        """Let an idle worker end by itself."""
        self.advance(Event.STOP)
        self._hooks.leaving(self)
        self._channel.send(frames.pack(frames.STOP))

    def _credit(self, call_id: int, amount: int) -> None:
        self._channel.send(frames.pack_credit(call_id, amount))

    def _on_frame(self, kind: int, call_id: int, body: memoryview) -> None:
        if kind != frames.RESULT:
            self._on_other(kind, call_id, body)
            return
        reply = frames.read_result(body)
        call = self._calls.get(call_id)
        if call is None or call.lined:
            self._on_passed_over(call_id)
            return
        del self._calls[call_id]
        if call.grace is not None:
            call.grace.cancel()
        if call.buffer is not None:
            call.buffer.end()
        if call.asking:
            asks.end(call)
        self.answered += 1
        if reply.rss_change:
            self._hooks.grew(call.function, reply.rss_change)
        if self.lined:
            self._begin_next()
        else:
            self.give_back()
        if not call.future.done():
            call.future.set_result(reply)

    def _on_other(self, kind: int, call_id: int, body: memoryview) -> None:
        if kind in _CHUNKS:
            streams.take_frame(self._calls.get(call_id), kind, body, self.child.tokens)
        elif kind == frames.PACKED:
            self.answered += packs.results(self._calls.get(call_id), bytes(body))
        elif kind == frames.ASK:
            asks.begin(packs.asker(self._calls, call_id), body, self._channel.send)
        elif kind == frames.READY:
            self._hooks.ready(bytes(body))
        elif kind == frames.FAILED:
            self._hooks.failed(str(body, "utf-8", "replace"))
        else:
            raise FrameError(f"a frame of unknown kind {kind}")

    def _on_passed_over(self, call_id: int) -> None:
        if call_id not in self._passed_over:
            raise FrameError(f"a result for call {call_id}, which does not run")
        self._passed_over.discard(call_id)
        self._hooks.slot_free(self)

    def _on_closed(self, why: str) -> None:
        """The worker closed its end, or broke the protocol; only its exit settles the calls."""
        if self.state not in (State.STOPPING, State.DEAD):
            self._hooks.leaving(self)
            what = why or "it closed its channel and lives on"
            timer_s = 0.0 if why else 1.0
            self._loop.call_later(timer_s, self.kill, Killed(why=f"broke the frame protocol: {what}", protocol=True))

    def settle(self, report: ExitReport) -> list[Call]:
        """Fail what it ran; called once the process has ended. Return the calls that it had not begun.

        Those that were still lined up have been taken back before; a token that is left is of a call that was next.
        """
        self._channel.drain_input()
        self._channel.close()
        self.advance(Event.EXITED)
        if self._kill_task is not None:
            self._kill_task.cancel()
        left = []
        calls, self._calls = list(self._calls.values()), {}
        self._lined.clear()
        self.lined = 0
        while calls and not calls[-1].abandoned and self.child.tokens.take():
            call = calls.pop()
            call.worker, call.lined = None, False
            left.append(call)
        narrowed = packs.salvage(calls, self.child.tokens)
        self.child.tokens.close()
        if len(calls) == 1 and narrowed and (self.killed is None or self.killed.blamed):
            self.culprit = calls[0]
        for call in calls:
            if call.grace is not None:
                call.grace.cancel()
            limit_bytes = self._options.memory_limit_bytes or 0
            self._fail(call, loss(self._options.name, call.function, report, limit_bytes))
        self._hooks = NOBODY
        self._wake_idle()
        return left[::-1]

    def _fail(self, call: Call, error: PoolError) -> None:
        call.fail(error)
        if call.asking:
            asks.end(call)
        if call.buffer is not None:
            call.buffer.end()

"""What running calls ask the front: each ask answered with a frame, in a task where that takes a while; it ends with
its call. What a call only tells, under the id TOLD, has no answer.

Owns no state: the open asks stand in their `Call`. Knows nothing of what is asked; the handler that the pool was made
with does. A worker that asks more than it may, or twice under one id, breaks the frame protocol.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from pool import frames
from pool.calls import Call
from pool.entry import Answer
from pool.errors import FrameError

Send = Callable[[bytes, bytes], None]
"""Sends a frame: (head, the rest of its body)."""


def begin(call: Call | None, body: memoryview, send: Send) -> None:
    """Take an ASK frame of a running call; its answer goes out by `send`. Raises FrameError."""
    if call is None or call.lined:
        raise FrameError("an ask of a call that does not run")
    ask_id, name, data = frames.read_ask(body)
    if call.asking is None:
        call.asking = {}
    if ask_id in call.asking:
        raise FrameError(f"a second ask of call {call.id} under the id {ask_id}")
    if len(call.asking) >= frames.OPEN_ASKS:
        raise FrameError(f"more than {frames.OPEN_ASKS} open asks of call {call.id}")
    if call.abandoned or call.on_ask is None:
        _send(call.id, ask_id, refused_since_ended() if call.abandoned else _unanswered(name), send)
        return
    handle = asyncio.get_running_loop().call_soon(_answer, call, ask_id, name, data, send)
    if ask_id != frames.TOLD:
        call.asking[ask_id] = handle


def _answer(call: Call, ask_id: int, name: str, data: bytes, send: Send) -> None:
    """Let the handler answer: in a step of the loop's own, as what it raises must not end the reading of frames.

    What is told is heard even where the call's result, which the worker has sent after it, has been read by now.
    """
    assert call.on_ask is not None
    found: Answer | Coroutine[Any, Any, Answer] | None = None
    try:
        found = call.on_ask(call, name, data)
    finally:
        if not isinstance(found, Coroutine):
            _answered(call, ask_id, _broken() if found is None else found, send)
    if isinstance(found, Coroutine):
        if call.asking is None or call.abandoned or call.future.done():
            found.close()  # the call that told it has ended
            return
        task = asyncio.get_running_loop().create_task(found)
        if ask_id == frames.TOLD:
            ask_id = -id(task)
        call.asking[ask_id] = task
        task.add_done_callback(partial(_done, call, ask_id, send))


def end(call: Call) -> None:
    """Cancel what the call has asked: nobody waits for the answers."""
    asking, call.asking = call.asking, None
    for open_ask in (asking or {}).values():
        open_ask.cancel()


def _done(call: Call, ask_id: int, send: Send, task: asyncio.Task[Answer]) -> None:
    if call.asking is None or call.asking.get(ask_id) is not task:
        if not task.cancelled():
            task.exception()  # seen: the call has ended, so nobody is told
        return
    if task.cancelled():
        answer = failed("CANCELLED", "INTERNAL", "what answers this was cancelled")
    elif (error := task.exception()) is not None:
        context = {"message": f"an ask of '{call.function}' failed inside the front", "exception": error}
        task.get_loop().call_exception_handler(context)
        answer = _broken()
    else:
        answer = task.result()
    _answered(call, ask_id, answer, send)


def _answered(call: Call, ask_id: int, answer: Answer, send: Send) -> None:
    if call.asking is not None:
        call.asking.pop(ask_id, None)
    _send(call.id, ask_id, answer, send)


def _send(call_id: int, ask_id: int, answer: Answer, send: Send) -> None:
    if ask_id <= frames.TOLD:
        return
    ok, body = answer
    if len(body) > frames.ASK_BYTES:
        message = f"the answer has {len(body)} bytes, more than the {frames.ASK_BYTES} that may be sent"
        ok, body = failed("RESOURCE_EXHAUSTED", "MESSAGE_TOO_LARGE", message)
    send(frames.answer_head(call_id, ask_id, ok, len(body)), body)


def failed(code: str, reason: str, message: str) -> Answer:
    """Return an answer that says what went wrong."""
    return False, json.dumps({"code": code, "reason": reason, "message": message}).encode()


def _broken() -> Answer:
    return failed("INTERNAL", "INTERNAL", "the front failed to answer; the server's log has the details")


def refused_since_ended() -> Answer:
    """Return the answer to a call that nobody waits for any more."""
    return failed("CANCELLED", "CANCELLED", "the call has been cancelled")


def _unanswered(name: str) -> Answer:
    return failed("UNIMPLEMENTED", "UNKNOWN_METHOD", f"nothing in the front answers '{name}'")

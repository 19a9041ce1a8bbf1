"""One registration of hosted tools: its tools, the stream to its host while there is one, and the calls that are open.

Owns all three. A call waits for its turn and for a host that has gone for a while; it ends with its answer, at its
deadline, or when nobody waits for it. Knows nothing of gRPC: a `Link` takes messages.
"""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Protocol

import msgspec

from bridge.errors import BridgeError, Code, bad_field
from bridge.tools.records import OpenCall, failed, gone
from bridge.v1 import tool_pb2
from handlers.tools_wire import ToolValue

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bridge.call import Call, Identity
    from bridge.settings.tool_tables import ToolHostsConfig
    from bridge.tools.records import Tool

MESSAGE_CHARACTERS = 2000
"""Of what a host says about a failure."""
TYPE_CHARACTERS = 100


class Link(Protocol):
    """The stream to a host."""

    def send(self, message: tool_pb2.HostResponse) -> None:
        """Send a message, at once or soon."""
        ...

    def end(self, why: BridgeError) -> None:
        """End the stream once what was sent has gone out."""
        ...


class Registration:
    """The tools of one host."""

    def __init__(self, key: str, identity: Identity, visibility: int, limits: ToolHostsConfig) -> None:
        self.id = key
        self.tenant = identity.tenant
        self.session_id = identity.session_id
        self.visibility = visibility
        self.tools: dict[str, Tool] = {}
        self.link: Link | None = None
        self.expiry: asyncio.TimerHandle | None = None
        """Ends it, while it has no host."""
        self._limits = limits
        self._numbers = itertools.count(1)
        self._last = 0
        self._open: dict[int, OpenCall] = {}

    def __len__(self) -> int:
        return len(self._open)

    def count_of(self, tool: str) -> int:
        """Return how many calls of a tool are open."""
        return sum(call.tool == tool for call in self._open.values())

    def replace_tools(self, tools: dict[str, Tool]) -> None:
        """Take over other tools; calls of those that are no more fail."""
        old, self.tools = self.tools, tools
        for call in list(self._open.values()):
            if call.tool not in tools:
                self._fail(call, gone(call.tool, "it has registered other tools"))
        for name, tool in tools.items():
            if name in old:
                tool.running, tool.waiting = old[name].running, old[name].waiting

    def attach(self, link: Link, working_on: Iterable[int]) -> None:
        """Go on with a host; what the one before had and this one does not is sent again, or fails."""
        self.link = link
        kept = set(working_on)
        for call in reversed(list(self._open.values())):  # the oldest is put in front last
            if not call.sent or call.id in kept:
                continue
            tool = self.tools[call.tool]
            if tool.idempotent:
                call.sent, call.resent = False, True
                tool.running -= 1
                tool.waiting.appendleft(call)
            else:
                self._fail(call, gone(call.tool, "its stream broke, and it has come back without the call"))

    def detach(self, link: Link) -> bool:
        """Take note that a stream has ended; return whether it was the one in force."""
        if self.link is not link:
            return False
        self.link = None
        return True

    def close(self, why: str) -> None:
        """Fail every open call: no host will come."""
        if self.expiry is not None:
            self.expiry.cancel()
        for call in list(self._open.values()):
            self._fail(call, gone(call.tool, why))

    async def call(self, name: str, arguments: str, of: Call) -> ToolValue:
        """Call a tool and return its value. Raises TOOL_..., and cancels the call at its host where it is cancelled."""
        tool, loop = self.tools.get(name), asyncio.get_running_loop()
        if tool is None:
            raise gone(name, "it has registered other tools")
        if len(self._open) >= self._limits.max_calls:
            limit = f"tool_hosts.max_calls ({self._limits.max_calls})"
            message = f"the host of the tool '{name}' has {len(self._open)} open calls, as many as {limit} allows"
            raise BridgeError(Code.RESOURCE_EXHAUSTED, "TOOL_HOST_BUSY", message, metadata={"tool": name})
        deadline = of.deadline if tool.timeout_s is None else min(of.deadline, loop.time() + tool.timeout_s)
        call = OpenCall(next(self._numbers), name, arguments, of, deadline, loop.create_future())
        self._open[call.id] = call
        tool.waiting.append(call)
        reason = "CALLER_ENDED"
        try:
            self.serve()
            async with asyncio.timeout_at(deadline):
                return await call.future
        except TimeoutError:
            reason = "TOOL_TIMEOUT"
            raise self._late(call, tool) from None
        finally:
            self._give_up(call, reason)

    def serve(self) -> None:
        """Send the calls that wait and may run now."""
        link = self.link
        if link is None:
            return
        now = asyncio.get_running_loop().time()
        for tool in self.tools.values():
            while tool.waiting and tool.running < tool.most:
                call = tool.waiting.popleft()
                call.sent = True
                tool.running += 1
                self._last = max(self._last, call.id)
                link.send(tool_pb2.HostResponse(call=_message(call, now)))

    def result(self, message: tool_pb2.HostedResult) -> None:
        """Take a result. Raises where it answers what was never asked."""
        if (call := self._answered(message.id, "result.id")) is None:
            return
        value = message.text if message.HasField("text") else message.json
        if (size := len(value.encode())) > self._limits.max_result_bytes:
            limit = f"tool_hosts.max_result_bytes ({self._limits.max_result_bytes})"
            error = failed(call.tool, f"its result has {size} bytes, more than {limit} allows", cause="too large")
            self._fail(call, error)
        elif message.HasField("text"):
            self._settle(call, ToolValue(value, True))
        elif (problem := _json_problem(value)) is not None:
            self._fail(call, failed(call.tool, f"its result is no JSON: {problem}", cause="no JSON"))
        else:
            self._settle(call, ToolValue(value))

    def error(self, message: tool_pb2.HostedError) -> None:
        """Take a failure. Raises where it answers what was never asked."""
        if (call := self._answered(message.id, "error.id")) is None:
            return
        text = message.message[:MESSAGE_CHARACTERS] or "the tool failed, and its host did not say why"
        facts = {"type": message.type[:TYPE_CHARACTERS]} if message.type else {}
        self._fail(call, failed(call.tool, text, **facts))

    def _answered(self, number: int, path: str) -> OpenCall | None:
        """Return the call that an answer is for; None where nobody waits for it any more."""
        call = self._open.get(number)
        if call is not None and call.sent:
            return call
        if not 0 < number <= self._last:
            raise bad_field(path, f"expected the id of a call that was sent, got {number}")
        return None  # it was cancelled, was late, or has been answered before

    def _settle(self, call: OpenCall, value: ToolValue) -> None:
        self._remove(call)
        if not call.future.done():
            call.future.set_result(value)
        self.serve()

    def _fail(self, call: OpenCall, error: BridgeError) -> None:
        self._remove(call)
        if not call.future.done():
            call.future.set_exception(error)
            call.future.exception()  # seen: who waits for it may have been cancelled at this moment
        self.serve()

    def _give_up(self, call: OpenCall, reason: str) -> None:
        """Let go of a call that may still be open, and tell its host."""
        if call.id not in self._open:
            return
        sent = call.sent
        self._remove(call)
        if sent and self.link is not None:
            cancel = tool_pb2.CancelHostedCall(id=call.id, reason=reason)
            self.link.send(tool_pb2.HostResponse(cancel=cancel))
        self.serve()

    def _remove(self, call: OpenCall) -> None:
        del self._open[call.id]
        if (tool := self.tools.get(call.tool)) is None:
            return
        if call.sent:
            tool.running -= 1
        else:
            tool.waiting.remove(call)

    def _late(self, call: OpenCall, tool: Tool) -> BridgeError:
        if not call.sent and self.link is None:
            return gone(call.tool, "it has not come back within the call's time")
        where = "its host has not answered" if call.sent else f"{tool.running} calls before it were not answered"
        limit = "the run's deadline" if call.deadline == call.of.deadline else f"its timeout ({tool.timeout_s:g} s)"
        message = f"the tool '{call.tool}' took longer than {limit}: {where}"
        return BridgeError(Code.DEADLINE_EXCEEDED, "TOOL_TIMEOUT", message, metadata={"tool": call.tool})


def _message(call: OpenCall, now: float) -> tool_pb2.HostedCall:
    identity = call.of.identity
    return tool_pb2.HostedCall(
        id=call.id,
        tool=call.tool,
        arguments=call.arguments,
        timeout_ms=max(1, int(min((call.deadline - now) * 1000, (1 << 32) - 1))),
        traceparent=identity.traceparent,
        request_id=identity.request_id,
        session_id=identity.session_id,
        resent=call.resent,
    )


def _json_problem(text: str) -> str | None:
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        return str(error)[:200]
    return None

"""One registration of tools, as its client has it: what is said to the server, what it says, what runs. Does no IO.

Owns the token and the calls that run. Not safe for threads by itself: its owner locks.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Any, TypeGuard

import msgspec
from google.protobuf.message import DecodeError

from bridge_client.errors import Aborted, BridgeError, InvalidArgument, NotFound, ResourceExhausted, UnexpectedReply
from bridge_client.hosted_tools import VISIBILITIES, HostedCall, HostedTool, Visibility, as_tool
from bridge_client.v1 import tool_pb2

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PATH = "/bridge.v1.ToolService/Host"
FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 5.0
KEPT_ANSWERS = 32
_CHARACTERS = 2000


class Hosting:
    """The client's side of a registration."""

    def __init__(self, tools: Sequence[HostedTool | Callable[..., Any]], visibility: Visibility) -> None:
        self.tools = {tool.called: tool for tool in map(as_tool, tools)}
        self._messages = [tool.message() for tool in self.tools.values()]
        if visibility not in VISIBILITIES:
            msg = f"expected a visibility of {', '.join(VISIBILITIES)}, got {visibility!r}"
            raise ValueError(msg)
        self._visibility = VISIBILITIES[visibility]
        self._token = ""
        self.registration = ""
        """The id of the registration, for runs to name; empty before there is one."""
        self.running: dict[int, HostedCall] = {}
        self._answers: deque[tuple[int, bytes]] = deque(maxlen=KEPT_ANSWERS)
        """The last answers: a stream that has broken may have lost them."""
        self.pause_s = FIRST_PAUSE_S
        """How long to wait before the stream is opened again."""

    def first_messages(self) -> list[bytes]:
        """What a stream begins with: the tools, and answers that may not have arrived, which do no harm twice."""
        register = tool_pb2.RegisterTools(visibility=self._visibility)
        if self._token:
            register.token = self._token
            register.working_on.extend([*self.running, *(number for number, _ in self._answers)])
        else:
            register.tools.extend(self._messages)
        again = [answer for _, answer in self._answers]
        return [tool_pb2.HostRequest(register=register).SerializeToString(), *again]

    def read(self, data: bytes) -> HostedCall | None:
        """Take a message of the server; return the call that it asks for. Raises UnexpectedReply."""
        try:
            message = tool_pb2.HostResponse.FromString(data)
        except DecodeError as error:
            msg = f"expected a HostResponse, got {len(data)} bytes that are none; is this a bridge?"
            raise UnexpectedReply(msg) from error
        match message.WhichOneof("message"):
            case "registered":
                self._token, self.registration = message.registered.token, message.registered.registration
                self.pause_s = FIRST_PAUSE_S
            case "cancel":
                if (call := self.running.pop(message.cancel.id, None)) is not None:
                    call.cancelled.set()
            case "call":
                return self._begin(message.call)
        return None

    def _begin(self, asked: tool_pb2.HostedCall) -> HostedCall:
        call = HostedCall(
            id=asked.id,
            tool=asked.tool,
            arguments=asked.arguments,
            deadline=time.monotonic() + asked.timeout_ms / 1000,
            traceparent=asked.traceparent,
            request_id=asked.request_id,
            session_id=asked.session_id,
            resent=asked.resent,
        )
        self.running[call.id] = call
        return call

    def result(self, call: HostedCall, value: Any) -> bytes | None:
        """The answer to a call that went well; None where nobody waits for it."""
        if self.running.get(call.id) is not call:
            return None
        if isinstance(value, str):
            result = tool_pb2.HostedResult(id=call.id, text=value)
        else:
            try:
                result = tool_pb2.HostedResult(id=call.id, json=msgspec.json.encode(value).decode())
            except (TypeError, ValueError, OverflowError) as error:
                return self.failure(call, error)
        return self._answered(call, tool_pb2.HostRequest(result=result))

    def failure(self, call: HostedCall, error: BaseException) -> bytes | None:
        """The answer to a call that failed; None where nobody waits for it."""
        if self.running.get(call.id) is not call:
            return None
        kind = type(error).__name__
        told = tool_pb2.HostedError(id=call.id, message=str(error)[:_CHARACTERS] or kind, type=kind)
        return self._answered(call, tool_pb2.HostRequest(error=told))

    def _answered(self, call: HostedCall, message: tool_pb2.HostRequest) -> bytes:
        del self.running[call.id]
        answer = message.SerializeToString()
        self._answers.append((call.id, answer))
        return answer

    def goodbye(self) -> bytes:
        """The last message."""
        return tool_pb2.HostRequest(goodbye=tool_pb2.HostGoodbye()).SerializeToString()

    def may_go_on(self, error: BridgeError | None) -> bool:
        """Whether to open another stream after one has ended; takes note of what its end means."""
        if _is_unknown(error):
            self._token = ""
            for call in self.running.values():
                call.cancelled.set()
            self.running.clear()
            self._answers.clear()
            return True
        return not isinstance(error, InvalidArgument | ResourceExhausted | Aborted | UnexpectedReply)

    def next_pause_s(self) -> float:
        """How long to wait before another try; longer each time."""
        pause_s, self.pause_s = self.pause_s, min(2 * self.pause_s, LONGEST_PAUSE_S)
        return pause_s


def _is_unknown(error: BridgeError | None) -> TypeGuard[NotFound]:
    return isinstance(error, NotFound) and error.reason == "UNKNOWN_TOOL_REGISTRATION"

"""The Python client as a host of tools: functions of this process, called by an agent on a real server."""

import asyncio
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Literal

import bridge_client
import msgspec
import pytest
from bridge_client.hosted_tools import HostedTool, as_tool, schema_of
from bridge_client.hosting import Hosting
from bridge_client.v1 import tool_pb2

APP = """
import dspy

agent = dspy.ReAct("question -> answer", tools=[])


def add(a: int, b: int) -> int:
    return a + b
"""


class Item(msgspec.Struct):
    name: str
    count: int = 1


def find(item: str, most: int = 3, kind: Literal["new", "used"] = "new") -> dict:
    """Find an item."""
    return {"found": item, "most": most, "kind": kind}


def order(items: list[Item], note: str | None = None) -> str:
    return f"{sum(one.count for one in items)} ordered: {note}"


@pytest.fixture(scope="module")
def address(start_shared_server):
    return start_shared_server(APP).address


@pytest.fixture
def client(address):
    with bridge_client.connect(address, timeout=30) as opened:
        yield opened


def test_a_functions_parameters_become_a_schema():
    assert schema_of(find) == {
        "type": "object",
        "properties": {
            "item": {"type": "string"},
            "most": {"type": "integer", "default": 3},
            "kind": {"enum": ["new", "used"], "default": "new"},
        },
        "required": ["item"],
    }
    schema = schema_of(order)
    assert schema["properties"]["items"] == {"type": "array", "items": {"$ref": "#/$defs/Item"}}
    assert schema["$defs"]["Item"]["required"] == ["name"]
    assert as_tool(find).message().description == "Find an item."
    with pytest.raises(TypeError, match="'rest' of"):
        schema_of(lambda *rest: rest)


def test_an_agent_calls_functions_of_this_process(client):
    receipts = []
    script = 'Go.\ncall find {"item": "bolt", "most": 2}\ncall order {"items": [{"name": "bolt", "count": 4}]}'
    with client.host_tools([find, order]) as host:
        programs = client.with_options(on_receipt=receipts.append).programs.using(tools=host)
        answer = programs.run("agent", question=script).answer
    assert '{"found": "bolt", "most": 2, "kind": "new"}' in answer
    assert "4 ordered: None" in answer
    with pytest.raises(bridge_client.NotFound) as gone:
        client.programs.using(tools=host).run("agent", question="?")
    assert gone.value.reason == "UNKNOWN_TOOL_REGISTRATION"


def test_failures_are_observed_or_end_the_run(client):
    def fails(text: str) -> str:
        raise KeyError(text)

    script = 'Go.\ncall fails {"text": "x"}'
    with client.host_tools([fails]) as host:
        answer = client.programs.using(tools=host).run("agent", question=script).answer
    assert "The tool failed (TOOL_FAILED): 'x'" in answer
    aborting = HostedTool(function=fails, on_error="abort")
    with client.host_tools([aborting]) as host, pytest.raises(bridge_client.BridgeError) as ended:
        client.programs.using(tools=host).run("agent", question=script)
    assert ended.value.reason == "TOOL_FAILED"
    assert ended.value.metadata["type"] == "KeyError"


def test_hosts_and_names_may_be_mixed(client):
    script = 'Go.\ncall find {"item": "nut"}\ncall add {"a": 20, "b": 22}'
    with client.host_tools([find]) as host:
        answer = client.programs.using(tools=[host, "function:add"]).run("agent", question=script).answer
    assert '"found": "nut"' in answer
    assert "42" in answer


def test_tools_may_be_seen_by_the_whole_tenant(client, address):
    script = 'Go.\ncall find {"item": "pin"}'
    with (
        bridge_client.connect(address, metadata={"x-tenant": "a-team"}) as one,
        one.host_tools([find], visibility="tenant"),
    ):
        assert '"pin"' in one.programs.using(tools="find").run("agent", question=script).answer
        with pytest.raises(bridge_client.NotFound):
            client.programs.using(tools="find").run("agent", question=script)


def test_a_cancelled_run_is_told_to_the_function(client):
    arrived, told = threading.Event(), threading.Event()

    def wait(text: str) -> str:
        call = bridge_client.current_tool_call()
        assert 0 < call.remaining() <= 30
        arrived.set()
        if call.cancelled.wait(20):
            told.set()
        return text

    with client.host_tools([wait]) as host:
        stream = client.programs.using(tools=host).stream("agent", question='Go.\ncall wait {"text": "x"}')
        reading = threading.Thread(target=lambda: list(_quietly(stream)))
        reading.start()
        assert arrived.wait(20)
        stream.close()
        assert told.wait(20)
        reading.join(20)


def _quietly(stream):
    try:
        yield from stream
    except bridge_client.BridgeError:
        return


async def test_async_functions_are_tools_and_are_cancelled(address):
    arrived, cancelled = asyncio.Event(), asyncio.Event()

    async def slow(text: str) -> str:
        if text == "fast":
            await asyncio.sleep(0)
            return f"{text} in {bridge_client.current_tool_call().tool}"
        try:
            arrived.set()
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return text

    async with bridge_client.connect_async(address, timeout=30) as client, client.host_tools([slow, find]) as host:
        programs = client.programs.using(tools=host)
        script = 'Go.\ncall slow {"text": "fast"}\ncall find {"item": "tack"}'
        answer = (await programs.run("agent", question=script)).answer
        assert "fast in slow" in answer
        assert '"tack"' in answer
        run = asyncio.create_task(programs.run("agent", question='Go.\ncall slow {"text": "x"}'))
        await asyncio.wait_for(arrived.wait(), 20)
        run.cancel()
        await asyncio.wait_for(cancelled.wait(), 20)


def test_what_can_not_be_hosted_says_so(client):
    with pytest.raises(bridge_client.InvalidArgument, match="every agent has"):
        client.host_tools([HostedTool(function=find, name="finish")])

    async def later() -> str:
        return ""

    with pytest.raises(TypeError, match="connect_async"):
        client.host_tools([later])
    with pytest.raises(ValueError, match="visibility"):
        client.host_tools([find], visibility="all")


class Wire:
    """A way to the server that can be cut."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._target = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._ends: list[socket.socket] = []
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(self._target)
                self._ends += [near, far]
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    @staticmethod
    def _pump(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)

    def cut(self) -> None:
        ends, self._ends = self._ends, []
        for end in ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def close(self) -> None:
        self._listener.close()
        self.cut()


@pytest.fixture
def wire(address):
    opened = Wire(address)
    yield opened
    opened.close()


def test_a_host_goes_on_when_its_connection_has_broken(client, wire):
    arrived, goes_on = threading.Event(), threading.Event()
    calls = []

    def hold(text: str) -> str:
        calls.append(bridge_client.current_tool_call().id)
        arrived.set()
        assert goes_on.wait(20)
        return f"held {text}"

    with bridge_client.connect(wire.address) as far, far.host_tools([hold]) as host:
        before = host.registration
        programs = client.programs.using(tools=host)
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(lambda: programs.run("agent", question='Go.\ncall hold {"text": "fast"}').answer)
            assert arrived.wait(20)
            wire.cut()
            goes_on.set()
            assert "held fast" in answer.result(30)
        assert len(calls) == 1, "the call went on, and was not sent again"
        assert host.registration == before
        assert "held again" in programs.run("agent", question='Go.\ncall hold {"text": "again"}').answer
        assert host.error is None


def test_a_registration_that_the_server_has_forgotten_is_made_anew():
    hosting = Hosting([find], "run")
    registered = tool_pb2.ToolsRegistered(registration="th-1", token="a-token")
    hosting.read(tool_pb2.HostResponse(registered=registered).SerializeToString())
    call = hosting.read(tool_pb2.HostResponse(call={"id": 7, "tool": "find", "timeout_ms": 5}).SerializeToString())
    again = tool_pb2.HostRequest.FromString(hosting.first_messages()[0]).register
    assert (again.token, list(again.working_on), len(again.tools)) == ("a-token", [7], 0)
    unknown = bridge_client.NotFound("gone", reason="UNKNOWN_TOOL_REGISTRATION")
    assert hosting.may_go_on(unknown)
    assert call.cancelled.is_set()
    assert hosting.result(call, "late") is None
    anew = tool_pb2.HostRequest.FromString(hosting.first_messages()[0]).register
    assert (anew.token, list(anew.working_on), [one.name for one in anew.tools]) == ("", [], ["find"])
    assert not hosting.may_go_on(bridge_client.Aborted("replaced", reason="TOOL_HOST_REPLACED"))

"""Tools behind several fronts: their registrations belong to the main process, so no front's end ends them."""

import json
import os
import signal

import pytest

from bridge.v1 import tool_pb2

SCHEMA = '{"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}'


@pytest.fixture
def clients(start_server, tools_config, connect_to_each):
    app, config = tools_config
    server = start_server(app, config.replace("[server]", "[server]\nfronts = 2"))
    return connect_to_each(server.address)


def test_tools_hosted_at_one_front_serve_runs_of_another_and_outlive_it(clients, host, run):
    (first, at_first), (_, at_second) = clients.items()
    tool = tool_pb2.HostedTool(name="look_up", arguments_schema=SCHEMA)
    hosting = host(at_first, tool)
    future = run(at_second, "Own", of=hosting, argument="x")
    call = hosting.next("call")
    (pid,) = [front.pid for front in at_second.fronts() if front.id == first]
    os.kill(pid, signal.SIGKILL)
    assert hosting.ended() is not None, "the stream ends with its front"
    back = host(at_second)
    back.register(token=hosting.registered.token, working_on=[call.id])
    assert back.registered.resumed
    back.answer(call, "through the other front")
    assert json.loads(future.result(30).outputs.json)["value"] == "through the other front"

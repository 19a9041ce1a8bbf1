"""Tools of MCP servers: real servers of the protocol's own library, over standard streams and over HTTP."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import grpc
import psutil
import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from bridge.v1.common_pb2 import Receipt

pytest.importorskip("mcp", reason="needs the extra 'mcp'")
SERVER = Path(__file__).with_name("mcp_server.py")
USUAL = """
[pools.general]
size = 1

[pools.llm]
size = 1

[pools.embeddings]
size = 0

[models.default]
model = "bridge/test"
"""
CONFIG = """
[tools.small]
command = ["{python}", "{server}"]
env = {{ SHOWN = "plain", HIDDEN = "env:A_SECRET_OF_TESTS" }}
timeout_s = 15

[tools.part]
command = ["{python}", "{server}"]
tools = ["shout", "fails", "wait"]
on_error = "abort"
timeout_s = 3.0

[tools.web]
url = "http://127.0.0.1:{port}/mcp"
headers = {{ X-Shown = "literal:a-header" }}

[tools.nowhere]
command = ["/nowhere/at-all"]

[tools.closed]
url = "http://127.0.0.1:9/mcp"
"""


@pytest.fixture(scope="module")
def web():
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
    process = subprocess.Popen([sys.executable, SERVER, str(port)], stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        if "running on" in line:
            break
    yield port
    process.terminate()
    process.communicate(timeout=20)


@pytest.fixture(scope="module")
def tools_server(start_shared_server, web, pytestconfig):
    app = pytestconfig.rootpath / "tests/rpc/tools/tools_app.py"
    config = USUAL + CONFIG.format(python=sys.executable, server=SERVER, port=web)
    return start_shared_server(app, config, {"A_SECRET_OF_TESTS": "kept"})


def answer_of(future):
    return json.loads(future.result(40).outputs.json)["answer"]


def reason_of(future):
    error = future.exception(40)
    assert isinstance(error, grpc.RpcError), f"it went well: {future.result()}"
    trailers = {one.key: one.value for one in error.trailing_metadata()}
    status = Status.FromString(trailers["grpc-status-details-bin"])
    return next(ErrorInfo.FromString(one.value).reason for one in status.details if one.Is(ErrorInfo.DESCRIPTOR))


@pytest.mark.parametrize("server", ["small", "web"])
def test_an_agent_calls_tools_of_an_mcp_server(client, run, server):
    script = (
        'Go.\ncall shout {"text": "hey", "times": 2}\ncall measure {"width": 6, "height": 7}\ncall fails {"text": "it"}'
    )
    future = run(client, "agent", f"mcp:{server}", question=script)
    answer = answer_of(future)
    assert "HEY HEY" in answer
    assert '"area": 42' in answer
    assert "The tool failed (TOOL_FAILED)" in answer
    assert "can not do it" in answer
    trailers = {one.key: one.value for one in future.trailing_metadata()}
    receipt = Receipt.FromString(trailers["bridge-receipt-bin"])
    assert [(one.tool, one.calls, one.failed) for one in receipt.tools] == [
        ("fails", 1, 1),
        ("measure", 1, 0),
        ("shout", 1, 0),
    ]
    assert f"bridge.tools.{server}.call" in {one.function for one in receipt.nested.listed}


def test_one_tool_may_be_named_and_its_schema_is_kept_to(client, run):
    script = 'Go.\ncall shout {"text": "hey", "times": "many"}\ncall shout {"text": "ho"}'
    answer = answer_of(run(client, "Slow", "mcp:small/shout", question=script))
    assert "times: expected integer, got 'many'" in answer
    assert "HO" in answer
    assert reason_of(run(client, "agent", "mcp:small/whisper", question="?")) == "TOOL_NOT_FOUND"


def test_a_server_has_the_environment_and_the_headers_that_are_configured(client, run):
    script = 'Go.\ncall environment {"name": "SHOWN"}\ncall environment {"name": "HIDDEN"}'
    answer = answer_of(
        run(client, "agent", "mcp:small", question=f'{script}\ncall environment {{"name": "A_SECRET_OF_TESTS"}}')
    )
    assert "plain; kept; not set;" in answer
    assert "a-header" in answer_of(run(client, "agent", "mcp:web", question='Go.\ncall header {"name": "x-shown"}'))


def test_only_configured_tools_are_offered_and_failures_may_end_the_run(client, run):
    assert reason_of(run(client, "agent", "mcp:part/measure", question="?")) == "TOOL_NOT_FOUND"
    outcome = client.call("bridge.tools.part.call", tool="measure", arguments={"width": 1, "height": 1})
    assert outcome.reason == "TOOL_NOT_FOUND"
    assert reason_of(run(client, "agent", "mcp:part", question='Go.\ncall fails {"text": "x"}')) == "TOOL_FAILED"


def test_a_tool_that_is_late_ends_by_its_timeout(client, run):
    assert reason_of(run(client, "agent", "mcp:part", question='Go.\ncall wait {"text": "x"}')) == "TOOL_TIMEOUT"
    assert "AGAIN" in answer_of(run(client, "agent", "mcp:part", question='Go.\ncall shout {"text": "again"}'))


def test_a_server_that_has_died_is_started_again(client, run):
    answer = answer_of(run(client, "agent", "mcp:small", question='Go.\ncall ends {}\ncall shout {"text": "back"}'))
    assert "The tool failed (TOOL_SERVER_UNAVAILABLE): the MCP server 'small' has gone" in answer
    assert "BACK" in answer


@pytest.mark.parametrize("server", ["nowhere", "closed"])
def test_a_server_that_can_not_be_reached_says_so(client, run, server):
    assert reason_of(run(client, "agent", f"mcp:{server}", question="?")) == "TOOL_SERVER_UNAVAILABLE"


def test_servers_end_with_the_worker(client, run, tools_server, eventually):
    answer_of(run(client, "agent", "mcp:small", question='Go.\ncall shout {"text": "here"}'))

    def started():
        found = []
        for process in psutil.process_iter(["cmdline", "environ"]):
            command = process.info["cmdline"] or []
            if str(SERVER) in command and len(command) == 2 and (process.info["environ"] or {}).get("SHOWN"):
                found.append(process)
        return found

    (before,) = started()
    (pid,) = client.workers("mcp").values()
    psutil.Process(pid).kill()
    eventually(lambda: not before.is_running() or before.status() == psutil.STATUS_ZOMBIE, "the MCP server to end")

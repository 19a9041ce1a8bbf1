"""A run that called its caller's tools is run again without the caller."""

import json
import os
import subprocess
import sys
from pathlib import Path

import grpc

from bridge.v1 import tool_pb2

ROOT = Path(__file__).resolve().parents[3]


def test_the_answers_of_tools_are_given_again(tmp_path, start_server, connect, host, run, tools_config):
    app, config = tools_config
    server = start_server(app, f'{config}\n[replay]\ndirectory = "{tmp_path}/calls"\nsample = 1.0\n')
    client = connect(server.address, own_connection=True)
    names = ("look_up", "store")
    schema = json.dumps({"type": "object", "properties": {"text": {"type": "string"}}})
    tools = [tool_pb2.HostedTool(name=name, description="Does it.", arguments_schema=schema) for name in names]
    hosting = host(client, *tools)
    question = 'Do it.\ncall look_up {"text": "blue"}\ncall store {"text": "sky"}'
    future = run(client, "agent", of=hosting, question=question)
    hosting.answer(hosting.next("call"), {"found": ["blue whale"]})
    hosting.fail(hosting.next("call"), "the disk is full")
    answer = json.loads(future.result(30).outputs.json)["answer"]
    assert "blue whale" in answer
    server.process.terminate()
    (file,) = (tmp_path / "calls").glob("*-agent-*.json")
    done = subprocess.run(
        [sys.executable, "-m", "bridge.cli", "replay", str(file), "--json"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    shown = json.loads(done.stdout)
    assert (shown["same"], shown["remarks"]) == (True, [])
    assert "blue whale" in shown["now"]
    assert future.code() is grpc.StatusCode.OK

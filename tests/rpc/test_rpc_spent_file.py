"""A standing budget over the ends of its server: told to stop, and killed."""

import json
import os
import signal

import pytest

from bridge.v1 import model_pb2

CONFIG = """
[models.default]
model = "bridge/test"

[pools.general]
size = 0

[pools.embeddings]
size = 0

[pools.llm]
size = 1

[spending]
file = "{file}"

[budgets.monthly]
requests = 4
period = "month"
"""


def written(path):
    try:
        return [one["requests"] for one in json.loads(path.read_text())["spent"]]
    except FileNotFoundError:
        return []


def test_what_was_spent_counts_after_a_stop_and_after_a_kill(tmp_path, start_server, connect, eventually):
    file = tmp_path / "state" / "spent.json"
    config = CONFIG.format(file=file)

    def generate(server):
        request = model_pb2.GenerateRequest()
        request.messages.add(role=model_pb2.ROLE_USER, content="hello")
        return connect(server.address).unary("ModelService/Generate", request, model_pb2.GenerateResponse)

    first = start_server('"""Nothing."""\n', config)
    assert generate(first).code.name == "OK"
    first.process.send_signal(signal.SIGTERM)
    first.process.wait(30)
    assert written(file) == [1]
    second = start_server('"""Nothing."""\n', config)
    assert [generate(second).code.name for _ in range(2)] == ["OK", "OK"]
    eventually(lambda: written(file) == [3], "what was spent to be written")
    os.kill(second.process.pid, signal.SIGKILL)
    second.process.wait(30)
    third = start_server('"""Nothing."""\n', config)
    assert generate(third).code.name == "OK"
    refused = generate(third)
    assert (refused.code.name, refused.reason) == ("RESOURCE_EXHAUSTED", "BUDGET_EXCEEDED")
    assert refused.metadata["spent"] == "4"


@pytest.mark.parametrize("text", ["broken", '{"spent": [], "version": 9}'])
def test_a_server_does_not_start_on_a_file_that_it_can_not_read(tmp_path, launch, text):
    file = tmp_path / "spent.json"
    file.write_text(text)
    ended = launch('"""Nothing."""\n', CONFIG.format(file=file))
    assert ended.wait() != 0
    assert f"spending.file {file}" in ended.stderr
    assert file.read_text() == text

"""Calls are saved without secrets and run again offline: `[replay]` and `bridge replay`, with a real server.

The models' provider is stopped before a call is run again.
"""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from bridge.v1 import model_pb2, program_pb2
from bridge.v1.common_pb2 import Payload
from handlers.models.openai_test_server.behaviour import Behaviour
from handlers.models.openai_test_server.server import serve

ROOT = Path(__file__).resolve().parents[2]
APP = Path(__file__).parent / "replay_app.py"
KEY = "a-configured-key-of-plain-words"
TOKEN = "token-of-the-environment"
CONFIG = """
[replay]
directory = "{folder}/calls"
{replay}

[models.default]
model = "openai/test"
api_base = "{url}"
api_key = "literal:{key}"
max_retries = 0

[pools.general]
size = {general}

[pools.embeddings]
size = 0

[pools.llm]
size = 1
env = {{ OWN_MODEL_URL = "{url}", SHOP_API_TOKEN = "literal:{token}" }}
"""


@pytest.fixture
def provider():
    with serve() as server:
        yield server


class Shop:
    """A server that saves calls, and runs of `bridge replay`."""

    def __init__(self, folder, provider, start_server, connect):
        self.folder = folder
        self.calls = folder / "calls"
        self._provider = provider
        self._start, self._connect = start_server, connect

    def serve(self, replay="", general=0):
        config = CONFIG.format(
            folder=self.folder, url=self._provider.base_url, key=KEY, token=TOKEN, replay=replay, general=general
        )
        self.server = self._start(APP, config)
        self.client = self._connect(self.server.address)
        return self.client

    def files(self):
        return sorted(self.calls.glob("*.json")) if self.calls.exists() else []

    def saved(self):
        """The only saved call, and what it says."""
        (file,) = self.files()
        return file, json.loads(file.read_text())

    def replay(self, file, *arguments, code=0):
        done = subprocess.run(
            [sys.executable, "-m", "bridge.cli", "replay", str(file), *arguments],
            cwd=self.folder,
            env={**os.environ, "NO_COLOR": "1", "COLUMNS": "200", "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=90,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def run(self, program, method="Run", **inputs):
        request, response = {
            "Run": (program_pb2.RunRequest, program_pb2.RunResponse),
            "StreamRun": (program_pb2.StreamRunRequest, program_pb2.StreamRunResponse),
        }[method]
        message = request(program=program, inputs=Payload(json=json.dumps(inputs)))
        return self.client.unary(f"ProgramService/{method}", message, response)


@pytest.fixture
def shop(tmp_path, provider, start_server, connect):
    return Shop(tmp_path, provider, start_server, connect)


def test_a_failed_program_fails_in_the_same_way_with_the_provider_stopped(shop, provider):
    shop.serve()
    outcome = shop.run("careful", question="will it fail?")
    assert outcome.reason == "USER_EXCEPTION"
    assert shop.run("careful", question="it goes well").code.name == "OK"
    provider.close()
    file, saved = shop.saved()  # the failed one alone
    assert [one["kind"] for one in saved["exchanges"]] == ["lm", "lm"]
    assert "will it fail?" in json.dumps(saved["exchanges"][0]["request"])
    assert saved["program"]["name"] == "careful"
    assert saved["environment"]["dspy"]
    shown = shop.replay(file)
    assert "2 replies of models" in shown
    assert "same: UNKNOWN USER_EXCEPTION: ValueError: the verdict on" in shown
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(shop.calls.stat().st_mode) == 0o700


def test_another_outcome_is_shown_and_told_by_the_exit_code(shop, provider, tmp_path):
    shop.serve()
    shop.run("careful", question="will it fail?")
    provider.close()
    file, _ = shop.saved()
    mended = tmp_path / "mended.py"
    mended.write_text(APP.read_text().replace('if "fail" in question', 'if "fall" in question'))
    shown = shop.replay(file, "--app", str(mended), code=1)
    assert "has changed since the call was saved" in shown
    assert "then: UNKNOWN USER_EXCEPTION: ValueError" in shown
    assert 'now:  {"number":' in shown.replace('{"verdict"', '{"number"')
    asks = tmp_path / "asks.py"
    asks.write_text(APP.read_text().replace('"""Answer."""', '"""Answer well."""'))
    shown = shop.replay(file, "--app", str(asks))  # the same end, by another question
    assert "was asked otherwise" in shown
    assert "same: " in shown
    machine = json.loads(shop.replay(file, "--app", str(mended), "--json", code=1))
    assert machine["same"] is False


def test_sampled_successes_come_out_the_same_random_numbers_included(shop, provider):
    shop.serve("sample = 1.0\nfailed = false", general=1)
    ran = [shop.client.call("lucky", sides=1000), shop.run("threaded", question="how many?")]
    ran += [shop.run("own_model", question="who?"), shop.client.call("asynchronous", text="three")]
    assert [one.code.name for one in ran] == ["OK"] * 4
    stream = list(shop.client.open_stream("words", text="one two"))
    provider.close()
    assert stream == ["one", "two"]
    assert len(shop.files()) == 5
    for file in shop.files():
        shown = json.loads(shop.replay(file, "--json"))
        assert (shown["same"], shown["remarks"]) == (True, []), shown
    ends = {json.loads(file.read_text())["program"]["name"]: json.loads(file.read_text()) for file in shop.files()}
    assert [one["kind"] for one in ends["own_model"]["exchanges"]] == ["lm"]
    assert [one["kind"] for one in ends["asynchronous"]["exchanges"]] == ["call"]
    assert ends["words"]["outcome"]["items"] == ["one", "two"]


def test_model_calls_fail_again_and_answer_again(shop, provider):
    shop.serve("sample = 1.0")
    message = {"messages": [model_pb2.Message(role="ROLE_USER", content="hello")]}
    generate = ("ModelService/Generate", model_pb2.GenerateRequest(**message), model_pb2.GenerateResponse)
    assert shop.client.unary(*generate).value.text
    provider.script(Behaviour(status=500))
    assert shop.client.unary(*generate).reason == "PROVIDER_ERROR"
    schema = json.dumps({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]})
    extract = model_pb2.ExtractRequest(schema=schema, **message)
    assert shop.client.unary("ModelService/Extract", extract, model_pb2.ExtractResponse).value.json
    provider.close()
    names = []
    for file in shop.files():
        shown = json.loads(shop.replay(file, "--json"))
        assert shown["same"], shown
        names.append((json.loads(file.read_text())["method"], "PROVIDER_ERROR" in shown["now"]))
    assert names == [
        ("ModelService/Generate", False),
        ("ModelService/Generate", True),
        ("ModelService/Extract", False),
    ]


def test_a_function_that_asks_a_model_through_the_bridge(shop, provider):
    shop.serve(general=1)
    assert shop.client.call("summarise", text="fine words").code.name == "OK"
    assert shop.client.call("summarise", text="bad words").reason == "USER_EXCEPTION"
    provider.close()
    file, saved = shop.saved()
    assert saved["exchanges"][0]["kind"] == "call"
    assert "same: UNKNOWN USER_EXCEPTION: RuntimeError: no use for" in shop.replay(file)


def test_no_secret_reaches_a_file(shop, provider):
    shop.serve('sample = 1.0\nscrub = ["diagnosis", "Name"]')
    patient = {"name": "Ann Miller", "diagnosis": "flu", "age": 40}
    inputs = {"patient": patient, "key": "sk-abcdefghijklmnop1234"}
    said = shop.client.call("leaky", note="Ann Miller has flu, not influenza", **inputs).value
    assert said["env"] == TOKEN
    failed = shop.client.call("leaky", note="raise", **inputs)
    assert TOKEN in failed.message
    assert shop.run("careful", question=f"{KEY} and {TOKEN}, postgres://u:hunter2hunter2@db/x").code.name == "OK"
    provider.close()
    assert len(shop.files()) == 3
    for file in shop.files():
        text = file.read_text()
        for secret in (KEY, TOKEN, "sk-abc", "hunter2", "Ann Miller", "sk-own-model"):
            assert secret not in text, (file, secret)
    first = json.loads(shop.files()[0].read_text())
    assert first["request"]["arguments"]["value"]["patient"] == {
        "name": "[redacted]",
        "diagnosis": "[redacted]",
        "age": 40,
    }
    assert first["request"]["arguments"]["value"]["note"] == "[redacted] has [redacted], not influenza"
    shown = json.loads(shop.replay(shop.files()[2], "--json"))
    assert shown["same"], shown


def test_values_of_hidden_fields_are_taken_out_of_prompts_and_answers_too(shop, provider):
    shop.serve('scrub = ["verdict"]')
    provider.script("[[ ## number ## ]]\n7\n\n[[ ## completed ## ]]")
    provider.script("[[ ## reasoning ## ]]\nso\n\n[[ ## verdict ## ]]\nguilty of all charges\n\n[[ ## completed ## ]]")
    outcome = shop.run("careful", question="will it fail?")
    assert "guilty of all charges" in outcome.message
    file, saved = shop.saved()
    assert "guilty" not in file.read_text()
    assert "[redacted]" in saved["exchanges"][1]["reply"][0]
    provider.close()
    assert "same: UNKNOWN USER_EXCEPTION: ValueError: the verdict on 7 is '[redacted]'" in shop.replay(file)


def test_a_stream_is_run_again_to_its_final_outputs(shop, provider):
    shop.serve("sample = 1.0")
    request = program_pb2.StreamRunRequest(program="careful", inputs=Payload(json='{"question": "how?"}'))
    open_stream = shop.client.channel.unary_stream(
        "/bridge.v1.ProgramService/StreamRun", response_deserializer=program_pb2.StreamRunResponse.FromString
    )
    events = list(open_stream(request.SerializeToString(), timeout=30))
    outputs = json.loads(events[-1].final.outputs.json)
    provider.close()
    file, saved = shop.saved()
    assert saved["method"] == "ProgramService/StreamRun"
    assert saved["outcome"]["value"] == outputs
    assert json.loads(shop.replay(file, "--json")) == {
        "same": True,
        "then": json.dumps(outputs),
        "now": json.dumps(outputs),
        "differences": [],
        "remarks": [],
    }


def test_a_program_runs_again_with_the_saved_state_that_served(shop, provider):
    learn = f"""
import dspy
from bridge import save_program
from replay_app import OwnModel

program = OwnModel()
program.ask.lm = None
program.ask.demos = [dspy.Example(question="whose?", answer="the state's")]
print(save_program(program, "own_model", app={str(APP)!r}, to="saved", models=False))
"""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{APP.parent}"}
    subprocess.run([sys.executable, "-c", learn], cwd=shop.folder, env=environment, check=True, capture_output=True)
    promote = ["-m", "bridge.cli", "program", "promote", "own_model", "1", "--dir", "saved"]
    subprocess.run([sys.executable, *promote], cwd=shop.folder, env=environment, check=True, capture_output=True)
    shop.serve(f'sample = 1.0\n\n[programs]\nartefacts = "{shop.folder}/saved"')
    shop.run("own_model", question="who?")
    assert "the state's" in json.dumps(provider.requests[-1].body)
    provider.close()
    file, saved = shop.saved()
    assert saved["program"]["version"] == 1
    shown = json.loads(shop.replay(file, "--json"))
    assert (shown["same"], shown["remarks"]) == (True, [])  # the question, demonstrations and all, was the same


def test_a_created_program_is_run_again_from_its_definition(shop, provider):
    shop.serve("sample = 1.0")
    source = program_pb2.ProgramSource(signature="question: str -> answer: str", instructions="Be brief.")
    create = program_pb2.CreateProgramRequest(program="helper", source=source)
    created = shop.client.unary("ProgramService/CreateProgram", create, program_pb2.CreateProgramResponse)
    assert created.code.name == "OK", created.message
    answer = json.loads(shop.run("helper", question="Why?").value.outputs.json)["answer"]
    provider.script(Behaviour(status=401))
    assert shop.run("helper", question="Why not?").code.name != "OK"
    provider.close()
    well, badly = shop.files()
    assert json.loads(well.read_text())["program"]["definition"]["signature"]["instructions"] == "Be brief."
    shown = json.loads(shop.replay(well, "--json"))
    assert shown["same"], shown
    assert answer in shown["now"]
    assert json.loads(shop.replay(badly, "--json"))["same"]


def test_a_replay_reaches_no_network(shop, provider):
    shop.serve("sample = 1.0", general=1)
    url = provider.base_url.removesuffix("/v1") + "/v1/models"
    assert shop.client.call("calls_home", url=url).code.name == "OK"
    file, _ = shop.saved()
    shown = shop.replay(file, code=1)  # although the server still runs
    assert "wanted to reach 127.0.0.1" in shown
    assert "RuntimeError: not at home" in shown


def test_only_so_many_calls_of_so_many_bytes_are_kept(shop, provider):
    shop.serve('keep = 2\nmax_bytes = "8KiB"\nsample = 1.0', general=1)
    for sides in (2, 3, 4):
        shop.client.call("lucky", sides=sides)
    kept = [json.loads(file.read_text())["request"]["arguments"]["value"]["sides"] for file in shop.files()]
    assert kept == [3, 4]
    list(shop.client.open_stream("words", text="long " * 2000))
    assert len(shop.files()) == 2
    assert shop.server.stderr.wait(lambda line: "is not saved" in line and "replay.max_bytes" in line, 10)


def test_nothing_is_saved_unless_it_is_configured(tmp_path, provider, start_server, connect):
    config = CONFIG.format(folder=tmp_path, url=provider.base_url, key=KEY, token=TOKEN, replay="", general=1)
    server = start_server(APP, config.replace("[replay]\ndirectory", "[replay]\n# directory"))
    assert connect(server.address).call("summarise", text="bad").reason == "USER_EXCEPTION"
    assert not (tmp_path / "calls").exists()


def test_a_file_that_is_none_is_refused(shop, tmp_path):
    other = tmp_path / "other.json"
    for text, why in (
        ("{}", "expected the format 'bridge-replay'"),
        ('{"format": "bridge-replay", "format_version": 9}', "format version 9"),
        ("nonsense", "is no saved call"),
    ):
        other.write_text(text)
        done = subprocess.run(
            [sys.executable, "-m", "bridge.cli", "replay", str(other)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 2
        assert why in done.stderr

"""`bridge program` on programs of a file: saved, promoted, served, refused and rolled back, with a real server."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bridge.v1 import program_pb2
from handlers.models.openai_test_server.server import serve

ROOT = Path(__file__).resolve().parents[2]
APP = """
import dspy

triage = dspy.Predict("ticket -> queue")
"""
LEARN = """
import dspy
from bridge import save_program

program = dspy.Predict("ticket -> queue")
program.demos = [dspy.Example(ticket="my card is lost", queue="{queue}")]
print(save_program(program, "triage", app="app.py", to="saved"))
"""
CONFIG = """
[programs]
artefacts = "{folder}/saved"

[models.default]
model = "openai/test"
api_base = "{url}"
api_key = "literal:sk-nobody-may-see-this"

[pools.general]
size = 0

[pools.embeddings]
size = 0

[pools.llm]
size = 1
"""


@pytest.fixture
def provider():
    with serve() as server:
        yield server


@pytest.fixture
def shop(tmp_path, provider):
    """A folder with an app, its configuration and commands that run in it."""
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "bridge.toml").write_text(CONFIG.format(folder=tmp_path, url=provider.base_url))

    def run(*arguments, code=0):
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path,
            env={**os.environ, "NO_COLOR": "1", "COLUMNS": "200", "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    run.folder = tmp_path
    return run


def program(shop, *arguments, code=0):
    return shop("-m", "bridge.cli", "program", *arguments, code=code)


def test_versions_are_promoted_served_by_a_reload_and_rolled_back(shop, provider, start_server, connect):
    assert shop("-c", LEARN.format(queue="cards")) == "1\n"
    assert shop("-c", LEARN.format(queue="debit")) == "2\n"
    server = start_server(shop.folder / "app.py", (shop.folder / "bridge.toml").read_text())
    client = connect(server.address)

    def prompt():
        assert client.call("triage", ticket="I was charged twice").code.name == "OK"
        return json.dumps(provider.requests[-1].body["messages"])

    def reload():
        seen = server.stderr.text.count("reloaded after")
        server.process.send_signal(signal.SIGHUP)
        assert server.stderr.wait(lambda _: server.stderr.text.count("reloaded after") > seen, 60), server.stderr.text

    assert "my card is lost" not in prompt()
    assert "version 2 serves after the program as its file has it" in program(shop, "promote", "triage", "2")
    assert "my card is lost" not in prompt()  # not before the reload
    reload()
    assert "debit" in prompt()
    program(shop, "promote", "triage", "1")
    reload()
    assert "cards" in prompt()
    assert "version 2 serves after version 1" in program(shop, "rollback", "triage")
    reload()
    assert "debit" in prompt()


def test_a_server_does_not_start_with_a_state_of_other_code(shop, launch):
    shop("-c", LEARN.format(queue="cards"))
    program(shop, "promote", "triage", "1")
    config = (shop.folder / "bridge.toml").read_text()
    changed = shop.folder / "launched0" / "app.py"
    server = launch(APP + "\n# changed\n", config)
    assert changed.exists()
    assert server.wait() != 0
    assert "the program 'triage' can not be loaded" in server.stderr
    assert "app.py has changed" in server.stderr
    renamed = launch(APP.replace("queue", "department"), config)
    assert renamed.wait() != 0
    assert "the program has no field 'queue', which the artefact has" in renamed.stderr


def test_save_load_diff_and_versions(shop):
    first = program(shop, "save", "triage", "app.py", "--out", "first.json")
    assert "triage is saved as first.json" in first
    shop("-c", LEARN.format(queue="cards"))
    shown = program(shop, "diff", "first.json", "triage@1")
    assert 'predictors.self.demos[0]: + {"queue": "cards", "ticket": "my card is lost"}' in shown
    assert "version 2 is saved" in program(shop, "load", "first.json", "app.py")
    listed = json.loads(program(shop, "versions", "--json"))["versions"]
    assert [(one["program"], one["version"], one["serving"]) for one in listed] == [
        ("triage", 1, False),
        ("triage", 2, False),
    ]
    (shop.folder / "app.py").write_text(APP.replace("ticket", "letter"))
    refused = program(shop, "load", "first.json", "app.py", code=1)
    assert "the program has no field 'ticket', which the artefact has" in refused
    assert "saved with other code" not in refused


def test_what_can_not_be_saved_or_loaded_is_refused_with_the_reason(shop):
    (shop.folder / "leaky.py").write_text(
        APP + 'triage.demos = [{"ticket": "sk-abcdefghijklmnop1234", "queue": "q"}]\n'
    )
    leak = program(shop, "save", "triage", "leaky.py", code=1)
    assert "predictors.self.demos[0].ticket: looks like a provider's key" in leak
    assert "sk-abc" not in leak
    assert not (shop.folder / "saved").exists()
    (shop.folder / "key").write_text("an odd key in a file\n")
    (shop.folder / "bridge.toml").write_text('[models.x]\nmodel = "openai/x"\napi_key = "file:key"\n')
    (shop.folder / "leaky.py").write_text(APP + 'triage.demos = [{"ticket": "an odd key in a file", "queue": "q"}]\n')
    leak = program(shop, "save", "triage", "leaky.py", "--dir", "saved", code=1)
    assert "demos[0].ticket: holds a configured key" in leak
    assert "it has: triage" in program(shop, "save", "triag", "app.py", "--dir", "saved", code=1)
    (shop.folder / "program.pkl").write_bytes(b"\x80\x04}\x94.")
    assert "never loaded" in program(shop, "load", "program.pkl", code=1)
    assert "nothing is saved of it" in program(shop, "promote", "triage", "1", "--dir", "saved", code=1)
    assert "no directory of artefacts" in shop("-m", "bridge.cli", "program", "versions", "-c", os.devnull, code=2)


def test_a_file_of_dspy_becomes_a_version(shop):
    shop(
        "-c",
        LEARN.format(queue="cards").replace(
            'print(save_program(program, "triage", app="app.py", to="saved"))', 'program.save("state.json")'
        ),
    )
    assert "version 1 is saved" in program(shop, "save", "triage", "app.py", "--state", "state.json")
    (shop.folder / "app.py").write_text(APP.replace("queue", "department"))
    refused = program(shop, "save", "triage", "app.py", "--state", "state.json", code=1)
    assert "does not say which field is which" in refused


def test_created_programs_go_from_server_to_server(shop, start_server, connect):
    config = (shop.folder / "bridge.toml").read_text()
    server = start_server(shop.folder / "app.py", config)
    other = start_server(shop.folder / "app.py", config)
    client = connect(server.address)
    for instructions in ("Be brief.", "Be thorough."):
        source = program_pb2.ProgramSource(signature="question -> answer", instructions=instructions)
        if instructions == "Be brief.":
            create = program_pb2.CreateProgramRequest(program="helper", source=source)
            assert client.unary("ProgramService/CreateProgram", create, program_pb2.CreateProgramResponse).value
        else:
            update = program_pb2.UpdateProgramRequest(program="helper", source=source)
            assert client.unary("ProgramService/UpdateProgram", update, program_pb2.UpdateProgramResponse).value
    at = ("--address", server.address)

    def serving():
        listed = json.loads(program(shop, "versions", "helper", "--json", *at))["versions"]
        return [one["version"] for one in listed if one["serving"]]

    assert serving() == [2]
    assert 'definition.signature.instructions: "Be brief." -> "Be thorough."' in program(
        shop, "diff", "helper@1", "helper@2", *at
    )
    assert "version 1 serves now" in program(shop, "rollback", "helper", *at)
    assert serving() == [1]
    assert "there is none before it" in program(shop, "rollback", "helper", *at, code=1)
    program(shop, "promote", "helper", "2", *at)
    assert serving() == [2]
    program(shop, "save", "helper", "--out", "helper.json", *at)
    there = ("--address", other.address)
    assert "helper: version 1 serves now" in program(shop, "load", "helper.json", *there)
    assert "nothing differs" in program(shop, "diff", "helper.json", "helper@2", *at)
    assert "copy: version 1 serves now" in program(shop, "load", "helper.json", "--as", "copy", *there)
    saved = json.loads((shop.folder / "helper.json").read_text())
    saved["definition"]["kind"] = "predict"
    saved["definition"]["hooks"] = ["x"]
    (shop.folder / "odd.json").write_text(json.dumps(saved))
    assert "not known: `definition.hooks`" in program(shop, "load", "odd.json", *there, code=1)


def test_a_created_program_with_a_secret_is_not_saved(shop, start_server, connect):
    server = start_server(shop.folder / "app.py", (shop.folder / "bridge.toml").read_text())
    source = program_pb2.ProgramSource(signature="q -> a", demos=['{"q": "sk-abcdefghijklmnop1234", "a": "b"}'])
    create = program_pb2.CreateProgramRequest(program="leaky", source=source)
    client = connect(server.address)
    assert client.unary("ProgramService/CreateProgram", create, program_pb2.CreateProgramResponse).value
    told = program(shop, "save", "leaky", "--out", "leaky.json", "--address", server.address, code=1)
    assert "definition.demos[0].q: looks like a provider's key" in told
    assert not (shop.folder / "leaky.json").exists()

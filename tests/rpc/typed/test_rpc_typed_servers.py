"""Typed services where the server changes: a reload, several fronts, a lock file that is broken."""

import signal

import grpc
import pytest

from bridge.v1 import program_pb2

BEFORE = 'def greet(name: str) -> str:\n    """Greet."""\n    return f"hello {name}"\n'
AFTER = (
    'def greet(polite: bool = False, name: str = "you") -> str:\n    return f"{polite} {name}"\n\n\n'
    'def part(name: str) -> str:\n    return f"bye {name}"\n'
)
SERVICE = "app.v1.AppService"
CONFIG = """
[typed]
lock = "{lock}"
[pools.general]
size = 1
[pools.llm]
size = 0
[pools.embeddings]
size = 0
"""


@pytest.fixture
def folder(tmp_path, cli):
    (tmp_path / "app.py").write_text(BEFORE)
    cli("proto", "export", "app.py", cwd=tmp_path)
    return tmp_path


def test_a_reload_brings_new_methods_and_keeps_numbers(folder, start_server, reflect, eventually):
    server = start_server(folder / "app.py", CONFIG.format(lock=folder / "bridge.proto.lock"))
    old = reflect(server.address, SERVICE)
    before = old.message("Greet", {"name": "you"}).SerializeToString()
    assert old.call("Greet", before)[0] == {"result": "hello you"}
    (folder / "app.py").write_text(AFTER)
    server.process.send_signal(signal.SIGHUP)

    def has_part():
        return "Part" in reflect(server.address, SERVICE).service.methods_by_name

    eventually(has_part, "the new method to be told of", 30.0)
    new = reflect(server.address, SERVICE)
    assert new.call("Part", {"name": "you"})[0] == {"result": "bye you"}
    assert new.call("Greet", before)[0] == {"result": "False you"}, (
        "name has kept its number though polite stands first"
    )


def test_a_reload_takes_methods_away(folder, start_server, reflect, eventually):
    (folder / "app.py").write_text(AFTER)
    server = start_server(folder / "app.py", CONFIG.format(lock=folder / "bridge.proto.lock"))
    old = reflect(server.address, SERVICE)
    (folder / "app.py").write_text(BEFORE)
    server.process.send_signal(signal.SIGHUP)

    def is_gone():
        return "Part" not in reflect(server.address, SERVICE).service.methods_by_name

    eventually(is_gone, "the method to be gone", 30.0)
    with pytest.raises(grpc.RpcError) as caught:
        old.call("Part", {"name": "you"})
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def test_several_fronts_serve_and_tell_of_them(folder, start_server, reflect):
    text = "[server]\nfronts = 2\n" + CONFIG.format(lock=folder / "bridge.proto.lock")
    server = start_server(folder / "app.py", text)
    for _ in range(4):
        assert reflect(server.address, SERVICE).call("Greet", {"name": "you"})[0] == {"result": "hello you"}


def test_a_broken_lock_file_stops_the_start(folder, launch):
    (folder / "bridge.proto.lock").write_text(
        '{"package": "app.v1", "messages": {"X": {"a": {"number": 0, "type": ""}}}}'
    )
    launched = launch(folder / "app.py", CONFIG.format(lock=folder / "bridge.proto.lock"))
    assert launched.wait() != 0
    assert "bridge.proto.lock can not be used: X has a number that no field can have" in launched.stderr


def test_a_created_program_is_a_typed_method_at_once(start_server, connect, reflect):
    config = '[typed]\nservices = "on"\n[models.default]\nmodel = "bridge/test"\n'
    config += "[pools.general]\nsize = 1\n[pools.llm]\nsize = 1\n[pools.embeddings]\nsize = 0\n"
    server = start_server(BEFORE, config)
    signature = "ticket -> queue: Literal['billing', 'technical'], urgency: int"
    source = program_pb2.ProgramSource(signature=signature)
    request = program_pb2.CreateProgramRequest(program="triage", source=source)
    client = connect(server.address)
    assert client.unary("ProgramService/CreateProgram", request, program_pb2.CreateProgramResponse).value
    answer, _ = reflect(server.address, "app.v1.ProgramsService").call("Triage", {"ticket": "charged twice"})
    assert answer["queue"] in ("TRIAGE_RESPONSE_QUEUE_BILLING", "TRIAGE_RESPONSE_QUEUE_TECHNICAL")

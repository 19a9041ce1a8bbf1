"""Programs that clients create: made, listed, run, changed while they run, and there again after a restart."""

import json

import grpc
import pytest

from bridge.v1 import program_pb2 as pb
from bridge.v1.common_pb2 import Payload

Code = grpc.StatusCode
CONFIG = """
{models}
[server]
drain_timeout_s = 10.0

[pools.general]
size = 1

[pools.embeddings]
size = 0

[programs]
directory = "{directory}"
max_programs = 20
"""


@pytest.fixture(scope="module")
def shared(start_shared_server, programs_app, models, tmp_path_factory):
    tables = models(default="test", other="other", slow="test-latency300")
    directory = tmp_path_factory.mktemp("programs") / "kept"
    return start_shared_server(programs_app, CONFIG.format(models=tables, directory=directory))


@pytest.fixture
def programs(shared, client_of):
    return client_of(shared.address)


def session(name):
    return (("x-session-id", name),)


def prompt(provider):
    """The text of the last prompt that the provider was sent."""
    return json.dumps(provider.requests[-1].body["messages"])


def test_a_program_is_created_listed_described_and_run(programs):
    made = programs.create("faq", "question, n: int | None -> answer, score: float", instructions="Be brief.")
    info = made.value.program
    assert (info.version, info.pool, info.module) == (1, "llm", "Predict")
    assert info.signature == "question: str, n: int | None -> answer: str, score: float"
    assert info.doc == "Be brief."
    assert json.loads(info.inputs_schema)["required"] == ["question"]
    assert "faq" in programs.names()
    described = programs.describe("faq").value
    assert described.program == info
    assert described.source.instructions == "Be brief."
    reply = programs.run("faq", **json.loads(info.example))
    assert isinstance(reply.value["answer"], str)
    assert isinstance(reply.value["score"], float)
    assert (reply.receipt.program_version, reply.receipt.pool, reply.receipt.function) == (1, "llm", "faq")
    assert reply.receipt.reason == "created program"
    assert [one.calls for one in reply.receipt.usage] == [1]


def test_it_streams_and_answers_calls_like_any_function(programs):
    programs.create("echoes")
    events = programs.stream("echoes", question="why?")
    assert [event.WhichOneof("event") for event in events][-1] == "final"
    text = "".join(event.field_delta.text for event in events[:-1] if event.field_delta.field == "answer")
    assert text.strip() == json.loads(events[-1].final.outputs.json)["answer"]
    reply = programs.rpc.call("echoes", question="why?")
    assert isinstance(reply.value["answer"], str)
    assert reply.receipt.program_version == 1
    nested = programs.rpc.call("runs", program="echoes", question="why?")
    assert isinstance(nested.value["answer"], str)


def test_inputs_are_checked(programs):
    programs.create("strict", "question, n: int -> answer")
    refused = programs.run("strict", question="why?", n="three")
    assert refused.code is Code.INVALID_ARGUMENT
    assert list(refused.violations) == ["n"]


def test_what_a_definition_says_reaches_the_model(programs, provider):
    programs.create(
        "told",
        instructions="Answer in Dutch.",
        model="other",
        temperature=0.25,
        max_tokens=77,
        adapter=pb.PROMPT_ADAPTER_JSON,
        demos=[json.dumps({"question": "one plus one?", "answer": "twee"})],
    )
    assert programs.run("told", question="why?").code is Code.OK
    sent = provider.requests[-1].body
    assert (sent["model"], sent["temperature"], sent["max_completion_tokens"]) == ("other", 0.25, 77)
    assert "Answer in Dutch." in prompt(provider)
    assert "one plus one?" in prompt(provider)
    assert "Outputs will be a JSON object" in prompt(provider)


def test_a_request_may_name_another_model(programs, provider):
    programs.create("moves", model="other")
    assert programs.run("moves", question="why?", model="default").code is Code.OK
    assert provider.requests[-1].body["model"] == "test"


def test_an_update_serves_at_once_and_sessions_stay_where_they_began(programs, provider):
    programs.create("swapped", instructions="First words.")
    before = programs.run("swapped", session("old"), question="why?")
    updated = programs.update("swapped", "question, tone: str -> answer", instructions="Second words.", expected=1)
    assert updated.value.program.version == 2
    assert (updated.value.changes[0].field, updated.value.changes[0].breaking) == ("tone", True)
    assert programs.run("swapped", session("old"), question="why?").receipt.program_version == 1
    assert "First words." in prompt(provider)
    after = programs.run("swapped", session("new"), question="why?", tone="calm")
    assert after.receipt.program_version == 2
    assert "Second words." in prompt(provider)
    assert after.receipt.worker == before.receipt.worker, "no worker was replaced"
    assert programs.run("swapped", question="why?").code is Code.INVALID_ARGUMENT, "version 2 needs a tone"
    assert programs.run("swapped", version=1, question="why?").receipt.program_version == 1
    assert programs.stream("swapped", version=1, question="why?")[-1].HasField("final")
    assert programs.run("swapped", session("new"), version=1, question="why?").receipt.program_version == 1
    assert programs.run("swapped", session("new"), question="why?", tone="calm").receipt.program_version == 2


def test_a_running_call_ends_on_the_version_that_it_began_with(programs, provider):
    programs.create("long", instructions="First words.", model="slow")
    count = len(provider.requests)
    request = pb.RunRequest(program="long", inputs=Payload(json='{"question": "why?"}'))
    running = programs.rpc.channel.unary_unary("/bridge.v1.ProgramService/Run").future(
        request.SerializeToString(), timeout=20
    )
    provider.wait_for_requests(count + 1)
    programs.update("long", instructions="Second words.", model="slow")
    assert programs.delete("long").code is Code.OK
    assert pb.RunResponse.FromString(running.result()).outputs.json
    assert programs.run("long", question="why?").code is Code.NOT_FOUND


def test_versions_are_listed_rolled_back_and_recreated(programs):
    programs.create("many", instructions="1")
    programs.update("many", instructions="2")
    assert programs.update("many", instructions="2").value.program.version == 2, "nothing differs"
    programs.update("many", instructions="3")
    rolled = programs.serve("many", 1)
    assert rolled.value.program.version == 1
    assert programs.run("many", question="why?").receipt.program_version == 1
    listed = programs.versions("many").value
    assert [(one.version, one.source.instructions) for one in listed.versions] == [(1, "1"), (2, "2"), (3, "3")]
    assert listed.serving == 1
    assert programs.update("many", instructions="4").value.program.version == 4
    programs.delete("many")
    again = programs.create("many", "ask -> reply")
    assert again.value.program.version == 1
    assert set(programs.run("many", ask="why?").value) == {"reply"}, "not the deleted one"


def test_mistakes_are_named(programs):
    programs.create("there")
    cases = [
        (programs.create("there"), Code.ALREADY_EXISTS, "PROGRAM_EXISTS"),
        (programs.create("own"), Code.ALREADY_EXISTS, "PROGRAM_EXISTS"),
        (programs.create("bridge.echo"), Code.ALREADY_EXISTS, "PROGRAM_EXISTS"),
        (programs.create("a b"), Code.INVALID_ARGUMENT, "SCHEMA_MISMATCH"),
        (programs.create("bad", model="nowhere"), Code.INVALID_ARGUMENT, "SCHEMA_MISMATCH"),
        (programs.create("bad", module=pb.MODULE_KIND_CODE_ACT), Code.FAILED_PRECONDITION, "SANDBOX_UNAVAILABLE"),
        (programs.update("nowhere"), Code.NOT_FOUND, "UNKNOWN_PROGRAM"),
        (programs.update("own"), Code.NOT_FOUND, "UNKNOWN_PROGRAM"),
        (programs.update("there", expected=7), Code.ABORTED, "VERSION_CONFLICT"),
        (programs.serve("there", 7), Code.NOT_FOUND, "UNKNOWN_VERSION"),
        (programs.versions("nowhere"), Code.NOT_FOUND, "UNKNOWN_PROGRAM"),
        (programs.delete("nowhere"), Code.NOT_FOUND, "UNKNOWN_PROGRAM"),
        (programs.run("nowhere", question="why?"), Code.NOT_FOUND, "UNKNOWN_PROGRAM"),
        (programs.run("there", version=7, question="why?"), Code.NOT_FOUND, "UNKNOWN_VERSION"),
        (programs.run("own", version=1, question="why?"), Code.INVALID_ARGUMENT, "SCHEMA_MISMATCH"),
    ]
    assert [(code, reason) for _, code, reason in cases] == [(reply.code, reply.reason) for reply, _, _ in cases]
    assert "bad" not in programs.names()


def test_a_signature_that_can_not_be_used_is_shown_with_its_column(programs):
    refused = programs.create("wrong", "question -> answer: lst[str]")
    assert refused.code is Code.INVALID_ARGUMENT
    assert list(refused.violations) == ["source.signature"]
    assert "column 21" in refused.violations["source.signature"]
    check = "ProgramService/CheckSignature"
    source = pb.ProgramSource(signature="question -> answer: lst[str]")
    told = programs.rpc.unary(check, pb.CheckSignatureRequest(source=source), pb.CheckSignatureResponse).value
    assert (told.column, told.length, told.signature) == (21, 3, "")
    source = pb.ProgramSource(signature="q, n: int | None -> a: list[Literal['x', 'y']]")
    told = programs.rpc.unary(check, pb.CheckSignatureRequest(source=source), pb.CheckSignatureResponse).value
    assert told.error == ""
    assert json.loads(told.inputs_schema)["required"] == ["q"]


def test_there_can_not_be_more_than_is_allowed(programs):
    there = len([name for name in programs.names() if name != "own"])
    for number in range(20 - there):
        assert programs.create(f"one.{number}").code is Code.OK
    refused = programs.create("one-too-many")
    assert (refused.code, refused.reason) == (Code.RESOURCE_EXHAUSTED, "TOO_MANY_PROGRAMS")


def test_they_are_there_after_a_restart(start_server, client_of, connect_to_each, models, tmp_path):
    """And with several fronts, each of which sees what was done at another."""
    config = CONFIG.format(models=models(default="test"), directory=tmp_path / "kept")
    first = start_server("import dspy\nown = dspy.Predict('question -> answer')\n", config)
    one = client_of(first.address)
    one.create("kept", instructions="1")
    one.update("kept", instructions="2")
    one.create("gone")
    one.delete("gone")
    one.create("taken")
    first.terminate()
    with_fronts = config.replace("[server]", "[server]\nfronts = 2")
    second = start_server("import dspy\ntaken = own = dspy.Predict('question -> answer')\n", with_fronts)
    fronts = [type(one)(client) for client in connect_to_each(second.address).values()]
    assert len(fronts) == 2
    assert fronts[0].names() == ["kept", "own", "taken"]
    assert fronts[0].run("kept", question="why?").receipt.program_version == 2
    assert fronts[0].describe("taken").value.program.version == 0, "the app's own comes first"
    assert second.wait_for_log("'taken' is not served")
    assert fronts[0].update("kept", instructions="3").value.program.version == 3
    assert fronts[1].run("kept", question="why?").receipt.program_version == 3
    assert fronts[1].serve("kept", 1).value.program.version == 1
    assert fronts[0].run("kept", question="why?").receipt.program_version == 1

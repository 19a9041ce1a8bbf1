"""`bridge program create|update|delete|list|check` against a real server with the test model."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONFIG = """
[models.default]
model = "bridge/test"

[pools.general]
size = 0

[pools.embeddings]
size = 0

[pools.llm]
size = 1
"""


@pytest.fixture
def program(tmp_path, start_server):
    """`program(...)`: stdout of the command on a server of its own, which must end with `code`."""
    (tmp_path / "app.py").write_text('import dspy\n\ntriage = dspy.Predict("ticket -> queue")\n')
    server = start_server(tmp_path / "app.py", CONFIG)

    def run(*arguments, code=0, group=("program",)):
        done = subprocess.run(
            [sys.executable, "-m", "bridge.cli", *group, *arguments, "--address", server.address],
            cwd=tmp_path,
            env={**os.environ, "NO_COLOR": "1", "COLUMNS": "200", "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout if code == 0 else done.stdout + done.stderr

    run.folder = tmp_path
    return run


def test_a_program_from_its_creation_to_its_end(program):
    made = program("create", "faq", "question -> answer: float", "--module", "chain-of-thought", "--doc", "Answers")
    assert "faq: version 1 serves now" in made
    assert "answer: float" in made
    answer = json.loads(program("faq", "question=Why?", "--json", group=("call",)))["result"]
    assert set(answer) == {"reasoning", "answer"}
    changed = program("update", "faq", "question, notes: list[str] -> answer: float", "--expected-version", "1")
    assert "faq: version 2 serves now" in changed
    assert "breaks callers: notes" in changed
    assert "VERSION_CONFLICT" in program("update", "faq", "q -> a", "--expected-version", "1", code=1)
    listed = json.loads(program("list", "--json"))["programs"]
    assert {info["name"]: info["version"] for info in listed} == {"faq": 2, "triage": 0}
    table = program("list")
    assert "of the app" in table
    assert "deleted" in program("delete", "faq")
    assert "UNKNOWN_PROGRAM" in program("delete", "faq", code=1)
    assert [info["name"] for info in json.loads(program("list", "--json"))["programs"]] == ["triage"]


def test_a_source_out_of_a_file_over_which_flags_win(program):
    source = {"signature": "ticket -> queue", "module": "refine", "instructions": "Be quick."}
    source |= {"options": {"n": 2, "reward": "bridge.echo", "inner": "chain_of_thought"}}
    (program.folder / "source.json").write_text(json.dumps(source))
    (program.folder / "demos.json").write_text(json.dumps([{"ticket": "my card is lost", "queue": "cards"}]))
    flags = ("--module", "best_of_n", "--option", "n=3", "--demos", "demos.json", "--adapter", "json")
    program("create", "sorter", "--from", "source.json", *flags)
    (found,) = json.loads(program("versions", "sorter", "--json"))["versions"]
    assert (found["module"], found["signature"]) == ("best_of_n", "ticket: str -> queue: str")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("bad", "question -> answer: flot"), "flot"),
        (("bad", "q -> a", "--module", "predikt"), "MODULE_KIND_PREDIKT"),
        (("bad", "q -> a", "--option", "max_iters"), "KEY=VALUE"),
        (("bad", "q -> a", "--demos", "nothing.json"), "nothing.json"),
        (("bad", "--from", "list.json"), "expected a JSON object"),
        (("triage", "q -> a"), "PROGRAM_EXISTS"),
    ],
    ids=["signature", "module", "option", "no file", "no object", "taken"],
)
def test_what_can_not_be_made_is_refused_with_the_reason(program, arguments, told):
    (program.folder / "list.json").write_text("[]")
    code = 1 if told in ("flot", "PROGRAM_EXISTS") else 2
    assert told in program("create", *arguments, code=code)


def test_a_signature_is_checked_and_its_mistake_is_pointed_at(program):
    assert program("check", "question -> answer").strip() == "question: str -> answer: str"
    text, mark, told = program("check", "question -> answer: flot", code=1).splitlines()[:3]
    assert text[mark.index("^") : mark.rindex("^") + 1] == "flot"
    assert "flot" in told

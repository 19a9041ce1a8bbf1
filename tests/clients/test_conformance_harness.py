"""The harness of the conformance suite: runners that lie fail, and it says how; patterns see differences."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SUITE = ROOT / "clients/conformance"
sys.path.append(str(SUITE))

from harness import cases as reading  # noqa: E402
from harness import matchers  # noqa: E402
from harness.cases import BadCase, Case, Step  # noqa: E402
from harness.languages import Language, PrepareFailed  # noqa: E402
from harness.suite import Suite  # noqa: E402

RUNNER = """
import json, os, sys, time

kind = sys.argv[1]
for number, line in enumerate(sys.stdin):
    case = json.loads(line)
    good = {"case": case["case"], "steps": [{"value": 3, "elapsed_ms": 1} for _ in case["steps"]]}
    if number == 0 and kind == "harness":
        print(json.dumps({"harness": {"op": "harness", "do": case["steps"][0]["do"]}}), flush=True)
        answer = json.loads(sys.stdin.readline())
        good["steps"][0]["value"] = answer.get("error", "done")
    TELL
    print(json.dumps(good), flush=True)
"""
LIES = {
    "wrong value": 'good["steps"][0]["value"] = 4',
    "wrong type": 'good["steps"][0]["value"] = "3"',
    "boolean for a number": 'good["steps"][0]["value"] = True',
    "failed": 'good["steps"][0] = {"error": {"code": "INTERNAL", "reason": "R", "message": "m"}, "elapsed_ms": 1}',
    "missing step": 'good["steps"].pop()',
    "too many steps": 'good["steps"].append(good["steps"][0])',
    "steps that are none": 'good["steps"] = [3]',
    "no time": 'del good["steps"][0]["elapsed_ms"]',
    "another case": 'good["case"] = "other"',
    "garbage": 'print("Hello!", flush=True)',
    "no object": 'print("[1]", flush=True)',
    "end": 'print("my last words", file=sys.stderr, flush=True); os._exit(7)',
    "end after the first": "print(json.dumps(good), flush=True); os._exit(0)",
    "hang": "time.sleep(60)",
    "crash": 'good = {"case": case["case"], "crash": "Traceback: it broke"}',
    "skip": 'good = {"case": case["case"], "skip": "no streams here"}',
}
TOLD = {
    "wrong value": "step 0 (call): value: expected 3, got 4",
    "wrong type": "step 0 (call): value: expected 3, got '3'",
    "boolean for a number": "step 0 (call): value: expected 3, got True",
    "failed": "it failed with INTERNAL R: m",
    "missing step": "expected 2 results, one per step, got 1",
    "too many steps": "expected 2 results, one per step, got 3",
    "steps that are none": "expected a list of results",
    "no time": "expected elapsed_ms",
    "another case": "got one to 'other'",
    "garbage": "expected a line with a JSON object on standard output, got 'Hello!'",
    "no object": "expected a line with a JSON object on standard output, got '[1]'",
    "end": "it has ended in the middle of a case (it ended with status 7); it wrote to stderr:\nmy last words",
    "hang": "no answer within 1 s",
    "crash": "the runner crashed: Traceback: it broke",
    "skip": "the runner skips it, and the case does not say so: no streams here",
}


@pytest.fixture
def language(tmp_path):
    """`language(kind)`: one whose runner lies in that way, about its first case only."""

    def made(kind, tell="pass"):
        script = tmp_path / "runner.py"
        body = f"if number == 0:\n        {tell}"
        script.write_text(textwrap.dedent(RUNNER).replace("TELL", body))
        command = [sys.executable, str(script), kind]
        return Language(name="liar", folder=tmp_path, command=command, readme=tmp_path / "README.md")

    return made


@pytest.fixture
def suite(monkeypatch):
    monkeypatch.setattr("harness.suite.FIRST_S", 0.0)
    with Suite() as opened:
        yield opened


def case(*steps, name="unary/x", timeout_s=20.0, **fields):
    made = steps or ({"op": "call"}, {"op": "call"})
    expect = {"value": 3}
    return Case(
        name=name,
        about="",
        profile="mirror",
        steps=tuple(Step(message=message, expect=expect) for message in made),
        timeout_s=timeout_s,
        **fields,
    )


@pytest.mark.parametrize("kind", TOLD)
def test_a_runner_that_lies_fails_its_case_and_no_other(kind, language, suite):
    found = language(kind, LIES[kind])
    first = suite.run(case(timeout_s=1.0 if kind == "hang" else 20.0), found)
    assert first.kind == "failed"
    assert TOLD[kind] in first.detail
    # the next one is made by the same runner where it is still of use, else by a new one, which lies as well
    if kind in {"wrong value", "wrong type", "boolean for a number", "failed", "crash", "skip", "no time"}:
        assert suite.run(case(name="unary/y"), found).kind == "passed"
    else:
        assert TOLD[kind] in suite.run(case(timeout_s=1.0 if kind == "hang" else 20.0), found).detail


def test_an_honest_runner_passes(language, suite):
    assert suite.run(case(), language("honest")).kind == "passed"


def test_a_runner_that_ends_between_cases_is_seen(language, suite):
    found = language("end after the first", LIES["end after the first"])
    assert suite.run(case(), found).kind == "passed"
    assert suite.run(case(name="unary/y"), found).kind == "failed"


def test_a_language_whose_runners_fail_again_and_again_is_given_up(language, suite):
    found = language("end", LIES["end"])
    details = [suite.run(case(), found).detail for _ in range(4)]
    assert ["it has ended" in detail for detail in details] == [True, True, True, False]
    assert "3 runners have failed one after the other" in details[3]


def test_what_the_harness_can_not_do_is_told_to_the_runner(language, suite):
    outcome = suite.run(case({"op": "harness", "do": "kill_server"}), language("harness"))
    assert "the mirror can not do 'kill_server'" in outcome.detail


def test_a_runner_that_can_not_be_started(tmp_path, suite):
    found = Language(name="none", folder=tmp_path, command=["no-such-command-here"], readme=tmp_path)
    assert "can not be started" in suite.run(case(), found).detail


def test_what_does_not_apply_is_not_sent(language, suite):
    outcome = suite.run(case(not_for={"liar": "it has no threads"}), language("hang", LIES["hang"]))
    assert (outcome.kind, outcome.detail) == ("not_for", "it has no threads")


def test_an_error_that_is_not_expected_fails_a_step_without_expectation(language, suite):
    steps = (Step(message={"op": "call"}, expect=None),)
    told = Case(name="unary/x", about="", profile="mirror", steps=steps)
    assert "expected no error" in suite.run(told, language("failed", LIES["failed"])).detail


def making(tmp_path, *commands, needs=()):
    """A language whose runner is made by these commands."""
    (tmp_path / "runners").mkdir()
    made = [[sys.executable, "-c", command] for command in commands]
    return Language(name="made", folder=tmp_path, command=["true"], needs=list(needs), prepare=made, readme=tmp_path)


def test_what_is_missing_is_told(tmp_path):
    assert making(tmp_path, needs=["no-such-command"]).missing() == "the command no-such-command is not installed"


def test_what_makes_a_runner_may_say_that_something_is_missing(tmp_path):
    told = making(tmp_path, "pass", "import sys; print('looked'); print('a compiler'); sys.exit(3)").missing()
    assert told == "a compiler"


def test_a_runner_that_can_not_be_made_is_no_missing_one(tmp_path):
    with pytest.raises(PrepareFailed, match="status 1:\nno such type"):
        making(tmp_path, "import sys; sys.exit('no such type')").missing()


def test_a_language_without_a_runner_is_missing():
    folder = SUITE / "no-such-folder"
    language = Language(name="none", folder=folder, command=["true"], readme=SUITE)
    assert language.missing() == "clients/conformance/no-such-folder has no runner"


FITS = [
    (1, 1.0),
    ({"a": {"$any": True}}, {"a": None}),
    ({"$type": "integer"}, 5),
    ({"$matches": "^a.c$"}, "abc"),
    ({"$contains": {"$subset": {"n": 1}}}, [0, {"n": 1, "m": 2}]),
    ({"$contains": "b"}, "abc"),
    ({"$between": [1, 2]}, 1.5),
    ({"$close": 0.1}, 0.1000000001),
    ({"$subset": {"a": 1}}, {"a": 1, "b": 2}),
    ({"$length": {"$at_least": 2}}, [1, 2]),
    ({"$each": {"$type": "text"}}, ["a"]),
    ({"$not": {"$type": "text"}}, 1),
    ({"$all": [{"$at_least": 1}, {"$at_most": 3}]}, 2),
    ({"$one_of": [1, "one"]}, "one"),
    ({"$same_as": [0, "value", "id"]}, "s-1"),
    ({"$int": "1"}, {"$int": "1"}),
    ({"$tensor": {"dtype": "FP32"}}, {"$tensor": {"dtype": "FP32"}}),
]
DIFFERS = [
    (1, 2),
    (1, True),
    (True, 1),
    (0, None),
    ("1", 1),
    ([1], [1, 2]),
    ([1, 2], [2, 1]),
    ({"a": 1}, {"a": 1, "b": 2}),
    ({"a": 1}, {}),
    ({"$type": "integer"}, True),
    ({"$type": "integer"}, 1.5),
    ({"$type": "number"}, "1"),
    ({"$matches": "^a"}, "ba"),
    ({"$matches": "1"}, 1),
    ({"$contains": 4}, [1, 2]),
    ({"$contains": "x"}, None),
    ({"$at_least": 2}, 1),
    ({"$at_most": 2}, 3),
    ({"$between": [1, 2]}, 2.5),
    ({"$close": 0.1}, 0.11),
    ({"$subset": {"a": 1}}, {"b": 2}),
    ({"$length": 1}, [1, 2]),
    ({"$each": {"$type": "text"}}, ["a", 1]),
    ({"$not": 1}, 1),
    ({"$all": [{"$at_least": 1}, {"$at_most": 3}]}, 4),
    ({"$one_of": [1, 2]}, 3),
    ({"$same_as": [0, "value", "id"]}, "s-2"),
    ({"$same_as": [1, "value"]}, "s-1"),
    ({"$int": "1"}, 1),
    ({"$float": "NaN"}, {"$float": "Infinity"}),
]
EARLIER = [{"value": {"id": "s-1"}}]


@pytest.mark.parametrize(("pattern", "value"), FITS)
def test_patterns_fit(pattern, value):
    assert matchers.mismatch(pattern, value, EARLIER) is None


@pytest.mark.parametrize(("pattern", "value"), DIFFERS)
def test_patterns_see_differences(pattern, value):
    assert matchers.mismatch(pattern, value, EARLIER)


def test_a_difference_says_where_it_is():
    told = matchers.mismatch({"a": [{"b": 1}]}, {"a": [{"b": 2}]})
    assert told == "a[0].b: expected 1, got 2"


@pytest.mark.parametrize("pattern", [{"$contian": 1}, {"$between": 3}, {"$matches": "("}, {"$type": "number of"}])
def test_patterns_that_are_none_are_refused(pattern):
    with pytest.raises(matchers.BadPattern):
        matchers.mismatch(pattern, 1 if "$between" in pattern else "x")


GOOD = """
family: x
cases:
  - name: a
    about: something
    steps: [{op: call, function: add}]
"""


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("family: y\ncases: []", "family must be the file's name"),
        (GOOD.replace("op: call", "op: cal"), "op must be one of"),
        (GOOD.replace("function: add", "funtion: add"), "unknown fields ['funtion'] of call"),
        (GOOD.replace("about: something", "abuot: something"), "unknown fields ['abuot']"),
        (GOOD.replace("about: something", "about: a\n    profile: none"), "profile must be one of"),
        (GOOD + GOOD.split("cases:\n")[1], "more than once"),
        (GOOD.replace("about: something", "about: a\n    not_for: {go: no}"), "not_for needs reasons"),
        ("family: [", "x.yaml"),
    ],
)
def test_cases_that_can_not_be_read_say_where(text, told, tmp_path):
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(BadCase) as raised:
        reading.load(tmp_path)
    assert told in str(raised.value)


def test_texts_are_filled_in():
    assert reading.fill({"a": ["x-${run}"], "n": 1}, {"run": "7"}) == {"a": ["x-7"], "n": 1}
    with pytest.raises(BadCase, match="nothing"):
        reading.fill("${nothing}", {"run": "7"})


def run(*arguments):
    command = [sys.executable, str(SUITE / "run.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)


def test_the_command_tells_by_its_status(tmp_path, language):
    told = tmp_path / "told.json"
    one = ["--language", "python", "--case", "wire/no-receipt", "--json", str(told)]
    good = run(*one)
    assert good.returncode == 0, good.stdout + good.stderr
    assert "1/1" in good.stdout
    liar = " ".join(language("crash", LIES["crash"]).command)
    bad = run(*one, "--runner", f"python={liar}")
    assert bad.returncode == 1
    assert "Traceback: it broke" in bad.stdout
    outcome = json.loads(told.read_text())["languages"]["python"]["cases"]["wire/no-receipt"]
    assert (outcome["outcome"], "it broke" in outcome["detail"]) == ("failed", True)


@pytest.mark.parametrize("wrong", [["--language", "cobol"], ["--case", "no/such"], ["--runner", "go"]])
def test_wrong_usage_of_the_command(wrong):
    done = run(*wrong, "--list")
    assert (done.returncode, bool(done.stderr)) == (2, True)

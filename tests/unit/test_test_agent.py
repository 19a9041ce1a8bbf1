"""The test model as an agent: it follows the script of a prompt."""

from handlers.models import test_agent

SYSTEM = "\n".join(
    [
        "(1) look_up, whose description is <desc>Looks.</desc>. It takes arguments {'text': {'type': 'string'}}.",
        "(2) finish, whose description is <desc>Ends.</desc>. It takes arguments {}.",
    ]
)


def test_a_script_is_followed_line_by_line():
    script = 'Do.\ncall look_up {"text": "a"}\n  call store\n'
    assert test_agent.step(SYSTEM, script) == {"next_tool_name": "look_up", "next_tool_args": {"text": "a"}}
    seen = f"{script}\n[[ ## observation_0 ## ]]\nblue\n\n[[ ## thought_1 ## ]]\nhm"
    assert test_agent.step(SYSTEM, seen) == {"next_tool_name": "store", "next_tool_args": {}}
    seen += "\n\n[[ ## observation_1 ## ]]\nkept\n"
    assert test_agent.step(SYSTEM, seen)["next_tool_name"] == "finish"
    assert test_agent.observed(seen) == "blue; kept"


def test_without_a_script_the_first_tool_is_called_once():
    step = test_agent.step(SYSTEM, "What?")
    assert step["next_tool_name"] == "look_up"
    assert isinstance(step["next_tool_args"]["text"], str)
    assert test_agent.step(SYSTEM, "What?\n[[ ## observation_0 ## ]]\nx")["next_tool_name"] == "finish"
    assert test_agent.observed("What?\n[[ ## observation_0 ## ]]\nx") == ""


def test_arguments_that_are_no_json_are_none():
    assert test_agent.step(SYSTEM, "call look_up {nonsense}")["next_tool_args"] == {}

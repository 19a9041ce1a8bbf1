"""Agents that are given tools for a run: their own stay, what an optimiser wrote stays, the original is as it was."""

import dspy
import pytest

from handlers.errors import BadInput
from handlers.programs.tools import Equipment, ServedTool, equipped
from handlers.tools_wire import ToolSpec

SCHEMA = (
    '{"type": "object", "properties": {"text": {"type": "string"}, "most": {"type": "integer"}}, "required": ["text"]}'
)


def spec(name="look_up", **settings):
    return ToolSpec("hosted", name, f"Does {name}.", SCHEMA, target="th-1", **settings)


def price(item: str) -> int:
    """Tell a price."""
    return 3


def test_an_agent_gets_tools_beside_its_own_and_the_original_does_not_change():
    agent = dspy.ReAct("question -> answer", tools=[price])
    before = agent.react.signature.instructions
    copy = equipped(agent, [(spec(),)])
    assert list(copy.tools) == ["price", "look_up", "finish"]
    assert list(agent.tools) == ["price", "finish"]
    assert agent.react.signature.instructions == before
    made = dspy.ReAct("question -> answer", tools=[price, ServedTool(spec())]).react.signature
    assert copy.react.signature.instructions == made.instructions
    assert (
        copy.react.signature.output_fields["next_tool_name"].annotation
        == made.output_fields["next_tool_name"].annotation
    )


def test_what_an_optimiser_has_written_stays():
    agent = dspy.ReAct("question -> answer", tools=[price])
    agent.react.signature = agent.react.signature.with_instructions("Be brief.")
    agent.react.demos = [dspy.Example(question="a", trajectory="b")]
    copy = equipped(agent, [(spec(),)])
    told = copy.react.signature.instructions
    assert told.startswith("Be brief.\nThese are tools as well:\n(3) look_up, whose description is")
    assert [demo.question for demo in copy.react.demos] == ["a"]


def test_agents_of_the_second_kind_get_tools_too():
    agent = dspy.ReActV2("question -> answer", tools=[price])
    copy = equipped(agent, [(spec(),)])
    assert list(copy.tools) == ["price", "look_up", "submit"]
    assert "`look_up`" in copy.react.signature.instructions


def test_agents_inside_of_a_program_get_theirs():
    class Two(dspy.Module):
        def __init__(self):
            super().__init__()
            self.first = dspy.ReAct("question -> answer", tools=[])
            self.second = dspy.ReAct("question -> answer", tools=[])

    copy = equipped(Two(), [(spec("one"),), (spec("two"),)])
    assert (list(copy.first.tools), list(copy.second.tools)) == (["one", "finish"], ["two", "finish"])


def test_a_tool_can_not_take_the_place_of_the_programs_own():
    agent = dspy.ReAct("question -> answer", tools=[price])
    with pytest.raises(BadInput, match="a tool 'price' of its own"):
        equipped(agent, [(spec("price"),)])


def test_a_tool_is_described_by_its_schema():
    tool = ServedTool(spec())
    assert tool.args == {"text": {"type": "string"}, "most": {"type": "integer", "description": "(optional)"}}
    function = tool.format_as_litellm_function_call()["function"]
    assert function["parameters"]["required"] == ["text"]
    assert "is required" in tool(most=1), "wrong arguments are told to the model, whatever runs the tool"


async def test_programs_without_agents_and_runs_without_tools_cost_nothing():
    program = dspy.Predict("question -> answer")
    assert not Equipment(program).is_needed
    agent = dspy.ReAct("question -> answer", tools=[])
    assert not Equipment(agent).is_needed
    agent.server_tools = ["function:add"]
    assert Equipment(agent).is_needed

"""The built-in test model as an agent that calls tools: by a script in the prompt, else the first tool once.

A prompt is a script where lines of it read `call NAME {"argument": 1}`: each is one step, then the agent finishes, and
its texts quote what it has observed. So a test says in its question which tools are called, and sees their results in
the answer. Pure text in, values out.
"""

from __future__ import annotations

import ast
import json
import re
from typing import Any

from handlers.models import json_values

LAST_STEPS = ("submit", "finish")
_TOOL_LINE = re.compile(
    r"^\s*\((\d+)\) ([\w-]+), whose description is .*? It takes arguments (\{.*\})\.$", re.MULTILINE
)
_PLAIN_TOOL_LINE = re.compile(r"^\s*\((\d+)\) ([\w-]+)\.  ?It takes arguments (\{.*\})\.$", re.MULTILINE)
_STEP = re.compile(r"^[ \t]*call ([\w-]+)[ \t]*(\{.*\})?[ \t]*$", re.MULTILINE)
_OBSERVED = re.compile(r"observation_\d+(?: ## \]\]|>)\s*(.*?)\s*(?=\[\[ ## |</observation_|\Z)", re.DOTALL)


def step(system: str, question: str) -> dict[str, Any]:
    """Return the next step of a ReAct agent: the name of a tool and its arguments."""
    done = len(_OBSERVED.findall(question))
    if script := _STEP.findall(question):
        if done >= len(script):
            return {"next_tool_name": "finish", "next_tool_args": {}}
        name, arguments = script[done]
        return {"next_tool_name": name, "next_tool_args": _object(arguments)}
    tools = {match[2]: match[3] for line in (_TOOL_LINE, _PLAIN_TOOL_LINE) for match in line.finditer(system)}
    name = next((name for name in tools if name not in LAST_STEPS), None)
    if name is None or done:
        return {"next_tool_name": "finish", "next_tool_args": {}}
    schema = {"type": "object", "properties": _literal(tools[name])}
    return {"next_tool_name": name, "next_tool_args": json_values.from_schema(schema, question)}


def observed(question: str) -> str:
    """Return what a scripted agent has observed, for its answers to quote; empty where there is no script."""
    return "; ".join(_OBSERVED.findall(question)) if _STEP.search(question) else ""


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return {}

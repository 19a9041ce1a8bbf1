"""What the catalogue says of a created program, from its definition alone: schemas, notation, module. Without dspy.

The front publishes it; the worker checks calls against types made from the same definition.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec

from handlers.contract import FunctionSpec, ProgramDetails
from handlers.schemas import examples
from handlers.signatures import json_schema
from handlers.signatures.field_types import ScalarType
from handlers.signatures.spec import SignatureField

if TYPE_CHECKING:
    from handlers.programs.definitions import ProgramDefinition

MODULES = {
    "predict": "Predict",
    "chain_of_thought": "ChainOfThought",
    "react": "ReAct",
    "program_of_thought": "ProgramOfThought",
    "code_act": "CodeAct",
    "best_of_n": "BestOfN",
    "refine": "Refine",
    "multi_chain_comparison": "MultiChainComparison",
    "parallel": "Parallel",
    "knn_few_shot": "KNNFewShot",
    "rlm": "RLM",
}
"""The kinds by the names that DSPy has for them."""

REASONING = SignatureField(name="reasoning", type=ScalarType("str"), description="How the model came to its answer.")
_ERRORS: dict[str, Any] = {
    "type": "array",
    "description": "The items that failed, each by its place in `items`, and why.",
    "items": {
        "type": "object",
        "properties": {"index": {"type": "integer"}, "error": {"type": "string"}},
        "required": ["index", "error"],
    },
}


def output_fields(definition: ProgramDefinition) -> tuple[SignatureField, ...]:
    """Return what one answer has: the signature's outputs, before them how the model reasoned where the kind says."""
    outputs = definition.signature.outputs
    thinks = "chain_of_thought" in (definition.kind, definition.options.inner)
    return outputs if not thinks or any(one.name == REASONING.name for one in outputs) else (REASONING, *outputs)


def schemas(definition: ProgramDefinition) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the JSON Schemas of what the program takes and gives."""
    inputs = json_schema.of_fields(definition.signature.inputs)
    outputs = json_schema.of_fields(output_fields(definition))
    outputs["required"] = list(outputs["properties"])
    if definition.kind != "parallel":
        return inputs, outputs
    items = {"type": "array", "items": _without_definitions(inputs)}
    one_or_none = {"anyOf": [_without_definitions(outputs), {"type": "null"}]}
    results = {"type": "array", "items": one_or_none, "description": "In the order of `items`; null where one failed."}
    return (
        _object({"items": items}, inputs.get("$defs")),
        _object({"results": results, "errors": _ERRORS}, outputs.get("$defs")),
    )


def spec_of(definition: ProgramDefinition, pool: str) -> FunctionSpec:
    """Return the program's entry in the catalogue."""
    inputs, outputs = schemas(definition)
    return FunctionSpec(
        name=definition.name,
        kind="program",
        doc=definition.doc or definition.signature.instructions,
        pool=pool,
        is_async=True,
        arguments_schema=_text(inputs),
        result_schema=_text(outputs),
        example=json.dumps(examples.example_of(inputs), ensure_ascii=False),
        program=ProgramDetails(
            signature=str(definition.signature), module=MODULES[definition.kind], version=definition.version
        ),
    )


def _object(properties: dict[str, Any], definitions: dict[str, Any] | None) -> dict[str, Any]:
    whole = {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
    return whole | ({"$defs": definitions} if definitions else {})


def _without_definitions(schema: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in schema.items() if key != "$defs"}


def _text(schema: dict[str, Any]) -> str:
    return msgspec.json.encode(schema).decode()

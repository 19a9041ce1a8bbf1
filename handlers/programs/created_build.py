"""Makes the handler of a created program: its module, its typed interface, its model and adapter.

Owns the language models of created programs in this process. Imports dspy, and turns its response cache off as
`discovery` does, for the same reason.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any, NotRequired, cast

import dspy
import pydantic
from typing_extensions import TypedDict

from handlers.programs import sandboxed
from handlers.programs.created_schemas import output_fields, spec_of
from handlers.programs.created_services import WorkerServices
from handlers.programs.created_tools import give_tools, with_tools
from handlers.programs.definitions import CODE_KINDS
from handlers.programs.handler import ProgramHandler
from handlers.programs.interface import Interface
from handlers.programs.kinds import build, signature_of
from handlers.programs.lm import DEFAULT, LanguageModels
from handlers.programs.media import on_the_wire
from handlers.programs.outputs import Outputs
from handlers.programs.signatures import field_types, input_fields
from handlers.schema import ArgumentsSchema, Field

if TYPE_CHECKING:
    from collections.abc import Callable

    from handlers.contract import EntryOptions
    from handlers.programs.definitions import ProgramDefinition


class Builder:
    """Builds the created programs of one worker."""

    def __init__(self, options: EntryOptions) -> None:
        dspy.configure_cache(enable_disk_cache=False, enable_memory_cache=False)
        self._options = options
        self._models = LanguageModels(options.models)

    async def open(self, definition: ProgramDefinition) -> ProgramHandler:
        """Build a program. Raises HandlerError where a model, a tool or a sandbox is missing."""
        sandboxes = await self._sandboxes() if definition.kind in CODE_KINDS else None
        named, tools = await with_tools(definition)
        module = build(named, WorkerServices(tools, sandboxes))
        give_tools(module, definition)
        if definition.model:
            module.set_lm(self._models.get(definition.model))
        spec = spec_of(definition, self._options.pool)
        settings = self._settings(definition)
        return ProgramHandler(spec, module, interface_of(definition), self._models, settings)

    async def _sandboxes(self) -> Callable[[], Any] | None:
        """Return what makes sandboxes; None where no code may run. Raises SANDBOX_UNAVAILABLE."""
        if self._options.created is None or not self._options.created.allow_code:
            return None
        return await asyncio.to_thread(sandboxed.find)

    def _settings(self, definition: ProgramDefinition) -> dict[str, Any]:
        """Return the DSPy settings of the program's calls."""
        match definition.adapter:
            case "":
                return {}
            case "chat":
                return {"adapter": dspy.ChatAdapter()}
            case "json":
                return {"adapter": dspy.JSONAdapter()}
            case "xml":
                return {"adapter": dspy.XMLAdapter()}
        extraction = self._models.get(definition.model or DEFAULT)
        return {"adapter": dspy.TwoStepAdapter(extraction)}


def interface_of(definition: ProgramDefinition) -> Interface:
    """Return what the program takes and gives."""
    name = definition.name
    signature = signature_of(definition.signature, name)
    inputs, outputs = on_the_wire(input_fields(signature)), field_types(signature.output_fields)
    for field in output_fields(definition):
        if field.name not in outputs:
            outputs = {field.name: str, **outputs}
    given = Outputs.of_types(name, outputs)
    if definition.kind == "parallel":
        inputs = {"items": Field(annotation=_list_of(_item(inputs)))}
        given = Outputs.of_types(name, {"results": _list_of(_result(outputs) | None), "errors": list[dict[str, Any]]})
    return Interface(
        inputs=ArgumentsSchema.of_fields(name, inputs),
        outputs=given,
        notation=str(definition.signature),
        doc=definition.doc or definition.signature.instructions,
    )


def _list_of(kind: Any) -> Any:
    return list.__class_getitem__(kind)


def _item(fields: dict[str, Field]) -> Any:
    """Return the type of one of many inputs. DSPy fills in what a field that is not required lacks."""
    make, may_lack = cast("Any", TypedDict), cast("Any", NotRequired)
    types = {
        name: field.annotation if field.default is ... else may_lack[field.annotation] for name, field in fields.items()
    }
    shape = make("Item", types)
    shape.__pydantic_config__ = pydantic.ConfigDict(extra="forbid")
    return shape


def _result(types: dict[str, Any]) -> Any:
    make: Any = TypedDict
    return Annotated[make("Result", types), pydantic.BeforeValidator(lambda given: _only(given, types))]


def _only(given: Any, types: dict[str, Any]) -> Any:
    return {name: value for name, value in given.items() if name in types} if isinstance(given, dict) else given

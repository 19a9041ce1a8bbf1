"""Finds the DSPy programs of an app and makes their handlers.

Imports dspy, so it may only be called for an app that has imported it itself. Turns DSPy's response cache off for the
process: its key holds neither the provider's key nor its address, so one tenant would get another's answers.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import dspy

from handlers import names
from handlers.contract import EntryOptions, FunctionSpec, Handler, ProgramDetails
from handlers.loading import LoadFailed
from handlers.programs.handler import ProgramHandler
from handlers.programs.interface import interface_of
from handlers.programs.lm import LanguageModels
from handlers.programs.lm_boundary import watch_every_model
from handlers.schemas.wire_types import UnsupportedType

if TYPE_CHECKING:
    import types


def discover_programs(module: types.ModuleType, module_name: str, options: EntryOptions) -> list[Handler]:
    """Return a handler for each program of the module, in the order of definition.

    Programs are the public `dspy.Module` objects of the module, and the public subclasses of `dspy.Module` that it
    defines, can be made without arguments, and has no object of; those are made once and served by the class's name.
    Public is what `__all__` lists where there is one, else every name without a leading underscore. Raises LoadFailed
    for a program that can not be served.
    """
    programs = find_programs(module)
    if not programs:
        return []
    dspy.configure_cache(enable_disk_cache=False, enable_memory_cache=False)
    models = LanguageModels(options.models)
    versions = _restore(programs, module, options, models) if options.artefacts else {}
    if options.replay is not None:
        watch_every_model()
    return [_handler(name, program, module_name, models, versions.get(name, 0)) for name, program in programs.items()]


def find_programs(module: types.ModuleType) -> dict[str, Any]:
    """Return the programs of a module by name; see `discover_programs`."""
    programs = _objects(module)
    taken = {type(program) for program in programs.values()}
    return programs | {name: cls() for name, cls in _classes(module).items() if cls not in taken}


def _restore(
    programs: dict[str, Any], module: types.ModuleType, options: EntryOptions, models: LanguageModels
) -> dict[str, int]:
    """Give each program the saved version of it that serves; return the versions."""
    from handlers.programs.artefacts.record import ArtefactError
    from handlers.programs.artefacts.saving import restored

    versions = {}
    for name, program in programs.items():
        try:
            versions[name] = restored(name, program, module, options, models)
        except ArtefactError as error:
            raise LoadFailed(f"The saved version of the program {name!r} can not be loaded: {error}") from None
    return versions


def _objects(module: types.ModuleType) -> dict[str, Any]:
    return {name: value for name, value in _public(module) if isinstance(value, dspy.Module)}


def _classes(module: types.ModuleType) -> dict[str, type]:
    return {
        name: value
        for name, value in _public(module)
        if inspect.isclass(value)
        and issubclass(value, dspy.Module)
        and value.__module__ == module.__name__
        and _needs_nothing(value)
    }


def _public(module: types.ModuleType) -> list[tuple[str, Any]]:
    listed = getattr(module, "__all__", None)
    members = list(vars(module).items())
    if listed is not None:
        return [(name, value) for name, value in members if name in listed]
    return [(name, value) for name, value in members if not name.startswith("_")]


def _needs_nothing(cls: type) -> bool:
    """Whether the class has a forward and can be made without arguments."""
    if inspect.isabstract(cls) or not (hasattr(cls, "forward") or hasattr(cls, "aforward")):
        return False
    optional = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    parameters = list(inspect.signature(cls.__init__).parameters.values())[1:]  # type: ignore[misc]
    return all(one.default is not inspect.Parameter.empty or one.kind in optional for one in parameters)


def _handler(name: str, program: Any, module_name: str, models: LanguageModels, version: int) -> Handler:
    try:
        names.check(name)
        interface = interface_of(name, program)
    except (UnsupportedType, ValueError) as error:
        raise LoadFailed(f"The program {name!r:.140} of {module_name} can not be served: {error}") from error
    spec = FunctionSpec(
        name=name,
        kind="program",
        doc=interface.doc,
        is_async=True,
        arguments_schema=interface.inputs.json_schema,
        result_schema=interface.outputs.json_schema,
        example=interface.inputs.example,
        module=module_name,
        program=ProgramDetails(signature=interface.notation, module=type(program).__name__, artefact=version),
    )
    return ProgramHandler(spec, program, interface, models)

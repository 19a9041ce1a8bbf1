"""The typed interface of a program: what it takes and gives, from its signature or its annotations.

The rule. A module of DSPy's own (Predict, ChainOfThought, ReAct, ...): its signature, exactly; one that wraps another
module: that one's. A module of the app, from the `forward` (or `aforward`) that will run: each parameter by its
annotation, else by the field of that name on which all predictors agree, else anything; a `forward` with only
`**kwargs` by the program's only predictor, else an open object. Its outputs: by the return annotation where that says
more than `dspy.Prediction`, a value that is no object as `{"result": value}`; else by the program's only predictor,
as a hint that nothing is refused for; else an open object. Owns no state; imports dspy.
"""

from __future__ import annotations

import dataclasses
import inspect
import logging
import typing
from dataclasses import dataclass
from typing import Any

import dspy
from pydantic import BaseModel

from handlers.programs.media import on_the_wire
from handlers.programs.outputs import OBJECT, Outputs
from handlers.programs.running import runs_async
from handlers.programs.signatures import field_types, input_fields, notation
from handlers.schema import ArgumentsSchema, Field

if typing.TYPE_CHECKING:
    from collections.abc import Mapping

    from handlers.codec import Form

_LOG = logging.getLogger(__name__)

_PRIVILEGED = frozenset({"config", "demos", "lm", "new_signature", "signature"})
"""What dspy.Predict takes as orders, not as inputs: `config` reaches the model's connection. Not a caller's to set."""


class OpenInputs:
    """Inputs that nothing is known about: any object."""

    json_schema = OBJECT
    example = "{}"

    def validate(self, arguments: Mapping[str, Any], form: Form) -> dict[str, Any]:
        """Return the arguments without what would be orders to DSPy."""
        return {name: value for name, value in arguments.items() if name not in _PRIVILEGED and name[:1] != "_"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """What a program takes and gives."""

    inputs: ArgumentsSchema | OpenInputs
    outputs: Outputs
    notation: str
    doc: str


def interface_of(name: str, program: Any) -> Interface:
    """Derive a program's interface. Raises ValueError where it can not be served safely."""
    signature = _own_signature(program)
    if signature is not None:
        _refuse_privileged(name, signature.input_fields)
        return Interface(
            inputs=ArgumentsSchema.of_fields(name, on_the_wire(input_fields(signature))),
            outputs=Outputs.of_types(name, field_types(signature.output_fields)),
            notation=notation(field_types(signature.input_fields), field_types(signature.output_fields)),
            doc=inspect.cleandoc(signature.instructions or ""),
        )
    return _interface_of_forward(name, program)


def _own_signature(program: Any) -> Any | None:
    """Return the signature that binds the program; None where the app's code has the say."""
    if not _definer(type(program), _entry_name(program)).__module__.startswith("dspy."):
        return None
    signature = getattr(program, "signature", None)
    if inspect.isclass(signature) and issubclass(signature, dspy.Signature):
        return signature
    if isinstance(getattr(program, "module", None), dspy.Module):
        return _own_signature(program.module)
    return _only_signature(program)


def _interface_of_forward(name: str, program: Any) -> Interface:
    while not isinstance(program, dspy.Predict) and _wraps(program):
        program = program.module
    forward = getattr(type(program), _entry_name(program))
    hints = _hints(forward)
    inputs = _inputs_of_forward(program, forward, hints)
    if inputs:
        _refuse_privileged(name, inputs)
    given = _return_type(hints)
    guess = _only_signature(program)
    types = field_types(guess.output_fields) if guess is not None else {}
    if given is None:
        outputs = Outputs.of_types(name, types, closed=False)
    elif _is_object(given):
        outputs = Outputs.of_object(given)
    else:
        outputs = Outputs.of_types(name, {"result": given}, wraps=True)
    shown = types if given is None else _fields_of_object(given)
    return Interface(
        inputs=OpenInputs() if inputs is None else ArgumentsSchema.of_fields(name, on_the_wire(inputs)),
        outputs=outputs,
        notation=notation({key: field.annotation for key, field in (inputs or {}).items()}, shown),
        doc=_doc(program, guess),
    )


def _wraps(program: Any) -> bool:
    definer = _definer(type(program), _entry_name(program))
    return definer.__module__.startswith("dspy.") and isinstance(getattr(program, "module", None), dspy.Module)


def _inputs_of_forward(program: Any, forward: Any, hints: dict[str, Any]) -> dict[str, Field] | None:
    """Return the fields, or None for an open object."""
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    parameters = list(inspect.signature(forward).parameters.values())
    named = [parameter for parameter in parameters[1:] if parameter.kind in kinds]
    if not named:
        if not any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters):
            return {}
        only = _only_signature(program)
        return None if only is None else input_fields(only)
    known = [input_fields(predictor.signature) for predictor in program.predictors()]
    fields = {}
    for parameter in named:
        guess = _agreed(parameter.name, known)
        annotation = hints.get(parameter.name, guess.annotation)
        default = ... if parameter.default is inspect.Parameter.empty else parameter.default
        fields[parameter.name] = Field(annotation=annotation, default=default, description=guess.description)
    return fields


def _agreed(name: str, known: list[dict[str, Field]]) -> Field:
    found = [fields[name] for fields in known if name in fields]
    agree = bool(found) and all(field.annotation == found[0].annotation for field in found)
    return found[0] if agree else Field(annotation=Any)


def _is_object(given: Any) -> bool:
    """Whether values of the type are objects on the wire."""
    return _has_fields(given) or (typing.get_origin(given) or given) is dict


def _has_fields(given: Any) -> bool:
    is_model = inspect.isclass(given) and issubclass(given, BaseModel)
    return is_model or dataclasses.is_dataclass(given) or typing.is_typeddict(given)


def _fields_of_object(given: Any) -> dict[str, Any]:
    if not _is_object(given):
        return {"result": given}
    return typing.get_type_hints(given) if _has_fields(given) else {}


def _return_type(hints: dict[str, Any]) -> Any | None:
    given = hints.get("return")
    says_nothing = given in (None, type(None), Any) or (inspect.isclass(given) and issubclass(given, dspy.Prediction))
    return None if says_nothing else given


def _only_signature(program: Any) -> Any | None:
    predictors = program.predictors()
    return predictors[0].signature if len(predictors) == 1 else None


def _entry_name(program: Any) -> str:
    return "aforward" if runs_async(program) else "forward"


def _definer(cls: type, method: str) -> type:
    return next((base for base in cls.__mro__ if method in vars(base)), cls)


def _hints(forward: Any) -> dict[str, Any]:
    try:
        return typing.get_type_hints(forward, include_extras=True)
    except NameError as error:
        _LOG.warning("The annotations of %s are not used: %s", forward.__qualname__, error)
        return {}


def _doc(program: Any, guess: Any | None) -> str:
    own = vars(type(program)).get("__doc__")
    if own:
        return inspect.cleandoc(own)
    return inspect.cleandoc(guess.instructions or "") if guess is not None else ""


def _refuse_privileged(name: str, fields: Mapping[str, Any]) -> None:
    bad = sorted(_PRIVILEGED.intersection(fields))
    if bad:
        raise ValueError(
            f"{name}: DSPy itself uses the name {bad[0]!r}, so it can not be the name of an input; rename that input"
        )

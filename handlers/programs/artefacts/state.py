"""The state of a DSPy program, by the names of its predictors and fields: taken out of it, and put into it.

DSPy's own `load_state` goes by position: it gives the description of one field to another where fields were renamed or
moved, and says nothing. Here a field is found by its name, or the whole state is refused. Owns no state; imports dspy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dspy
import pydantic
import pydantic_core

from handlers.programs.artefacts import lm_state
from handlers.programs.artefacts.record import ArtefactError, FieldState, PredictorState
from handlers.programs.signatures import field_types, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from handlers.programs.artefacts.record import LmState

_SELF = "self."
_CUSTOM = "<<CUSTOM-TYPE-START-IDENTIFIER>>"
"""How DSPy writes an image, audio or a file into a text."""


def predictors(program: Any) -> dict[str, Any]:
    """Return every predictor of a program by its path in it, those inside of compiled modules too.

    DSPy's own list leaves out a module that was compiled, and with it everything that it has learnt.
    """
    return {
        name.removeprefix(_SELF) or "self": found for name, found in program.named_sub_modules() if _is_predictor(found)
    }


def _is_predictor(found: Any) -> bool:
    return isinstance(found, dspy.Predict)


def state_of(program: Any, *, models: bool = True) -> dict[str, PredictorState]:
    """Return a program's state. Without `models`, that of its language models is left out. Raises ArtefactError."""
    known = predictors(program)
    for name, parameter in program.named_parameters():
        if not isinstance(parameter, dspy.Predict):
            raise ArtefactError(
                f"'{name}' is a {type(parameter).__name__}, whose state is not known here; only predictors can be saved"
            )
    return {name: _state(name, predictor, models) for name, predictor in known.items()}


def _state(name: str, predictor: Any, models: bool) -> PredictorState:
    if getattr(predictor, "fields", None):
        raise ArtefactError(f"'{name}' decides between fields (DSPy's decisions), which can not be saved yet")
    return PredictorState(
        instructions=predictor.signature.instructions,
        fields=fields_of(predictor.signature),
        demos=tuple(_demo(demo, f"{name}.demos[{index}]") for index, demo in enumerate(predictor.demos)),
        lm=lm_state.of(predictor.lm, f"{name}.lm") if models and predictor.lm is not None else None,
    )


def fields_of(signature: Any) -> dict[str, FieldState]:
    """Return the fields of a signature by name."""
    found = {}
    for name, annotation in field_types(signature.fields).items():
        extra = signature.fields[name].json_schema_extra or {}
        found[name] = FieldState(
            side="input" if name in signature.input_fields else "output",
            type=shown(annotation),
            schema=_schema(annotation),
            prefix=str(extra.get("prefix") or ""),
            description=str(extra.get("desc") or ""),
        )
    return found


def _schema(annotation: Any) -> Any:
    try:
        return pydantic.TypeAdapter(annotation).json_schema()
    except pydantic.errors.PydanticUserError:
        return None


def _demo(demo: Any, path: str) -> dict[str, Any]:
    values = demo if isinstance(demo, dict) else demo.toDict()
    try:
        plain = pydantic_core.to_jsonable_python(dict(values))
    except (pydantic_core.PydanticSerializationError, ValueError) as error:
        raise ArtefactError(f"{path} holds a value that JSON can not: {error}") from None
    assert isinstance(plain, dict)
    return plain


def misfits(program: Any, saved: Mapping[str, PredictorState]) -> list[str]:
    """Return why a state does not fit a program; nothing where it does. The order of fields does not matter."""
    own = predictors(program)
    found = [f"the program has no predictor '{name}', which the artefact has" for name in saved if name not in own]
    found += [f"the artefact has no predictor '{name}', which the program has" for name in own if name not in saved]
    for name in saved:
        if name in own:
            found += [
                f"predictor '{name}': {what}" for what in _differences(fields_of(own[name].signature), saved[name])
            ]
    return found


def _differences(own: dict[str, FieldState], state: PredictorState) -> Iterator[str]:
    for name, field in state.fields.items():
        if name not in own:
            yield f"the program has no field '{name}', which the artefact has"
        elif own[name].side != field.side:
            yield f"the field '{name}' was an {field.side} and is an {own[name].side}"
        elif (own[name].type, own[name].schema) != (field.type, field.schema):
            was, now = field.type, own[name].type
            yield f"the field '{name}' was {was} and is {now}" + (", defined otherwise" if was == now else "")
    yield from (
        f"the artefact has no field '{name}', which the program has" for name in own if name not in state.fields
    )


def apply_state(program: Any, saved: Mapping[str, PredictorState], resolve: Callable[[str, LmState, Any], Any]) -> None:
    """Give a program a state that fits it, all of it or, where it can not be, nothing.

    `resolve` finds the language model of a predictor: its path, what was saved, and the model that it has.
    Raises ArtefactError.
    """
    made = []
    for name, predictor in predictors(program).items():
        state = saved[name]
        lm = predictor.lm if state.lm is None else resolve(name, state.lm, predictor.lm)
        demos = [_read_demo(demo, predictor.signature, f"{name}.demos[{i}]") for i, demo in enumerate(state.demos)]
        made.append((predictor, _signature(predictor.signature, state), demos, lm))
    for predictor, signature, demos, lm in made:
        predictor.signature, predictor.demos, predictor.lm = signature, demos, lm


def _signature(signature: Any, state: PredictorState) -> Any:
    changed = signature
    for name, field in state.fields.items():
        extra = changed.fields[name].json_schema_extra or {}
        if (extra.get("prefix"), extra.get("desc")) != (field.prefix, field.description):
            changed = changed.with_updated_fields(name, prefix=field.prefix, desc=field.description)
    if changed.instructions != state.instructions:
        changed = changed.with_instructions(state.instructions)
    return changed


def _read_demo(demo: dict[str, Any], signature: Any, path: str) -> Any:
    """Return a demo whose values have the types of their fields again."""
    values = {}
    for name, value in demo.items():
        info = signature.fields.get(name)
        if info is None or value is None or (isinstance(value, str) and _CUSTOM in value):
            values[name] = value
            continue
        try:
            adapter = pydantic.TypeAdapter(info.annotation)
            values[name] = adapter.validate_json(pydantic_core.to_json(value))
        except pydantic.errors.PydanticUserError:
            values[name] = value
        except pydantic.ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            raise ArtefactError(f"{path}.{name} does not fit {shown(info.annotation)}: {first['msg']}") from None
    return dspy.Example(**values)

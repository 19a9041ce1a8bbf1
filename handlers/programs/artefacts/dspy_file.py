"""Takes over what DSPy's own `program.save("x.json")` has written, by names where DSPy goes by position.

Such a file has no names of fields, only their prefixes in the order of the signature that it was saved with. Prefixes
come from names ("Answer:"), so a field is found by its prefix; where one fits no field the file is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from handlers.programs.artefacts.record import MAX_BYTES, ArtefactError, LmState, PredictorState
from handlers.programs.artefacts.state import fields_of, predictors

if TYPE_CHECKING:
    from handlers.programs.artefacts.record import FieldState

_CONNECTION = {"model", "model_type", "cache", "num_retries", "api_base", "base_url", "api_key", "timeout"}
_MACHINERY = {"_dspy_lm_class", "engine", "async_engine", "finetuning_model", "launch_kwargs", "train_kwargs"}
_NOT_SETTINGS = frozenset(_CONNECTION | _MACHINERY | {"use_developer_role"})


class _Field(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    prefix: str
    description: str


class _Signature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    instructions: str
    fields: tuple[_Field, ...]


class _Predictor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    signature: _Signature
    demos: tuple[dict[str, Any], ...]
    lm: dict[str, Any] | None = None
    traces: Any = None
    train: Any = None


def read(data: bytes, where: str, program: Any, *, models: bool = True) -> dict[str, PredictorState]:
    """Return the state of a program that DSPy has written to a JSON file. Raises ArtefactError."""
    if len(data) > MAX_BYTES or data[:1] != b"{":
        raise ArtefactError(f"{where} is no JSON file of DSPy's `program.save`; pickle is never loaded")
    try:
        raw = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
        raw.pop("metadata", None)
        if {"signature", "demos"} <= set(raw):  # a program that is a single predictor
            raw = {"self": msgspec.Raw(msgspec.json.encode(raw))}
        saved = {name: msgspec.json.decode(one, type=_Predictor) for name, one in raw.items()}
    except (msgspec.DecodeError, RecursionError) as error:
        raise ArtefactError(f"{where} holds what is not known: {error}") from None
    own = predictors(program)
    if missing := sorted(set(own) ^ set(saved)):
        side = "the file" if missing[0] in own else "the program"
        raise ArtefactError(f"{where} is of another program: {side} has no predictor '{missing[0]}'")
    return {name: _state(name, one, fields_of(own[name].signature), where, models) for name, one in saved.items()}


def _state(name: str, saved: _Predictor, own: dict[str, FieldState], where: str, models: bool) -> PredictorState:
    by_prefix = {field.prefix: key for key, field in own.items()}
    prefixes = [field.prefix for field in saved.signature.fields]
    if len(by_prefix) < len(own) or sorted(prefixes) != sorted(by_prefix):
        had, has = ", ".join(prefixes), ", ".join(field.prefix for field in own.values())
        raise ArtefactError(
            f"{where}: predictor '{name}' was saved with the fields [{had}] and has [{has}]. DSPy's file does not say "
            "which field is which; save from Python with bridge.save_program, which does"
        )
    fields = dict(own)
    for field in saved.signature.fields:
        key = by_prefix[field.prefix]
        fields[key] = msgspec.structs.replace(own[key], description=field.description)
    lm = _lm(saved.lm, f"{where}: {name}.lm") if models and saved.lm else None
    return PredictorState(instructions=saved.signature.instructions, fields=fields, demos=saved.demos, lm=lm)


def _lm(saved: dict[str, Any], path: str) -> LmState:
    model, address = saved.get("model"), saved.get("api_base") or saved.get("base_url")
    if not isinstance(model, str) or not isinstance(address, str | None):
        raise ArtefactError(f"{path} names no model")
    settings = {key: value for key, value in saved.items() if key not in _NOT_SETTINGS and value is not None}
    return LmState(model=model, api_base=address, settings=settings)

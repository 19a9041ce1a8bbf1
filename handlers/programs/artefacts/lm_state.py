"""The language models of saved programs: saved without keys, and found again among those that there are.

DSPy drops the address of a saved model when it loads it, and so asks the provider instead, with whatever key it finds.
Here a saved model comes back only as one that is configured, or that the program has, with the same name at the same
address: nothing is ever asked at an address that a file alone has brought. Owns no state; imports dspy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dspy
import msgspec

from handlers.programs.artefacts.record import ArtefactError, LmState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from handlers.contract import ModelOptions
    from handlers.programs.lm import LanguageModels

_CONNECTION = frozenset({"api_key", "api_base", "base_url", "timeout", "headers", "extra_headers", "model_list"})
"""Of how a model is reached; the configuration has the say, but for the address, which must be the same."""


def of(lm: Any, path: str) -> LmState:
    """Return what is saved of a model. Raises ArtefactError for one that could not be found again."""
    if not isinstance(lm, dspy.LM):
        raise ArtefactError(
            f"{path} is a {type(lm).__name__}, which is no dspy.LM and could not be found again; save without models"
        )
    settings = {name: value for name, value in lm.kwargs.items() if name not in _CONNECTION and value is not None}
    try:
        plain = msgspec.json.decode(msgspec.json.encode(settings))
    except (TypeError, ValueError, msgspec.MsgspecError) as error:
        raise ArtefactError(f"{path} has a setting that JSON can not hold ({error}); save without models") from None
    return LmState(model=lm.model, api_base=_address(lm), settings=plain)


def _address(lm: Any) -> str | None:
    found = lm.kwargs.get("api_base") or lm.kwargs.get("base_url")
    return str(found) if found else None


class Resolver:
    """Finds the models of saved programs."""

    def __init__(self, options: Mapping[str, ModelOptions], models: LanguageModels) -> None:
        self._options = options
        self._models = models

    def __call__(self, name: str, saved: LmState, own: Any) -> Any:
        """Return the model for a predictor that has `own` now. Raises ArtefactError."""
        found = self._find(saved, own)
        if found is None:
            at = f" at {saved.api_base}" if saved.api_base else ""
            raise ArtefactError(
                f"predictor '{name}' was saved with the model '{saved.model}'{at}, and neither the configuration "
                "([models.*]) nor the program has that model at that address; add it, or save without models "
                "(bridge program save --without-models)"
            )
        now = {key: value for key, value in found.kwargs.items() if key not in _CONNECTION and value is not None}
        changed = {**dict.fromkeys(now), **saved.settings}
        return found if now == saved.settings else found.copy(**changed)

    def _find(self, saved: LmState, own: Any) -> Any:
        for lm in (own, dspy.settings.get("lm")):
            if isinstance(lm, dspy.LM) and (lm.model, _address(lm)) == (saved.model, saved.api_base):
                return lm
        for name, options in self._options.items():
            if (options.model, options.api_base) == (saved.model, saved.api_base):
                return self._models.get(name)
        return None

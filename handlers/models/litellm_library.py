"""The one place that imports LiteLLM, quietly and without a look at the network.

LiteLLM takes seconds to import, so that happens at a worker's warm-up where a configured model needs it, else at the
first call. Owns LiteLLM's settings, which are global to the process.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import os
from typing import Any

from handlers.errors import ExtraMissing


def installed() -> bool:
    """Return whether LiteLLM can be imported."""
    return importlib.util.find_spec("litellm") is not None


def load() -> Any:
    """Return the module. Raises ExtraMissing where it is not installed."""
    # Without this LiteLLM fetches a table of prices while it is imported.
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "true")
    # Nor may it fetch what callers name, for providers that take no addresses of images: it would, from in here.
    os.environ.setdefault("MAX_IMAGE_URL_DOWNLOAD_SIZE_MB", "0")
    try:
        import litellm
    except ImportError as error:
        raise ExtraMissing.of("A model other than bridge/test", "llm") from error
    litellm.suppress_debug_info = True
    litellm.telemetry = False
    # It logs prompts and failures, keys included; the bridge reports failures itself.
    logging.getLogger("LiteLLM").setLevel(logging.CRITICAL)
    return litellm


def failures() -> tuple[type[BaseException], ...]:
    """Return what a call through LiteLLM raises: openai's base class is also LiteLLM's."""
    import httpx
    import openai

    return openai.OpenAIError, httpx.HTTPError, json.JSONDecodeError, OSError


def load_instructor() -> Any:
    """Return the module instructor. Raises ExtraMissing where it is not installed."""
    try:
        import instructor
    except ImportError as error:
        raise ExtraMissing.of("bridge.models.extract", "llm") from error
    logging.getLogger("instructor").setLevel(logging.CRITICAL)
    return instructor


def instructor_failures() -> tuple[type[BaseException], ...]:
    """Return what a call through instructor raises; what it wraps is inside."""
    from instructor.core.exceptions import InstructorError
    from pydantic import ValidationError

    return InstructorError, ValidationError


def price_usd(litellm: Any, model: str, answered: str, input_tokens: int, output_tokens: int) -> float | None:
    """Return the price of a call, None where LiteLLM does not know it.

    `model` is the configured name, `answered` the one that the provider gave; the more exact one is tried first.
    """
    provider, _, _ = model.partition("/")
    for name in (f"{provider}/{answered}", answered, model, model.partition("/")[2]):
        if name in litellm.model_cost:
            prompt, completion = litellm.cost_per_token(
                model=name, prompt_tokens=input_tokens, completion_tokens=output_tokens, custom_llm_provider=provider
            )
            return float(prompt + completion)
    return None

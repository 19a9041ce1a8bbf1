"""What a request to a model will use, for budgets and limits: known beforehand as far as that can be.

Owns, for one model, what was measured of its tokens. What is expected: the longest answer that is allowed, else the
longest of late, else DEFAULT_ANSWER; and the prompt's tokens by its bytes.
"""

from __future__ import annotations

import json
import re
import threading
from typing import TYPE_CHECKING, Any

from handlers.errors import HandlerError
from handlers.models import test_model

if TYPE_CHECKING:
    from handlers.contract import ModelOptions, UsageRecord

DEFAULT_ANSWER = 1024
"""Tokens of an answer whose length nobody has limited, from a model that has not answered yet."""
TOKENS_PER_BYTE = 0.5
"""Of a prompt's text, before any was counted: twice what English has."""
MARGIN = 1.25
"""By how much more than was measured is reserved."""
FADES = 0.98
IMAGE = 3000
"""Bytes of text that need as many tokens as an image usually does: it is not its bytes that count."""
_PACKED_IMAGE = re.compile(r"data:image/[a-z]+;base64,[A-Za-z0-9+/=]*")


class Use:
    """What a request has used, once that is known. Nothing stands for a request that has failed."""

    __slots__ = ("cost_usd", "input_tokens", "output_tokens")

    def __init__(self) -> None:
        self.input_tokens = self.output_tokens = 0
        self.cost_usd: float | None = None

    def take(self, record: UsageRecord) -> None:
        """Take over what is recorded for the receipt."""
        self.input_tokens, self.output_tokens = record.input_tokens, record.output_tokens
        self.cost_usd = record.cost_usd


class Spending:
    """One configured model, as far as money and tokens go. Safe to use from several threads."""

    def __init__(self, options: ModelOptions) -> None:
        self._options = options
        self._lock = threading.Lock()
        self._answer = 0.0
        """The longest answer of late, in tokens; 0 before the first."""
        self._per_byte = 0.0

    @property
    def has_prices(self) -> bool:
        """Whether the configuration names its prices."""
        return self._options.input_price is not None

    def price_usd(self, input_tokens: int, output_tokens: int, answered: str = "") -> float | None:
        """Return the price of tokens in US dollars; None where it is not known.

        `answered` is the name that the provider has given: it may be more exact than the configured one.
        """
        options = self._options
        if options.input_price is not None and options.output_price is not None:
            return (input_tokens * options.input_price + output_tokens * options.output_price) / 1e6
        if options.model == test_model.NAME:
            return 0.0
        from handlers.models import litellm_library

        if not litellm_library.installed():
            return None
        litellm = litellm_library.load()
        return litellm_library.price_usd(litellm, options.model, answered or options.model, input_tokens, output_tokens)

    def images_price_usd(self, images: int, input_tokens: int, output_tokens: int) -> float | None:
        """Return the price of images in US dollars as the configuration has it; None where it does not say."""
        if self._options.image_price is not None:
            return images * self._options.image_price
        if self.has_prices or self._options.model == test_model.NAME:
            return self.price_usd(input_tokens, output_tokens)
        return None

    def expected(self, size: int, max_tokens: int | None, answers: int = 1) -> tuple[int, int]:
        """Return the tokens of a prompt of so many bytes, and of its answers, as far as can be known beforehand."""
        with self._lock:
            per_byte = self._per_byte * MARGIN or TOKENS_PER_BYTE
            usual = int(self._answer * MARGIN) + 1 if self._answer else DEFAULT_ANSWER
        return int(size * per_byte) + 1, (max_tokens or usual) * answers

    def learn(self, size: int, use: Use) -> None:
        """Take in what a request has used: the most counts, and fades."""
        if not use.input_tokens and not use.output_tokens:
            return
        with self._lock:
            self._per_byte = max(use.input_tokens / max(1, size), self._per_byte * FADES)
            self._answer = max(float(use.output_tokens), self._answer * FADES)

    def known_price_usd(self, input_tokens: int, output_tokens: int, images: int = 0) -> float:
        """Return the price of tokens in US dollars, or that of so many images. Raises PRICE_UNKNOWN."""
        if images:
            usd = self.images_price_usd(images, input_tokens, output_tokens)
        else:
            usd = self.price_usd(input_tokens, output_tokens)
        if usd is not None:
            return usd
        model = self._options.model
        message = (
            f"dollars are limited by a budget, and the price of the model '{model}' is not known: set input_price and "
            "output_price (for images image_price) of the model in bridge.toml, or limit tokens instead"
        )
        raise HandlerError(message, code="FAILED_PRECONDITION", reason="PRICE_UNKNOWN", metadata={"model": model})


def size_of(prompt: Any) -> int:
    """Return how many bytes of text a prompt has: messages, tools, or whatever is sent. An image counts as IMAGE."""
    text = _PACKED_IMAGE.sub("x" * IMAGE, json.dumps(prompt, ensure_ascii=False, default=str))
    return len(text.encode("utf-8", "replace"))

"""Images that models make: the records of a request and an answer, and how LiteLLM is asked for them.

Pure but for `send`, which sends one request. An image that comes as an address is not fetched.
"""

from __future__ import annotations

import base64
import binascii
import functools
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from handlers.models.chat import Way
from handlers.models.pictures import media_type_of

if TYPE_CHECKING:
    from handlers.contract import UsageRecord
    from handlers.models.gate import Gate, Question

MAX_IMAGES = 10
MAX_PROMPT = 32_000
"""Characters."""
_OF_OPENAI = "openai/"
_FORMATS = {"data": "b64_json", "url": "url"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRequest:
    """What images are to show, checked."""

    prompt: str
    count: int = 1
    size: str = ""
    quality: str = ""
    delivery: Literal["", "data", "url"] = ""
    way: Way = field(default_factory=Way)


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeImage:
    """One image: its bytes, or its address."""

    data: bytes = b""
    url: str = ""
    media_type: str = ""
    revised_prompt: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageAnswer:
    """The images that a model has made."""

    images: list[MadeImage]
    model: str
    """As the provider knows it."""
    usage: UsageRecord


class NoImage(Exception):
    """A provider's answer holds no image where there ought to be one."""


def arguments(request: ImageRequest) -> dict[str, Any]:
    """Return the request in OpenAI's words."""
    words = {"size": request.size, "quality": request.quality, "response_format": _FORMATS.get(request.delivery)}
    return {"prompt": request.prompt, "n": request.count, **{key: word for key, word in words.items() if word}}


def image_question(gate: Gate, request: ImageRequest) -> Question:
    """Return what the front is to know of a request. Images are not kept: whoever asks again wants others."""
    way = request.way
    return gate.question(
        request.prompt, max_tokens=None, answers=request.count, images=True, passed=way.passed, last=way.last
    )


async def send(litellm: Any, arguments: dict[str, Any], timeout_s: float) -> Any:
    """Send one request through LiteLLM, once. Where a model has no choice of delivery, the wish for one is dropped."""
    async with AsyncExitStack() as opened:
        if arguments["model"].startswith(_OF_OPENAI):
            arguments = {**arguments, "client": await opened.enter_async_context(_client(arguments, timeout_s))}
        try:
            return await litellm.aimage_generation(**arguments, timeout=timeout_s)
        except litellm.UnsupportedParamsError as error:  # raised before anything is sent
            if "response_format" not in arguments or "`response_format`" not in str(error):
                raise
        rest = {key: value for key, value in arguments.items() if key != "response_format"}
        return await litellm.aimage_generation(**rest, timeout=timeout_s)


def _client(arguments: dict[str, Any], timeout_s: float) -> Any:
    return _once()(api_key=arguments["api_key"], base_url=arguments["api_base"], timeout=timeout_s)


@functools.cache
def _once() -> Any:
    """Return a client of OpenAI's that sends each request once: LiteLLM lets images be repeated in any case."""
    import openai

    class Once(openai.AsyncOpenAI):
        def __setattr__(self, name: str, value: Any) -> None:
            super().__setattr__(name, 0 if name == "max_retries" else value)

    return Once


def made_images(response: Any) -> list[MadeImage]:
    """Return the images of LiteLLM's response. Raises NoImage."""
    found = [_made(one) for one in response.data or ()]
    if not found:
        raise NoImage("the reply holds no images")
    return found


def _made(one: Any) -> MadeImage:
    revised = getattr(one, "revised_prompt", None) or ""
    if packed := getattr(one, "b64_json", None):
        try:
            data = base64.b64decode(packed, validate=True)
        except (binascii.Error, ValueError) as error:
            raise NoImage(f"an image is not base64: {error}") from error
        kind = media_type_of(data)
        if kind is None:
            raise NoImage(f"the {len(data)} bytes of an image are of no known kind")
        return MadeImage(data=data, media_type=kind, revised_prompt=revised)
    if url := getattr(one, "url", None):
        return MadeImage(url=str(url), revised_prompt=revised)
    raise NoImage("an image has neither bytes nor an address")


def price_usd(response: Any) -> float | None:
    """Return what LiteLLM makes of a response's price, None where it does not know it."""
    hidden = getattr(response, "_hidden_params", None) or {}
    price = hidden.get("response_cost")
    return None if price is None else float(price)

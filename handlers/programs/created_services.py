"""What created programs take from their worker: tools, functions that rate answers, embeddings, sandboxes.

Functions and embedding models are asked by nested calls, which have the running call's deadline, trace and budget.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pydantic_core

from handlers.context import current
from handlers.errors import HandlerError
from handlers.programs import sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

EMBED = "bridge.embeddings.embed"


class WorkerServices:
    """The `Services` of a program that runs in a worker."""

    def __init__(self, tools: Mapping[str, Any], sandboxes: Callable[[], Any] | None = None) -> None:
        self._tools = tools
        self._sandboxes = sandboxes

    def tool(self, name: str) -> Any:
        """Return a tool that has been looked up before the program is built."""
        return self._tools[name]

    def rate(self, name: str, inputs: dict[str, Any], outputs: dict[str, Any]) -> float:
        """Return what the function `name` makes of an answer. Raises HandlerError where that is no number."""
        given = pydantic_core.to_jsonable_python({"inputs": inputs, "outputs": outputs}, fallback=str)
        rated = current().call(name, **given)
        if isinstance(rated, bool | int | float):
            return float(rated)
        what = f"The function {name!r} rates answers and should return a number; it returned {type(rated).__name__}."
        raise HandlerError(what, code="FAILED_PRECONDITION", reason="REWARD_INVALID", metadata={"function": name})

    async def embed(self, model: str, texts: list[str]) -> np.ndarray:
        """Return one vector per text, as rows."""
        reply = await current().acall(EMBED, model=model, texts=texts)
        return np.array([one["values"] for one in reply["embeddings"]], dtype=np.float32)

    def interpreter(self) -> Callable[[], Any]:
        """Return what makes sandboxes for code. Raises SANDBOX_UNAVAILABLE."""
        if self._sandboxes is None:
            raise sandbox.unavailable(sandbox.OFF)
        return self._sandboxes

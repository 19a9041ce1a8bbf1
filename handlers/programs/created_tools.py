"""The tools of programs by name, as DSPy takes them.

Owns nothing. A tool's name in a definition is looked up when the program is built.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from handlers.errors import Unknown

if TYPE_CHECKING:
    from collections.abc import Iterable


async def tools_of(names: Iterable[str]) -> dict[str, Any]:
    """Return a `dspy.Tool` for each of these names. Runs in the call that builds the program. Raises Unknown."""
    for name in names:
        raise Unknown(f"There is no tool {name!r}.", reason="UNKNOWN_TOOL", metadata={"tool": name})
    return {}

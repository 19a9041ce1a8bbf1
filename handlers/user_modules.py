"""What a user's module brings into an entry: its functions, its DSPy programs, its hooks.

Owns no state; knows nothing of calls.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from handlers import session_hooks
from handlers.loading import load_module

if TYPE_CHECKING:
    from collections.abc import Callable

    from handlers.contract import EntryOptions, FunctionSpec, Handler


def load_user_module(module_name: str, options: EntryOptions, hooks: list[Callable[..., Any]]) -> list[Handler]:
    """Load a user's module and find what it serves and its hooks; DSPy is looked at only where it was imported."""
    from handlers.functions.discovery import discover_functions

    module = load_module(module_name)
    hooks += session_hooks.find_hooks(module)
    found = list(discover_functions(module, module_name))
    if "dspy" in sys.modules:
        from handlers.programs.discovery import discover_programs

        found += discover_programs(module, module_name, options)
    return found


def clash(spec: FunctionSpec, other: FunctionSpec) -> str:
    """Return what is wrong where two functions have one name."""
    return (
        f"two functions are named '{spec.name}': one from {spec.module or 'the bridge'}, one from "
        f"{other.module or 'the bridge'}; rename one, or give it another name with @function(name=...)"
    )

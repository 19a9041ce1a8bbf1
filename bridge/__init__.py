"""The bridge's edge and wiring. Only this sugar for user code lives here: `from bridge import function, invoke`.

It is looked up on demand, so that importing a submodule such as `bridge.v1` loads nothing else.
"""

from typing import Any

_SUGAR = {
    "Batch": "handlers.functions.declare",
    "function": "handlers.functions.declare",
    "CallFailed": "handlers.nested",
    "ainvoke": "handlers.context",
    "current": "handlers.context",
    "invoke": "handlers.context",
    "save_program": "handlers.programs.artefacts.saving",
    "session": "handlers.sessions",
    "on_session_end": "handlers.sessions",
    "VersionMismatch": "handlers.sessions",
    "atools": "handlers.programs.tools",
    "tools": "handlers.programs.tools",
}


def __getattr__(name: str) -> Any:
    if name not in _SUGAR:
        raise AttributeError(
            f"module 'bridge' has no attribute {name!r}; user code may import: {', '.join(sorted(_SUGAR))}"
        )
    from importlib import import_module

    return getattr(import_module(_SUGAR[name]), name)

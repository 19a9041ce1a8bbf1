"""Sandboxes for code that a model wrote, as DSPy takes them: bubblewrap where it runs, else DSPy's own on deno.

Owns nothing: each call of a program makes a sandbox of its own, which ends with the call.
"""

from __future__ import annotations

import subprocess
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dspy
from dspy.primitives import local_interpreter
from dspy.primitives.code_interpreter import CodeInterpreterError

from handlers.programs import sandbox

if TYPE_CHECKING:
    from collections.abc import Callable

EXECUTION_S = 60.0
"""How long one piece of code may run, calls of tools included."""
START_S = 20.0
_WORKER = str(Path(local_interpreter.__file__).with_name("local_interpreter_worker.py"))


class BubblewrapInterpreter(dspy.LocalInterpreter):  # type: ignore[misc]  # dspy has no types
    """DSPy's interpreter in a subprocess, in bubblewrap: nothing of the host but the standard library."""

    execution_instructions = (
        "Code runs as Python with its standard library alone, in a sandbox without network and without files of the "
        "host. State, imports, functions, and JSON-compatible variables persist for this session. Host tools and "
        "SUBMIT are available as global functions. All threads must finish before each code execution returns."
    )

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"execution_timeout": EXECUTION_S, **options})

    _process: subprocess.Popen[str] | None

    def start(self) -> None:
        """Start the sandbox, unless it runs."""
        if self._ended:
            raise CodeInterpreterError("The sandbox has been shut down.")
        if self._process is not None:
            return
        try:
            process = subprocess.Popen(
                sandbox.bubblewrap_words(_WORKER),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                text=True,
            )
        except OSError as error:
            raise CodeInterpreterError(f"The sandbox does not start: {error}") from error
        self._process = process
        threading.Thread(target=self._read_responses, args=(process,), daemon=True).start()
        message = self._receive(time.monotonic() + START_S, f"The sandbox did not start within {START_S:g} seconds.")
        if message.get("type") != "ready":
            self._raise_terminal_error(f"The sandbox said something else than that it is ready: {message!r}")


def find() -> Callable[[], Any]:
    """Return what makes sandboxes here. Takes as long as a trial of them. Raises SANDBOX_UNAVAILABLE."""
    if not (bubblewrap := sandbox.bubblewrap_lacks()):
        return BubblewrapInterpreter
    deno = sandbox.deno_lacks() or _deno_fails()
    if not deno:
        return _on_deno
    raise sandbox.unavailable(
        "This program runs code that a language model writes, and there is no sandbox for it on the server: "
        f"{bubblewrap}; {deno}."
    )


def _on_deno(**options: Any) -> Any:
    return dspy.PythonInterpreter(**options)


def _deno_fails() -> str:
    """Return why DSPy's own sandbox does not run; empty where it does. It fetches its libraries at its first start."""
    try:
        with dspy.PythonInterpreter() as interpreter:
            interpreter.execute("1 + 1")
    except (CodeInterpreterError, OSError) as error:
        return f"DSPy's own sandbox does not run here: {' '.join(str(error).split())[:300]}"
    return ""

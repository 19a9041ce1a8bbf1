"""Whether code that a model wrote may run, and what there is to run it in. Without dspy: the front asks as well.

Owns nothing. A sandbox is a process without the host's files, network, environment and other processes; a plain
subprocess is none, and is never taken.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from handlers.errors import HandlerError

OFF = (
    "This program runs code that a language model writes, and the server does not allow that: "
    "set allow_code = true in [programs] of bridge.toml"
)
TRIAL_S = 20.0
"""How long the trial of a sandbox may take."""
_STDERR_CHARACTERS = 300
_NOTHING = str(Path(__file__).with_name("__init__.py"))
"""An empty script, for the trial."""
_START = """
import resource, runpy
for name, limit in (("AS", 1 << 30), ("CPU", 60), ("FSIZE", 64 << 20), ("NOFILE", 128), ("NPROC", 64), ("CORE", 0)):
    resource.setrlimit(getattr(resource, "RLIMIT_" + name), (limit, limit))
runpy.run_path("/sandboxed.py", run_name="__main__")
"""
"""What runs in the sandbox first: 1 GiB of memory, a minute of processor time, 64 MiB for a file, 64 processes."""


def unavailable(message: str) -> HandlerError:
    """Return the failure of a program that needs a sandbox; the message says what is missing."""
    return HandlerError(message, code="FAILED_PRECONDITION", reason="SANDBOX_UNAVAILABLE")


def bubblewrap_words(script: str) -> list[str]:
    """Return the command that runs a script of Python's standard library alone, in bubblewrap.

    It sees the system's and Python's own libraries, nothing else of the host's files, and has no network, no
    environment and no other process.
    """
    python, base = os.path.realpath(sys.executable), sys.base_prefix
    words = ["bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--clearenv", "--cap-drop", "ALL"]
    for place in dict.fromkeys(("/usr", "/lib", "/lib64", "/lib32", "/bin", base)):
        words += ["--ro-bind-try", place, place]
    words += ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--chdir", "/tmp"]  # noqa: S108  # its own /tmp
    words += ["--ro-bind", script, "/sandboxed.py", "--setenv", "HOME", "/tmp"]  # noqa: S108
    return [*words, "--", python, "-I", "-S", "-c", _START]


def bubblewrap_lacks() -> str:
    """Return why bubblewrap can not be used; empty where it can. Takes as long as a process."""
    if shutil.which("bwrap") is None:
        return "bubblewrap is not installed (Debian: apt-get install bubblewrap)"
    try:
        tried = subprocess.run(
            bubblewrap_words(_NOTHING), stdin=subprocess.DEVNULL, capture_output=True, timeout=TRIAL_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"bubblewrap does not run here: {error}"
    said = tried.stderr.decode(errors="replace").strip()[:_STDERR_CHARACTERS]
    return f"bubblewrap does not run here: {said or tried.returncode}" if tried.returncode else ""


def deno_lacks() -> str:
    """Return why DSPy's own sandbox can not be tried; empty where it can."""
    if find_spec("deno") is None and shutil.which("deno") is None:
        return "DSPy's own sandbox needs deno (pip install 'dspy[deno]')"
    return ""

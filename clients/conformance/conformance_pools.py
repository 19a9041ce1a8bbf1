"""Functions of the conformance suite in pools of their own: one that watches, and one in which nothing may wait."""

from __future__ import annotations

import os
import time
from pathlib import Path

from bridge import function


def _pool(name: str) -> str:
    """The pool of that name, or the only one where the server has one."""
    return os.environ.get("CONFORMANCE_POOL", name)


def _mark(key: str, what: str) -> Path:
    return Path(os.environ["CONFORMANCE_FOLDER"]) / f"{key}.{what}"


@function(pool=_pool("watch"))
def begun(key: str, within_s: float = 20.0) -> bool:
    """Wait until what has this key has begun."""
    return _wait(_mark(key, "begun"), within_s)


@function(pool=_pool("watch"))
def ended(key: str, within_s: float = 20.0) -> str:
    """Wait until what has this key has ended, and say how."""
    return _mark(key, "ended").read_text() if _wait(_mark(key, "ended"), within_s) else "still running"


def _wait(path: Path, within_s: float) -> bool:
    end = time.monotonic() + within_s
    while not path.exists():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


@function(pool=_pool("narrow"))
def narrow_hold(key: str, seconds: float = 30.0) -> str:
    """Hold the one worker of the pool in which nothing may wait."""
    _mark(key, "begun").touch()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.01)
    return "finished"


@function(pool=_pool("narrow"))
def narrow() -> str:
    """Run in the pool in which nothing may wait."""
    return "ran"

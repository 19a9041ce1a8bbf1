"""The state of the random numbers of a process, taken and set again. Owns nothing: it is the libraries'."""

from __future__ import annotations

import base64
import os
import random
import struct
import sys
from typing import Any

_WORDS = 625


def take() -> tuple[Any, Any]:
    """Return the state that the next random numbers of `random`, and of numpy where it is loaded, come from."""
    numpy = sys.modules.get("numpy.random")
    return random.getstate(), None if numpy is None else numpy.get_state()


def in_words(state: tuple[Any, Any]) -> dict[str, str]:
    """Return a state that was taken in a form that can be saved."""
    (_, words, gauss), of_numpy = state
    found = {"python": _text(words), "gauss": "" if gauss is None else repr(gauss)}
    found["hash_seed"] = os.environ.get("PYTHONHASHSEED", "")
    if of_numpy is not None and of_numpy[0] == "MT19937":
        _, keys, position, has_gauss, cached = of_numpy
        found["numpy"] = _text((*map(int, keys), int(position)))
        found["numpy_gauss"] = repr(float(cached)) if has_gauss else ""
    return found


def give(saved: dict[str, str]) -> None:
    """Let the random numbers go on from a state that was saved."""
    if "python" in saved:
        gauss = float(saved["gauss"]) if saved.get("gauss") else None
        random.setstate((3, _words(saved["python"]), gauss))
    if "numpy" in saved:
        import numpy as np

        *keys, position = _words(saved["numpy"])
        gauss_text = saved.get("numpy_gauss", "")
        state: Any = ("MT19937", keys, position, int(bool(gauss_text)), float(gauss_text or 0))
        np.random.set_state(state)


def _text(words: tuple[int, ...]) -> str:
    return base64.b64encode(struct.pack(f"<{len(words)}I", *words)).decode()


def _words(text: str) -> tuple[int, ...]:
    return struct.unpack(f"<{_WORDS}I", base64.b64decode(text))

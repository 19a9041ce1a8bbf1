"""The state of the random numbers of a process, taken and set again. Owns nothing: it is the libraries'."""

from __future__ import annotations

import base64
import os
import random
import struct
import sys
from typing import Any

_WORDS = 625


def take() -> dict[str, str]:
    """Return the state that the next random numbers of `random`, and of numpy where it is loaded, come from."""
    _, words, gauss = random.getstate()
    found = {"python": _text(words), "gauss": "" if gauss is None else repr(gauss)}
    found["hash_seed"] = os.environ.get("PYTHONHASHSEED", "")
    if (numpy := sys.modules.get("numpy.random")) is not None:
        name, keys, position, has_gauss, cached = numpy.get_state()
        if name == "MT19937":
            found["numpy"] = _text((*map(int, keys), int(position)))
            found["numpy_gauss"] = repr(float(cached)) if has_gauss else ""
    return found


def give(saved: dict[str, str]) -> None:
    """Let the random numbers go on from a state that `take` has returned."""
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

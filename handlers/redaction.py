"""Takes secrets out of texts that leave the process, such as a provider's error message. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

MASK = "[redacted]"

_SHORTEST_SECRET = 4
_KEY_SHAPES = re.compile(
    r"\b(?:sk|pk|rk|gsk|xai|hf|AIza)[-_]?[A-Za-z0-9_\-]{16,}"  # what providers' keys look like
    r"|\bbk_[0-9a-z]{10}_[A-Za-z0-9_\-]{16,}"  # the bridge's own
    r"|(?<=Bearer )[A-Za-z0-9._~+/\-]{8,}=*",
    re.IGNORECASE,
)


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """Return the text without the secrets and without anything that looks like a provider's key."""
    for secret in sorted({s for s in secrets if len(s) >= _SHORTEST_SECRET}, key=len, reverse=True):
        text = text.replace(secret, MASK)
    return _KEY_SHAPES.sub(MASK, text)

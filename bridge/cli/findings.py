"""What a check of `bridge doctor` finds: a value."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding. `ok`: as it should be; `note`: works, but know this; `problem`: would stop a server."""

    level: Literal["ok", "note", "problem"]
    title: str
    detail: str
    fix: str = ""

    def as_fields(self) -> dict[str, Any]:
        """Return the finding for `--json`."""
        return asdict(self)

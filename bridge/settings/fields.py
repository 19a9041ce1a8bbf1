"""What settings are made of: the types of their values, with their limits, and the table that all tables are.

Owns nothing.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from bridge.settings.secret_references import check_reference

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_UNITS |= {"kib": KIB, "mib": MIB, "gib": GIB, "tib": 1 << 40, "k": KIB, "m": MIB, "g": GIB}
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*")
_NAME = re.compile(r"[a-z](?:[a-z0-9]|[_-](?=[a-z0-9]))*")
_ADDRESS = re.compile(r"(?:\[[0-9a-fA-F:.%]+\]|[^\s:\[\]/]+):(\d{1,5})")


def parse_size(value: Any) -> Any:
    """Return bytes for a number or a text such as "512MiB". Raises ValueError for other text."""
    if not isinstance(value, str):
        return value
    match = _SIZE.fullmatch(value)
    if match is None or match[2].lower() not in _UNITS:
        raise ValueError("expected a size such as '512MiB', '2GiB' or a number of bytes")
    return int(float(match[1]) * _UNITS[match[2].lower()])


def _check_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(
            "expected a name of small letters, digits, '-' and '_' that starts with a letter (no two '_' in a row)"
        )
    return name


def check_address(text: str) -> str:
    """Return `text` if it is HOST:PORT. Raises ValueError if it is not."""
    match = _ADDRESS.fullmatch(text)
    if match is None or int(match[1]) > 65535:
        raise ValueError("expected HOST:PORT such as '127.0.0.1:50051' or '[::1]:50051', with a port up to 65535")
    return text


Int = Annotated[int, Field(strict=True)]
Seconds = Annotated[float, Field(strict=True, gt=0, le=7 * 86400, allow_inf_nan=False)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Flag = Annotated[bool, Field(strict=True)]
Size = Annotated[int, Field(strict=True, gt=0), BeforeValidator(parse_size)]
Name = Annotated[str, AfterValidator(_check_name)]
Address = Annotated[str, AfterValidator(check_address)]
Secret = Annotated[str, AfterValidator(check_reference)]


class Section(BaseModel):
    """What all tables of the configuration share: frozen, no unknown keys, defaults checked too."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, hide_input_in_errors=True)

"""What a server tells once it serves: a record. Owns nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from handlers.contract import FunctionSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """What is told once the server serves. `pools` pairs each pool's name with its state in words."""

    address: str
    functions: tuple[FunctionSpec, ...]
    pools: tuple[tuple[str, str], ...]
    seconds: float
    fronts: int = 1
    """Processes that take gRPC."""
    unix: str | None = None
    """The unix socket that it listens on as well."""
    wants_key: bool = False
    """Whether calls need an API key."""
    tls: bool = False
    """Whether it takes nothing but TLS on the address."""

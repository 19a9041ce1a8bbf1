"""How long a call may take, decided once from what the client said and what the server allows: pure."""

from __future__ import annotations


def timeout_s(transport_s: float | None, exact_ms: int | None, default_s: float, longest_s: float) -> float:
    """Return the seconds a call has.

    `transport_s` is what gRPC says is left, `exact_ms` what `x-timeout-ms` says; the smaller of the two wins. A call
    that brings neither gets `default_s`; nothing gets more than `longest_s`.
    """
    if transport_s is None and exact_ms is None:
        return min(default_s, longest_s)
    given = [value for value in (transport_s, None if exact_ms is None else exact_ms / 1000.0) if value is not None]
    return max(0.0, min(*given, longest_s))

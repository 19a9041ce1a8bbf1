"""Checks of pools for `bridge doctor`: how their workers start and why, their limits, and what ends them all.

Asks the server at the configured address, if one runs there; starts nothing. Owns nothing.
"""

from __future__ import annotations

import ctypes
import resource
from pathlib import Path
from typing import TYPE_CHECKING

from bridge.cli.failures import Failure
from bridge.cli.findings import Finding
from bridge.cli.output import size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bridge.config import Config, PoolConfig
    from bridge.v1 import pool_pb2

ANSWER_S = 3.0
FEW_PROCESSES = 256
_PR_GET_CHILD_SUBREAPER = 37
_STARTS = {
    "template": "forked from a template process that has imported the code",
    "spawn": "started one by one, each importing the code",
    "auto": "forked from a template where the imports allow it (a running server tells), else spawned",
}


def running_server(address: str) -> pool_pb2.PoolServiceListResponse | None:
    """Return what a bridge that serves on this address says of itself; None where none does.

    One that tells only keys with the role `admin` says nothing.
    """
    from bridge.cli.connection import Connection
    from bridge.v1 import pool_pb2

    request = pool_pb2.PoolServiceListRequest()
    with Connection(address) as connection:
        try:
            return connection.ask("PoolService/List", request, pool_pb2.PoolServiceListResponse, ANSWER_S)
        except Failure as failure:
            refused = str(failure.fields.get("reason", "")).startswith(("CREDENTIALS_", "ROLE_MISSING"))
            return pool_pb2.PoolServiceListResponse() if refused else None


def check_running(address: str, pools: list[pool_pb2.Pool]) -> Iterator[Finding]:
    """Say how the workers of a running server have been started."""
    yield Finding("ok", "address", f"a bridge serves on {address}")
    if not pools:
        yield Finding("note", "pools", "what runs there is told to API keys with the role admin", "give one: --key")
    for pool in pools:
        if not pool.start_kind:
            yield Finding("ok", f"pool {pool.name}", pool.cause or "not started")
            continue
        how = _STARTS.get(pool.start_kind, pool.start_kind)
        detail = f"{_workers(pool.size)}, {how}; {_memory(pool.memory_limit_bytes, pool.memory_soft_limit_bytes)}"
        if pool.start_reason:
            fix = f"mend that, or accept it: pools.{pool.name}.start = 'spawn'"
            yield Finding("note", f"pool {pool.name}", f"{detail}; not forked: {pool.start_reason}", fix)
        else:
            yield Finding("ok", f"pool {pool.name}", detail)


def check_configured(config: Config) -> Iterator[Finding]:
    """Say how the workers of each configured pool are to start."""
    for name, pool in config.pools.items():
        if pool.size == 0:
            yield Finding("ok", f"pool {name}", "off: size 0")
        else:
            limits = _memory(pool.memory_limit or 0, pool.memory_soft_limit or 0)
            yield Finding("ok", f"pool {name}", f"{_sizes(pool)}, {_STARTS[pool.start]}; {limits}")


def check_ends() -> Iterator[Finding]:
    """Check what ends workers and what they leave behind, and how many processes there may be."""
    value = ctypes.c_int()
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_GET_CHILD_SUBREAPER, ctypes.byref(value), 0, 0, 0) == 0:
        detail = "workers die with the server; what they leave behind becomes its child and is ended (child subreaper)"
        yield Finding("ok", "orphans", detail)
    else:
        detail = "the kernel offers no child subreaper; workers are spawned, never forked, and orphans may stay"
        yield Finding(
            "note", "orphans", detail, "use a kernel of 3.4 or newer, or a sandbox that allows prctl 36 and 37"
        )
    soft, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    most = min((limit for limit in (soft, _pids_limit()) if limit not in (None, resource.RLIM_INFINITY)), default=None)
    if most is not None and most < FEW_PROCESSES:
        yield Finding("note", "processes", f"at most {most}", f"allow {FEW_PROCESSES} or more (ulimit -u, pids.max)")
    else:
        yield Finding("ok", "processes", f"at most {'unlimited' if most is None else most}")


def check_cgroups(config: Config | None) -> Finding:
    """Say whether each worker gets a cgroup, and what bounds its memory otherwise."""
    from pool.cgroup_support import detect

    if config is not None and config.server.cgroups == "off":
        return Finding(
            "ok", "cgroup", "none per worker: switched off by server.cgroups; memory is watched all the same"
        )
    support = detect()
    if support.kind == "none":
        return Finding("ok", "cgroup", f"none per worker: {support.why}; memory is watched ten times a second")
    return Finding("ok", "cgroup", f"one per worker: {support.why}; the kernel holds memory limits too")


def _pids_limit() -> int | None:
    try:
        return int(Path("/sys/fs/cgroup/pids.max").read_text())
    except (OSError, ValueError):
        return None


def _sizes(pool: PoolConfig) -> str:
    least, most = pool.min_size or pool.size, pool.max_size or pool.size
    if least == most:
        return _workers(most)
    return f"{least} to {most} workers"


def _workers(count: int) -> str:
    return "1 worker" if count == 1 else f"{count} workers"


def _memory(hard: int, soft: int) -> str:
    if not hard and not soft:
        return "no memory limit"
    parts = [f"soft limit {size(soft)}"] if soft else []
    return " and ".join([*parts, *([f"memory limit {size(hard)}"] if hard else [])])

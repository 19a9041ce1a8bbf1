"""The configuration: a frozen tree of settings, each with its default, its limits and its documentation.

`load_config` reads it from the flags, the environment and `bridge.toml`; docs/reference/configuration.md is generated
from it. Owns nothing that changes. Must not know who uses the settings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from bridge.settings.anomaly_table import AnomaliesConfig
from bridge.settings.door_tables import KeysConfig, ServerConfig, door_mistakes
from bridge.settings.errors import ConfigError, Problem
from bridge.settings.fields import KIB, MIB, Address, Flag, Int, Name, Number, Seconds, Section, Size, parse_size
from bridge.settings.model_tables import BudgetConfig, EmbeddingConfig, ModelConfig, SpendingConfig, model_mistakes
from bridge.settings.program_table import ProgramsConfig
from bridge.settings.replay_table import ReplayConfig
from bridge.settings.route_tables import BreakersConfig, FunctionName, RouteConfig, route_mistakes
from bridge.settings.secret_references import looks_secret, resolve_secret
from bridge.settings.tool_tables import (
    TOOLS_POOL,
    ToolHostsConfig,
    ToolServerConfig,
    tool_mistakes,
    with_tools_pool,
)
from bridge.settings.typed_table import TypedConfig

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

__all__ = ["Config", "ConfigError", "Problem", "ServerConfig", "load_config", "parse_size", "resolve_secret"]

DEFAULT_POOLS: dict[str, dict[str, Any]] = {
    "general": {"size": 2, "concurrency": 1},
    "llm": {"size": 1, "concurrency": 64},
    "embeddings": {"size": 1, "concurrency": 1},
}


class PoolConfig(Section):
    """A pool of worker processes."""

    size: Int = Field(2, ge=0, le=1024, description="Worker processes; 0 switches the pool off.")
    memory_limit: Size | None = Field(
        None, ge=16 * MIB, description="A worker above this much resident memory is ended; none means no limit."
    )
    memory_soft_limit: Size | None = Field(
        None, ge=16 * MIB, description="A worker above this much is replaced first and then retired; no call notices."
    )
    data_limit: Size | None = Field(
        None,
        ge=16 * MIB,
        description="RLIMIT_DATA of a worker: allocating beyond it raises MemoryError in the function.",
    )
    tasks_limit: Int | None = Field(
        4096, ge=16, description="Processes and threads that a worker may have, where it has a cgroup of its own."
    )
    min_size: Int | None = Field(None, ge=1, le=1024, description="The fewest workers that scaling leaves.")
    max_size: Int | None = Field(None, ge=1, le=1024, description="The most workers that scaling starts.")
    scale_up_wait_s: Seconds = Field(0.5, description="A worker is added when a call has waited this long.")
    scale_down_idle_s: Seconds = Field(60.0, description="A worker is removed when one was idle all this long.")
    max_calls: Int | None = Field(None, ge=1, description="A worker is replaced after about so many calls.")
    max_age_s: Seconds | None = Field(None, description="A worker is replaced at about this age.")
    start: Literal["auto", "template", "spawn"] = Field(
        "auto",
        description="How workers start: `template` forks them from a process that has imported everything, `spawn` "
        "starts each afresh, `auto` forks where that is safe.",
    )
    cpus: tuple[tuple[Int, ...], ...] = Field(
        (), description="CPU affinity: the CPUs of the first worker, of the second, and so on in turn."
    )
    gpus: tuple[str, ...] = Field(
        (), description="CUDA_VISIBLE_DEVICES of the first worker, of the second, and so on in turn."
    )
    concurrency: Int = Field(1, ge=1, le=10_000, description="Calls that one worker takes at a time.")
    modules: tuple[str, ...] | None = Field(
        None,
        description="User code that its workers import: files or dotted names. Without it the pools `general` and "
        "`llm` import the served app and other pools import nothing.",
    )
    queue_limit: Int = Field(256, ge=0, description="Calls that may wait for a worker.")
    queue_bytes: Size = Field(256 * MIB, description="Bytes of requests that may wait for a worker.")
    quarantine_after: Int = Field(2, ge=0, description="An input that killed so many workers is refused; 0: none is.")
    quarantine_ttl_s: Seconds = Field(3600.0, description="How long such an input is refused.")
    retry_idempotent: Flag = Field(True, description="Whether idempotent calls are retried when their worker dies.")
    stall_after_s: Seconds | None = Field(
        None, description="A worker whose call runs longer is ended, whatever the call's deadline; none never does."
    )
    restart_budget: Int = Field(
        10,
        ge=1,
        description="After so many deaths of workers in a minute the pool, where none is ready, counts as failed.",
    )
    grace_s: Seconds = Field(
        1.0, description="How long a call may take to stop after its deadline or cancel, before its worker is killed."
    )
    drain_hold_s: Seconds = Field(
        30.0, description="How long a worker that is being retired serves the strict sessions that are bound to it."
    )
    start_timeout_s: Seconds = Field(300.0, description="How long a worker may take to import and warm up.")
    anomalies: Literal["off", "observe", "act"] = Field(
        "observe",
        description="What follows when a worker is slow, fails or runs out of memory, when a function fails or the "
        "queue grows: `observe` tells, `act` also replaces the worker, opens a circuit breaker or adds workers.",
    )
    threads: Int = Field(1, ge=1, le=1024, description="Threads of numeric libraries in a worker (OMP_NUM_THREADS).")
    nice: Int = Field(0, ge=0, le=19, description="Added to the niceness of its workers; 19 is the least urgent.")
    env: dict[str, str] = Field(
        {}, repr=False, description="Environment variables of its workers. Values may be references to secrets."
    )

    @model_validator(mode="after")
    def _check_sizes(self) -> Self:
        least, most = self.min_size or self.size, self.max_size or self.size
        if self.size and not least <= self.size <= most:
            raise ValueError(f"size is {self.size}; it must lie between min_size ({least}) and max_size ({most})")
        if self.memory_soft_limit and self.memory_limit and self.memory_soft_limit >= self.memory_limit:
            raise ValueError("memory_soft_limit must be less than memory_limit")
        return self

    @field_validator("env")
    @classmethod
    def _check_env(cls, env: dict[str, str]) -> dict[str, str]:
        for name, value in env.items():
            if not name or "=" in name or "\0" in name + value:
                raise ValueError(f"{name!r} can not be set in an environment; it has '=' or NUL, or no name")
            if looks_secret(name, value):
                raise ValueError(
                    f"{name} looks like a secret; put it into an environment variable and write 'env:{name}' here, "
                    "or 'literal:...' if it is none"
                )
        return env


class HealthConfig(Section):
    """Health of the pools, proved by calls that go through them."""

    max_age_s: Seconds = Field(10.0, description="How old the last proof may be before a pool counts as unhealthy.")
    interval_s: Seconds = Field(2.0, description="How long a pool may be without a proof before a canary call is made.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.interval_s >= self.max_age_s:
            raise ValueError(f"interval_s is {self.interval_s:g}; it must be less than max_age_s ({self.max_age_s:g})")
        return self


class NativeConfig(Section):
    """Functions that run in the front process."""

    max_request_bytes: Size = Field(64 * KIB, description="Larger requests of native functions go to a worker.")
    concurrency: Int = Field(64, ge=1, le=10_000, description="Native calls that run at a time.")
    max_p99_ms: Number = Field(
        5.0,
        gt=0,
        le=10_000,
        description="With placement auto: calls go to a worker where 1 of 100 like them took longer than this.",
    )
    copies: Number = Field(
        0.01,
        ge=0,
        le=1,
        description="With placement auto: the part of calls that run a second time where they did not go, with the "
        "answer thrown away, so that what is known of both ways stays true; 0 for none.",
    )


class MultiplexConfig(Section):
    """Streams of many calls (InvokeService.Multiplex)."""

    max_open_calls: Int = Field(
        2048,
        ge=1,
        le=100_000,
        description="Calls of one stream that may be open; no more are read until one has ended.",
    )
    max_open_bytes: Size = Field(
        64 * MIB,
        description="Bytes that the requests of one stream's open calls may take, and as many that its answers may "
        "while they wait to be sent; beyond either, no more calls are read.",
    )
    max_pack_calls: Int = Field(
        64, ge=1, le=64, description="Quick calls that go to a worker together, as one message; 1 sends each by itself."
    )


class SessionsConfig(Section):
    """Sessions, which keep their calls on one worker."""

    ttl_s: Seconds = Field(3600.0, description="A session ends after this long without a call.")
    max_sessions: Int = Field(10_000, ge=1, description="Sessions that may be open at a time.")
    max_per_tenant: Int | None = Field(None, ge=1, description="Sessions that one tenant may have open; none: all.")
    max_calls: Int = Field(
        128,
        ge=1,
        description="Calls of one session that may wait or run at a time, so that none fills the queue of a pool.",
    )
    evict_idle_s: Seconds | None = Field(
        None,
        description="When `max_sessions` are open, the one that has been longest without a call is ended to make room, "
        "if that is at least so long; none refuses the new one instead.",
    )
    end_hook_timeout_s: Seconds = Field(
        5.0, description="How long the functions that are told of a session's end may take."
    )
    max_variables: Int = Field(64, ge=0, description="Variables of one session.")
    max_value_bytes: Size = Field(64 * KIB, description="The largest value of a variable.")
    max_session_bytes: Size = Field(MIB, description="What the variables of one session may take.")
    max_total_bytes: Size = Field(256 * MIB, description="What the variables of all sessions may take.")
    max_watchers: Int = Field(32, ge=1, description="Streams that may watch one session.")


class LogConfig(Section):
    """The log, on stderr."""

    level: Literal["debug", "info", "warning", "error"] = Field("info", description="The least level that is written.")
    format: Literal["auto", "human", "json"] = Field(
        "auto", description="`human` for people, `json` for machines, `auto` by whether stderr is a terminal."
    )


class MetricsConfig(Section):
    """Figures for Prometheus. They need the extra `prometheus`."""

    address: Address | None = Field(
        None, description="Where /metrics is served over HTTP, such as `127.0.0.1:9464`; none serves no metrics."
    )


class Config(Section):
    """All settings of the bridge."""

    server: ServerConfig = Field(ServerConfig(), description="The gRPC server.")
    keys: KeysConfig = Field(KeysConfig(), description="API keys.")
    pools: dict[Name, PoolConfig] = Field(
        {},
        description="Pools of worker processes by name. `general`, `llm` and `embeddings` always exist; a table "
        "changes only what it names, and any other name adds a pool.",
    )
    models: dict[Name, ModelConfig] = Field({}, description="Language models by name.")
    budgets: dict[Name, BudgetConfig] = Field({}, description="Standing budgets for language models, by name.")
    spending: SpendingConfig = Field(SpendingConfig(), description="What standing budgets have spent.")
    embeddings: dict[Name, EmbeddingConfig] = Field({}, description="Embedding models by name.")
    programs: ProgramsConfig = Field(ProgramsConfig(), description="DSPy programs.")
    health: HealthConfig = Field(HealthConfig(), description="Health of the pools.")
    anomalies: AnomaliesConfig = Field(AnomaliesConfig(), description="When something is an anomaly.")
    native: NativeConfig = Field(NativeConfig(), description="Functions that run in the front process.")
    multiplex: MultiplexConfig = Field(MultiplexConfig(), description="Streams of many calls.")
    sessions: SessionsConfig = Field(SessionsConfig(), description="Sessions.")
    routes: dict[FunctionName, RouteConfig] = Field(
        {}, description="Names that callers use, each answered by the best of several alternatives."
    )
    breakers: BreakersConfig = Field(BreakersConfig(), description="Circuit breakers.")
    replay: ReplayConfig = Field(
        ReplayConfig(), description="Calls that are saved, without secrets, to be run again by `bridge replay`."
    )
    tools: dict[Name, ToolServerConfig] = Field({}, description="MCP servers by name, whose tools programs may use.")
    tool_hosts: ToolHostsConfig = Field(ToolHostsConfig(), description="Tools that clients host.")
    typed: TypedConfig = Field(TypedConfig(), description="Typed services.")
    log: LogConfig = Field(LogConfig(), description="The log.")
    metrics: MetricsConfig = Field(MetricsConfig(), description="Figures for Prometheus.")

    @model_validator(mode="before")
    @classmethod
    def _add_tools_pool(cls, tables: Any) -> Any:
        return with_tools_pool(tables)

    @field_validator("pools", mode="before")
    @classmethod
    def _add_default_pools(cls, pools: Any) -> Any:
        if not isinstance(pools, dict):
            return pools
        merged: dict[str, Any] = {name: dict(values) for name, values in DEFAULT_POOLS.items()}
        for name, values in pools.items():
            merged[name] = {**merged.get(name, {}), **values} if isinstance(values, dict) else values
        return merged

    def mistakes(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """Yield what tables have wrong by comparison with other tables: the key, and the problem."""
        yield from door_mistakes(self.server, self.keys)
        yield from route_mistakes(self.routes, self.models, self.pools)
        yield from model_mistakes(self.models, self.budgets)
        yield from tool_mistakes(self.tools, self.pools[TOOLS_POOL].concurrency if self.tools else 0)


def load_config(
    path: Path | None,
    *,
    overrides: Mapping[str, Any] | None = None,
    environ: Mapping[str, str],
    secrets: bool = True,
) -> Config:
    """Return the settings: `overrides` (dotted keys) over the environment (`BRIDGE_...`) over the file over defaults.

    Without a `path`, `bridge.toml` of the working directory is read if it is there. With `secrets`, every reference is
    looked up once, so that a missing one is found here. Raises ConfigError with every problem at once.
    """
    from bridge.settings.loading import load

    return load(Config, path, overrides or {}, environ, secrets=secrets)

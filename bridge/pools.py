"""Which pools there are and what each is told: pure, from the configuration to the records of `pool` and `handlers`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

import msgspec

from bridge.config import resolve_secret
from bridge.gateway.model_options import model_options
from bridge.settings.replay_table import replay_options
from bridge.settings.tool_tables import TOOLS_POOL
from bridge.tools.servers import tool_server_options
from bridge.v1.invoke_pb2 import CallRequest
from handlers.contract import CallMeta, CreatedOptions, EmbeddingOptions, EntryOptions
from pool.options import Canary, PoolOptions
from pool.restart import RestartOptions

if TYPE_CHECKING:
    from bridge.config import Config, PoolConfig
    from handlers.registry import Snapshot

ENTRY = "handlers.entry:open_entry"
BUILTINS: Mapping[str, tuple[str, ...]] = {
    "general": ("core", "metrics"),
    "llm": ("core", "models"),
    "embeddings": ("core", "embeddings", "metrics"),
    TOOLS_POOL: ("core", "tools"),
}
"""Families of built-ins by pool; any other pool has the core alone."""
CREATED_POOL = "llm"
"""The pool that runs programs which clients create."""
APP_POOLS = ("general", "llm")
"""Pools that import the served app where their `modules` is not set."""
_NEEDS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "llm": ("dspy", ("dspy", "litellm")),
    "embeddings": ("embeddings", ("sentence_transformers",)),
    TOOLS_POOL: ("mcp", ("mcp",)),
}
"""Built-in pools that need an extra, with the libraries of which one must be there."""
_NAMES: Mapping[str, tuple[tuple[str, str], ...]] = {
    "llm": (("bridge.models.", "llm"),),
    TOOLS_POOL: (("bridge.tools.", TOOLS_POOL),),
    "embeddings": (("bridge.embeddings.", "embeddings"), ("bridge.metrics.semantic_similarity", "embeddings")),
}
CANARY = Canary(
    function="bridge.canary",
    meta=msgspec.msgpack.encode(CallMeta("InvokeService/Call")),
    body=CallRequest(function="bridge.canary").SerializeToString(),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolPlan:
    """The pools to make, and those that are not made: name -> extra."""

    pools: tuple[PoolOptions, ...]
    missing: Mapping[str, str]
    off: tuple[str, ...]
    """Pools whose size is 0."""

    @property
    def missing_functions(self) -> dict[str, str]:
        """The extra that functions need, by prefix of their names."""
        return {prefix: extra for name in self.missing for prefix, extra in _NAMES.get(name, ())}

    @property
    def off_functions(self) -> dict[str, str]:
        """The pool that functions need and that is switched off, by prefix of their names."""
        return {prefix: name for name in self.off for prefix, _ in _NAMES.get(name, ())}


def plan(config: Config, apps: tuple[str, ...], environ: Mapping[str, str], *, created: bool = False) -> PoolPlan:
    """Return the pools that `config` asks for, as far as their extras are installed.

    `created` says that there are created programs already.
    """
    made, missing, off = [], {}, []
    for name, pool in config.pools.items():
        if pool.size == 0:
            off.append(name)
        elif (extra := missing_extra(name)) is not None:
            missing[name] = extra
        else:
            made.append(_options(name, pool, config, apps, environ, created))
    return PoolPlan(pools=tuple(made), missing=missing, off=tuple(off))


def missing_extra(pool: str) -> str | None:
    """Return the extra that a built-in pool lacks, or None."""
    extra, libraries = _NEEDS.get(pool, ("", ()))
    return extra if libraries and not any(find_spec(library) for library in libraries) else None


def entry_options(
    pool: str,
    modules: tuple[str, ...],
    config: Config,
    environ: Mapping[str, str],
    *,
    native_only: bool = False,
    created: bool = False,
) -> EntryOptions:
    """Return what the entry of a pool, or of the front, is opened with. It may hold secrets: never log it.

    Language models and their keys go only where they are used: to the pool that serves them and the app's programs, and
    to pools with modules of their own, which may serve programs too.
    """
    builtins = ("core", "metrics") if native_only else BUILTINS.get(pool, ("core",))
    if config.server.chaos and not native_only:
        builtins = (*builtins, "chaos")
    own_modules = pool in config.pools and bool(config.pools[pool].modules)
    runs_created = pool == CREATED_POOL and not native_only
    uses_models = not native_only and ("models" in builtins or own_modules)
    return EntryOptions(
        pool=pool,
        modules=modules,
        builtins=builtins,
        tool_servers=tool_server_options(config, environ) if pool == TOOLS_POOL else {},
        models=model_options(config, environ) if uses_models else {},
        embeddings=_embeddings(config),
        expose_tracebacks=config.server.expose_tracebacks,
        max_message_bytes=config.server.max_message_bytes,
        native_only=native_only,
        created=CreatedOptions(preload=created, allow_code=config.programs.allow_code) if runs_created else None,
        artefacts=config.programs.artefacts,
        source_changes=config.programs.source_changes,
        replay=None if native_only else replay_options(config, pool),
    )


def native_options(snapshot: Snapshot, config: Config, environ: Mapping[str, str]) -> EntryOptions:
    """Return what the front's own entry is opened with: the user modules of functions that may run there, no others."""
    modules = {spec.module for spec in snapshot.functions if spec.placement != "pooled" and spec.module}
    return entry_options("general", tuple(sorted(modules)), config, environ, native_only=True)


def _options(
    name: str, pool: PoolConfig, config: Config, apps: tuple[str, ...], environ: Mapping[str, str], created: bool
) -> PoolOptions:
    modules = pool.modules if pool.modules is not None else (apps if name in APP_POOLS else ())
    return PoolOptions(
        name=name,
        entry=ENTRY,
        entry_options=msgspec.json.encode(entry_options(name, modules, config, environ, created=created)),
        canary=CANARY,
        size=pool.size,
        min_size=pool.min_size,
        max_size=pool.max_size,
        scale_up_wait_s=pool.scale_up_wait_s,
        scale_down_idle_s=pool.scale_down_idle_s,
        start=pool.start,
        cpus=pool.cpus,
        gpus=pool.gpus,
        concurrency=pool.concurrency,
        queue_limit=pool.queue_limit,
        queue_bytes=pool.queue_bytes,
        memory_limit_bytes=pool.memory_limit,
        memory_soft_limit_bytes=pool.memory_soft_limit,
        data_limit_bytes=pool.data_limit,
        cgroups=config.server.cgroups,
        tasks_limit=pool.tasks_limit,
        max_calls=pool.max_calls,
        max_age_s=pool.max_age_s,
        check_interval_s=config.health.interval_s,
        stall_after_s=pool.stall_after_s,
        quarantine_after=pool.quarantine_after,
        quarantine_ttl_s=pool.quarantine_ttl_s,
        retry_idempotent=pool.retry_idempotent,
        drain_hold_s=pool.drain_hold_s,
        grace_s=pool.grace_s,
        start_timeout_s=pool.start_timeout_s,
        max_frame_bytes=config.server.max_message_bytes * 2,
        env=_environment(pool, environ),
        nice=pool.nice,
        restart=RestartOptions(budget=pool.restart_budget),
    )


def _environment(pool: PoolConfig, environ: Mapping[str, str]) -> dict[str, str]:
    """Return what a worker's environment has beside the front's: few threads, nothing fetched at import."""
    threads = str(pool.threads)
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS", "RAYON_NUM_THREADS")
    given = {
        key: resolve_secret(value, environ) if value.startswith(("env:", "file:", "literal:")) else value
        for key, value in pool.env.items()
    }
    return {
        **dict.fromkeys(names, threads),
        "TOKENIZERS_PARALLELISM": "false",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "MAX_IMAGE_URL_DOWNLOAD_SIZE_MB": "0",  # of LiteLLM, which would fetch the addresses that callers name
        **given,
    }


def _embeddings(config: Config) -> dict[str, EmbeddingOptions]:
    return {
        name: EmbeddingOptions(
            model=model.model,
            device=model.device,
            batch_size=model.batch_size,
            token_budget=model.token_budget,
            max_calls=model.max_calls,
            max_wait_s=model.max_wait_ms / 1000,
            allow_download=model.allow_download,
        )
        for name, model in config.embeddings.items()
    }


def front_environ() -> Mapping[str, str]:
    """Return the environment that references to secrets are looked up in."""
    return os.environ

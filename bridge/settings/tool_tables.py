"""The settings of tools: `[tool_hosts]` for those that clients host, `[tools.NAME]` for MCP servers."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from bridge.settings.fields import KIB, MIB, Int, Seconds, Section, Size
from bridge.settings.secret_references import looks_secret

TOOLS_POOL = "mcp"
"""The pool that calls tools of MCP servers: it is there where some are configured."""
_TOOLS_POOL = {"size": 1, "concurrency": 64}


def with_tools_pool(tables: Any) -> Any:
    """Return the tables of a configuration with the pool that its MCP servers need."""
    if not isinstance(tables, dict) or not tables.get("tools"):
        return tables
    pools = tables.get("pools")
    pools = dict(pools) if isinstance(pools, dict) else {}
    if isinstance(own := pools.get(TOOLS_POOL, {}), dict):
        pools[TOOLS_POOL] = {**_TOOLS_POOL, **own}
    return {**tables, "pools": pools}


def tool_mistakes(tools: Collection[str], concurrency: int) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield what the pool of MCP servers has wrong: the key, and the problem."""
    if tools and concurrency < 2:
        problem = "must be 2 or more: connections to MCP servers are kept by a worker that goes on between calls"
        yield ("pools", TOOLS_POOL, "concurrency"), problem


class ToolHostsConfig(Section):
    """Tools that clients host (ToolService)."""

    max_registrations: Int = Field(1000, ge=0, description="Registrations that may be kept at a time; 0 allows none.")
    max_per_tenant: Int = Field(100, ge=1, description="Registrations that one tenant may have.")
    max_tools: Int = Field(64, ge=1, le=1000, description="Tools of one registration.")
    max_schema_bytes: Size = Field(32 * KIB, description="What the description and the schema of one tool may take.")
    max_calls: Int = Field(
        256, ge=1, le=100_000, description="Calls of one registration that may be open, those that wait included."
    )
    max_result_bytes: Size = Field(MIB, description="The largest result of a tool.")
    resume_ttl_s: Seconds = Field(30.0, description="How long a registration is kept whose stream has broken.")


class ToolServerConfig(Section):
    """An MCP server, whose tools programs may name as `mcp:NAME`. It needs the extra `mcp`."""

    command: Annotated[tuple[str, ...], Field(min_length=1)] | None = Field(
        None, description="The command of a server that speaks over its standard input and output."
    )
    env: dict[str, str] = Field(
        {},
        repr=False,
        description="Environment variables of that command, beside PATH and HOME. Values may be references to secrets.",
    )
    cwd: str | None = Field(None, description="The folder that it runs in.")
    url: str | None = Field(None, description="The URL of a server that speaks streamable HTTP, instead of a command.")
    headers: dict[str, str] = Field(
        {}, repr=False, description="HTTP headers of its requests. Values may be references to secrets."
    )
    tools: tuple[str, ...] | None = Field(None, description="The tools that programs may use; none: all that it has.")
    on_error: Literal["observe", "abort"] = Field(
        "observe", description="Whether a failure is told to the model, or ends the run."
    )
    timeout_s: Seconds = Field(30.0, description="How long a call of a tool may take.")
    start_timeout_s: Seconds = Field(30.0, description="How long the server may take to start or to answer at first.")
    max_concurrent: Int = Field(16, ge=1, le=1000, description="Calls that may run at a time; more wait.")
    max_result_bytes: Size = Field(MIB, description="The largest result of a tool.")

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: str | None) -> str | None:
        if url is not None and not re.match(r"https?://[^\s/]", url):
            raise ValueError("expected a URL such as 'http://127.0.0.1:8000/mcp'")
        return url

    @field_validator("env", "headers")
    @classmethod
    def _check_secrets(cls, values: dict[str, str]) -> dict[str, str]:
        for name, value in values.items():
            if not name or any(bad in name + value for bad in ("\0", "\r", "\n")):
                raise ValueError(f"{name!r} can not be set: it has a line end or NUL in it, or no name")
            if looks_secret(name, value):
                raise ValueError(
                    f"{name} looks like a secret; put it into an environment variable and write 'env:NAME' here, "
                    "or 'literal:...' if it is none"
                )
        return values

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.command is None) == (self.url is None):
            raise ValueError("expected command or url, one of the two")
        if self.url is None and self.headers:
            raise ValueError("headers belong to a server with a url")
        if self.command is None and (self.env or self.cwd):
            raise ValueError("env and cwd belong to a server with a command")
        return self

"""What workers are told of MCP servers: pure, from the configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.config import resolve_secret
from bridge.settings.secret_references import is_reference
from handlers.contract import ToolServerOptions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bridge.config import Config


def tool_server_options(config: Config, environ: Mapping[str, str]) -> dict[str, ToolServerOptions]:
    """Return the MCP servers, with their secrets."""
    return {
        name: ToolServerOptions(
            command=server.command or (),
            env=_resolved(server.env, environ),
            cwd=server.cwd,
            url=server.url,
            headers=_resolved(server.headers, environ),
            tools=server.tools,
            abort=server.on_error == "abort",
            timeout_s=server.timeout_s,
            start_timeout_s=server.start_timeout_s,
            max_concurrent=server.max_concurrent,
            max_result_bytes=server.max_result_bytes,
        )
        for name, server in config.tools.items()
    }


def _resolved(values: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    return {name: resolve_secret(text, environ) if is_reference(text) else text for name, text in values.items()}

"""The settings of tools: `[tool_hosts]` for those that clients host, `[tools.NAME]` for MCP servers."""

from __future__ import annotations

from pydantic import Field

from bridge.settings.fields import KIB, MIB, Int, Seconds, Section, Size


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

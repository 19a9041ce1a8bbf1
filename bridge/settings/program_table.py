"""The settings of `[programs]`: programs that clients create."""

from __future__ import annotations

from pydantic import Field

from bridge.settings.fields import Flag, Int, Section


class ProgramsConfig(Section):
    """Programs that clients create (ProgramService.CreateProgram). They run in the pool `llm`."""

    directory: str | None = Field(
        None,
        min_length=1,
        description="Where they are kept, each version as a file; of one server alone. None keeps them in memory, and "
        "they are gone when the server stops.",
    )
    max_programs: Int = Field(1000, ge=0, le=10_000, description="How many there may be; 0 lets nobody create any.")
    max_versions: Int = Field(1000, ge=1, le=10_000, description="Versions that one may have.")
    allow_code: Flag = Field(
        False,
        description="Whether programs may run code that a model wrote (ProgramOfThought, CodeAct, RLM), in a sandbox.",
    )

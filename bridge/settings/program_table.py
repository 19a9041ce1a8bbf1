"""The settings of DSPy programs: `[programs]`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from bridge.settings.fields import Flag, Int, Section


class ProgramsConfig(Section):
    """DSPy programs: those that clients create, which run in the pool `llm`, and saved states of the app's own."""

    directory: str | None = Field(
        None,
        min_length=1,
        description="Where programs that clients create are kept, each version as a file; of one server alone. None "
        "keeps them in memory, and they are gone when the server stops.",
    )
    max_programs: Int = Field(
        1000, ge=0, le=10_000, description="Programs that clients may have created; with 0 nobody can create any."
    )
    max_versions: Int = Field(1000, ge=1, le=10_000, description="Versions that a created program may have.")
    allow_code: Flag = Field(
        False,
        description="Whether created programs may run code that a model wrote (ProgramOfThought, CodeAct, RLM), in a "
        "sandbox.",
    )
    artefacts: str = Field(
        "",
        description="The directory of the saved states of the app's programs, as `bridge program save` writes them; "
        "without it programs are as their files have them.",
    )
    source_changes: Literal["refuse", "warn"] = Field(
        "refuse",
        description="What follows where the files of a program are not those that its state was saved with.",
    )

"""The settings of DSPy programs: `[programs]`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from bridge.settings.fields import MIB, Flag, Int, Seconds, Section, Size


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
    resume_ttl_s: Seconds = Field(
        60.0,
        description="How long a resumable run waits for its client to take up its stream again; then it is cancelled, "
        "or, where it has ended, forgotten.",
    )
    resume_max_runs: Int = Field(
        256, ge=0, le=100_000, description="Resumable runs that are kept at a time; with 0 no run is resumable."
    )
    resume_max_events: Int = Field(
        10_000, ge=1, le=1_000_000, description="Events that are kept of one run; beyond that the oldest are forgotten."
    )
    resume_max_bytes: Size = Field(4 * MIB, ge=1, description="Bytes of events that are kept of one run.")

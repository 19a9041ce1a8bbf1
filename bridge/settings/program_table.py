"""The settings of DSPy programs: `[programs]`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from bridge.settings.fields import Section


class ProgramsConfig(Section):
    """DSPy programs."""

    artefacts: str = Field(
        "",
        description="The directory of the saved states of the app's programs, as `bridge program save` writes them; "
        "without it programs are as their files have them.",
    )
    source_changes: Literal["refuse", "warn"] = Field(
        "refuse",
        description="What follows where the files of a program are not those that its state was saved with.",
    )

"""The settings of `[typed]`: services with a method per function, in the types of its signature."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from bridge.settings.fields import Section
from handlers.typed.lock import FILE_NAME
from handlers.typed.names import check_package


class TypedConfig(Section):
    """Typed services: `/PACKAGE.Service/Method` for every function and program of the app."""

    services: Literal["auto", "on", "off"] = Field(
        "auto",
        description="Whether they are served: `auto` where the lock file is there, which `bridge proto export` writes; "
        "`on` also without it, with numbers that change when a signature does.",
    )
    lock: str = Field(FILE_NAME, description="The lock file, which keeps the numbers of fields.")
    package: str = Field(
        "", description="Their package where there is no lock file; none makes one of the app's name, such as `app.v1`."
    )

    @field_validator("package")
    @classmethod
    def _check_package(cls, package: str) -> str:
        return check_package(package) if package else package

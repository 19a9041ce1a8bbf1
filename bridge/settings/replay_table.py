"""The settings of calls that are saved to be run again: `[replay]`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from bridge.settings.fields import KIB, MIB, Flag, Int, Number, Section, Size
from handlers.contract import ReplayOptions

if TYPE_CHECKING:
    from bridge.config import Config


class ReplayConfig(Section):
    """Calls that are saved, without secrets, to be run again by `bridge replay`."""

    directory: str | None = Field(
        None, description="Where calls are saved, for the owner of the server alone; none saves none."
    )
    failed: Flag = Field(True, description="Whether every call that fails is saved.")
    sample: Number = Field(
        0.0, ge=0, le=1, description="The part of the other calls that is saved: 0.01 is one of 100."
    )
    max_bytes: Size = Field(MIB, ge=4 * KIB, description="A call that takes more is not saved.")
    keep: Int = Field(100, ge=1, le=100_000, description="Calls that are kept; the oldest go.")
    scrub: tuple[str, ...] = Field(
        (),
        description="Names of fields, at any depth, whose values are never saved, nor anything that says the same.",
    )


def replay_options(config: Config, pool: str) -> ReplayOptions | None:
    """Return what the workers of a pool are told; None where nothing is saved."""
    replay = config.replay
    if replay.directory is None or not (replay.failed or replay.sample):
        return None
    env = config.pools[pool].env if pool in config.pools else {}
    return ReplayOptions(
        directory=replay.directory,
        failed=replay.failed,
        sample=replay.sample,
        max_bytes=replay.max_bytes,
        keep=replay.keep,
        scrub=replay.scrub,
        variables=tuple(name for name, value in env.items() if value.startswith(("env:", "file:"))),
    )

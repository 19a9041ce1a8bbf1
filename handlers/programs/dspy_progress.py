"""DSPy's progress bars, which nobody sees in a worker, and which fail where several calls draw theirs at once.

Each run of its parallel executor empties the list that all bars of the process share, and a bar that is gone from it by
then fails with a KeyError: the call fails. Here its executor has bars that draw nothing and share nothing.

Changes a module of DSPy for this process, when it is told to; `tqdm` itself is as ever.
"""

from __future__ import annotations

from typing import Any

from dspy.utils import parallelizer


class _AllBars:
    """What the bars of a process share: nothing."""

    def clear(self) -> None:
        """Have nothing to forget."""


class _NoBar:
    """A bar as the executor uses one."""

    _instances = _AllBars()

    def __init__(self, **_options: Any) -> None:
        pass

    def set_description(self, text: str) -> None:
        """Show nothing."""

    def update(self) -> None:
        """Count nothing."""

    def close(self) -> None:
        """End nothing."""


class _Tqdm:
    """The module `tqdm`, as far as the executor uses it."""

    tqdm = _NoBar


def apply() -> None:
    """Draw no bars from now on, in this process."""
    parallelizer.tqdm = _Tqdm

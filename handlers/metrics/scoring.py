"""The records that metrics share: what is scored, and what comes out.

It owns no state and knows no metric, no protobuf and no library.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import fmean
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from handlers.metrics.parameters import Parameters


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A prediction and one or more right answers."""

    prediction: str
    references: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """A metric's value and the parts it is made from."""

    value: float
    details: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """One score per example in their order, the score of all together, and the library's signature, if it has one."""

    scores: tuple[Score, ...]
    aggregate: Score
    signature: str = ""


if TYPE_CHECKING:
    Scorer = Callable[[Sequence[Example], Parameters, bool], Scored]
    """Scores examples. The flag asks for the corpus score as the aggregate, where the metric defines one."""


def mean(scores: Sequence[Score]) -> Score:
    """Return the arithmetic mean of the values and of each detail. At least one score; all have the same details."""
    return Score(
        value=fmean(score.value for score in scores),
        details={name: fmean(score.details[name] for score in scores) for name in scores[0].details},
    )


def best(scores: Sequence[Score]) -> Score:
    """Return the score with the highest value, the first of several. At least one score."""
    return max(scores, key=lambda score: score.value)

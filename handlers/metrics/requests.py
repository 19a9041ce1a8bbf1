"""From metric requests to responses: one metric, its parameters and examples, checked.

It owns no state. It must not know how bytes arrive, nor which library computes a metric.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.v1 import metric_pb2 as pb
from handlers.errors import BadInput
from handlers.metrics.parameters import parse
from handlers.metrics.scoring import Example, Score

if TYPE_CHECKING:
    from handlers.metrics.catalog import MetricEntry
    from handlers.metrics.scoring import Scorer


def score(entry: MetricEntry, scorer: Scorer, request: pb.ScoreRequest) -> pb.ScoreResponse:
    """Score one example."""
    _check_metric(entry, request.metric)
    parameters = parse(entry.parameters, request.parameters)
    if not request.HasField("example"):
        raise _bad("example", "expected a prediction and its references, got none")
    result = scorer([_read(request.example, "example")], parameters, False)
    return pb.ScoreResponse(
        score=_write(result.scores[0]), parameters=parameters.model_dump_json(), signature=result.signature
    )


def score_batch(entry: MetricEntry, scorer: Scorer, request: pb.ScoreBatchRequest) -> pb.ScoreBatchResponse:
    """Score each example, and all together."""
    _check_metric(entry, request.metric)
    parameters = parse(entry.parameters, request.parameters)
    if not request.examples:
        raise _bad("examples", "expected at least one example, got none")
    examples = [_read(example, f"examples[{index}]") for index, example in enumerate(request.examples)]
    result = scorer(examples, parameters, True)
    return pb.ScoreBatchResponse(
        scores=[_write(each) for each in result.scores],
        aggregate=_write(result.aggregate),
        parameters=parameters.model_dump_json(),
        signature=result.signature,
    )


def _check_metric(entry: MetricEntry, asked: str) -> None:
    if asked not in {"", entry.name}:
        raise _bad("metric", f"expected {entry.name!r} or nothing for the function {entry.function}, got {asked!r}")


def _read(example: pb.ScoredExample, path: str) -> Example:
    if not example.references:
        raise _bad(f"{path}.references", "expected at least one reference, got none")
    return Example(prediction=example.prediction, references=tuple(example.references))


def _write(result: Score) -> pb.MetricScore:
    return pb.MetricScore(value=result.value, details=result.details)


def _bad(path: str, problem: str) -> BadInput:
    return BadInput(f"{path}: {problem}.", violations=((path, problem),))

"""Embeddings and metrics: `client.embeddings` and `client.metrics`, sync and async. Owns no state."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from bridge_client import convert
from bridge_client.records import BatchScore, Embeddings, MetricInfo, Score, Similarities
from bridge_client.v1 import embedding_pb2, metric_pb2
from bridge_client.wire import Operation, operation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bridge_client.async_wire import AsyncWire
    from bridge_client.sync_wire import SyncWire

SimilarityName = Literal["cosine", "dot", "euclidean", "manhattan"]
Texts = str | Sequence[str]

_SIMILARITIES: Mapping[str, embedding_pb2.SimilarityFunction] = {
    "cosine": embedding_pb2.SIMILARITY_FUNCTION_COSINE,
    "dot": embedding_pb2.SIMILARITY_FUNCTION_DOT,
    "euclidean": embedding_pb2.SIMILARITY_FUNCTION_EUCLIDEAN,
    "manhattan": embedding_pb2.SIMILARITY_FUNCTION_MANHATTAN,
}


class EmbeddingModels:
    """The embedding models of the server's configuration."""

    def __init__(self, wire: SyncWire) -> None:
        self._wire = wire

    def embed(self, texts: Texts, *, model: str = "", normalize: bool = True) -> Embeddings:
        """One vector per text, by default of length 1."""
        return self._wire.unary(_embed(texts, model, normalize))

    def similarity(
        self, left: Texts, right: Texts, *, pairwise: bool = False, function: SimilarityName = "cosine", model: str = ""
    ) -> Similarities:
        """Compare each left text with each right one or, with `pairwise`, the first with the first and so on."""
        return self._wire.unary(_similarity(left, right, pairwise, function, model))


class AsyncEmbeddingModels:
    """The embedding models of the server's configuration."""

    def __init__(self, wire: AsyncWire) -> None:
        self._wire = wire

    async def embed(self, texts: Texts, *, model: str = "", normalize: bool = True) -> Embeddings:
        """One vector per text, by default of length 1."""
        return await self._wire.unary(_embed(texts, model, normalize))

    async def similarity(
        self, left: Texts, right: Texts, *, pairwise: bool = False, function: SimilarityName = "cosine", model: str = ""
    ) -> Similarities:
        """Compare each left text with each right one or, with `pairwise`, the first with the first and so on."""
        return await self._wire.unary(_similarity(left, right, pairwise, function, model))


class Metrics:
    """The server's evaluation metrics."""

    def __init__(self, wire: SyncWire) -> None:
        self._wire = wire

    def score(self, metric: str, prediction: str, references: Texts, /, **parameters: Any) -> Score:
        """Score one prediction against one or more right answers."""
        return self._wire.unary(_score(metric, prediction, references, parameters))

    def score_batch(
        self, metric: str, predictions: Sequence[str], references: Sequence[Texts], /, **parameters: Any
    ) -> BatchScore:
        """Score many predictions, each by itself and all together; `references` has one entry per prediction."""
        return self._wire.unary(_score_batch(metric, predictions, references, parameters))

    def list(self) -> tuple[MetricInfo, ...]:
        """All metrics, in the order of names."""
        return self._wire.unary(_list())


class AsyncMetrics:
    """The server's evaluation metrics."""

    def __init__(self, wire: AsyncWire) -> None:
        self._wire = wire

    async def score(self, metric: str, prediction: str, references: Texts, /, **parameters: Any) -> Score:
        """Score one prediction against one or more right answers."""
        return await self._wire.unary(_score(metric, prediction, references, parameters))

    async def score_batch(
        self, metric: str, predictions: Sequence[str], references: Sequence[Texts], /, **parameters: Any
    ) -> BatchScore:
        """Score many predictions, each by itself and all together; `references` has one entry per prediction."""
        return await self._wire.unary(_score_batch(metric, predictions, references, parameters))

    async def list(self) -> tuple[MetricInfo, ...]:
        """All metrics, in the order of names."""
        return await self._wire.unary(_list())


def _many(texts: Texts) -> Sequence[str]:
    return [texts] if isinstance(texts, str) else texts


def _embed(texts: Texts, model: str, normalize: bool) -> Operation[Embeddings]:
    request = embedding_pb2.EmbedRequest(model=model, texts=_many(texts), normalize=normalize)
    return operation("EmbeddingService/Embed", request, embedding_pb2.EmbedResponse, convert.embeddings)


def _similarity(left: Texts, right: Texts, pairwise: bool, function: str, model: str) -> Operation[Similarities]:
    if function not in _SIMILARITIES:
        msg = f"expected a function of {', '.join(_SIMILARITIES)}, got {function!r}"
        raise ValueError(msg)
    request = embedding_pb2.SimilarityRequest(
        model=model, left=_many(left), right=_many(right), function=_SIMILARITIES[function], pairwise=pairwise
    )
    return operation("EmbeddingService/Similarity", request, embedding_pb2.SimilarityResponse, convert.similarities)


def _score(metric: str, prediction: str, references: Texts, parameters: Mapping[str, Any]) -> Operation[Score]:
    request = metric_pb2.ScoreRequest(
        metric=metric,
        example=metric_pb2.ScoredExample(prediction=prediction, references=_many(references)),
        parameters=_to_json(parameters),
    )
    return operation("MetricService/Score", request, metric_pb2.ScoreResponse, convert.score)


def _score_batch(
    metric: str, predictions: Sequence[str], references: Sequence[Texts], parameters: Mapping[str, Any]
) -> Operation[BatchScore]:
    if isinstance(predictions, str) or isinstance(references, str) or len(predictions) != len(references):
        msg = "expected a list of predictions and a list of references of the same length, got " + (
            "text" if isinstance(predictions, str) or isinstance(references, str)
            else f"{len(predictions)} predictions and {len(references)} references"
        )  # fmt: skip
        raise ValueError(msg)
    examples = [
        metric_pb2.ScoredExample(prediction=prediction, references=_many(right))
        for prediction, right in zip(predictions, references, strict=True)
    ]
    request = metric_pb2.ScoreBatchRequest(metric=metric, examples=examples, parameters=_to_json(parameters))
    return operation("MetricService/ScoreBatch", request, metric_pb2.ScoreBatchResponse, convert.batch_score)


def _to_json(parameters: Mapping[str, Any]) -> str:
    return json.dumps(dict(parameters)) if parameters else ""


def _list() -> Operation[tuple[MetricInfo, ...]]:
    return operation(
        "MetricService/ListMetrics",
        metric_pb2.ListMetricsRequest(),
        metric_pb2.ListMetricsResponse,
        lambda reply: tuple(map(convert.metric_info, reply.metrics)),
    )

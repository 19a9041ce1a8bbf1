"""From embedding requests to responses: defaults, limits and checks, without knowing how bytes arrive.

It owns no state; the models it asks belong to `EmbeddingModels`. It must not know torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.v1 import embedding_pb2 as pb
from handlers.embeddings import similarity
from handlers.embeddings.models import check_finite, check_texts
from handlers.errors import BadInput, HandlerError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from handlers.embeddings.models import EmbeddingModels, Vectors

    Embedded = tuple[pb.EmbedResponse | HandlerError, float]

MAX_SCORES = 1_000_000
"""Scores that one reply may carry: 4 MB, which gRPC clients accept unless told otherwise."""

_FUNCTIONS: dict[int, similarity.Function] = {
    pb.SIMILARITY_FUNCTION_UNSPECIFIED: "cosine",
    pb.SIMILARITY_FUNCTION_COSINE: "cosine",
    pb.SIMILARITY_FUNCTION_DOT: "dot",
    pb.SIMILARITY_FUNCTION_EUCLIDEAN: "euclidean",
    pb.SIMILARITY_FUNCTION_MANHATTAN: "manhattan",
}


def embed_together(models: EmbeddingModels, asked: Sequence[pb.EmbedRequest]) -> list[Embedded]:
    """Answer several requests with few runs of their models: a response or a failure for each, and its tokens."""
    found: list[Embedded] = []
    by_model: dict[str, list[int]] = {}
    for index, request in enumerate(asked):
        try:
            name = models.resolve(request.model)
            check_texts(request.texts, "texts")
            by_model.setdefault(name, []).append(index)
        except HandlerError as error:
            found.append((error, 1.0))
        else:
            found.append((pb.EmbedResponse(), 1.0))
    for name, indices in by_model.items():
        texts = [text for index in indices for text in asked[index].texts]
        rows, lengths = models.embed_unchecked(name, texts, normalize=False)
        start = 0
        for index in indices:
            end = start + len(asked[index].texts)
            found[index] = _one(name, asked[index], rows[start:end]), float(1 + sum(lengths[start:end]))
            start = end
    return found


def _one(name: str, request: pb.EmbedRequest, rows: Vectors) -> pb.EmbedResponse | HandlerError:
    """Return the response to one of several requests, from its rows as the model made them."""
    try:
        check_finite(name, rows)
    except HandlerError as error:
        return error
    normalize = request.normalize if request.HasField("normalize") else True
    return _embedded(name, similarity.scaled(rows) if normalize else rows)


def embed(models: EmbeddingModels, request: pb.EmbedRequest) -> pb.EmbedResponse:
    """Return one vector per text, scaled to length 1 unless the request says no."""
    name = models.resolve(request.model)
    check_texts(request.texts, "texts")
    normalize = request.normalize if request.HasField("normalize") else True
    rows = models.embed(name, request.texts, normalize=normalize)
    return _embedded(name, rows)


def _embedded(name: str, rows: Vectors) -> pb.EmbedResponse:
    return pb.EmbedResponse(
        embeddings=[pb.Embedding(values=row) for row in rows.tolist()], model=name, dimensions=rows.shape[1]
    )


def compare(models: EmbeddingModels, request: pb.SimilarityRequest) -> pb.SimilarityResponse:
    """Compare the texts of the two lists by the vectors that the model makes, which are not rescaled first."""
    name = models.resolve(request.model)
    function = _function_of(request)
    left, right = list(request.left), list(request.right)
    _check_lists(left, right, pairwise=request.pairwise)
    rows = models.embed(name, left + right, normalize=False)
    first, second = rows[: len(left)], rows[len(left) :]
    if request.pairwise:
        return _respond(name, [similarity.compare_pairs(function, first, second).tolist()])
    return _respond(name, similarity.compare_all(function, first, second).tolist())


def _function_of(request: pb.SimilarityRequest) -> similarity.Function:
    function = _FUNCTIONS.get(request.function)
    if function is None:
        problem = f"expected a SimilarityFunction from 0 to {len(_FUNCTIONS) - 1}, got {request.function}"
        raise BadInput(f"function: {problem}.", violations=(("function", problem),))
    return function


def _check_lists(left: list[str], right: list[str], *, pairwise: bool) -> None:
    check_texts(left, "left")
    check_texts(right, "right")
    if pairwise and len(left) != len(right):
        problem = f"expected {len(left)} texts, as many as 'left' has, got {len(right)}"
        raise BadInput(
            f"right: {problem}. Send lists of one length, or leave out 'pairwise' to compare each with each.",
            violations=(("right", problem),),
        )
    if not pairwise and len(left) * len(right) > MAX_SCORES:
        problem = f"expected at most {MAX_SCORES} scores, got {len(left)} * {len(right)}"
        raise BadInput(f"right: {problem}. Compare in several requests.", violations=(("right", problem),))


def _respond(name: str, rows: Iterable[list[float]]) -> pb.SimilarityResponse:
    return pb.SimilarityResponse(rows=[pb.SimilarityRow(scores=row) for row in rows], model=name)

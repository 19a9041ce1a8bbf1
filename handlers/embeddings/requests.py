"""From embedding requests to responses: defaults, limits and checks, without knowing how bytes arrive.

It owns no state; the models it asks belong to `EmbeddingModels`. It must not know torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.v1 import embedding_pb2 as pb
from handlers.embeddings import similarity
from handlers.embeddings.models import check_texts
from handlers.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Iterable

    from handlers.embeddings.models import EmbeddingModels

MAX_SCORES = 1_000_000
"""Scores that one reply may carry: 4 MB, which gRPC clients accept unless told otherwise."""

_FUNCTIONS: dict[int, similarity.Function] = {
    pb.SIMILARITY_FUNCTION_UNSPECIFIED: "cosine",
    pb.SIMILARITY_FUNCTION_COSINE: "cosine",
    pb.SIMILARITY_FUNCTION_DOT: "dot",
    pb.SIMILARITY_FUNCTION_EUCLIDEAN: "euclidean",
    pb.SIMILARITY_FUNCTION_MANHATTAN: "manhattan",
}


def embed(models: EmbeddingModels, request: pb.EmbedRequest) -> pb.EmbedResponse:
    """Return one vector per text, scaled to length 1 unless the request says no."""
    name = models.resolve(request.model)
    check_texts(request.texts, "texts")
    normalize = request.normalize if request.HasField("normalize") else True
    rows = models.embed(name, request.texts, normalize=normalize)
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

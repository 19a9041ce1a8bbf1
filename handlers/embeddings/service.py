"""Embeddings as functions: what an entry opens, and by which RPCs it is called.

It owns the entry's `EmbeddingModels`. Opening is cheap: a model and its libraries are loaded by the first call or by
`warm_up`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.v1 import embedding_pb2 as pb
from handlers.embeddings import requests
from handlers.embeddings.models import EmbeddingModels
from handlers.proto_batches import BatchedProtoHandler
from handlers.proto_handler import ProtoHandler, Rpc

if TYPE_CHECKING:
    from collections.abc import Sequence

    from handlers.context import CallContext
    from handlers.contract import EntryOptions, Handler

_POOL = "embeddings"


def open_handlers(options: EntryOptions) -> list[Handler]:
    """Open the two functions over embedding models; neither is native."""
    if options.native_only:
        return []
    models = EmbeddingModels(options.embeddings)
    return [_open_embed(models), _open_similarity(models)]


def _open_embed(models: EmbeddingModels) -> ProtoHandler:
    def run(request: pb.EmbedRequest, context: CallContext) -> pb.EmbedResponse:
        del context
        return requests.embed(models, request)

    def run_batch(asked: Sequence[pb.EmbedRequest]) -> list[requests.Embedded]:
        return requests.embed_together(models, asked)

    return BatchedProtoHandler(
        Rpc(
            method="EmbeddingService/Embed",
            request=pb.EmbedRequest,
            response=pb.EmbedResponse,
            run=run,
            required=("texts",),
        ),
        name="bridge.embeddings.embed",
        doc="Turn texts into vectors, one per text in their order, scaled to length 1 unless 'normalize' is false.",
        idempotent=True,
        example={"texts": ["The cat sat on the mat.", "Interest rates rose again."]},
        pool=_POOL,
        warm_up=models.warm_up,
        preload=models.preload,
        batch=models.rule(),
        run_batch=run_batch,
    )


def _open_similarity(models: EmbeddingModels) -> ProtoHandler:
    def run(request: pb.SimilarityRequest, context: CallContext) -> pb.SimilarityResponse:
        del context
        return requests.compare(models, request)

    return ProtoHandler(
        Rpc(
            method="EmbeddingService/Similarity",
            request=pb.SimilarityRequest,
            response=pb.SimilarityResponse,
            run=run,
            required=("left", "right"),
        ),
        name="bridge.embeddings.similarity",
        doc="Compare two lists of texts by their vectors: each with each, or pairwise. Cosine unless 'function' says "
        "dot, euclidean or manhattan; distances are negated, so larger is always more alike.",
        idempotent=True,
        example={"left": ["The cat sat on the mat."], "right": ["A cat is sitting on a rug.", "Interest rates rose."]},
        pool=_POOL,
    )

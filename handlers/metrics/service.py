"""The metrics as functions: which of them an entry opens, and by which RPCs they are called.

It owns no state beyond the handlers it returns. Opening is cheap: each metric imports its library on its first
call, and says which extra to install where the library is missing.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from bridge.v1 import metric_pb2 as pb
from handlers.contract import MetricDetails
from handlers.embeddings.models import EmbeddingModels
from handlers.metrics import requests
from handlers.metrics.bleu import score_bleu
from handlers.metrics.catalog import METRICS, MetricEntry
from handlers.metrics.overlap import score_exact_match, score_token_f1
from handlers.metrics.rouge import score_rouge
from handlers.metrics.semantic import SemanticScorer
from handlers.proto_handler import ProtoHandler, Rpc

if TYPE_CHECKING:
    from handlers.context import CallContext
    from handlers.contract import EntryOptions, Handler
    from handlers.metrics.scoring import Scorer

_EXAMPLE = {"example": {"prediction": "The cat sat on the mat.", "references": ["A cat sat on the mat."]}}


def open_handlers(options: EntryOptions) -> list[Handler]:
    """Open the metrics of the entry's pool; for the front's own entry those whose placement is native."""
    scorers: dict[str, Scorer] = {
        "bleu": score_bleu,
        "exact_match": score_exact_match,
        "rouge": score_rouge,
        "semantic_similarity": SemanticScorer(EmbeddingModels(options.embeddings)),
        "token_f1": score_token_f1,
    }
    return [_open(entry, scorers[entry.name]) for entry in METRICS if _belongs(entry, options)]


def _belongs(entry: MetricEntry, options: EntryOptions) -> bool:
    return entry.placement == "native" if options.native_only else entry.pool == options.pool


def _open(entry: MetricEntry, scorer: Scorer) -> ProtoHandler:
    return ProtoHandler(
        Rpc(
            method="MetricService/Score",
            request=pb.ScoreRequest,
            response=pb.ScoreResponse,
            run=partial(_run, partial(requests.score, entry, scorer)),
            required=("example",),
            omit=("metric",),
        ),
        Rpc(
            method="MetricService/ScoreBatch",
            request=pb.ScoreBatchRequest,
            response=pb.ScoreBatchResponse,
            run=partial(_run, partial(requests.score_batch, entry, scorer)),
            required=("examples",),
            omit=("metric",),
        ),
        name=entry.function,
        doc=entry.doc,
        idempotent=True,
        example=_EXAMPLE,
        placement=entry.placement,
        pool=entry.pool,
        metric=MetricDetails(metric=entry.name, parameters_schema=entry.parameters_schema),
    )


def _run(answer: Any, request: Any, context: CallContext) -> Any:
    del context  # no metric needs to know who asks
    return answer(request)

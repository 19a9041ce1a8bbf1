"""Semantic similarity: the cosine between the embeddings of a prediction and of its references.

It owns no state; the models belong to `EmbeddingModels`, which loads them on first use. It must not know torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from handlers.embeddings.models import check_texts
from handlers.embeddings.similarity import compare_pairs
from handlers.metrics.scoring import Example, Score, Scored, best, mean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from handlers.embeddings.models import EmbeddingModels
    from handlers.metrics.parameters import Parameters, SemanticParameters


class SemanticScorer:
    """Scores with the embedding models of one entry."""

    def __init__(self, models: EmbeddingModels) -> None:
        self._models = models

    def __call__(self, examples: Sequence[Example], parameters: Parameters, corpus: bool) -> Scored:
        """Return the cosine, -1 to 1, with each example's nearest reference. The aggregate is the mean."""
        del corpus
        name = self._models.resolve(cast("SemanticParameters", parameters).model)
        texts = list(dict.fromkeys(text for each in examples for text in (each.prediction, *each.references)))
        check_texts(texts, "examples")
        rows = self._models.embed(name, texts, normalize=False)
        at = {text: index for index, text in enumerate(texts)}
        pairs = [(at[each.prediction], at[reference]) for each in examples for reference in each.references]
        left, right = zip(*pairs, strict=True)
        cosines = iter(compare_pairs("cosine", rows[list(left)], rows[list(right)]).tolist())
        scores = tuple(best([Score(value=next(cosines)) for _ in each.references]) for each in examples)
        return Scored(scores=scores, aggregate=mean(scores))

"""ROUGE, computed by rouge-score, which is imported by the first call (2.4 s and 170 MB, because it imports nltk).

Source: Lin, "ROUGE: A Package for Automatic Evaluation of Summaries", 2004; rouge-score is Google's implementation.
It owns no state. Nothing of nltk's data is needed or downloaded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from handlers.errors import ExtraMissing
from handlers.metrics.scoring import Example, Score, Scored, mean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from handlers.metrics.parameters import Parameters, RougeParameters


def score_rouge(examples: Sequence[Example], parameters: Parameters, corpus: bool) -> Scored:
    """Return the main type's F-measure, 0 to 1, of each example, with precision, recall and F-measure of each type.

    With several references each type takes the one with its highest F-measure. The aggregate is the mean.
    Raises ExtraMissing without rouge-score.
    """
    del corpus
    chosen = cast("RougeParameters", parameters)
    scorer = _scorer(chosen)
    scores = tuple(_score(scorer, example, chosen.rouge_types[0]) for example in examples)
    return Scored(scores=scores, aggregate=mean(scores))


def _scorer(parameters: RougeParameters) -> Any:
    try:
        from rouge_score.rouge_scorer import RougeScorer
    except ImportError as error:
        raise ExtraMissing.of("The metric 'rouge'", "metrics") from error
    # split_summaries would need nltk's punkt data; without it the sentences of rougeLsum are the lines.
    return RougeScorer(parameters.rouge_types, use_stemmer=parameters.use_stemmer, split_summaries=False)


def _score(scorer: Any, example: Example, main_type: str) -> Score:
    by_type = scorer.score_multi(example.references, example.prediction)
    details = {
        f"{rouge_type}.{part}": float(getattr(result, part))
        for rouge_type, result in by_type.items()
        for part in ("precision", "recall", "fmeasure")
    }
    return Score(value=details[f"{main_type}.fmeasure"], details=details)

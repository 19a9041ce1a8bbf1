"""Exact match and token F1, as the SQuAD evaluation defines them. Pure functions, standard library only.

Source: Rajpurkar et al., "SQuAD: 100,000+ Questions for Machine Comprehension of Text", 2016, section 6.1, with the
rule for empty answers of SQuAD 2.0 (Rajpurkar et al., "Know What You Don't Know", 2018).
"""

from __future__ import annotations

import re
import string
from collections import Counter
from typing import TYPE_CHECKING, cast

from handlers.metrics.scoring import Example, Score, Scored, best, mean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from handlers.metrics.parameters import Parameters, TextParameters

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalize_answer(text: str) -> str:
    """Lower the case, drop ASCII punctuation and the English articles, and leave one space between words."""
    bare = text.lower().translate(_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", bare).split())


def exact_match(prediction: str, reference: str, *, normalize: bool = True) -> float:
    """Return 1.0 where both texts are equal, after normalisation if asked for, else 0.0."""
    if normalize:
        prediction, reference = normalize_answer(prediction), normalize_answer(reference)
    return float(prediction == reference)


def token_f1(prediction: str, reference: str, *, normalize: bool = True) -> Score:
    """Return the harmonic mean of precision and recall over the bags of words, 0 to 1, with both as details.

    With c the number of words in common (counted with repeats): precision = c / words of the prediction,
    recall = c / words of the reference, F1 = 2 * precision * recall / (precision + recall). Where a side has no words,
    all three are 1.0 if the other has none either, else 0.0.
    """
    predicted, expected = _words(prediction, normalize), _words(reference, normalize)
    if not predicted or not expected:
        return _f1_score(*[float(predicted == expected)] * 3)
    common = (Counter(predicted) & Counter(expected)).total()
    if common == 0:
        return _f1_score(0.0, 0.0, 0.0)
    precision, recall = common / len(predicted), common / len(expected)
    # The same number as 2pr / (p + r), without its rounding: a text against itself gives exactly 1.
    return _f1_score(2 * common / (len(predicted) + len(expected)), precision, recall)


def score_exact_match(examples: Sequence[Example], parameters: Parameters, corpus: bool) -> Scored:
    """Score each example by its best reference; the aggregate is the mean."""
    del corpus
    normalize = cast("TextParameters", parameters).normalize
    return _best_of_each(
        [
            [Score(value=exact_match(example.prediction, each, normalize=normalize)) for each in example.references]
            for example in examples
        ]
    )


def score_token_f1(examples: Sequence[Example], parameters: Parameters, corpus: bool) -> Scored:
    """Score each example by its best reference; the aggregate is the mean."""
    del corpus
    normalize = cast("TextParameters", parameters).normalize
    return _best_of_each(
        [
            [token_f1(example.prediction, each, normalize=normalize) for each in example.references]
            for example in examples
        ]
    )


def _best_of_each(by_reference: list[list[Score]]) -> Scored:
    scores = tuple(best(each) for each in by_reference)
    return Scored(scores=scores, aggregate=mean(scores))


def _words(text: str, normalize: bool) -> list[str]:
    return (normalize_answer(text) if normalize else text).split()


def _f1_score(value: float, precision: float, recall: float) -> Score:
    return Score(value=value, details={"precision": precision, "recall": recall})

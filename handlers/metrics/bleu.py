"""BLEU, computed by sacrebleu, which is imported by the first call (0.1 s).

Source: Papineni et al., "BLEU: a Method for Automatic Evaluation of Machine Translation", 2002; Post, "A Call for
Clarity in Reporting BLEU Scores", 2018 (sacrebleu). It owns no state and leaves none behind in the library.
"""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING, Any, cast

from handlers.errors import ExtraMissing
from handlers.metrics.scoring import Example, Score, Scored, mean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from handlers.metrics.parameters import BleuParameters, Parameters


def score_bleu(examples: Sequence[Example], parameters: Parameters, corpus: bool) -> Scored:
    """Return BLEU, 0 to 100, of each example and, for a corpus, of all together, which is not the mean.

    Several references are used together, as BLEU defines it. The signature belongs to the aggregate.
    Raises ExtraMissing without sacrebleu.
    """
    chosen = cast("BleuParameters", parameters)
    each_text = _metric(chosen, effective_order=chosen.effective_order is not False)
    whole = _metric(chosen, effective_order=chosen.effective_order is True) if corpus else each_text
    try:
        scores = tuple(_score(each_text, [example]) for example in examples)
        aggregate = _score(whole, examples) if corpus else mean(scores)
        return Scored(scores=scores, aggregate=aggregate, signature=str(whole.get_signature()))
    finally:
        _forget_texts(each_text.tokenizer)


def _metric(parameters: BleuParameters, *, effective_order: bool) -> Any:
    try:
        from sacrebleu.metrics.bleu import BLEU
    except ImportError as error:
        raise ExtraMissing.of("The metric 'bleu'", "metrics") from error
    try:
        return BLEU(
            lowercase=parameters.lowercase,
            tokenize=parameters.tokenize,
            smooth_method=parameters.smooth_method,
            smooth_value=parameters.smooth_value,
            max_ngram_order=parameters.max_ngram_order,
            effective_order=effective_order,
        )
    except RuntimeError as error:
        if not parameters.tokenize.endswith("-mecab"):
            raise
        raise _tokenizer_missing(parameters.tokenize) from error


def _tokenizer_missing(tokenize: str) -> ExtraMissing:
    extra = tokenize.removesuffix("-mecab")
    install = f"pip install 'sacrebleu[{extra}]'"
    return ExtraMissing(
        f"The tokenizer {tokenize!r} needs packages that are not installed. Install them on the server: {install}",
        metadata={"install": install},
    )


def _score(metric: Any, examples: Sequence[Example]) -> Score:
    # sentence_score is the same with one text, and logs a warning where effective_order is off, even if asked for.
    streams = [list(stream) for stream in zip_longest(*(example.references for example in examples))]
    result = metric.corpus_score([example.prediction for example in examples], streams)
    details = {f"precision_{order}": value for order, value in enumerate(result.precisions, start=1)}
    details |= {
        "brevity_penalty": result.bp,
        "prediction_length": result.sys_len,
        "reference_length": result.ref_len,
    }
    return Score(value=result.score, details=details)


def _forget_texts(tokenizer: Any) -> None:
    """Empty the caches in which sacrebleu's tokenizers keep up to 65,536 texts for the life of the process."""
    for each in (tokenizer, getattr(tokenizer, "_post_tokenizer", None)):
        clear = getattr(type(each).__call__, "cache_clear", None)
        if clear is not None:
            clear()

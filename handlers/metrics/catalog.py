"""The metrics that exist: a fixed table that the front can list without any of the metrics' libraries.

It owns no state, imports no library of a metric and computes nothing; `installed` looks a library up without importing
it.
"""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

from handlers.errors import Unknown
from handlers.metrics.parameters import BleuParameters, Parameters, RougeParameters, SemanticParameters, TextParameters

if TYPE_CHECKING:
    from handlers.contract import PlacementName

FUNCTION_PREFIX = "bridge.metrics."


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricEntry:
    """One metric as it is described to callers."""

    name: str
    doc: str
    """What it measures, its range and its source."""
    parameters: type[Parameters]
    placement: PlacementName
    pool: str
    extra: str = ""
    """The extra that brings its libraries; empty where it needs none."""
    libraries: tuple[str, ...] = ()
    """The import names that it needs."""

    @property
    def function(self) -> str:
        """The name of the function that computes it."""
        return FUNCTION_PREFIX + self.name

    @property
    def parameters_schema(self) -> str:
        """JSON Schema (2020-12) of its parameters, as JSON text."""
        schema = self.parameters.model_json_schema()
        schema.pop("description", None)
        return json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema})

    def installed(self) -> bool:
        """Whether its libraries can be imported in this environment."""
        return all(find_spec(library) is not None for library in self.libraries)


METRICS: tuple[MetricEntry, ...] = (
    MetricEntry(
        name="bleu",
        doc="BLEU, 0 to 100: n-gram precision with a brevity penalty. The corpus score is not the mean. Several "
        "references count together. Computed by sacrebleu, whose signature is returned. "
        "Source: Papineni et al. 2002; Post 2018.",
        parameters=BleuParameters,
        placement="native",
        pool="general",
        extra="metrics",
        libraries=("sacrebleu",),
    ),
    MetricEntry(
        name="exact_match",
        doc="Exact match, 0 or 1: whether prediction and reference are equal after SQuAD's normalisation. The best "
        "reference counts. Source: Rajpurkar et al. 2016.",
        parameters=TextParameters,
        placement="native",
        pool="general",
    ),
    MetricEntry(
        name="rouge",
        doc="ROUGE, 0 to 1: F-measure of n-grams (rouge1, rouge2, ...) or of the longest common subsequence (rougeL, "
        "rougeLsum) in common. Only the characters a to z and 0 to 9 count. The best reference counts for each type. "
        "Computed by rouge-score. Source: Lin 2004.",
        parameters=RougeParameters,
        placement="pooled",
        pool="general",
        extra="metrics",
        libraries=("rouge_score",),
    ),
    MetricEntry(
        name="semantic_similarity",
        doc="Semantic similarity, -1 to 1: cosine between the embeddings of prediction and reference. The nearest "
        "reference counts. It depends on the embedding model, so compare only scores of one model.",
        parameters=SemanticParameters,
        placement="pooled",
        pool="embeddings",
        extra="embeddings",
        libraries=("sentence_transformers", "torch"),
    ),
    MetricEntry(
        name="token_f1",
        doc="Token F1, 0 to 1: harmonic mean of precision and recall over words, after SQuAD's normalisation. The best "
        "reference counts. Source: Rajpurkar et al. 2016 and 2018.",
        parameters=TextParameters,
        placement="native",
        pool="general",
    ),
)
"""All metrics, in the order of names."""


def find(name: str) -> MetricEntry:
    """Return the metric of that name. Raises Unknown UNKNOWN_METRIC with a suggestion and the names that exist."""
    names = [entry.name for entry in METRICS]
    if name in names:
        return METRICS[names.index(name)]
    wanted = name.lower()
    close = difflib.get_close_matches(wanted, names, n=1, cutoff=0.5) or [each for each in names if wanted in each]
    hint = f" Did you mean {close[0]!r}?" if close and wanted else ""
    raise Unknown(f"Unknown metric {name!r}.{hint} Metrics: {', '.join(names)}.", reason="UNKNOWN_METRIC")

"""Embedding requests with scripted vectors: defaults, limits, comparisons and errors, without any real model."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from bridge.v1 import embedding_pb2 as pb
from handlers.contract import EmbeddingOptions, EntryOptions
from handlers.embeddings import models as models_module
from handlers.embeddings import requests, similarity
from handlers.embeddings.models import MAX_TEXT_CHARS, MAX_TEXTS, EmbeddingModels, LoadedModel
from handlers.embeddings.service import open_handlers
from handlers.errors import BadInput, ExtraMissing, HandlerError, ResultInvalid, Unknown

VECTORS = {"x": [3.0, 0.0], "y": [0.0, 4.0], "xy": [1.0, 1.0], "zero": [0.0, 0.0], "nan": [float("nan"), 1.0]}


class ScriptedTransformer:
    """Answers `encode` from a table, as sentence-transformers would."""

    def encode(self, texts, *, batch_size, normalize_embeddings, show_progress_bar, convert_to_numpy):
        rows = np.array([VECTORS[text] for text in texts], dtype=np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True) if normalize_embeddings else rows


class ScriptedModels(EmbeddingModels):
    def load(self, name):
        return LoadedModel(transformer=ScriptedTransformer(), dimensions=2)


@pytest.fixture
def models():
    return ScriptedModels({"default": EmbeddingOptions(model="scripted")})


def values(response):
    return [list(each.values) for each in response.embeddings]


def test_vectors_are_scaled_unless_the_request_says_no(models):
    scaled = requests.embed(models, pb.EmbedRequest(texts=["x", "y"]))
    assert values(scaled) == [[1, 0], [0, 1]]
    assert (scaled.model, scaled.dimensions) == ("default", 2)
    assert values(requests.embed(models, pb.EmbedRequest(texts=["x"], normalize=True))) == [[1, 0]]
    assert values(requests.embed(models, pb.EmbedRequest(texts=["x"], normalize=False))) == [[3, 0]]


def test_no_texts_give_no_vectors_and_the_right_length(models):
    response = requests.embed(models, pb.EmbedRequest())
    assert (values(response), response.dimensions) == ([], 2)


@pytest.mark.parametrize(
    ("function", "rows"),
    [
        (pb.SIMILARITY_FUNCTION_UNSPECIFIED, [[1.0, 0.0], [0.5**0.5, 0.5**0.5]]),
        (pb.SIMILARITY_FUNCTION_COSINE, [[1.0, 0.0], [0.5**0.5, 0.5**0.5]]),
        (pb.SIMILARITY_FUNCTION_DOT, [[9.0, 0.0], [3.0, 4.0]]),
        (pb.SIMILARITY_FUNCTION_EUCLIDEAN, [[0.0, -5.0], [-(5.0**0.5), -(10.0**0.5)]]),
        (pb.SIMILARITY_FUNCTION_MANHATTAN, [[0.0, -7.0], [-3.0, -4.0]]),
    ],
)
def test_each_with_each_and_pairwise(function, rows):
    models = ScriptedModels({"default": EmbeddingOptions(model="scripted")})
    request = pb.SimilarityRequest(left=["x", "xy"], right=["x", "y"], function=function)
    full = [list(row.scores) for row in requests.compare(models, request).rows]
    assert full == [pytest.approx(row) for row in rows]
    request.pairwise = True
    pairs = [list(row.scores) for row in requests.compare(models, request).rows]
    assert pairs == [pytest.approx([rows[0][0], rows[1][1]])]


@pytest.mark.parametrize(
    ("left", "right", "pairwise", "rows"),
    [
        ([], [], True, [[]]),
        ([], ["x"], False, []),
        (["x", "y"], [], False, [[], []]),
    ],
)
@pytest.mark.parametrize("function", pb.SimilarityFunction.values())
def test_empty_lists_have_no_scores(models, left, right, pairwise, rows, function):
    request = pb.SimilarityRequest(left=left, right=right, pairwise=pairwise, function=function)
    assert [list(row.scores) for row in requests.compare(models, request).rows] == rows


def test_a_vector_of_zeros_has_cosine_zero():
    zero, one = np.zeros((1, 2), np.float32), np.ones((1, 2), np.float32)
    assert similarity.compare_all("cosine", zero, one).tolist() == [[0.0]]
    assert similarity.compare_pairs("cosine", one, one)[0] <= 1.0


LONG = "y" * (MAX_TEXT_CHARS + 1)
MANY = ["x"] * (MAX_TEXTS + 1)


@pytest.mark.parametrize(
    ("request_", "path", "fix"),
    [
        (pb.EmbedRequest(texts=MANY), "texts", "at most 4096 texts, got 4097. Send them in several requests"),
        (pb.EmbedRequest(texts=["x", LONG]), "texts[1]", "at most 100000 characters, got 100001. Cut it into passages"),
        (pb.SimilarityRequest(left=["x"], right=MANY), "right", "several requests"),
        (pb.SimilarityRequest(left=[LONG]), "left[0]", "passages"),
        (pb.SimilarityRequest(left=["x", "y"], right=["x"], pairwise=True), "right", "leave out 'pairwise'"),
        (
            pb.SimilarityRequest(left=["x"] * 1001, right=["x"] * 1000),
            "right",
            "at most 1000000 scores, got 1001 * 1000",
        ),
        (pb.SimilarityRequest(function=99), "function", "SimilarityFunction from 0 to 4, got 99"),
    ],
)
def test_what_does_not_fit_is_named(models, request_, path, fix):
    answer = requests.embed if isinstance(request_, pb.EmbedRequest) else requests.compare
    with pytest.raises(BadInput) as caught:
        answer(models, request_)
    assert [violation[0] for violation in caught.value.violations] == [path]
    assert fix in str(caught.value)


def test_as_many_texts_as_allowed_pass(models):
    assert len(requests.embed(models, pb.EmbedRequest(texts=["x"] * MAX_TEXTS)).embeddings) == MAX_TEXTS


def test_a_vector_that_is_not_finite_is_not_passed_on(models):
    with pytest.raises(ResultInvalid, match="text 1"):
        requests.embed(models, pb.EmbedRequest(texts=["x", "nan"], normalize=False))


@pytest.mark.parametrize("name", ["", "default"])
def test_without_a_default_model_the_error_says_what_to_add(name):
    with pytest.raises(HandlerError, match=r"\[embeddings\.default\]\nmodel = ") as caught:
        EmbeddingModels({}).resolve(name)
    assert (caught.value.code, caught.value.reason) == ("FAILED_PRECONDITION", "MODEL_NOT_CONFIGURED")


def test_an_unknown_model_names_those_that_exist():
    options = {"small": EmbeddingOptions(model="a"), "large": EmbeddingOptions(model="b")}
    with pytest.raises(Unknown, match="Configured: large, small") as caught:
        EmbeddingModels(options).resolve("smal")
    assert (caught.value.code, caught.value.reason) == ("NOT_FOUND", "UNKNOWN_MODEL")
    assert EmbeddingModels(options).resolve("small") == "small"


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("/no/such/directory", "does not exist"),
        ("./no_such_directory", "does not exist"),
        ("package:no_such_package", "pip install no-such-package"),
        ("package:json", "no function get_model_path"),
    ],
)
def test_a_model_that_is_not_there_says_what_to_do(model, message):
    with pytest.raises(HandlerError, match=message) as caught:
        EmbeddingModels({"default": EmbeddingOptions(model=model)}).warm_up()
    assert (caught.value.code, caught.value.reason) == ("FAILED_PRECONDITION", "MODEL_UNAVAILABLE")


def test_missing_library_names_the_extra(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ExtraMissing, match=r"polyglot-bridge\[embeddings\]"):
        EmbeddingModels({"default": EmbeddingOptions(model=str(tmp_path))}).warm_up()


def test_warm_up_without_a_default_model_loads_nothing(monkeypatch):
    monkeypatch.setattr(models_module, "load_model", lambda *_: pytest.fail("it loaded a model"))
    EmbeddingModels({"other": EmbeddingOptions(model="/no/such")}).warm_up()


def test_nothing_is_opened_for_the_front():
    options = EntryOptions(pool="embeddings", embeddings={"default": EmbeddingOptions(model="x")})
    assert [each.spec.name for each in open_handlers(options)] == [
        "bridge.embeddings.embed",
        "bridge.embeddings.similarity",
    ]
    assert open_handlers(EntryOptions(pool="embeddings", native_only=True)) == []

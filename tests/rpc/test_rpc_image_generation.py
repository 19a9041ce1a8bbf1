"""Images that models make, over the wire, from a provider that does what it can to spoil them."""

import base64
import struct
import zlib

import grpc
import pytest

from bridge.v1 import model_pb2
from handlers.models.openai_test_server.behaviour import Behaviour, Scripted
from handlers.models.openai_test_server.server import serve

Code = grpc.StatusCode
CONFIG = """
[pools.general]
size = 1

[pools.llm]
size = 1
modules = []

[pools.embeddings]
size = 0

[models.default]
model = "openai/dall-e-3"
api_base = "{base}"
max_retries = 0

[models.priced]
model = "openai/test"
api_base = "{base}"
max_retries = 1
image_price = 0.25

[models.unpriced]
model = "openai/test"
api_base = "{base}"
max_retries = 0

[models.backed]
model = "openai/test"
api_base = "{base}"
max_retries = 0
fallbacks = ["built_in"]
cooldown_s = 0.0

[models.built_in]
model = "bridge/test"

[breakers.providers]
enabled = false

[routes.either]
alternatives = [ {{ model = "unpriced" }} ]
fallback = ["built_in"]
"""


@pytest.fixture(scope="module")
def provider():
    with serve() as server:
        yield server


@pytest.fixture(scope="module")
def served(start_shared_server, provider):
    return start_shared_server("def nothing() -> int:\n    return 0\n", CONFIG.format(base=provider.base_url))


@pytest.fixture
def client(served, connect, provider):
    yield connect(served.address)
    assert provider.next_step() is None, "the script was not used up"


def make(client, prompt="a cat", metadata=(), **fields):
    request = model_pb2.GenerateImagesRequest(prompt=prompt, **fields)
    return client.unary("ModelService/GenerateImages", request, model_pb2.GenerateImagesResponse, metadata)


def sides(png):
    """Check that the bytes are a whole PNG file, and return its width and height."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    at, found = 8, {}
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        kind, data = png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        assert zlib.crc32(kind + data) == struct.unpack(">I", png[at + 8 + length : at + 12 + length])[0]
        found[kind] = data
        at += 12 + length
    width, height = struct.unpack(">II", found[b"IHDR"][:8])
    assert len(zlib.decompress(found[b"IDAT"])) == height * (1 + (width + 7) // 8)
    return width, height


def body(**image):
    return Scripted(body={"created": 1, "data": [image] if image else []})


def test_images_come_as_bytes_with_their_kind(client, provider):
    outcome = make(client, count=2, size="256x128", quality="low", delivery=model_pb2.IMAGE_DELIVERY_DATA)
    images = outcome.value.images
    assert [sides(one.data) for one in images] == [(256, 128)] * 2
    assert images[0].data != images[1].data
    assert {(one.media_type, one.revised_prompt) for one in images} == {("image/png", "A test picture of: a cat")}
    sent = provider.requests[-1]
    assert sent.path == "/v1/images/generations"
    wanted = {"model": "dall-e-3", "prompt": "a cat", "n": 2, "size": "256x128", "quality": "low"}
    assert sent.body == {**wanted, "response_format": "b64_json"}


def test_images_come_as_addresses_where_the_model_has_the_choice(client, provider):
    (image,) = make(client, delivery=model_pb2.IMAGE_DELIVERY_URL).value.images
    assert image.url.startswith("https://images.example/")
    assert (image.WhichOneof("source"), image.media_type) == ("url", "")
    # A model without the choice is not sent the wish.
    (image,) = make(client, delivery=model_pb2.IMAGE_DELIVERY_URL, model="unpriced").value.images
    assert image.WhichOneof("source") == "data"
    assert "response_format" not in provider.requests[-1].body


def test_what_they_cost_is_in_reply_and_receipt(client):
    outcome = make(client, count=3, model="priced")
    (used,) = outcome.receipt.usage
    assert used == outcome.value.usage
    assert (used.calls, used.cost_usd, used.output_tokens) == (1, 0.75, 300)
    known = make(client, count=2).value.usage
    assert known.cost_usd > 0, "LiteLLM's table has the price"
    unknown = make(client, model="unpriced").value.usage
    assert (unknown.HasField("cost_usd"), unknown.unpriced_calls) == (False, 1)


def test_a_budget_of_dollars_is_kept_before_anything_is_sent(client, provider):
    before = len(provider.requests)
    outcome = make(client, count=3, model="priced", metadata=[("x-budget-usd", "0.7")])
    assert (outcome.code, outcome.reason) == (Code.RESOURCE_EXHAUSTED, "BUDGET_EXCEEDED")
    outcome = make(client, model="unpriced", metadata=[("x-budget-usd", "0.7")])
    assert (outcome.code, outcome.reason) == (Code.FAILED_PRECONDITION, "PRICE_UNKNOWN")
    assert "image_price" in outcome.message
    assert len(provider.requests) == before
    outcome = make(client, count=2, model="priced", metadata=[("x-budget-usd", "0.7")])
    assert outcome.receipt.budget.usd_spent == pytest.approx(0.5)


def test_the_built_in_model_draws_without_a_provider(client):
    images = make(client, model="built_in", count=2, size="32x16").value.images
    assert [sides(one.data) for one in images] == [(32, 16)] * 2


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"prompt": " "}, "prompt"),
        ({"prompt": "x" * 32_001}, "prompt"),
        ({"count": 11}, "count"),
        ({"count": -1}, "count"),
        ({"size": "large and red"}, "size"),
        ({"quality": "x" * 33}, "quality"),
        ({"delivery": 9}, "delivery"),
    ],
)
def test_requests_that_make_no_sense(client, provider, fields, path):
    before = len(provider.requests)
    outcome = make(client, **fields)
    assert (outcome.code, set(outcome.violations)) == (Code.INVALID_ARGUMENT, {path})
    assert len(provider.requests) == before


@pytest.mark.parametrize(
    ("step", "code", "status"),
    [
        (Behaviour(status=429, retry_after="7"), Code.RESOURCE_EXHAUSTED, "429"),
        (Behaviour(status=500), Code.UNAVAILABLE, "500"),
        (Behaviour(status=401), Code.FAILED_PRECONDITION, "401"),
        (Behaviour(status=400, error_code="content_policy_violation"), Code.FAILED_PRECONDITION, None),
        (Behaviour(ending="broken_json"), Code.UNAVAILABLE, None),
        (Behaviour(ending="cut"), Code.UNAVAILABLE, None),
        (Behaviour(ending="wrong_type"), Code.UNAVAILABLE, None),
        (body(), Code.UNAVAILABLE, None),
        (body(b64_json="no base64!"), Code.UNAVAILABLE, None),
        (body(b64_json=base64.b64encode(b"<html>").decode()), Code.UNAVAILABLE, None),
        (body(revised_prompt="nothing else"), Code.UNAVAILABLE, None),
    ],
)
def test_failures_of_the_provider(client, provider, step, code, status):
    before = len(provider.requests)
    provider.script(step)
    outcome = make(client, model="unpriced")
    assert (outcome.code, outcome.reason) == (code, "PROVIDER_ERROR"), outcome.message
    assert outcome.metadata.get("status") == status
    assert outcome.retry_s == (7.0 if status == "429" else None)
    assert len(provider.requests) == before + 1, "only the bridge repeats requests, as often as it is told"


def test_a_busy_provider_is_asked_again_when_it_said(client, provider):
    provider.script(Behaviour(status=429, retry_after="0"))
    outcome = make(client, model="priced")
    assert outcome.code is Code.OK
    assert outcome.value.usage.calls == 2


def test_a_slow_provider_ends_with_the_callers_deadline(client, provider):
    gone = sum(one.outcome == "client_left" for one in provider.requests)
    provider.script(Behaviour(ending="hang"))
    assert make(client, metadata=[("x-timeout-ms", "600")]).code is Code.DEADLINE_EXCEEDED
    provider.wait_for_client_left(gone + 1)


def test_a_cancel_reaches_the_provider(client, provider):
    gone, before = sum(one.outcome == "client_left" for one in provider.requests), len(provider.requests)
    provider.script(Behaviour(ending="hang"))
    request = model_pb2.GenerateImagesRequest(prompt="a cat")
    call = client.channel.unary_unary(
        "/bridge.v1.ModelService/GenerateImages",
        request_serializer=model_pb2.GenerateImagesRequest.SerializeToString,
        response_deserializer=model_pb2.GenerateImagesResponse.FromString,
    ).future(request, timeout=20)
    provider.wait_for_requests(before + 1)
    call.cancel()
    provider.wait_for_client_left(gone + 1)


@pytest.mark.parametrize("model", ["either", "backed"])
def test_a_route_and_a_model_fall_back(client, provider, model):
    provider.script(Behaviour(status=503))
    assert make(client, model=model).value.model == "bridge/test"


def test_images_by_name(client):
    outcome = client.call("bridge.models.generate_images", prompt="a cat", model="built_in")
    (image,) = outcome.value["images"]
    assert sides(base64.b64decode(image["data"])) == (64, 64)

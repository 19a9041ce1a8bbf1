"""Images that a model is shown, over the wire: passed on as they are, or refused with what is wrong."""

import base64
import json
import select
import socket
import struct
import zlib

import grpc
import pytest

from bridge.v1 import model_pb2
from handlers.models.openai_test_server.behaviour import Scripted
from handlers.models.openai_test_server.server import serve

Code = grpc.StatusCode
CONFIG = """
[server]
max_message_bytes = "32MiB"

[pools.general]
size = 1

[pools.llm]
size = 1
modules = []

[pools.embeddings]
size = 0

[models.default]
model = "openai/test"
api_base = "{base}"
max_retries = 0
input_price = 1.0
output_price = 1.0

[models.far]
model = "gemini/gemini-2.5-flash"
api_base = "{base}"
api_key = "env:PATH"
max_retries = 0

[models.built_in]
model = "bridge/test"

[breakers.providers]
enabled = false
"""
JPEG, GIF, WEBP = b"\xff\xd8\xff\xe0rest", b"GIF89arest", b"RIFF\x04\0\0\0WEBPrest"
ADDRESS = "https://example.com/a%20cat.png?size=1"


def png(width=2, height=2):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + bytes(3 * width) for _ in range(height))
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


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


def asked(*images, kind=model_pb2.GenerateRequest, role=model_pb2.ROLE_USER, **fields):
    request = kind(**fields)
    message = request.messages.add(role=role, content="What is this?")
    for image in images:
        message.parts.add(**image) if "text" in image else message.parts.add(image=image)
    return request


def generate(client, *images, metadata=(), **fields):
    return client.unary("ModelService/Generate", asked(*images, **fields), model_pb2.GenerateResponse, metadata)


def test_what_the_provider_gets(client, provider):
    outcome = generate(
        client,
        {"url": ADDRESS, "detail": model_pb2.IMAGE_DETAIL_LOW},
        {"text": "and this"},
        {"data": png(), "media_type": "image/png", "detail": model_pb2.IMAGE_DETAIL_HIGH},
        {"data": JPEG},
    )
    assert outcome.code is Code.OK
    content = provider.requests[-1].body["messages"][0]["content"]
    assert content == [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": ADDRESS, "detail": "low"}},
        {"type": "text", "text": "and this"},
        {
            "type": "image_url",
            "image_url": {"url": "data:image/png;base64," + base64.b64encode(png()).decode(), "detail": "high"},
        },
        {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64," + base64.b64encode(JPEG).decode()}},
    ]


def test_the_model_has_seen_them(client):
    text = generate(client, {"data": GIF}, {"data": WEBP}, {"url": ADDRESS}).value.text
    assert f"{len(GIF)} bytes of image/gif" in text
    assert f"{len(WEBP)} bytes of image/webp" in text
    assert ADDRESS in text
    assert f"{len(png())} bytes of image/png" in generate(client, {"data": png()}, model="built_in").value.text


def test_streams_extractions_and_batches_take_images_too(client, provider):
    schema = json.dumps({"type": "object", "properties": {"what": {"type": "string"}}, "required": ["what"]})
    request = asked({"data": png()}, kind=model_pb2.ExtractRequest, schema=schema)
    assert client.unary("ModelService/Extract", request, model_pb2.ExtractResponse).code is Code.OK
    assert provider.requests[-1].body["messages"][0]["content"][1]["type"] == "image_url"
    # Without tools the schema goes into the prompt, beside the image.
    provider.script("no tools", '{"what": "a cat"}')
    outcome = client.unary("ModelService/Extract", request, model_pb2.ExtractResponse)
    assert json.loads(outcome.value.json) == {"what": "a cat"}
    assert "image_url" in json.dumps(provider.requests[-1].body["messages"])
    batch = model_pb2.GenerateBatchRequest()
    for _ in range(2):
        batch.prompts.add(messages=asked({"data": png()}).messages)
    outcome = client.unary("ModelService/GenerateBatch", batch, model_pb2.GenerateBatchResponse)
    assert all("image/png" in one.answer.text for one in outcome.value.answers)


@pytest.mark.parametrize(
    ("image", "path", "says"),
    [
        ({"data": b"%PDF-1.7"}, "data", "PNG, JPEG, GIF or WebP"),
        ({"data": b""}, "data", "0 bytes"),
        ({"data": JPEG, "media_type": "image/png"}, "data", "the bytes are image/jpeg"),
        ({"data": png() + bytes(20 * 1024 * 1024)}, "data", "at most 20971520 bytes"),
        ({"url": "file:///etc/passwd"}, "url", "http"),
        ({"url": "data:image/png;base64,aaaa"}, "url", "send bytes as data"),
        ({"url": "https://"}, "url", "host"),
        ({"url": "https://[broken"}, "url", "host"),
        ({"url": "https://a.example/ b"}, "url", "host"),
        ({"url": "https://a.example/" + "x" * 9000}, "url", "8192"),
        ({"url": ADDRESS, "media_type": "image/png"}, "media_type", "none beside an address"),
        ({"url": ADDRESS, "detail": model_pb2.IMAGE_DETAIL_HIGH}, "detail", "send the bytes"),
    ],
)
def test_what_can_not_be_sent(client, provider, image, path, says):
    before = len(provider.requests)
    outcome = generate(client, image)
    assert (outcome.code, outcome.reason) == (Code.INVALID_ARGUMENT, "SCHEMA_MISMATCH")
    ((found, text),) = outcome.violations.items()
    assert found == f"messages[0].parts[0].image.{path}"
    assert says in text
    assert len(provider.requests) == before


def test_only_the_user_shows_images(client):
    outcome = generate(client, {"url": ADDRESS}, role=model_pb2.ROLE_SYSTEM)
    assert set(outcome.violations) == {"messages[0].parts[0].image"}
    assert set(generate(client, {}).violations) >= {"messages[0].parts[0].image.data"}


def test_there_may_not_be_too_many(client):
    assert "64 images" in generate(client, *[{"url": ADDRESS}] * 65).violations["messages"]


def test_nobody_fetches_an_address_for_a_provider_that_takes_none(client):
    """LiteLLM would fetch it, with the rights and from the network of the worker."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        target = f"http://127.0.0.1:{listener.getsockname()[1]}/secret.png"
        outcome = generate(client, {"url": target}, model="far")
        assert select.select([listener], [], [], 0)[0] == [], "it was asked for"
    assert (outcome.code, outcome.reason) == (Code.INVALID_ARGUMENT, "PROVIDER_ERROR")
    assert "takes no addresses of images. Send their bytes." in outcome.message


def test_a_budget_counts_what_an_image_costs_not_its_bytes(client, provider):
    provider.script(Scripted(text="ok"))
    large = png(400, 400) + bytes(2_000_000)
    outcome = generate(client, {"data": large}, metadata=[("x-budget-tokens", "20000")], options={"max_tokens": 50})
    assert outcome.code is Code.OK

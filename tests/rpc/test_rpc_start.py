"""Starts that fail, and say why in words: broken apps, missing libraries; and servers that start without an extra."""

import json

import grpc
import pytest

from bridge.v1 import embedding_pb2, invoke_pb2, metric_pb2, model_pb2, pool_pb2

Code = grpc.StatusCode
LEAN = """
[pools.general]
size = 2

[pools.llm]
size = 0

[pools.embeddings]
size = 0
"""
BROKEN = {
    "syntax": ("def f(a: int) -> int\n    return a\n", "SyntaxError: expected ':'", 'app.py", line 1'),
    "import": ("import numpi\n", "No module named 'numpi'. Install it into the server's environment", "import numpi"),
    "key": ("import os\nKEY = os.environ['NO_SUCH_KEY']\n", "KeyError: 'NO_SUCH_KEY'", "KEY = os.environ"),
    "exit": ("import sys\nsys.exit('no')\n", "put that under `if __name__ == '__main__':`", "sys.exit('no')"),
    "hint": (
        "def f(a: 'Foo') -> int:\n    return 1\n",
        "an annotation names 'Foo', which its module does not have",
        "",
    ),
    "twins": (
        "from bridge import function\ndef f() -> int: ...\n@function(name='f')\ndef g() -> int: ...\n",
        "two functions named 'f'",
        "",
    ),
    "pool": (
        "from bridge import function\n@function(pool='gpu')\ndef f() -> int: ...\n",
        "asks for the pool 'gpu', which does not exist; the pools are general",
        "",
    ),
    "crash": ("import os\nos.abort()\n", "killed by SIGABRT", 'app.py", line 2'),
    "name": ("def f() -> int: ...\ndef bridge() -> int: ...\nraise ValueError('at the end')\n", "at the end", "raise"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_an_app_that_can_not_be_served(launch, case):
    source, message, shown = BROKEN[case]
    server = launch(source, LEAN)
    assert server.wait() == 1
    lines = server.stderr.splitlines()
    (error,) = [number for number, line in enumerate(lines) if line.startswith("error: ")]
    assert message in lines[error]
    assert shown in "\n".join(lines[error:])
    for ours in ("handlers/", "pool/child.py", "<frozen", "During handling", "direct cause"):
        assert case == "crash" or ours not in "\n".join(lines[error:])
    assert server.leftovers() == []


def test_for_machines_it_is_one_line(launch):
    server = launch("import numpi\n", LEAN, "--json")
    assert server.wait() == 1
    told = json.loads(server.stderr.splitlines()[-1])["error"]
    assert "No module named 'numpi'" in told["message"]
    assert "import numpi" in told["detail"]
    assert server.stdout == ""


def test_an_app_that_only_the_front_can_not_import(launch):
    app = """
import os
from bridge import function

@function(placement="native")
def f() -> int:
    return 1

if "BRIDGE_WORKER_ID" not in os.environ:
    raise RuntimeError("not in the front")
"""
    server = launch(app, LEAN)
    assert server.wait() == 1
    assert "RuntimeError: not in the front (in the front process" in server.stderr
    assert "uvloop" not in server.stderr
    assert server.leftovers() == []


def test_an_app_without_functions_is_served_with_a_warning(start_server, connect):
    server = start_server("x = 1\n", LEAN)
    assert "app.py has no public function" in server.wait_for_log("no public function")
    assert connect(server.address).call("bridge.echo", a=1).value == {"a": 1}


def test_one_of_several_pools_fails(launch):
    server = launch("def f() -> int: ...\n", LEAN + '\n[pools.mine]\nmodules = ["/no/such/file.py"]\n')
    assert server.wait() == 1
    assert "a worker of pool 'mine' did not start" in server.stderr
    assert "/no/such/file.py" in server.stderr
    assert server.leftovers() == []


def test_secrets_are_nowhere_in_the_log(start_server, connect, monkeypatch):
    text = (
        LEAN
        + """
[models.default]
model = "openai/gpt-4o-mini"
api_key = "env:RPC_TEST_SECRET"

[pools.general.env]
MY_TOKEN = "env:RPC_TEST_TOKEN"

[log]
level = "debug"
"""
    )
    app = """
import os

def token() -> str:
    return os.environ["MY_TOKEN"]

def fail() -> str:
    raise ValueError("plain")
"""
    secrets = {"RPC_TEST_SECRET": "sk-s3cret-model-key", "RPC_TEST_TOKEN": "t0ken-of-the-pool"}
    server = start_server(app, text, secrets)
    client = connect(server.address)
    assert client.call("token").value == secrets["RPC_TEST_TOKEN"]
    assert client.call("fail").reason == "USER_EXCEPTION"
    assert client.call("tokn").reason == "UNKNOWN_FUNCTION"
    assert server.terminate() == 0
    server.stderr.join(5)
    for secret in secrets.values():
        assert secret not in server.stderr.text + server.stdout.text


HIDE = """
import importlib.util
import sys

HIDDEN = {names}
_find_spec = importlib.util.find_spec


class _Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in HIDDEN:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)


sys.meta_path.insert(0, _Hidden())
importlib.util.find_spec = lambda name, package=None: None if name in HIDDEN else _find_spec(name, package)
"""


@pytest.fixture
def without(tmp_path, start_server, connect):
    """A client of a server in whose processes some libraries are not installed."""

    def one(app, config, *names):
        from pathlib import Path

        root = Path(__file__).resolve().parents[2]
        (tmp_path / "sitecustomize.py").write_text(HIDE.format(names=set(names)))
        return connect(start_server(app, config, {"PYTHONPATH": f"{tmp_path}:{root}"}).address)

    return one


def test_extras_that_are_missing(without):
    config = '[models.default]\nmodel = "bridge/test"\n[pools.general]\nsize = 1\n'
    client = without(
        "def f() -> int:\n    return 1\n",
        config,
        "dspy",
        "litellm",
        "sentence_transformers",
        "sacrebleu",
        "rouge_score",
    )
    assert client.call("f").value == 1

    def lacks(path, request, response, extra):
        outcome = client.unary(path, request, response)
        assert (outcome.code, outcome.reason) == (Code.FAILED_PRECONDITION, "EXTRA_MISSING"), path
        assert outcome.metadata == {"extra": extra, "install": f"pip install 'polyglot-bridge[{extra}]'"}
        assert outcome.metadata["install"] in outcome.message
        assert outcome.receipt.request_id

    hello = model_pb2.Message(role=model_pb2.ROLE_USER, content="hi")
    lacks("ModelService/Generate", model_pb2.GenerateRequest(messages=[hello]), model_pb2.GenerateResponse, "llm")
    embed = embedding_pb2.EmbedRequest(texts=["a"])
    lacks("EmbeddingService/Embed", embed, embedding_pb2.EmbedResponse, "embeddings")
    describe = invoke_pb2.DescribeFunctionRequest(function="bridge.embeddings.embed")
    lacks("InvokeService/DescribeFunction", describe, invoke_pb2.DescribeFunctionResponse, "embeddings")
    example = metric_pb2.ScoredExample(prediction="a", references=["a"])
    for metric, extra in (("semantic_similarity", "embeddings"), ("bleu", "metrics"), ("rouge", "metrics")):
        request = metric_pb2.ScoreRequest(metric=metric, example=example)
        lacks("MetricService/Score", request, metric_pb2.ScoreResponse, extra)
    exact = metric_pb2.ScoreRequest(metric="exact_match", example=example)
    assert client.unary("MetricService/Score", exact, metric_pb2.ScoreResponse).value.score.value == 1.0
    listed = client.unary("MetricService/ListMetrics", metric_pb2.ListMetricsRequest(), metric_pb2.ListMetricsResponse)
    missing = {one.name: one.missing_extra for one in listed.value.metrics if not one.available}
    assert missing == {"bleu": "metrics", "rouge": "metrics", "semantic_similarity": "embeddings"}
    pools = client.unary("PoolService/List", pool_pb2.PoolServiceListRequest(), pool_pb2.PoolServiceListResponse)
    states = {pool.name: (pool.state, pool.cause) for pool in pools.value.pools}
    for name, extra in (("llm", "dspy"), ("embeddings", "embeddings")):
        state, cause = states[name]
        assert state == pool_pb2.POOL_STATE_MISSING_EXTRA
        assert f"pip install 'polyglot-bridge[{extra}]'" in cause


def test_an_app_that_needs_an_extra_is_told_which(launch, tmp_path):
    hide = HIDE.format(names={"dspy"})
    app = "import sys\n" + hide + "\nimport dspy\n"
    server = launch(app, LEAN)
    assert server.wait() == 1
    assert "No module named 'dspy'. Install it: pip install 'polyglot-bridge[dspy]'" in server.stderr


def test_no_pool_at_all(launch):
    """Switching everything off leaves the native functions."""
    server = launch("def f() -> int: ...\n", LEAN.replace("size = 2", "size = 0"), "--json")
    ready = json.loads(server.process.stdout.readline())
    assert "f" not in ready["functions"]
    server.process.terminate()
    assert server.wait() == 0

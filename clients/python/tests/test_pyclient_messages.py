"""The client's messages live in a descriptor pool of their own, beside the server's and beside other versions."""

import shutil
import subprocess
import sys
from pathlib import Path

import bridge_client
import pytest
from bridge_client.v1 import common_pb2, invoke_pb2, session_pb2
from google.protobuf import descriptor_pool

PACKAGE = Path(bridge_client.__file__).parent
GENERATE = PACKAGE.parent / "generate.py"
ROOT = PACKAGE.parent.parent.parent


def test_generated_files_are_what_the_proto_files_give():
    done = subprocess.run([sys.executable, GENERATE, "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_check_names_a_stale_and_a_surplus_file(tmp_path):
    copy = tmp_path / "v1"
    shutil.copytree(PACKAGE / "v1", copy, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "common_pb2.py").write_text("stale")
    (copy / "gone_pb2.py").write_text("")
    done = subprocess.run([sys.executable, GENERATE, "--check", "--out", copy], capture_output=True, text=True)
    assert done.returncode == 1
    assert "common_pb2.py is not" in done.stderr
    assert "gone_pb2.py is not" in done.stderr


def test_nothing_enters_the_default_pool():
    script = (
        "import bridge_client\n"
        "from google.protobuf.descriptor_pool import Default\n"
        "for name in ('bridge/v1/common.proto', 'google/rpc/status.proto', 'grpc/health/v1/health.proto'):\n"
        "    try:\n"
        "        Default().FindFileByName(name)\n"
        "    except KeyError:\n"
        "        continue\n"
        "    raise SystemExit(name)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_package_imports_nothing_of_the_server_and_no_numpy():
    script = (
        "import sys, bridge_client\n"
        "loaded = {name.split('.')[0] for name in sys.modules}\n"
        "print(sorted(loaded & {'bridge', 'handlers', 'pool', 'numpy', 'pydantic', 'google.rpc'}))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_descriptors_are_reachable_as_the_stubs_say():
    assert common_pb2.DESCRIPTOR.name == "bridge/v1/common.proto"
    assert common_pb2.Payload.DESCRIPTOR.file.pool is not descriptor_pool.Default()
    assert common_pb2.Route.Name(common_pb2.ROUTE_NATIVE) == "ROUTE_NATIVE"


def test_well_known_types_keep_their_methods():
    request = session_pb2.OpenRequest()
    request.ttl.FromMilliseconds(1500)
    assert (request.ttl.seconds, request.ttl.nanos) == (1, 500_000_000)


def test_the_servers_messages_load_beside_the_clients():
    server = pytest.importorskip("bridge.v1.invoke_pb2")
    request = invoke_pb2.CallRequest(function="add", arguments=common_pb2.Payload(json='{"a": 1}'))
    seen = server.CallRequest.FromString(request.SerializeToString())
    assert (seen.function, seen.arguments.json) == ("add", '{"a": 1}')
    assert type(seen) is not type(request)


VERSIONS_MEET = """
import sys
client_first = sys.argv[1] == "client-first"
if client_first:
    import bridge_client
from bridge.v1 import common_pb2, invoke_pb2
import bridge_client, grpc
from bridge_client.v1 import common_pb2 as other
from concurrent.futures import ThreadPoolExecutor
assert "added_later" in other.Receipt.DESCRIPTOR.fields_by_name
assert "added_later" not in common_pb2.Receipt.DESCRIPTOR.fields_by_name

class Server(grpc.GenericRpcHandler):
    def service(self, details):
        def call(request, context):
            seen = invoke_pb2.CallRequest.FromString(request)
            receipt = common_pb2.Receipt(function=seen.function, route=common_pb2.ROUTE_NATIVE)
            context.set_trailing_metadata((("bridge-receipt-bin", receipt.SerializeToString()),))
            return invoke_pb2.CallResponse(result=seen.arguments).SerializeToString()
        return grpc.unary_unary_rpc_method_handler(call)

server = grpc.server(ThreadPoolExecutor(2), handlers=(Server(),))
port = server.add_insecure_port("127.0.0.1:0")
server.start()
receipts = []
with bridge_client.connect(f"127.0.0.1:{port}", on_receipt=receipts.append) as client:
    assert client.call("echo", a=1, b=b"x") == {"a": 1, "b": b"x"}
assert (receipts[0].function, receipts[0].route) == ("echo", "native")
server.stop(None)
print("met")
"""


@pytest.fixture(scope="module")
def newer_client(tmp_path_factory):
    """A copy of the client built from a proto with a field, a message and an enum value that the server lacks."""
    folder = tmp_path_factory.mktemp("newer")
    proto = folder / "proto"
    shutil.copytree(ROOT / "proto", proto)
    common = proto / "bridge" / "v1" / "common.proto"
    text = common.read_text().replace("message Receipt {", "message Receipt {\n  string added_later = 99;", 1)
    text = text.replace("ROUTE_POOLED = 2;", "ROUTE_POOLED = 2;\n  ROUTE_REMOTE = 3;") + "\nmessage AddedLater {}\n"
    common.write_text(text)
    shutil.copytree(PACKAGE, folder / "bridge_client", ignore=shutil.ignore_patterns("__pycache__"))
    out = folder / "bridge_client" / "v1"
    subprocess.run([sys.executable, GENERATE, "--proto", proto, "--out", out], check=True, capture_output=True)
    return folder


@pytest.mark.parametrize("order", ["client-first", "server-first"])
def test_client_and_server_of_different_versions_in_one_process(newer_client, order):
    pytest.importorskip("bridge.v1.invoke_pb2")
    path = f"import sys; sys.path[:0] = [{str(newer_client)!r}, {str(ROOT)!r}]; sys.argv = ['meet', {order!r}]\n"
    done = subprocess.run(
        [sys.executable, "-c", path + VERSIONS_MEET], capture_output=True, text=True, cwd=newer_client
    )
    assert done.stdout.strip() == "met", done.stderr

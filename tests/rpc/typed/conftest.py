"""A server with typed services, what `bridge proto export` wrote of it, and clients made from either."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import json_format, message_factory
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

ROOT = Path(__file__).resolve().parents[3]
APP = Path(__file__).with_name("typed_app.py")
SERVICE = "shop.v1.TypedAppService"
CONFIG = """
[server]
max_message_bytes = "16MiB"
[typed]
lock = "{lock}"
[models.default]
model = "bridge/test"
[pools.general]
size = 1
concurrency = 4
[pools.llm]
size = 1
[pools.embeddings]
size = 0
"""


def run_cli(*arguments: str, cwd: Path, code: int = 0) -> tuple[str, str]:
    """Runs a command of the bridge and returns what it wrote."""
    done = subprocess.run(
        [sys.executable, "-m", "bridge.cli", *arguments],
        cwd=cwd,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "NO_COLOR": "1", "HOME": str(cwd)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == code, f"{done.returncode}: {done.stdout}{done.stderr}"
    assert "Traceback" not in done.stderr
    return done.stdout, done.stderr


@pytest.fixture
def cli() -> Any:
    return run_cli


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the lock file, the .proto files and the modules that protoc makes of them."""
    folder = tmp_path_factory.mktemp("exported")
    run_cli("proto", "export", str(APP), "--package", "shop.v1", cwd=folder)
    made = folder / "made"
    made.mkdir()
    command = [sys.executable, "-m", "grpc_tools.protoc", "-Iproto", "--python_out=made", "--grpc_python_out=made"]
    subprocess.run([*command, "shop/v1/shop.proto"], cwd=folder, check=True, timeout=60)
    return folder


@pytest.fixture(scope="module")
def typed_server(start_shared_server: Any, exported: Path) -> Any:
    return start_shared_server(APP, CONFIG.format(lock=exported / "bridge.proto.lock"))


class Reflected:
    """A client that knows what reflection says and nothing else, as grpcurl does."""

    def __init__(self, address: str, service: str = SERVICE) -> None:
        self.channel = grpc.insecure_channel(address, options=[("grpc.max_receive_message_length", -1)])
        self.database = ProtoReflectionDescriptorDatabase(self.channel)
        self.pool = DescriptorPool(self.database)
        self.service = self.pool.FindServiceByName(service)

    def message(self, method: str, value: dict[str, Any]) -> Any:
        request = message_factory.GetMessageClass(self.service.methods_by_name[method].input_type)()
        return json_format.ParseDict(value, request)

    def _path(self, method: str) -> str:
        return f"/{self.service.full_name}/{method}"

    def _answer(self, method: str) -> Any:
        return message_factory.GetMessageClass(self.service.methods_by_name[method].output_type).FromString

    def call(self, method: str, value: dict[str, Any] | bytes, **options: Any) -> tuple[Any, Any]:
        """Returns the answer as protobuf's JSON, and grpc's call."""
        data = value if isinstance(value, bytes) else self.message(method, value).SerializeToString()
        unary = self.channel.unary_unary(self._path(method), response_deserializer=self._answer(method))
        answer, call = unary.with_call(data, timeout=options.pop("timeout", 30), **options)
        return json_format.MessageToDict(answer, preserving_proto_field_name=True), call

    def stream(self, method: str, value: dict[str, Any]) -> list[Any]:
        data = self.message(method, value).SerializeToString()
        opened = self.channel.unary_stream(self._path(method), response_deserializer=self._answer(method))
        return [json_format.MessageToDict(one, preserving_proto_field_name=True) for one in opened(data, timeout=30)]


@pytest.fixture(scope="module")
def reflected(typed_server: Any) -> Iterator[Reflected]:
    client = Reflected(typed_server.address)
    yield client
    client.channel.close()


@pytest.fixture
def reflect() -> Iterator[Any]:
    """`reflect(address, service)`: such a client of another server."""
    clients: list[Reflected] = []

    def one(address: str, service: str = SERVICE) -> Reflected:
        clients.append(Reflected(address, service))
        return clients[-1]

    yield one
    for client in clients:
        client.channel.close()


@pytest.fixture
def stubs(exported: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The modules that protoc has made: messages and stubs."""
    monkeypatch.syspath_prepend(str(exported / "made"))
    return importlib.import_module("shop.v1.shop_pb2"), importlib.import_module("shop.v1.shop_pb2_grpc")

"""A server behind keys, with one front and with two, and keys of each kind."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from bridge.keys import key as key_module
from bridge.keys.key_file import changing

APP = Path(__file__).with_name("keys_app.py")
CONFIG = """
[keys]
file = "{file}"
[server]
chaos = true
[typed]
services = "on"
package = "shop.v1"
[models.default]
model = "bridge/test"
[log]
level = "debug"
format = "json"
[replay]
directory = "{replay}"
sample = 1.0
[pools.general]
size = 1
concurrency = 4
[pools.llm]
size = 1
[pools.embeddings]
size = 0
"""


@dataclass
class KeyFile:
    """A key file, and the texts of the keys that were made for it."""

    path: Path
    texts: dict[str, str] = field(default_factory=dict)

    def make(self, name: str, *roles: Any, tenant: str | None = None) -> str:
        made, text = key_module.make(name, roles or ("call",), tenant)
        with changing(self.path) as keys:
            keys.append(made)
        self.texts[name] = text
        return text

    def revoke(self, name: str) -> None:
        with changing(self.path) as keys:
            keys[:] = [
                key_module.revoked(one, key_module.now()) if one.name == name and one.revoked is None else one
                for one in keys
            ]

    def secrets(self) -> list[str]:
        """Everything of the keys that must be found nowhere else: their secrets and the hashes of these."""
        hashes = [line.split('"')[3] for line in self.path.read_text().splitlines() if '"sha256"' in line]
        return [text.split("_", 2)[2] for text in self.texts.values()] + hashes


@dataclass
class Reply:
    """What a raw request got: its status, and the reason in its details."""

    code: grpc.StatusCode
    message: str
    reason: str
    metadata: dict[str, str]


def sent(channel: grpc.Channel, path: str, metadata: Any, request: bytes = b"", timeout: float = 20.0) -> Reply:
    """Sends one message to a method of any kind and reads no further than its first answer."""
    call = channel.stream_stream(path)(iter((request,)), metadata=metadata, timeout=timeout, wait_for_ready=True)
    failure = None
    try:
        next(call, None)
    except grpc.RpcError as error:
        failure = error
    finally:
        call.cancel()
    return Reply(grpc.StatusCode.OK, "", "", {}) if failure is None else refusal(failure)


def refusal(failure: Any) -> Reply:
    packed = dict(failure.trailing_metadata() or ()).get("grpc-status-details-bin")
    info = ErrorInfo()
    if packed is not None:
        status = Status.FromString(packed)
        assert status.code == failure.code().value[0]
        next(one for one in status.details if one.Is(ErrorInfo.DESCRIPTOR)).Unpack(info)
        assert info.domain == "bridge"
    return Reply(failure.code(), failure.details() or "", info.reason, dict(info.metadata))


@pytest.fixture(scope="module", params=[1, 2], ids=["1-front", "2-fronts"])
def fronts(request: pytest.FixtureRequest) -> int:
    return request.param


@pytest.fixture(scope="module")
def replay_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("replay")


@pytest.fixture(scope="module")
def key_file(tmp_path_factory: pytest.TempPathFactory, fronts: int) -> KeyFile:
    made = KeyFile(tmp_path_factory.mktemp("keys") / "keys.json")
    made.make("caller")
    made.make("operator", "call", "admin")
    made.make("acme", tenant="acme")
    made.make("old", "call", "admin")
    made.revoke("old")
    return made


@pytest.fixture(scope="module")
def keyed(start_shared_server: Any, key_file: KeyFile, replay_folder: Path) -> Any:
    """The server that these tests use."""
    return start_shared_server(APP, CONFIG.format(file=key_file.path, replay=replay_folder))


@pytest.fixture(scope="module")
def key_channel(keyed: Any) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(keyed.address, options=[("grpc.use_local_subchannel_pool", 1)]) as opened:
        yield opened


@pytest.fixture
def ask(key_channel: grpc.Channel, key_file: KeyFile) -> Any:
    """`ask(path, key=None, *metadata, request=b"")`: what a request to a method gets, of any kind.

    `key` is the name of a key of the file, or the text that is sent as one.
    """

    def one(path: str, key: str | None = None, *metadata: tuple[str, str], request: bytes = b"") -> Reply:
        text = key_file.texts.get(key or "", key)
        header = () if text is None else (("authorization", f"Bearer {text}"),)
        return sent(key_channel, path, (*header, *metadata), request)

    return one


@pytest.fixture
def caller(keyed: Any, key_file: KeyFile) -> Any:
    """`caller(key)`: the metadata of a key, by its name."""
    return lambda key: (("authorization", f"Bearer {key_file.texts[key]}"),)


@pytest.fixture
def sent_to(key_file: KeyFile) -> Any:
    """`sent_to(server, path, key=None)`: as `ask`, to a server of the test's own."""

    def one(server: Any, path: str, key: str | None = None) -> Reply:
        text = key_file.texts.get(key or "", key)
        with grpc.insecure_channel(server.address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
            return sent(channel, path, () if text is None else (("authorization", f"Bearer {text}"),))

    return one

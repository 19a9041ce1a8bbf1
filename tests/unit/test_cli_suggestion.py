"""The next command that a server shows when it is ready: it works as it stands, but for the secrets in it."""

import pytest

from bridge.cli.serving import suggest
from bridge.ready import Ready
from handlers.contract import FunctionSpec

ADD = FunctionSpec(name="add", kind="function", example='{"a":1,"b":2}')


def ready(**known):
    return Ready(**{"address": "127.0.0.1:50051", "functions": (ADD,), "pools": (), "seconds": 1.0} | known)


@pytest.mark.parametrize(
    ("known", "flags"),
    [
        ({}, ""),
        ({"wants_key": True}, " --key KEY"),
        ({"tls": True}, " --tls-ca CA.pem"),
        ({"tls": True, "wants_key": True}, " --key KEY --tls-ca CA.pem"),
        ({"address": "unix:/run/bridge", "tls": True}, " --address unix:/run/bridge"),
    ],
    ids=["open", "keys", "TLS", "both", "unix socket"],
)
def test_it_says_what_the_server_wants(known, flags):
    assert suggest(ready(**known)) == f"bridge call add a=1 b=2{flags}"


def test_nothing_is_suggested_where_nothing_is_served():
    assert suggest(ready(functions=())) == ""

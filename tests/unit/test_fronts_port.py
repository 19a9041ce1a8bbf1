"""The claim on a port: shared with those who ask for it afterwards, with nobody who was there before."""

import errno
import socket

import pytest

from bridge.fronts.port import Claim


def listener(port, *, shared, host="127.0.0.1"):
    """A socket as a gRPC server makes it."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(shared))
    try:
        sock.bind((host, port))
        sock.listen()
    except OSError:
        sock.close()
        raise
    return sock


@pytest.fixture
def claim():
    claimed = Claim("127.0.0.1:0")
    yield claimed
    claimed.close()


def port_of(claim):
    return int(claim.address.rpartition(":")[2])


def test_several_may_listen_on_a_claimed_port_and_it_takes_no_connection_itself(claim):
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port_of(claim)))
    listeners = [listener(port_of(claim), shared=True) for _ in range(3)]
    for _ in range(20):
        socket.create_connection(("127.0.0.1", port_of(claim))).close()
    for each in listeners:
        each.close()


def test_nobody_else_gets_a_claimed_port(claim):
    for _ in range(2):
        with pytest.raises(OSError, match="in use") as refused:
            listener(port_of(claim), shared=False)
        assert refused.value.errno == errno.EADDRINUSE
        with pytest.raises(OSError, match="in use"):
            Claim(claim.address)
        ours = listener(port_of(claim), shared=True)
    ours.close()


@pytest.mark.parametrize("shared", [False, True])
def test_a_port_on_which_somebody_listens_can_not_be_claimed(shared):
    there = listener(0, shared=shared)
    with pytest.raises(OSError, match="in use"):
        Claim(f"127.0.0.1:{there.getsockname()[1]}")
    there.close()


def test_connections_that_are_still_closing_are_in_nobodys_way():
    """As after the stop of a server: its side of a connection that it has closed first waits for a minute."""
    server = listener(0, shared=False)
    port = server.getsockname()[1]
    client = socket.create_connection(("127.0.0.1", port))
    accepted, _ = server.accept()
    accepted.close()
    assert client.recv(1) == b""
    client.close()
    server.close()
    claimed = Claim(f"127.0.0.1:{port}")
    first = listener(port, shared=True)
    with pytest.raises(OSError, match="in use"):
        Claim(f"127.0.0.1:{port}")
    first.close()
    claimed.close()


@pytest.mark.parametrize("host", ["localhost", "[::1]", "0.0.0.0", "[::]"])
def test_hosts(host):
    claimed = Claim(f"{host}:0")
    assert claimed.address.startswith(f"{host}:")
    if host != "[::1]":
        listener(port_of(claimed), shared=True).close()
    claimed.close()


def test_an_address_that_is_not_of_this_machine():
    with pytest.raises(OSError, match="assign"):
        Claim("192.0.2.1:0")

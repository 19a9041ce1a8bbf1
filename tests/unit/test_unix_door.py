"""The door of a unix socket: who is let through, what goes through, and what happens when it can not accept."""

from __future__ import annotations

import asyncio
import errno
import os
import socket

import pytest

from bridge.doors.unix_door import UnixDoor


@pytest.fixture
async def behind(tmp_path):
    """A server behind the door that sends back what it gets, and says `bye` when it has got `end`."""
    path = str(tmp_path / "inner")
    reading = asyncio.Event()
    reading.set()

    async def serve(reader, writer):
        while data := await reader.read(65536):
            await reading.wait()
            if data == b"end":
                writer.write(b"bye")
                break
            writer.write(data)
            await writer.drain()
        writer.close()

    async with await asyncio.start_unix_server(serve, path):
        yield path, reading


@pytest.fixture
async def door(behind, tmp_path):
    made = UnixDoor(str(tmp_path / "door"), ["nobody"], behind[0])
    made.open()
    yield made
    made.close()


async def connect(tmp_path):
    return await asyncio.open_unix_connection(str(tmp_path / "door"))


async def test_bytes_go_through_both_ways(door, tmp_path):
    reader, writer = await connect(tmp_path)
    data = os.urandom(3 << 20)

    async def send():
        writer.write(data)
        await writer.drain()

    _, came = await asyncio.gather(send(), reader.readexactly(len(data)))

    assert came == data
    writer.close()


async def test_what_was_sent_before_an_end_arrives(door, tmp_path):
    reader, writer = await connect(tmp_path)
    writer.write(b"end")

    assert await reader.read() == b"bye"
    writer.close()


async def test_a_side_that_does_not_read_stops_the_other(door, behind, tmp_path):
    """Nothing of what can not go on piles up in between, but for bounded buffers."""
    behind[1].clear()
    reader, writer = await connect(tmp_path)
    sent = 0
    try:
        async with asyncio.timeout(1.0):
            while sent < 64 << 20:
                writer.write(bytes(1 << 20))
                await writer.drain()
                sent += 1 << 20
    except TimeoutError:
        pass
    assert sent < 32 << 20
    behind[1].set()
    assert await reader.readexactly(sent) == bytes(sent)
    writer.close()


async def test_users_who_are_not_named_are_cut_off_counted_and_told_of_once(door, tmp_path, caplog):
    door._allowed = frozenset({12345})
    for _ in range(3):
        reader, writer = await connect(tmp_path)
        assert await reader.read() == b""
        writer.close()

    told = [record for record in caplog.records if "refused user" in record.getMessage()]
    assert (door.refused, len(told)) == (3, 1)
    assert told[0].fields["uid"] == os.geteuid()


class _Full:
    """A listening socket for which there is no descriptor the first time."""

    def __init__(self, real):
        self._real = real
        self.failures = 0

    def accept(self):
        if not self.failures:
            self.failures += 1
            raise OSError(errno.EMFILE, "Too many open files")
        return self._real.accept()

    def __getattr__(self, name):
        return getattr(self._real, name)


async def test_it_accepts_again_when_there_were_no_descriptors(door, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr("bridge.doors.unix_door.PAUSE_S", 0.05)
    door._socket = full = _Full(door._socket)

    reader, writer = await connect(tmp_path)
    writer.write(b"hello")

    assert await reader.readexactly(5) == b"hello"
    assert full.failures == 1
    assert "can not accept connections: Too many open files" in caplog.text
    writer.close()


async def test_a_connection_when_nobody_listens_behind_is_closed(tmp_path):
    door = UnixDoor(str(tmp_path / "door"), ["nobody"], str(tmp_path / "nobody-there"))
    door.open()
    reader, writer = await connect(tmp_path)

    assert await reader.read() == b""
    writer.close()
    door.close()
    assert list(tmp_path.iterdir()) == []
    with socket.socket(socket.AF_UNIX) as late, pytest.raises(FileNotFoundError):
        late.connect(str(tmp_path / "door"))

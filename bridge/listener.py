"""Where the server takes gRPC: in this process, or in several fronts on one port. The rest of the server sees no
difference.

Owns whichever of the two there is, and what stands before all handlers: reflection, and the gate where there are keys.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bridge.doors import socket_file
from bridge.doors.failures import AddressInUse, ListenFailed
from bridge.doors.unix_door import UnixDoor, needs_door
from bridge.server import GrpcServer, ServerOptions

if TYPE_CHECKING:
    from prometheus_client.core import Metric

    from bridge.config import Config
    from bridge.doors.identity import TlsIdentity
    from bridge.doors.tls import Tls
    from bridge.fronts.front import Front
    from bridge.fronts.fronts import Fronts
    from bridge.keys.gate import Gate
    from bridge.reflection import Reflection
    from bridge.server import Conversation, Streaming, Unary
    from bridge.telemetry import Telemetry

INNER = ".grpc"
"""Added to the path of the unix socket, where a door stands before the one that grpcio listens on."""
LAST_WORDS_S = 1.0
"""How long answers that are made may take to be sent when the server ends."""


class Listener:
    """`start` early, `serve` once there is something to serve, `stop` last; `stop` alone is always safe."""

    def __init__(self, config: Config, telemetry: Telemetry, fatal: Callable[[BaseException], None]) -> None:
        self._config = config.server
        self._fatal = fatal
        self._server: GrpcServer | None = None
        self._reflection: Reflection | None = None
        self._gate: Gate | None = None
        self._door: UnixDoor | None = None
        self._needs_door = False
        self.tls: Tls | None = None
        self._watching: list[asyncio.Task[None]] = []
        self.fronts: Fronts | None = None
        if config.server.fronts > 1:
            from bridge.fronts.fronts import Fronts

            self.fronts = Fronts(config.server.fronts, fatal)
        if config.keys.file is not None:
            from bridge.keys.gate import Gate

            self._gate = Gate(Path(config.keys.file), telemetry)

    def start(self) -> None:
        """Begin with what takes long, once it is known who may call. Raises ListenFailed."""
        if self._gate is not None:
            self._open_gate(self._gate)
        if self._config.tls_certificate is not None:
            from bridge.doors.tls import Tls

            self.tls = Tls(self._config, os.environ, self._new_identity)
        if self._config.unix_socket is not None:
            self._needs_door = needs_door(self._config.unix_users)
            with socket_file.claimed(self._config.unix_socket):
                pass  # a start that takes minutes should not fail at its end
        if self.fronts is None:
            return
        try:
            self.fronts.start(self._config.address)
        except AddressInUse as error:
            raise _in_use(error) from None

    def _open_gate(self, gate: Gate) -> None:
        from bridge.keys.key_file import KeyFileProblem

        try:
            gate.open()
        except KeyFileProblem as problem:
            raise ListenFailed(str(problem)) from None

    async def serve(
        self,
        unary: Mapping[str, Unary],
        streaming: Mapping[str, Streaming],
        conversations: Mapping[str, Conversation],
        names: Sequence[str],
        files: Sequence[bytes] = (),
    ) -> str:
        """Serve handlers by their paths, and tell of services by `names`; return the address. Raises ListenFailed.

        `files` describe services that no module of this process describes.
        """
        config, address = self._config, ""
        options = ServerOptions(
            address=config.address,
            max_message_bytes=config.max_message_bytes,
            keepalive_time_s=config.keepalive_time_s,
            keepalive_timeout_s=config.keepalive_timeout_s,
            tls=None if self.tls is None else self.tls.identity,
            unix=self._unix_path(),
        )
        if config.reflection:
            from bridge.reflection import SERVICES, Reflection

            self._reflection = Reflection(names, files)
            names, conversations = [*names, *SERVICES], {**conversations, **self._reflection.conversations()}
        if self._gate is not None:
            self._gate.look()  # the pools have taken their time
            self._gate.learn(names, files)
            unary, streaming = self._gate.unary(unary), self._gate.streaming(streaming)
            conversations = self._gate.conversations(conversations)
        if self.fronts is not None:
            address = await self.fronts.serve(options, unary, streaming, conversations, config.slow_reader_timeout_s)
            options = replace(options, address="", tls=None)
        if options.address or options.unix:
            refuse = None if self._gate is None else self._gate.refuse
            self._server = GrpcServer(options, unary, streaming, conversations, refuse)
            try:
                own = await self._server.start()
            except AddressInUse as error:
                raise _in_use(error) from None
            address = address or own
        self._open_door()
        for part in (self._gate, self.tls):
            if part is not None:
                self._watching.append(asyncio.create_task(part.watch()))
                self._watching[-1].add_done_callback(self._end_on_bug)
        return address

    def _unix_path(self) -> str:
        """Return where grpcio listens for programs of this machine: behind the door, where there is one."""
        path = self._config.unix_socket or ""
        return path + INNER if path and self._needs_door else path

    def _open_door(self) -> None:
        path = self._config.unix_socket
        if path is not None and self._needs_door:
            self._door = UnixDoor(path, self._config.unix_users, self._unix_path())
            self._door.open()

    def _new_identity(self, identity: TlsIdentity) -> None:
        if self._server is not None:
            self._server.renew_tls(identity)
        if self.fronts is not None:
            self.fronts.renew_tls(identity)

    def _end_on_bug(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fatal(error)

    def look(self) -> None:
        """Look at the files of the TLS certificate and of the keys now."""
        for part in (self._gate, self.tls):
            if part is not None:
                part.look()

    def processes(self) -> list[Front]:
        """Return the fronts that there are now; none where this process takes gRPC by itself."""
        return [] if self.fronts is None else self.fronts.fronts

    def families(self) -> list[Metric]:
        """Return for Prometheus the figures of the fronts, the doors and the gate, where there are any."""
        found: list[Metric] = []
        if self._gate is not None:
            from bridge.keys.figures import families as of_gate

            found += of_gate(self._gate)
        if self.tls is not None or self._door is not None:
            from bridge.doors.figures import families as of_doors

            found += of_doors(self.tls, self._door)
        if self.fronts is not None:
            from bridge.fronts.figures import families

            found += families(self.fronts)
        return found

    def renew(self, config: Config) -> None:
        """Take over settings that a reload has changed."""
        if self.tls is not None:
            self.tls.renew(config.server)
        if self.fronts is not None:
            self.fronts.renew(config.server)

    def change(
        self,
        unary: Mapping[str, Unary],
        streaming: Mapping[str, Streaming],
        names: Sequence[str],
        files: Sequence[bytes],
    ) -> bool:
        """Serve these handlers too and tell of these services; return whether that was possible without a restart."""
        if self.fronts is not None and not self.fronts.serves([*unary, *streaming]):
            return False
        if self._reflection is not None:
            self._reflection.tell(names, files)
        if self._server is None:
            return True
        if self._gate is not None:
            self._gate.learn(names, files)
            unary, streaming = self._gate.unary(unary), self._gate.streaming(streaming)
        self._server.change(unary, streaming)
        return True

    def drain(self) -> None:
        """Take note that the server drains."""
        if self.fronts is not None:
            self.fronts.drain()

    async def stop(self) -> None:
        """Send the answers that are made, refuse what comes, and end."""
        for task in self._watching:
            task.cancel()
        if self._door is not None:
            self._door.shut()
        if self._server is not None:
            await self._server.stop(LAST_WORDS_S)
        if self._door is not None:
            self._door.close()
        if self.fronts is not None:
            await self.fronts.stop(LAST_WORDS_S)


def _in_use(error: AddressInUse) -> ListenFailed:
    return ListenFailed(f"{error}: is another server running there? Use --address to choose another")

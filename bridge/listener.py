"""Where the server takes gRPC: in this process, or in several fronts on one port. The rest of the server sees no
difference.

Owns whichever of the two there is.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from bridge.server import AddressInUse, GrpcServer, ListenFailed, ServerOptions

if TYPE_CHECKING:
    from prometheus_client.core import Metric

    from bridge.config import ServerConfig
    from bridge.doors.identity import TlsIdentity
    from bridge.doors.tls import Tls
    from bridge.fronts.front import Front
    from bridge.fronts.fronts import Fronts
    from bridge.server import Conversation, Streaming, Unary

LAST_WORDS_S = 1.0
"""How long answers that are made may take to be sent when the server ends."""


class Listener:
    """`start` early, `serve` once there is something to serve, `stop` last; `stop` alone is always safe."""

    def __init__(self, config: ServerConfig, fatal: Callable[[BaseException], None]) -> None:
        self._config = config
        self._server: GrpcServer | None = None
        self.tls: Tls | None = None
        self._watching: asyncio.Task[None] | None = None
        self._fatal = fatal
        self.fronts: Fronts | None = None
        if config.fronts > 1:
            from bridge.fronts.fronts import Fronts

            self.fronts = Fronts(config.fronts, fatal)

    def start(self) -> None:
        """Begin with what takes long. Raises ListenFailed."""
        if self._config.tls_certificate is not None:
            from bridge.doors.tls import Tls

            self.tls = Tls(self._config, os.environ, self._new_identity)
        if self.fronts is None:
            return
        try:
            self.fronts.start(self._config.address)
        except AddressInUse as error:
            raise _in_use(error) from None

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
        config = self._config
        options = ServerOptions(
            address=config.address,
            max_message_bytes=config.max_message_bytes,
            reflection=config.reflection,
            keepalive_time_s=config.keepalive_time_s,
            keepalive_timeout_s=config.keepalive_timeout_s,
            tls=None if self.tls is None else self.tls.identity,
        )
        if self.fronts is not None:
            address = await self.fronts.serve(
                options, unary, streaming, conversations, names, config.slow_reader_timeout_s, files
            )
        else:
            self._server = GrpcServer(options, unary, streaming, conversations, list(names), files)
            try:
                address = await self._server.start()
            except AddressInUse as error:
                raise _in_use(error) from None
        if self.tls is not None:
            self._watching = asyncio.create_task(self.tls.watch())
            self._watching.add_done_callback(self._end_on_bug)
        return address

    def _new_identity(self, identity: TlsIdentity) -> None:
        if self._server is not None:
            self._server.renew_tls(identity)
        if self.fronts is not None:
            self.fronts.renew_tls(identity)

    def _end_on_bug(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fatal(error)

    def look(self) -> None:
        """Look at the files of the TLS certificate now."""
        if self.tls is not None:
            self.tls.look()

    def processes(self) -> list[Front]:
        """Return the fronts that there are now; none where this process takes gRPC by itself."""
        return [] if self.fronts is None else self.fronts.fronts

    def families(self) -> list[Metric]:
        """Return the fronts' figures for Prometheus; none where there are no fronts."""
        if self.fronts is None:
            return []
        from bridge.fronts.figures import families

        return families(self.fronts)

    def renew(self, config: ServerConfig) -> None:
        """Take over settings that a reload has changed."""
        if self.tls is not None:
            self.tls.renew(config)
        if self.fronts is not None:
            self.fronts.renew(config)

    def change(
        self,
        unary: Mapping[str, Unary],
        streaming: Mapping[str, Streaming],
        names: Sequence[str],
        files: Sequence[bytes],
    ) -> bool:
        """Serve these handlers too and tell of these services; return whether that was possible without a restart."""
        if self._server is None:
            return self.fronts is None or self.fronts.serves([*unary, *streaming])
        self._server.change(unary, streaming, list(names), files)
        return True

    def drain(self) -> None:
        """Take note that the server drains."""
        if self.fronts is not None:
            self.fronts.drain()

    async def stop(self) -> None:
        """Send the answers that are made, refuse what comes, and end."""
        if self._watching is not None:
            self._watching.cancel()
        if self._server is not None:
            await self._server.stop(LAST_WORDS_S)
        if self.fronts is not None:
            await self.fronts.stop(LAST_WORDS_S)


def _in_use(error: AddressInUse) -> ListenFailed:
    return ListenFailed(f"{error}: is another server running there? Use --address to choose another")

"""The blocking client as a host of tools. Owns the stream, the thread that reads it, and those that run functions."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import replace
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Self

import grpc

from bridge_client.errors import BridgeError
from bridge_client.failures import to_error
from bridge_client.hosting import PATH, Hosting
from bridge_client.wire import seal

if TYPE_CHECKING:
    from types import TracebackType

    from bridge_client.hosted_tools import HostedCall
    from bridge_client.sync_wire import SyncWire

GOODBYE_S = 5.0


class ToolHost:
    """Functions of this process as tools of agents on the server, until `close`. Made by `Client.host_tools`.

    Functions run in threads. A stream that breaks is opened again; what runs meanwhile is answered over the new one.
    """

    def __init__(self, wire: SyncWire, hosting: Hosting, threads: int) -> None:
        for tool in hosting.tools.values():
            if tool.is_async:
                msg = f"'{tool.called}' is async; host it with connect_async"
                raise TypeError(msg)
        self._wire = wire
        self._hosting = hosting
        self._lock = threading.Lock()
        self._registered = threading.Event()
        self._closing = threading.Event()
        self._error: BridgeError | None = None
        self._out: SimpleQueue[bytes | None] = SimpleQueue()
        self._call: Any = None
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="bridge-tool")
        self._thread = threading.Thread(target=self._serve, name="bridge-tool-host", daemon=True)
        self._thread.start()
        self._registered.wait()
        if (error := self.error) is not None:
            self.close()
            raise error

    @property
    def registration(self) -> str:
        """The registration's id, for runs to name. It changes where the server has forgotten the one before."""
        return self._hosting.registration

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the tools."""
        return tuple(self._hosting.tools)

    @property
    def error(self) -> BridgeError | None:
        """Why the tools are hosted no longer; None while they are."""
        return self._error

    def _serve(self) -> None:
        """Keep a stream open until the end."""
        while True:
            error = self._one_stream()
            if self._closing.is_set():
                break
            with self._lock:
                goes_on = self._registered.is_set() and self._hosting.may_go_on(error)
                pause_s = self._hosting.next_pause_s()
            if not goes_on:
                self._error = error
                break
            if self._closing.wait(pause_s):
                break
        self._registered.set()

    def _one_stream(self) -> BridgeError | None:
        """Serve one stream to its end; return why it ended, if it was not well."""
        envelope = seal(self._wire.address, PATH, replace(self._wire.options, timeout=None, on_receipt=None))
        out: SimpleQueue[bytes | None] = SimpleQueue()
        with self._lock:
            for message in self._hosting.first_messages():
                out.put(message)
            self._out = out
        self._call = self._wire.channel.stream_stream(PATH)(iter(out.get, None), metadata=envelope.metadata)
        try:
            for data in self._call:
                with self._lock:
                    call = self._hosting.read(data)
                if self._hosting.registration:
                    self._registered.set()
                if call is not None:
                    self._pool.submit(copy_context().run, self._run, call)
        except grpc.RpcError as failed:
            return to_error(failed, envelope.facts)
        except BridgeError as unreadable:
            self._call.cancel()
            return unreadable
        finally:
            out.put(None)
        return None

    def _run(self, call: HostedCall) -> None:
        """Run a function, and answer."""
        if call.cancelled.is_set():
            return
        try:
            value = self._hosting.tools[call.tool].run(call)
        except Exception as error:  # noqa: BLE001  # it is the function's own, and the server is told
            with self._lock:
                self._send(self._hosting.failure(call, error))
        else:
            with self._lock:
                self._send(self._hosting.result(call, value))

    def _send(self, message: bytes | None) -> None:
        if message is not None:
            self._out.put(message)

    def close(self) -> None:
        """Host the tools no longer. Functions that run are told (`current_tool_call().cancelled`) and waited for."""
        self._closing.set()
        with self._lock:
            self._out.put(self._hosting.goodbye())
            for call in self._hosting.running.values():
                call.cancelled.set()
        self._thread.join(GOODBYE_S)
        if self._thread.is_alive() and self._call is not None:
            self._call.cancel()
            self._thread.join()
        self._pool.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

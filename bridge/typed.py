"""Typed services: a method per function of the app, served beside the bridge's own services and told by reflection.

A request goes to its function as it came, with the description of its method beside it; a worker reads it. Owns which
methods there are now. Built when the server starts and when it reloads; calls of other services never come here.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from bridge.errors import BridgeError, Code
from bridge.routing.routes import RoutedSpec
from bridge.servicers.health import SERVICE as HEALTH_SERVICE
from bridge.servicers.table import service_names
from bridge.telemetry import log
from handlers.typed import calls
from handlers.typed.descriptors import file_of, pool_with
from handlers.typed.lock import Lock, LockProblem, numbered, read_lock
from handlers.typed.names import module_name, package_of
from handlers.typed.reader import SERVED_KINDS, Function, read

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bridge.listener import Listener
    from bridge.server import Streaming, Unary
    from bridge.servicers.forward import Forwarder
    from bridge.settings.typed_table import TypedConfig
    from handlers.contract import FunctionSpec
    from handlers.typed.shapes import Api


class TypedProblem(Exception):
    """Typed services can not be served; the message says why and the fix."""


def functions_of(specs: Iterable[FunctionSpec]) -> list[Function]:
    """Return what typed services are made of: the app's functions and programs."""
    found = []
    for routed in specs:
        spec = routed.original if isinstance(routed, RoutedSpec) and routed.original is not None else routed
        if spec.kind not in SERVED_KINDS or (spec.module is None and spec.program is None):
            continue
        found.append(
            Function(
                name=routed.name,
                module=module_name(spec.module),
                program=spec.kind == "program",
                streaming=spec.streaming,
                doc=spec.doc,
                arguments_schema=spec.arguments_schema,
                result_schema=spec.result_schema,
            )
        )
    return found


def typed_api(config: TypedConfig, specs: Iterable[FunctionSpec]) -> Api | None:
    """Return the typed services of a catalogue, or None where there are none. Raises TypedProblem.

    A function that can have no method is left out, and logged.
    """
    path = Path(config.lock)
    if config.services == "off" or (config.services == "auto" and not path.is_file()):
        return None
    functions = functions_of(specs)
    try:
        lock = read_lock(path.read_bytes()) if path.is_file() else None
    except (LockProblem, OSError) as error:
        raise TypedProblem(f"the lock file {path} can not be used: {error}") from None
    if lock is None:
        lock = Lock(config.package or package_of(sorted({one.module for one in functions if one.module})))
    elif config.package and config.package != lock.package:
        raise TypedProblem(f"typed.package is {config.package!r}, but {path} is of {lock.package!r}; leave it out")
    api, problems = read(lock.package, functions)
    for problem in problems:
        log(logging.WARNING, f"{problem.function} has no typed method: {problem.message}")
    numbered_api, renewed = numbered(api, lock)
    if path.is_file() and renewed != lock:
        log(logging.WARNING, f"{path} lacks fields that there are now; write it anew with: bridge proto export")
    pool_with([file_of(numbered_api)])
    return numbered_api


class TypedServices:
    """The methods that there are, by path. `renew` after a reload keeps the handlers and changes what they do."""

    def __init__(self, forwarder: Forwarder, config: TypedConfig, specs: Iterable[FunctionSpec]) -> None:
        """Raises TypedProblem."""
        self._forwarder = forwarder
        self._methods: dict[str, tuple[str, bytes, bool]] = {}
        """The function, the description and whether it streams."""
        self.names: list[str] = []
        """Of the services, in full."""
        self.files: tuple[bytes, ...] = ()
        """The descriptors that are not the bridge's own."""
        self.renew(config, specs)

    def renew(self, config: TypedConfig, specs: Iterable[FunctionSpec]) -> None:
        """Take over what the catalogue has now. Raises TypedProblem, and leaves all as it was."""
        api = typed_api(config, specs)
        if api is None:
            self._methods, self.names, self.files = {}, [], ()
            return
        self._methods = {
            f"/{api.package}.{method.service}/{method.name}": (
                method.function,
                calls.describe(api, method),
                method.streaming,
            )
            for method in api.methods
        }
        self.names = [f"{api.package}.{service}" for service in api.services()]
        self.files = (file_of(api).SerializeToString(),)

    def adopt(self, config: TypedConfig, specs: Iterable[FunctionSpec], listener: Listener) -> None:
        """Take over what a reload has brought; where it can not be served, log why and go on as before."""
        try:
            self.renew(config, specs)
        except TypedProblem as error:
            log(logging.ERROR, f"typed services stay as they were: {error}")
            return
        names = [*service_names(), HEALTH_SERVICE, *self.names]
        if not listener.change(*self.handlers(), names, self.files):
            log(logging.WARNING, "fronts serve typed methods that are new after a restart of the server only")

    def handlers(self) -> tuple[dict[str, Unary], dict[str, Streaming]]:
        """Return the handlers of the methods that there are now, by path."""
        unary = {path: self._unary(path) for path, (_, _, streams) in self._methods.items() if not streams}
        return unary, {path: self._streaming(path) for path, (_, _, streams) in self._methods.items() if streams}

    def _unary(self, path: str) -> Unary:
        return self._forwarder.unary(calls.CALL, lambda request: self._enveloped(path, request))

    def _streaming(self, path: str) -> Streaming:
        return self._forwarder.streaming(calls.STREAM_CALL, lambda request: self._enveloped(path, request))

    def _enveloped(self, path: str, request: bytes) -> bytes:
        found = self._methods.get(path)
        if found is None:
            message = f"{path[1:]} is gone: its function is not served any more"
            raise BridgeError(Code.NOT_FOUND, "UNKNOWN_FUNCTION", message)
        function, description, _ = found
        return calls.envelope(function, description, request)

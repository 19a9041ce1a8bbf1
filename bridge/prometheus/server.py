"""Serves the metrics over HTTP, for Prometheus to scrape.

Owns a listening socket and the threads that answer on it. Every figure is taken on the event loop, which is asked with
a time limit: where the loop is stuck, the scrape fails and says so instead of telling old figures.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import socket
import threading
from collections.abc import Callable, Iterable
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from prometheus_client.exposition import choose_encoder

if TYPE_CHECKING:
    from prometheus_client.core import Metric

LOOP_TIMEOUT_S = 5.0
"""How long the event loop may take to hand out its figures."""
CLIENT_TIMEOUT_S = 10.0
AT_A_TIME = 8
"""Scrapes that are answered at a time."""


class MetricsServer:
    """Answers GET /metrics. `figures` is called on the event loop that `start` was called on."""

    def __init__(self, address: str, figures: Callable[[], Iterable[Metric]]) -> None:
        self._address = address
        self._figures = figures
        self._server: ThreadingHTTPServer | None = None

    def start(self) -> str:
        """Listen, and return the address with its real port. Raises OSError where the address can not be had."""
        host, _, port = self._address.rpartition(":")
        handler = partial(_Handler, partial(_ask, asyncio.get_running_loop(), self._figures))
        server = _Server((host.strip("[]"), int(port)), handler)
        threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
        self._server = server
        return f"{host}:{server.server_address[1]}"

    async def stop(self) -> None:
        """Listen no more."""
        if self._server is not None:
            await asyncio.to_thread(self._server.shutdown)
            self._server.server_close()
            self._server = None


def _ask(loop: asyncio.AbstractEventLoop, figures: Callable[[], Iterable[Metric]]) -> list[Metric]:
    """Return the figures, taken on the loop. Raises TimeoutError."""

    async def take() -> list[Metric]:
        return list(figures())

    future = asyncio.run_coroutine_threadsafe(take(), loop)
    try:
        return future.result(LOOP_TIMEOUT_S)
    except concurrent.futures.TimeoutError:
        future.cancel()
        raise TimeoutError(f"the event loop did not answer within {LOOP_TIMEOUT_S:g} s: it is stuck") from None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], handler: Callable[..., BaseHTTPRequestHandler]) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._places = threading.BoundedSemaphore(AT_A_TIME)
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._places.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has left is no news."""


class _Taken:
    """What a registry is to an encoder: something that is collected."""

    def __init__(self, metrics: list[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> list[Metric]:
        return self._metrics


class _Handler(BaseHTTPRequestHandler):
    timeout = CLIENT_TIMEOUT_S
    server_version = "bridge"
    sys_version = ""

    def __init__(self, ask: Callable[[], list[Metric]], *arguments: Any) -> None:
        self._ask = ask
        super().__init__(*arguments)

    def do_GET(self) -> None:
        if self.path.partition("?")[0] not in ("/metrics", "/"):
            self._answer(HTTPStatus.NOT_FOUND, "text/plain; charset=utf-8", b"the metrics are at /metrics\n")
            return
        try:
            metrics = self._ask()
        except TimeoutError as error:
            self._answer(HTTPStatus.SERVICE_UNAVAILABLE, "text/plain; charset=utf-8", f"{error}\n".encode())
            return
        encode, content_type = choose_encoder(self.headers.get("Accept", ""))
        self._answer(HTTPStatus.OK, content_type, encode(_Taken(metrics)))

    def _answer(self, status: HTTPStatus, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Scrapes are no news."""

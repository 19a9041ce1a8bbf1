"""A local HTTP server that speaks OpenAI's API and misbehaves on request: for tests of code that calls models.

    with serve() as server:
        client = openai.OpenAI(base_url=server.base_url, api_key="none")
        client.chat.completions.create(model="test-status429x1", messages=[...])
        server.requests[0].outcome

Owns its socket, its threads, the script and the log of requests. Loopback only, standard library only; its answers
come from the built-in test model. It must not know who calls it.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import threading
from collections import deque
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from handlers.models.openai_test_server import behaviour as behaviours
from handlers.models.openai_test_server import replies
from handlers.models.openai_test_server.behaviour import Behaviour, Scripted
from handlers.models.openai_test_server.request_log import RecordedRequest, RequestLog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_MAX_BODY = 64 * 1024 * 1024
_NEEDED = {"/v1/chat/completions": "messages", "/v1/embeddings": "input", "/v1/images/generations": "prompt"}
"""What each path can not do without."""


class OpenAITestServer:
    """The running server. Close it, or use `serve`."""

    def __init__(self, port: int = 0) -> None:
        self._log = RequestLog()
        self._script: deque[Scripted] = deque()
        self._stopped, self._stop = socket.socketpair()
        self._http = _Http(("127.0.0.1", port), self)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), name="openai-test-server")
        self._thread.start()

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._http.server_address[1])

    @property
    def base_url(self) -> str:
        """The address for clients, `/v1` included."""
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def requests(self) -> tuple[RecordedRequest, ...]:
        """The requests so far, in the order of their arrival."""
        return self._log.snapshot()

    def script(self, *steps: Scripted | Behaviour | str) -> None:
        """Say how the next requests for chat completions and images are answered; a string is a text to answer."""
        for step in steps:
            if isinstance(step, str):
                self._script.append(Scripted(text=step))
            else:
                self._script.append(Scripted(behaviour=step) if isinstance(step, Behaviour) else step)

    def wait_for(
        self, condition: Callable[[tuple[RecordedRequest, ...]], bool], timeout_s: float = 10.0
    ) -> tuple[RecordedRequest, ...]:
        """Wait until `condition` holds for the requests, and return them. Raises TimeoutError."""
        return self._log.wait_for(condition, timeout_s)

    def wait_for_requests(self, count: int = 1, timeout_s: float = 10.0) -> tuple[RecordedRequest, ...]:
        """Wait until `count` requests have come in."""
        return self.wait_for(lambda requests: len(requests) >= count, timeout_s)

    def wait_for_client_left(self, count: int = 1, timeout_s: float = 10.0) -> tuple[RecordedRequest, ...]:
        """Wait until `count` clients have gone before their answer was complete."""
        return self.wait_for(lambda requests: sum(one.outcome == "client_left" for one in requests) >= count, timeout_s)

    def close(self) -> None:
        """Stop listening, end every open connection and every thread."""
        self._stop.close()
        self._http.shutdown()
        self._thread.join()
        self._http.end_connections()
        self._http.server_close()
        self._stopped.close()

    def next_step(self) -> Scripted | None:
        """Take the next step of the script, if there is one."""
        try:
            return self._script.popleft()
        except IndexError:
            return None

    @property
    def log(self) -> RequestLog:
        """Where the connections write."""
        return self._log

    @property
    def stopped(self) -> socket.socket:
        """Readable once the server stops."""
        return self._stopped


@contextmanager
def serve(port: int = 0) -> Iterator[OpenAITestServer]:
    """Run a server on a loopback port (0 for any free one) until the block ends."""
    server = OpenAITestServer(port)
    try:
        yield server
    finally:
        server.close()


class _Http(ThreadingHTTPServer):
    daemon_threads = False  # server_close joins them, so that nothing is left behind
    request_queue_size = 256

    def __init__(self, address: tuple[str, int], owner: OpenAITestServer) -> None:
        self.owner = owner
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(address, _Connection)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._connections.discard(request)
        super().shutdown_request(request)

    def end_connections(self) -> None:
        with self._lock:
            for connection in self._connections:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:  # the peer was quicker
                    continue

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _ClientLeft(Exception):
    """The client closed the connection before it had its answer."""


class _Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Http
    record: RecordedRequest

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
        """Say nothing: the log of requests is for the test to read."""

    def do_GET(self) -> None:
        if self.path.split("?")[0] == "/v1/models":
            self._send_json(200, replies.models())
        else:
            self._send_json(404, replies.error(404, message=f"no such path: {self.path}"))

    def do_POST(self) -> None:
        request = self._read()
        if request is None:
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.record = self.server.owner.log.open(self.path, headers, request)
        try:
            self._answer(request)
        except (_ClientLeft, ConnectionError):
            self.close_connection = True
            self._finish("client_left")

    def _read(self) -> dict[str, Any] | None:
        length = int(self.headers.get("Content-Length") or 0)
        if length > _MAX_BODY:
            self.close_connection = True
            self._send_json(413, replies.error(413, message=f"body of {length} bytes; at most {_MAX_BODY}"))
            return None
        try:
            request = json.loads(self.rfile.read(length))
        except ValueError as error:
            self._send_json(400, replies.error(400, message=f"the body is not JSON: {error}"))
            return None
        if not isinstance(request, dict):
            self._send_json(400, replies.error(400, message="the body must be a JSON object"))
            return None
        return request

    def _answer(self, request: dict[str, Any]) -> None:
        path = self.path.split("?")[0]
        wanted = _NEEDED.get(path)
        if wanted is None or not request.get(wanted):
            status = 404 if wanted is None else 400
            self._fail(status, message=f"no such path: {path}" if wanted is None else f"'{wanted}' is missing")
            return
        scripted = None if wanted == "input" else self.server.owner.next_step()
        try:
            behaviour = scripted.behaviour if scripted else behaviours.of_model(str(request.get("model", "")))
        except behaviours.UnknownWord as error:
            self._fail(400, message=str(error))
            return
        self._pause(behaviour.latency_s)
        if behaviour.ending == "hang":
            self._pause(None)
        if self._fails(behaviour):
            self._fail_as_told(behaviour)
        elif wanted == "input":
            self._finish("answered", status=200)
            self._send_json(200, replies.embeddings(request))
        elif wanted == "prompt":
            self._images(request, behaviour, scripted)
        else:
            self._chat(request, behaviour, scripted)

    def _fails(self, behaviour: Behaviour) -> bool:
        if behaviour.status is None:
            return False
        return behaviour.first is None or self.server.owner.log.count(self.record.model) <= behaviour.first

    def _fail_as_told(self, behaviour: Behaviour) -> None:
        status = behaviour.status or 500
        key = self.record.headers.get("authorization", "").removeprefix("Bearer ")
        # Some providers do quote the key, so that tests can show that nobody passes it on.
        message = f"Incorrect API key provided: {key}." if status == 401 else None
        self._fail(status, code=behaviour.error_code, message=message, retry_after=behaviour.retry_after)

    def _fail(
        self, status: int, *, code: str | None = None, message: str | None = None, retry_after: str | None = None
    ) -> None:
        headers = {} if retry_after is None else {"Retry-After": retry_after}
        self._finish("failed", status=status)
        self._send_json(status, replies.error(status, code=code, message=message), headers)

    def _chat(self, request: dict[str, Any], behaviour: Behaviour, scripted: Scripted | None) -> None:
        reply = replies.chat(self.record.number, request, behaviour, scripted)
        if behaviour.ending != "wrong_type" and request.get("stream"):
            options = request.get("stream_options") or {}
            pieces = replies.chunks(reply, include_usage=bool(options.get("include_usage")))
            self._stream([json.dumps(piece) for piece in pieces], behaviour)
        else:
            self._plain(scripted.body if scripted and scripted.body else replies.body(reply), behaviour)

    def _images(self, request: dict[str, Any], behaviour: Behaviour, scripted: Scripted | None) -> None:
        made = replies.images(self.record.number, request, behaviour)
        self._plain(scripted.body if scripted and scripted.body else made, behaviour)

    def _plain(self, value: dict[str, Any], behaviour: Behaviour) -> None:
        if behaviour.ending == "wrong_type":
            self._finish("answered", status=200)
            self._send(200, "text/html", b"<html><body>Welcome to the proxy</body></html>")
            return
        body = json.dumps(value).encode()
        if behaviour.ending == "stall":
            self._pause(None)
        if behaviour.ending == "broken_json":
            body = body[: len(body) // 2]
        if behaviour.ending == "cut":
            self._head(200, "application/json", {"Content-Length": str(len(body))})
            self.wfile.write(body[: len(body) // 2])
            self._cut()
            return
        self._finish("answered", status=200)
        self._send(200, "application/json", body)

    def _stream(self, pieces: list[str], behaviour: Behaviour) -> None:
        self._head(200, "text/event-stream", {"Transfer-Encoding": "chunked", "Cache-Control": "no-cache"})
        if behaviour.ending == "broken_json":
            pieces[1] = pieces[1][: len(pieces[1]) // 2]
        for number, piece in enumerate([*pieces, "[DONE]"]):
            if number == behaviour.after_chunks and behaviour.ending == "cut":
                self._cut()
                return
            if number == behaviour.after_chunks and behaviour.ending == "stall":
                self._pause(None)
            if number:
                self._pause(behaviour.gap_s)
            event = f"data: {piece}\n\n".encode()
            done = {"outcome": "answered", "status": 200} if number == len(pieces) else {}
            self.server.owner.log.update(self.record, chunks_sent=number + 1, **done)
            self.wfile.write(b"%x\r\n%s\r\n" % (len(event), event))
        self.wfile.write(b"0\r\n\r\n")

    def _pause(self, seconds: float | None) -> None:
        """Wait so long, or for ever. Raises _ClientLeft as soon as the client goes or the server stops."""
        if seconds == 0.0:
            return
        ready, _, _ = select.select([self.connection, self.server.owner.stopped], [], [], seconds)
        if ready:
            # A client that waits for an answer sends nothing more: readable means that it has gone.
            raise _ClientLeft

    def _cut(self) -> None:
        self.close_connection = True
        self._finish("cut", status=200)
        self.connection.shutdown(socket.SHUT_RDWR)

    def _finish(self, outcome: str, **changes: Any) -> None:
        """Record the end; before the last byte is sent, so that a client that has its answer finds it recorded."""
        self.server.owner.log.update(self.record, outcome=outcome, **changes)

    def _send_json(self, status: int, value: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        self._send(status, "application/json", json.dumps(value).encode(), headers)

    def _send(self, status: int, kind: str, body: bytes, headers: dict[str, str] | None = None) -> None:
        self._head(status, kind, {"Content-Length": str(len(body)), **(headers or {})})
        self.wfile.write(body)

    def _head(self, status: int, kind: str, headers: dict[str, str]) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

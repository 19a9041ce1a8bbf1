"""The yardstick: a grpc.aio server on uvloop that returns each request's bytes and does nothing else.

Prints its address when it listens and serves until SIGTERM. It has the same channel options as any careful server
(no shared port, room for large messages) and no interceptors, trailers, health or reflection.
"""

from __future__ import annotations

import asyncio
import signal

import grpc
import grpc.aio
import uvloop
from scenarios import CALL_PATH, LARGE_BYTES

OPTIONS = (("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", 4 * LARGE_BYTES))


async def echo(request: bytes, _context: grpc.aio.ServicerContext) -> bytes:
    return request


async def serve() -> None:
    service, method = CALL_PATH[1:].split("/")
    handlers = grpc.method_handlers_generic_handler(service, {method: grpc.unary_unary_rpc_method_handler(echo)})
    server = grpc.aio.server(options=OPTIONS)
    server.add_generic_rpc_handlers((handlers,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    print(f"127.0.0.1:{port}", flush=True)
    await stopped.wait()
    await server.stop(grace=0.5)


if __name__ == "__main__":
    uvloop.run(serve())

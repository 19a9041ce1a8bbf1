"""The yardstick: a grpc.aio server on uvloop that returns each request's bytes and does nothing else.

A streaming call is answered with `CHUNKS` messages, one chunk each.

Prints its address when it listens and serves until SIGTERM. It has the same channel options as any careful server
(no shared port, room for large messages) and no interceptors, trailers, health or reflection.
"""

from __future__ import annotations

import asyncio
import signal

import grpc
import grpc.aio
import uvloop
from scenarios import CALL_PATH, CHUNK, CHUNKS, MESSAGE_LIMIT, STREAM_PATH

from bridge.v1 import common_pb2, invoke_pb2

OPTIONS = (("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", MESSAGE_LIMIT))


async def echo(request: bytes, _context: grpc.aio.ServicerContext) -> bytes:
    return request


async def chunks(_request: bytes, context: grpc.aio.ServicerContext) -> None:
    message = invoke_pb2.StreamCallResponse(item=common_pb2.Payload(json=CHUNK)).SerializeToString()
    for _ in range(CHUNKS):
        await context.write(message)


async def serve() -> None:
    service, method = CALL_PATH[1:].split("/")
    methods = {
        method: grpc.unary_unary_rpc_method_handler(echo),
        STREAM_PATH.rpartition("/")[2]: grpc.unary_stream_rpc_method_handler(chunks),
    }
    handlers = grpc.method_handlers_generic_handler(service, methods)
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

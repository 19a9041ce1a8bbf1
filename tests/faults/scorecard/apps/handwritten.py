"""A hand-written server: grpc.aio in front, a ProcessPoolExecutor behind, the standard health service.

As people write it who have run one for a while: workers are spawned (gRPC does not survive a fork), a pool that broke
is made anew, `maximum_concurrent_rpcs` keeps the queue short, expired calls are not begun, SIGTERM drains. Prints its
address when it listens.
"""

import asyncio
import json
import multiprocessing
import queue
import signal
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import grpc
import work
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

WORKERS = 2
WAITING = 16
STREAM_AHEAD = 8
DRAIN_S = 30
SERVICE = "scorecard.Work"
SPAWN = multiprocessing.get_context("spawn")


def run(function, arguments):
    """In the worker: one call."""
    return getattr(work, function)(**arguments)


def run_stream(function, arguments, items, stopped):
    """In the worker: one stream, into a bounded queue, until the reader has left."""
    for item in getattr(work, function)(**arguments):
        while not stopped.is_set():
            try:
                items.put(item, timeout=0.5)
                break
            except queue.Full:
                continue
        if stopped.is_set():
            return


class Workers:
    """The executor, made anew when a dead worker has broken it."""

    def __init__(self):
        self._executor = self._make()

    def _make(self):
        return ProcessPoolExecutor(WORKERS, mp_context=SPAWN)

    async def run(self, *call):
        executor = self._executor
        try:
            return await asyncio.get_running_loop().run_in_executor(executor, *call)
        except BrokenProcessPool:
            if executor is self._executor:
                self._executor = self._make()
            executor.shutdown(wait=False, cancel_futures=True)
            raise

    def stop(self):
        self._executor.shutdown(wait=True, cancel_futures=True)


class Work:
    def __init__(self, workers, manager):
        self._workers = workers
        self._manager = manager

    async def call(self, request, context):
        function, arguments = json.loads(request)
        if function.startswith("_") or not hasattr(work, function):
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no function {function}")
        try:
            return json.dumps(await self._workers.run(run, function, arguments)).encode()
        except BrokenProcessPool as error:
            await context.abort(grpc.StatusCode.UNAVAILABLE, str(error))
        except Exception as error:
            await context.abort(grpc.StatusCode.INTERNAL, f"{type(error).__name__}: {error}")

    async def stream(self, request, context):
        function, arguments = json.loads(request)
        items, stopped = self._manager.Queue(STREAM_AHEAD), self._manager.Event()
        producer = asyncio.ensure_future(self._workers.run(run_stream, function, arguments, items, stopped))
        try:
            while True:
                try:
                    yield (await asyncio.to_thread(items.get, True, 0.2)).encode()
                except queue.Empty:
                    if producer.done():
                        break
            await producer
        except BrokenProcessPool as error:
            await context.abort(grpc.StatusCode.UNAVAILABLE, str(error))
        finally:
            stopped.set()


async def main():
    workers, manager = Workers(), SPAWN.Manager()
    servicer = Work(workers, manager)
    server = grpc.aio.server(maximum_concurrent_rpcs=WORKERS + WAITING, options=[("grpc.so_reuseport", 0)])
    methods = {
        "Call": grpc.unary_unary_rpc_method_handler(servicer.call),
        "Stream": grpc.unary_stream_rpc_method_handler(servicer.stream),
    }
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, methods)])
    checks = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    await checks.set("", health_pb2.HealthCheckResponse.SERVING)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    print(f"127.0.0.1:{port}", flush=True)
    await stop.wait()
    await checks.enter_graceful_shutdown()
    await server.stop(DRAIN_S)
    workers.stop()
    manager.shutdown()


if __name__ == "__main__":
    asyncio.run(main())

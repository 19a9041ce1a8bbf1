"""A language model that costs nothing: OpenAI's chat completions over HTTP with one fixed answer, on asyncio alone.

`python model_stub.py` prints its address and serves until it is ended. A model whose name ends in a number answers
after so many milliseconds.
"""

from __future__ import annotations

import asyncio
import json
import re

TEXT = "[[ ## answer ## ]]\nBecause it is so.\n\n[[ ## completed ## ]]"
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_DELAY = re.compile(rb'"model": *"[^"]*?(\d+)"')


def reply() -> bytes:
    message = {"role": "assistant", "content": TEXT}
    body = json.dumps(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": "stub",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110},
        }
    ).encode()
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


REPLY = reply()


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer one connection's requests."""
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = _LENGTH.search(head)
            body = await reader.readexactly(int(length[1]) if length else 0)
            if (delay := _DELAY.search(body)) and int(delay[1]):
                await asyncio.sleep(int(delay[1]) / 1000)
            writer.write(REPLY)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def main() -> None:
    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=512)
    host, port = server.sockets[0].getsockname()
    print(f"http://{host}:{port}/v1", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())

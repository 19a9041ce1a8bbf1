"""A small MCP server of the protocol's own library: over its standard streams, or with a port over HTTP."""

import asyncio
import os
import sys

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError

server = MCPServer("small")


@server.tool()
def shout(text: str, times: int = 1) -> str:
    """Say something loudly."""
    return " ".join([text.upper()] * times)


@server.tool()
def measure(width: int, height: int) -> dict[str, int]:
    """Measure a rectangle."""
    return {"area": width * height, "edge": 2 * (width + height)}


@server.tool()
def fails(text: str) -> str:
    """Fail."""
    raise ToolError(f"can not do {text}")


@server.tool()
def environment(name: str) -> str:
    """Tell of an environment variable."""
    return os.environ.get(name, "not set")


@server.tool()
def ends() -> str:
    """End the server's process."""
    os._exit(3)


@server.tool()
async def wait(text: str) -> str:
    """Wait for ever."""
    await asyncio.Event().wait()
    return text


@server.tool()
def header(name: str, context: Context) -> str:
    """Tell of a header of the request."""
    return (context.headers or {}).get(name, "none")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        server.run("streamable-http", host="127.0.0.1", port=int(sys.argv[1]))
    else:
        server.run()

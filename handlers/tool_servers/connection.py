"""One MCP server: the connection to it, its tools, calls of them.

Owns a task that holds the connection open, since the protocol's library must leave it in the task that entered it. What
has broken is opened again at the next call. Imports the library at the first use.
"""

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

from handlers.errors import HandlerError

if TYPE_CHECKING:
    from handlers.contract import ToolServerOptions

LOGGER = logging.getLogger(__name__)
LIST_AGAIN_S = 60.0
"""How long what a server has said about its tools is taken to be true."""
MAX_PAGES = 50
MAX_SCHEMA_CHARACTERS = 100_000
_BROKEN = (OSError, EOFError)
"""Beside the library's own: what a connection ends with."""


class Connection:
    """A server that may be connected to."""

    def __init__(self, name: str, options: ToolServerOptions) -> None:
        self._name = name
        self._options = options
        self._places = asyncio.Semaphore(options.max_concurrent)
        self._opening = asyncio.Lock()
        self._client: Any = None
        self._keeper: asyncio.Task[None] | None = None
        self._listed: tuple[float, list[dict[str, Any]]] | None = None

    async def tools(self) -> list[dict[str, Any]]:
        """Return the tools that programs may use. Raises TOOL_SERVER_UNAVAILABLE."""
        now = asyncio.get_running_loop().time()
        if self._listed is not None and now - self._listed[0] < LIST_AGAIN_S and self._is_open:
            return self._listed[1]
        client = await self._open()
        try:
            async with asyncio.timeout(self._options.start_timeout_s):
                found = await self._list(client)
        except TimeoutError:
            raise self._unavailable(f"has not listed its tools within {self._options.start_timeout_s:g} s") from None
        except _errors() as error:
            raise self._lost(error) from None
        allowed = self._options.tools
        tools = [tool for tool in found if allowed is None or tool["name"] in allowed]
        self._listed = now, tools
        return tools

    async def _list(self, client: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        cursor = None
        for _ in range(MAX_PAGES):
            page = await client.list_tools(cursor=cursor)
            for tool in page.tools:
                schema = json.dumps(tool.input_schema)
                if len(schema) > MAX_SCHEMA_CHARACTERS:
                    LOGGER.warning(
                        "tool %s of MCP server %s is left out: its schema is too large", tool.name, self._name
                    )
                    continue
                found.append(
                    {
                        "name": tool.name,
                        "description": tool.description or "",
                        "schema": schema,
                        "abort": self._options.abort,
                    }
                )
            cursor = page.next_cursor
            if not cursor:
                break
        return found

    async def call(self, tool: str, arguments: dict[str, Any]) -> Any:
        """Call a tool and return its value. Raises a HandlerError with a reason of tools."""
        if self._options.tools is not None and tool not in self._options.tools:
            message = f"the MCP server '{self._name}' has no tool '{tool}' that programs may use"
            raise HandlerError(message, code="NOT_FOUND", reason="TOOL_NOT_FOUND", metadata={"tool": tool})
        timeout_s = self._options.timeout_s
        try:
            async with self._places:
                client = await self._open()
                async with asyncio.timeout(timeout_s):
                    result = await client.call_tool(tool, arguments)
        except TimeoutError:
            message = f"the tool '{tool}' of the MCP server '{self._name}' has not answered within {timeout_s:g} s"
            raise HandlerError(
                message, code="DEADLINE_EXCEEDED", reason="TOOL_TIMEOUT", metadata={"tool": tool}
            ) from None
        except _errors() as error:
            raise self._lost(error, tool) from None
        return self._value(tool, result)

    def _value(self, tool: str, result: Any) -> Any:
        text = "\n".join(map(_text, result.content))
        if result.is_error:
            message = text[:2000] or "the tool failed, and did not say why"
            raise HandlerError(message, code="UNKNOWN", reason="TOOL_FAILED", metadata={"tool": tool})
        structured = result.structured_content
        value = text
        if structured is not None:
            value = (
                structured["result"] if isinstance(structured, dict) and structured.keys() == {"result"} else structured
            )
        if (size := len(json.dumps(value, default=str))) > self._options.max_result_bytes:
            limit = f"tools.{self._name}.max_result_bytes ({self._options.max_result_bytes})"
            message = f"its result has {size} characters, more than {limit} allows"
            raise HandlerError(
                message, code="UNKNOWN", reason="TOOL_FAILED", metadata={"tool": tool, "cause": "too large"}
            )
        return value

    @property
    def _is_open(self) -> bool:
        return self._keeper is not None and not self._keeper.done() and self._client is not None

    async def _open(self) -> Any:
        """Return the client of a connection that is open."""
        async with self._opening:
            if self._is_open:
                return self._client
            self._client = self._listed = None
            opened: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            self._keeper = asyncio.create_task(self._keep(opened))
            try:
                async with asyncio.timeout(self._options.start_timeout_s):
                    self._client = await asyncio.shield(opened)
            except TimeoutError:
                self._keeper.cancel()
                raise self._unavailable(f"has not answered within {self._options.start_timeout_s:g} s") from None
            except asyncio.CancelledError:
                self._keeper.cancel()
                raise
            except _errors() as error:
                raise self._unavailable(_words(error)) from None
            return self._client

    async def _keep(self, opened: asyncio.Future[Any]) -> None:
        """Hold the connection until it is let go of."""
        try:
            async with AsyncExitStack() as stack:
                client = await stack.enter_async_context(_client(self._options, stack))
                opened.set_result(client)
                await asyncio.Event().wait()
        except _errors() as error:
            if not opened.done():
                opened.set_exception(error)
            else:
                LOGGER.warning("the connection to the MCP server %s has ended: %s", self._name, _words(error))
        finally:
            if not opened.done():
                opened.set_exception(ConnectionError("the connection was given up"))
                opened.exception()  # seen: nobody may wait for it any more

    def _lost(self, error: BaseException, tool: str = "") -> HandlerError:
        """Return the failure of a call, and let go of a connection that may have broken."""
        from mcp import MCPError

        if isinstance(error, MCPError) and not _is_closed(error):
            return HandlerError(
                _words(error), code="UNKNOWN", reason="TOOL_FAILED", metadata={"tool": tool} if tool else {}
            )
        if self._keeper is not None:
            self._keeper.cancel()
        self._client = None
        return self._unavailable(f"has gone: {_words(error)}")

    def _unavailable(self, why: str) -> HandlerError:
        message = f"the MCP server '{self._name}' {why}"
        metadata = {"server": self._name}
        return HandlerError(message, code="UNAVAILABLE", reason="TOOL_SERVER_UNAVAILABLE", metadata=metadata)


def _client(options: ToolServerOptions, stack: AsyncExitStack) -> Any:
    from mcp import Client, StdioServerParameters

    if options.command:
        first, *rest = options.command
        return Client(StdioServerParameters(command=first, args=rest, env=options.env, cwd=options.cwd))
    assert options.url is not None
    if not options.headers:
        return Client(options.url)
    import httpx2
    from mcp.client.streamable_http import streamable_http_client

    timeout = httpx2.Timeout(30.0, read=300.0)  # a server may hold a response open
    http = httpx2.AsyncClient(headers=options.headers, timeout=timeout)
    stack.push_async_callback(http.aclose)
    return Client(streamable_http_client(options.url, http_client=http))


def _errors() -> tuple[type[BaseException], ...]:
    """Return what a connection may raise, its library's own included."""
    import anyio
    import httpx2
    from mcp import MCPError

    broken = (anyio.ClosedResourceError, anyio.BrokenResourceError, anyio.EndOfStream)
    return (MCPError, httpx2.HTTPError, ExceptionGroup, RuntimeError, ValueError, *broken, *_BROKEN)


def _is_closed(error: Any) -> bool:
    from mcp_types import CONNECTION_CLOSED

    return bool(error.error.code == CONNECTION_CLOSED)


def _words(error: BaseException) -> str:
    """Return what went wrong, of a group its first."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return " ".join(str(error).split())[:500] or type(error).__name__


def _text(content: Any) -> str:
    """Return content as text; what is none is named."""
    if (text := getattr(content, "text", None)) is not None:
        return str(text)
    kind = getattr(content, "mime_type", "") or ""
    return f"[{content.type} {kind}]".replace(" ]", "]")

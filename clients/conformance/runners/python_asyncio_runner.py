"""The conformance runner of the asyncio Python client. README.md of this folder's parent has the protocol."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from typing import Any

import bridge_client
import python_shared as shared
from bridge_client import BridgeError, HostedTool, current_tool_call
from python_shared import Crash, Skip, from_python, to_python

WAIT_S = 30.0
PAUSE_S = 0.05


class Hosted:
    """Tools that are hosted, and what they have seen. All are coroutines, which are cancelled with their calls."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []
        self.host: Any = None

    def tool(self, spec: dict[str, Any]) -> HostedTool:
        """A tool with the behaviour that is asked for."""
        behaviour = spec["behaviour"]
        if behaviour not in {"echo", "add", "fail", "abort", "wait"}:
            raise Skip(f"the behaviour {behaviour} of tools")

        async def called(**arguments: Any) -> Any:
            call = current_tool_call()
            seen = {"tool": call.tool, "arguments": arguments, **shared.tool_call_of(call), "cancelled": False}
            self.seen.append(seen)
            try:
                return await self._behave(behaviour, arguments)
            except asyncio.CancelledError:
                seen["cancelled"] = True
                raise

        return shared.hosted_tool(spec, called)

    @staticmethod
    async def _behave(behaviour: str, arguments: dict[str, Any]) -> Any:
        match behaviour:
            case "echo":
                return arguments
            case "add":
                return arguments["a"] + arguments["b"]
            case "wait":
                await asyncio.sleep(WAIT_S)
                return "waited"
        raise ValueError(f"this tool {behaviour}s")


class Run:
    """One case. At its end everything that it has opened is closed."""

    def __init__(self, case: dict[str, Any], stack: AsyncExitStack) -> None:
        self._stack = stack
        self._connect = case["connect"]
        self._clients: dict[str, bridge_client.AsyncClient] = {}
        self._sessions: dict[str, str] = {}
        self._background: dict[str, asyncio.Task[dict[str, Any]]] = {}
        self._hosted: dict[str, Hosted] = {}
        self._runs: dict[int, tuple[str, int]] = {}
        """Resumable runs by the index of their step: the token, and the last event's number."""

    async def step(self, index: int, step: dict[str, Any]) -> dict[str, Any]:
        """The result of a step."""
        started = time.monotonic()
        until = started + step.get("patience_ms", 0) / 1000
        result = await self._try(step, index)
        while shared.is_worth_patience(result) and time.monotonic() < until:
            await asyncio.sleep(PAUSE_S)
            result = await self._try(step, index)
        return {**result, "elapsed_ms": shared.elapsed(started)}

    async def _try(self, step: dict[str, Any], index: int) -> dict[str, Any]:
        operation = getattr(self, f"op_{step['op']}", None)
        if operation is None:
            raise Skip(f"the operation {step['op']}")
        made = self._settled(step, index, operation)
        if "background" not in step:
            return await made
        self._background[step["background"]] = asyncio.create_task(made)
        await asyncio.sleep(0)  # the task begins
        return {"value": None}

    async def _settled(self, step: dict[str, Any], index: int, operation: Any) -> dict[str, Any]:
        """The result, failed or not, with its receipt."""
        receipts: list[bridge_client.Receipt] = []
        try:
            result = await operation(step, receipts, index)
        except (BridgeError, ValueError, TypeError, asyncio.CancelledError) as error:
            result = {"error": shared.failure_of(error)}
        if step.get("receipt"):
            result["receipt"] = shared.receipt_of(receipts)
        return result

    # Connections.

    async def _client(self, step: dict[str, Any]) -> bridge_client.AsyncClient:
        name = step.get("connection", "main")
        if name not in self._clients:
            if name != "main":
                raise Crash(f"no connection {name!r}")
            await self._open("main", self._connect)
        return self._clients[name]

    async def _open(self, name: str, connect: dict[str, Any]) -> None:
        opened = bridge_client.connect_async(**shared.connect_arguments(connect))
        self._clients[name] = await self._stack.enter_async_context(opened)

    async def _view(self, step: dict[str, Any], receipts: list[bridge_client.Receipt]) -> bridge_client.AsyncClient:
        options = shared.options_of(step, self._sessions)
        if step.get("receipt"):
            options["on_receipt"] = receipts.append
        return (await self._client(step)).with_options(**options)

    async def op_connect(self, step: dict[str, Any], *_rest: Any) -> dict[str, Any]:
        shared.expect_fields(step, {"name", "connect"})
        await self._open(step["name"], step["connect"])
        return {"value": None}

    async def op_close(self, step: dict[str, Any], *_rest: Any) -> dict[str, Any]:
        shared.expect_fields(step, set())
        await (await self._client(step)).close()
        return {"value": None}

    # Calls and streams.

    async def op_call(self, step: dict[str, Any], receipts: list[Any], *_rest: Any) -> dict[str, Any]:
        shared.expect_fields(step, {"function", "arguments"})
        view = await self._view(step, receipts)
        value = await view.call(step["function"], **to_python(step.get("arguments", {})))
        return {"value": shared.digest(value) if step.get("digest") else from_python(value)}

    async def op_stream(self, step: dict[str, Any], receipts: list[Any], *_rest: Any) -> dict[str, Any]:
        shared.expect_fields(step, {"function", "arguments", "take"})
        view = await self._view(step, receipts)
        stream = view.stream(step["function"], **to_python(step.get("arguments", {})))
        return await self._read(stream, step.get("take"), from_python)

    @staticmethod
    async def _read(stream: Any, take: int | None, read: Any) -> dict[str, Any]:
        """The items of a stream, and how it has ended."""
        items: list[Any] = []
        async with stream:
            try:
                async for item in stream:
                    items.append(read(item))
                    if len(items) == take:
                        return {"items": items, "ended": "cancelled"}
            except BridgeError as error:
                return {"items": items, "error": shared.error_of(error)}
            except asyncio.CancelledError:
                return {"items": items, "ended": "cancelled"}
        return {"items": items, "ended": "complete"}

    async def op_cancel(self, step: dict[str, Any], *_rest: Any) -> dict[str, Any]:
        shared.expect_fields(step, {"name"})
        self._background[step["name"]].cancel()
        return {"value": None}

    async def op_join(self, step: dict[str, Any], *_rest: Any) -> dict[str, Any]:
        shared.expect_fields(step, {"name"})
        return await self._background[step["name"]]

    # Sessions.

    async def op_open_session(self, step: dict[str, Any], receipts: list[Any], *_rest: Any) -> dict[str, Any]:
        shared.expect_fields(step, {"name", "mode", "ttl_ms", "id", "ordered"})
        opened = await (await self._view(step, receipts)).open_session(**shared.session_arguments(step))
        self._sessions[step["name"]] = opened.id
        return {"value": shared.session_of(opened)}

    async def op_session_info(self, step: dict[str, Any], receipts: list[Any], *_rest: Any) -> dict[str, Any]:
        shared.expect_fields(step, {"name"})
        view = await self._view(step, receipts)
        return {"value": shared.session_of(await view.get_session(self._sessions[step["name"]]))}

    async def op_close_session(self, step: dict[str, Any], receipts: list[Any], *_rest: Any) -> dict[str, Any]:
        shared.expect_fields(step, {"name"})
        await (await self._view(step, receipts)).close_session(self._sessions[step["name"]])
        return {"value": None}

    # Programs.

    async def _programs(self, step: dict[str, Any], receipts: list[Any]) -> Any:
        hosts = [self._hosted[name].host for name in step.get("tools", ())]
        wishes = {"all_events": step.get("all_events", False), "resumable": step.get("resumable", False)}
        view = await self._view(step, receipts)
        return view.programs.using(tools=[*hosts, *step.get("server_tools", ())], **wishes)

    async def op_run_program(self, step: dict[str, Any], receipts: list[Any], *_rest: Any) -> dict[str, Any]:
        shared.expect_fields(step, {"program", "inputs", "tools", "server_tools"})
        programs = await self._programs(step, receipts)
        return {"value": from_python(await programs.run(step["program"], **to_python(step.get("inputs", {}))))}

    async def op_stream_program(self, step: dict[str, Any], receipts: list[Any], index: int) -> dict[str, Any]:
        known = {"program", "inputs", "tools", "server_tools", "take", "all_events", "resumable", "disconnect"}
        shared.expect_fields(step, known)
        programs = await self._programs(step, receipts)
        stream = programs.stream(step["program"], **to_python(step.get("inputs", {})))
        return await self._read(stream, step.get("take"), self._event_reader(index))

    def _event_reader(self, index: int) -> Any:
        def read(event: Any) -> Any:
            token = getattr(event, "resume_token", "") or self._runs.get(index, ("", 0))[0]
            self._runs[index] = (token, event.sequence)
            return shared.event_of(event)

        return read

    async def op_resume_program(self, step: dict[str, Any], receipts: list[Any], index: int) -> dict[str, Any]:
        shared.expect_fields(step, {"from", "after", "take"})
        token, last = self._runs[step["from"]]
        self._runs[index] = (token, last)
        stream = (await self._view(step, receipts)).programs.resume(token, step.get("after", last))
        return await self._read(stream, step.get("take"), self._event_reader(index))

    async def op_cancel_run(self, step: dict[str, Any], receipts: list[Any], *_rest: Any) -> dict[str, Any]:
        shared.expect_fields(step, {"from"})
        return {"value": await (await self._view(step, receipts)).programs.cancel_run(self._runs[step["from"]][0])}

    # Models, texts, the catalogue.

    async def op_generate(self, step: dict[str, Any], receipts: list[Any], *_rest: Any) -> dict[str, Any]:
        shared.expect_fields(step, {"prompt", "model", "max_tokens"})
        given = {name: step[name] for name in ("model", "max_tokens") if name in step}
        found = await (await self._view(step, receipts)).models.generate(step["prompt"], **given)
        return {"value": {"text": found.text, "model": found.model, "finish_reason": found.finish_reason}}

    async def op_embed(self, step: dict[str, Any], receipts: list[Any], *_rest: Any) -> dict[str, Any]:
        shared.expect_fields(step, {"texts", "model"})
        given = {name: step[name] for name in ("model",) if name in step}
        found = await (await self._view(step, receipts)).embeddings.embed(step["texts"], **given)
        return {"value": {"dimensions": found.dimensions, "vectors": [list(one) for one in found.vectors]}}

    async def op_score(self, step: dict[str, Any], receipts: list[Any], *_rest: Any) -> dict[str, Any]:
        shared.expect_fields(step, {"metric", "prediction", "references"})
        metrics = (await self._view(step, receipts)).metrics
        return {"value": (await metrics.score(step["metric"], step["prediction"], step["references"])).value}

    async def op_health(self, step: dict[str, Any], receipts: list[Any], *_rest: Any) -> dict[str, Any]:
        shared.expect_fields(step, {"service"})
        return {"value": await (await self._view(step, receipts)).health(step["service"])}

    async def op_list_functions(self, step: dict[str, Any], receipts: list[Any], *_rest: Any) -> dict[str, Any]:
        shared.expect_fields(step, {"prefix"})
        return {"value": [one.name for one in await (await self._view(step, receipts)).functions(step["prefix"])]}

    async def op_describe(self, step: dict[str, Any], receipts: list[Any], *_rest: Any) -> dict[str, Any]:
        shared.expect_fields(step, {"function"})
        return {"value": shared.function_of(await (await self._view(step, receipts)).describe(step["function"]))}

    async def op_list_pools(self, step: dict[str, Any], receipts: list[Any], *_rest: Any) -> dict[str, Any]:
        shared.expect_fields(step, set())
        pools = await (await self._view(step, receipts)).pools()
        return {"value": [{"name": one.name, "state": one.state} for one in pools]}

    # Tools.

    async def op_host_tools(self, step: dict[str, Any], receipts: list[Any], *_rest: Any) -> dict[str, Any]:
        shared.expect_fields(step, {"name", "tools", "visibility"})
        hosted = self._hosted[step["name"]] = Hosted()
        tools = [hosted.tool(spec) for spec in step["tools"]]
        opened = (await self._view(step, receipts)).host_tools(tools, visibility=step.get("visibility", "run"))
        hosted.host = await self._stack.enter_async_context(opened)
        return {"value": None}

    async def op_tool_calls(self, step: dict[str, Any], *_rest: Any) -> dict[str, Any]:
        shared.expect_fields(step, {"name", "wait_for", "within_ms"})
        hosted = self._hosted[step["name"]]
        until = time.monotonic() + step.get("within_ms", 10_000) / 1000
        while not shared.has_come(hosted.seen, step.get("wait_for")) and time.monotonic() < until:  # noqa: ASYNC110
            await asyncio.sleep(PAUSE_S)
        return {"value": [dict(seen) for seen in hosted.seen]}

    async def op_unhost_tools(self, step: dict[str, Any], *_rest: Any) -> dict[str, Any]:
        shared.expect_fields(step, {"name"})
        await self._hosted[step["name"]].host.close()
        return {"value": None}

    async def op_harness(self, step: dict[str, Any], *_rest: Any) -> dict[str, Any]:
        await asyncio.to_thread(shared.ask_harness, step)  # connections go on meanwhile
        return {"value": None}

    async def end(self) -> None:
        """Cancel what still runs beside the steps."""
        for task in self._background.values():
            task.cancel()
        await asyncio.gather(*self._background.values(), return_exceptions=True)


async def _run(case: dict[str, Any]) -> list[dict[str, Any]]:
    async with AsyncExitStack() as stack:
        made = Run(case, stack)
        try:
            return [await made.step(index, step) for index, step in enumerate(case["steps"])]
        finally:
            await made.end()


def run(case: dict[str, Any]) -> list[dict[str, Any]]:
    """The results of a case's steps."""
    return asyncio.run(_run(case))


if __name__ == "__main__":
    shared.serve(run)

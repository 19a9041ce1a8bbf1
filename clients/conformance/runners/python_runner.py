"""The conformance runner of the blocking Python client. README.md of this folder's parent has the protocol."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError
from contextlib import ExitStack
from typing import Any

import bridge_client
import python_shared as shared
from bridge_client import BridgeError
from python_hosted import Hosted
from python_shared import Crash, Skip, from_python, to_python

PAUSE_S = 0.05


class Background:
    """A call that runs beside the case's steps: in a thread, or as a call of a multiplexed stream."""

    def __init__(self) -> None:
        self.cancel: Callable[[], Any] = lambda: None
        self.result: Callable[[], dict[str, Any]] = dict


class Run:
    """One case. At its end everything that it has opened is closed."""

    def __init__(self, case: dict[str, Any], stack: ExitStack) -> None:
        self._stack = stack
        self._connect = case["connect"]
        self._clients: dict[str, bridge_client.Client] = {}
        self._sessions: dict[str, str] = {}
        self._background: dict[str, Background] = {}
        self._hosted: dict[str, Hosted] = {}
        self._runs: dict[int, tuple[str, int]] = {}
        """Resumable runs by the index of their step: the token, and the last event's number."""

    def step(self, index: int, step: dict[str, Any]) -> dict[str, Any]:
        """The result of a step."""
        started = time.monotonic()
        until = started + step.get("patience_ms", 0) / 1000
        result = self._try(step, index)
        while shared.is_worth_patience(result) and time.monotonic() < until:
            time.sleep(PAUSE_S)
            result = self._try(step, index)
        return {**result, "elapsed_ms": shared.elapsed(started)}

    def _try(self, step: dict[str, Any], index: int) -> dict[str, Any]:
        operation = getattr(self, f"op_{step['op']}", None)
        if operation is None:
            raise Skip(f"the operation {step['op']}")
        if "background" not in step:
            return self._guarded(step, index, operation, None)
        background = self._background[step["background"]] = Background()
        if step["op"] == "call":
            self._begin_call(step, background)
            return {"value": None}
        results: list[dict[str, Any]] = []

        def work() -> None:
            results.append(self._guarded(step, index, operation, background))

        thread = threading.Thread(target=work, daemon=True)

        def joined() -> dict[str, Any]:
            thread.join()
            return results[0]

        background.result = joined
        thread.start()
        return {"value": None}

    def _begin_call(self, step: dict[str, Any], background: Background) -> None:
        """A blocking call has nobody who could cancel it; one of a multiplexed stream has."""
        receipts: list[bridge_client.Receipt] = []
        arguments = to_python(step.get("arguments", {}))
        many = self._stack.enter_context(self._view(step, receipts).multiplex())
        future = many.call(step["function"], **arguments)

        def joined() -> dict[str, Any]:
            return self._settled(step, receipts, lambda: {"value": from_python(future.result())})

        background.cancel = future.cancel
        background.result = joined

    def _guarded(self, step: dict[str, Any], index: int, operation: Any, background: Background | None) -> Any:
        receipts: list[bridge_client.Receipt] = []
        return self._settled(step, receipts, lambda: operation(step, receipts, index, background))

    @staticmethod
    def _settled(step: dict[str, Any], receipts: list[bridge_client.Receipt], make: Callable[[], Any]) -> Any:
        """The result, failed or not, with its receipt."""
        try:
            result = make()
        except (BridgeError, ValueError, TypeError, CancelledError) as error:
            result = {"error": shared.failure_of(error)}
        if step.get("receipt"):
            result["receipt"] = shared.receipt_of(receipts)
        return result

    # Connections.

    def _client(self, step: dict[str, Any]) -> bridge_client.Client:
        name = step.get("connection", "main")
        if name not in self._clients:
            if name != "main":
                raise Crash(f"no connection {name!r}")
            self._open("main", self._connect)
        return self._clients[name]

    def _open(self, name: str, connect: dict[str, Any]) -> None:
        self._clients[name] = self._stack.enter_context(bridge_client.connect(**shared.connect_arguments(connect)))

    def _view(self, step: dict[str, Any], receipts: list[bridge_client.Receipt]) -> bridge_client.Client:
        options = shared.options_of(step, self._sessions)
        if step.get("receipt"):
            options["on_receipt"] = receipts.append
        return self._client(step).with_options(**options)

    def op_connect(self, step: dict[str, Any], *_rest: Any) -> dict[str, Any]:
        shared.expect_fields(step, {"name", "connect"})
        self._open(step["name"], step["connect"])
        return {"value": None}

    def op_close(self, step: dict[str, Any], *_rest: Any) -> dict[str, Any]:
        shared.expect_fields(step, set())
        self._client(step).close()
        return {"value": None}

    # Calls and streams.

    def op_call(self, step: dict[str, Any], receipts: list[Any], *_rest: Any) -> dict[str, Any]:
        shared.expect_fields(step, {"function", "arguments"})
        value = self._view(step, receipts).call(step["function"], **to_python(step.get("arguments", {})))
        return {"value": shared.digest(value) if step.get("digest") else from_python(value)}

    def op_stream(self, step: dict[str, Any], receipts: list[Any], _index: int, background: Any) -> dict[str, Any]:
        shared.expect_fields(step, {"function", "arguments", "take"})
        stream = self._view(step, receipts).stream(step["function"], **to_python(step.get("arguments", {})))
        return self._read(stream, step.get("take"), from_python, background)

    @staticmethod
    def _read(stream: Any, take: int | None, read: Any, background: Background | None) -> dict[str, Any]:
        """The items of a stream, and how it has ended."""
        left = threading.Event()
        if background is not None:
            background.cancel = lambda: (left.set(), stream.close())
        items: list[Any] = []
        with stream:
            try:
                for item in stream:
                    items.append(read(item))
                    if len(items) == take:
                        return {"items": items, "ended": "cancelled"}
            except BridgeError as error:
                return {"items": items, "error": shared.error_of(error)}
        return {"items": items, "ended": "cancelled" if left.is_set() else "complete"}

    def op_cancel(self, step: dict[str, Any], *_rest: Any) -> dict[str, Any]:
        shared.expect_fields(step, {"name"})
        self._background[step["name"]].cancel()
        return {"value": None}

    def op_join(self, step: dict[str, Any], *_rest: Any) -> dict[str, Any]:
        shared.expect_fields(step, {"name"})
        return self._background[step["name"]].result()

    # Sessions.

    def op_open_session(self, step: dict[str, Any], receipts: list[Any], *_rest: Any) -> dict[str, Any]:
        shared.expect_fields(step, {"name", "mode", "ttl_ms", "id", "ordered"})
        opened = self._view(step, receipts).open_session(**shared.session_arguments(step))
        self._sessions[step["name"]] = opened.id
        return {"value": shared.session_of(opened)}

    def op_session_info(self, step: dict[str, Any], receipts: list[Any], *_rest: Any) -> dict[str, Any]:
        shared.expect_fields(step, {"name"})
        return {"value": shared.session_of(self._view(step, receipts).get_session(self._sessions[step["name"]]))}

    def op_close_session(self, step: dict[str, Any], receipts: list[Any], *_rest: Any) -> dict[str, Any]:
        shared.expect_fields(step, {"name"})
        self._view(step, receipts).close_session(self._sessions[step["name"]])
        return {"value": None}

    # Programs.

    def _programs(self, step: dict[str, Any], receipts: list[Any]) -> Any:
        hosts = [self._hosted[name].host for name in step.get("tools", ())]
        wishes = {"all_events": step.get("all_events", False), "resumable": step.get("resumable", False)}
        return self._view(step, receipts).programs.using(tools=[*hosts, *step.get("server_tools", ())], **wishes)

    def op_run_program(self, step: dict[str, Any], receipts: list[Any], *_rest: Any) -> dict[str, Any]:
        shared.expect_fields(step, {"program", "inputs", "tools", "server_tools"})
        outputs = self._programs(step, receipts).run(step["program"], **to_python(step.get("inputs", {})))
        return {"value": from_python(outputs)}

    def op_stream_program(self, step: dict[str, Any], receipts: list[Any], index: int, background: Any) -> Any:
        known = {"program", "inputs", "tools", "server_tools", "take", "all_events", "resumable", "disconnect"}
        shared.expect_fields(step, known)
        stream = self._programs(step, receipts).stream(step["program"], **to_python(step.get("inputs", {})))
        return self._read(stream, step.get("take"), self._event_reader(index), background)

    def _event_reader(self, index: int) -> Any:
        def read(event: Any) -> Any:
            token = getattr(event, "resume_token", "") or self._runs.get(index, ("", 0))[0]
            self._runs[index] = (token, event.sequence)
            return shared.event_of(event)

        return read

    def op_resume_program(self, step: dict[str, Any], receipts: list[Any], index: int, background: Any) -> Any:
        shared.expect_fields(step, {"from", "after", "take"})
        token, last = self._runs[step["from"]]
        self._runs[index] = (token, last)
        stream = self._view(step, receipts).programs.resume(token, step.get("after", last))
        return self._read(stream, step.get("take"), self._event_reader(index), background)

    def op_cancel_run(self, step: dict[str, Any], receipts: list[Any], *_rest: Any) -> dict[str, Any]:
        shared.expect_fields(step, {"from"})
        return {"value": self._view(step, receipts).programs.cancel_run(self._runs[step["from"]][0])}

    # Models, texts, the catalogue.

    def op_generate(self, step: dict[str, Any], receipts: list[Any], *_rest: Any) -> dict[str, Any]:
        shared.expect_fields(step, {"prompt", "model", "max_tokens"})
        given = {name: step[name] for name in ("model", "max_tokens") if name in step}
        found = self._view(step, receipts).models.generate(step["prompt"], **given)
        return {"value": {"text": found.text, "model": found.model, "finish_reason": found.finish_reason}}

    def op_embed(self, step: dict[str, Any], receipts: list[Any], *_rest: Any) -> dict[str, Any]:
        shared.expect_fields(step, {"texts", "model"})
        given = {name: step[name] for name in ("model",) if name in step}
        found = self._view(step, receipts).embeddings.embed(step["texts"], **given)
        return {"value": {"dimensions": found.dimensions, "vectors": [list(one) for one in found.vectors]}}

    def op_score(self, step: dict[str, Any], receipts: list[Any], *_rest: Any) -> dict[str, Any]:
        shared.expect_fields(step, {"metric", "prediction", "references"})
        metrics = self._view(step, receipts).metrics
        return {"value": metrics.score(step["metric"], step["prediction"], step["references"]).value}

    def op_health(self, step: dict[str, Any], receipts: list[Any], *_rest: Any) -> dict[str, Any]:
        shared.expect_fields(step, {"service"})
        return {"value": self._view(step, receipts).health(step["service"])}

    def op_list_functions(self, step: dict[str, Any], receipts: list[Any], *_rest: Any) -> dict[str, Any]:
        shared.expect_fields(step, {"prefix"})
        return {"value": [one.name for one in self._view(step, receipts).functions(step["prefix"])]}

    def op_describe(self, step: dict[str, Any], receipts: list[Any], *_rest: Any) -> dict[str, Any]:
        shared.expect_fields(step, {"function"})
        return {"value": shared.function_of(self._view(step, receipts).describe(step["function"]))}

    def op_list_pools(self, step: dict[str, Any], receipts: list[Any], *_rest: Any) -> dict[str, Any]:
        shared.expect_fields(step, set())
        return {"value": [{"name": one.name, "state": one.state} for one in self._view(step, receipts).pools()]}

    # Tools.

    def op_host_tools(self, step: dict[str, Any], receipts: list[Any], *_rest: Any) -> dict[str, Any]:
        shared.expect_fields(step, {"name", "tools", "visibility"})
        hosted = self._hosted[step["name"]] = Hosted()
        tools = [hosted.tool(spec) for spec in step["tools"]]
        visibility = step.get("visibility", "run")
        hosted.host = self._stack.enter_context(self._view(step, receipts).host_tools(tools, visibility=visibility))
        return {"value": None}

    def op_tool_calls(self, step: dict[str, Any], *_rest: Any) -> dict[str, Any]:
        shared.expect_fields(step, {"name", "wait_for", "within_ms"})
        hosted = self._hosted[step["name"]]
        until = time.monotonic() + step.get("within_ms", 10_000) / 1000
        while not shared.has_come(hosted.told(), step.get("wait_for")) and time.monotonic() < until:
            time.sleep(PAUSE_S)
        return {"value": hosted.told()}

    def op_unhost_tools(self, step: dict[str, Any], *_rest: Any) -> dict[str, Any]:
        shared.expect_fields(step, {"name"})
        self._hosted[step["name"]].host.close()
        return {"value": None}

    def op_harness(self, step: dict[str, Any], *_rest: Any) -> dict[str, Any]:
        shared.ask_harness(step)
        return {"value": None}

    def end(self) -> None:
        """Cancel what still runs beside the steps."""
        for background in self._background.values():
            background.cancel()


def run(case: dict[str, Any]) -> list[dict[str, Any]]:
    """The results of a case's steps."""
    with ExitStack() as stack:
        made = Run(case, stack)
        try:
            return [made.step(index, step) for index, step in enumerate(case["steps"])]
        finally:
            made.end()


if __name__ == "__main__":
    shared.serve(run)

"""The events of one running program on their way to the client: numbered, bounded, from any thread.

`EventQueue` owns what is not sent yet. Text waits for a slow client, and so does the model behind it. What DSPy's
callbacks report can not wait there: beyond a number of such events they are left out, and the next status says how
many. `RunEvents` turns callbacks into events; it must not know how they travel.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from typing import TYPE_CHECKING, Any

import dspy
from dspy.utils.callback import BaseCallback

from bridge.v1 import common_pb2, program_pb2
from handlers.programs.usage import ToolFailure
from handlers.redaction import redact

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from handlers.contract import UsageRecord
    from handlers.programs.usage import Meter

UNSENT_TEXTS = 64
"""Deltas that may wait for a slow client before the model is read no further."""
UNSENT_REPORTS = 1000
"""Other events that may wait before more of them are left out."""
TEXT_CHARACTERS = 64 * 1024
"""The longest arguments, or result, of a tool in an event."""
ERROR_CHARACTERS = 500

Event = program_pb2.StreamRunResponse


class EventQueue:
    """Events in their order. Ends when `close` is called."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._items: asyncio.Queue[tuple[Event, bool] | None] = asyncio.Queue()
        self._room = asyncio.Semaphore(UNSENT_TEXTS)
        self._lock = threading.Lock()
        self._reports = self._omitted = 0

    async def put(self, event: Event) -> None:
        """Add text, once there is room for it."""
        await self._room.acquire()
        self._items.put_nowait((event, True))

    def report(self, event: Event) -> None:
        """Add an event that can not wait. From any thread."""
        with self._lock:
            if self._reports >= UNSENT_REPORTS:
                self._omitted += 1
                return
            self._reports += 1
            if self._omitted and event.HasField("status"):
                event.status.omitted, self._omitted = self._omitted, 0
        if threading.get_ident() == self._thread:
            self._items.put_nowait((event, False))
        else:
            self._loop.call_soon_threadsafe(self._items.put_nowait, (event, False))

    def close(self, _task: asyncio.Task[Any]) -> None:
        """No more events come."""
        self._items.put_nowait(None)

    async def __aiter__(self) -> AsyncIterator[Event]:
        """Take the events, numbered from 1."""
        sequence = 0
        while (item := await self._items.get()) is not None:
            event, waited = item
            if waited:
                self._room.release()
            else:
                with self._lock:
                    self._reports -= 1
            sequence += 1
            event.sequence = sequence
            yield event


def status(step: int, **fields: Any) -> Event:
    """Return the event of a step."""
    return Event(status=program_pb2.RunStatus(step=step, **fields))  # type: ignore[arg-type]


class RunEvents(BaseCallback):  # type: ignore[misc]  # dspy has no types
    """Reports the steps, tools and usage of one run. `meter` has counted a request before it is reported."""

    def __init__(self, queue: EventQueue, program: Any, meter: Meter, secrets: tuple[str, ...]) -> None:
        self._queue = queue
        self._meter = meter
        self._secrets = secrets
        self._names = {id(predictor): name for name, predictor in program.named_predictors()}
        self._running: dict[str, tuple[float, str]] = {}
        """By DSPy's id of the step: when it began, and its predictor, model or tool."""

    def on_module_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        """Report a predictor; other modules are the program's own affair."""
        if isinstance(instance, dspy.Predict):
            name = self._names.get(id(instance), "")
            self._running[call_id] = time.monotonic(), name
            self._queue.report(status(program_pb2.RUN_STEP_PREDICTOR_STARTED, predictor=name))

    def on_module_end(self, call_id: str, outputs: Any, exception: BaseException | None = None) -> None:
        """Report the end of a predictor."""
        if (begun := self._running.pop(call_id, None)) is not None:
            ended = {"predictor": begun[1], "seconds": time.monotonic() - begun[0], "error": self._error(exception)}
            self._queue.report(status(program_pb2.RUN_STEP_PREDICTOR_ENDED, **ended))

    def on_lm_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        """Report a request to a model."""
        self._running[call_id] = time.monotonic(), str(instance.model)
        asking = {"predictor": self._asking(), "model": str(instance.model)}
        self._queue.report(status(program_pb2.RUN_STEP_MODEL_STARTED, **asking))

    def on_lm_end(self, call_id: str, outputs: Any, exception: BaseException | None = None) -> None:
        """Report the end of a request, and what the run has used with it."""
        if (begun := self._running.pop(call_id, None)) is None:
            return
        asked = {"predictor": self._asking(), "model": begun[1], "seconds": time.monotonic() - begun[0]}
        self._queue.report(status(program_pb2.RUN_STEP_MODEL_ENDED, error=self._error(exception), **asked))
        self._queue.report(Event(usage=program_pb2.RunUsage(usage=map(_usage, self._meter.records()))))

    def on_tool_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        """Report a call of a tool."""
        if _is_dspys_own(instance):
            return
        self._running[call_id] = time.monotonic(), str(instance.name)
        arguments, truncated = self._shown(inputs.get("kwargs", inputs))
        call = program_pb2.RunToolCall(id=call_id, tool=str(instance.name), arguments=arguments, truncated=truncated)
        self._queue.report(Event(tool_call=call))

    def on_tool_end(self, call_id: str, outputs: Any, exception: BaseException | None = None) -> None:
        """Report how a call of a tool has ended."""
        if (begun := self._running.pop(call_id, None)) is None:
            return
        failure = outputs if isinstance(outputs, ToolFailure) else exception
        result, truncated = ("", False) if failure is not None else self._shown(outputs)
        ended = program_pb2.RunToolResult(
            id=call_id,
            tool=begun[1],
            result=result,
            error=self._error(failure),
            seconds=time.monotonic() - begun[0],
            truncated=truncated,
        )
        self._queue.report(Event(tool_result=ended))

    def _asking(self) -> str:
        predictor = dspy.settings.get("caller_predict")
        return "" if predictor is None else self._names.get(id(predictor), "")

    def _error(self, exception: BaseException | ToolFailure | None) -> str:
        if exception is None:
            return ""
        named = "" if isinstance(exception, ToolFailure) else f"{type(exception).__name__}: "
        text = f"{named}{exception}".partition("\n")[0]
        return redact(_sound(text), self._secrets)[:ERROR_CHARACTERS]

    def _shown(self, value: Any) -> tuple[str, bool]:
        """Return a value as JSON, and whether it had to be cut."""
        text = redact(_sound(json.dumps(value, ensure_ascii=False, default=_plain)), self._secrets)
        return text[:TEXT_CHARACTERS], len(text) > TEXT_CHARACTERS


def _sound(text: str) -> str:
    """Return a text that UTF-8 can carry."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _plain(value: Any) -> Any:
    return value.model_dump(mode="json") if hasattr(value, "model_dump") else str(value)


def _is_dspys_own(tool: Any) -> bool:
    """Whether it is a step of an agent of DSPy's that looks like a tool, such as `finish`."""
    return str(getattr(tool.func, "__module__", "")).startswith("dspy.predict.")


def _usage(record: UsageRecord) -> common_pb2.ModelUsage:
    return common_pb2.ModelUsage(
        model=record.model,
        calls=record.calls,
        input_tokens=record.input_tokens,
        output_tokens=record.output_tokens,
        cached_tokens=record.cached_tokens,
        cost_usd=record.cost_usd,
        cached_calls=record.cached_calls,
        unpriced_calls=record.unpriced_calls,
    )


def callbacks(wanted: bool, queue: EventQueue | None, program: Any, meter: Meter, secrets: Iterable[str]) -> list[Any]:
    """Return the callbacks that report to the queue; none where nobody wants to hear."""
    if queue is None or not wanted:
        return []
    return [RunEvents(queue, program, meter, tuple(secrets))]

"""A program as a handler: decodes a request, runs the program in its own DSPy context, encodes the outputs.

Owns the copies of its program that run on another model than the program's own. It must not know about pools or gRPC.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dspy
from google.protobuf.message import DecodeError

from bridge.v1 import common_pb2, invoke_pb2, program_pb2
from handlers.codec import Form, decode_arguments, encode_value
from handlers.errors import BadInput, HandlerError
from handlers.programs import media
from handlers.programs.errors import reported
from handlers.programs.events import EventQueue, callbacks, status
from handlers.programs.lm import LanguageModels, ServedLM, not_configured
from handlers.programs.overrides import NONE, Overrides, of_request
from handlers.programs.running import run_program
from handlers.programs.streaming import FieldStream
from handlers.programs.tools import Tooling
from handlers.programs.usage import Meter
from handlers.typed import calls

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Mapping

    from handlers.context import CallContext
    from handlers.contract import FunctionSpec
    from handlers.programs.interface import Interface


@dataclass(frozen=True, slots=True, kw_only=True)
class _Order:
    """A decoded request."""

    inputs: dict[str, Any]
    form: Form
    overrides: Overrides


class ProgramHandler:
    """Serves one program. Safe for many calls at once: each has its own context, meter and streams."""

    def __init__(
        self,
        spec: FunctionSpec,
        program: Any,
        interface: Interface,
        models: LanguageModels,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        """Serve a program; `settings` are DSPy's own for its calls, such as its adapter."""
        self._settings = dict(settings or {})
        self._spec = spec
        self._program = program
        self._interface = interface
        self._models = models
        self._on_model: dict[str, Any] = {}
        self._tooling = Tooling()

    @property
    def spec(self) -> FunctionSpec:
        """What the catalogue says."""
        return self._spec

    @property
    def program(self) -> Any:
        """The module itself, which runs where a call names no model."""
        return self._program

    def call(self, method: str, request: bytes, context: CallContext) -> Awaitable[bytes]:
        """Answer InvokeService/Call, ProgramService/Run or the program's own typed method."""
        if method == calls.CALL:
            return calls.typed_call(self._call, request, context)  # type: ignore[return-value]
        return self._call(method, request, context)

    async def _call(self, method: str, request: bytes, context: CallContext) -> bytes:
        order = self._order(method, request)
        payload = await self._run(order, context, None)
        if method == "ProgramService/Run":
            return program_pb2.RunResponse(outputs=payload).SerializeToString()
        return invoke_pb2.CallResponse(result=payload).SerializeToString()

    async def stream(self, method: str, request: bytes, context: CallContext) -> AsyncIterator[bytes]:
        """Answer ProgramService/StreamRun, or InvokeService/StreamCall with the outputs as the only item."""
        order = self._order(method, request)
        if method == "InvokeService/StreamCall":
            payload = await self._run(order, context, None)
            yield invoke_pb2.StreamCallResponse(item=payload).SerializeToString()
            return
        sequence = 0
        events = EventQueue()
        if order.overrides.all_events or order.overrides.resumable:
            events.report(status(program_pb2.RUN_STEP_STARTED))
        task = asyncio.create_task(self._run(order, context, events))
        task.add_done_callback(events.close)
        try:
            async for event in events:
                sequence = event.sequence
                yield event.SerializeToString()
            final = program_pb2.FinalOutputs(outputs=await task)
            yield program_pb2.StreamRunResponse(sequence=sequence + 1, final=final).SerializeToString()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def _order(self, method: str, request: bytes) -> _Order:
        payload, overrides = _decode(method, request)
        if overrides.version and (self._spec.program is None or not self._spec.program.version):
            what = "only programs that were created through the API have versions"
            raise BadInput(f"version: {what}; {self._spec.name!r} is the app's", violations=(("version", what),))
        arguments, form = decode_arguments(payload)
        if isinstance(arguments, bytes):
            raise BadInput(f"Program {self._spec.name!r} takes an object of inputs; got raw bytes. Send JSON.")
        inputs = self._interface.inputs.validate(arguments, form)
        media.check(self._spec.name, inputs)
        return _Order(inputs=inputs, form=form, overrides=overrides)

    async def _run(self, order: _Order, context: CallContext, events: EventQueue | None) -> common_pb2.Payload:
        meter = Meter()
        try:
            with reported(self._spec.name, secrets := self._secrets()):
                program, lm = self._choose(order.overrides.model)
                program = await self._tooling.equip(program, order.overrides.tools)
                program, lm = order.overrides.applied(program, lm, ServedLM)
                tell = order.overrides.all_events
                stream = FieldStream(program, events.put, events.report if tell else None) if events else None
                with dspy.context(
                    lm=lm,
                    callbacks=[
                        *(dspy.settings.get("callbacks") or []),
                        meter,
                        *callbacks(tell, events, program, meter, secrets),
                    ],
                    usage_tracker=meter.tracker,
                    track_usage=True,
                    disable_history=True,
                    warn_on_type_mismatch=False,
                    send_stream=stream,
                    trace=[],
                    **(self._settings | order.overrides.settings(program, lm)),
                ):
                    result = await run_program(program, order.inputs)
        finally:
            meter.settle(context)
        return encode_value(self._interface.outputs.dump(result), order.form)

    def _secrets(self) -> tuple[str, ...]:
        """The keys that an error's text could hold: the configuration's and those of models that the app made."""
        own = [dspy.settings.get("lm"), *(predictor.lm for predictor in self._program.predictors())]
        keys = [getattr(lm, "kwargs", {}).get("api_key") for lm in own if lm is not None]
        return (*self._models.secrets, *(key for key in keys if isinstance(key, str)))

    def _choose(self, model: str) -> tuple[Any, Any]:
        """Return the program to run and the model of its context."""
        own = [predictor.lm is not None for predictor in self._program.predictors()]
        if not model:
            lm = self._models.default()
            if lm is None and own and not all(own):
                raise not_configured(self._spec.name)
            return self._program, lm
        lm = self._models.get(model)
        if not any(own):
            return self._program, lm
        if model not in self._on_model:
            copy = self._program.deepcopy()
            copy.set_lm(lm)
            self._on_model[model] = copy
        return self._on_model[model], lm


def _decode(method: str, request: bytes) -> tuple[common_pb2.Payload, Overrides]:
    try:
        if method == "ProgramService/Run":
            run = program_pb2.RunRequest.FromString(request)
            return run.inputs, of_request(run)
        if method == "ProgramService/StreamRun":
            stream_run = program_pb2.StreamRunRequest.FromString(request)
            return stream_run.inputs, of_request(stream_run)
        if method == "InvokeService/Call":
            return invoke_pb2.CallRequest.FromString(request).arguments, NONE
        if method == "InvokeService/StreamCall":
            return invoke_pb2.StreamCallRequest.FromString(request).arguments, NONE
    except DecodeError as error:
        raise BadInput(f"The request is no {method} message: {error}", reason="MALFORMED_REQUEST") from None
    raise HandlerError(
        f"A program answers Run, StreamRun, Call and StreamCall; got {method}.",
        code="UNIMPLEMENTED",
        reason="UNKNOWN_METHOD",
    )

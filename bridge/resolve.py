"""From a request to the function it means: each forwarded RPC names its function in its own way, told by a table.

Reads the current catalogue; owns nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from bridge.envelope import begins_with_name, first_name
from bridge.errors import BridgeError, Code
from bridge.v1 import embedding_pb2, invoke_pb2, metric_pb2, program_pb2
from handlers import names
from handlers.errors import ExtraMissing, Unknown
from handlers.metrics import catalog
from handlers.typed import calls as typed

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from bridge.call import Call
    from handlers.contract import FunctionSpec
    from handlers.registry import Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Forwarded:
    """An RPC whose request goes to a function as it is. `message` and `field` say where the name stands."""

    streaming: bool
    function: str = ""
    """The function, where it is always the same one."""
    message: type[Message] | None = None
    field: str = ""
    """Beside `function`, it names what calls are gathered by that run together."""
    kind: str = "function"
    """What the name names: a function, a program or a metric."""
    public: bool = True
    """Whether it is an RPC that clients call; else the front makes such requests itself."""


FORWARDED: Mapping[str, Forwarded] = {
    "InvokeService/Call": Forwarded(streaming=False, message=invoke_pb2.CallRequest, field="function"),
    "InvokeService/StreamCall": Forwarded(streaming=True, message=invoke_pb2.StreamCallRequest, field="function"),
    "ProgramService/Run": Forwarded(streaming=False, message=program_pb2.RunRequest, field="program", kind="program"),
    "ProgramService/StreamRun": Forwarded(
        streaming=True, message=program_pb2.StreamRunRequest, field="program", kind="program"
    ),
    "ModelService/Generate": Forwarded(streaming=False, function="bridge.models.generate"),
    "ModelService/StreamGenerate": Forwarded(streaming=True, function="bridge.models.stream_generate"),
    "ModelService/Extract": Forwarded(streaming=False, function="bridge.models.extract"),
    "ModelService/StreamExtract": Forwarded(streaming=True, function="bridge.models.stream_extract"),
    "ModelService/GenerateBatch": Forwarded(streaming=False, function="bridge.models.generate_batch"),
    "ModelService/StreamGenerateBatch": Forwarded(streaming=True, function="bridge.models.stream_generate_batch"),
    "ModelService/ExtractBatch": Forwarded(streaming=False, function="bridge.models.extract_batch"),
    "ModelService/GenerateImages": Forwarded(streaming=False, function="bridge.models.generate_images"),
    "EmbeddingService/Embed": Forwarded(
        streaming=False, function="bridge.embeddings.embed", message=embedding_pb2.EmbedRequest, field="model"
    ),
    "EmbeddingService/Similarity": Forwarded(streaming=False, function="bridge.embeddings.similarity"),
    "MetricService/Score": Forwarded(streaming=False, message=metric_pb2.ScoreRequest, field="metric", kind="metric"),
    "MetricService/ScoreBatch": Forwarded(
        streaming=False, message=metric_pb2.ScoreBatchRequest, field="metric", kind="metric"
    ),
    typed.CALL: Forwarded(streaming=False, message=invoke_pb2.CallRequest, field="function", public=False),
    typed.STREAM_CALL: Forwarded(streaming=True, message=invoke_pb2.CallRequest, field="function", public=False),
}


class Absent(Protocol):
    """Why built-in functions may not be there: `bridge.pools.PoolPlan`."""

    @property
    def missing_functions(self) -> Mapping[str, str]:
        """The extra that functions need, by prefix of their names."""
        ...

    @property
    def off_functions(self) -> Mapping[str, str]:
        """The pool that functions need and that has size 0, by prefix of their names."""
        ...


class Catalogues(Protocol):
    """Where the current catalogue is: `handlers.registry.Registry`."""

    snapshot: Snapshot


class Resolver:
    """Finds functions in the current catalogue; `plan` says of a built-in one why it is not there.

    Owns, per RPC, what the first bytes of requests have been found to mean: tag, length and name of a function that is
    in the catalogue, so there are no more of them than functions.
    """

    def __init__(self, catalogues: Catalogues, plan: Absent) -> None:
        self._catalogues = catalogues
        self._of: Snapshot | None = None
        """The catalogue that `_known` is of."""
        self._known: dict[str, dict[bytes, FunctionSpec]] = {}
        self.renew(plan)

    def renew(self, plan: Absent) -> None:
        """Take over which pools there are now."""
        self._missing_extras = plan.missing_functions
        self._switched_off = plan.off_functions

    def resolve(self, call: Call) -> FunctionSpec:
        """Return the function a call means, and write its name into the call.

        Raises Unknown, ExtraMissing, MALFORMED_REQUEST, or POOL_UNAVAILABLE where its pool is switched off.
        """
        request, snapshot = call.request, self._catalogues.snapshot
        if snapshot is not self._of:
            self._of, self._known = snapshot, {method: {} for method in FORWARDED}
        known = self._known[call.method]
        head = request[: 2 + request[1]] if len(request) > 1 else b""
        if (spec := known.get(head)) is not None:
            call.function = spec.name
            return spec
        rule = FORWARDED[call.method]
        spec = self._find(call, rule, snapshot)
        if not rule.function and call.function == spec.name and begins_with_name(request):
            known[head] = spec
        return spec

    def _find(self, call: Call, rule: Forwarded, snapshot: Snapshot) -> FunctionSpec:
        name = rule.function or first_name(call.request, rule.message, rule.field)  # type: ignore[arg-type]
        call.function = catalog.FUNCTION_PREFIX + name if rule.kind == "metric" else name
        try:
            if rule.kind == "program":
                return snapshot.find_program(name)
            if rule.kind == "metric":
                return snapshot.find_metric(name)
            return snapshot.find(name)
        except Unknown:
            call.function = call.function[: names.MAX_LENGTH]  # it goes into trailers and log lines
            self._explain(call.function)
            raise

    def find(self, name: str) -> FunctionSpec:
        """Return a function by its own name. Raises as `resolve` does."""
        try:
            return self._catalogues.snapshot.find(name)
        except Unknown:
            self._explain(name)
            raise

    def _explain(self, name: str) -> None:
        """Raise why a built-in function is not there, if that is known."""
        for prefix, extra in self._missing_extras.items():
            if name.startswith(prefix):
                raise ExtraMissing.of(f"'{name}'", extra) from None
        for prefix, pool in self._switched_off.items():
            if name.startswith(prefix):
                message = f"'{name}' needs the pool '{pool}', which is switched off: set pools.{pool}.size to 1 or more"
                metadata = {"pool": pool, "cause": "switched off"}
                raise BridgeError(Code.FAILED_PRECONDITION, "POOL_UNAVAILABLE", message, metadata=metadata) from None

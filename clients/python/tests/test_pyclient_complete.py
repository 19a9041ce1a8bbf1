"""The client knows all that the proto files have: every RPC is called, every field that comes back is in a record."""

import re
from dataclasses import fields, is_dataclass
from pathlib import Path

import bridge_client
import pytest
from bridge_client import explaining, pool_records, receipts, records, session_records, spending_records
from bridge_client.descriptors import file
from bridge_client.reading import read
from bridge_client.v1 import (
    common_pb2,
    invoke_pb2,
    metric_pb2,
    model_pb2,
    pool_pb2,
    program_pb2,
    session_pb2,
    tool_pb2,
)

PACKAGE = Path(bridge_client.__file__).parent
FILES = [f"bridge/v1/{name}.proto" for name in (
    "common", "embedding", "invoke", "metric", "model", "pool", "program", "session", "tool",
)]  # fmt: skip

READ = {
    common_pb2.Receipt: receipts.Receipt,
    common_pb2.ModelUsage: receipts.ModelUsage,
    common_pb2.ModelAnswer: receipts.ModelAnswer,
    common_pb2.ToolUse: receipts.ToolUse,
    common_pb2.Attempt: receipts.Attempt,
    common_pb2.NestedCalls: receipts.NestedCalls,
    common_pb2.NestedCall: receipts.NestedCall,
    common_pb2.BudgetState: receipts.BudgetState,
    common_pb2.FunctionInfo: records.FunctionInfo,
    common_pb2.RouteInfo: records.RouteInfo,
    common_pb2.RouteAlternative: records.RouteAlternative,
    invoke_pb2.FrontLoad: explaining.FrontLoad,
    invoke_pb2.Prediction: explaining.Prediction,
    invoke_pb2.MeasuredTimes: explaining.MeasuredTimes,
    metric_pb2.MetricInfo: records.MetricInfo,
    model_pb2.ModelInfo: spending_records.ModelInfo,
    model_pb2.Cost: spending_records.Cost,
    model_pb2.BudgetInfo: spending_records.StandingBudget,
    model_pb2.ListCostsResponse: spending_records.Spent,
    pool_pb2.Pool: pool_records.Pool,
    pool_pb2.Worker: pool_records.Worker,
    pool_pb2.WorkerExit: pool_records.WorkerExit,
    pool_pb2.QuarantinedInput: pool_records.QuarantinedInput,
    pool_pb2.FunctionGrowth: pool_records.FunctionGrowth,
    pool_pb2.Anomaly: pool_records.Anomaly,
    pool_pb2.OpenCall: pool_records.OpenCall,
    pool_pb2.Breaker: pool_records.Breaker,
    pool_pb2.Front: pool_records.Front,
    pool_pb2.PoolServiceListResponse: pool_records.ServerStatus,
    program_pb2.ProgramInfo: records.ProgramInfo,
    program_pb2.ProgramChange: bridge_client.ProgramChange,
    session_pb2.Session: session_records.SessionInfo,
}
"""Messages that become records by the names of their fields."""

WRITTEN = {
    invoke_pb2.ExplainResponse: (explaining.Explanation, {}),
    invoke_pb2.Alternative: (explaining.Alternative, {"load": "workers, waiting, wait_us"}),
    metric_pb2.MetricScore: (records.MetricValue, {}),
    metric_pb2.ScoreResponse: (records.Score, {"score": "value, details"}),
    metric_pb2.ScoreBatchResponse: (records.BatchScore, {}),
    model_pb2.GenerateResponse: (records.Generation, {}),
    model_pb2.ExtractResponse: (records.Extraction, {"json": "value"}),
    model_pb2.ToolCall: (records.ToolCall, {}),
    model_pb2.ToolCallDelta: (records.ToolCallDelta, {"arguments_delta": "arguments"}),
    model_pb2.PartialAnswer: (bridge_client.PartialAnswer, {"json": "value"}),
    model_pb2.AnswerItem: (bridge_client.AnswerItem, {"json": "value"}),
    model_pb2.BatchSummary: (bridge_client.BatchSummary, {}),
    model_pb2.GeneratedImage: (bridge_client.GeneratedImage, {}),
    model_pb2.GenerateImagesResponse: (bridge_client.GeneratedImages, {}),
    program_pb2.CheckSignatureResponse: (bridge_client.SignatureCheck, {}),
    program_pb2.FieldDelta: (bridge_client.FieldDelta, {}),
    program_pb2.RunStatus: (bridge_client.RunStatus, {}),
    program_pb2.ReasoningDelta: (bridge_client.ReasoningDelta, {}),
    program_pb2.RunToolCall: (bridge_client.RunToolCall, {}),
    program_pb2.RunToolResult: (bridge_client.RunToolResult, {}),
    program_pb2.RunUsage: (bridge_client.RunUsage, {}),
    program_pb2.FinalOutputs: (bridge_client.Final, {}),
    program_pb2.ProgramSource: (bridge_client.ProgramSource, {}),
    program_pb2.ProgramField: (bridge_client.ProgramField, {}),
    session_pb2.SessionVariable: (session_records.Variable, {}),
    session_pb2.VariableSnapshot: (session_records.VariableSnapshot, {}),
    session_pb2.VariableChange: (session_records.VariableChange, {"deleted": "VariableDeleted"}),
    session_pb2.WatchEnd: (session_records.WatchEnd, {}),
    tool_pb2.ToolInfo: (records.ToolInfo, {"tool": "name, description, arguments_schema, on_error, ..."}),
    tool_pb2.HostedTool: (records.ToolInfo, {}),
    tool_pb2.HostedCall: (bridge_client.HostedCall, {"timeout_ms": "deadline"}),
}
"""Messages whose records are made field by field, and which of their fields are there under another name."""


def covered(message, record, renamed):
    known = {one.name for one in fields(record)}
    names = [one.name for one in message.DESCRIPTOR.fields]
    return [name for name in names if not {name, f"{name}_s"} & known and name not in renamed]


@pytest.mark.parametrize("message", READ, ids=lambda message: message.DESCRIPTOR.name)
def test_every_field_is_in_the_record(message):
    assert covered(message, READ[message], {}) == []


@pytest.mark.parametrize("message", WRITTEN, ids=lambda message: message.DESCRIPTOR.name)
def test_every_field_is_in_the_record_that_is_made_by_hand(message):
    record, renamed = WRITTEN[message]
    assert covered(message, record, renamed) == []


def filled(message, depth=0):
    """A message of the same type in which every field is set to something."""
    made = type(message)()
    for one in message.DESCRIPTOR.fields:
        if one.message_type is not None and one.message_type.GetOptions().map_entry:
            key, value = getattr(made, one.name), one.message_type.fields_by_name["value"]
            key["key"] = "worker" if value.type == value.TYPE_STRING else 1.5
        elif one.message_type is not None:
            held = getattr(made, one.name)
            target = held.add() if hasattr(held, "add") else held
            target.CopyFrom(filled(target, depth + 1))
            target.SetInParent()
        elif hasattr(getattr(made, one.name), "append"):
            getattr(made, one.name).append("text" if one.type == one.TYPE_STRING else 1)
        else:
            text = '{"json": 1}' if "schema" in one.name or one.name == "example" else f"text of {one.name}"
            kinds = {one.TYPE_STRING: text, one.TYPE_BOOL: True, one.TYPE_BYTES: b"x"}
            setattr(made, one.name, kinds.get(one.type, 1))
    return made


@pytest.mark.parametrize("message", READ, ids=lambda message: message.DESCRIPTOR.name)
def test_every_field_is_read(message):
    record = READ[message]
    empty, full = read(record, message()), read(record, filled(message()))
    same = [one.name for one in fields(record) if getattr(empty, one.name) == getattr(full, one.name)]
    assert same == []


def test_values_are_read_as_the_hints_say():
    pool = pool_pb2.Pool(name="general", state=pool_pb2.POOL_STATE_READY, size=2)
    pool.grace.FromMilliseconds(1500)
    pool.workers.add(id="general-1", state=pool_pb2.WORKER_STATE_DRAINING).age.FromSeconds(3)
    pool.anomalies.add(kind=pool_pb2.ANOMALY_KIND_MEMORY_TREND).numbers["limit_bytes"] = 5.0
    found = read(pool_records.Pool, pool)
    assert (found.state, found.grace_s, found.proof_age_s, found.check_interval_s) == ("ready", 1.5, None, 0.0)
    assert (found.workers[0].state, found.workers[0].age_s, found.workers[0].since_answer_s) == ("draining", 3.0, None)
    assert (found.anomalies[0].kind, found.anomalies[0].numbers) == ("memory_trend", {"limit_bytes": 5.0})


def test_what_a_newer_server_has_added_to_an_enum_is_named_by_its_number():
    assert read(pool_records.Worker, pool_pb2.Worker(state=77)).state == "unknown_77"
    assert read(receipts.Receipt, common_pb2.Receipt(route=77)).route == "unknown"
    assert read(receipts.Receipt, common_pb2.Receipt()).route == "unknown"


def test_a_record_with_a_field_that_the_message_lacks_is_refused():
    with pytest.raises(TypeError, match=r"bridge\.v1\.WorkerExit has no field for Worker\.id"):
        read(pool_records.Worker, pool_pb2.WorkerExit())


def rpcs():
    """Each as ``InvokeService/Call``."""
    return [
        f"{service.name}/{method.name}"
        for name in FILES
        for service in file(name).services_by_name.values()
        for method in service.methods
    ]


def test_every_rpc_is_called():
    source = "\n".join(path.read_text() for path in PACKAGE.glob("*.py"))
    called = set(re.findall(r'"(?:/bridge\.v1\.)?(\w+Service/\w+)"', source))
    assert len(rpcs()) > 40
    assert set(rpcs()) - called == set()
    assert called - set(rpcs()) == set()


OTHERWISE = {
    "Payload", "Tensor", "Blob", "CallResponse", "StreamCallResponse", "ItemPart", "MultiplexResponse",
    "MultiplexResult", "PoolLoad", "Embedding", "SimilarityRow", "StreamGenerateResponse", "StreamExtractResponse",
    "StreamGenerateBatchResponse", "GenerateBatchResponse", "ExtractBatchResponse", "BatchAnswer",
    "ExtractBatchAnswer", "Failure", "FieldViolation", "StreamRunResponse", "HostResponse", "ToolsRegistered",
    "CancelHostedCall", "HostDraining", "EmbedResponse", "SimilarityResponse", "ModuleOptions",
    "ProgramVersion", "SessionServiceWatchResponse",
}  # fmt: skip
"""Messages that are values, events or envelopes: other tests read them."""


def test_every_message_that_comes_back_is_known_here():
    seen, todo = set(), []
    for name in FILES:
        for service in file(name).services_by_name.values():
            todo += [method.output_type for method in service.methods]
    while todo:
        found = todo.pop()
        if found.full_name not in seen and found.file.package == "bridge.v1":
            seen.add(found.full_name)
            todo += [one.message_type for one in found.fields if one.message_type is not None]
    known = {message.DESCRIPTOR.full_name for message in (*READ, *WRITTEN)}
    known |= {f"bridge.v1.{name}" for name in OTHERWISE}
    carriers = {
        method.output_type.full_name
        for name in FILES
        for service in file(name).services_by_name.values()
        for method in service.methods
        if len(method.output_type.fields) <= 2
    }
    maps = {name for name in seen if name.endswith("Entry")}
    assert seen - known - carriers - maps == set()


def test_every_public_record_is_frozen():
    found = [getattr(bridge_client, name) for name in bridge_client.__all__]
    loose = [one.__name__ for one in found if is_dataclass(one) and not one.__dataclass_params__.frozen]
    assert loose == []

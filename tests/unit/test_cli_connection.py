"""Every way a server can answer, and what the command line makes of it: message, exit code, JSON."""

import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc import StatusCode
from typer.testing import CliRunner

from bridge.cli.connection import Connection, Details, read_details
from bridge.cli.failures import ExitCode, Failure
from bridge.cli.main import app
from bridge.v1 import common_pb2, invoke_pb2


class ScriptedServer:
    """A gRPC server on a real socket that answers as a test tells it."""

    def __init__(self):
        self.answers = {}
        self.requests = []
        self.release = threading.Event()
        self.server = grpc.server(ThreadPoolExecutor(4))
        self.server.add_generic_rpc_handlers((self,))
        self.address = f"127.0.0.1:{self.server.add_insecure_port('127.0.0.1:0')}"
        self.server.start()

    def service(self, details):
        answer = self.answers.get(details.method.rpartition("/")[2])
        if answer is None:
            return None

        def unary(request, context):
            self.requests.append((request, dict(context.invocation_metadata()), context.time_remaining()))
            return answer(request, context)

        if details.method.endswith("StreamCall"):
            return grpc.unary_stream_rpc_method_handler(unary)
        return grpc.unary_unary_rpc_method_handler(unary)


@pytest.fixture
def scripted():
    started = ScriptedServer()
    yield started
    started.release.set()
    started.server.stop(0).wait()


@pytest.fixture
def unused_address():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def packed(*messages):
    status = status_pb2.Status(code=3, message="m")
    for message in messages:
        item = any_pb2.Any()
        item.Pack(message)
        status.details.append(item)
    return status.SerializeToString()


def fail(code, message, *details):
    def answer(_request, context):
        if details:
            context.set_trailing_metadata((("grpc-status-details-bin", packed(*details)),))
        context.abort(code, message)

    return answer


def described(schema="{}", **fields):
    info = common_pb2.FunctionInfo(name="f", arguments_schema=schema, **fields)
    reply = invoke_pb2.DescribeFunctionResponse(function=info).SerializeToString()
    return lambda _request, _context: reply


def run(*arguments):
    return CliRunner().invoke(app, list(arguments), prog_name="bridge", env={"NO_COLOR": "1"})


def info(reason):
    return error_details_pb2.ErrorInfo(reason=reason, domain="bridge", metadata={"pool": "general"})


class TestFailures:
    def test_bad_input_names_every_field(self, scripted):
        violations = [
            error_details_pb2.BadRequest.FieldViolation(field="items[2].name", description="expected text, got 3"),
            error_details_pb2.BadRequest.FieldViolation(field="", description="one too many"),
        ]
        bad = error_details_pb2.BadRequest(field_violations=violations)
        scripted.answers = {
            "DescribeFunction": described(),
            "Call": fail(StatusCode.INVALID_ARGUMENT, "2 arguments do not fit", info("SCHEMA_MISMATCH"), bad),
        }
        done = run("call", "f", "--address", scripted.address)
        assert (done.exit_code, done.stdout) == (1, "")
        assert done.stderr.splitlines() == [
            "error: INVALID_ARGUMENT SCHEMA_MISMATCH: 2 arguments do not fit",
            "  items[2].name: expected text, got 3",
            "  one too many",
        ]
        error = json.loads(run("call", "f", "--address", scripted.address, "--json").stderr)["error"]
        assert error["code"] == "INVALID_ARGUMENT"
        assert error["reason"] == "SCHEMA_MISMATCH"
        assert error["message"] == "2 arguments do not fit"
        assert error["violations"][0] == {"field": "items[2].name", "description": "expected text, got 3"}

    def test_a_single_violation_that_the_message_tells_is_not_told_twice(self, scripted):
        violation = error_details_pb2.BadRequest.FieldViolation(field="x", description="expected an integer")
        bad = error_details_pb2.BadRequest(field_violations=[violation])
        message = "f: x: expected an integer"
        scripted.answers = {
            "DescribeFunction": described(),
            "Call": fail(StatusCode.INVALID_ARGUMENT, message, info("SCHEMA_MISMATCH"), bad),
        }
        done = run("call", "f", "--address", scripted.address)
        assert done.stderr == f"error: INVALID_ARGUMENT SCHEMA_MISMATCH: {message}\n"

    def test_retry_and_traceback_are_shown(self, scripted):
        retry = error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(seconds=1, nanos=500_000_000))
        debug = error_details_pb2.DebugInfo(stack_entries=["line 1", "line 2"])
        scripted.answers = {
            "DescribeFunction": described(),
            "Call": fail(StatusCode.RESOURCE_EXHAUSTED, "full", info("QUEUE_FULL"), retry, debug),
        }
        done = run("call", "f", "--address", scripted.address)
        assert done.exit_code == 1
        assert done.stderr.splitlines()[1:] == ["  try again in 1.5 s", "  line 1", "  line 2"]

    def test_the_last_words_of_a_dead_worker_are_shown(self, scripted):
        crash = error_details_pb2.ErrorInfo(reason="WORKER_CRASHED", metadata={"stderr": "first\nlast"})
        scripted.answers = {"DescribeFunction": described(), "Call": fail(StatusCode.ABORTED, "died", crash)}
        done = run("call", "f", "--address", scripted.address)
        assert done.stderr.splitlines()[1:] == ["  the worker's last lines on stderr:", "    first", "    last"]

    @pytest.mark.parametrize("code", [code for code in StatusCode if code is not StatusCode.OK])
    @pytest.mark.parametrize("with_details", [True, False], ids=["details", "bare"])
    def test_exit_codes(self, scripted, code, with_details):
        scripted.answers = {
            "DescribeFunction": described(),
            "Call": fail(code, "why", *([info("SOME_REASON")] if with_details else [])),
        }
        expected = ExitCode.FAILED
        if code is StatusCode.DEADLINE_EXCEEDED:
            expected = ExitCode.DEADLINE
        elif not with_details and code in (StatusCode.UNAVAILABLE, StatusCode.UNIMPLEMENTED):
            expected = ExitCode.NO_CONNECTION
        done = run("call", "f", "--address", scripted.address)
        assert done.exit_code == expected
        assert "why" in done.stderr

    def test_unknown_function_comes_with_the_suggestion(self, scripted):
        scripted.answers = {
            "DescribeFunction": fail(StatusCode.NOT_FOUND, "did you mean 'g'?", info("UNKNOWN_FUNCTION"))
        }
        done = run("call", "f", "--address", scripted.address)
        assert (done.exit_code, done.stderr) == (
            1,
            "error: NOT_FOUND UNKNOWN_FUNCTION: did you mean 'g'?\n",
        )

    def test_a_server_that_is_no_bridge(self, scripted):
        done = run("ls", "--address", scripted.address)
        assert done.exit_code == 3
        assert "is it a bridge server of this version?" in done.stderr

    @pytest.mark.parametrize("command", [["call", "f"], ["ls"], ["describe", "f"], ["status"]])
    def test_nobody_listens(self, command, unused_address):
        done = run(*command, "--address", unused_address)
        assert done.exit_code == 3
        assert done.stderr.splitlines()[0] == (
            f"error: cannot connect to {unused_address}; start a server with: bridge serve app.py"
        )

    def test_the_address_comes_from_the_environment_too(self, unused_address):
        done = CliRunner().invoke(app, ["ls"], env={"BRIDGE_ADDRESS": unused_address})
        assert unused_address in done.stderr

    def test_somebody_listens_and_says_nothing(self):
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            address = f"127.0.0.1:{listener.getsockname()[1]}"
            with Connection(address) as connection, pytest.raises(Failure) as caught:
                connection.ask("S/M", invoke_pb2.CallRequest(), invoke_pb2.CallResponse, 0.2)
        assert caught.value.code == ExitCode.NO_CONNECTION
        assert caught.value.lines == ("no answer within 0.2 s",)

    def test_a_server_that_is_too_slow(self, scripted):
        def wait(_request, _context):
            scripted.release.wait(20)
            return b""

        scripted.answers = {"DescribeFunction": described(), "Call": wait}
        done = run("call", "f", "--address", scripted.address, "--timeout", "0.5")
        assert done.exit_code == 4
        assert done.stderr == (
            "error: DEADLINE_EXCEEDED: the time was up before the call had ended; the server stops it\n"
        )

    @pytest.mark.parametrize("encoded", [b"", b"\xff\xff", packed()])
    def test_details_that_say_nothing(self, encoded):
        assert read_details(encoded) == Details()

    def test_control_codes_of_a_server_do_not_reach_the_terminal(self, scripted):
        scripted.answers = {"DescribeFunction": fail(StatusCode.INTERNAL, "a\x1b[2Jb", info("R"))}
        assert "\x1b" not in run("call", "f", "--address", scripted.address).output


class TestRequests:
    def test_arguments_session_and_timeout_are_sent(self, scripted):
        reply = invoke_pb2.CallResponse(result=common_pb2.Payload(json='{"a":[1,"é"]}')).SerializeToString()
        schema = json.dumps({"properties": {"n": {"type": "integer"}, "t": {"type": "string"}}})
        scripted.answers = {"DescribeFunction": described(schema), "Call": lambda *_: reply}
        done = run(
            "call", "f", "n=3", "t=é", "--session", "s1", "--timeout", "30", "--address", scripted.address, "--receipt"
        )
        assert done.exit_code == 0
        assert json.loads(done.stdout) == {"a": [1, "é"]}
        assert done.stdout == '{\n  "a": [\n    1,\n    "é"\n  ]\n}\n'
        assert done.stderr == "receipt: the server sent none\n"
        request, metadata, remaining = scripted.requests[1]
        call = invoke_pb2.CallRequest.FromString(request)
        assert json.loads(call.arguments.json) == {"n": 3, "t": "é"}
        assert metadata["x-session-id"] == "s1"
        assert 25 < remaining < 31

    def test_without_a_timeout_the_server_decides(self, scripted):
        scripted.answers = {"DescribeFunction": described(), "Call": lambda *_: b""}
        done = run("call", "f", "--address", scripted.address)
        assert (done.exit_code, done.stdout) == (0, "null\n")
        assert scripted.requests[1][2] is None or scripted.requests[1][2] > 1e6

    def test_json_result_has_the_receipt_with_numbers(self, scripted):
        receipt = common_pb2.Receipt(request_id="r", route=common_pb2.ROUTE_POOLED, queue_us=2**40)

        def answer(_request, context):
            trailers = (("bridge-receipt-bin", receipt.SerializeToString()), ("bridge-worker", "general-1"))
            context.set_trailing_metadata(trailers)
            return invoke_pb2.CallResponse(result=common_pb2.Payload(json="1")).SerializeToString()

        scripted.answers = {"DescribeFunction": described(), "Call": answer}
        done = run("call", "f", "--address", scripted.address, "--json")
        value = json.loads(done.stdout)
        assert (value["result"], value["worker"], value["receipt"]["queue_us"]) == (1, "general-1", 2**40)
        assert value["receipt"]["route"] == "pooled"
        assert value["receipt"]["memory_change_bytes"] is None

    def test_items_are_printed_as_they_come_and_the_failure_after_them(self, scripted):
        def answer(_request, context):
            for number in range(2):
                item = common_pb2.Payload(json=str(number))
                yield invoke_pb2.StreamCallResponse(item=item).SerializeToString()
            context.set_trailing_metadata((("grpc-status-details-bin", packed(info("USER_EXCEPTION"))),))
            context.abort(StatusCode.UNKNOWN, "broke")

        scripted.answers = {"DescribeFunction": described(streaming=True), "StreamCall": answer}
        done = run("call", "f", "--address", scripted.address)
        assert (done.exit_code, done.stdout) == (1, "0\n1\n")
        assert done.stderr == "error: UNKNOWN USER_EXCEPTION: broke\n"

    def test_ls_follows_the_pages(self, scripted):
        def answer(request, _context):
            asked = invoke_pb2.ListFunctionsRequest.FromString(request)
            function = common_pb2.FunctionInfo(name=f"f{asked.page_token}", doc="First line.\nMore.")
            token = "2" if not asked.page_token else ""
            page = invoke_pb2.ListFunctionsResponse(functions=[function], next_page_token=token)
            return page.SerializeToString()

        scripted.answers = {"ListFunctions": answer}
        done = run("ls", "--address", scripted.address, "--json")
        assert [item["name"] for item in json.loads(done.stdout)["functions"]] == ["f", "f2"]
        assert "First line." in run("ls", "--address", scripted.address).stdout

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--timeout", "0"], "--timeout expects seconds above 0"),
            (["--model", "fast"], "--model is for programs; 'f' is a function"),
            (["x"], "expected NAME=VALUE, got 'x'"),
        ],
    )
    def test_wrong_usage_calls_nothing(self, scripted, arguments, message):
        scripted.answers = {"DescribeFunction": described(), "Call": lambda *_: b""}
        done = run("call", "f", *arguments, "--address", scripted.address)
        assert done.exit_code == 2
        assert message in done.stderr
        assert len(scripted.requests) <= 1

"""What is logged and counted, in which form, and what never is."""

import io
import json
import logging
import threading

import pytest

from bridge import telemetry
from bridge.call import Identity, new_call
from bridge.errors import BridgeError, Code
from bridge.log_output import HumanFormatter, JsonFormatter, LineWriter, log_to_stderr
from bridge.telemetry import Telemetry, log
from handlers.contract import FunctionSpec
from pool import events
from pool.exits import ExitReport


@pytest.fixture
def records():
    """The records of the bridge's log, as they come."""
    found: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = found.append
    ours = logging.getLogger("bridge")
    level = ours.level
    ours.addHandler(handler)
    ours.setLevel(logging.DEBUG)
    yield found
    ours.removeHandler(handler)
    ours.setLevel(level)


def a_call(function="add", spec=True, **known):
    call = new_call("InvokeService/Call", Identity("r-1", known.pop("session", "")), b"secret arguments", 0.0)
    call.function = function
    call.spec = FunctionSpec(name=function) if spec else None
    for name, value in known.items():
        setattr(call, name, value)
    return call


def fields(record):
    return {key: value for key, value in record.fields.items() if key != "ms"}


def test_a_failed_call_is_one_line_with_all_that_is_known(records):
    call = a_call(session="s-1", pool="general", worker="general-2")
    failure = BridgeError(Code.ABORTED, "WORKER_CRASHED", "worker general-2 died")
    Telemetry().finished(call, failure.code, failure)
    (record,) = records
    assert (record.levelname, record.getMessage()) == ("WARNING", "call failed: worker general-2 died")
    assert fields(record) == {
        "code": "ABORTED",
        "reason": "WORKER_CRASHED",
        "request": "r-1",
        "method": "InvokeService/Call",
        "function": "add",
        "session": "s-1",
        "pool": "general",
        "worker": "general-2",
    }
    assert record.fields["ms"] >= 0


@pytest.mark.parametrize(
    ("code", "level"),
    [
        (Code.INVALID_ARGUMENT, "INFO"),
        (Code.NOT_FOUND, "INFO"),
        (Code.UNAUTHENTICATED, "INFO"),
        (Code.UNKNOWN, "WARNING"),
        (Code.RESOURCE_EXHAUSTED, "WARNING"),
        (Code.DEADLINE_EXCEEDED, "WARNING"),
        (Code.INTERNAL, "WARNING"),
        (Code.UNAVAILABLE, "WARNING"),
    ],
)
def test_what_the_caller_can_mend_is_only_news(records, code, level):
    Telemetry().finished(a_call(), code, BridgeError(code, "R", "m"))
    assert [record.levelname for record in records] == [level]


def test_answered_and_cancelled_calls_are_logged_for_debugging_only(records):
    quiet = logging.getLogger("bridge")
    quiet.setLevel(logging.INFO)
    told = Telemetry()
    told.finished(a_call(), 0)
    told.finished(a_call(), Code.CANCELLED)
    assert not records
    quiet.setLevel(logging.DEBUG)
    told = Telemetry()
    told.finished(a_call(), 0)
    told.finished(a_call(), Code.CANCELLED)
    assert [record.fields["code"] for record in records] == ["OK", "CANCELLED"]


def test_arguments_are_never_logged(records):
    told = Telemetry()
    told.finished(a_call(), 0)
    told.finished(a_call(), Code.UNKNOWN, BridgeError(Code.UNKNOWN, "R", "m", traceback="tb", metadata={"k": "hidden"}))
    written = "".join(JsonFormatter().format(record) for record in records)
    assert written
    assert "secret" not in written
    assert "hidden" not in written


def test_a_long_message_is_cut(records):
    Telemetry().finished(a_call(), Code.UNKNOWN, BridgeError(Code.UNKNOWN, "R", "m" * 10**6))
    assert len(records[0].getMessage()) <= telemetry.MESSAGE_CHARACTERS + 20


def test_calls_are_counted_by_function_and_code():
    told = Telemetry()
    told.finished(a_call("a"), 0)
    told.finished(a_call("a"), 0)
    told.finished(a_call("a"), Code.CANCELLED)
    assert told.tallies.calls == {("a", 0): 2, ("a", 1): 1}


def test_retries_are_counted_by_how_they_ended(records):
    told = Telemetry()
    reason = "ran there; retried after general-1 died: killed by SIGKILL"
    told.finished(a_call(pool="general", retried=True, reason=reason), 0)
    told.finished(
        a_call(pool="general", retried=True, reason=reason),
        Code.UNAVAILABLE,
        BridgeError(Code.UNAVAILABLE, "WORKER_CRASHED", "worker general-2 died"),
    )
    assert told.retries == {("general", True): 1, ("general", False): 1}
    assert reason in records[0].getMessage()


def test_names_that_do_not_exist_make_no_counters():
    told = Telemetry()
    for number in range(100):
        failure = BridgeError(Code.NOT_FOUND, "UNKNOWN_FUNCTION", "m")
        told.finished(a_call(f"made up {number}", spec=False), failure.code, failure)
    assert told.tallies.calls == {("InvokeService/Call", 5): 100}


REPORT = ExitReport(
    worker="p-1", pid=7, cause="killed by SIGSEGV", signal="SIGSEGV", exit_code=None, stderr_tail="", exited_at=0.0
)


@pytest.mark.parametrize(
    ("event", "level", "text"),
    [
        (events.WorkerOutput(pool="p", worker="p-1", stream="stderr", line="hello"), "INFO", "hello"),
        (events.OutputDropped(pool="p", worker="p-1", lines=9), "WARNING", "9 lines of output dropped"),
        (events.WorkerSpawned(pool="p", worker="p-1", pid=7), "DEBUG", "worker started, pid 7"),
        (events.WorkerReady(pool="p", worker="p-1", seconds=1.5), "INFO", "worker ready after 1.50 s"),
        (
            events.WorkerExited(pool="p", worker="p-1", expected=False, report=REPORT),
            "WARNING",
            "worker ended: killed by SIGSEGV",
        ),
        (
            events.WorkerExited(pool="p", worker="p-1", expected=True, report=REPORT),
            "DEBUG",
            "worker ended: killed by SIGSEGV",
        ),
        (events.PoolFailed(pool="p", cause="exited with code 1"), "ERROR", "pool failed: exited with code 1"),
        (events.PoolScaled(pool="p", old=1, new=2, cause="busy"), "INFO", "1 workers become 2: busy"),
        (
            events.WorkerRecycled(pool="p", worker="p-1", replacement="p-2", cause="it is 60 s old"),
            "INFO",
            "worker replaced by p-2: it is 60 s old",
        ),
        (
            events.ReplacementFailed(pool="p", worker="p-1", cause="no", retry_s=0.5),
            "WARNING",
            "the worker's replacement did not start, it stays; tried again after 0.5 s: no",
        ),
        (
            events.ReplacementFailed(pool="p", worker="p-1", cause="no", retry_s=None),
            "WARNING",
            "the worker's replacement did not start, it stays; not tried again: no",
        ),
        (events.WorkerCondemned(pool="p", worker="p-1", cause="hung"), "WARNING", "worker is replaced: hung"),
        (
            events.WorkerSuspended(pool="p", worker="p-1"),
            "WARNING",
            "worker's process is stopped, as by SIGSTOP; it gets no calls",
        ),
        (events.WorkerResumed(pool="p", worker="p-1"), "INFO", "worker's process goes on"),
    ],
)
def test_every_event_of_a_pool_is_logged_with_its_pool_and_worker(records, event, level, text):
    Telemetry().pool_event(event)
    (record,) = records
    assert (record.levelname, record.getMessage(), record.fields["pool"]) == (level, text, "p")
    if not isinstance(event, events.PoolFailed | events.PoolScaled):
        assert record.fields["worker"] == "p-1"


class TestLines:
    def made(self, records, message, formatter, **more):
        log(logging.INFO, message, **more)
        return formatter.format(records[-1])

    def test_json(self, records):
        line = self.made(records, 'a "b"\n\u2028\ud800', JsonFormatter(), request="r", ms=1.5)
        assert "\n" not in line
        told = json.loads(line)
        assert (told["level"], told["request"], told["ms"]) == ("info", "r", 1.5)
        assert told["message"] == 'a "b"\n\u2028\ud800'
        assert told["time"][10] == "T"
        assert told["time"].endswith("Z")

    def test_human(self, records):
        line = self.made(records, "hello", HumanFormatter(), pool="p", worker="p-1")
        assert line.endswith("info    hello  pool=p worker=p-1")

    @pytest.mark.parametrize(
        "text", ["a\n12:00:00 error   forged", "\x1b[2J", "\r", "\x00", "\x9b1m", "\u2028", "\x85"]
    )
    def test_no_text_can_forge_a_line_or_reach_the_terminal(self, records, text):
        for line in (
            self.made(records, text, HumanFormatter()),
            self.made(records, "m", HumanFormatter(), function=text),
            self.made(records, text, JsonFormatter()),
        ):
            assert len(line.splitlines()) == 1
            assert not any(ord(character) < 32 or 127 <= ord(character) < 160 for character in line)

    @pytest.mark.parametrize("formatter", [HumanFormatter(), JsonFormatter()], ids=["human", "json"])
    def test_tracebacks(self, records, formatter):
        try:
            raise ValueError("a\x1b[2J\n12:00:00 error   forged")
        except ValueError:
            logging.getLogger("bridge").exception("it failed")
        text = formatter.format(records[-1])
        assert "ValueError" in text
        assert "\x1b" not in text
        assert not any(line.startswith("12:00:00") for line in text.splitlines())


class Gate(io.StringIO):
    """A stream that nobody reads until the gate is opened."""

    def __init__(self):
        super().__init__()
        self.entered = threading.Event()
        self.open = threading.Event()

    def write(self, text):
        self.entered.set()
        assert self.open.wait(10)
        return super().write(text)


def record_of(text):
    return logging.LogRecord("bridge", logging.INFO, __file__, 1, text, None, None)


class TestWriter:
    def test_lines_come_out_in_order(self):
        stream = io.StringIO()
        writer = LineWriter(stream)
        for number in range(100):
            writer.emit(record_of(f"line {number}"))
        writer.flush()
        assert stream.getvalue().splitlines() == [f"line {number}" for number in range(100)]

    def test_a_log_that_nobody_reads_stops_nobody_and_says_how_much_is_missing(self):
        stream = Gate()
        writer = LineWriter(stream, lines=10)
        writer.emit(record_of("first"))
        assert stream.entered.wait(10)
        for number in range(500):
            writer.emit(record_of(f"line {number}"))
        stream.open.set()
        writer.flush()
        writer.emit(record_of("last"))
        writer.flush()
        lines = stream.getvalue().splitlines()
        assert lines[:2] == ["first", "line 0"]
        assert lines[-1] == "last"
        dropped = next(line for line in lines if "dropped" in line)
        assert dropped == "... 490 log lines were dropped: nobody read them"

    def test_a_record_that_can_not_be_formatted_hurts_nobody(self, capsys):
        stream = io.StringIO()
        writer = LineWriter(stream)
        writer.emit(logging.LogRecord("library", logging.INFO, __file__, 1, "%d", ("no number",), None))
        writer.emit(record_of("next"))
        writer.flush()
        assert stream.getvalue() == "next\n"
        assert "Logging error" in capsys.readouterr().err

    def test_a_closed_stream_is_no_error(self):
        stream = io.StringIO()
        stream.close()
        writer = LineWriter(stream)
        writer.emit(record_of("x"))
        writer.flush()


@pytest.mark.parametrize(("style", "start"), [("human", ""), ("json", "{"), ("auto", "{")])
def test_the_log_goes_to_stderr_and_other_libraries_warnings_too(capsys, style, start):
    with log_to_stderr("info", style):
        log(logging.DEBUG, "hidden")
        log(logging.INFO, "shown", pool="p")
        logging.getLogger("some.library").warning("of a library")
        logging.getLogger("some.library").info("chatter")
    written = capsys.readouterr()
    assert written.out == ""
    lines = written.err.splitlines()
    assert len(lines) == 2
    assert "shown" in lines[0]
    assert "of a library" in lines[1]
    assert all(line.startswith(start) for line in lines)

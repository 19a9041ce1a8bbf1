"""A runner's process: feeds it cases, reads its answers, and sees when it lies about the protocol.

Owns the process and the thread that reads from it. Knows nothing of what cases mean.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

END_S = 5.0
STDERR_LINES = 40
SHOWN = 300


class RunnerFailed(Exception):
    """The runner did not do what the protocol asks for; it is of no use any more."""


class Runner:
    """One process, which answers one case at a time. `close` ends it; a failure has ended it already."""

    def __init__(self, command: Sequence[str], cwd: Path, environment: Mapping[str, str]) -> None:
        self._command = " ".join(command)
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._stderr: deque[str] = deque(maxlen=STDERR_LINES)
        try:
            self._process = subprocess.Popen(
                command,
                cwd=cwd,
                env=dict(environment),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                encoding="utf-8",
                errors="backslashreplace",
                start_new_session=True,  # its whole group can be ended, whatever it has started
            )
        except OSError as error:
            msg = f"{self._command} can not be started: {error}"
            raise RunnerFailed(msg) from error
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._threads = [
            threading.Thread(target=self._read, args=(self._process.stdout, self._lines.put), daemon=True),
            threading.Thread(target=self._read, args=(self._process.stderr, self._stderr.append), daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    @staticmethod
    def _read(stream: IO[str], take: Callable[[Any], None]) -> None:
        for line in stream:
            take(line.rstrip("\n"))
        take(None)

    def ask(self, case: dict[str, Any], timeout_s: float, do: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
        """The runner's answer to a case. `do` carries out what it asks of the harness. Raises RunnerFailed."""
        deadline = time.monotonic() + timeout_s
        self._write(case)
        while True:
            answer = self._next(deadline, timeout_s)
            if "harness" not in answer:
                return self._checked(answer, case)
            reply: dict[str, Any] = {"done": True}
            try:
                do(answer["harness"])
            except (OSError, RuntimeError, KeyError, TypeError) as error:
                reply = {"done": False, "error": f"{type(error).__name__}: {error}"}
            self._write(reply)

    def _write(self, message: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()
        except OSError as error:
            self._fail(f"it does not read its input ({error})")

    def _next(self, deadline: float, timeout_s: float) -> dict[str, Any]:
        try:
            line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            self._fail(f"no answer within {timeout_s:g} s")
        if line is None:
            self._fail("it has ended in the middle of a case")
        try:
            answer = json.loads(line)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            self._fail(f"expected a line with a JSON object on standard output, got {line[:SHOWN]!r}")
        return answer

    def _checked(self, answer: dict[str, Any], case: dict[str, Any]) -> dict[str, Any]:
        if answer.get("case") != case["case"]:
            self._fail(f"expected an answer to the case {case['case']!r}, got one to {answer.get('case')!r}")
        if "skip" in answer or "crash" in answer:
            return answer
        results, steps = answer.get("steps"), case["steps"]
        if not isinstance(results, list) or not all(isinstance(result, dict) for result in results):
            self._fail(f"expected a list of results in 'steps', got {str(results)[:SHOWN]}")
        if len(results) != len(steps):
            self._fail(f"expected {len(steps)} results, one per step, got {len(results)}")
        return answer

    def _fail(self, what: str) -> None:
        """End the process and say why, with its last words. Never returns."""
        code = self._end()
        said = "\n".join(line for line in self._stderr if line is not None)
        status = "" if code is None else f" (it ended with status {code})"
        raise RunnerFailed(f"{self._command}: {what}{status}" + (f"; it wrote to stderr:\n{said}" if said else ""))

    def close(self) -> int | None:
        """End its input and wait for its end; return its status, None where it had to be killed."""
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.close()
        try:
            code = self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._kill()
            return None
        self._kill()  # what it has left behind
        return code

    def _end(self) -> int | None:
        """Its status where it has ended by itself."""
        with suppress(subprocess.TimeoutExpired):
            code = self._process.wait(0.5) if self._process.poll() is None else self._process.returncode
            self._kill()
            return code
        self._kill()
        return None

    def _kill(self) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for thread in self._threads:
            thread.join(END_S)
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            with suppress(OSError):
                if stream is not None:
                    stream.close()

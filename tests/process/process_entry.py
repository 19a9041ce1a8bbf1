"""The entry of the process tests: it runs the Python text that a test sends, in a worker of its own.

Its options are JSON: `start` is run when it opens, `canary` when the worker is to prove itself (`bad`: it fails).
"""

import json
import textwrap


def open_entry(options):
    return ProcessEntry(**json.loads(options or b"{}"))


def run(text, **names):
    """Run the text of a test; what it leaves in `result` is the reply."""
    names.setdefault("result", "")
    exec(compile(textwrap.dedent(text), "<test>", "exec"), names)
    return str(names["result"]).encode()


class ProcessEntry:
    """Knows `run` (the body is text), `echo`, and the stream `lines`."""

    def __init__(self, start="", canary=""):
        self.calls = 0
        self._canary = canary
        run(start)

    def preload(self):
        pass

    def warm_up(self):
        pass

    def catalogue(self):
        return b""

    def is_async(self, _function):
        return False

    def interrupt(self, _frame):
        return False

    def call(self, function, meta, body, _timeout_s):
        self.calls += 1
        if function == "canary" and self._canary:
            return run(self._canary) != b"bad", b"", b""
        if function == "run":
            return True, b"", run(body.decode(), entry=self)
        return True, meta, body

    def stream(self, _function, _meta, body, _timeout_s):
        yield from body.splitlines()
        yield True, b"", b""

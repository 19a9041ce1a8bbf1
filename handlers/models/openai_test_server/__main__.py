"""Runs the test server from the command line: `python -m handlers.models.openai_test_server --port 0`.

Prints one JSON line with its address when it is ready, and stops at Ctrl-C or SIGTERM.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading

from handlers.models.openai_test_server.behaviour import WORDS
from handlers.models.openai_test_server.server import serve


def main() -> int:
    """Serve until a signal comes."""
    words = "\n".join(f"  {word:12} {meaning}" for word, meaning in WORDS.items())
    parser = argparse.ArgumentParser(
        prog="python -m handlers.models.openai_test_server",
        description="An OpenAI-compatible HTTP server for tests; its answers come from the model bridge/test.",
        epilog=f"Words in the model's name, such as test-latency200-gap20:\n{words}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--port", type=int, default=0, help="loopback port; 0 (the default) takes a free one")
    port = parser.parse_args().port
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with serve(port) as server:
        sys.stdout.write(json.dumps({"event": "ready", "base_url": server.base_url}) + "\n")
        sys.stdout.flush()
        stop.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())

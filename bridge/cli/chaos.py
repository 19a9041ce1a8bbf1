"""`bridge doctor --chaos`: breaks workers of a running server on purpose and measures what follows.

The faults are functions of the server (`handlers.chaos`), which it has where `server.chaos` is on. A fault counts as
detected when the server says that the worker is not ready any more, as recovered when the pool is whole and a call has
gone through. Owns nothing.
"""

from __future__ import annotations

import json
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bridge.cli.connection import Connection, to_failure
from bridge.cli.failures import ExitCode, Failure
from bridge.cli.output import Output, clean, duration, table
from bridge.v1 import common_pb2, invoke_pb2, pool_pb2

if TYPE_CHECKING:
    from google.protobuf.duration_pb2 import Duration

FAULTS = ("kill", "stop", "hang", "memory", "wedge")
POLL_S = 0.02
WHOLE_S = 60.0
"""How long the pool may take to be whole before a fault."""
GIVE_UP_S = 120.0
HANG_AFTER_S = 0.2
"""From the answer of the fault `hang` until its worker hangs."""
WEDGE_DEADLINE_S = 1.0
STOP_S = 2.0
SLACK_S = 0.5
"""Beyond a bound: the server looks four times a second, and this command asks it again and again."""
FILL_BYTES_PER_S = 50 << 20
"""The slowest pace at which the fault `memory` is expected to fill memory."""
OVERSHOOT = 0.25
OVERSHOOT_BYTES = 154 << 20
"""Of a memory limit: the share and the bytes, of which the greater may be exceeded. Memory is looked at in turns."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What came of one fault. Times in seconds since it began to act; None where it did not happen, or was left out."""

    fault: str
    worker: str = ""
    detected_s: float | None = None
    recovered_s: float | None = None
    bound_s: float | None = None
    cause: str = ""
    skipped: str = ""
    overshot: bool = False
    """Whether a worker held much more memory than its limit before it was ended."""

    @property
    def good(self) -> bool:
        """Whether it was detected in time and the pool recovered."""
        if self.skipped:
            return True
        return (
            not self.overshot
            and self.detected_s is not None
            and self.bound_s is not None
            and self.recovered_s is not None
            and self.detected_s <= self.bound_s + SLACK_S
        )

    def as_fields(self) -> dict[str, Any]:
        """Return what `--json` prints."""
        return {
            "fault": self.fault,
            "good": self.good,
            "worker": self.worker,
            "detected_s": _rounded(self.detected_s),
            "bound_s": _rounded(self.bound_s),
            "recovered_s": _rounded(self.recovered_s),
            "cause": self.cause,
            "skipped": self.skipped,
        }


def run(address: str, pool: str, faults: tuple[str, ...], output: Output, *, yes: bool) -> int:
    """Inject the faults one after the other; UNHEALTHY where one was not noticed in time. Raises Failure."""
    for fault in faults:
        if fault not in FAULTS:
            raise Failure(ExitCode.USAGE, f"there is no fault {fault!r}; there is {', '.join(FAULTS)}")
    with Connection(address) as connection:
        target = _Target(connection, pool)
        target.check_switched_on()
        if not yes:
            _ask(address, pool)
        results = []
        for fault in faults:
            with output.waiting(f"{fault}: breaking a worker of pool {clean(pool)}"):
                results.append(target.measure(fault))
    good = all(result.good for result in results)
    if output.machine:
        output.json({"address": address, "pool": pool, "ok": good, "faults": [one.as_fields() for one in results]})
    else:
        output.show(table(("FAULT", "WORKER", "NOTICED", "AT MOST", "RECOVERED", "", "SAID"), map(_row, results)))
        output.line("\nevery fault was noticed in time" if good else "\nnot every fault was noticed in time")
    return ExitCode.OK if good else ExitCode.UNHEALTHY


def _ask(address: str, pool: str) -> None:
    what = f"this breaks workers of pool {clean(pool)} on {clean(address)}; calls that they run will fail"
    if not sys.stdin.isatty():
        raise Failure(ExitCode.USAGE, what, lines=("say --yes if that is what you want",))
    print(f"{what}. Go on? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise Failure(ExitCode.USAGE, "nothing was broken")


class _Target:
    """One pool of a server, to be broken."""

    def __init__(self, connection: Connection, pool: str) -> None:
        self._connection = connection
        self._name = pool

    def check_switched_on(self) -> None:
        """Raise Failure unless the pool is there and the server offers the faults."""
        self._look()
        try:
            self._connection.call(
                "InvokeService/Call", self._request("pid"), invoke_pb2.CallResponse, timeout_s=WHOLE_S
            )
        except Failure as failure:
            if failure.fields.get("reason") != "UNKNOWN_FUNCTION":
                raise
            raise Failure(
                ExitCode.USAGE,
                f"the server at {self._connection.address} does not let its workers be broken",
                lines=(
                    "set chaos = true under [server] in its bridge.toml and send it SIGHUP (or start it with",
                    "--set server.chaos=true); do not leave it on where others can reach the server",
                ),
            ) from None

    def measure(self, fault: str) -> Measured:
        """Inject one fault into a pool that is whole, and watch."""
        pool = self._wait(self._whole, WHOLE_S)
        if pool is None:
            raise Failure(
                ExitCode.UNHEALTHY,
                f"pool {clean(self._name)} is not whole after {WHOLE_S:g} s: "
                f"{len(_ready(self._look()))} of {self._look().size} workers are ready",
            )
        if fault == "memory" and not pool.memory_limit_bytes:
            return Measured(fault, skipped=f"pools.{self._name}.memory_limit is not set")
        before = _ready(pool)
        since, call = self._inject(fault, pool)
        changed = self._wait(lambda now: not before <= _ready(now), GIVE_UP_S)
        if changed is None:
            call.cancel()
            return Measured(fault, bound_s=_bound(fault, pool), cause="nothing was noticed")
        detected_s = time.monotonic() - since
        victim = min(before - _ready(changed))
        recovered = self._wait(lambda now: self._whole(now) and self._gone(now, victim), GIVE_UP_S)
        recovered_s = time.monotonic() - since if recovered is not None and self._answers() else None
        overshot = fault == "memory" and _overshot(call)
        call.cancel()
        causes = [end.cause for end in self._look().exits if end.worker == victim]
        cause = causes[0] if causes else ""
        return Measured(fault, victim, max(0.0, detected_s), recovered_s, _bound(fault, pool), cause, overshot=overshot)

    def _inject(self, fault: str, pool: pool_pb2.Pool) -> tuple[float, Any]:
        """Begin a fault; return since when it acts, and its call."""
        started = time.monotonic()
        timeout_s = WEDGE_DEADLINE_S if fault == "wedge" else GIVE_UP_S
        more = {"most_bytes": 3 * pool.memory_limit_bytes} if fault == "memory" else {}
        request = self._request(fault, **more)
        call = self._connection.begin("InvokeService/Call", request, invoke_pb2.CallResponse, timeout_s)
        if fault == "hang":
            if (error := call.exception()) is not None:
                raise to_failure(error, self._connection.address)
            return time.monotonic() + HANG_AFTER_S, call
        return started + (WEDGE_DEADLINE_S if fault == "wedge" else 0.0), call

    def _request(self, fault: str, **more: Any) -> invoke_pb2.CallRequest:
        arguments = json.dumps({"run": uuid.uuid4().hex, **more})
        name = f"bridge.chaos.{self._name}.{fault}"
        return invoke_pb2.CallRequest(function=name, arguments=common_pb2.Payload(json=arguments))

    def _look(self) -> pool_pb2.Pool:
        request = pool_pb2.PoolServiceGetRequest(name=self._name)
        return self._connection.ask("PoolService/Get", request, pool_pb2.PoolServiceGetResponse).pool

    def _wait(self, wanted: Callable[[pool_pb2.Pool], bool], timeout_s: float) -> pool_pb2.Pool | None:
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if wanted(pool := self._look()):
                return pool
            time.sleep(POLL_S)
        return None

    @staticmethod
    def _whole(pool: pool_pb2.Pool) -> bool:
        return len(_ready(pool)) >= pool.size

    @staticmethod
    def _gone(pool: pool_pb2.Pool, worker: str) -> bool:
        return all(one.id != worker for one in pool.workers)

    def _answers(self) -> bool:
        """Return whether a call goes through."""
        try:
            self._connection.call("InvokeService/Call", self._request("pid"), invoke_pb2.CallResponse, GIVE_UP_S)
        except Failure:
            return False
        return True


def _overshot(call: Any) -> bool:
    """Return whether the failed call says that its worker held much more than its limit."""
    error = call.exception(timeout=GIVE_UP_S)
    told = {} if error is None else to_failure(error, "").fields.get("metadata", {})
    used, limit = int(told.get("used_bytes", 0)), int(told.get("limit_bytes", 0))
    return used > limit + max(OVERSHOOT * limit, OVERSHOOT_BYTES)


def _ready(pool: pool_pb2.Pool) -> set[str]:
    return {worker.id for worker in pool.workers if worker.state == pool_pb2.WORKER_STATE_READY}


def _bound(fault: str, pool: pool_pb2.Pool) -> float:
    """Return the seconds within which a fault is to be noticed, by the settings of the pool."""
    if fault == "kill":
        return 1.0
    if fault == "stop":
        return STOP_S
    if fault == "hang":
        return _seconds(pool.check_interval) + _seconds(pool.check_timeout) + 3.0
    if fault == "wedge":
        return _seconds(pool.grace) + 3.0
    return 1.0 + pool.memory_limit_bytes / FILL_BYTES_PER_S


def _row(result: Measured) -> tuple[Any, ...]:
    from rich.text import Text

    if result.skipped:
        return result.fault, "", "", "", "", Text("left out", style="yellow"), result.skipped
    bad = "too much" if result.overshot else "too late"
    verdict = Text("good", style="green") if result.good else Text(bad, style="bold red")
    noticed = "never" if result.detected_s is None else duration(result.detected_s)
    recovered = "never" if result.recovered_s is None else duration(result.recovered_s)
    return result.fault, result.worker, noticed, duration(result.bound_s or 0), recovered, verdict, result.cause


def _seconds(value: Duration) -> float:
    return value.ToTimedelta().total_seconds()


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)

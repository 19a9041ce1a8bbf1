"""The boundary where every failure becomes a status. The only place of the front that catches everything.

An exception that nobody expected is logged in full and answered with fixed text: what broke inside is for the
operator. Cancellation by the client passes through.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from bridge import receipts, status
from bridge.call import Call
from bridge.errors import Code
from bridge.server import Answer
from bridge.telemetry import LOGGER

if TYPE_CHECKING:
    from bridge.errors import BridgeError
    from bridge.telemetry import Telemetry


def refusal(error: BaseException, call: Call | None, request_id: str, telemetry: Telemetry) -> Answer:
    """Return the answer that `error` stands for, with what is known of the call. Raises what is no answer."""
    if isinstance(error, asyncio.CancelledError):
        if call is not None:
            telemetry.finished(call, Code.CANCELLED)
        raise error
    if not isinstance(error, Exception):
        raise error
    idempotent = call is not None and call.spec is not None and call.spec.idempotent
    failure = status.of_exception(error, idempotent=idempotent)
    if failure.reason == "INTERNAL":
        LOGGER.log(logging.ERROR, "request %s failed inside the bridge", request_id, exc_info=error)
    if call is not None:
        telemetry.finished(call, failure.code, f"{failure.reason}: {failure.message}")
    return _answer(failure, call, request_id)


def _answer(failure: BridgeError, call: Call | None, request_id: str) -> Answer:
    details = ("grpc-status-details-bin", status.pack(failure, request_id))
    trailers = (details,) if call is None else (details, *receipts.trailers(call))
    return Answer(None, trailers, int(failure.code), status.message_of(failure))

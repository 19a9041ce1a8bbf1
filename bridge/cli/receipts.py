"""What a receipt looks like, for people and for machines. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bridge.cli.messages import plain
from bridge.cli.output import duration, size
from bridge.errors import Code

if TYPE_CHECKING:
    from bridge.cli.connection import Trailers
    from bridge.v1.common_pb2 import BudgetState, ModelAnswer, ModelUsage, NestedCalls

TEST_MODEL = "bridge/test"


def receipt_fields(trailers: Trailers) -> dict[str, Any]:
    """Return route, worker and receipt for `--json`."""
    receipt = None if trailers.receipt is None else plain(trailers.receipt)
    return {"route": trailers.route, "worker": trailers.worker, "receipt": receipt}


def receipt_lines(trailers: Trailers) -> list[str]:
    """Return a receipt in a few lines."""
    receipt = trailers.receipt
    if receipt is None:
        return ["receipt: the server sent none"]
    where = f"in worker {receipt.worker} of pool {receipt.pool}" if receipt.worker else "in the front process"
    reason = f" ({receipt.reason})" if receipt.reason else ""
    transfer_us = max(0, receipt.total_us - receipt.queue_us - receipt.worker_us)
    times = [f"total {_us(receipt.total_us)}", f"queue {_us(receipt.queue_us)}", f"worker {_us(receipt.worker_us)}"]
    times.append(f"transfer {_us(transfer_us)}")
    if receipt.model_us:
        times.append(f"model {_us(receipt.model_us)}")
    if receipt.batch_size:
        times.append(f"its share of {_us(receipt.batch_us)} for {receipt.batch_size} calls together")
    lines = [f"ran {where}{reason}", "time: " + ", ".join(times)]
    bytes_line = f"bytes: {size(receipt.bytes_in)} in, {size(receipt.bytes_out)} out"
    if receipt.HasField("memory_change_bytes"):
        bytes_line += f"; the worker's memory changed by {size(receipt.memory_change_bytes)}"
    lines.append(bytes_line)
    lines += [_usage_line(usage) for usage in receipt.usage]
    lines += [_answer_line(answer) for answer in receipt.answers]
    if receipt.HasField("nested"):
        lines += _nested_lines(receipt.nested)
    if receipt.HasField("budget"):
        lines.append(f"budget: {_budget(receipt.budget)}")
    key = f", key {receipt.key_name}" if receipt.key_name else ""
    lines.append(f"request {receipt.request_id}{key}")
    return lines


def _usage_line(usage: ModelUsage) -> str:
    name = f"{usage.model} (the built-in test model, not a real one)" if usage.model == TEST_MODEL else usage.model
    calls = "1 call" if usage.calls == 1 else f"{usage.calls} calls"
    cost = f", ${usage.cost_usd:.6f}" if usage.HasField("cost_usd") else ""
    return f"model: {name}, {calls}, {usage.input_tokens} tokens in, {usage.output_tokens} tokens out{cost}"


def _answer_line(answer: ModelAnswer) -> str:
    """Tell where an answer came from."""
    why = {"fallback": "stood in", "cache": "had kept the answer", "shared": "answered another call at the time"}
    age = f", {answer.age_ms / 1000:.3g} s old" if answer.age_ms else ""
    origin = f", made for request {answer.origin_request_id}" if answer.origin_request_id else ""
    passed = f" (before it {', '.join(answer.passed)})" if answer.passed else ""
    return f"answer: {answer.model} {why.get(answer.cause, answer.cause)}{age}{origin}{passed}"


def _nested_lines(nested: NestedCalls) -> list[str]:
    """Return the sums of nested calls, then one line for each that is listed."""
    failed = f", {nested.failed} of them failed" if nested.failed else ""
    times = f"worker {_us(nested.worker_us)}, queue {_us(nested.queue_us)}"
    called = "1 call" if nested.calls == 1 else f"{nested.calls} calls"
    lines = [f"called other functions: {called}{failed}; {times}"]
    lines += [f"  {_usage_line(usage)}" for usage in nested.usage]
    for one in nested.listed:
        where = f" in {one.worker}" if one.worker else ""
        ended = f", {one.reason or Code(one.code).name}" if one.code else ""
        deeper = f", {one.calls} further calls" if one.calls else ""
        used = f", {one.tokens} tokens" if one.tokens else ""
        lines.append(f"  {one.function}{where}: {_us(one.total_us)}{used}{deeper}{ended}")
    if nested.unlisted:
        lines.append(f"  and {nested.unlisted} more")
    return lines


def _budget(state: BudgetState) -> str:
    parts = []
    if state.HasField("usd_left"):
        parts.append(f"${state.usd_spent:.6f} spent, ${state.usd_left:.6f} left")
    if state.HasField("tokens_left"):
        parts.append(f"{state.tokens_spent} tokens spent, {state.tokens_left} left")
    if state.HasField("calls_left"):
        parts.append(f"{state.calls_spent} calls made, {state.calls_left} left")
    return "; ".join(parts)


def _us(microseconds: int) -> str:
    return duration(microseconds / 1e6)

// Values, errors and records as the conformance protocol writes them; clients/conformance/README.md has the protocol.
import { createHash } from "node:crypto";
import { BridgeError, Tensor, tensor } from "@polyglot-bridge/client";

/** The client can not do what the case asks for. */
export class Skip extends Error {}

/** The case, or the harness, is not what the protocol says. */
export class Crash extends Error {}

const ARRAYS = {
  BOOL: Uint8Array, UINT8: Uint8Array, UINT16: Uint16Array, UINT32: Uint32Array, UINT64: BigUint64Array,
  INT8: Int8Array, INT16: Int16Array, INT32: Int32Array, INT64: BigInt64Array,
  FP16: Uint16Array, FP32: Float32Array, FP64: Float64Array,
};

/** A value of a case as the client takes it. */
export function toClient(value) {
  if (Array.isArray(value)) return value.map(toClient);
  if (value === null || typeof value !== "object") return value;
  const keys = Object.keys(value);
  const held = value[keys[0]];
  if (keys.length === 1) {
    switch (keys[0]) {
      case "$int":
        return BigInt(held);
      case "$float":
        return Number(held);
      case "$bytes":
        return new Uint8Array(Buffer.from(held, "base64"));
      case "$tensor":
        return toTensor(held);
      case "$fill":
        return "text" in held ? held.text.repeat(held.count) : new Uint8Array(held.count).fill(held.byte);
    }
  }
  return Object.fromEntries(keys.map((key) => [key, toClient(value[key])]));
}

function toTensor({ dtype, shape, data }) {
  const bytes = new Uint8Array(Buffer.from(data, "base64"));
  const elements = new ARRAYS[dtype](bytes.buffer);
  return tensor(elements, shape, dtype);
}

/** What the client gave, as a value of a result. */
export function fromClient(value) {
  if (value === null || typeof value === "string" || typeof value === "boolean") return value;
  if (typeof value === "number") return Number.isFinite(value) ? value : { $float: String(value) };
  if (typeof value === "bigint") return { $int: value.toString() };
  if (value instanceof Uint8Array) return { $bytes: Buffer.from(value).toString("base64") };
  if (value instanceof Tensor) {
    return { $tensor: { dtype: value.dtype, shape: [...value.shape], data: Buffer.from(value.bytes()).toString("base64") } };
  }
  if (Array.isArray(value)) return value.map(fromClient);
  if (Object.getPrototypeOf(value) !== Object.prototype) throw new Crash(`the client gave a ${value.constructor.name}`);
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, fromClient(item)]));
}

/** What a step with `digest` reports of a text or of bytes. */
export function digest(value) {
  if (typeof value !== "string" && !(value instanceof Uint8Array)) throw new Crash("expected a text or bytes to digest");
  const bytes = Buffer.from(value);
  return { length: bytes.length, sha256: createHash("sha256").update(bytes).digest("hex") };
}

/** E for whatever a call has failed with; what the client refuses to send is an invalid argument. */
export function errorOf(error) {
  if (error instanceof BridgeError) {
    return {
      code: error.code,
      reason: error.reason,
      message: error.message,
      violations: error.violations.map(({ field, description }) => ({ field, description })),
      metadata: { ...error.metadata },
      retry_after_ms: error.retryAfterMs === undefined ? null : Math.round(error.retryAfterMs),
      request_id: error.requestId,
    };
  }
  if (!(error instanceof TypeError || error instanceof RangeError)) throw error;
  const told = { message: error.message, violations: [], metadata: {}, retry_after_ms: null, request_id: "" };
  return { code: "INVALID_ARGUMENT", reason: "", ...told };
}

/** The use of models, as receipts and events have it. */
export function usageOf(usage) {
  return usage.map(({ model, calls, inputTokens, outputTokens }) => {
    return { model, calls, input_tokens: inputTokens, output_tokens: outputTokens };
  });
}

/** R, or null where there was no receipt. */
export function receiptOf(receipt) {
  return receipt === undefined ? null : { ...snake(receipt), usage: usageOf(receipt.usage) };
}

/** S. */
export function sessionOf({ id, mode, epoch, calls, ttlMs }) {
  return { id, mode, epoch, calls, ttl_ms: ttlMs };
}

/** P. */
export function eventOf({ type, ...event }) {
  const names = { delta: "field_delta", reasoning: "reasoning_delta" };
  const told = { type: names[type] ?? type, ...event };
  if (event.usage) told.usage = usageOf(event.usage);
  if (event.outputs) told.outputs = fromClient(event.outputs);
  return told;
}

/** What `describe` gives. */
export function functionOf({ name, doc, pool, streaming, argumentsSchema, resultSchema }) {
  return { name, doc, pool, streaming, arguments_schema: argumentsSchema, result_schema: resultSchema };
}

/** A record with the names of its fields in snake case. */
function snake(record) {
  return Object.fromEntries(
    Object.entries(record)
      .filter(([, value]) => value !== undefined)
      .map(([name, value]) => [name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`), value]),
  );
}

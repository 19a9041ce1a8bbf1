/**
 * What a failed call throws, and how it is read from the wire (google.rpc.Status in `grpc-status-details-bin`).
 * It knows nothing about how calls are made.
 */
import { type Metadata, type ServiceError, status } from "@grpc/grpc-js";
import type { Failure__Output } from "./generated/bridge/v1/Failure.js";
import { type Receipt, receiptOf } from "./receipt.js";
import { durationMs, type RpcStatus, wire } from "./wire.js";

/** A gRPC status code's name. */
export type Code = keyof typeof status;

/** One mistake in the arguments. */
export interface Violation {
  /** Where: a path such as `items[2].name`. */
  field: string;
  /** What was expected and what was got. */
  description: string;
}

/** What an error is made from. */
export interface ErrorFacts {
  code: Code;
  message: string;
  reason?: string;
  violations?: Violation[];
  metadata?: Record<string, string>;
  retryAfterMs?: number | undefined;
  requestId?: string;
  receipt?: Receipt | undefined;
  traceback?: string | undefined;
  notSent?: boolean;
  cause?: unknown;
}

/**
 * A call that failed. `code` is the gRPC code and `reason` the bridge's own name of the cause, such as
 * `SCHEMA_MISMATCH` or `WORKER_CRASHED`; the reason is empty where the failure did not come from the bridge
 * (no connection, a deadline that passed here, a cancel).
 */
export class BridgeError extends Error {
  /** The gRPC status code's name, such as "INVALID_ARGUMENT". */
  readonly code: Code;
  /** The bridge's reason, such as "SCHEMA_MISMATCH"; empty where there is none. gRPC finds MESSAGE_TOO_LARGE by itself too. */
  readonly reason: string;
  /** One per mistake in the arguments; empty for other failures. */
  readonly violations: readonly Violation[];
  /** Facts about the failure, such as the signal that killed a worker. */
  readonly metadata: Readonly<Record<string, string>>;
  /** Milliseconds to wait before trying again, where the server says so. */
  readonly retryAfterMs: number | undefined;
  /** The call's `x-request-id`: ask the operator to look for it in the server's log. */
  readonly requestId: string;
  /** What the failed call cost, where the server got far enough to tell. */
  readonly receipt: Receipt | undefined;
  /** The Python traceback, where the server is configured to send it. */
  readonly traceback: string | undefined;
  /** Whether the call never left this machine, because there was no connection: it may be made again without harm. */
  readonly notSent: boolean;

  constructor(failure: ErrorFacts) {
    super(failure.message, failure.cause === undefined ? undefined : { cause: failure.cause });
    this.name = "BridgeError";
    this.code = failure.code;
    this.reason = failure.reason ?? "";
    this.violations = failure.violations ?? [];
    this.metadata = failure.metadata ?? {};
    this.retryAfterMs = failure.retryAfterMs;
    this.requestId = failure.requestId ?? "";
    this.receipt = failure.receipt;
    this.traceback = failure.traceback;
    this.notSent = failure.notSent ?? false;
  }
}

/** What the client knows about a call that failed. */
export interface CallFacts {
  address: string;
  requestId: string;
  timeoutMs: number;
  signal: AbortSignal | undefined;
}

/** Turn gRPC's error into a BridgeError. */
export function toBridgeError(error: ServiceError, call: CallFacts): BridgeError {
  const code = codeName(error.code);
  const cancelled = code === "CANCELLED" && call.signal?.aborted === true;
  const details = readDetails(error.metadata);
  const text = error.details || error.message;
  return new BridgeError({
    code,
    message: details.message ?? localMessage(code, text, call),
    ...(details.message === undefined ? tooLarge(code, text) : undefined),
    ...details.failure,
    requestId: call.requestId,
    receipt: receiptOf(error.metadata),
    notSent: details.message === undefined && code === "UNAVAILABLE" && NO_CONNECTION.test(text),
    cause: cancelled ? call.signal?.reason : undefined,
  });
}

/** Return the error of one call of several that went over one stream, from its serialized google.rpc.Status. */
export function ofStatus(bytes: Buffer, facts: { requestId: string; receipt: Receipt | undefined }): BridgeError {
  const { code, message, failure } = readStatus(bytes);
  return new BridgeError({ code: codeName(code), message: message ?? "the call failed", ...failure, ...facts });
}

/** Return the error of one part of a call whose other parts may have gone well. */
export function ofFailure(failure: Failure__Output): BridgeError {
  return new BridgeError({
    code: codeName(failure.code),
    reason: failure.reason,
    message: failure.message,
    metadata: { ...failure.metadata },
    violations: failure.violations.map(({ field, description }) => ({ field, description })),
    retryAfterMs: failure.retryAfterS === undefined ? undefined : failure.retryAfterS * 1000,
  });
}

/** Return the error of a call that was cancelled before it was sent. */
export function cancelledBeforeSending(call: CallFacts): BridgeError {
  const message = "the call was cancelled before it was sent";
  return new BridgeError({ code: "CANCELLED", message, requestId: call.requestId, cause: call.signal?.reason });
}

/** Make an error show where the call was made: by the time it fails, that is no longer on the stack. */
export function withStackOf(caller: Error, error: BridgeError): BridgeError {
  const [, ...frames] = (caller.stack ?? "").split("\n");
  error.stack = [`${error.name}: ${error.message}`, ...frames].join("\n");
  return error;
}

function codeName(code: number): Code {
  return (status[code] ?? "UNKNOWN") as Code;
}

/** How grpc-js words it that a call found no connection. */
const NO_CONNECTION = /No connection established|Name resolution failed/;

function localMessage(code: Code, message: string, call: CallFacts): string {
  if (code === "DEADLINE_EXCEEDED") return `no answer within ${call.timeoutMs} ms (timeoutMs): ${message}`;
  if (code !== "UNAVAILABLE" || !NO_CONNECTION.test(message)) return message;
  const cause = message.replace(/\. Resolution note:\s*$/, "");
  return `can not reach the bridge at ${call.address}; is it running there (bridge serve APP --address ...)? ${cause}`;
}

/** How gRPC itself words a message that is too large: which side, which way, its bytes and the limit. */
const TOO_LARGE = /(?:(SERVER|CLIENT): )?(?:Received|Sent) message larger than max \((\d+) vs\.? (\d+)\)/;

const SENT_TOO_LARGE = /Attempted to send message with a size larger than (\d+)/;

function tooLarge(code: Code, text: string): Partial<ErrorFacts> | undefined {
  const [, most] = SENT_TOO_LARGE.exec(text) ?? [];
  if (code === "RESOURCE_EXHAUSTED" && most) {
    const message = `the request has more than ${most} bytes; raise maxRequestBytes, or send less at a time`;
    return { message, reason: "MESSAGE_TOO_LARGE", metadata: { limit_bytes: most } };
  }
  const [, side, size = "", limit = ""] = TOO_LARGE.exec(text) ?? [];
  if (code !== "RESOURCE_EXHAUSTED" || !size) return undefined;
  const message =
    side === "SERVER"
      ? `the request has ${size} bytes, and the server takes in no more than ${limit}, twice its ` +
        "server.max_message_bytes: raise that there, or send less at a time"
      : `the reply has ${size} bytes, and this client takes at most ${limit}; raise it with maxReplyBytes, or ask ` +
        "for less at a time";
  return { message, reason: "MESSAGE_TOO_LARGE", metadata: { size_bytes: size, limit_bytes: limit } };
}

interface Details {
  code: number;
  message?: string;
  failure: Pick<ErrorFacts, "reason" | "violations" | "metadata" | "retryAfterMs" | "traceback">;
}

function readDetails(metadata: Metadata | undefined): Details {
  const [bytes] = metadata?.get("grpc-status-details-bin") ?? [];
  return bytes instanceof Buffer ? readStatus(bytes) : { code: status.UNKNOWN, failure: {} };
}

function readStatus(bytes: Buffer): Details {
  try {
    const rpc = wire["google.rpc.Status"].deserialize(bytes);
    return { code: rpc.code, message: rpc.message, failure: readEach(rpc) };
  } catch {
    // Details are an extra: without them code and message still stand.
    return { code: status.UNKNOWN, failure: {} };
  }
}

function readEach(rpc: RpcStatus): Details["failure"] {
  const failure: Details["failure"] = {};
  for (const { type_url: typeUrl, value } of rpc.details) {
    const bytes = Buffer.from(value);
    switch (typeUrl.slice(typeUrl.lastIndexOf("/") + 1)) {
      case "google.rpc.ErrorInfo": {
        const info = wire["google.rpc.ErrorInfo"].deserialize(bytes);
        failure.reason = info.reason;
        failure.metadata = { ...info.metadata };
        break;
      }
      case "google.rpc.BadRequest": {
        const { fieldViolations } = wire["google.rpc.BadRequest"].deserialize(bytes);
        failure.violations = fieldViolations.map(({ field, description }) => ({ field, description }));
        break;
      }
      case "google.rpc.RetryInfo": {
        const { retryDelay } = wire["google.rpc.RetryInfo"].deserialize(bytes);
        if (retryDelay) failure.retryAfterMs = durationMs(retryDelay);
        break;
      }
      case "google.rpc.DebugInfo": {
        const { stackEntries, detail } = wire["google.rpc.DebugInfo"].deserialize(bytes);
        failure.traceback = [...stackEntries, detail].filter(Boolean).join("\n");
        break;
      }
    }
  }
  return failure;
}

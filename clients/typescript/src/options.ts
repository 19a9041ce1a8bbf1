/**
 * How to connect and how to call, and what of that goes with a call as metadata. Pure.
 */
import type { ChannelCredentials, Metadata } from "@grpc/grpc-js";
import type { TlsOptions } from "./credentials.js";
import type { LargeIntegers } from "./json.js";
import type { Form } from "./payload.js";
import type { Receipt } from "./receipt.js";

/** Metadata of a call; names that end in "-bin" carry bytes. */
export type MetadataValues = Readonly<Record<string, string | Uint8Array>>;

/** How firmly a session is bound to its worker: "hint" goes on elsewhere when it is lost, "strict" fails. */
export type SessionMode = "hint" | "strict";

/** Which calls go first where they wait for a worker. */
export type Priority = "low" | "normal" | "high";

/** What a call, and all that it calls on the server, may spend together. */
export interface Budget {
  /** US dollars for language models. */
  usd?: number;
  /** Tokens of language models, prompts and answers together. */
  tokens?: number;
  /** Calls of functions, this one included. */
  calls?: number;
}

/** How to connect. */
export interface ConnectOptions {
  /** The API key, or where it stands: "env:NAME" or "file:PATH". It is sent as a bearer token with every call. */
  key?: string;
  /** TLS: `true` to trust what Node trusts, or the authority and the client's own certificate. Plain text without. */
  tls?: boolean | TlsOptions;
  /** Credentials of grpc-js instead of `tls`, for what that can not say. */
  credentials?: ChannelCredentials;
  /** Milliseconds that a call may take unless it says otherwise; Infinity for no limit. Default 60,000. */
  timeoutMs?: number;
  /** Metadata of every call, such as {"x-tenant": "acme"}. */
  metadata?: MetadataValues;
  /** How often a call that may be repeated is tried again, unless it says otherwise. Default 0. */
  retries?: number;
  /** What integers beyond 2^53 in results become: "bigint" (default) or their digits as a "string". */
  largeIntegers?: LargeIntegers;
  /** The largest reply that is taken, in bytes. Default 256 MiB; -1 for no limit. */
  maxReplyBytes?: number;
  /** The largest request that is sent, in bytes. Default: what the server takes. */
  maxRequestBytes?: number;
  /** Ask a connection that is silent while calls run for a sign of life after this many milliseconds. Default 30,000. */
  keepaliveMs?: number;
}

/** Options that every call takes. */
export interface CallOptions {
  /** Milliseconds that the call may take, repetitions included; Infinity for no limit. */
  timeoutMs?: number;
  /** Cancels the call, on the server too. */
  signal?: AbortSignal;
  /** The call's `x-request-id`; one is made where it is absent. */
  requestId?: string;
  /** Says that calls with this key are one, so that this one may be repeated. */
  idempotencyKey?: string;
  /** Says that the call may run twice. */
  idempotent?: boolean;
  /** How often to try again where the server says when to, and the call may be repeated. */
  retries?: number;
  /** Wait for the connection, as long as the call may take, instead of failing while there is none. */
  waitForReady?: boolean;
  /** The call's session, by id. */
  session?: string;
  /** How firmly the session is bound, where this call opens it. */
  sessionMode?: SessionMode;
  /** What the call and all that it calls may spend together. */
  budget?: Budget;
  /** Which calls go first where they wait. */
  priority?: Priority;
  /** The W3C trace context that the call belongs to. */
  traceparent?: string;
  /** Metadata of this call. */
  metadata?: MetadataValues;
  /** Called with the call's receipt when it has ended, also when it failed. */
  onReceipt?: (receipt: Receipt) => void;
}

/** Options of `call` and `stream`. */
export interface ValueOptions extends CallOptions {
  /** How arguments and results travel: "msgpack" (default), or "json" for integers of more than 64 bits in results. */
  form?: Form;
  /** Results that are larger than this come in parts and are put together here; at least 4096. Default: all whole. */
  chunkBytes?: number;
}

/** How long a call may take unless something else is said. */
export const DEFAULT_TIMEOUT_MS = 60_000;
const LONGEST_TIMEOUT_MS = 99_999_999_000;
const LEAST_CHUNK_BYTES = 4096;
const MOST_USD = 1e9;
const MOST = 1e15;

/** Throw RangeError for options that can not be. */
export function checkOptions(options: CallOptions): void {
  const { timeoutMs, retries, budget, requestId } = options;
  if (timeoutMs !== undefined && !(typeof timeoutMs === "number" && timeoutMs > 0)) {
    throw new RangeError(`expected timeoutMs above 0 in milliseconds (or Infinity), got ${String(timeoutMs)}`);
  }
  if (retries !== undefined && !(Number.isInteger(retries) && retries >= 0)) {
    throw new RangeError(`expected retries to be a whole number from 0, got ${String(retries)}`);
  }
  if (requestId !== undefined && !/^[\x21-\x7e]+$/.test(requestId)) {
    throw new TypeError(`expected requestId to be printable ASCII text without blanks, got ${JSON.stringify(requestId)}`);
  }
  if (budget !== undefined) checkBudget(budget);
}

/** Throw RangeError for a size of parts that servers do not take. */
export function checkChunkBytes(bytes: number | undefined): void {
  if (bytes === undefined || (Number.isInteger(bytes) && bytes >= LEAST_CHUNK_BYTES)) return;
  throw new RangeError(`expected chunkBytes of at least ${LEAST_CHUNK_BYTES}, got ${String(bytes)}`);
}

function checkBudget({ usd, tokens, calls }: Budget): void {
  if (usd !== undefined && !(usd >= 0 && usd < MOST_USD)) {
    throw new RangeError(`expected a budget of 0 to ${MOST_USD} US dollars, got ${String(usd)}`);
  }
  for (const [name, value] of Object.entries({ tokens, calls })) {
    if (value === undefined || (Number.isInteger(value) && value >= 0 && value < MOST)) continue;
    throw new RangeError(`expected a budget's ${name} to be a whole number from 0, got ${String(value)}`);
  }
}

/** Put on a call's metadata what its options say, apart from its id and deadline. Throws TypeError, without the values. */
export function writeMetadata(metadata: Metadata, options: CallOptions): void {
  const { session, sessionMode, idempotencyKey, priority, traceparent, budget } = options;
  let name = "";
  try {
    const given = options.metadata ?? {};
    for (name in given) {
      const value = given[name] as string | Uint8Array;
      metadata.set(name, typeof value === "string" ? value : Buffer.from(value));
    }
    if (idempotencyKey !== undefined) metadata.set((name = "x-idempotency-key"), idempotencyKey);
    if (session !== undefined) metadata.set((name = "x-session-id"), session);
    if (sessionMode !== undefined) metadata.set((name = "x-session-mode"), sessionMode);
    if (priority !== undefined) metadata.set((name = "x-priority"), priority);
    if (traceparent !== undefined) metadata.set((name = "traceparent"), traceparent);
  } catch {
    const wanted = "a name of a-z, 0-9, '-', '_' and '.', and printable ASCII text, or bytes where the name ends in -bin";
    throw new TypeError(`metadata ${name} can not be sent: expected ${wanted}`);
  }
  if (budget !== undefined) writeBudget(metadata, budget);
}

/** Return a timeout as `x-timeout-ms` says it, or undefined where there is none. */
export function timeoutText(timeoutMs: number): string | undefined {
  return timeoutMs > LONGEST_TIMEOUT_MS ? undefined : String(Math.max(1, Math.ceil(timeoutMs)));
}

function writeBudget(metadata: Metadata, { usd, tokens, calls }: Budget): void {
  if (usd !== undefined) metadata.set("x-budget-usd", usd.toFixed(12));
  if (tokens !== undefined) metadata.set("x-budget-tokens", String(tokens));
  if (calls !== undefined) metadata.set("x-budget-calls", String(calls));
}

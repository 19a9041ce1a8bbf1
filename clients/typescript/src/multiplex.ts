/**
 * Many calls over one stream, several to a message. It owns the stream and the calls that have no answer yet.
 */
import { BridgeError, ofStatus } from "./errors.js";
import type { MultiplexCall } from "./generated/bridge/v1/MultiplexCall.js";
import type { MultiplexRequest } from "./generated/bridge/v1/MultiplexRequest.js";
import type { MultiplexResponse__Output } from "./generated/bridge/v1/MultiplexResponse.js";
import type { MultiplexResult__Output } from "./generated/bridge/v1/MultiplexResult.js";
import type { Priority } from "./generated/bridge/v1/Priority.js";
import type { Receipt__Output } from "./generated/bridge/v1/Receipt.js";
import type { SessionMode } from "./generated/bridge/v1/SessionMode.js";
import { type CallOptions, checkOptions, timeoutText } from "./options.js";
import { type Arguments, decodeValue, encodeArguments, type Form } from "./payload.js";
import { mergeReceipts, type Receipt, toReceipt } from "./receipt.js";
import type { Duplex, Transport } from "./transport.js";
import { wire } from "./wire.js";

const invoke = wire["bridge.v1.InvokeService"];

/** Options of the stream, which hold for all of its calls; a budget is one for all of them together. */
export type MultiplexOptions = Pick<CallOptions, "metadata" | "session" | "budget" | "waitForReady">;

/** Options of one call on a stream. */
export interface MultiplexCallOptions
  extends Pick<
    CallOptions,
    "timeoutMs" | "signal" | "requestId" | "session" | "sessionMode" | "priority" | "traceparent" | "onReceipt"
  > {
  /** How arguments and result travel. */
  form?: Form;
}

/** Calls that wait are sent as messages of at most so many, or of about so many bytes. */
const FRAME_CALLS = 256;
const FRAME_BYTES = 1024 * 1024;
/** Calls that may be open until the server has said how many may. */
const FIRST_OPEN_CALLS = 256;

interface OpenCall {
  message: MultiplexCall;
  sent: boolean;
  requestId: string;
  onReceipt: ((receipt: Receipt) => void) | undefined;
  resolve: (value: unknown) => void;
  reject: (error: unknown) => void;
  unlink: () => void;
}

/** Makes many calls over one stream: several times as fast as one call at a time, for small calls. */
export class Multiplexed implements AsyncDisposable {
  readonly #transport: Transport;
  readonly #options: MultiplexOptions;
  readonly #calls = new Map<string, OpenCall>();
  #waiting: OpenCall[] = [];
  #cancelled: string[] = [];
  #last = 0;
  #inFlight = 0;
  #limit = FIRST_OPEN_CALLS;
  #scheduled = false;
  #blocked = false;
  #closing = false;
  #ending = false;
  #over: unknown;
  #open: Duplex<MultiplexRequest, MultiplexResponse__Output> | undefined;
  #ended: Promise<void> = Promise.resolve();

  /** Made by `multiplex`; the stream begins with its first call. */
  constructor(transport: Transport, options: MultiplexOptions) {
    this.#transport = transport;
    this.#options = options;
  }

  /**
   * Begin a call; the promise has its result, or rejects with BridgeError. A rejection that nobody looks at is no error
   * of the process: `close` may be waited for first. Throws where the stream is closed or has broken.
   */
  call<Result = unknown>(name: string, args: Arguments = {}, options: MultiplexCallOptions = {}): Promise<Result> {
    if (this.#closing) throw new TypeError("this multiplexed stream is closed; open a new one");
    if (this.#over !== undefined) throw this.#over;
    checkOptions(options);
    const { signal, requestId = "", onReceipt = this.#transport.defaults.onReceipt } = options;
    const promise = new Promise<unknown>((resolve, reject) => {
      if (signal?.aborted) return reject(cancelled(requestId, signal));
      this.#last += 1;
      const id = String(this.#last);
      const message = this.#message(id, name, args, options);
      const abort = () => this.#cancel(id, cancelled(requestId, signal));
      const unlink = () => signal?.removeEventListener("abort", abort);
      signal?.addEventListener("abort", abort, { once: true });
      const call = { message, sent: false, requestId, onReceipt, resolve, reject, unlink };
      this.#calls.set(id, call);
      this.#waiting.push(call);
      this.#schedule();
    });
    promise.catch(() => {});
    return promise as Promise<Result>;
  }

  /** Wait for the answers of all open calls, then end the stream. */
  async close(): Promise<void> {
    this.#closing = true;
    this.#send(); // the stream of calls that have just been begun, so that there is an end to wait for
    await this.#ended;
  }

  /** End the stream at once; its open calls are cancelled, on the server too. */
  async abort(): Promise<void> {
    this.#closing = true;
    this.#send();
    this.#open?.stream.cancel();
    await this.#ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #message(id: string, name: string, args: Arguments, options: MultiplexCallOptions): MultiplexCall {
    const { requestId, session, sessionMode, priority, traceparent } = options;
    const timeout = timeoutText(options.timeoutMs ?? this.#transport.defaults.timeoutMs ?? Number.POSITIVE_INFINITY);
    return {
      id,
      request: { function: name, arguments: encodeArguments(args, options.form) },
      options: {
        ...(timeout === undefined ? {} : { timeoutMs: timeout }),
        ...(requestId === undefined ? {} : { requestId }),
        ...(session === undefined ? {} : { sessionId: session }),
        ...(sessionMode === undefined ? {} : { sessionMode: `SESSION_MODE_${sessionMode.toUpperCase()}` as SessionMode }),
        ...(priority === undefined ? {} : { priority: `PRIORITY_${priority.toUpperCase()}` as Priority }),
        ...(traceparent === undefined ? {} : { traceparent }),
      },
    };
  }

  #cancel(id: string, error: BridgeError): void {
    const call = this.#calls.get(id);
    if (call === undefined) return;
    this.#calls.delete(id);
    if (call.sent) this.#cancelled.push(id);
    else this.#waiting.splice(this.#waiting.indexOf(call), 1);
    call.reject(error);
    this.#schedule();
  }

  /** Calls that are begun together are sent together. */
  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      this.#send();
    });
  }

  #send(): void {
    if (this.#over !== undefined || this.#ending) return;
    while (!this.#blocked) {
      const request = this.#next();
      if (request === undefined) break;
      this.#open ??= this.#begin();
      const { stream } = this.#open;
      if (stream.write(request)) continue;
      this.#blocked = true;
      stream.once("drain", () => {
        this.#blocked = false;
        this.#send();
      });
    }
    this.#endIfDone();
  }

  /** Return the next message; undefined where there is nothing that may be sent now. */
  #next(): MultiplexRequest | undefined {
    const calls: MultiplexCall[] = [];
    let bytes = 0;
    while (calls.length < FRAME_CALLS && bytes < FRAME_BYTES && this.#inFlight < this.#limit) {
      const call = this.#waiting[calls.length];
      if (call === undefined) break;
      call.sent = true;
      this.#inFlight += 1;
      bytes += sizeOf(call.message);
      calls.push(call.message);
    }
    if (calls.length > 0) this.#waiting = this.#waiting.slice(calls.length);
    const cancelledIds = this.#cancelled;
    this.#cancelled = [];
    return calls.length + cancelledIds.length > 0 ? { calls, cancelledIds } : undefined;
  }

  #begin(): Duplex<MultiplexRequest, MultiplexResponse__Output> {
    const open = this.#transport.duplex(invoke.Multiplex, this.#options);
    const { stream, toError } = open;
    this.#ended = new Promise((resolve) => {
      stream.on("error", (error) => this.#end(toError(error)));
      stream.on("status", () => {
        const message = "the server has ended the stream and left calls without an answer";
        this.#end(new BridgeError({ code: "UNAVAILABLE", message }));
        resolve();
      });
    });
    stream.on("data", (response) => this.#read(response));
    return open;
  }

  #read({ results, sharedReceipts, maxOpenCalls }: MultiplexResponse__Output): void {
    if (maxOpenCalls > 0) this.#limit = maxOpenCalls;
    for (const result of results) {
      this.#inFlight -= 1;
      const id = String(result.id);
      const call = this.#calls.get(id);
      if (call === undefined) continue;
      this.#calls.delete(id);
      this.#settle(call, result, sharedReceipts);
    }
    this.#send();
  }

  #settle(call: OpenCall, result: MultiplexResult__Output, shared: readonly Receipt__Output[]): void {
    call.unlink();
    const receipt = () => {
      return result.receipt ? toReceipt(mergeReceipts(shared[result.sharedReceipt - 1], result.receipt)) : undefined;
    };
    if (call.onReceipt !== undefined) {
      const told = receipt();
      if (told) call.onReceipt(told);
    }
    if (result.error !== undefined) {
      const facts = { requestId: call.requestId, receipt: receipt() };
      return call.reject(ofStatus(result.error as Buffer, facts));
    }
    try {
      call.resolve(decodeValue(result.response?.result, this.#transport.largeIntegers));
    } catch (error) {
      call.reject(error);
    }
  }

  /** Nothing comes any more: the calls that are open fail. */
  #end(error: unknown): void {
    this.#over ??= error;
    for (const call of this.#calls.values()) {
      call.unlink();
      call.reject(this.#over);
    }
    this.#calls.clear();
    this.#waiting = [];
  }

  #endIfDone(): void {
    if (!this.#closing || this.#calls.size > 0 || this.#cancelled.length > 0) return;
    this.#ending = true;
    this.#open?.stream.end();
  }
}

function cancelled(requestId: string, signal: AbortSignal | undefined): BridgeError {
  return new BridgeError({ code: "CANCELLED", message: "the call was cancelled", requestId, cause: signal?.reason });
}

/** About how many bytes a call takes: what its arguments take, and some for the rest. */
function sizeOf({ request }: MultiplexCall): number {
  const { msgpack, raw, json, tensors = [], blobs = [] } = request?.arguments ?? {};
  let bytes = 100 + (json?.length ?? 0);
  for (const data of [msgpack, raw, ...tensors.map((one) => one.data), ...blobs.map((one) => one.data)]) {
    bytes += (data as Uint8Array | undefined)?.length ?? 0;
  }
  return bytes;
}

/**
 * One connection and the calls on it: deadlines, metadata, cancelling, receipts. It owns the gRPC channel and knows
 * nothing about what is called.
 */
import { randomUUID } from "node:crypto";
import {
  type ChannelCredentials,
  Client,
  type ClientReadableStream,
  credentials,
  Metadata,
  type ServiceError,
} from "@grpc/grpc-js";
import { type CallFacts, cancelledBeforeSending, toBridgeError, withStackOf } from "./errors.js";
import type { LargeIntegers } from "./json.js";
import { type Receipt, receiptOf } from "./receipt.js";

/** Metadata of a call; names that end in "-bin" carry bytes. */
export type MetadataValues = Readonly<Record<string, string | Uint8Array>>;

/** How to connect. */
export interface ConnectOptions {
  /** Milliseconds that a call may take unless it says otherwise; Infinity for no limit. Default 60,000. */
  timeoutMs?: number;
  /** Metadata of every call, such as {authorization: "Bearer ..."}. */
  metadata?: MetadataValues;
  /** TLS or other credentials of the channel; plain text without. */
  credentials?: ChannelCredentials;
  /** What integers beyond 2^53 in results become: "bigint" (default) or their digits as a "string". */
  largeIntegers?: LargeIntegers;
  /** The largest reply that is taken, in bytes. Default 128 MiB; -1 for no limit. */
  maxReplyBytes?: number;
}

/** What a call, and all that it calls on the server, may spend together. */
export interface Budget {
  /** US dollars for language models. */
  usd?: number;
  /** Tokens of language models, prompts and answers together. */
  tokens?: number;
  /** Calls of functions, this one included. */
  calls?: number;
}

/** Options that every call takes. */
export interface CallOptions {
  /** Milliseconds that the call may take; Infinity for no limit. */
  timeoutMs?: number;
  /** Cancels the call, on the server too. */
  signal?: AbortSignal;
  /** The call's `x-request-id`; one is made where it is absent. */
  requestId?: string;
  /** The call's session, by id. */
  session?: string;
  /** What the call and all that it calls may spend together. */
  budget?: Budget;
  /** Metadata of this call. */
  metadata?: MetadataValues;
  /** Called with the call's receipt when it has ended, also when it failed. */
  onReceipt?: (receipt: Receipt) => void;
}

/** What a call needs to know about its method. */
export interface Method<Request, Reply> {
  path: string;
  requestSerialize: (value: Request) => Buffer;
  responseDeserialize: (bytes: Buffer) => Reply;
}

interface Prepared extends CallFacts {
  metadata: Metadata;
  deadline: Date | number;
  onReceipt: ((receipt: Receipt) => void) | undefined;
}

const DEFAULT_TIMEOUT_MS = 60_000;
const DEFAULT_MAX_REPLY_BYTES = 128 * 1024 * 1024;

/** A channel with the options that its calls start from. */
export class Transport {
  readonly largeIntegers: LargeIntegers;
  readonly #address: string;
  readonly #client: Client;
  readonly #defaults: CallOptions;

  private constructor(address: string, client: Client, defaults: CallOptions, largeIntegers: LargeIntegers) {
    this.#address = address;
    this.#client = client;
    this.#defaults = defaults;
    this.largeIntegers = largeIntegers;
  }

  /** Make a channel; the connection itself is made by the first call. */
  static connect(address: string, options: ConnectOptions): Transport {
    const { timeoutMs = DEFAULT_TIMEOUT_MS, metadata = {}, maxReplyBytes = DEFAULT_MAX_REPLY_BYTES } = options;
    checkTimeout(timeoutMs);
    const client = new Client(address, options.credentials ?? credentials.createInsecure(), {
      "grpc.max_receive_message_length": maxReplyBytes,
      // The default backoff grows to two minutes: too long to notice that a restarted sidecar is back.
      "grpc.initial_reconnect_backoff_ms": 200,
      "grpc.max_reconnect_backoff_ms": 5000,
      "grpc.service_config_disable_resolution": 1,
      ...(isLoopback(address) ? { "grpc.enable_http_proxy": 0 } : {}),
    });
    return new Transport(address, client, { timeoutMs, metadata }, options.largeIntegers ?? "bigint");
  }

  /** Return a transport on the same channel whose calls belong to a session. */
  inSession(id: string): Transport {
    return new Transport(this.#address, this.#client, { ...this.#defaults, session: id }, this.largeIntegers);
  }

  /** Close the channel; calls in flight end with CANCELLED. */
  close(): void {
    this.#client.close();
  }

  /** Make a call with one reply. Rejects with BridgeError. */
  async unary<Request, Reply>(method: Method<Request, Reply>, request: Request, options: CallOptions): Promise<Reply> {
    const call = this.#prepare(options);
    if (call.signal?.aborted) throw cancelledBeforeSending(call);
    const caller = new Error();
    return await new Promise<Reply>((resolve, reject) => {
      let failure: ServiceError | null = null;
      let reply: Reply | undefined;
      const running = this.#client.makeUnaryRequest(
        method.path,
        method.requestSerialize,
        method.responseDeserialize,
        request,
        call.metadata,
        { deadline: call.deadline },
        (error, value) => {
          failure = error;
          reply = value;
        },
      );
      const unlink = link(call.signal, () => running.cancel());
      // The status comes after the callback and, unlike it, carries the trailers of a call that went well.
      running.on("status", ({ metadata }) => {
        unlink();
        reportReceipt(metadata, call);
        if (failure) reject(withStackOf(caller, toBridgeError(failure, call)));
        else resolve(reply as Reply);
      });
    });
  }

  /** Make a call with a stream of replies, which starts when it is first iterated over. */
  stream<Request, Reply, Item>(
    method: Method<Request, Reply>,
    request: Request,
    options: CallOptions,
    toItem: (reply: Reply) => Item,
  ): ResultStream<Item> {
    return new ResultStream((onReceipt) => this.#items(method, request, options, toItem, onReceipt));
  }

  async *#items<Request, Reply, Item>(
    method: Method<Request, Reply>,
    request: Request,
    options: CallOptions,
    toItem: (reply: Reply) => Item,
    onReceipt: (receipt: Receipt) => void,
  ): AsyncGenerator<Item, void, undefined> {
    const call = this.#prepare(options);
    if (call.signal?.aborted) throw cancelledBeforeSending(call);
    const running: ClientReadableStream<Reply> = this.#client.makeServerStreamRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      request,
      call.metadata,
      { deadline: call.deadline },
    );
    const unlink = link(call.signal, () => running.cancel());
    // A stream that is left early still reports its cancel, when nobody listens any more.
    running.on("error", () => {});
    running.on("status", ({ metadata }) => {
      const receipt = reportReceipt(metadata, call);
      if (receipt) onReceipt(receipt);
    });
    try {
      for await (const reply of running) yield toItem(reply as Reply);
    } catch (error) {
      throw isServiceError(error) ? toBridgeError(error, call) : error;
    } finally {
      unlink();
      running.cancel();
    }
  }

  #prepare(options: CallOptions): Prepared {
    const merged = { ...this.#defaults, ...withoutUndefined(options) };
    const timeoutMs = merged.timeoutMs ?? DEFAULT_TIMEOUT_MS;
    checkTimeout(timeoutMs);
    const requestId = merged.requestId ?? randomUUID();
    const metadata = new Metadata();
    for (const [name, value] of Object.entries({ ...this.#defaults.metadata, ...options.metadata })) {
      metadata.set(name, typeof value === "string" ? value : Buffer.from(value));
    }
    metadata.set("x-request-id", requestId);
    if (merged.session !== undefined) metadata.set("x-session-id", merged.session);
    if (merged.budget !== undefined) setBudget(metadata, merged.budget);
    if (timeoutMs !== Number.POSITIVE_INFINITY) metadata.set("x-timeout-ms", String(Math.ceil(timeoutMs)));
    const deadline = Date.now() + timeoutMs;
    const { signal, onReceipt } = merged;
    return { address: this.#address, requestId, timeoutMs, signal, metadata, deadline, onReceipt };
  }
}

/** The results of a stream. It can be iterated over once; leaving the loop early cancels the call. */
export class ResultStream<Item> implements AsyncIterable<Item> {
  #receipt: Receipt | undefined;
  #items: AsyncGenerator<Item, void, undefined> | undefined;

  constructor(open: (onReceipt: (receipt: Receipt) => void) => AsyncGenerator<Item, void, undefined>) {
    this.#items = open((receipt) => {
      this.#receipt = receipt;
    });
  }

  /** What the call cost; undefined until it has ended. */
  get receipt(): Receipt | undefined {
    return this.#receipt;
  }

  [Symbol.asyncIterator](): AsyncGenerator<Item, void, undefined> {
    const items = this.#items;
    if (items === undefined) throw new TypeError("a stream can be iterated over once; make the call again");
    this.#items = undefined;
    return items;
  }
}

function reportReceipt(trailers: Metadata, call: Prepared): Receipt | undefined {
  const receipt = receiptOf(trailers);
  if (receipt) call.onReceipt?.(receipt);
  return receipt;
}

/** Run `cancel` when the signal aborts; return how to stop waiting for it. */
function link(signal: AbortSignal | undefined, cancel: () => void): () => void {
  signal?.addEventListener("abort", cancel, { once: true });
  return () => signal?.removeEventListener("abort", cancel);
}

function checkTimeout(timeoutMs: number): void {
  if (typeof timeoutMs === "number" && timeoutMs > 0) return;
  throw new RangeError(`expected timeoutMs above 0 in milliseconds (or Infinity), got ${String(timeoutMs)}`);
}

function withoutUndefined(options: CallOptions): CallOptions {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}

function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && "code" in error && typeof error.code === "number" && "metadata" in error;
}

/** Whether an address is this machine's own: a proxy from the environment could not reach it. */
function isLoopback(address: string): boolean {
  return /^(localhost|127\.\d+\.\d+\.\d+|\[::1\]|unix:.*)(:\d+)?$/.test(address.replace(/^(dns:\/*|ipv4:)/, ""));
}

function setBudget(metadata: Metadata, budget: Budget): void {
  if (budget.usd !== undefined) metadata.set("x-budget-usd", budget.usd.toFixed(12));
  if (budget.tokens !== undefined) metadata.set("x-budget-tokens", String(budget.tokens));
  if (budget.calls !== undefined) metadata.set("x-budget-calls", String(budget.calls));
}

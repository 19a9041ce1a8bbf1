/**
 * One connection and the calls on it: deadlines, metadata, cancelling, repeating, receipts. It owns the gRPC channel and
 * knows nothing about what is called.
 */
import { randomUUID } from "node:crypto";
import { Client, type ClientDuplexStream, type ClientReadableStream, Metadata, type ServiceError } from "@grpc/grpc-js";
import { channelCredentials, channelOptions, resolveKey } from "./credentials.js";
import { type BridgeError, type CallFacts, cancelledBeforeSending, toBridgeError, withStackOf } from "./errors.js";
import type { LargeIntegers } from "./json.js";
import {
  type CallOptions,
  checkOptions,
  type ConnectOptions,
  DEFAULT_TIMEOUT_MS,
  timeoutText,
  writeMetadata,
} from "./options.js";
import { receiptOf } from "./receipt.js";
import { pause, pauseBefore } from "./retries.js";
import { ResultStream, type StreamCall } from "./stream.js";

/** What a call needs to know about its method. */
export interface Method<Request, Reply> {
  path: string;
  requestSerialize: (value: Request) => Buffer;
  responseDeserialize: (bytes: Buffer) => Reply;
}

/** A stream of messages both ways, and what is known about its call. */
export interface Duplex<Request, Reply> {
  stream: ClientDuplexStream<Request, Reply>;
  /** Turns what the stream emits as an error into the client's. */
  toError: (error: unknown) => unknown;
}

interface Cancellable {
  cancel(): void;
}

interface Prepared extends CallFacts {
  options: CallOptions;
  /** On the clock of `performance.now`. */
  endsAt: number;
}

/** gRPC's own deadline lies this much behind the one that the server holds, so that the server, which knows whether the
 * call waited or worked, answers first and says so. */
const DEADLINE_GRACE_MS = 250;
const DEFAULT_MAX_REPLY_BYTES = 256 * 1024 * 1024;
const DEFAULT_KEEPALIVE_MS = 30_000;

/** A channel with the options that its calls start from. */
export class Transport {
  readonly address: string;
  readonly largeIntegers: LargeIntegers;
  readonly defaults: CallOptions;
  readonly #client: Client;
  /** The calls that run, of all transports on this channel. */
  readonly #running: Set<Cancellable>;

  private constructor(
    address: string,
    client: Client,
    defaults: CallOptions,
    largeIntegers: LargeIntegers,
    running: Set<Cancellable> = new Set(),
  ) {
    this.address = address;
    this.#client = client;
    this.#running = running;
    this.defaults = defaults;
    this.largeIntegers = largeIntegers;
  }

  /** Make a channel; the connection itself is made by the first call. */
  static connect(address: string, options: ConnectOptions): Transport {
    const { timeoutMs = DEFAULT_TIMEOUT_MS, retries = 0 } = options;
    const { maxReplyBytes = DEFAULT_MAX_REPLY_BYTES, maxRequestBytes = -1 } = options;
    const { keepaliveMs = DEFAULT_KEEPALIVE_MS } = options;
    checkOptions({ timeoutMs, retries });
    const metadata: Record<string, string | Uint8Array> = { ...options.metadata };
    if (options.key !== undefined) metadata.authorization = `Bearer ${resolveKey(options.key)}`;
    writeMetadata(new Metadata(), { metadata });
    const client = new Client(address, channelCredentials(options.tls, options.credentials), {
      "grpc.max_receive_message_length": maxReplyBytes,
      "grpc.max_send_message_length": maxRequestBytes,
      "grpc.keepalive_time_ms": keepaliveMs,
      "grpc.keepalive_timeout_ms": 10_000,
      // The default backoff grows to two minutes: too long to notice that a restarted sidecar is back.
      "grpc.initial_reconnect_backoff_ms": 100,
      "grpc.max_reconnect_backoff_ms": 5000,
      "grpc.service_config_disable_resolution": 1,
      ...(isLoopback(address) ? { "grpc.enable_http_proxy": 0 } : {}),
      ...channelOptions(options.tls),
    });
    return new Transport(address, client, { timeoutMs, metadata, retries }, options.largeIntegers ?? "bigint");
  }

  /** Return a transport on the same channel whose calls start from other options as well. */
  with(options: CallOptions): Transport {
    return new Transport(this.address, this.#client, merge(this.defaults, options), this.largeIntegers, this.#running);
  }

  /** Close the channel; calls in flight end with CANCELLED. */
  close(): void {
    for (const call of this.#running) call.cancel();
    this.#client.close();
  }

  /** Make a call with one reply. Rejects with BridgeError. */
  async unary<Request, Reply>(method: Method<Request, Reply>, request: Request, options: CallOptions): Promise<Reply> {
    const call = this.#prepare(options);
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.#attempt(method, request, call);
      } catch (error) {
        const wait = pauseBefore(attempt, error as BridgeError, call.options, call.endsAt - performance.now());
        if (wait === undefined) throw error;
        await pause(wait, call.signal);
      }
    }
  }

  /** Make a call with a stream of replies, which starts when it is first iterated over. A reply has any number of items. */
  stream<Request, Reply, Item>(
    method: Method<Request, Reply>,
    request: Request,
    options: CallOptions,
    toItems: (reply: Reply) => readonly Item[],
  ): ResultStream<Item> {
    return new ResultStream((told) => this.items(method, request, options, toItems, told));
  }

  /** The items of a stream, for whoever makes a stream of his own; `told` gets to know how to end it, and its receipt. */
  async *items<Request, Reply, Item>(
    method: Method<Request, Reply>,
    request: Request,
    options: CallOptions,
    toItems: (reply: Reply) => readonly Item[],
    told: StreamCall,
  ): AsyncGenerator<Item, void, undefined> {
    const call = this.#prepare(options);
    let begun = false;
    for (let attempt = 1; ; attempt += 1) {
      try {
        for await (const reply of this.#replies(method, request, call, told)) {
          begun = true;
          yield* toItems(reply);
        }
        return;
      } catch (error) {
        const remainingMs = call.endsAt - performance.now();
        const wait = begun ? undefined : pauseBefore(attempt, error as BridgeError, call.options, remainingMs);
        if (wait === undefined) throw error;
        await pause(wait, call.signal);
      }
    }
  }

  /** Open a stream both ways. Its end, and its errors, are its owner's. */
  duplex<Request, Reply>(method: Method<Request, Reply>, options: CallOptions): Duplex<Request, Reply> {
    const call = this.#prepare({ ...options, timeoutMs: options.timeoutMs ?? Number.POSITIVE_INFINITY });
    const stream = this.#client.makeBidiStreamRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      this.#metadata(call),
      { deadline: deadlineOf(call) },
    );
    const unlink = this.#follow(stream, call.signal);
    stream.on("close", unlink);
    stream.on("status", unlink);
    return { stream, toError: (error) => (isServiceError(error) ? toBridgeError(error, call) : error) };
  }

  #attempt<Request, Reply>(method: Method<Request, Reply>, request: Request, call: Prepared): Promise<Reply> {
    if (call.signal?.aborted) return Promise.reject(cancelledBeforeSending(call));
    const caller = new Error();
    return new Promise<Reply>((resolve, reject) => {
      let failure: ServiceError | null = null;
      let reply: Reply | undefined;
      const running = this.#client.makeUnaryRequest(
        method.path,
        method.requestSerialize,
        method.responseDeserialize,
        request,
        this.#metadata(call),
        { deadline: deadlineOf(call) },
        (error, value) => {
          failure = error;
          reply = value;
        },
      );
      const unlink = this.#follow(running, call.signal);
      // The status comes after the callback and, unlike it, carries the trailers of a call that went well.
      running.on("status", ({ metadata }) => {
        unlink();
        reportReceipt(metadata, call.options);
        if (failure) reject(withStackOf(caller, toBridgeError(failure, call)));
        else resolve(reply as Reply);
      });
    });
  }

  async *#replies<Request, Reply>(
    method: Method<Request, Reply>,
    request: Request,
    call: Prepared,
    told: StreamCall,
  ): AsyncGenerator<Reply, void, undefined> {
    if (call.signal?.aborted) throw cancelledBeforeSending(call);
    const running: ClientReadableStream<Reply> = this.#client.makeServerStreamRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      request,
      this.#metadata(call),
      { deadline: deadlineOf(call) },
    );
    told.cancel = () => running.cancel();
    const unlink = this.#follow(running, call.signal);
    // A stream that is left early still reports its cancel, when nobody listens any more.
    running.on("error", () => {});
    running.on("status", ({ metadata }) => {
      told.receipt = () => receiptOf(metadata);
      reportReceipt(metadata, call.options);
    });
    try {
      for await (const reply of running) yield reply as Reply;
    } catch (error) {
      throw isServiceError(error) ? toBridgeError(error, call) : error;
    } finally {
      unlink();
      running.cancel();
    }
  }

  /** Let a call end with its signal and with the channel; return how to stop that. */
  #follow(running: Cancellable, signal: AbortSignal | undefined): () => void {
    this.#running.add(running);
    if (signal === undefined) return () => this.#running.delete(running);
    const cancel = () => running.cancel();
    signal.addEventListener("abort", cancel, { once: true });
    return () => {
      this.#running.delete(running);
      signal.removeEventListener("abort", cancel);
    };
  }

  #prepare(given: CallOptions): Prepared {
    const options = merge(this.defaults, given);
    checkOptions(options);
    const timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
    const { requestId = randomUUID(), signal } = options;
    return { address: this.address, requestId, timeoutMs, signal, options, endsAt: performance.now() + timeoutMs };
  }

  /** What goes with an attempt; the time that is left is that of all attempts together. */
  #metadata(call: Prepared): Metadata {
    const metadata = new Metadata(call.options.waitForReady ? { waitForReady: true } : undefined);
    writeMetadata(metadata, call.options);
    metadata.set("x-request-id", call.requestId);
    const timeout = timeoutText(call.endsAt - performance.now());
    if (timeout !== undefined) metadata.set("x-timeout-ms", timeout);
    return metadata;
  }
}

function deadlineOf(call: Prepared): number {
  return Date.now() + call.endsAt - performance.now() + DEADLINE_GRACE_MS;
}

/** Options over defaults; what is undefined leaves the default, metadata is added to what is there. */
function merge(defaults: CallOptions, given: CallOptions): CallOptions {
  const merged: Record<string, unknown> = { ...defaults };
  for (const [name, value] of Object.entries(given)) if (value !== undefined) merged[name] = value;
  if (defaults.metadata !== undefined && given.metadata !== undefined) {
    merged.metadata = { ...defaults.metadata, ...given.metadata };
  }
  return merged;
}

function reportReceipt(trailers: Metadata, { onReceipt }: CallOptions): void {
  if (onReceipt === undefined) return;
  const receipt = receiptOf(trailers);
  if (receipt) onReceipt(receipt);
}

function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && "code" in error && typeof error.code === "number" && "metadata" in error;
}

/** Whether an address is this machine's own: a proxy from the environment could not reach it. */
function isLoopback(address: string): boolean {
  return /^(localhost|127\.\d+\.\d+\.\d+|\[::1\]|unix:.*)(:\d+)?$/.test(address.replace(/^(dns:\/*|ipv4:)/, ""));
}

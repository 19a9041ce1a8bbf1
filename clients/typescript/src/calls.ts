/**
 * The calls that can be made with or without a session: functions, programs, models, embeddings, metrics.
 */
import { Embeddings } from "./embeddings.js";
import { type Explanation, toExplanation } from "./explaining.js";
import { Hosting, type HostOptions, type ToolHost } from "./hosting.js";
import type { HostedTool } from "./hosted-tools.js";
import { Metrics } from "./metrics.js";
import { Models } from "./models.js";
import { Multiplexed, type MultiplexOptions } from "./multiplex.js";
import { type CallOptions, checkChunkBytes, type ValueOptions } from "./options.js";
import { Parts } from "./parts.js";
import { type Arguments, badReply, decodeValue, encodeArguments } from "./payload.js";
import { Programs } from "./programs.js";
import type { Receipt } from "./receipt.js";
import { ResultStream } from "./stream.js";
import type { Transport } from "./transport.js";
import { wire } from "./wire.js";

const invoke = wire["bridge.v1.InvokeService"];

/** A result and what it cost. */
export interface WithReceipt<Result> {
  result: Result;
  /** Undefined only where the server sent none. */
  receipt: Receipt | undefined;
}

/** What a bridge and a session have in common. */
export class Calls {
  /** The DSPy programs of the app. */
  readonly programs: Programs;
  /** The language models of the server's configuration. */
  readonly models: Models;
  /** Embeddings of texts. */
  readonly embeddings: Embeddings;
  /** Evaluation metrics. */
  readonly metrics: Metrics;
  protected readonly transport: Transport;

  /** Made by `connect` and `bridge.session`. */
  protected constructor(transport: Transport) {
    this.transport = transport;
    this.programs = new Programs(transport);
    this.models = new Models(transport);
    this.embeddings = new Embeddings(transport);
    this.metrics = new Metrics(transport);
  }

  /** Call a function and return its result. Rejects with BridgeError; TypeError for arguments that can not be sent. */
  async call<Result = unknown>(name: string, args: Arguments = {}, options: ValueOptions = {}): Promise<Result> {
    if (options.chunkBytes !== undefined) return await this.#whole<Result>(name, args, options);
    const request = { function: name, arguments: encodeArguments(args, options.form) };
    const { result } = await this.transport.unary(invoke.Call, request, options);
    return decodeValue(result, this.transport.largeIntegers) as Result;
  }

  /** Call a function and return its result with the call's receipt. */
  async callWithReceipt<Result = unknown>(
    name: string,
    args: Arguments = {},
    options: ValueOptions = {},
  ): Promise<WithReceipt<Result>> {
    let receipt: Receipt | undefined;
    const onReceipt = (told: Receipt) => {
      receipt = told;
      options.onReceipt?.(told);
    };
    const result = await this.call<Result>(name, args, { ...options, onReceipt });
    return { result, receipt };
  }

  /** Call a function that streams. A function that does not gives one item. */
  stream<Item = unknown>(name: string, args: Arguments = {}, options: ValueOptions = {}): ResultStream<Item> {
    const { chunkBytes, form } = options;
    checkChunkBytes(chunkBytes);
    const request = { function: name, arguments: encodeArguments(args, form), aggregate: true, chunkBytes: chunkBytes ?? 0 };
    const parts = new Parts(this.transport.largeIntegers);
    return this.transport.stream(invoke.StreamCall, request, options, (reply) => parts.read(reply) as Item[]);
  }

  /** Open one stream for many small calls: many times as fast as calls by themselves. */
  multiplex(options: MultiplexOptions = {}): Multiplexed {
    return new Multiplexed(this.transport, options);
  }

  /** Return where such a call would go and why, with every alternative and the figures behind it. Nothing runs. */
  async explain(name: string, args: Arguments = {}, options: CallOptions = {}): Promise<Explanation> {
    const call = { function: name, arguments: encodeArguments(args) };
    const requestBytes = wire["bridge.v1.CallRequest"].serialize(call).length;
    return toExplanation(await this.transport.unary(invoke.Explain, { function: name, requestBytes }, options));
  }

  /**
   * Let agents on the server call functions of this process, until the host is closed. A run names them:
   * `programs.run("agent", inputs, { tools: [host] })`. Resolves once the server has acknowledged them.
   */
  async hostTools(tools: readonly HostedTool[], options: HostOptions = {}): Promise<ToolHost> {
    return await Hosting.begin(this.transport, tools, options);
  }

  /** A result that comes in parts is that of a stream with one item. */
  async #whole<Result>(name: string, args: Arguments, options: ValueOptions): Promise<Result> {
    const items: Result[] = [];
    for await (const item of this.stream<Result>(name, args, options)) items.push(item);
    if (items.length === 1) return items[0] as Result;
    throw badReply(`expected one result, got ${items.length}; use stream() for a function whose results come one by one`);
  }
}

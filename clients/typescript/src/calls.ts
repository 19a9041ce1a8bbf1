/**
 * The calls that can be made with or without a session: functions, programs, models, embeddings, metrics.
 */
import { Embeddings } from "./embeddings.js";
import { Metrics } from "./metrics.js";
import { Models } from "./models.js";
import { type Arguments, decodeValue, encodeArguments } from "./payload.js";
import { Programs } from "./programs.js";
import type { Receipt } from "./receipt.js";
import type { CallOptions, ResultStream, Transport } from "./transport.js";
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
  async call<Result = unknown>(name: string, args: Arguments = {}, options: CallOptions = {}): Promise<Result> {
    const request = { function: name, arguments: encodeArguments(args) };
    const { result } = await this.transport.unary(invoke.Call, request, options);
    return decodeValue(result, this.transport.largeIntegers) as Result;
  }

  /** Call a function and return its result with the call's receipt. */
  async callWithReceipt<Result = unknown>(
    name: string,
    args: Arguments = {},
    options: CallOptions = {},
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
  stream<Item = unknown>(name: string, args: Arguments = {}, options: CallOptions = {}): ResultStream<Item> {
    const request = { function: name, arguments: encodeArguments(args) };
    const { largeIntegers } = this.transport;
    const toItem = (reply: { item: Parameters<typeof decodeValue>[0] }) => decodeValue(reply.item, largeIntegers) as Item;
    return this.transport.stream(invoke.StreamCall, request, options, toItem);
  }
}

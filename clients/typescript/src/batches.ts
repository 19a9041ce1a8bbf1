/**
 * Many prompts in one call: each is answered, or fails, by itself.
 */
import {
  type Extraction,
  type ExtractOptions,
  type GenerateOptions,
  type Generation,
  toExtraction,
  toGeneration,
} from "./answers.js";
import { type Conversation, modelFields, toMessages, type ToolSettings, toolFields, toText } from "./conversation.js";
import { type BridgeError, ofFailure } from "./errors.js";
import type { BatchAnswer__Output } from "./generated/bridge/v1/BatchAnswer.js";
import type { Failure__Output } from "./generated/bridge/v1/Failure.js";
import type { StreamGenerateBatchResponse__Output } from "./generated/bridge/v1/StreamGenerateBatchResponse.js";
import { badReply } from "./payload.js";
import { type ModelUsage, toUsage } from "./receipt.js";
import type { ResultStream } from "./stream.js";
import type { Transport } from "./transport.js";
import { wire } from "./wire.js";

const service = wire["bridge.v1.ModelService"];

/** How many prompts may be under way at the same time, 1 to 64; absent for 8. */
export interface Concurrency {
  maxConcurrency?: number;
}

/** What became of one prompt: an answer or an error. `index` is its place among the prompts, from 0. */
export type BatchAnswer<Answer> =
  | { index: number; answer: Answer; error?: undefined }
  | { index: number; answer?: undefined; error: BridgeError };

/** The answers to many prompts, in their order, and what all of them used, failures included. */
export interface Batch<Answer> {
  answers: BatchAnswer<Answer>[];
  usage: ModelUsage[];
  /** How many prompts have failed. */
  failed: number;
}

/** One event of a batch whose answers come as they are ready; "final" is always the last. */
export type BatchEvent<Answer> =
  | ({ type: "answer" } & BatchAnswer<Answer>)
  | { type: "final"; answered: number; failed: number; usage: ModelUsage[] };

/** Asks a model many things at once. */
export class Batches {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Return a model's answers to many prompts, in their order. One that fails does not fail the others. */
  async generateBatch(
    prompts: readonly Conversation[],
    options: GenerateOptions & Concurrency = {},
  ): Promise<Batch<Generation>> {
    const request = batchRequest(prompts, options, options);
    const reply = await this.#transport.unary(service.GenerateBatch, request, options);
    return { answers: reply.answers.map(toAnswer), usage: reply.usage.map(toUsage), failed: reply.failed };
  }

  /** Send a model's answers to many prompts as they are ready, in any order, then a summary. */
  streamGenerateBatch(
    prompts: readonly Conversation[],
    options: GenerateOptions & Concurrency = {},
  ): ResultStream<BatchEvent<Generation>> {
    const request = batchRequest(prompts, options, options);
    return this.#transport.stream(service.StreamGenerateBatch, request, options, toEvents);
  }

  /** Return an answer that fits one JSON Schema for each of many prompts. One that fails does not fail the others. */
  async extractBatch<Value = unknown>(
    prompts: readonly Conversation[],
    schema: object,
    options: ExtractOptions & Concurrency = {},
  ): Promise<Batch<Extraction<Value>>> {
    const { maxRetries } = options;
    const retries = maxRetries === undefined ? {} : { maxRetries };
    const request = { ...batchRequest(prompts, options, {}), schema: toText(schema), ...retries };
    const reply = await this.#transport.unary(service.ExtractBatch, request, options);
    const { largeIntegers } = this.#transport;
    const answers = reply.answers.map(({ index, answer, failure }) => {
      return settle(index, answer && toExtraction<Value>(answer, largeIntegers), failure);
    });
    return { answers, usage: reply.usage.map(toUsage), failed: reply.failed };
  }
}

function batchRequest(prompts: readonly Conversation[], options: GenerateOptions & Concurrency, tools: ToolSettings) {
  if (!Array.isArray(prompts)) throw new TypeError(`expected prompts to be a list, got ${typeof prompts}`);
  const fields = toolFields(tools);
  return {
    ...modelFields(options),
    prompts: prompts.map((prompt: Conversation) => ({ messages: toMessages(prompt), ...fields })),
    maxConcurrency: options.maxConcurrency ?? 0,
  };
}

function toEvents({ answer, final }: StreamGenerateBatchResponse__Output): BatchEvent<Generation>[] {
  if (answer) return [{ type: "answer", ...toAnswer(answer) }];
  if (!final) return [];
  const { answered, failed, usage } = final;
  return [{ type: "final", answered, failed, usage: usage.map(toUsage) }];
}

function toAnswer({ index, answer, failure }: BatchAnswer__Output): BatchAnswer<Generation> {
  return settle(index, answer && toGeneration(answer), failure);
}

function settle<Answer>(
  index: number,
  answer: Answer | null | undefined,
  failure: Failure__Output | null | undefined,
): BatchAnswer<Answer> {
  if (failure) return { index, error: ofFailure(failure) };
  if (answer) return { index, answer };
  return { index, error: badReply("expected an answer or a failure, got neither; a newer server?") };
}

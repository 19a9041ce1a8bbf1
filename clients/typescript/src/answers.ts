/**
 * What models answer, whole and in parts, and how it is read. Pure.
 */
import type { GenerationSettings, ToolCall, ToolSettings } from "./conversation.js";
import type { ExtractResponse__Output } from "./generated/bridge/v1/ExtractResponse.js";
import type { GenerateResponse__Output } from "./generated/bridge/v1/GenerateResponse.js";
import type { StreamExtractResponse__Output } from "./generated/bridge/v1/StreamExtractResponse.js";
import type { StreamGenerateResponse__Output } from "./generated/bridge/v1/StreamGenerateResponse.js";
import { type LargeIntegers, parseJson } from "./json.js";
import { type ModelUsage, toUsage } from "./receipt.js";
import { enumName } from "./wire.js";

/** Options of a generation; those that are absent are the model's own defaults. */
export interface GenerateOptions extends GenerationSettings, ToolSettings {}

/** Options of an extraction. */
export interface ExtractOptions extends GenerationSettings {
  /** How often to ask again when an answer does not fit (0 to 10). Default 2. */
  maxRetries?: number;
}

/** A model's answer. */
export interface Generation {
  /** The text; empty where the model asks for tools. */
  text: string;
  /** "stop", "length", "tool_calls", "content_filter" or "unspecified". */
  finishReason: string;
  /** The model that answered, as the provider knows it. */
  model: string;
  usage: ModelUsage | undefined;
  toolCalls: ToolCall[];
}

/** One event of a streamed answer; "final" is always the last. Parts of a tool call with one index join to one call. */
export type GenerationEvent =
  | { type: "text"; text: string }
  | { type: "tool_call_delta"; index: number; id: string; name: string; arguments: string }
  | ({ type: "final" } & Generation);

/** An answer that fits a schema. */
export interface Extraction<Value> {
  value: Value;
  model: string;
  /** What all attempts used. */
  usage: ModelUsage | undefined;
  /** How many times the model was asked. */
  attempts: number;
}

/**
 * One event of an answer that is still written; "final" is always the last. `attempt` counts from 1: a new attempt begins
 * anew, because what earlier ones have sent did not fit.
 */
export type ExtractionEvent<Value = unknown, Item = unknown> =
  | { type: "partial"; number: number; attempt: number; value: unknown }
  | { type: "item"; number: number; attempt: number; index: number; value: Item }
  | ({ type: "final" } & Extraction<Value>);

/** Return an answer from the wire. */
export function toGeneration(reply: GenerateResponse__Output): Generation {
  return {
    text: reply.text,
    finishReason: enumName(reply.finishReason, "FINISH_REASON_"),
    model: reply.model,
    usage: reply.usage ? toUsage(reply.usage) : undefined,
    toolCalls: reply.toolCalls.map(({ id, name, arguments: text }) => ({ id, name, arguments: text })),
  };
}

/** Return an answer that fits its schema from the wire. */
export function toExtraction<Value>(reply: ExtractResponse__Output, largeIntegers: LargeIntegers): Extraction<Value> {
  return {
    value: parseJson(reply.json, largeIntegers) as Value,
    model: reply.model,
    usage: reply.usage ? toUsage(reply.usage) : undefined,
    attempts: reply.attempts,
  };
}

/** Return an event of a streamed answer from the wire; none for a kind that a newer server has added. */
export function toGenerationEvents({ final, textDelta, toolCallDelta }: StreamGenerateResponse__Output): GenerationEvent[] {
  if (final) return [{ type: "final", ...toGeneration(final) }];
  if (textDelta !== undefined) return [{ type: "text", text: textDelta }];
  if (!toolCallDelta) return [];
  const { index, id, name, argumentsDelta } = toolCallDelta;
  return [{ type: "tool_call_delta", index, id, name, arguments: argumentsDelta }];
}

/** Return an event of an answer that is still written from the wire. */
export function toExtractionEvents<Value, Item>(
  { partial, item, final }: StreamExtractResponse__Output,
  largeIntegers: LargeIntegers,
): ExtractionEvent<Value, Item>[] {
  if (final) return [{ type: "final", ...toExtraction<Value>(final, largeIntegers) }];
  if (partial) {
    const { number, attempt, json } = partial;
    return [{ type: "partial", number, attempt, value: parseJson(json, largeIntegers) }];
  }
  if (!item) return [];
  const { number, attempt, index, json } = item;
  return [{ type: "item", number, attempt, index, value: parseJson(json, largeIntegers) as Item }];
}

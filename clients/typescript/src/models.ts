/**
 * ModelService: the language models that the server's configuration names.
 */
import type { GenerateResponse__Output } from "./generated/bridge/v1/GenerateResponse.js";
import type { Role } from "./generated/bridge/v1/Role.js";
import type { StreamGenerateResponse__Output } from "./generated/bridge/v1/StreamGenerateResponse.js";
import { parseJson, writeJson } from "./json.js";
import { type ModelUsage, toUsage } from "./receipt.js";
import type { CallOptions, ResultStream, Transport } from "./transport.js";
import { enumName, wire } from "./wire.js";

const service = wire["bridge.v1.ModelService"];

/** A model's wish that a tool be called; the caller calls it. */
export interface ToolCall {
  id: string;
  name: string;
  /** JSON text. The model wrote it: it may not fit the tool's schema, or not be JSON at all. */
  arguments: string;
}

/** One turn of a conversation. */
export interface Message {
  role: "system" | "user" | "assistant" | "tool";
  content: string;
  /** The calls that the model asked for, on a turn of the assistant. */
  toolCalls?: readonly ToolCall[];
  /** The call that this answers, on a turn of a tool. */
  toolCallId?: string;
}

/** A function that the model may ask for. */
export interface Tool {
  name: string;
  description?: string;
  /** JSON Schema of its arguments. */
  parameters: object;
}

/** Options of a generation; those that are absent are the model's own defaults. */
export interface GenerateOptions extends CallOptions {
  /** The model, by its name in the server's configuration; else "default". */
  model?: string;
  temperature?: number;
  topP?: number;
  maxTokens?: number;
  stop?: readonly string[];
  seed?: number | bigint;
  tools?: readonly Tool[];
}

/** Options of an extraction. */
export interface ExtractOptions extends Omit<GenerateOptions, "tools"> {
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

/** One event of a streamed answer; "final" is always the last. */
export type GenerationEvent = { type: "text"; text: string } | ({ type: "final" } & Generation);

/** An answer that fits a schema. */
export interface Extraction<Value> {
  value: Value;
  model: string;
  /** What all attempts used. */
  usage: ModelUsage | undefined;
  /** How many times the model was asked. */
  attempts: number;
}

/** Calls language models. A conversation is a list of messages; a string stands for one message of the user. */
export class Models {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Return a model's whole answer. */
  async generate(conversation: string | readonly Message[], options: GenerateOptions = {}): Promise<Generation> {
    const reply = await this.#transport.unary(service.Generate, generateRequest(conversation, options), options);
    return toGeneration(reply);
  }

  /** Send a model's answer as it is written. */
  stream(conversation: string | readonly Message[], options: GenerateOptions = {}): ResultStream<GenerationEvent> {
    const request = generateRequest(conversation, options);
    return this.#transport.stream(service.StreamGenerate, request, options, toEvent);
  }

  /** Return an answer that fits a JSON Schema, whose top level is an object. */
  async extract<Value = unknown>(
    conversation: string | readonly Message[],
    schema: object,
    options: ExtractOptions = {},
  ): Promise<Extraction<Value>> {
    const request = {
      ...conversationRequest(conversation, options),
      schema: toText(schema),
      ...(options.maxRetries === undefined ? {} : { maxRetries: options.maxRetries }),
    };
    const reply = await this.#transport.unary(service.Extract, request, options);
    return {
      value: parseJson(reply.json, this.#transport.largeIntegers) as Value,
      model: reply.model,
      usage: reply.usage ? toUsage(reply.usage) : undefined,
      attempts: reply.attempts,
    };
  }
}

function generateRequest(conversation: string | readonly Message[], options: GenerateOptions) {
  const tools = (options.tools ?? []).map(({ name, description = "", parameters }) => {
    return { name, description, parametersSchema: toText(parameters) };
  });
  return { ...conversationRequest(conversation, options), tools };
}

function conversationRequest(conversation: string | readonly Message[], options: Omit<GenerateOptions, "tools">) {
  const messages = typeof conversation === "string" ? [{ role: "user", content: conversation } as const] : conversation;
  const { temperature, topP, maxTokens, seed } = options;
  return {
    model: options.model ?? "",
    messages: messages.map(toMessage),
    options: {
      stop: [...(options.stop ?? [])],
      ...(temperature === undefined ? {} : { temperature }),
      ...(topP === undefined ? {} : { topP }),
      ...(maxTokens === undefined ? {} : { maxTokens }),
      ...(seed === undefined ? {} : { seed: seed.toString() }),
    },
  };
}

function toMessage({ role, content, toolCalls = [], toolCallId = "" }: Message) {
  return { role: `ROLE_${role.toUpperCase()}` as Role, content, toolCalls: [...toolCalls], toolCallId };
}

function toGeneration(reply: GenerateResponse__Output): Generation {
  return {
    text: reply.text,
    finishReason: enumName(reply.finishReason, "FINISH_REASON_"),
    model: reply.model,
    usage: reply.usage ? toUsage(reply.usage) : undefined,
    toolCalls: reply.toolCalls.map(({ id, name, arguments: text }) => ({ id, name, arguments: text })),
  };
}

function toEvent(reply: StreamGenerateResponse__Output): GenerationEvent {
  if (reply.final) return { type: "final", ...toGeneration(reply.final) };
  return { type: "text", text: reply.textDelta ?? "" };
}

function toText(schema: object): string {
  return writeJson(schema, () => undefined);
}

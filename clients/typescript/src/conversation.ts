/**
 * What a caller may write as a conversation, as tools and as options, and the bridge's messages for it. Pure.
 */
import type { ContentPart } from "./generated/bridge/v1/ContentPart.js";
import type { ImageDetail } from "./generated/bridge/v1/ImageDetail.js";
import type { Role } from "./generated/bridge/v1/Role.js";
import type { ToolMode } from "./generated/bridge/v1/ToolMode.js";
import { writeJson } from "./json.js";
import type { CallOptions } from "./options.js";

/** A model's wish that a tool be called; the caller calls it. */
export interface ToolCall {
  id: string;
  name: string;
  /** JSON text. The model wrote it: it may not fit the tool's schema, or not be JSON at all. */
  arguments: string;
}

/** An image that a model is shown: an address, which the provider gets as it is, or bytes. */
export interface Image {
  url?: string;
  data?: Uint8Array;
  /** Such as "image/png"; absent to leave it to the bytes. */
  mediaType?: string;
  /** How closely the model is to look; "high" only with bytes. Default "auto". */
  detail?: "auto" | "low" | "high";
}

/** One turn of a conversation. */
export interface Message {
  role: "system" | "user" | "assistant" | "tool";
  /** A text, or texts and images in their order. */
  content: string | readonly (string | Image)[];
  /** The calls that the model asked for, on a turn of the assistant. */
  toolCalls?: readonly ToolCall[];
  /** The call that this answers, on a turn of a tool. */
  toolCallId?: string;
}

/** A text, which is one turn of the user, or turns, the oldest first. */
export type Conversation = string | readonly Message[];

/** A function that the model may ask for. */
export interface Tool {
  name: string;
  description?: string;
  /** JSON Schema of its arguments. */
  parameters: object;
}

/** How a model is to generate; what is absent is the model's own default. */
export interface GenerationSettings extends CallOptions {
  /** The model, by its name in the server's configuration; else "default". */
  model?: string;
  temperature?: number;
  topP?: number;
  maxTokens?: number;
  stop?: string | readonly string[];
  seed?: number | bigint;
  /** Whether an answer that the server has kept will do, and this one may be kept. Default true. */
  cache?: boolean;
}

/** Which tools a model may ask for, and whether it must. */
export interface ToolSettings {
  tools?: readonly Tool[];
  /** "auto", "none", "required", or the tool that must be called. */
  toolChoice?: "auto" | "none" | "required" | { name: string };
  /** Whether the model may ask for several calls at once. */
  parallelToolCalls?: boolean;
}

/** The fields that all requests to a model have. */
export function modelFields({ model = "", cache, ...settings }: GenerationSettings) {
  return { model, options: toOptions(settings), ...(cache === undefined ? {} : { cache }) };
}

/** The turns of a conversation. Throws TypeError where it is neither a text nor a list. */
export function toMessages(conversation: Conversation) {
  if (typeof conversation === "string") return [toMessage({ role: "user", content: conversation })];
  if (Array.isArray(conversation)) return conversation.map(toMessage);
  throw new TypeError(`expected a text or a list of messages, got ${typeof conversation}`);
}

/** The fields of a request that has tools. */
export function toolFields({ tools = [], toolChoice, parallelToolCalls }: ToolSettings) {
  return {
    tools: tools.map(({ name, description = "", parameters }) => {
      return { name, description, parametersSchema: toText(parameters) };
    }),
    ...(toolChoice === undefined ? {} : { toolChoice: toChoice(toolChoice) }),
    ...(parallelToolCalls === undefined ? {} : { parallelToolCalls }),
  };
}

/** A JSON Schema as text. */
export function toText(schema: object): string {
  return writeJson(schema, () => undefined);
}

function toChoice(choice: NonNullable<ToolSettings["toolChoice"]>) {
  if (typeof choice === "object") return { name: choice.name };
  return { mode: `TOOL_MODE_${choice.toUpperCase()}` as ToolMode };
}

function toOptions({ temperature, topP, maxTokens, stop = [], seed }: GenerationSettings) {
  return {
    stop: typeof stop === "string" ? [stop] : [...stop],
    ...(temperature === undefined ? {} : { temperature }),
    ...(topP === undefined ? {} : { topP }),
    ...(maxTokens === undefined ? {} : { maxTokens }),
    ...(seed === undefined ? {} : { seed: seed.toString() }),
  };
}

function toMessage({ role, content, toolCalls = [], toolCallId = "" }: Message) {
  const text = typeof content === "string" ? content : "";
  const parts = typeof content === "string" ? [] : content.map(toPart);
  return { role: `ROLE_${role.toUpperCase()}` as Role, content: text, toolCalls: [...toolCalls], toolCallId, parts };
}

function toPart(part: string | Image): ContentPart {
  if (typeof part === "string") return { text: part };
  const { url, data, mediaType = "", detail = "auto" } = part;
  if ((url === undefined) === (data === undefined)) throw new TypeError("expected an image with either a url or data");
  const level = detail === "auto" ? "UNSPECIFIED" : detail.toUpperCase();
  const source = data === undefined ? { url: url as string } : { data };
  return { image: { ...source, mediaType, detail: `IMAGE_DETAIL_${level}` as ImageDetail } };
}

/**
 * Functions of this process as tools of agents on the server: how they are declared and what they are given. Pure.
 */
import type { HostedTool as WireTool } from "./generated/bridge/v1/HostedTool.js";
import { writeJson } from "./json.js";

/** The values that fit a JSON Schema, as far as TypeScript can say; `unknown` for what it can not. */
export type FromSchema<Schema> = Schema extends { const: infer Value }
  ? Value
  : Schema extends { enum: readonly (infer Value)[] }
    ? Value
    : Schema extends { type: "string" }
      ? string
      : Schema extends { type: "number" | "integer" }
        ? number
        : Schema extends { type: "boolean" }
          ? boolean
          : Schema extends { type: "null" }
            ? null
            : Schema extends { type: "array"; items: infer Items }
              ? FromSchema<Items>[]
              : Schema extends { type: "object"; properties: infer Properties }
                ? Fields<Properties, Schema extends { required: readonly (infer Name)[] } ? Name : never>
                : Schema extends { type: "object" }
                  ? Record<string, unknown>
                  : unknown;

type Fields<Properties, Required> = {
  [Name in keyof Properties as Name extends Required ? Name : never]: FromSchema<Properties[Name]>;
} & { [Name in keyof Properties as Name extends Required ? never : Name]?: FromSchema<Properties[Name]> };

/** A call of a tool that runs here. */
export interface ToolContext {
  /** The call's number in its registration. */
  id: number;
  tool: string;
  /** Aborts when nobody waits for the call any more; its reason is a ToolCancelled. */
  signal: AbortSignal;
  /** When the call will be given up. */
  deadline: Date;
  /** How long it may still take, in milliseconds; never less than 0. */
  remainingMs(): number;
  /** The W3C trace context of the run; empty where it has none. */
  traceparent: string;
  /** The request id of the run. */
  requestId: string;
  /** The session of the run; empty where it has none. */
  sessionId: string;
  /** Whether it was sent before, over a stream that has broken: only idempotent tools see this. */
  resent: boolean;
}

/** A function for an agent on the server to call. */
export interface HostedTool<Args extends object = Record<string, unknown>> {
  /** Its name, as the model writes it: letters, digits, '_' and '-', at most 64. */
  name: string;
  /** What it does and when to use it, for the model. */
  description?: string;
  /** JSON Schema of its arguments, an object; absent for a tool without arguments. */
  parameters?: object;
  /** Whether a failure is told to the model ("observe", the default) or ends the run ("abort"). */
  onError?: "observe" | "abort";
  /** How long a call may take, its wait for its turn included; absent for as long as the run may. */
  timeoutMs?: number;
  /** Calls that may run at a time; more wait. Absent for as many as come. */
  maxConcurrent?: number;
  /** Whether a call may run twice: it is sent again where the stream that it went over has broken. */
  idempotent?: boolean;
  /** The function. What it returns, or its promise gives, goes to the model: a text as it is, all else as JSON. */
  run(args: Args, call: ToolContext): unknown;
}

/** A tool whose arguments have the type that its JSON Schema says. */
export interface TypedTool<Schema> extends Omit<HostedTool, "parameters" | "run"> {
  parameters: Schema;
  run(args: FromSchema<Schema>, call: ToolContext): unknown;
}

/** Declare a tool with arguments of the type that its JSON Schema says. */
export function defineTool<const Schema extends object>(tool: TypedTool<Schema>): HostedTool {
  return tool as unknown as HostedTool;
}

/** Why a tool's signal has aborted: "TOOL_TIMEOUT", "CALLER_ENDED", "HOST_CLOSED" or "REGISTRATION_LOST". */
export class ToolCancelled extends Error {
  readonly reason: string;

  constructor(reason: string) {
    super(reason);
    this.name = "ToolCancelled";
    this.reason = reason;
  }
}

/** Return a tool as the server is told of it. */
export function toWireTool(tool: HostedTool): WireTool {
  return {
    name: tool.name,
    description: tool.description ?? "",
    argumentsSchema: tool.parameters === undefined ? "" : writeJson(tool.parameters, () => undefined),
    onError: tool.onError === "abort" ? "TOOL_ERROR_POLICY_ABORT" : "TOOL_ERROR_POLICY_OBSERVE",
    timeoutMs: tool.timeoutMs === undefined ? 0 : Math.max(1, Math.round(tool.timeoutMs)),
    maxConcurrent: tool.maxConcurrent ?? 0,
    idempotent: tool.idempotent ?? false,
  };
}

/** Return the JSON text of what a tool has returned; bytes are base64. Throws TypeError for what can not be sent. */
export function resultText(value: unknown): string {
  return writeJson(value, (object, path) => {
    if (object instanceof Uint8Array) return JSON.stringify(Buffer.from(object).toString("base64"));
    if (ArrayBuffer.isView(object)) throw new TypeError(`${path || "the result"} is a typed array; return a list`);
    return undefined;
  });
}

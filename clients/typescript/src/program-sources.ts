/**
 * What a created program is made from, and what is known of its versions.
 */
import type { ModuleKind as WireKind } from "./generated/bridge/v1/ModuleKind.js";
import type { ModuleOptions as WireOptions } from "./generated/bridge/v1/ModuleOptions.js";
import type { ProgramField as WireField } from "./generated/bridge/v1/ProgramField.js";
import type { ProgramSource as WireSource } from "./generated/bridge/v1/ProgramSource.js";
import type { PromptAdapter } from "./generated/bridge/v1/PromptAdapter.js";
import { writeJson } from "./json.js";

/** How a program goes about its work. */
export type ModuleKind =
  | "predict"
  | "chain_of_thought"
  | "react"
  | "program_of_thought"
  | "code_act"
  | "best_of_n"
  | "refine"
  | "multi_chain_comparison"
  | "parallel"
  | "knn_few_shot"
  | "rlm";

/** How a signature becomes a prompt. */
export type Adapter = "chat" | "json" | "xml" | "two_step";

/** One input or output, where a signature's text does not say enough. */
export interface ProgramField {
  name: string;
  /** Its type in the notation of signatures, such as "list[str] | None"; else text. */
  type?: string;
  /** Its type as JSON Schema, in place of `type`. */
  schema?: object;
  description?: string;
  /** Of an input: what stands in where it is missing. */
  default?: unknown;
  ge?: number;
  gt?: number;
  le?: number;
  lt?: number;
  multipleOf?: number;
  minLength?: number;
  maxLength?: number;
  pattern?: string;
}

/** What only some kinds of module know. */
export interface ModuleOptions {
  maxIters?: number;
  /** What "best_of_n", "refine" and "parallel" run. */
  inner?: ModuleKind;
  n?: number;
  /** A function that takes `inputs` and `outputs` and returns a number. */
  reward?: string;
  threshold?: number;
  k?: number;
  embedding?: string;
  maxLlmCalls?: number;
  numThreads?: number;
}

/** What a program is made from: a signature such as "question -> answer: float", or its fields, and the rest by name. */
export interface ProgramSource {
  signature?: string;
  inputs?: readonly ProgramField[];
  outputs?: readonly ProgramField[];
  /** Types of your own by the name that fields use, as JSON Schema. */
  types?: Readonly<Record<string, object>>;
  instructions?: string;
  /** Default "predict". */
  module?: ModuleKind;
  options?: ModuleOptions;
  /** Functions that the program may call, by name. */
  tools?: readonly string[];
  /** Worked examples, each with values of inputs and outputs. */
  demos?: readonly object[];
  model?: string;
  adapter?: Adapter;
  temperature?: number;
  maxTokens?: number;
  doc?: string;
}

/** A version of a created program. */
export interface ProgramVersion {
  version: number;
  signature: string;
}

/** The versions of a created program, the oldest first, and the one that serves. */
export interface ProgramVersions {
  versions: ProgramVersion[];
  serving: number;
}

/** One difference between two versions of a program. */
export interface ProgramChange {
  /** Empty for the whole. */
  field: string;
  description: string;
  /** Whether callers of the old version may fail on the new one. */
  breaking: boolean;
}

/** What a signature means, or what is wrong with it. */
export interface SignatureCheck {
  /** With every type written out; empty where something is wrong. */
  signature: string;
  inputsSchema: unknown;
  outputsSchema: unknown;
  /** What is wrong; empty where nothing is. */
  error: string;
  /** Where, in characters from 1; 0 where it has no place. */
  column: number;
  length: number;
}

/** Return the wire's name of an adapter. */
export function toAdapter(adapter: Adapter): PromptAdapter {
  return `PROMPT_ADAPTER_${adapter.toUpperCase()}` as PromptAdapter;
}

/** Return a source as the wire has it. */
export function toSource(source: ProgramSource): WireSource {
  const { inputs = [], outputs = [], types = {}, tools = [], demos = [], options } = source;
  const { temperature, maxTokens, adapter } = source;
  return {
    signature: source.signature ?? "",
    inputs: inputs.map(toField),
    outputs: outputs.map(toField),
    types: Object.fromEntries(Object.entries(types).map(([name, schema]) => [name, toText(schema)])),
    instructions: source.instructions ?? "",
    module: toKind(source.module ?? "predict"),
    tools: [...tools],
    demos: demos.map(toText),
    model: source.model ?? "",
    doc: source.doc ?? "",
    ...(options === undefined ? {} : { options: toOptions(options) }),
    ...(adapter === undefined ? {} : { adapter: toAdapter(adapter) }),
    ...(temperature === undefined ? {} : { temperature }),
    ...(maxTokens === undefined ? {} : { maxTokens }),
  };
}

function toField({ schema, default: standIn, ...rest }: ProgramField): WireField {
  return {
    ...rest,
    ...(schema === undefined ? {} : { schema: toText(schema) }),
    ...(standIn === undefined ? {} : { default: toText(standIn) }),
  };
}

function toOptions({ inner, ...rest }: ModuleOptions): WireOptions {
  return { ...rest, ...(inner === undefined ? {} : { inner: toKind(inner) }) };
}

function toKind(kind: ModuleKind): WireKind {
  return `MODULE_KIND_${kind.toUpperCase()}` as WireKind;
}

function toText(value: unknown): string {
  return writeJson(value, () => undefined);
}

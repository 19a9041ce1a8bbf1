/**
 * ProgramService: the DSPy programs of the app.
 */
import type { ProgramInfo__Output } from "./generated/bridge/v1/ProgramInfo.js";
import type { StreamRunResponse__Output } from "./generated/bridge/v1/StreamRunResponse.js";
import { parseJson } from "./json.js";
import { decodeValue, encodeArguments } from "./payload.js";
import { allPages } from "./pages.js";
import type { CallOptions, ResultStream, Transport } from "./transport.js";
import { wire } from "./wire.js";

const service = wire["bridge.v1.ProgramService"];

/** A program's outputs, one key per output field. */
export type Outputs = Record<string, unknown>;

/** Options of a run. */
export interface RunOptions extends CallOptions {
  /** The language model, by its name in the server's configuration; else the program's own or the default. */
  model?: string;
}

/** Text that was added to an output field. */
export interface DeltaEvent {
  type: "delta";
  sequence: number;
  /** The predictor inside the program that produced it. */
  predictor: string;
  field: string;
  text: string;
  /** Whether the field is complete now. */
  last: boolean;
}

/** The run has ended well; always the last event. */
export interface FinalEvent<Result = Outputs> {
  type: "final";
  sequence: number;
  outputs: Result;
}

/** What happens while a program runs. */
export type ProgramEvent<Result = Outputs> = DeltaEvent | FinalEvent<Result>;

/** A program in a list. */
export interface ProgramSummary {
  name: string;
  /** Its instructions to the language model. */
  doc: string;
  /** DSPy's notation, such as "question: str -> answer: str". */
  signature: string;
  /** The module's class, such as "ChainOfThought". */
  module: string;
  pool: string;
}

/** A program with the JSON Schemas of its inputs and outputs and inputs to start from. */
export interface ProgramDescription extends ProgramSummary {
  inputsSchema: unknown;
  outputsSchema: unknown;
  example: unknown;
}

/** Runs and describes programs. */
export class Programs {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Run a program and return its outputs. */
  async run<Result = Outputs>(program: string, inputs: object = {}, options: RunOptions = {}): Promise<Result> {
    const { outputs } = await this.#transport.unary(service.Run, runRequest(program, inputs, options), options);
    return decodeValue(outputs, this.#transport.largeIntegers) as Result;
  }

  /** Run a program and send its output fields as they grow, then the final outputs. */
  stream<Result = Outputs>(
    program: string,
    inputs: object = {},
    options: RunOptions = {},
  ): ResultStream<ProgramEvent<Result>> {
    const toEvent = (reply: StreamRunResponse__Output) => this.#toEvent<Result>(reply);
    return this.#transport.stream(service.StreamRun, runRequest(program, inputs, options), options, toEvent);
  }

  /** Return all programs, in the order of names. */
  async list(options: CallOptions = {}): Promise<ProgramSummary[]> {
    return await allPages(async (pageToken) => {
      const page = await this.#transport.unary(service.List, { pageSize: 1000, pageToken }, options);
      return { items: page.programs.map(toSummary), nextPageToken: page.nextPageToken };
    });
  }

  /** Return a program with its schemas and an example. */
  async describe(program: string, options: CallOptions = {}): Promise<ProgramDescription> {
    const reply = await this.#transport.unary(service.Describe, { program }, options);
    const info = reply.program as ProgramInfo__Output;
    return {
      ...toSummary(info),
      inputsSchema: parseJson(info.inputsSchema || "null"),
      outputsSchema: parseJson(info.outputsSchema || "null"),
      example: parseJson(info.example || "null"),
    };
  }

  #toEvent<Result>(reply: StreamRunResponse__Output): ProgramEvent<Result> {
    const sequence = Number(reply.sequence);
    if (reply.fieldDelta) {
      const { predictor, field, text, last } = reply.fieldDelta;
      return { type: "delta", sequence, predictor, field, text, last };
    }
    const outputs = decodeValue(reply.final?.outputs, this.#transport.largeIntegers) as Result;
    return { type: "final", sequence, outputs };
  }
}

function runRequest(program: string, inputs: object, options: RunOptions) {
  return { program, inputs: encodeArguments(inputs), model: options.model ?? "" };
}

function toSummary({ name, doc, signature, module, pool }: ProgramInfo__Output): ProgramSummary {
  return { name, doc, signature, module, pool };
}

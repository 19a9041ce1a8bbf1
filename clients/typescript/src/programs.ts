/**
 * ProgramService: the DSPy programs of the app, and those that clients have created.
 */
import type { ProgramInfo__Output } from "./generated/bridge/v1/ProgramInfo.js";
import type { StreamRunResponse__Output } from "./generated/bridge/v1/StreamRunResponse.js";
import type { ToolHost } from "./hosting.js";
import { parseJson } from "./json.js";
import type { CallOptions } from "./options.js";
import { allPages } from "./pages.js";
import { decodeValue, encodeArguments, type Form } from "./payload.js";
import { type Outputs, type Progress, type ProgramEvent, ProgramStream, toEvents } from "./program-events.js";
import {
  type Adapter,
  type ProgramChange,
  type ProgramSource,
  type ProgramVersions,
  type SignatureCheck,
  toAdapter,
  toSource,
} from "./program-sources.js";
import { pause } from "./retries.js";
import type { Method, Transport } from "./transport.js";
import { wire } from "./wire.js";

const service = wire["bridge.v1.ProgramService"];
/** Node fires a longer timer at once. */
const LONGEST_WAIT_MS = 2 ** 31 - 1;

/** Options of a run; what is absent is as the program says. */
export interface RunOptions extends CallOptions {
  /** The language model, by its name in the server's configuration. */
  model?: string;
  /** How the program's signatures become prompts. */
  adapter?: Adapter;
  /** Randomness of the answers, 0 to 2. */
  temperature?: number;
  /** The longest answer, in tokens. */
  maxTokens?: number;
  /** Whether answers that the server has kept will do, and this run's may be kept. Default true. */
  cache?: boolean;
  /** The version of a created program; else the one that serves, or that the session began with. */
  version?: number;
  /** Tools for the program's agents beside their own: hosts, whose tools are all meant, and names such as "function:add". */
  tools?: readonly (ToolHost | string)[];
  /** How inputs and outputs travel. */
  form?: Form;
}

/** Options of a run whose events are sent. */
export interface StreamRunOptions extends RunOptions {
  /** Send every kind of event; else deltas and the end alone. */
  allEvents?: boolean;
  /** Let the run go on where the stream is lost, to be taken up again by `resume`. */
  resumable?: boolean;
}

/** Options of `resume`. */
export interface ResumeOptions extends CallOptions {
  /** The number of the last event that has arrived; 0 (default) for all events. */
  after?: number;
}

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
  /** The version that serves; 0 for a program of the app, which has none. */
  version: number;
}

/** A program with the JSON Schemas of its inputs and outputs and inputs to start from. */
export interface ProgramDescription extends ProgramSummary {
  inputsSchema: unknown;
  outputsSchema: unknown;
  example: unknown;
}

/** Runs, describes and creates programs. */
export class Programs {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Run a program and return its outputs. */
  async run<Result = Outputs>(program: string, inputs: object = {}, options: RunOptions = {}): Promise<Result> {
    const given = await whenHosted(options, this.#transport.defaults);
    const { outputs } = await this.#transport.unary(service.Run, runRequest(program, inputs, given), given);
    return decodeValue(outputs, this.#transport.largeIntegers) as Result;
  }

  /** Run a program and send its output fields as they grow, then the final outputs; with `allEvents` all that happens. */
  stream<Result = Outputs>(program: string, inputs: object = {}, options: StreamRunOptions = {}): ProgramStream<Result> {
    const { allEvents = false, resumable = false } = options;
    const begin = async () => {
      const given = await whenHosted(options, this.#transport.defaults);
      return { request: { ...runRequest(program, inputs, given), allEvents, resumable }, options: given };
    };
    return this.#events(service.StreamRun, begin, 0, undefined, (reply) => reply);
  }

  /** Take up a run that was started with `resumable`: the events after that number, and what follows. */
  resume<Result = Outputs>(token: string, options: ResumeOptions = {}): ProgramStream<Result> {
    const { after = 0 } = options;
    const begin = async () => ({ request: { token, afterSequence: after }, options });
    return this.#events(service.ResumeRun, begin, after, token, ({ event }) => event);
  }

  /** End a resumable run, which leaving its stream does not; return whether it still ran. */
  async cancelRun(token: string, options: CallOptions = {}): Promise<boolean> {
    return (await this.#transport.unary(service.CancelRun, { token }, options)).cancelled;
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
    const { program: info } = await this.#transport.unary(service.Describe, { program }, options);
    return toDescription(info);
  }

  /** Make a program, which can be run at once. Rejects with PROGRAM_EXISTS where the name is taken. */
  async create(program: string, source: ProgramSource, options: CallOptions = {}): Promise<ProgramDescription> {
    const request = { program, source: toSource(source) };
    return toDescription((await this.#transport.unary(service.CreateProgram, request, options)).program);
  }

  /**
   * Add a version of a created program, which serves from now on, and say what differs; sessions stay on theirs. With
   * `expectedVersion`, only if that one serves now; else it rejects with VERSION_CONFLICT.
   */
  async update(
    program: string,
    source: ProgramSource,
    options: CallOptions & { expectedVersion?: number } = {},
  ): Promise<ProgramDescription & { changes: ProgramChange[] }> {
    const request = { program, source: toSource(source), expectedVersion: options.expectedVersion ?? 0 };
    const reply = await this.#transport.unary(service.UpdateProgram, request, options);
    const changes = reply.changes.map(({ field, description, breaking }) => ({ field, description, breaking }));
    return { ...toDescription(reply.program), changes };
  }

  /** Remove a created program with all its versions. */
  async delete(program: string, options: CallOptions = {}): Promise<void> {
    await this.#transport.unary(service.DeleteProgram, { program }, options);
  }

  /** Return the versions of a created program. */
  async versions(program: string, options: CallOptions = {}): Promise<ProgramVersions> {
    const reply = await this.#transport.unary(service.ListProgramVersions, { program }, options);
    const versions = reply.versions.map(({ version, source }) => {
      return { version: Number(version), signature: source?.signature ?? "" };
    });
    return { versions, serving: Number(reply.serving) };
  }

  /** Let a version of a created program serve from now on: to promote it, or to roll back. */
  async serveVersion(program: string, version: number, options: CallOptions = {}): Promise<ProgramDescription> {
    const reply = await this.#transport.unary(service.ServeProgramVersion, { program, version }, options);
    return toDescription(reply.program);
  }

  /** Read a signature, or a source's fields, without making anything of it. */
  async checkSignature(signature: string | ProgramSource, options: CallOptions = {}): Promise<SignatureCheck> {
    const source = toSource(typeof signature === "string" ? { signature } : signature);
    const reply = await this.#transport.unary(service.CheckSignature, { source }, options);
    return {
      signature: reply.signature,
      inputsSchema: parseJson(reply.inputsSchema || "null"),
      outputsSchema: parseJson(reply.outputsSchema || "null"),
      error: reply.error,
      column: reply.column,
      length: reply.length,
    };
  }

  #events<Request, Reply, Result>(
    method: Method<Request, Reply>,
    begin: () => Promise<{ request: Request; options: CallOptions }>,
    after: number,
    token: string | undefined,
    eventOf: (reply: Reply) => StreamRunResponse__Output | null,
  ): ProgramStream<Result> {
    const progress: Progress = { token, sequence: after };
    const toItems = (reply: Reply): ProgramEvent<Result>[] => {
      const event = eventOf(reply);
      if (!event) return [];
      progress.token ??= event.resumeToken || undefined;
      progress.sequence = Number(event.sequence);
      return toEvents<Result>(event, this.#transport.largeIntegers);
    };
    const transport = this.#transport;
    return new ProgramStream(async function* (told) {
      const { request, options } = await begin();
      yield* transport.items(method, request, options, toItems, told);
    }, progress);
  }
}

function runRequest(program: string, inputs: object, options: RunOptions) {
  const { model = "", version = 0, adapter, temperature, maxTokens, cache, form } = options;
  return {
    program,
    inputs: encodeArguments(inputs, form),
    model,
    version,
    ...toTools(options.tools ?? []),
    ...(adapter === undefined ? {} : { adapter: toAdapter(adapter) }),
    ...(temperature === undefined ? {} : { temperature }),
    ...(maxTokens === undefined ? {} : { maxTokens }),
    ...(cache === undefined ? {} : { cache }),
  };
}

/**
 * Wait for hosts whose stream is being opened again: the server may have forgotten them, and give them another
 * registration. The wait is part of the run's time.
 */
async function whenHosted(options: RunOptions, defaults: CallOptions): Promise<RunOptions> {
  const hosts = (options.tools ?? []).filter((one) => typeof one !== "string");
  if (hosts.length === 0) return options;
  const began = performance.now();
  const timeoutMs = options.timeoutMs ?? defaults.timeoutMs ?? Number.POSITIVE_INFINITY;
  const over = new AbortController();
  const { signal } = over;
  const late = pause(Math.min(timeoutMs, LONGEST_WAIT_MS), options.signal ? AbortSignal.any([signal, options.signal]) : signal);
  await Promise.race([Promise.all(hosts.map((host) => host.ready())), late]);
  over.abort();
  return { ...options, timeoutMs: Math.max(1, timeoutMs - (performance.now() - began)) };
}

/** Where hosts alone are given, the server knows which tools are theirs; beside names they are named too. */
function toTools(given: readonly (ToolHost | string)[]) {
  const hosts = given.filter((one) => typeof one !== "string");
  const toolRegistrations = hosts.map((host) => host.registration);
  if (hosts.length === given.length) return { tools: [], toolRegistrations };
  return { tools: given.flatMap((one) => (typeof one === "string" ? [one] : one.names)), toolRegistrations };
}

function toSummary({ name, doc, signature, module, pool, version }: ProgramInfo__Output): ProgramSummary {
  return { name, doc, signature, module, pool, version: Number(version) };
}

function toDescription(given: ProgramInfo__Output | null): ProgramDescription {
  const info = given as ProgramInfo__Output;
  return {
    ...toSummary(info),
    inputsSchema: parseJson(info.inputsSchema || "null"),
    outputsSchema: parseJson(info.outputsSchema || "null"),
    example: parseJson(info.example || "null"),
  };
}

/**
 * One registration of tools: its stream, opened again where it breaks, the calls that run, and their answers. It owns the
 * token that keeps the registration.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { BridgeError } from "./errors.js";
import type { HostedCall__Output } from "./generated/bridge/v1/HostedCall.js";
import type { HostRequest } from "./generated/bridge/v1/HostRequest.js";
import type { HostResponse__Output } from "./generated/bridge/v1/HostResponse.js";
import type { ToolVisibility } from "./generated/bridge/v1/ToolVisibility.js";
import { type HostedTool, resultText, ToolCancelled, type ToolContext, toWireTool } from "./hosted-tools.js";
import { parseJson } from "./json.js";
import type { CallOptions } from "./options.js";
import type { Duplex, Transport } from "./transport.js";
import { wire } from "./wire.js";

const service = wire["bridge.v1.ToolService"];

/** How tools are hosted. */
export interface HostOptions extends Pick<CallOptions, "metadata" | "session" | "waitForReady"> {
  /** Which runs may use the tools: those that name them ("run", the default), also all of the session, or of the tenant. */
  visibility?: "run" | "session" | "tenant";
  /** Aborting it closes the host. */
  signal?: AbortSignal;
}

/** Tools that are hosted. */
export interface ToolHost extends AsyncDisposable {
  /** The registration's id, for runs to name. It changes where the server has forgotten the one before. */
  readonly registration: string;
  /** The names of the tools. */
  readonly names: readonly string[];
  /** Why the tools are hosted no longer; undefined while they are, and after `close`. */
  readonly error: BridgeError | undefined;
  /** Resolves when the tools are hosted no longer. */
  readonly ended: Promise<void>;
  /** Resolves when the server has the tools: at once, unless the stream has broken and is being opened again. */
  ready(): Promise<void>;
  /** Host the tools no longer; the signals of functions that run abort. */
  close(): Promise<void>;
}

const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 5000;
const GOODBYE_MS = 5000;
/** Node fires a longer timer at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;
/** The last answers are kept, since a stream that breaks may have lost them; twice they do no harm. */
const KEPT_ANSWERS = 32;
const MESSAGE_CHARACTERS = 2000;
/** With these the next stream would fare no better. */
const HOPELESS = new Set([
  "INVALID_ARGUMENT",
  "RESOURCE_EXHAUSTED",
  "ABORTED",
  "UNAUTHENTICATED",
  "PERMISSION_DENIED",
  "UNIMPLEMENTED",
  "INTERNAL",
]);

interface Running {
  controller: AbortController;
  timer: NodeJS.Timeout;
}

type HostStream = Duplex<HostRequest, HostResponse__Output>;

/** The client's side of a registration. Made by `begin`. */
export class Hosting implements ToolHost {
  readonly ended: Promise<void>;
  readonly #transport: Transport;
  readonly #tools: ReadonlyMap<string, HostedTool>;
  readonly #options: HostOptions;
  readonly #running = new Map<string, Running>();
  readonly #closing = new AbortController();
  #answers: { id: string; message: HostRequest }[] = [];
  #token = "";
  #registration = "";
  #pauseMs = FIRST_PAUSE_MS;
  #open: HostStream | undefined;
  #error: BridgeError | undefined;
  #connected = false;
  /** Who waits for the server to have the tools. */
  #waiting: (() => void)[] = [];

  private constructor(transport: Transport, tools: readonly HostedTool[], options: HostOptions) {
    this.#transport = transport;
    this.#tools = new Map(tools.map((tool) => [tool.name, tool]));
    if (this.#tools.size < tools.length) throw new TypeError("expected tools with different names, got a name twice");
    this.#options = options;
    this.ended = this.#serve();
  }

  /** Register tools; resolves once the server has acknowledged them. Rejects with BridgeError. */
  static async begin(transport: Transport, tools: readonly HostedTool[], options: HostOptions): Promise<ToolHost> {
    options.signal?.throwIfAborted();
    const hosting = new Hosting(transport, tools, options);
    await hosting.ready();
    if (hosting.#error !== undefined) throw hosting.#error;
    const close = () => void hosting.close();
    options.signal?.addEventListener("abort", close, { once: true });
    void hosting.ended.then(() => options.signal?.removeEventListener("abort", close));
    if (options.signal?.aborted) close();
    return hosting;
  }

  get registration(): string {
    return this.#registration;
  }

  get names(): readonly string[] {
    return [...this.#tools.keys()];
  }

  get error(): BridgeError | undefined {
    return this.#error;
  }

  async ready(): Promise<void> {
    if (this.#connected) return;
    await Promise.race([new Promise<void>((resolve) => this.#waiting.push(resolve)), this.ended]);
  }

  async close(): Promise<void> {
    if (!this.#closing.signal.aborted) {
      this.#closing.abort();
      this.#cancelAll("HOST_CLOSED");
      this.#open?.stream.write({ goodbye: {} });
      this.#open?.stream.end();
    }
    const late = setTimeout(() => this.#open?.stream.cancel(), GOODBYE_MS);
    await this.ended;
    clearTimeout(late);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Keep a stream open until the end. */
  async #serve(): Promise<void> {
    const { signal } = this.#closing;
    while (!signal.aborted) {
      const error = await this.#oneStream();
      this.#open = undefined;
      this.#connected = false;
      if (signal.aborted) return;
      if (this.#registration === "" || !this.#mayGoOn(error)) {
        this.#error = error ?? new BridgeError({ code: "UNAVAILABLE", message: "the server has ended the hosting of tools" });
        this.#cancelAll("REGISTRATION_LOST");
        return;
      }
      await sleep(this.#pauseMs, undefined, { signal }).catch(() => {});
      this.#pauseMs = Math.min(2 * this.#pauseMs, LONGEST_PAUSE_MS);
    }
  }

  /** Serve one stream to its end; resolve with why it ended, if that was not well. */
  async #oneStream(): Promise<BridgeError | undefined> {
    const { metadata = {}, session, waitForReady } = this.#options;
    const options: CallOptions = { metadata, waitForReady: waitForReady ?? false };
    if (session !== undefined) options.session = session;
    const open = this.#transport.duplex(service.Host, options);
    this.#open = open;
    const { stream, toError } = open;
    const ended = new Promise<BridgeError | undefined>((resolve) => {
      stream.on("error", (error) => resolve(toError(error) as BridgeError));
      stream.on("status", () => resolve(undefined));
    });
    stream.on("data", (message) => this.#read(message));
    stream.write({ register: this.#register() });
    for (const { message } of this.#answers) stream.write(message);
    return await ended;
  }

  /** What a stream begins with. */
  #register() {
    const visibility = `TOOL_VISIBILITY_${(this.#options.visibility ?? "run").toUpperCase()}` as ToolVisibility;
    if (this.#token === "") return { visibility, tools: [...this.#tools.values()].map(toWireTool) };
    return { visibility, token: this.#token, workingOn: [...this.#running.keys(), ...this.#answers.map(({ id }) => id)] };
  }

  #read({ registered, call, cancel }: HostResponse__Output): void {
    if (registered) {
      this.#token = registered.token;
      this.#registration = registered.registration;
      this.#pauseMs = FIRST_PAUSE_MS;
      this.#connected = true;
      for (const resolve of this.#waiting.splice(0)) resolve();
    }
    if (call) void this.#run(call);
    if (cancel) this.#cancel(cancel.id, cancel.reason);
  }

  /** Run a function, and answer. */
  async #run(call: HostedCall__Output): Promise<void> {
    const controller = new AbortController();
    const leftMs = Math.min(call.timeoutMs, LONGEST_TIMER_MS);
    const timer = setTimeout(() => controller.abort(new ToolCancelled("TOOL_TIMEOUT")), leftMs);
    timer.unref();
    const running = { controller, timer };
    this.#running.set(call.id, running);
    let message: HostRequest;
    try {
      const tool = this.#tools.get(call.tool);
      if (tool === undefined) throw new Error(`there is no tool '${call.tool}' here`);
      const args = parseJson(call.arguments || "{}", this.#transport.largeIntegers) as Record<string, unknown>;
      const value: unknown = await tool.run(args, contextOf(call, controller.signal));
      const result = typeof value === "string" ? { text: value } : { json: resultText(value) };
      message = { result: { id: call.id, ...result } };
    } catch (error) {
      message = { error: { id: call.id, ...told(error) } };
    }
    clearTimeout(timer);
    // Nobody waits for the answer of a call that was cancelled.
    if (this.#running.get(call.id) !== running) return;
    this.#running.delete(call.id);
    this.#answers = [...this.#answers, { id: call.id, message }].slice(-KEPT_ANSWERS);
    this.#open?.stream.write(message);
  }

  #cancel(id: string, reason: string): void {
    const running = this.#running.get(id);
    if (running === undefined) return;
    this.#running.delete(id);
    clearTimeout(running.timer);
    running.controller.abort(new ToolCancelled(reason));
  }

  #cancelAll(reason: string): void {
    for (const id of [...this.#running.keys()]) this.#cancel(id, reason);
  }

  /** Whether to open another stream; takes note of what the end of the last one means. */
  #mayGoOn(error: BridgeError | undefined): boolean {
    if (error?.reason === "UNKNOWN_TOOL_REGISTRATION") {
      this.#token = "";
      this.#answers = [];
      this.#cancelAll("REGISTRATION_LOST");
      return true;
    }
    return error === undefined || !HOPELESS.has(error.code);
  }
}

function contextOf(call: HostedCall__Output, signal: AbortSignal): ToolContext {
  const endsAt = performance.now() + call.timeoutMs;
  return {
    id: Number(call.id),
    tool: call.tool,
    signal,
    deadline: new Date(Date.now() + call.timeoutMs),
    remainingMs: () => Math.max(0, endsAt - performance.now()),
    traceparent: call.traceparent,
    requestId: call.requestId,
    sessionId: call.sessionId,
    resent: call.resent,
  };
}

/** A failure as the model may read it. */
function told(error: unknown): { message: string; type: string } {
  if (!(error instanceof Error)) return { message: String(error).slice(0, MESSAGE_CHARACTERS), type: typeof error };
  return { message: error.message.slice(0, MESSAGE_CHARACTERS) || error.name, type: error.name };
}

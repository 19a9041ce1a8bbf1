#!/usr/bin/env node
// The conformance runner of this client: reads a case per line, makes its steps, reports what the client gave. It asserts
// nothing; clients/conformance/README.md has the protocol. The client must be built: npm ci && npm run build.
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { BridgeError, connect } from "@polyglot-bridge/client";
import { Hosted } from "./tools.mjs";
import {
  Crash,
  digest,
  errorOf,
  eventOf,
  fromClient,
  functionOf,
  receiptOf,
  sessionOf,
  Skip,
  toClient,
} from "./values.mjs";

const PAUSE_MS = 50;
const COMMON = ["op", "connection", "receipt", "digest", "patience_ms", "background"];
const OPTIONS = ["timeout_ms", "metadata", "request_id", "idempotency_key", "session", "budget", "retries"];

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const write = (message) => process.stdout.write(`${JSON.stringify(message)}\n`);

/** Refuse what is not understood. */
function expectFields(step, ...known) {
  const unknown = Object.keys(step).filter((name) => ![...known, ...OPTIONS, ...COMMON].includes(name));
  if (unknown.length > 0) throw new Crash(`${step.op} has fields that this runner does not know: ${unknown.join(", ")}`);
}

function connectOptions({ address: _address, key, tls, max_message_bytes: bytes, ...unknown }) {
  if (Object.keys(unknown).length > 0) throw new Skip(`connect with ${Object.keys(unknown).join(", ")}`);
  return {
    ...(key === undefined ? {} : { key }),
    ...(tls === undefined ? {} : { tls }),
    ...(bytes === undefined ? {} : { maxReplyBytes: bytes, maxRequestBytes: bytes }),
  };
}

/** One case. `end` closes everything that it has opened. */
class Run {
  #connect;
  #bridges = new Map();
  #sessions = new Map();
  #background = new Map();
  #hosted = new Map();
  /** Streams of programs by the index of their step. */
  #streams = new Map();

  constructor({ connect: given }) {
    this.#connect = given;
  }

  async step(step, index) {
    const began = performance.now();
    let result = await this.#begin(step, index);
    while (result.error?.code === "UNAVAILABLE" && performance.now() - began < (step.patience_ms ?? 0)) {
      await sleep(PAUSE_MS);
      result = await this.#begin(step, index);
    }
    return { ...result, elapsed_ms: Math.round(performance.now() - began) };
  }

  async end() {
    for (const { controller } of this.#background.values()) controller.abort();
    await Promise.allSettled([...this.#background.values()].map(({ done }) => done));
    await Promise.all([...this.#hosted.values()].map((hosted) => hosted.host?.close()));
    for (const bridge of this.#bridges.values()) bridge.close();
  }

  async #begin(step, index) {
    const operation = this[step.op];
    if (typeof operation !== "function" || ["step", "end", "constructor"].includes(step.op)) {
      throw new Skip(`the operation ${step.op}`);
    }
    if (step.background === undefined) return await this.#settled(operation, step, index);
    const controller = new AbortController();
    const done = this.#settled(operation, step, index, controller.signal);
    done.catch(() => {});
    this.#background.set(step.background, { controller, done });
    return { value: null };
  }

  /** The result of an operation, failed or not, with its receipt. */
  async #settled(operation, step, index, signal) {
    let receipt;
    const options = this.#options(step, signal, (told) => (receipt = told));
    let result;
    try {
      result = await operation.call(this, step, options, index);
    } catch (error) {
      if (error instanceof Skip || error instanceof Crash) throw error;
      result = { error: errorOf(error) };
    }
    return step.receipt ? { ...result, receipt: receiptOf(receipt) } : result;
  }

  #options(step, signal, onReceipt) {
    const found = { onReceipt };
    if (signal !== undefined) found.signal = signal;
    if ("timeout_ms" in step) found.timeoutMs = step.timeout_ms;
    if ("metadata" in step) found.metadata = step.metadata;
    if ("request_id" in step) found.requestId = step.request_id;
    if ("idempotency_key" in step) found.idempotencyKey = step.idempotency_key;
    if ("session" in step) found.session = this.#sessions.get(step.session);
    if ("budget" in step) found.budget = step.budget;
    if ("retries" in step) found.retries = step.retries;
    return found;
  }

  #bridge(step) {
    const name = step.connection ?? "main";
    if (name === "main" && !this.#bridges.has(name)) this.#open(name, this.#connect);
    const bridge = this.#bridges.get(name);
    if (bridge === undefined) throw new Crash(`no connection ${name}`);
    return bridge;
  }

  #open(name, given) {
    this.#bridges.set(name, connect(given.address, connectOptions(given)));
  }

  /** The items of a stream, and how it has ended. */
  async #read(stream, take, toItem, signal) {
    const items = [];
    try {
      for await (const item of stream) {
        items.push(toItem(item));
        if (items.length === take) return { items, ended: "cancelled" };
      }
    } catch (error) {
      if (error instanceof BridgeError && error.code === "CANCELLED" && signal?.aborted) return { items, ended: "cancelled" };
      return { items, error: errorOf(error) };
    }
    return { items, ended: "complete" };
  }

  // Connections.

  async connect(step) {
    expectFields(step, "name", "connect");
    this.#open(step.name, step.connect);
    return { value: null };
  }

  async close(step) {
    expectFields(step);
    this.#bridge(step).close();
    return { value: null };
  }

  // Calls and streams.

  async call(step, options) {
    expectFields(step, "function", "arguments");
    const value = await this.#bridge(step).call(step.function, toClient(step.arguments ?? {}), options);
    return { value: step.digest ? digest(value) : fromClient(value) };
  }

  async stream(step, options) {
    expectFields(step, "function", "arguments", "take");
    const stream = this.#bridge(step).stream(step.function, toClient(step.arguments ?? {}), options);
    return await this.#read(stream, step.take, fromClient, options.signal);
  }

  async cancel(step) {
    expectFields(step, "name");
    this.#background.get(step.name).controller.abort();
    return { value: null };
  }

  async join(step) {
    expectFields(step, "name");
    return await this.#background.get(step.name).done;
  }

  // Sessions.

  async open_session(step, options) {
    expectFields(step, "name", "mode", "ttl_ms", "id", "ordered");
    const given = {
      ...("id" in step ? { id: step.id } : {}),
      ...("mode" in step ? { mode: step.mode } : {}),
      ...("ttl_ms" in step ? { ttlMs: step.ttl_ms } : {}),
      ...("ordered" in step ? { ordered: step.ordered } : {}),
    };
    const session = await this.#bridge(step).session({ ...options, ...given });
    this.#sessions.set(step.name, session.id);
    return { value: sessionOf(session.opened) };
  }

  async session_info(step, options) {
    expectFields(step, "name");
    return { value: sessionOf(await this.#bridge(step).getSession(this.#sessions.get(step.name), options)) };
  }

  async close_session(step, options) {
    expectFields(step, "name");
    await this.#bridge(step).joinSession(this.#sessions.get(step.name)).close(options);
    return { value: null };
  }

  // Programs.

  #runOptions(step, options) {
    const hosts = (step.tools ?? []).map((name) => this.#hosted.get(name).host);
    return { ...options, tools: [...hosts, ...(step.server_tools ?? [])] };
  }

  async run_program(step, options) {
    expectFields(step, "program", "inputs", "tools", "server_tools");
    const given = this.#runOptions(step, options);
    return { value: fromClient(await this.#bridge(step).programs.run(step.program, toClient(step.inputs ?? {}), given)) };
  }

  async stream_program(step, options, index) {
    expectFields(step, "program", "inputs", "tools", "server_tools", "take", "all_events", "resumable", "disconnect");
    const { all_events: allEvents = false, resumable = false } = step;
    const given = { ...this.#runOptions(step, options), allEvents, resumable };
    const stream = this.#bridge(step).programs.stream(step.program, toClient(step.inputs ?? {}), given);
    this.#streams.set(index, stream);
    return await this.#read(stream, step.take, eventOf, options.signal);
  }

  async resume_program(step, options, index) {
    expectFields(step, "from", "after", "take");
    const before = this.#streams.get(step.from);
    const given = { ...options, after: step.after ?? before.lastSequence };
    const stream = this.#bridge(step).programs.resume(before.resumeToken, given);
    this.#streams.set(index, stream);
    return await this.#read(stream, step.take, eventOf, options.signal);
  }

  async cancel_run(step, options) {
    expectFields(step, "from");
    return { value: await this.#bridge(step).programs.cancelRun(this.#streams.get(step.from).resumeToken, options) };
  }

  // Models, texts, the catalogue.

  async generate(step, options) {
    expectFields(step, "prompt", "model", "max_tokens");
    const { model, max_tokens: maxTokens } = step;
    const answer = await this.#bridge(step).models.generate(step.prompt, { ...options, model, maxTokens });
    return { value: { text: answer.text, model: answer.model, finish_reason: answer.finishReason } };
  }

  async embed(step, options) {
    expectFields(step, "texts", "model");
    const vectors = await this.#bridge(step).embeddings.embed(step.texts, { ...options, model: step.model });
    return { value: { dimensions: vectors[0]?.length ?? 0, vectors: vectors.map((vector) => [...vector]) } };
  }

  async score(step, options) {
    expectFields(step, "metric", "prediction", "references");
    const { prediction, references } = step;
    const score = await this.#bridge(step).metrics.score(step.metric, { prediction, references }, options);
    return { value: fromClient(score.value) };
  }

  async health(step, options) {
    expectFields(step, "service");
    return { value: await this.#bridge(step).health(step.service, options) };
  }

  async list_functions(step, options) {
    expectFields(step, "prefix");
    const functions = await this.#bridge(step).functions({ ...options, prefix: step.prefix });
    return { value: functions.map(({ name }) => name) };
  }

  async describe(step, options) {
    expectFields(step, "function");
    return { value: functionOf(await this.#bridge(step).describe(step.function, options)) };
  }

  async list_pools(step, options) {
    expectFields(step);
    return { value: (await this.#bridge(step).pools(options)).map(({ name, state }) => ({ name, state })) };
  }

  // Tools.

  async host_tools(step, { session, metadata }) {
    expectFields(step, "name", "tools", "visibility");
    const hosted = new Hosted();
    const tools = step.tools.map((spec) => hosted.tool(spec));
    const given = { ...(session === undefined ? {} : { session }), ...(metadata === undefined ? {} : { metadata }) };
    hosted.host = await this.#bridge(step).hostTools(tools, { visibility: step.visibility ?? "run", ...given });
    this.#hosted.set(step.name, hosted);
    return { value: null };
  }

  async tool_calls(step) {
    expectFields(step, "name", "wait_for", "within_ms");
    return { value: await this.#hosted.get(step.name).calls(step.wait_for, step.within_ms ?? 10_000) };
  }

  async unhost_tools(step) {
    expectFields(step, "name");
    await this.#hosted.get(step.name).host.close();
    return { value: null };
  }

  async harness(step) {
    write({ harness: step });
    const { value } = await lines.next();
    const answer = JSON.parse(value);
    if (!answer.done) throw new Crash(`the harness failed: ${answer.error}`);
    return { value: null };
  }
}

async function answer(given) {
  const run = new Run(given);
  try {
    const steps = [];
    for (const [index, step] of given.steps.entries()) steps.push(await run.step(step, index));
    return { steps };
  } catch (error) {
    return error instanceof Skip ? { skip: error.message } : { crash: error.stack };
  } finally {
    await run.end();
  }
}

for (let line = await lines.next(); !line.done; line = await lines.next()) {
  const given = JSON.parse(line.value);
  write({ case: given.case, ...(await answer(given)) });
}

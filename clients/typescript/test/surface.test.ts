/**
 * What the services take and give beyond the plain call: events, created programs, batches, sessions, routing.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Bridge, BridgeError, connect } from "../src/index.js";
import { decodeValue } from "../src/payload.js";
import { FakeServer } from "./fake-server.js";

let fake: FakeServer;
let bridge: Bridge;
beforeAll(async () => {
  fake = await FakeServer.start();
  bridge = connect(fake.address);
});
afterAll(() => {
  bridge.close();
  fake.stop();
});

async function all<Item>(stream: AsyncIterable<Item>): Promise<Item[]> {
  const items: Item[] = [];
  for await (const item of stream) items.push(item);
  return items;
}

describe("runs", () => {
  test("take what is to be otherwise, and send only that", async () => {
    fake.on("ProgramService/Run", () => ({ outputs: { json: "{}" } }));
    await bridge.programs.run("p", {}, { adapter: "two_step", temperature: 0, maxTokens: 5, cache: false, version: 3 });
    expect(fake.last.request).toMatchObject({
      adapter: "PROMPT_ADAPTER_TWO_STEP",
      temperature: 0,
      maxTokens: 5,
      cache: false,
      version: "3",
      tools: [],
      toolRegistrations: [],
    });
    await bridge.programs.run("p", {}, { tools: ["function:add"] });
    expect(fake.last.request).toMatchObject({ adapter: "PROMPT_ADAPTER_UNSPECIFIED", tools: ["function:add"] });
    expect(fake.last.request.temperature).toBeUndefined();
    expect(fake.last.request.cache).toBeUndefined();
  });

  const events = [
    { sequence: 1, status: { step: "RUN_STEP_STARTED" }, resumeToken: "tok" },
    { sequence: 2, reasoningDelta: { predictor: "self", text: "hm" } },
    { sequence: 3, toolCall: { id: "c", tool: "add", arguments: '{"a":1}', truncated: false } },
    { sequence: 4, toolResult: { id: "c", tool: "add", result: "1", error: "", seconds: 0.5, truncated: true } },
    { sequence: 5, usage: { usage: [{ model: "m", calls: 1, inputTokens: 2 }] } },
    { sequence: 6 },
    { sequence: 7, fieldDelta: { predictor: "self", field: "f", text: "x", last: true } },
    { sequence: 8, final: { outputs: { json: '{"f":"x"}' } } },
  ];
  const read = [
    { type: "status", sequence: 1, step: "started", omitted: 0 },
    { type: "reasoning", sequence: 2, predictor: "self", text: "hm" },
    { type: "tool_call", sequence: 3, id: "c", tool: "add", arguments: '{"a":1}', truncated: false },
    { type: "tool_result", sequence: 4, id: "c", tool: "add", result: "1", error: "", seconds: 0.5, truncated: true },
    { type: "usage", sequence: 5, usage: [{ model: "m", calls: 1, inputTokens: 2 }] },
    { type: "delta", sequence: 7, predictor: "self", field: "f", text: "x", last: true },
    { type: "final", sequence: 8, outputs: { f: "x" } },
  ];

  test("send every event, and are taken up again where they were left", async () => {
    fake.on("ProgramService/StreamRun", async function* () {
      yield* events;
    });
    const stream = bridge.programs.stream("p", { q: 1 }, { allEvents: true, resumable: true });
    expect([stream.resumeToken, stream.lastSequence]).toEqual([undefined, 0]);
    expect(await all(stream)).toMatchObject(read);
    expect([stream.resumeToken, stream.lastSequence]).toEqual(["tok", 8]);
    expect(fake.last.request).toMatchObject({ program: "p", allEvents: true, resumable: true });

    fake.on("ProgramService/ResumeRun", async function* ({ request }) {
      for (const event of events) if (event.sequence > Number(request.afterSequence)) yield { event };
    });
    const resumed = bridge.programs.resume("tok", { after: 5 });
    expect(resumed.lastSequence).toBe(5);
    expect((await all(resumed)).map(({ sequence }) => sequence)).toEqual([7, 8]);
    expect([resumed.resumeToken, resumed.lastSequence]).toEqual(["tok", 8]);
    expect(fake.last.request).toEqual({ token: "tok", afterSequence: "5" });

    fake.on("ProgramService/CancelRun", ({ request }) => ({ cancelled: request.token === "tok" }));
    expect(await bridge.programs.cancelRun("tok")).toBe(true);
  });

  test("a stream can be ended from elsewhere, begun or not", async () => {
    fake.on("ProgramService/StreamRun", async function* ({ cancelled }) {
      yield events[0];
      await cancelled;
    });
    const stream = bridge.programs.stream("p");
    const iterator = stream[Symbol.asyncIterator]();
    await iterator.next();
    const next = iterator.next().catch((error: unknown) => error);
    await stream.cancel();
    expect(await next).toMatchObject({ code: "CANCELLED" });
    await fake.last.cancelled;
    const count = fake.arrived.length;
    await bridge.programs.stream("p")[Symbol.asyncDispose]();
    expect(fake.arrived.length).toBe(count);
  });
});

describe("created programs", () => {
  const info = { name: "p", signature: "a -> b", version: 2, inputsSchema: '{"type":"object"}' };

  test("are made from a source", async () => {
    fake.on("ProgramService/CreateProgram", () => ({ program: info }));
    const made = await bridge.programs.create("p", {
      inputs: [{ name: "a", type: "int", default: 5, ge: 1, description: "A number" }],
      outputs: [{ name: "b", schema: { type: "string" } }],
      types: { T: { type: "string" } },
      module: "best_of_n",
      options: { n: 3, inner: "chain_of_thought", reward: "score" },
      demos: [{ a: 1, b: "x" }],
      tools: ["add"],
      adapter: "json",
      temperature: 0.5,
    });
    expect(made).toMatchObject({ name: "p", version: 2, inputsSchema: { type: "object" } });
    const { source } = fake.last.request;
    expect(source).toMatchObject({
      inputs: [{ name: "a", type: "int", default: "5", ge: 1, description: "A number" }],
      outputs: [{ name: "b", schema: '{"type":"string"}' }],
      types: { T: '{"type":"string"}' },
      module: "MODULE_KIND_BEST_OF_N",
      options: { n: 3, inner: "MODULE_KIND_CHAIN_OF_THOUGHT", reward: "score" },
      demos: ['{"a":1,"b":"x"}'],
      tools: ["add"],
      adapter: "PROMPT_ADAPTER_JSON",
      temperature: 0.5,
    });
    expect(source.maxTokens).toBeUndefined();
    expect(source.inputs[0].le).toBeUndefined();
  });

  test("have versions, any of which can serve", async () => {
    fake.on("ProgramService/UpdateProgram", () => ({
      program: info,
      changes: [{ field: "a", description: "gone", breaking: true }],
    }));
    const updated = await bridge.programs.update("p", { signature: "a -> b" }, { expectedVersion: 1 });
    expect(updated).toMatchObject({ version: 2, changes: [{ field: "a", description: "gone", breaking: true }] });
    expect(fake.last.request).toMatchObject({ expectedVersion: "1", source: { module: "MODULE_KIND_PREDICT" } });
    fake.on("ProgramService/ListProgramVersions", () => ({
      versions: [{ version: 1, source: { signature: "a -> b" } }, { version: 2 }],
      serving: 2,
    }));
    expect(await bridge.programs.versions("p")).toEqual({
      versions: [{ version: 1, signature: "a -> b" }, { version: 2, signature: "" }],
      serving: 2,
    });
    fake.on("ProgramService/ServeProgramVersion", ({ request }) => ({ program: { ...info, version: request.version } }));
    expect((await bridge.programs.serveVersion("p", 1)).version).toBe(1);
    fake.on("ProgramService/DeleteProgram", () => ({}));
    await bridge.programs.delete("p");
    expect(fake.last.request).toEqual({ program: "p" });
  });

  test("a signature is read without making anything of it", async () => {
    fake.on("ProgramService/CheckSignature", () => ({ error: "no such type", column: 4, length: 5 }));
    const check = await bridge.programs.checkSignature("a: flaot -> b");
    expect(check).toEqual({ signature: "", inputsSchema: null, outputsSchema: null, error: "no such type", column: 4, length: 5 });
  });
});

describe("models", () => {
  const usage = { model: "m", calls: 1 };

  test("conversations with images, tools that must be called, parts of their calls", async () => {
    fake.on("ModelService/StreamGenerate", async function* () {
      yield { toolCallDelta: { index: 0, id: "1", name: "clock", argumentsDelta: "{" } };
      yield {};
      yield { final: { finishReason: "FINISH_REASON_TOOL_CALLS" } };
    });
    const image = { data: Uint8Array.of(1), mediaType: "image/png", detail: "low" } as const;
    const events = await all(
      bridge.models.stream([{ role: "user", content: ["What is this?", image, { url: "https://x/y.png" }] }], {
        tools: [{ name: "clock", parameters: {} }],
        toolChoice: { name: "clock" },
        parallelToolCalls: false,
        cache: false,
        stop: "END",
      }),
    );
    expect(events).toMatchObject([
      { type: "tool_call_delta", index: 0, id: "1", name: "clock", arguments: "{" },
      { type: "final", finishReason: "tool_calls" },
    ]);
    const { request } = fake.last;
    expect(request).toMatchObject({ toolChoice: { name: "clock" }, parallelToolCalls: false, cache: false, options: { stop: ["END"] } });
    expect(request.messages[0].parts).toMatchObject([
      { text: "What is this?" },
      { image: { data: Buffer.of(1), mediaType: "image/png", detail: "IMAGE_DETAIL_LOW" } },
      { image: { url: "https://x/y.png", detail: "IMAGE_DETAIL_UNSPECIFIED" } },
    ]);
    await all(bridge.models.stream("x", { toolChoice: "required" }));
    expect(fake.last.request.toolChoice).toMatchObject({ mode: "TOOL_MODE_REQUIRED" });
    expect(() => bridge.models.stream([{ role: "user", content: [{}] }])).toThrow("either a url or data");
    expect(() => bridge.models.stream(5 as never)).toThrow("expected a text or a list of messages, got number");
  });

  test("answers that grow, and items one by one", async () => {
    fake.on("ModelService/StreamExtract", async function* () {
      yield { partial: { number: 1, attempt: 1, json: '{"a":1}' } };
      yield { item: { number: 2, attempt: 1, index: 0, json: "9007199254740993" } };
      yield { final: { json: "[1]", model: "m", attempts: 2, usage } };
    });
    expect(await all(bridge.models.streamExtract("x", { type: "array" }, { maxRetries: 1 }))).toMatchObject([
      { type: "partial", number: 1, attempt: 1, value: { a: 1 } },
      { type: "item", number: 2, attempt: 1, index: 0, value: 9007199254740993n },
      { type: "final", value: [1], model: "m", attempts: 2 },
    ]);
    expect(fake.last.request).toMatchObject({ schema: '{"type":"array"}', maxRetries: 1 });
  });

  const failed = {
    index: 1,
    failure: {
      code: 14,
      reason: "PROVIDER_ERROR",
      message: "down",
      metadata: { provider: "x" },
      violations: [{ field: "f", description: "d" }],
      retryAfterS: 1.5,
    },
  };

  test("batches, each answer by itself", async () => {
    fake.on("ModelService/GenerateBatch", () => ({
      answers: [{ index: 0, answer: { text: "one" } }, failed, { index: 2 }],
      usage: [usage],
      failed: 1,
    }));
    const batch = await bridge.models.generateBatch(["a", [{ role: "user", content: "b" }]], { maxConcurrency: 2 });
    expect(batch).toMatchObject({ failed: 1, usage: [usage] });
    expect(batch.answers[0]?.answer?.text).toBe("one");
    const error = batch.answers[1]?.error;
    expect(error).toBeInstanceOf(BridgeError);
    expect(error).toMatchObject({
      code: "UNAVAILABLE",
      reason: "PROVIDER_ERROR",
      message: "down",
      metadata: { provider: "x" },
      violations: [{ field: "f", description: "d" }],
      retryAfterMs: 1500,
    });
    expect(batch.answers[2]?.error).toMatchObject({ reason: "BAD_REPLY" });
    expect(fake.last.request).toMatchObject({ maxConcurrency: 2, prompts: [{}, { messages: [{ content: "b" }] }] });
    await expect(bridge.models.generateBatch("abc" as never)).rejects.toThrow("expected prompts to be a list");
  });

  test("batches as they are ready, and batches of extractions", async () => {
    fake.on("ModelService/StreamGenerateBatch", async function* () {
      yield { answer: failed };
      yield { answer: { index: 0, answer: { text: "one" } } };
      yield { final: { answered: 1, failed: 1, usage: [usage] } };
    });
    expect(await all(bridge.models.streamGenerateBatch(["a", "b"]))).toMatchObject([
      { type: "answer", index: 1, error: { reason: "PROVIDER_ERROR" } },
      { type: "answer", index: 0, answer: { text: "one" } },
      { type: "final", answered: 1, failed: 1, usage: [usage] },
    ]);
    fake.on("ModelService/ExtractBatch", () => ({ answers: [{ index: 0, answer: { json: '{"a":1}', attempts: 1 } }] }));
    const { answers } = await bridge.models.extractBatch<{ a: number }>(["x"], { type: "object" }, { maxRetries: 0 });
    expect(answers[0]?.answer?.value.a).toBe(1);
    expect(fake.last.request).toMatchObject({ schema: '{"type":"object"}', maxRetries: 0 });
  });

  test("images, models and costs", async () => {
    fake.on("ModelService/GenerateImages", () => ({ images: [{ data: Buffer.of(9), mediaType: "image/png" }, { url: "u" }] }));
    const { images } = await bridge.models.generateImages("a cat", { count: 2, delivery: "url" });
    expect(images).toMatchObject([{ data: Uint8Array.of(9), url: undefined }, { data: undefined, url: "u" }]);
    expect(fake.last.request).toMatchObject({ prompt: "a cat", count: 2, delivery: "IMAGE_DELIVERY_URL" });
    fake.on("ModelService/ListModels", () => ({ models: [{ name: "a", tokensPerMinute: 5, requests: 7 }] }));
    expect(await bridge.models.list()).toMatchObject([{ name: "a", tokensPerMinute: 5, requestsPerMinute: undefined, requests: 7 }]);
    fake.on("ModelService/ListCosts", () => ({
      costs: [{ function: "f", costUsd: 0.5, requests: 2 }],
      budgets: [{ name: "day", endsAtS: 10, state: { usdLeft: 1 } }],
    }));
    expect(await bridge.models.costs({ function: "f" })).toMatchObject({
      costs: [{ function: "f", costUsd: 0.5, requests: 2 }],
      budgets: [{ name: "day", endsAt: new Date(10_000), state: { usdLeft: 1 } }],
    });
    expect(fake.last.request).toEqual({ function: "f" });
  });
});

describe("sessions", () => {
  test("have modes, and views by their id", async () => {
    fake.on("SessionService/Open", () => ({ session: { id: "s", epoch: 1, variableBytes: 9, lost: "SESSION_LOST" } }));
    fake.on("InvokeService/Call", () => ({ result: { json: "1" } }));
    const session = await bridge.session({ mode: "strict", ordered: true });
    expect(fake.last.request).toMatchObject({ mode: "SESSION_MODE_STRICT", ordered: true });
    expect(session.opened).toMatchObject({ id: "s", epoch: 1, variableBytes: 9, lost: "SESSION_LOST" });
    await session.call("add");
    expect(fake.last.metadata.get("x-session-mode")).toEqual(["strict"]);
    const joined = bridge.joinSession("other");
    await joined.call("add");
    expect(["x-session-id", "x-session-mode"].flatMap((name) => fake.last.metadata.get(name))).toEqual(["other"]);
    fake.on("SessionService/List", ({ request }) =>
      request.pageToken ? { sessions: [{ id: "b" }] } : { sessions: [{ id: "a" }], nextPageToken: "n" },
    );
    expect((await bridge.sessions()).map(({ id }) => id)).toEqual(["a", "b"]);
    fake.on("SessionService/Close", () => {
      throw Object.assign(new Error("x"), { code: 5, details: "gone" });
    });
    await session[Symbol.asyncDispose]();
    await expect(session.close()).rejects.toMatchObject({ code: "NOT_FOUND" });
  });

  test("have variables with versions, which can be watched", async () => {
    const { variables } = bridge.joinSession("s");
    const packed = { msgpack: Buffer.of(0xc4, 1, 7) };
    fake.on("SessionService/GetVariable", () => ({
      variable: { name: "v", type: "VARIABLE_TYPE_BYTES", value: packed, version: 4 },
    }));
    expect(await variables.get<Uint8Array>("v")).toEqual({ name: "v", type: "bytes", value: Uint8Array.of(7), version: 4 });
    expect(fake.last.request).toEqual({ sessionId: "s", name: "v", form: "PAYLOAD_FORM_MSGPACK" });
    fake.on("SessionService/SetVariable", () => ({ version: 5 }));
    expect(await variables.set("v", { a: 1 }, { expectedVersion: 0 })).toBe(5);
    expect(fake.last.request).toMatchObject({ sessionId: "s", expectedVersion: "0", replaceType: false });
    expect(decodeValue(fake.last.request.value, "bigint")).toEqual({ a: 1 });
    await variables.set("v", Uint8Array.of(1), { replaceType: true });
    expect(fake.last.request).toMatchObject({ value: { raw: Buffer.of(1) }, replaceType: true });
    expect(fake.last.request.expectedVersion).toBeUndefined();
    fake.on("SessionService/DeleteVariable", () => ({ version: 6 }));
    expect(await variables.delete("v", { expectedVersion: 5 })).toBe(6);
    fake.on("SessionService/ListVariables", () => ({ variables: [{ name: "v", type: "VARIABLE_TYPE_INT", value: { json: "1" } }] }));
    expect(await variables.list()).toMatchObject([{ name: "v", type: "int", value: 1 }]);
    fake.on("SessionService/Watch", async function* () {
      yield { snapshot: { variables: [{ name: "v", value: { json: "1" } }], version: 1 } };
      yield { change: { variable: { name: "v", value: { json: "2" } }, version: 3, skipped: 1 } };
      yield { change: { variable: { name: "v" }, deleted: true, version: 4 } };
      yield { end: { reason: "closed" } };
    });
    expect(await all(variables.watch())).toMatchObject([
      { type: "snapshot", variables: [{ name: "v", value: 1 }], version: 1 },
      { type: "changed", variable: { name: "v", value: 2 }, version: 3, skipped: 1 },
      { type: "deleted", name: "v", version: 4 },
      { type: "end", reason: "closed" },
    ]);
    expect(fake.last.deadline).toBe(Infinity);
  });
});

describe("the server", () => {
  test("explains where a call would go", async () => {
    fake.on("InvokeService/Explain", () => ({
      function: "f",
      placement: "PLACEMENT_AUTO",
      requestBytes: 12,
      reason: "because",
      alternatives: [
        { route: "ROUTE_NATIVE", chosen: true, prediction: { totalUs: 5 }, service: { samples: 2, p50Us: 3 } },
        { route: "ROUTE_POOLED", pool: "general", excluded: "busy", load: { workers: 2, waitUs: 9 }, weight: 0.5 },
      ],
      front: { busy: 0.25, nativeLimit: 4 },
    }));
    const explained = await bridge.explain("f", { a: 1 });
    expect(explained).toMatchObject({
      placement: "auto",
      requestBytes: 12,
      reason: "because",
      chosen: { route: "native", prediction: { totalUs: 5 }, service: { samples: 2, p50Us: 3 }, load: undefined, weight: undefined },
      front: { busy: 0.25, nativeLimit: 4 },
    });
    expect(explained.alternatives[1]).toMatchObject({ excluded: "busy", load: { workers: 2, waitUs: 9 }, weight: 0.5 });
    expect(fake.last.request).toMatchObject({ function: "f", requestBytes: "11" });
  });

  test("lists hosted tools and one pool", async () => {
    fake.on("ToolService/ListTools", () => ({
      tools: [{ tool: { name: "t", argumentsSchema: '{"type":"object"}' }, registration: "r", connected: true, openCalls: 1 }],
    }));
    expect(await bridge.tools({ registration: "r" })).toEqual([
      { name: "t", description: "", argumentsSchema: { type: "object" }, registration: "r", connected: true, openCalls: 1 },
    ]);
    fake.on("PoolService/Get", ({ request }) => ({ pool: { name: request.name, state: "POOL_STATE_READY" } }));
    expect(await bridge.pool("llm")).toMatchObject({ name: "llm", state: "ready" });
  });

  test("receipts have every field that the protocol has", async () => {
    const { toReceipt } = await import("../src/receipt.js");
    const { wire } = await import("../src/wire.js");
    const receipt = wire["bridge.v1.Receipt"];
    const sent = toReceipt(
      receipt.deserialize(
        receipt.serialize({
          programVersion: 3,
          attempts: 2,
          alternative: "fast",
          hedged: true,
          fallback: true,
          tried: [{ alternative: "fast", kind: "first", failure: "QUEUE_FULL", us: 5 }],
          tools: [{ tool: "add", calls: 2, failed: 1, us: 9 }],
          toolCalls: 3,
          toolUs: 10,
          answers: [{ model: "b", cause: "fallback", passed: ["a: PROVIDER_ERROR"], ageMs: 4, originRequestId: "o" }],
          keyName: "ci",
        }),
      ),
    );
    expect(sent).toMatchObject({
      programVersion: 3,
      attempts: 2,
      alternative: "fast",
      hedged: true,
      fallback: true,
      tried: [{ alternative: "fast", kind: "first", failure: "QUEUE_FULL", us: 5 }],
      tools: [{ tool: "add", calls: 2, failed: 1, us: 9 }],
      toolCalls: 3,
      toolUs: 10,
      answers: [{ model: "b", cause: "fallback", passed: ["a: PROVIDER_ERROR"], ageMs: 4, originRequestId: "o" }],
      keyName: "ci",
    });
    const fields = Object.keys(receipt.deserialize(Buffer.alloc(0)));
    // What has a presence of its own has a second name, of its oneof.
    expect(Object.keys(sent).sort()).toEqual(fields.filter((name) => !name.startsWith("_")).concat("memoryChangeBytes").sort());
  });
});

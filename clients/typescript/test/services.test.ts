import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Bridge, connect } from "../src/index.js";
import { decodeValue } from "../src/payload.js";
import { FakeServer, failure } from "./fake-server.js";

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

describe("programs", () => {
  test("run sends inputs and the model, and returns the outputs", async () => {
    fake.on("ProgramService/Run", () => ({ outputs: { json: '{"queue":"billing","urgency":9007199254740993}' } }));
    const outputs = await bridge.programs.run("triage", { ticket: "Where?" }, { model: "small" });
    expect(outputs).toEqual({ queue: "billing", urgency: 9007199254740993n });
    expect(fake.last.request).toMatchObject({ program: "triage", model: "small", inputs: { body: "msgpack" } });
    expect(decodeValue(fake.last.request.inputs, "bigint")).toEqual({ ticket: "Where?" });
  });

  test("stream gives typed events", async () => {
    fake.on("ProgramService/StreamRun", async function* () {
      yield { sequence: 1, fieldDelta: { predictor: "self", field: "queue", text: "bil", last: false } };
      yield { sequence: 2, fieldDelta: { predictor: "self", field: "queue", text: "ling", last: true } };
      yield { sequence: 3, final: { outputs: { json: '{"queue":"billing"}' } } };
    });
    const events = [];
    for await (const event of bridge.programs.stream<{ queue: string }>("triage", { ticket: "Where?" })) {
      events.push(event.type === "delta" ? `${event.sequence} ${event.field}+${event.text} ${event.last}` : event);
    }
    expect(events).toEqual([
      "1 queue+bil false",
      "2 queue+ling true",
      { type: "final", sequence: 3, outputs: { queue: "billing" } },
    ]);
  });

  test("list follows the pages, describe parses the schemas", async () => {
    const pages: Record<string, object> = {
      "": { programs: [{ name: "a" }, { name: "b" }], nextPageToken: "more" },
      more: { programs: [{ name: "c", signature: "x -> y" }] },
    };
    fake.on("ProgramService/List", ({ request }) => pages[request.pageToken]);
    expect((await bridge.programs.list()).map(({ name, signature }) => name + signature)).toEqual(["a", "b", "cx -> y"]);
    fake.on("ProgramService/Describe", () => ({
      program: { name: "a", inputsSchema: '{"type":"object"}', outputsSchema: "", example: '{"x":1}' },
    }));
    expect(await bridge.programs.describe("a")).toMatchObject({
      inputsSchema: { type: "object" },
      outputsSchema: null,
      example: { x: 1 },
    });
  });
});

describe("models", () => {
  const answer = {
    text: "Hello",
    finishReason: "FINISH_REASON_STOP",
    model: "bridge/test",
    usage: { model: "bridge/test", calls: 1, inputTokens: 2, outputTokens: 3, costUsd: 0.5 },
  };

  test("generate sends only what was asked for", async () => {
    fake.on("ModelService/Generate", () => answer);
    expect(await bridge.models.generate("Hi")).toEqual({
      text: "Hello",
      finishReason: "stop",
      model: "bridge/test",
      usage: { model: "bridge/test", calls: 1, inputTokens: 2, outputTokens: 3, cachedTokens: 0, costUsd: 0.5, cachedCalls: 0, unpricedCalls: 0 },
      toolCalls: [],
    });
    const { request } = fake.last;
    expect(request.messages).toMatchObject([{ role: "ROLE_USER", content: "Hi" }]);
    expect(request.options).toEqual({ stop: [] });
    expect(request.tools).toEqual([]);
  });

  test("generate sends conversations, options and tools, and returns tool calls", async () => {
    const call = { id: "1", name: "clock", arguments: "{}" };
    fake.on("ModelService/Generate", () => ({ finishReason: "FINISH_REASON_TOOL_CALLS", toolCalls: [call] }));
    const reply = await bridge.models.generate(
      [
        { role: "system", content: "Be short" },
        { role: "assistant", content: "", toolCalls: [call] },
        { role: "tool", content: "noon", toolCallId: "1" },
      ],
      {
        model: "small",
        temperature: 0,
        topP: 0.5,
        maxTokens: 9,
        stop: ["."],
        seed: 2n ** 62n,
        tools: [{ name: "clock", description: "The time", parameters: { type: "object" } }],
      },
    );
    expect(reply).toMatchObject({ finishReason: "tool_calls", toolCalls: [call], usage: undefined });
    const { request } = fake.last;
    expect(request.messages.map(({ role }: { role: string }) => role)).toEqual(["ROLE_SYSTEM", "ROLE_ASSISTANT", "ROLE_TOOL"]);
    expect(request.messages[1].toolCalls).toEqual([call]);
    expect(request.messages[2].toolCallId).toBe("1");
    expect(request.options).toMatchObject({ temperature: 0, topP: 0.5, maxTokens: 9, stop: ["."], seed: "4611686018427387904" });
    expect(request.tools).toEqual([{ name: "clock", description: "The time", parametersSchema: '{"type":"object"}' }]);
  });

  test("stream gives texts and then the whole answer", async () => {
    fake.on("ModelService/StreamGenerate", async function* () {
      yield { textDelta: "Hel" };
      yield { textDelta: "lo" };
      yield { final: answer };
    });
    const events = [];
    for await (const event of bridge.models.stream("Hi")) events.push(event);
    expect(events).toMatchObject([
      { type: "text", text: "Hel" },
      { type: "text", text: "lo" },
      { type: "final", text: "Hello", finishReason: "stop", usage: { outputTokens: 3 } },
    ]);
  });

  test("extract sends the schema and parses the answer", async () => {
    fake.on("ModelService/Extract", () => ({ json: '{"name":"Ada"}', model: "bridge/test", attempts: 2 }));
    const schema = { type: "object", properties: { name: { type: "string" } } };
    const { value, attempts } = await bridge.models.extract<{ name: string }>("Who?", schema, { maxRetries: 0 });
    expect(value.name).toBe("Ada");
    expect(attempts).toBe(2);
    expect(JSON.parse(fake.last.request.schema)).toEqual(schema);
    expect(fake.last.request.maxRetries).toBe(0);
    await bridge.models.extract("Who?", schema);
    expect(fake.last.request.maxRetries).toBeUndefined();
  });
});

describe("embeddings", () => {
  test("embed returns one Float32Array per text", async () => {
    fake.on("EmbeddingService/Embed", () => ({ embeddings: [{ values: [0.1, 0.2] }, { values: [-1, 0] }], dimensions: 2 }));
    const vectors = await bridge.embeddings.embed(["a", "b"], { normalize: false });
    expect(vectors).toEqual([Float32Array.of(0.1, 0.2), Float32Array.of(-1, 0)]);
    expect(fake.last.request).toMatchObject({ texts: ["a", "b"], normalize: false });
    await bridge.embeddings.embed(["a"]);
    expect(fake.last.request.normalize).toBeUndefined();
  });

  test("a string alone is refused rather than cut into letters", async () => {
    await expect(bridge.embeddings.embed("abc" as never)).rejects.toThrow("expected texts to be an array of strings");
  });

  test("similarity names how to compare", async () => {
    fake.on("EmbeddingService/Similarity", () => ({ rows: [{ scores: [1, 0.5] }] }));
    expect(await bridge.embeddings.similarity(["a"], ["a", "b"])).toEqual([Float32Array.of(1, 0.5)]);
    expect(fake.last.request).toMatchObject({ function: "SIMILARITY_FUNCTION_COSINE", pairwise: false });
    await bridge.embeddings.similarity(["a"], ["b"], { function: "manhattan", pairwise: true });
    expect(fake.last.request).toMatchObject({ function: "SIMILARITY_FUNCTION_MANHATTAN", pairwise: true });
  });
});

describe("metrics", () => {
  const example = { prediction: "a", references: ["a", "b"] };
  const score = { value: 1, details: { precision: 0.5 } };

  test("score", async () => {
    fake.on("MetricService/Score", () => ({ score, parameters: '{"max_order":4}', signature: "v2" }));
    const got = await bridge.metrics.score("bleu", example, { parameters: { lowercase: true } });
    expect(got).toEqual({ ...score, parameters: { max_order: 4 }, signature: "v2" });
    expect(fake.last.request).toEqual({ metric: "bleu", example, parameters: '{"lowercase":true}' });
  });

  test("scoreBatch", async () => {
    fake.on("MetricService/ScoreBatch", () => ({ scores: [score, { value: Number.NaN }], aggregate: { value: 0.75 } }));
    const got = await bridge.metrics.scoreBatch("f1", [example, example]);
    expect(got.scores).toEqual([score, { value: Number.NaN, details: {} }]);
    expect(got.aggregate.value).toBe(0.75);
    expect(fake.last.request.parameters).toBe("");
  });

  test("list", async () => {
    fake.on("MetricService/ListMetrics", () => ({
      metrics: [{ name: "rouge", placement: "PLACEMENT_POOLED", available: false, missingExtra: "metrics" }],
    }));
    expect(await bridge.metrics.list()).toMatchObject([
      { name: "rouge", placement: "pooled", available: false, missingExtra: "metrics", parametersSchema: null },
    ]);
  });
});

describe("sessions", () => {
  test("a session's calls carry its id, the bridge's do not, and close ends it", async () => {
    fake.on("SessionService/Open", ({ request }) => ({ session: { id: request.id || "made" } }));
    fake.on("SessionService/Close", () => ({}));
    fake.on("SessionService/Get", () => ({
      session: {
        id: "s",
        mode: "SESSION_MODE_HINT",
        workers: { general: "general-1" },
        epoch: 2,
        openedAt: { seconds: 1700000000, nanos: 500_000_000 },
        ttl: { seconds: 90 },
        calls: 3,
      },
    }));
    fake.on("InvokeService/Call", () => ({ result: { json: "1" } }));
    fake.on("MetricService/ListMetrics", () => ({ metrics: [] }));
    const session = await bridge.session({ id: "s", ttlMs: 90_500 });
    expect(fake.last.request).toMatchObject({ id: "s", mode: "SESSION_MODE_HINT", ttl: { seconds: "90", nanos: 500_000_000 } });
    await session.call("add");
    expect(fake.last.metadata.get("x-session-id")).toEqual(["s"]);
    await session.metrics.list();
    expect(fake.last.metadata.get("x-session-id")).toEqual(["s"]);
    await bridge.call("add");
    expect(fake.last.metadata.get("x-session-id")).toEqual([]);
    expect(await session.info()).toMatchObject({
      id: "s",
      mode: "hint",
      workers: { general: "general-1" },
      epoch: 2,
      openedAt: new Date(1700000000500),
      ttlMs: 90_000,
      calls: 3,
    });
    await session.close();
    expect(fake.last).toMatchObject({ method: "SessionService/Close", request: { id: "s" } });
    expect((await bridge.session()).id).toBe("made");
  });
});

describe("the server", () => {
  test("functions follows the pages and describe parses the schemas", async () => {
    fake.on("InvokeService/ListFunctions", ({ request }) =>
      request.pageToken === "p2"
        ? { functions: [{ name: "b", kind: "FUNCTION_KIND_PROGRAM", placement: "PLACEMENT_NATIVE" }] }
        : { functions: [{ name: "a", kind: "FUNCTION_KIND_FUNCTION", streaming: true }], nextPageToken: "p2" },
    );
    expect(await bridge.functions({ prefix: "x" })).toMatchObject([
      { name: "a", kind: "function", streaming: true, placement: "unspecified" },
      { name: "b", kind: "program", streaming: false, placement: "native" },
    ]);
    expect(fake.last.request.prefix).toBe("x");
    fake.on("InvokeService/DescribeFunction", () => ({ function: { name: "a", argumentsSchema: "{}", example: '{"n":1}' } }));
    expect(await bridge.describe("a")).toMatchObject({ name: "a", argumentsSchema: {}, resultSchema: null, example: { n: 1 } });
  });

  test("pools", async () => {
    fake.on("PoolService/List", () => ({
      pools: [
        {
          name: "llm",
          state: "POOL_STATE_MISSING_EXTRA",
          memoryLimitBytes: 2 ** 40,
          workers: [{ id: "llm-1", state: "WORKER_STATE_READY", rssBytes: 5, age: { nanos: 1_500_000 } }],
          exits: [{ worker: "llm-0", cause: "killed by SIGKILL" }],
        },
      ],
    }));
    expect(await bridge.pools()).toMatchObject([
      {
        name: "llm",
        state: "missing_extra",
        memoryLimitBytes: 2 ** 40,
        proofAgeMs: undefined,
        workers: [{ id: "llm-1", state: "ready", rssBytes: 5, ageMs: 1.5 }],
        exits: [{ worker: "llm-0", cause: "killed by SIGKILL", ageMs: undefined }],
      },
    ]);
  });

  test("health", async () => {
    fake.on("Health/Check", ({ request }) => {
      if (request.service === "pool/none") throw failure("NOT_FOUND", "no such service");
      return { status: request.service === "" ? "SERVING" : "NOT_SERVING" };
    });
    expect(await bridge.health()).toBe("SERVING");
    expect(await bridge.health("pool/llm")).toBe("NOT_SERVING");
    await expect(bridge.health("pool/none")).rejects.toMatchObject({ code: "NOT_FOUND" });
  });
});

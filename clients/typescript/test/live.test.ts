/**
 * Against a real server with examples/demo_app.py, the test model and MiniLM, whose address is in BRIDGE_ADDRESS.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Bridge, BridgeError, connect, Tensor, tensor } from "../src/index.js";

const address = process.env.BRIDGE_ADDRESS;
if (!address && process.env.CI) {
  throw new Error("BRIDGE_ADDRESS is not set: in CI these tests must run; start them with tests/clients/test_node_client.py");
}

describe.skipIf(!address)("a real bridge", () => {
  let bridge: Bridge;
  beforeAll(() => {
    bridge = connect(address as string, { timeoutMs: 50_000 });
  });
  afterAll(() => bridge.close());

  test("is healthy, and lists its functions and pools", async () => {
    expect(await bridge.health()).toBe("SERVING");
    const functions = await bridge.functions();
    expect(functions.find(({ name }) => name === "count")).toMatchObject({ streaming: true, kind: "function" });
    expect(functions.find(({ name }) => name === "triage")).toMatchObject({ kind: "program" });
    expect((await bridge.functions({ prefix: "ad" })).map(({ name }) => name)).toEqual(["add"]);
    const pools = await bridge.pools();
    expect(pools.map(({ name }) => name)).toEqual(["embeddings", "general", "llm"]);
    expect(pools.every(({ workers }) => workers.length > 0)).toBe(true);
    expect(await bridge.describe("add")).toMatchObject({
      argumentsSchema: { properties: { a: { type: "integer" } } },
      resultSchema: { type: "integer" },
    });
  });

  test("calls a function with numbers that JSON alone would round", async () => {
    expect(await bridge.call("add", { a: 1, b: 2 })).toBe(3);
    expect(await bridge.call("add", { a: 9007199254740993n, b: 2n ** 62n })).toBe(9007199254740993n + 2n ** 62n);
    expect(await bridge.call("invoice", { items: [{ name: "pen", price: 1.5, quantity: 2 }], discount: 0.5 })).toEqual({
      lines: 1,
      total: 1.5,
    });
  });

  test("tells every mistake in the arguments", async () => {
    const call = bridge.call("invoice", { items: [{ name: "pen", price: "dear" }, {}] });
    const error: BridgeError = await call.then(() => expect.fail("no error"), (caught) => caught);
    expect(error).toBeInstanceOf(BridgeError);
    expect(error).toMatchObject({ code: "INVALID_ARGUMENT", reason: "SCHEMA_MISMATCH" });
    const fields = error.violations.map(({ field }) => field);
    expect(fields.sort()).toEqual(["items[0].price", "items[1].name", "items[1].price"]);
  });

  test("suggests the right name for a wrong one", async () => {
    const call = bridge.call("ad", { a: 1, b: 2 }, { requestId: "node-404" });
    const error: BridgeError = await call.then(() => expect.fail("no error"), (caught) => caught);
    expect(error).toMatchObject({ code: "NOT_FOUND", reason: "UNKNOWN_FUNCTION", requestId: "node-404" });
    expect(error.message).toContain("add");
  });

  test("echoes tensors, bytes and large integers bit for bit", async () => {
    const args = {
      m: tensor(Float32Array.of(1, -0, Infinity, Number.NaN, 5, 6), [2, 3]),
      ids: BigInt64Array.of(-(2n ** 63n), 2n ** 63n - 1n),
      blob: Uint8Array.of(0, 255),
      big: 2n ** 63n,
      text: "ü\u2028\u0000",
    };
    expect(await bridge.call("bridge.echo", args)).toEqual({
      ...args,
      m: new Tensor(Float32Array.of(1, -0, Infinity, Number.NaN, 5, 6), [2, 3], "FP32"),
      ids: new Tensor(args.ids, [2], "INT64"),
    });
    const megabyte = new Uint8Array(1024 * 1024).fill(7);
    expect(Buffer.compare((await bridge.call("bridge.echo", megabyte)) as Uint8Array, megabyte)).toBe(0);
  });

  test("sends a receipt", async () => {
    const { result, receipt } = await bridge.callWithReceipt("add", { a: 1, b: 2 }, { requestId: "node-1" });
    expect(result).toBe(3);
    expect(receipt).toMatchObject({ requestId: "node-1", function: "add", route: "pooled", pool: "general" });
    expect(receipt?.totalUs).toBeGreaterThan(0);
    expect(receipt?.totalUs).toBeGreaterThanOrEqual(receipt?.workerUs ?? Infinity);
  });

  test("streams, and stops when the loop is left", async () => {
    const stream = bridge.stream<number>("count", { to: 5, start: 2 });
    const items: number[] = [];
    for await (const item of stream) items.push(item);
    expect(items).toEqual([2, 3, 4, 5]);
    expect(stream.receipt).toMatchObject({ function: "count" });
    for await (const item of bridge.stream("count", { to: 1_000_000_000 })) if (item === 3) break;
    expect(await bridge.call("add", { a: 1, b: 1 }, { timeoutMs: 20_000 })).toBe(2);
  });

  test("ends at the deadline and at a cancel", async () => {
    const late = bridge.stream("ticks", { number: 1000, every_s: 0.05 }, { timeoutMs: 400 });
    const seen: unknown[] = [];
    const run = async () => {
      for await (const tick of late) seen.push(tick);
    };
    await expect(run()).rejects.toMatchObject({ code: "DEADLINE_EXCEEDED" });
    expect(seen[0]).toBe("tick 1");
    const controller = new AbortController();
    const cancelled = async () => {
      const { signal } = controller;
      for await (const _ of bridge.stream("ticks", { number: 1000, every_s: 0.05 }, { signal })) controller.abort();
    };
    await expect(cancelled()).rejects.toMatchObject({ code: "CANCELLED" });
  });

  test("runs a DSPy program, and streams it", async () => {
    const inputs = { ticket: "I was charged twice" };
    const outputs = await bridge.programs.run("triage", inputs);
    expect(["billing", "technical", "sales"]).toContain(outputs.queue);
    expect(Number.isInteger(outputs.urgency)).toBe(true);
    const stream = bridge.programs.stream("triage", inputs);
    const fields: Record<string, string> = {};
    let final: unknown;
    for await (const event of stream) {
      if (event.type === "delta") fields[event.field] = (fields[event.field] ?? "") + event.text;
      else if (event.type === "final") final = event.outputs;
    }
    expect(final).toMatchObject({ queue: outputs.queue, urgency: outputs.urgency });
    expect(fields.reasoning?.trim()).toBe((final as { reasoning: string }).reasoning);
    expect(stream.receipt?.usage[0]).toMatchObject({ model: "bridge/test", calls: 1 });
    expect((await bridge.programs.list()).map(({ name }) => name)).toContain("triage");
    expect(await bridge.programs.describe("triage")).toMatchObject({ inputsSchema: { required: ["ticket"] } });
  });

  test("generates, streams and extracts", async () => {
    const answer = await bridge.models.generate("Say hello");
    expect(answer).toMatchObject({ finishReason: "stop", model: "bridge/test" });
    expect(answer.text).not.toBe("");
    let text = "";
    let final = "";
    for await (const event of bridge.models.stream("Say hello")) {
      if (event.type === "text") text += event.text;
      else if (event.type === "final") final = event.text;
    }
    expect(text).toBe(answer.text);
    expect(final).toBe(answer.text);
    const schema = { type: "object", properties: { age: { type: "integer" } }, required: ["age"] };
    const { value, attempts } = await bridge.models.extract<{ age: number }>("How old is Ada?", schema);
    expect(Number.isInteger(value.age)).toBe(true);
    expect(attempts).toBeGreaterThan(0);
  });

  test("embeds and compares texts", async () => {
    const [cat, kitten] = await bridge.embeddings.embed(["a cat", "a kitten"]);
    expect(cat).toHaveLength(384);
    expect(Math.hypot(...(kitten as Float32Array))).toBeCloseTo(1, 4);
    const [row] = await bridge.embeddings.similarity(["a cat"], ["a kitten", "the stock market"]);
    expect(row?.[0]).toBeGreaterThan((row?.[1] as number) + 0.2);
  });

  test("scores", async () => {
    const example = { prediction: "the cat sat on the mat", references: ["the cat sat on the mat"] };
    expect(await bridge.metrics.score("exact_match", example)).toMatchObject({ value: 1 });
    const bleu = await bridge.metrics.score("bleu", example);
    expect(bleu.value).toBeCloseTo(100, 5);
    expect(bleu.signature).toContain("version:");
    const worse = { prediction: "a dog", references: ["the cat sat on the mat"] };
    const batch = await bridge.metrics.scoreBatch("exact_match", [example, worse]);
    expect(batch.scores.map(({ value }) => value)).toEqual([1, 0]);
    expect(batch.aggregate.value).toBeCloseTo(0.5, 5);
    expect((await bridge.metrics.list()).map(({ name }) => name)).toContain("bleu");
  });

  test("keeps a session on one worker", async () => {
    const session = await bridge.session({ ttlMs: 60_000 });
    const workers = new Set<string | undefined>();
    for (let call = 0; call < 10; call += 1) {
      workers.add((await session.callWithReceipt("add", { a: call, b: 1 })).receipt?.worker);
    }
    expect(workers.size).toBe(1);
    expect(await session.info()).toMatchObject({ id: session.id, ttlMs: 60_000, calls: 10 });
    await session.close();
    await expect(session.info()).rejects.toMatchObject({ code: "NOT_FOUND" });
  });
});

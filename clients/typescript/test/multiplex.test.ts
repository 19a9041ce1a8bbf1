import type { ServerDuplexStream } from "@grpc/grpc-js";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type Bridge, connect, type Receipt } from "../src/index.js";
import { decodeValue } from "../src/payload.js";
import { wire } from "../src/wire.js";
import { FakeServer } from "./fake-server.js";

let fake: FakeServer;
let bridge: Bridge;
let stream: ServerDuplexStream<any, any>;
let messages: any[];
let answer: (call: any) => object | undefined;
let limit: number;
let ended: boolean;

beforeEach(async () => {
  fake = await FakeServer.start();
  bridge = connect(fake.address);
  messages = [];
  limit = 0;
  ended = false;
  answer = ({ id, request }) => ({ id, response: { result: { json: JSON.stringify(argumentsOf(request)) } } });
  fake.talks.set("InvokeService/Multiplex", (call) => {
    stream = call;
    call.on("data", (message) => {
      messages.push(message);
      const results = message.calls.map(answer).filter((one: unknown) => one !== undefined);
      call.write({ results, maxOpenCalls: messages.length === 1 ? limit : 0 });
    });
    call.on("end", () => {
      ended = true;
      call.end();
    });
    call.on("error", () => {});
  });
});
afterEach(() => {
  bridge.close();
  fake.stop();
});

const argumentsOf = (request: any) => decodeValue(request.arguments, "bigint");

test("calls that are begun together are one message; close waits for the answers", async () => {
  const many = bridge.multiplex({ budget: { calls: 100 }, session: "s-1" });
  const calls = [1, 2, 3].map((n) => many.call("add", { n }, { timeoutMs: 1500.2, priority: "low", sessionMode: "strict" }));
  await many.close();
  expect(await Promise.all(calls)).toEqual([{ n: 1 }, { n: 2 }, { n: 3 }]);
  expect(messages.length).toBe(1);
  expect(messages[0].calls[0]).toMatchObject({
    id: "1",
    request: { function: "add" },
    options: { timeoutMs: "1501", priority: "PRIORITY_LOW", sessionMode: "SESSION_MODE_STRICT" },
  });
  expect(["x-budget-calls", "x-session-id", "x-timeout-ms"].flatMap((name) => stream.metadata.get(name))).toEqual(["100", "s-1"]);
  expect(ended).toBe(true);
  expect(() => many.call("add")).toThrow("this multiplexed stream is closed");
});

test("a failure is that of its call, with its receipt; what several share is merged", async () => {
  const error = wire["google.rpc.Status"].serialize({
    code: 3,
    message: "wrong",
    details: [
      {
        type_url: "type.googleapis.com/google.rpc.ErrorInfo",
        value: wire["google.rpc.ErrorInfo"].serialize({ reason: "SCHEMA_MISMATCH", domain: "bridge" }),
      },
    ],
  });
  answer = ({ id }) => (id === "1" ? undefined : { id, error, receipt: { totalUs: 7 } });
  const many = bridge.multiplex();
  const told: Receipt[] = [];
  const good = many.call("add", {}, { onReceipt: (receipt) => told.push(receipt) });
  const bad = many.call("add", {}, { requestId: "r-2" });
  await expect(bad).rejects.toMatchObject({
    code: "INVALID_ARGUMENT",
    reason: "SCHEMA_MISMATCH",
    message: "wrong",
    requestId: "r-2",
    receipt: { totalUs: 7 },
  });
  const shared = { function: "add", route: "ROUTE_POOLED", pool: "general", worker: "general-1", workerUs: 5 };
  const receipt = { requestId: "s.1", worker: "general-2", totalUs: 9, usage: [{ model: "m", calls: 1 }] };
  stream.write({ results: [{ id: 1, response: {}, receipt, sharedReceipt: 1 }], sharedReceipts: [shared] });
  expect(await good).toBeNull();
  expect(told).toMatchObject([
    { requestId: "s.1", function: "add", route: "pooled", pool: "general", worker: "general-2", workerUs: 5, totalUs: 9 },
  ]);
  expect(told[0]?.memoryChangeBytes).toBeUndefined();
  await many.close();
});

test("an abort ends one call, here at once and on the server", async () => {
  answer = () => undefined;
  const many = bridge.multiplex();
  const controller = new AbortController();
  const waiting = many.call("add");
  const call = many.call("slow", {}, { signal: controller.signal });
  await expect.poll(() => messages.length).toBe(1);
  controller.abort(new Error("enough"));
  await expect(call).rejects.toMatchObject({ code: "CANCELLED", cause: new Error("enough") });
  await expect.poll(() => messages.at(-1).cancelledIds).toEqual(["2"]);
  await expect(many.call("add", {}, { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: "CANCELLED" });
  stream.write({ results: [{ id: 2, error: Buffer.alloc(0) }, { id: 1, response: { result: { json: "5" } } }] });
  expect(await waiting).toBe(5);
  await many.close();
});

test("no more calls are open than the server takes", async () => {
  limit = 2;
  let open = 0;
  let most = 0;
  answer = ({ id }) => {
    open += 1;
    most = Math.max(most, open);
    setImmediate(() => {
      open -= 1;
      stream.write({ results: [{ id, response: { result: { json: id } } }] });
    });
    return undefined;
  };
  const many = bridge.multiplex();
  expect(await many.call("first")).toBe(1);
  const calls = Array.from({ length: 20 }, () => many.call("add"));
  expect((await Promise.all(calls)).length).toBe(20);
  expect(most).toBe(2);
  await many[Symbol.asyncDispose]();
});

test("calls that have no answer fail with the stream", async () => {
  answer = () => undefined;
  const many = bridge.multiplex();
  const calls = [many.call("add"), many.call("add")];
  await expect.poll(() => messages.length).toBe(1);
  stream.end();
  for (const call of calls) await expect(call).rejects.toThrow("left calls without an answer");
  expect(() => many.call("add")).toThrow("left calls without an answer");
  await many.close();
});

test("abort cancels all calls, and arguments that can not be sent fail alone", async () => {
  answer = () => undefined;
  const many = bridge.multiplex();
  const call = many.call("slow");
  await expect(many.call("add", { a: new Map() })).rejects.toThrow("a is a Map");
  await expect.poll(() => messages.length).toBe(1);
  const cancelled = new Promise((resolve) => stream.on("cancelled", resolve));
  await many.abort();
  await expect(call).rejects.toMatchObject({ code: "CANCELLED" });
  await cancelled;
});

import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { BridgeError, connect, type Receipt } from "../src/index.js";
import { decodeValue } from "../src/payload.js";
import { wire } from "../src/wire.js";
import { FakeServer, failure, result } from "./fake-server.js";

let fake: FakeServer;
beforeAll(async () => {
  fake = await FakeServer.start();
});
afterAll(() => fake.stop());
beforeEach(() => {
  fake.answers.clear();
  fake.on("InvokeService/Call", () => result("done"));
});

/** Return the error that a promise is rejected with. */
async function rejection(promise: Promise<unknown>): Promise<BridgeError> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(BridgeError);
  return error as BridgeError;
}

const until = (signal: Promise<void>) => signal.then(() => failure("CANCELLED", "noticed"));

describe("what a call sends", () => {
  test("function, arguments, a request id and the default deadline of a minute", async () => {
    const before = Date.now();
    expect(await connect(fake.address).call("add", { a: 1 })).toBe("done");
    const { request, metadata, deadline } = fake.last;
    expect(request).toMatchObject({ function: "add", arguments: { body: "msgpack" } });
    expect(decodeValue(request.arguments, "bigint")).toEqual({ a: 1 });
    expect(metadata.get("x-timeout-ms")).toEqual(["60000"]);
    expect(metadata.get("x-request-id")[0]).toMatch(/^[0-9a-f-]{36}$/);
    expect(metadata.get("x-session-id")).toEqual([]);
    expect(Number(deadline) - before).toBeGreaterThan(58_000);
    expect(Number(deadline) - before).toBeLessThan(62_000);
  });

  test("the options of the call win over those of the connection", async () => {
    const bridge = connect(fake.address, { timeoutMs: 5000, metadata: { "x-tenant": "a", authorization: "Bearer x" } });
    const options = { timeoutMs: 1500.5, requestId: "r-1", session: "s-1", metadata: { "x-tenant": "b" } };
    await bridge.call("add", {}, options);
    const sent = (name: string) => fake.last.metadata.get(name);
    expect(["x-timeout-ms", "x-request-id", "x-session-id", "x-tenant", "authorization"].flatMap(sent)).toEqual([
      "1501",
      "r-1",
      "s-1",
      "b",
      "Bearer x",
    ]);
    await bridge.call("add", {}, { timeoutMs: undefined as never });
    expect(sent("x-timeout-ms")).toEqual(["5000"]);
  });

  test("no deadline where it is Infinity, and an error for what is no time", async () => {
    const bridge = connect(fake.address);
    await bridge.call("add", {}, { timeoutMs: Infinity });
    expect(fake.last.metadata.get("x-timeout-ms")).toEqual([]);
    expect(fake.last.deadline).toBe(Infinity);
    for (const timeoutMs of [0, -1, Number.NaN]) {
      await expect(bridge.call("add", {}, { timeoutMs })).rejects.toThrow("expected timeoutMs above 0");
    }
    expect(() => connect(fake.address, { timeoutMs: 0 })).toThrow(RangeError);
  });
});

describe("how calls fail", () => {
  test("the details become fields of the error", async () => {
    fake.on("InvokeService/Call", () => {
      throw failure("INVALID_ARGUMENT", "the whole message", [
        { type: "google.rpc.ErrorInfo", value: { reason: "SCHEMA_MISMATCH", domain: "bridge", metadata: { pool: "general" } } },
        { type: "google.rpc.BadRequest", value: { fieldViolations: [{ field: "items[2].name", description: "expected" }] } },
        { type: "google.rpc.RetryInfo", value: { retryDelay: { seconds: 1, nanos: 250_000_000 } } },
        { type: "google.rpc.DebugInfo", value: { stackEntries: ["frame"], detail: "Traceback" } },
      ]);
    });
    const error = await rejection(connect(fake.address).call("add", {}, { requestId: "r-2" }));
    expect(error).toMatchObject({
      code: "INVALID_ARGUMENT",
      reason: "SCHEMA_MISMATCH",
      message: "the whole message",
      violations: [{ field: "items[2].name", description: "expected" }],
      metadata: { pool: "general" },
      retryAfterMs: 1250,
      requestId: "r-2",
      traceback: "frame\nTraceback",
    });
  });

  test("without details, and with details that can not be read, code and message stand", async () => {
    const bare = failure("NOT_FOUND", "x");
    fake.on("InvokeService/Call", () => {
      throw bare;
    });
    const bridge = connect(fake.address);
    const without = await rejection(bridge.call("add"));
    expect(without).toMatchObject({ code: "NOT_FOUND", reason: "", message: "the short form", violations: [] });
    (bare as Error & { metadata: import("@grpc/grpc-js").Metadata }).metadata.set("grpc-status-details-bin", Buffer.of(255));
    expect(await rejection(bridge.call("add"))).toMatchObject({ code: "NOT_FOUND", message: "the short form" });
  });

  test("the stack shows where the call was made", async () => {
    fake.on("InvokeService/Call", () => {
      throw failure("ABORTED", "x");
    });
    const callFromHere = async () => await connect(fake.address).call("add");
    expect((await rejection(callFromHere())).stack).toMatch(/^BridgeError: the short form\n.*callFromHere/s);
  });

  test("a server that is not there is said so", async () => {
    const stopped = await FakeServer.start();
    stopped.stop();
    const error = await rejection(connect(stopped.address).call("add"));
    expect(error.code).toBe("UNAVAILABLE");
    expect(error.message).toContain(`can not reach the bridge at ${stopped.address}; is it running there`);
  });

  test("a deadline ends the call here and on the server", async () => {
    let noticed: Promise<void> | undefined;
    fake.on("InvokeService/Call", async ({ cancelled }) => {
      noticed = cancelled;
      throw await until(cancelled);
    });
    const error = await rejection(connect(fake.address).call("slow", {}, { timeoutMs: 150 }));
    expect(error.code).toBe("DEADLINE_EXCEEDED");
    expect(error.message).toContain("no answer within 150 ms");
    await noticed;
  });

  test("a reply above the limit, and a request above the server's, end with an error", async () => {
    fake.on("InvokeService/Call", () => result("x".repeat(2000)));
    const small = connect(fake.address, { maxReplyBytes: 1000 });
    const large = await rejection(small.call("big"));
    expect([large.code, large.reason]).toEqual(["RESOURCE_EXHAUSTED", "MESSAGE_TOO_LARGE"]);
    expect(large.message).toContain("maxReplyBytes");
    expect(large.metadata).toMatchObject({ limit_bytes: "1000" });
    const error = await rejection(connect(fake.address).call("big", { text: "x".repeat(3_000_000) }, { timeoutMs: 3000 }));
    expect(["RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED"]).toContain(error.code);
  });

  test("arguments that can not be sent fail before anything is sent", async () => {
    const count = fake.arrived.length;
    await expect(connect(fake.address).call("add", { a: new Map() })).rejects.toThrow(TypeError);
    expect(fake.arrived.length).toBe(count);
  });
});

describe("cancelling", () => {
  test("a signal cancels a call on the server", async () => {
    const controller = new AbortController();
    let noticed: Promise<void> | undefined;
    fake.on("InvokeService/Call", async ({ cancelled }) => {
      noticed = cancelled;
      controller.abort(new Error("enough"));
      throw await until(cancelled);
    });
    const error = await rejection(connect(fake.address).call("slow", {}, { signal: controller.signal }));
    expect(error.code).toBe("CANCELLED");
    expect(error.cause).toEqual(new Error("enough"));
    await noticed;
  });

  test("a signal that is aborted already sends nothing", async () => {
    const count = fake.arrived.length;
    const signal = AbortSignal.abort();
    const bridge = connect(fake.address);
    expect((await rejection(bridge.call("add", {}, { signal }))).code).toBe("CANCELLED");
    const stream = bridge.stream("count", {}, { signal });
    expect((await rejection(stream[Symbol.asyncIterator]().next())).code).toBe("CANCELLED");
    expect(fake.arrived.length).toBe(count);
  });

  test("a signal cancels a stream between two items", async () => {
    fake.on("InvokeService/StreamCall", async function* ({ cancelled }) {
      yield { item: { json: "1" } };
      await cancelled;
    });
    const controller = new AbortController();
    const seen: unknown[] = [];
    const error = await rejection(
      (async () => {
        for await (const item of connect(fake.address).stream("count", {}, { signal: controller.signal })) {
          seen.push(item);
          controller.abort();
        }
      })(),
    );
    expect(seen).toEqual([1]);
    expect(error.code).toBe("CANCELLED");
    await fake.last.cancelled;
  });

  test("leaving a loop early cancels the stream on the server", async () => {
    fake.on("InvokeService/StreamCall", async function* ({ cancelled }) {
      yield { item: { json: "1" } };
      yield { item: { json: "2" } };
      await cancelled;
    });
    for await (const item of connect(fake.address).stream("count")) {
      expect(item).toBe(1);
      break;
    }
    await fake.last.cancelled;
  });

  test("closing the bridge makes further calls fail", async () => {
    const bridge = connect(fake.address);
    await bridge.call("add");
    bridge.close();
    await expect(bridge.call("add")).rejects.toThrow();
  });
});

describe("streams", () => {
  test("give their items in order and then the receipt", async () => {
    fake.trailers.set("bridge-receipt-bin", wire["bridge.v1.Receipt"].serialize({ function: "count", queueUs: 12 }));
    fake.on("InvokeService/StreamCall", async function* () {
      for (let item = 0; item < 500; item += 1) yield { item: { json: String(item) } };
    });
    const stream = connect(fake.address).stream<number>("count", { n: 500 });
    expect(stream.receipt).toBeUndefined();
    const items: number[] = [];
    for await (const item of stream) items.push(item);
    expect(items).toEqual(Array.from({ length: 500 }, (_, index) => index));
    expect(stream.receipt).toMatchObject({ function: "count", queueUs: 12 });
    expect(() => stream[Symbol.asyncIterator]()).toThrow("a stream can be iterated over once");
    fake.trailers.remove("bridge-receipt-bin");
  });

  test("an error comes after the items before it", async () => {
    fake.on("InvokeService/StreamCall", async function* () {
      yield { item: { json: "1" } };
      throw failure("ABORTED", "died", [{ type: "google.rpc.ErrorInfo", value: { reason: "WORKER_CRASHED" } }]);
    });
    const items: unknown[] = [];
    const run = async () => {
      for await (const item of connect(fake.address).stream("count")) items.push(item);
    };
    expect(await rejection(run())).toMatchObject({ code: "ABORTED", reason: "WORKER_CRASHED", message: "died" });
    expect(items).toEqual([1]);
  });
});

describe("receipts", () => {
  const usage = [{ model: "bridge/test", calls: 1, inputTokens: 5, outputTokens: 7, cachedTokens: 0 }];
  const sent = { requestId: "r", function: "add", route: "ROUTE_POOLED", pool: "general", totalUs: 99, usage } as const;

  test("come with the result", async () => {
    fake.trailers.set("bridge-receipt-bin", wire["bridge.v1.Receipt"].serialize({ ...sent, memoryChangeBytes: -4096 }));
    const { result: value, receipt } = await connect(fake.address).callWithReceipt("add");
    expect(value).toBe("done");
    expect(receipt).toMatchObject({ ...sent, route: "pooled", memoryChangeBytes: -4096, usage });
    expect(receipt?.usage[0]?.costUsd).toBeUndefined();
  });

  test("absent facts are undefined, and a receipt that can not be read harms nothing", async () => {
    fake.trailers.set("bridge-receipt-bin", wire["bridge.v1.Receipt"].serialize(sent));
    let told: Receipt | undefined;
    await connect(fake.address).call("add", {}, { onReceipt: (receipt) => (told = receipt) });
    expect(told?.memoryChangeBytes).toBeUndefined();
    fake.trailers.set("bridge-receipt-bin", Buffer.of(255, 255));
    expect(await connect(fake.address).callWithReceipt("add")).toEqual({ result: "done", receipt: undefined });
    fake.trailers.remove("bridge-receipt-bin");
  });

  test("come with a failure too", async () => {
    fake.on("InvokeService/Call", () => {
      const error = failure("ABORTED", "died") as Error & { metadata: import("@grpc/grpc-js").Metadata };
      error.metadata.set("bridge-receipt-bin", wire["bridge.v1.Receipt"].serialize(sent));
      throw error;
    });
    const told: Receipt[] = [];
    const error = await rejection(connect(fake.address).call("add", {}, { onReceipt: (receipt) => told.push(receipt) }));
    expect(error.receipt?.totalUs).toBe(99);
    expect(told).toEqual([error.receipt]);
  });
});

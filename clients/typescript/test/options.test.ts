import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ServerCredentials } from "@grpc/grpc-js";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { connect } from "../src/index.js";
import { FakeServer, failure, result } from "./fake-server.js";

let fake: FakeServer;
let folder: string;
beforeAll(async () => {
  fake = await FakeServer.start();
  folder = mkdtempSync(join(tmpdir(), "bridge-"));
});
afterAll(() => {
  fake.stop();
  rmSync(folder, { recursive: true });
});
beforeEach(() => fake.on("InvokeService/Call", () => result("done")));

const sent = (name: string) => fake.last.metadata.get(name);

/** Answer with failures first, and then well; return how many calls have come. */
function failing(times: number, error: () => Error): () => number {
  let calls = 0;
  fake.on("InvokeService/Call", () => {
    calls += 1;
    if (calls <= times) throw error();
    return result(calls);
  });
  return () => calls;
}

const later = (ms: number) => () => {
  const delay = { seconds: Math.floor(ms / 1000), nanos: (ms % 1000) * 1e6 };
  return failure("RESOURCE_EXHAUSTED", "full", [
    { type: "google.rpc.ErrorInfo", value: { reason: "QUEUE_FULL", domain: "bridge" } },
    { type: "google.rpc.RetryInfo", value: { retryDelay: delay } },
  ]);
};

describe("keys", () => {
  test("are sent as bearer tokens, from where they stand", async () => {
    await connect(fake.address, { key: "bk_1_secret" }).call("add");
    expect(sent("authorization")).toEqual(["Bearer bk_1_secret"]);
    process.env.BRIDGE_TEST_KEY = "bk_2_secret";
    await connect(fake.address, { key: "env:BRIDGE_TEST_KEY" }).call("add");
    expect(sent("authorization")).toEqual(["Bearer bk_2_secret"]);
    writeFileSync(join(folder, "key"), "bk_3_secret\n");
    await connect(fake.address, { key: `file:${join(folder, "key")}` }).call("add");
    expect(sent("authorization")).toEqual(["Bearer bk_3_secret"]);
  });

  test("that are not there, or no keys, are said so without the key", () => {
    expect(() => connect(fake.address, { key: "env:NO_SUCH_KEY" })).toThrow("environment variable NO_SUCH_KEY, which is not set");
    expect(() => connect(fake.address, { key: `file:${join(folder, "none")}` })).toThrow("can not read the file of key");
    expect(() => connect(fake.address, { key: "sécret key" })).toThrow(/^expected key to be printable ASCII text without blanks, got something else$/);
  });
});

describe("TLS", () => {
  const openssl = (...words: string[]) => execFileSync("openssl", words, { cwd: folder, stdio: "pipe" });
  const path = (name: string) => join(folder, name);
  let serving: FakeServer;

  beforeAll(async () => {
    const subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"];
    const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
    openssl("req", "-x509", ...key, "-keyout", "key.pem", "-out", "cert.pem", "-days", "2", ...subject);
    const [cert, secret] = [readFileSync(path("cert.pem")), readFileSync(path("key.pem"))];
    const credentials = ServerCredentials.createSsl(cert, [{ cert_chain: cert, private_key: secret }], true);
    serving = await FakeServer.start("127.0.0.1:0", credentials);
    serving.on("InvokeService/Call", () => result("safe"));
  });
  afterAll(() => serving.stop());

  test("with certificates on both sides, by path or as PEM", async () => {
    const files = { ca: path("cert.pem"), certificate: path("cert.pem"), key: path("key.pem") };
    expect(await connect(serving.address, { tls: files }).call("add")).toBe("safe");
    const pem = Object.fromEntries(Object.entries(files).map(([name, file]) => [name, readFileSync(file, "utf8")]));
    expect(await connect(serving.address, { tls: pem }).call("add")).toBe("safe");
  });

  test("a client without a certificate, or that does not know the authority, gets nothing", async () => {
    for (const tls of [{ ca: path("cert.pem") }, true]) {
      await expect(connect(serving.address, { tls }).call("add", {}, { timeoutMs: 5000 })).rejects.toMatchObject({
        code: "UNAVAILABLE",
      });
    }
  });

  test("what does not fit together is said so", () => {
    expect(() => connect("x:1", { tls: { certificate: path("cert.pem") } })).toThrow("tls.certificate and tls.key together");
    expect(() => connect("x:1", { tls: { ca: path("none.pem") } })).toThrow("can not read the file of tls.ca");
  });
});

describe("unix sockets", () => {
  test("are addresses like others", async () => {
    const serving = await FakeServer.start(`unix:${join(folder, "bridge.sock")}`);
    serving.on("InvokeService/Call", () => result("near"));
    const bridge = connect(serving.address);
    expect(await bridge.call("add")).toBe("near");
    bridge.close();
    serving.stop();
  });
});

describe("retries", () => {
  test("are made where the server says when to and the call may run twice, with one request id", async () => {
    const calls = failing(2, later(20));
    const bridge = connect(fake.address, { retries: 3 });
    const began = performance.now();
    expect(await bridge.call("add", {}, { idempotencyKey: "k-1" })).toBe(3);
    expect(performance.now() - began).toBeGreaterThanOrEqual(40);
    expect(calls()).toBe(3);
    const [first, second, third] = fake.arrived.slice(-3).map(({ metadata }) => metadata);
    expect(sent("x-idempotency-key")).toEqual(["k-1"]);
    expect(second?.get("x-request-id")).toEqual(first?.get("x-request-id"));
    expect(Number(third?.get("x-timeout-ms")[0])).toBeLessThan(Number(first?.get("x-timeout-ms")[0]));
  });

  test.each<[string, object, () => Error]>([
    ["the call may not run twice", { retries: 3 }, later(1)],
    ["nobody has asked for it", { idempotent: true }, later(1)],
    ["the server does not say when", { retries: 3, idempotent: true }, () => failure("UNAVAILABLE", "gone")],
    ["it would be too late", { retries: 3, idempotent: true, timeoutMs: 400 }, later(500)],
  ])("are not made where %s", async (_why, options, error) => {
    const calls = failing(1, error);
    await expect(connect(fake.address).call("add", {}, options)).rejects.toThrow();
    expect(calls()).toBe(1);
  });

  test("end with the number that was asked for, and with an abort", async () => {
    const calls = failing(10, later(1));
    await expect(connect(fake.address).call("add", {}, { retries: 2, idempotent: true })).rejects.toMatchObject({
      reason: "QUEUE_FULL",
    });
    expect(calls()).toBe(3);
    failing(10, later(60_000));
    const controller = new AbortController();
    const call = connect(fake.address, { timeoutMs: Infinity }).call("add", {}, {
      retries: 2,
      idempotent: true,
      signal: controller.signal,
      onReceipt: () => {},
    });
    await expect.poll(() => fake.arrived.length).toBeGreaterThan(0);
    controller.abort();
    await expect(call).rejects.toMatchObject({ code: "CANCELLED" });
  });

  test("are made of streams until the first item", async () => {
    let calls = 0;
    fake.on("InvokeService/StreamCall", async function* () {
      calls += 1;
      if (calls === 1) throw later(1)();
      yield { items: [{ json: "1" }] };
      throw later(1)();
    });
    const items: unknown[] = [];
    const run = async () => {
      const options = { retries: 5, idempotent: true };
      for await (const item of connect(fake.address).stream("count", {}, options)) items.push(item);
    };
    await expect(run()).rejects.toMatchObject({ reason: "QUEUE_FULL" });
    expect([items, calls]).toEqual([[1], 2]);
  });

  test("of a call that found no connection need no leave, since it was never sent", async () => {
    const gone = await FakeServer.start();
    gone.stop();
    const bridge = connect(gone.address);
    const error = await bridge.call("add").catch((caught: unknown) => caught);
    expect(error).toMatchObject({ code: "UNAVAILABLE", notSent: true });
    const call = bridge.call("add", {}, { retries: 50, timeoutMs: 10_000 });
    const back = await FakeServer.start(gone.address);
    back.on("InvokeService/Call", () => result("back"));
    expect(await call).toBe("back");
    const waiting = connect(back.address).call("add", {}, { waitForReady: true });
    expect(await waiting).toBe("back");
    back.stop();
  });
});

describe("options", () => {
  test("go with the call as metadata", async () => {
    await connect(fake.address).call("add", {}, {
      session: "s",
      sessionMode: "strict",
      priority: "high",
      traceparent: "00-aa-bb-01",
      budget: { usd: 0.05, tokens: 100, calls: 3 },
    });
    const names = ["x-session-id", "x-session-mode", "x-priority", "traceparent", "x-budget-usd", "x-budget-tokens", "x-budget-calls"];
    expect(names.flatMap(sent)).toEqual(["s", "strict", "high", "00-aa-bb-01", "0.050000000000", "100", "3"]);
  });

  test("that can not be are refused before anything is sent", async () => {
    const bridge = connect(fake.address);
    const count = fake.arrived.length;
    for (const [options, message] of [
      [{ retries: -1 }, "retries to be a whole number"],
      [{ budget: { usd: -1 } }, "a budget of 0 to"],
      [{ budget: { calls: 0.5 } }, "a budget's calls"],
      [{ requestId: "two words" }, "requestId to be printable"],
      [{ metadata: { "not a key": "x" } }, "metadata not a key can not be sent"],
      [{ metadata: { "x-tenant": "ü\n" } }, "metadata x-tenant can not be sent"],
      [{ chunkBytes: 10 }, "chunkBytes of at least 4096"],
    ] as const) {
      await expect(bridge.call("add", {}, options)).rejects.toThrow(message);
    }
    expect(() => connect(fake.address, { metadata: { "not a key": "x" } })).toThrow("metadata not a key can not be sent");
    expect(fake.arrived.length).toBe(count);
  });

  test("a result in parts is put together", async () => {
    const item = Buffer.from([10, 7, ...Buffer.from('"large"')]); // a Payload whose json is "large"
    fake.on("InvokeService/StreamCall", async function* () {
      yield { part: { offset: 0, total: item.length, data: item.subarray(0, 4) } };
      yield { part: { offset: 4, total: item.length, data: item.subarray(4) } };
    });
    const bridge = connect(fake.address);
    expect(await bridge.call("big", {}, { chunkBytes: 4096 })).toBe("large");
    expect(fake.last.request).toMatchObject({ aggregate: true, chunkBytes: "4096" });
    fake.on("InvokeService/StreamCall", async function* () {
      yield { part: { offset: 0, total: 20, data: item } };
      yield { part: { offset: 0, total: 20, data: item } };
    });
    await expect(bridge.call("big", {}, { chunkBytes: 4096 })).rejects.toThrow("expected the part at 9 of 20 bytes");
  });

  test("closing the bridge ends what runs", async () => {
    fake.on("InvokeService/Call", async ({ cancelled }) => {
      await cancelled;
      throw failure("CANCELLED", "noticed");
    });
    const bridge = connect(fake.address);
    const count = fake.arrived.length;
    const call = bridge.call("slow").catch((caught: unknown) => caught);
    await expect.poll(() => fake.arrived.length).toBe(count + 1);
    await bridge[Symbol.asyncDispose]();
    expect(await call).toMatchObject({ code: "CANCELLED" });
    await fake.last.cancelled;
  });
});

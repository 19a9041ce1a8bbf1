import type { ServerDuplexStream } from "@grpc/grpc-js";
import { afterEach, beforeEach, describe, expect, expectTypeOf, test } from "vitest";
import { type Bridge, connect, defineTool, type FromSchema, type HostedTool, ToolCancelled } from "../src/index.js";
import { resultText } from "../src/hosted-tools.js";
import { FakeServer, failure } from "./fake-server.js";

/** One stream as the server has it. */
interface Stream {
  call: ServerDuplexStream<any, any>;
  messages: any[];
}

let fake: FakeServer;
let bridge: Bridge;
let streams: Stream[];
let acknowledge: (first: any, stream: Stream) => void;

beforeEach(async () => {
  fake = await FakeServer.start();
  bridge = connect(fake.address);
  streams = [];
  acknowledge = ({ register }, { call }) => {
    call.write({ registered: { registration: "r-1", token: "t-1", resumed: register.token !== "" } });
  };
  fake.talks.set("ToolService/Host", (call) => {
    const stream: Stream = { call, messages: [] };
    streams.push(stream);
    call.on("data", (message) => {
      stream.messages.push(message);
      if (message.register) acknowledge(message, stream);
      if (message.goodbye) call.end();
    });
    call.on("error", () => {});
  });
});
afterEach(() => {
  bridge.close();
  fake.stop();
});

const echo: HostedTool = { name: "echo", parameters: { type: "object" }, run: (args) => args };

function ask(stream: Stream | undefined, id: number, tool: string, args: object = {}, more: object = {}): void {
  stream?.call.write({ call: { id, tool, arguments: JSON.stringify(args), timeoutMs: 60_000, ...more } });
}

const answers = (stream: Stream | undefined) => stream?.messages.slice(1) ?? [];

describe("hosting", () => {
  test("registers the tools as they are declared", async () => {
    const host = await bridge.hostTools(
      [{ ...echo, description: "Says it.", onError: "abort", timeoutMs: 1500, maxConcurrent: 2, idempotent: true }],
      { visibility: "tenant", metadata: { "x-tenant": "a" }, session: "s-1" },
    );
    expect([host.registration, host.names, host.error]).toEqual(["r-1", ["echo"], undefined]);
    expect(streams[0]?.messages[0].register).toMatchObject({
      tools: [
        {
          name: "echo",
          description: "Says it.",
          argumentsSchema: '{"type":"object"}',
          onError: "TOOL_ERROR_POLICY_ABORT",
          timeoutMs: 1500,
          maxConcurrent: 2,
          idempotent: true,
        },
      ],
      token: "",
      visibility: "TOOL_VISIBILITY_TENANT",
    });
    const { metadata } = streams[0]?.call as ServerDuplexStream<unknown, unknown>;
    expect(["x-tenant", "x-session-id", "x-timeout-ms"].flatMap((name) => metadata.get(name))).toEqual(["a", "s-1"]);
    await host.close();
    expect(streams[0]?.messages.at(-1)).toMatchObject({ goodbye: {} });
    await host.ended;
  });

  test("answers calls with results, texts and failures", async () => {
    const tools: HostedTool[] = [
      echo,
      { name: "say", run: async () => "hello" },
      { name: "nothing", run: () => undefined },
      {
        name: "fail",
        run: () => {
          throw new RangeError("too much");
        },
      },
    ];
    const host = await bridge.hostTools(tools);
    ask(streams[0], 1, "echo", { big: 1, list: [1, 2] });
    ask(streams[0], 2, "say");
    ask(streams[0], 3, "nothing");
    ask(streams[0], 4, "fail");
    ask(streams[0], 5, "other");
    await expect.poll(() => answers(streams[0]).length).toBe(5);
    const byId = new Map(answers(streams[0]).map((message) => [(message.result ?? message.error).id, message]));
    expect(byId.get("1")).toMatchObject({ result: { json: '{"big":1,"list":[1,2]}' } });
    expect(byId.get("2")).toMatchObject({ result: { text: "hello" } });
    expect(byId.get("3")).toMatchObject({ result: { json: "null" } });
    expect(byId.get("4")).toMatchObject({ error: { message: "too much", type: "RangeError" } });
    expect(byId.get("5")).toMatchObject({ error: { message: "there is no tool 'other' here" } });
    await host.close();
  });

  test("tells a function about its call, and aborts its signal", async () => {
    const seen: { reason: unknown; remaining: number; facts: object }[] = [];
    let begun = 0;
    const slow: HostedTool = {
      name: "slow",
      run: (_args, { signal, remainingMs, requestId, sessionId, traceparent, resent, id }) =>
        new Promise((_resolve, reject) => {
          begun += 1;
          const remaining = remainingMs();
          signal.addEventListener("abort", () => {
            seen.push({ reason: signal.reason, remaining, facts: { id, requestId, sessionId, traceparent, resent } });
            reject(signal.reason as Error);
          });
        }),
    };
    const host = await bridge.hostTools([slow]);
    ask(streams[0], 7, "slow", {}, { requestId: "q", sessionId: "s", traceparent: "tp", resent: true });
    streams[0]?.call.write({ cancel: { id: 7, reason: "CALLER_ENDED" } });
    ask(streams[0], 8, "slow", {}, { timeoutMs: 30 });
    await expect.poll(() => seen.length).toBe(2);
    expect(seen[0]?.facts).toEqual({ id: 7, requestId: "q", sessionId: "s", traceparent: "tp", resent: true });
    expect(seen[0]?.reason).toBeInstanceOf(ToolCancelled);
    expect(seen.map(({ reason }) => (reason as ToolCancelled).reason)).toEqual(["CALLER_ENDED", "TOOL_TIMEOUT"]);
    expect(seen[0]?.remaining).toBeGreaterThan(59_000);
    // A call that was cancelled gets no answer; one that is late fails with that.
    await expect.poll(() => answers(streams[0])).toMatchObject([{ error: { id: "8", message: "TOOL_TIMEOUT" } }]);
    ask(streams[0], 9, "slow");
    await expect.poll(() => begun).toBe(3);
    await host.close();
    expect((seen.at(-1)?.reason as ToolCancelled).reason).toBe("HOST_CLOSED");
  });
});

describe("a stream that breaks", () => {
  test("is opened again with the token; what runs is answered over the new one, what was answered once more", async () => {
    let release: (value: string) => void = () => {};
    const tools: HostedTool[] = [echo, { name: "slow", run: () => new Promise((resolve) => (release = resolve)) }];
    const host = await bridge.hostTools(tools);
    ask(streams[0], 1, "echo", { a: 1 });
    ask(streams[0], 2, "slow");
    await expect.poll(() => answers(streams[0]).length).toBe(1);
    streams[0]?.call.emit("error", failure("UNAVAILABLE", "gone"));
    await expect.poll(() => streams.length).toBe(2);
    await expect.poll(() => answers(streams[1]).length).toBe(1);
    expect(streams[1]?.messages[0].register).toMatchObject({ tools: [], token: "t-1", workingOn: ["2", "1"] });
    expect(answers(streams[1])).toMatchObject([{ result: { id: "1", json: '{"a":1}' } }]);
    release("late");
    await expect.poll(() => answers(streams[1]).length).toBe(2);
    expect(answers(streams[1])[1]).toMatchObject({ result: { id: "2", text: "late" } });
    await host.close();
  });

  test("is registered anew where the server has forgotten it, and runs wait for that", async () => {
    const host = await bridge.hostTools([echo]);
    acknowledge = ({ register }, { call }) => {
      if (register.token === "") call.write({ registered: { registration: "r-2", token: "t-2" } });
      else {
        const info = { reason: "UNKNOWN_TOOL_REGISTRATION", domain: "bridge" };
        call.emit("error", failure("NOT_FOUND", "no such", [{ type: "google.rpc.ErrorInfo", value: info }]));
      }
    };
    fake.on("ProgramService/Run", () => ({ outputs: { json: '{"answer":"ok"}' } }));
    streams[0]?.call.end();
    await expect.poll(() => streams.length).toBeGreaterThan(1);
    await bridge.programs.run("agent", {}, { tools: [host] });
    expect(fake.last.request).toMatchObject({ tools: [], toolRegistrations: ["r-2"] });
    await bridge.programs.run("agent", {}, { tools: [host, "function:add"] });
    expect(fake.last.request).toMatchObject({ tools: ["echo", "function:add"], toolRegistrations: ["r-2"] });
    expect(host.registration).toBe("r-2");
    await host.close();
  });

  test("is given up where another would fare no better", async () => {
    const host = await bridge.hostTools([echo]);
    streams[0]?.call.emit("error", failure("PERMISSION_DENIED", "no more"));
    await host.ended;
    expect(host.error).toMatchObject({ code: "PERMISSION_DENIED" });
    expect(streams.length).toBe(1);
  });
});

describe("what can not be hosted", () => {
  test("fails at once", async () => {
    acknowledge = (_first, { call }) => {
      call.emit("error", failure("INVALID_ARGUMENT", "a bad schema"));
    };
    await expect(bridge.hostTools([echo])).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
    await expect(bridge.hostTools([echo, echo])).rejects.toThrow("got a name twice");
    await expect(bridge.hostTools([echo], { signal: AbortSignal.abort() })).rejects.toThrow("aborted");
  });

  test("an abort closes the host", async () => {
    const controller = new AbortController();
    const host = await bridge.hostTools([echo], { signal: controller.signal });
    controller.abort();
    await host.ended;
    expect(streams[0]?.messages.at(-1)).toMatchObject({ goodbye: {} });
  });
});

test("results are JSON, bytes in them base64", () => {
  expect(resultText({ a: [1n, Uint8Array.of(255)], at: new Date(0) })).toBe('{"a":[1,"/w=="],"at":"1970-01-01T00:00:00.000Z"}');
  expect(() => resultText({ a: Float32Array.of(1) })).toThrow("a is a typed array; return a list");
});

test("the arguments' type is that of the schema", () => {
  const tool = defineTool({
    name: "order",
    parameters: {
      type: "object",
      properties: {
        item: { type: "string" },
        count: { type: "integer" },
        kinds: { type: "array", items: { enum: ["new", "used"] } },
        inner: { type: "object", properties: { ok: { type: "boolean" } }, required: ["ok"] },
        any: {},
      },
      required: ["item", "inner"],
    },
    run(args) {
      expectTypeOf(args.item).toEqualTypeOf<string>();
      expectTypeOf(args.count).toEqualTypeOf<number | undefined>();
      expectTypeOf(args.kinds).toEqualTypeOf<("new" | "used")[] | undefined>();
      expectTypeOf(args.inner.ok).toEqualTypeOf<boolean>();
      expectTypeOf(args.any).toEqualTypeOf<unknown>();
      return args.item;
    },
  });
  expect(tool.name).toBe("order");
  expectTypeOf<FromSchema<{ type: "null" }>>().toEqualTypeOf<null>();
  expectTypeOf<FromSchema<{ const: 5 }>>().toEqualTypeOf<5>();
});

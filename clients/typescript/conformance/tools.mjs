// Tools with the behaviours of the conformance protocol, which remember how they were called.
import { setTimeout as sleep } from "node:timers/promises";
import { Crash, Skip } from "./values.mjs";

const WAIT_MS = 30_000;
const PAUSE_MS = 20;

const behaviours = {
  echo: (args) => args,
  add: ({ a, b }) => a + b,
  fail: () => {
    throw new Error("this tool fails");
  },
  abort: () => {
    throw new Error("this tool aborts");
  },
  wait: async (_args, call) => {
    await sleep(WAIT_MS, undefined, { signal: call.signal });
    return "waited";
  },
};

/** Tools that are hosted, and what they have seen. */
export class Hosted {
  seen = [];
  host = undefined;

  /** A tool of the protocol as the client has it. */
  tool(spec) {
    const behave = behaviours[spec.behaviour];
    if (behave === undefined) throw new Skip(`the behaviour ${spec.behaviour} of tools`);
    return {
      name: spec.name,
      description: spec.doc ?? "",
      parameters: spec.schema,
      onError: spec.behaviour === "abort" ? "abort" : "observe",
      ...(spec.timeout_ms === undefined ? {} : { timeoutMs: spec.timeout_ms }),
      idempotent: spec.idempotent ?? false,
      run: async (args, call) => {
        const seen = {
          tool: call.tool,
          arguments: args,
          cancelled: false,
          remaining_ms: Math.round(call.remainingMs()),
          request_id: call.requestId,
          session_id: call.sessionId,
          traceparent: call.traceparent,
        };
        this.seen.push(seen);
        call.signal.addEventListener("abort", () => (seen.cancelled = true));
        return await behave(args, call);
      },
    };
  }

  /** What the tools have seen, once that has come which a step waits for. */
  async calls(waitFor, withinMs) {
    const until = performance.now() + withinMs;
    while (!this.#hasCome(waitFor) && performance.now() < until) await sleep(PAUSE_MS);
    return this.seen.map((seen) => ({ ...seen }));
  }

  #hasCome(what) {
    if (what === undefined) return true;
    if (what === "call") return this.seen.length > 0;
    if (what === "cancel") return this.seen.some(({ cancelled }) => cancelled);
    throw new Crash(`wait_for ${what}`);
  }
}

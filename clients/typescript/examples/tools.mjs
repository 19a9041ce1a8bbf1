#!/usr/bin/env node
// Functions of a Node program as the tools of a DSPy agent: hosts two tools, lets an agent call both, cancels a run
// midway, and sees the cancel reach the tool.
//
//   node clients/typescript/examples/tools.mjs 127.0.0.1:50051 agent    # `agent` is a dspy.ReAct of the server's app
//
// Exits with 0 only when every step did what it should.
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { BridgeError, connect, defineTool } from "@polyglot-bridge/client";

const [address, program = "agent"] = process.argv.slice(2);
if (address === undefined) {
  console.error("usage: node tools.mjs ADDRESS [PROGRAM], such as 127.0.0.1:50051 agent");
  process.exit(2);
}

const stock = new Map([["bolts", 17]]);
const reserved = [];
const waiting = deferred();
const noticed = deferred();

const parameters = { type: "object", properties: { item: { type: "string" } }, required: ["item"] };

const stockOf = defineTool({
  name: "stock_of",
  description: "How many of an item are in stock.",
  parameters,
  run({ item }) {
    if (!stock.has(item)) throw new Error(`there is no item '${item}'`);
    return { item, left: stock.get(item) };
  },
});

const reserve = defineTool({
  name: "reserve",
  description: "Reserve an item for the caller.",
  parameters,
  async run({ item }, { signal, remainingMs }) {
    if (item === "slowly") {
      waiting.resolve(remainingMs());
      signal.addEventListener("abort", () => noticed.resolve(signal.reason));
      await sleep(30_000, undefined, { signal }); // until nobody waits for it any more
    }
    reserved.push(item);
    return `reserved ${item}`;
  },
});

function deferred() {
  let resolve;
  const promise = new Promise((done) => (resolve = done));
  return { promise, resolve };
}

const bridge = connect(address);
const host = await bridge.hostTools([stockOf, reserve]);
console.log(`1. Hosting ${host.names.join(" and ")}`);

const script = 'Get me bolts.\ncall stock_of {"item": "bolts"}\ncall stock_of {"item": "nuts"}\ncall reserve {"item": "bolts"}';
const { answer } = await bridge.programs.run(program, { question: script }, { tools: [host] });
assert.deepEqual(reserved, ["bolts"]);
assert.match(answer, /17/);
assert.match(answer, /there is no item 'nuts'/);
assert.match(answer, /reserved bolts/);
console.log(`2. An agent has called both: ${answer}`);

const controller = new AbortController();
const question = 'Get me more.\ncall reserve {"item": "slowly"}';
const slow = assert.rejects(
  bridge.programs.run(program, { question }, { tools: [host], signal: controller.signal, timeoutMs: 20_000 }),
  (error) => error instanceof BridgeError && error.code === "CANCELLED",
);
const remainingMs = await waiting.promise;
assert.ok(remainingMs > 0 && remainingMs <= 20_000, `the tool was told of ${remainingMs} ms`);
controller.abort();
const { reason } = await noticed.promise;
assert.equal(reason, "CALLER_ENDED");
await slow;
console.log(`3. A cancelled run has reached its tool: ${reason}`);

await host.close();
bridge.close();
console.log("All steps did what they should.");

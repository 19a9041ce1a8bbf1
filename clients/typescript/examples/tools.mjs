#!/usr/bin/env node
// Functions of a Node program as the tools of a DSPy agent, with nothing but @grpc/grpc-js and the bridge's proto files:
// hosts two tools, lets an agent call both, cancels a run midway, and sees the cancel reach the tool.
//
//   node clients/typescript/examples/tools.mjs 127.0.0.1:50051 agent    # `agent` is a dspy.ReAct of the server's app
//
// Exits with 0 only when every step did what it should.
import assert from "node:assert/strict";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import grpc from "@grpc/grpc-js";
import protoLoader from "@grpc/proto-loader";

const [address, program = "agent"] = process.argv.slice(2);
if (address === undefined) {
  console.error("usage: node tools.mjs ADDRESS [PROGRAM], such as 127.0.0.1:50051 agent");
  process.exit(2);
}

const protos = fileURLToPath(new URL("../proto", import.meta.url));
const files = ["bridge/v1/tool.proto", "bridge/v1/program.proto"];
const definition = protoLoader.loadSync(files, { includeDirs: [protos], longs: String, oneofs: true });
const { ToolService, ProgramService } = grpc.loadPackageDefinition(definition).bridge.v1;
const tools = new ToolService(address, grpc.credentials.createInsecure());
const programs = new ProgramService(address, grpc.credentials.createInsecure());

const stock = new Map([["bolts", 17]]);
const reserved = [];
const waiting = deferred();
const noticed = deferred();

const word = { type: "object", properties: { item: { type: "string" } }, required: ["item"] };
const hosted = [
  { name: "stock_of", description: "How many of an item are in stock.", argumentsSchema: JSON.stringify(word) },
  { name: "reserve", description: "Reserve an item for the caller.", argumentsSchema: JSON.stringify(word) },
];
const functions = {
  async stock_of({ item }) {
    if (!stock.has(item)) throw new Error(`there is no item '${item}'`);
    return { item, left: stock.get(item) };
  },
  async reserve({ item }, signal) {
    if (item === "slowly") {
      waiting.resolve();
      await once(signal, "abort"); // until nobody waits for it any more
      noticed.resolve(signal.reason);
      throw signal.reason;
    }
    reserved.push(item);
    return `reserved ${item}`;
  },
};

function deferred() {
  let resolve;
  const promise = new Promise((done) => (resolve = done));
  return { promise, resolve };
}

/** Hosts functions until `close` is called; resolves once the server has acknowledged them. */
async function host(declared, implementations) {
  const stream = tools.Host();
  const running = new Map();
  const registered = deferred();
  stream.on("error", (error) => {
    console.error(`the stream of tools broke: ${error.message}`);
    process.exit(1);
  });
  stream.on("data", ({ registered: acknowledged, call, cancel }) => {
    if (acknowledged) registered.resolve(acknowledged);
    if (call) void serve(call);
    if (cancel) running.get(cancel.id)?.abort(new Error(cancel.reason));
  });

  async function serve(call) {
    const abort = new AbortController();
    running.set(call.id, abort);
    try {
      const value = await implementations[call.tool](JSON.parse(call.arguments), abort.signal);
      stream.write({ result: { id: call.id, json: JSON.stringify(value ?? null) } });
    } catch (error) {
      if (!abort.signal.aborted) stream.write({ error: { id: call.id, message: error.message, type: error.name } });
    } finally {
      running.delete(call.id);
    }
  }

  stream.write({ register: { tools: declared } });
  const { registration } = await registered.promise;
  return {
    registration,
    async close() {
      stream.write({ goodbye: {} });
      stream.end();
      await once(stream, "end");
    },
  };
}

/** Begins a run; `cancel` ends it. */
function run(registration, question) {
  const inputs = { json: JSON.stringify({ question }) };
  const done = deferred();
  const call = programs.Run({ program, inputs, toolRegistrations: [registration] }, (error, reply) =>
    done.resolve({ error, answer: error ? undefined : JSON.parse(reply.outputs.json).answer }),
  );
  return { done: done.promise, cancel: () => call.cancel() };
}

const hosting = await host(hosted, functions);
console.log(`1. Hosting ${hosted.map((tool) => tool.name).join(" and ")}`);

const script = 'Get me bolts.\ncall stock_of {"item": "bolts"}\ncall stock_of {"item": "nuts"}\ncall reserve {"item": "bolts"}';
const { error, answer } = await run(hosting.registration, script).done;
assert.equal(error, null, error?.message);
assert.deepEqual(reserved, ["bolts"]);
assert.match(answer, /17/);
assert.match(answer, /there is no item 'nuts'/);
assert.match(answer, /reserved bolts/);
console.log(`2. An agent has called both: ${answer}`);

const slow = run(hosting.registration, 'Get me more.\ncall reserve {"item": "slowly"}');
await waiting.promise;
slow.cancel();
const reason = await noticed.promise;
assert.equal(reason.message, "CALLER_ENDED");
assert.equal((await slow.done).error.code, grpc.status.CANCELLED);
console.log(`3. A cancelled run has reached its tool: ${reason.message}`);

await hosting.close();
tools.close();
programs.close();
console.log("All steps did what they should.");

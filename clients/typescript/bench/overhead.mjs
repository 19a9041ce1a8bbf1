#!/usr/bin/env node
// What the client costs on top of the bare generated stub: `node clients/typescript/bench/overhead.mjs ADDRESS N`.
//
// Calls `add` of examples/demo_app.py N times through each, in turns of a few calls, and prints one JSON line with both
// medians: {"client_p50_ms": ..., "stub_p50_ms": ...}. The stub is what grpc-js makes of the proto files, and does what
// any program must do with it: make the request, set a deadline, wait for a promise, take the result out of its JSON.
import { fileURLToPath } from "node:url";
import grpc from "@grpc/grpc-js";
import protoLoader from "@grpc/proto-loader";
import { connect } from "@polyglot-bridge/client";

const TURN = 20;
const WARM_UP = 300;
const TIMEOUT_MS = 10_000;
const SUM = 3;

const [address, number = ""] = process.argv.slice(2);
const calls = Number.parseInt(number, 10);
if (address === undefined || !(calls > 0)) {
  console.error("usage: node overhead.mjs ADDRESS N, such as 127.0.0.1:50051 2000");
  process.exit(2);
}

const protos = fileURLToPath(new URL("../proto", import.meta.url));
const options = { includeDirs: [protos], longs: String, enums: String, defaults: true, oneofs: true };
const { InvokeService } = grpc.loadPackageDefinition(protoLoader.loadSync(["bridge/v1/invoke.proto"], options)).bridge.v1;
const stub = new InvokeService(address, grpc.credentials.createInsecure());
const bridge = connect(address, { timeoutMs: TIMEOUT_MS });

function bare() {
  return new Promise((resolve, reject) => {
    const request = { function: "add", arguments: { json: JSON.stringify({ a: 1, b: 2 }) } };
    stub.Call(request, { deadline: Date.now() + TIMEOUT_MS }, (error, reply) => {
      if (error) reject(error);
      else resolve(JSON.parse(reply.result.json));
    });
  });
}

const ways = { client_p50_ms: () => bridge.call("add", { a: 1, b: 2 }), stub_p50_ms: bare };
const times = { client_p50_ms: [], stub_p50_ms: [] };

async function once(way) {
  const began = performance.now();
  const result = await way();
  const took = performance.now() - began;
  // A wrong answer is no measurement.
  if (result !== SUM) throw new Error(`expected ${SUM} from add(1, 2), got ${result}`);
  return took;
}

function median(taken) {
  const sorted = [...taken].sort((left, right) => left - right);
  return Math.round(sorted[sorted.length >> 1] * 1e5) / 1e5;
}

for (const way of Object.values(ways)) for (let call = 0; call < WARM_UP; call += 1) await once(way);
while (times.client_p50_ms.length < calls) {
  for (const [name, way] of Object.entries(ways)) {
    for (let call = 0; call < TURN; call += 1) times[name].push(await once(way));
  }
}
console.log(JSON.stringify({ client_p50_ms: median(times.client_p50_ms), stub_p50_ms: median(times.stub_p50_ms) }));
bridge.close();
stub.close();

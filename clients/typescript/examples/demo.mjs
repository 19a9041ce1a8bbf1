#!/usr/bin/env node
// The bridge from Node: a DSPy program, its stream, an embedding, a score, a call, and an error that explains itself.
//
//   bridge demo                                                # in one terminal, or: bridge serve examples/demo_app.py
//   node clients/typescript/examples/demo.mjs 127.0.0.1:50051  # in another; it must be built: npm ci && npm run build
//
// Exits with 0 only when every step did what it should.
import assert from "node:assert/strict";
import { BridgeError, connect } from "@polyglot-bridge/client";

const [address] = process.argv.slice(2);
if (address === undefined) {
  console.error("usage: node demo.mjs ADDRESS, such as 127.0.0.1:50051");
  process.exit(2);
}

const ticket = "I was charged twice this month and need my money back today.";
const bridge = connect(address, { timeoutMs: 60_000 });

async function runProgram() {
  const { queue, urgency, reasoning } = await bridge.programs.run("triage", { ticket });
  console.log(`  queue: ${queue}, urgency: ${urgency}`);
  assert.ok(["billing", "technical", "sales"].includes(queue), `an unknown queue: ${queue}`);
  assert.ok(Number.isInteger(urgency), `urgency is no integer: ${urgency}`);
  assert.equal(typeof reasoning, "string");
}

async function streamProgram() {
  const stream = bridge.programs.stream("triage", { ticket });
  let deltas = 0;
  let field;
  let final;
  for await (const event of stream) {
    if (event.type === "final") {
      final = event.outputs;
      continue;
    }
    deltas += 1;
    if (event.field !== field) process.stdout.write(`${field === undefined ? "" : "\n"}  ${event.field}: `);
    field = event.field;
    process.stdout.write(event.text);
  }
  const [usage] = stream.receipt?.usage ?? [];
  console.log(`\n  ${deltas} deltas; ${usage?.model} used ${usage?.inputTokens} + ${usage?.outputTokens} tokens`);
  assert.ok(deltas > 0, "no deltas came");
  assert.ok(final?.queue, "no final outputs came");
}

async function embed() {
  const [vector] = await bridge.embeddings.embed([ticket]);
  const start = [...vector.slice(0, 3)].map((value) => value.toFixed(3)).join(", ");
  console.log(`  ${vector.length} dimensions: ${start}, ...`);
  assert.ok(Math.abs(Math.hypot(...vector) - 1) < 1e-3, "the vector's length is not 1");
}

async function score() {
  const example = { prediction: "the cat sat on a mat", references: ["the cat sat on the mat"] };
  const { value, signature } = await bridge.metrics.score("bleu", example);
  console.log(`  BLEU ${value.toFixed(2)} (${signature})`);
  assert.ok(value > 0 && value < 100, `a BLEU that can not be: ${value}`);
}

async function call() {
  const { result, receipt } = await bridge.callWithReceipt("add", { a: 2n ** 53n, b: 1 });
  console.log(`  2^53 + 1 = ${result}, from worker ${receipt?.worker} in ${receipt?.totalUs} µs`);
  assert.equal(result, 9007199254740993n);
}

async function explainError() {
  const error = await bridge.call("add", { a: "one" }).catch((caught) => caught);
  assert.ok(error instanceof BridgeError, `expected a BridgeError, got ${error}`);
  console.log(`  ${error.code} ${error.reason}`);
  for (const { field, description } of error.violations) console.log(`  - ${field}: ${description}`);
  assert.equal(error.code, "INVALID_ARGUMENT");
  assert.deepEqual(error.violations.map(({ field }) => field).sort(), ["a", "b"]);
}

const steps = [
  ["Run the DSPy program triage", runProgram],
  ["Stream it", streamProgram],
  ["Embed a text", embed],
  ["Score a translation with BLEU", score],
  ["Call a Python function", call],
  ["Call it with wrong arguments", explainError],
];

for (const [title, step] of steps) {
  console.log(title);
  try {
    await step();
  } catch (error) {
    console.error(`FAILED: ${title}: ${error.code ?? ""} ${error.message}`);
    process.exit(1);
  }
}
bridge.close();
console.log("All steps did what they should.");

/**
 * Receipts: where a call's time, memory, tokens and money went, as the trailing metadata `bridge-receipt-bin` tells.
 */
import type { Metadata } from "@grpc/grpc-js";
import type { Attempt__Output } from "./generated/bridge/v1/Attempt.js";
import type { BudgetState__Output } from "./generated/bridge/v1/BudgetState.js";
import type { ModelAnswer__Output } from "./generated/bridge/v1/ModelAnswer.js";
import type { ModelUsage__Output } from "./generated/bridge/v1/ModelUsage.js";
import type { NestedCalls__Output } from "./generated/bridge/v1/NestedCalls.js";
import type { Receipt__Output } from "./generated/bridge/v1/Receipt.js";
import type { ToolUse__Output } from "./generated/bridge/v1/ToolUse.js";
import { enumName, wire } from "./wire.js";

/** Use of one language model. */
export interface ModelUsage {
  /** The model, as the provider knows it; "bridge/test" is the built-in test model. */
  model: string;
  calls: number;
  inputTokens: number;
  outputTokens: number;
  /** Tokens of the prompts that the provider had cached. */
  cachedTokens: number;
  /** US dollars for the calls whose price is known; undefined where there are none. */
  costUsd: number | undefined;
  /** Of the calls, those whose answer, or a part of whose prompt, came out of a cache. */
  cachedCalls: number;
  /** Of the calls, those whose price is not known. */
  unpricedCalls: number;
}

/** One call that a function has made. */
export interface NestedCall {
  function: string;
  /** The gRPC status code it ended with; 0 for OK. */
  code: number;
  /** The reason of its failure; empty where it went well. */
  reason: string;
  worker: string;
  totalUs: number;
  workerUs: number;
  tokens: number;
  costUsd: number | undefined;
  /** How many calls it has made in turn, at all depths. */
  calls: number;
}

/** All calls that a call has made of other functions, and those that these made in turn, added up. */
export interface NestedCalls {
  calls: number;
  failed: number;
  totalUs: number;
  queueUs: number;
  workerUs: number;
  modelUs: number;
  bytesIn: number;
  bytesOut: number;
  usage: ModelUsage[];
  /** Those that the call has made itself, in the order in which they ended; as many as there was room for. */
  listed: NestedCall[];
  /** How many more it has made itself. */
  unlisted: number;
}

/** How much of a budget is spent, by all calls that share it, and what is left; undefined for what has no limit. */
export interface BudgetState {
  usdSpent: number | undefined;
  usdLeft: number | undefined;
  tokensSpent: number | undefined;
  tokensLeft: number | undefined;
  callsSpent: number | undefined;
  callsLeft: number | undefined;
}

/** One attempt at a call whose function has a route. */
export interface Attempt {
  /** The alternative or the fallback that was asked. */
  alternative: string;
  /** Why it was made: "first", "retry", "hedge" or "fallback". */
  kind: string;
  /** The reason of its failure; empty where it went well, "CANCELLED" where another was first. */
  failure: string;
  us: number;
}

/** The calls of one tool by the agents of a program. */
export interface ToolUse {
  tool: string;
  calls: number;
  failed: number;
  us: number;
}

/** Which model answered a request, and why, where it was not plainly the one that was asked for. */
export interface ModelAnswer {
  /** By its name in the server's configuration. */
  model: string;
  /** "fallback"; "cache": it was kept; "shared": another call asked the same at the time. */
  cause: string;
  /** Models that were to answer before it, each as `NAME: REASON` of its failure. */
  passed: string[];
  /** Since the answer was made, where it was not made for this call. */
  ageMs: number;
  /** The request for which it was made, where that was another one. */
  originRequestId: string;
}

/** What a call cost, and why it was routed where it was. Times are in microseconds. */
export interface Receipt {
  requestId: string;
  function: string;
  /** Where it ran: "native" or "pooled". */
  route: string;
  /** Why it ran there, in words. */
  reason: string;
  pool: string;
  worker: string;
  /** How often the call's session has been moved to another worker. */
  sessionEpoch: number;
  queueUs: number;
  workerUs: number;
  modelUs: number;
  totalUs: number;
  bytesIn: number;
  bytesOut: number;
  /** Change of the worker's resident memory; undefined where it can not be told for one call. */
  memoryChangeBytes: number | undefined;
  usage: ModelUsage[];
  /** Calls that ran together with this one as one batch, itself included; 0 where it ran by itself. */
  batchSize: number;
  /** The worker's time for all of them, of which workerUs is this call's share. */
  batchUs: number;
  /** What the calls took that this one has made of other functions; undefined where it has made none. */
  nested: NestedCalls | undefined;
  /** What is left of the call's budget; undefined where it has none. */
  budget: BudgetState | undefined;
  /** The version of a created program that ran; 0 for everything else. */
  programVersion: number;
  /** Attempts that the server made at the call, where the function has a route; 0 where it has none. */
  attempts: number;
  /** The alternative of the route that answered, or that was asked last. */
  alternative: string;
  /** Whether a second attempt ran beside the first. */
  hedged: boolean;
  /** Whether a fallback of the route was asked. */
  fallback: boolean;
  /** The attempts, in the order in which they began; the first eight of them. */
  tried: Attempt[];
  /** The tools that agents have called; as many as there was room for. */
  tools: ToolUse[];
  /** Calls of tools, those of tools that are not listed included. */
  toolCalls: number;
  /** How long they took, summed. */
  toolUs: number;
  /** Answers of models that did not plainly come from the model that was asked for; the first eight of them. */
  answers: ModelAnswer[];
  /** The name of the API key that the call came with; empty where keys are off. */
  keyName: string;
}

/** Return the receipt in a call's trailing metadata, or undefined where there is none that can be read. */
export function receiptOf(trailers: Metadata | undefined): Receipt | undefined {
  const [bytes] = trailers?.get("bridge-receipt-bin") ?? [];
  if (!(bytes instanceof Buffer)) return undefined;
  try {
    return toReceipt(wire["bridge.v1.Receipt"].deserialize(bytes));
  } catch {
    // A receipt that can not be read must not fail a call that went well.
    return undefined;
  }
}

/** Return a receipt from the wire. */
export function toReceipt(receipt: Receipt__Output): Receipt {
  return {
    requestId: receipt.requestId,
    function: receipt.function,
    route: enumName(receipt.route, "ROUTE_"),
    reason: receipt.reason,
    pool: receipt.pool,
    worker: receipt.worker,
    sessionEpoch: Number(receipt.sessionEpoch),
    queueUs: Number(receipt.queueUs),
    workerUs: Number(receipt.workerUs),
    modelUs: Number(receipt.modelUs),
    totalUs: Number(receipt.totalUs),
    bytesIn: Number(receipt.bytesIn),
    bytesOut: Number(receipt.bytesOut),
    memoryChangeBytes: receipt.memoryChangeBytes === undefined ? undefined : Number(receipt.memoryChangeBytes),
    usage: receipt.usage.map(toUsage),
    batchSize: receipt.batchSize,
    batchUs: Number(receipt.batchUs),
    nested: receipt.nested ? toNested(receipt.nested) : undefined,
    budget: receipt.budget ? toBudget(receipt.budget) : undefined,
    programVersion: Number(receipt.programVersion),
    attempts: receipt.attempts,
    alternative: receipt.alternative,
    hedged: receipt.hedged,
    fallback: receipt.fallback,
    tried: receipt.tried.map(toAttempt),
    tools: receipt.tools.map(toToolUse),
    toolCalls: Number(receipt.toolCalls),
    toolUs: Number(receipt.toolUs),
    answers: receipt.answers.map(toAnswer),
    keyName: receipt.keyName,
  };
}

/** Return a receipt whose fields are those of `own` where it has them, else those that it shares with others. */
export function mergeReceipts(shared: Receipt__Output | undefined, own: Receipt__Output): Receipt__Output {
  if (shared === undefined) return own;
  const merged: Record<string, unknown> = { ...shared };
  for (const [name, value] of Object.entries(own)) {
    if (Array.isArray(value)) merged[name] = [...(merged[name] as unknown[]), ...value];
    else if (!isUnset(value)) merged[name] = value;
  }
  return merged as unknown as Receipt__Output;
}

/** Whether a field's value is what a field has that was not sent; numbers of 64 bits and enums are texts. */
function isUnset(value: unknown): boolean {
  return !value || value === "0" || value === "ROUTE_UNSPECIFIED";
}

function toAttempt({ alternative, kind, failure, us }: Attempt__Output): Attempt {
  return { alternative, kind, failure, us: Number(us) };
}

function toToolUse({ tool, calls, failed, us }: ToolUse__Output): ToolUse {
  return { tool, calls: Number(calls), failed: Number(failed), us: Number(us) };
}

function toAnswer({ model, cause, passed, ageMs, originRequestId }: ModelAnswer__Output): ModelAnswer {
  return { model, cause, passed: [...passed], ageMs: Number(ageMs), originRequestId };
}

function toNested(nested: NestedCalls__Output): NestedCalls {
  return {
    calls: Number(nested.calls),
    failed: Number(nested.failed),
    totalUs: Number(nested.totalUs),
    queueUs: Number(nested.queueUs),
    workerUs: Number(nested.workerUs),
    modelUs: Number(nested.modelUs),
    bytesIn: Number(nested.bytesIn),
    bytesOut: Number(nested.bytesOut),
    usage: nested.usage.map(toUsage),
    listed: nested.listed.map((one) => ({
      function: one.function,
      code: one.code,
      reason: one.reason,
      worker: one.worker,
      totalUs: Number(one.totalUs),
      workerUs: Number(one.workerUs),
      tokens: Number(one.tokens),
      costUsd: one.costUsd,
      calls: Number(one.calls),
    })),
    unlisted: Number(nested.unlisted),
  };
}

/** Return the state of a budget from the wire. */
export function toBudget(budget: BudgetState__Output): BudgetState {
  return {
    usdSpent: budget.usdSpent,
    usdLeft: budget.usdLeft,
    tokensSpent: known(budget.tokensSpent),
    tokensLeft: known(budget.tokensLeft),
    callsSpent: known(budget.callsSpent),
    callsLeft: known(budget.callsLeft),
  };
}

function known(value: unknown): number | undefined {
  return value === undefined ? undefined : Number(value);
}

/** Return a model's usage from the wire. */
export function toUsage(usage: ModelUsage__Output): ModelUsage {
  return {
    model: usage.model,
    calls: Number(usage.calls),
    inputTokens: Number(usage.inputTokens),
    outputTokens: Number(usage.outputTokens),
    cachedTokens: Number(usage.cachedTokens),
    costUsd: usage.costUsd,
    cachedCalls: Number(usage.cachedCalls),
    unpricedCalls: Number(usage.unpricedCalls),
  };
}

/**
 * Receipts: where a call's time, memory, tokens and money went, as the trailing metadata `bridge-receipt-bin` tells.
 */
import type { Metadata } from "@grpc/grpc-js";
import type { ModelUsage__Output } from "./generated/bridge/v1/ModelUsage.js";
import type { Receipt__Output } from "./generated/bridge/v1/Receipt.js";
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
  /** US dollars; undefined where the model's price is not known. */
  costUsd: number | undefined;
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

function toReceipt(receipt: Receipt__Output): Receipt {
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
  };
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
  };
}

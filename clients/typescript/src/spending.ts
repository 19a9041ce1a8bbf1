/**
 * The configured language models and how they stand, and what was spent on them.
 */
import type { ListCostsResponse__Output } from "./generated/bridge/v1/ListCostsResponse.js";
import type { ModelInfo__Output } from "./generated/bridge/v1/ModelInfo.js";
import { type BudgetState, toBudget } from "./receipt.js";

/** A configured model. Counts are since the server's start, or since it was configured anew. */
export interface ModelInfo {
  name: string;
  /** As LiteLLM names it, such as "openai/gpt-4o-mini". */
  model: string;
  fallbacks: string[];
  /** Undefined where it has no such limit, as the next two. */
  requestsPerMinute: number | undefined;
  tokensPerMinute: number | undefined;
  maxConcurrent: number | undefined;
  running: number;
  waiting: number;
  requestsLastMinute: number;
  tokensLastMinute: number;
  /** For how long it is passed over, as it has failed and others stand in for it; 0 where it is asked. */
  coolingS: number;
  requests: number;
  /** Requests that its limits have refused. */
  refused: number;
  /** How long its answers are kept; 0 where they are not. */
  cacheTtlS: number;
  cacheEntries: number;
  cacheBytes: number;
  cacheHits: number;
  /** Requests that got the answer to the same question of another request at the same time. */
  cacheShared: number;
  cacheMisses: number;
}

/** What the calls of one function by one tenant have used of one model. */
export interface Cost {
  tenant: string;
  function: string;
  model: string;
  requests: number;
  cachedRequests: number;
  inputTokens: number;
  outputTokens: number;
  costUsd: number;
  unpricedRequests: number;
}

/** One holder's share of a budget of the configuration. */
export interface StandingBudget {
  name: string;
  /** The tenant, session, key reference or model; empty where all share it. */
  holder: string;
  /** When the present period ends. */
  endsAt: Date;
  state: BudgetState | undefined;
}

/** What was spent on language models since the server's start, the dearest first. A tenant sees its own alone. */
export interface Spending {
  costs: Cost[];
  budgets: StandingBudget[];
}

/** Return a model from the wire. */
export function toModelInfo(info: ModelInfo__Output): ModelInfo {
  return {
    name: info.name,
    model: info.model,
    fallbacks: [...info.fallbacks],
    requestsPerMinute: info.requestsPerMinute,
    tokensPerMinute: info.tokensPerMinute === undefined ? undefined : Number(info.tokensPerMinute),
    maxConcurrent: info.maxConcurrent,
    running: info.running,
    waiting: info.waiting,
    requestsLastMinute: info.requestsLastMinute,
    tokensLastMinute: Number(info.tokensLastMinute),
    coolingS: info.coolingS,
    requests: Number(info.requests),
    refused: Number(info.refused),
    cacheTtlS: info.cacheTtlS,
    cacheEntries: Number(info.cacheEntries),
    cacheBytes: Number(info.cacheBytes),
    cacheHits: Number(info.cacheHits),
    cacheShared: Number(info.cacheShared),
    cacheMisses: Number(info.cacheMisses),
  };
}

/** Return what was spent from the wire. */
export function toSpending(reply: ListCostsResponse__Output): Spending {
  const costs = reply.costs.map((cost) => ({
    tenant: cost.tenant,
    function: cost.function,
    model: cost.model,
    requests: Number(cost.requests),
    cachedRequests: Number(cost.cachedRequests),
    inputTokens: Number(cost.inputTokens),
    outputTokens: Number(cost.outputTokens),
    costUsd: cost.costUsd,
    unpricedRequests: Number(cost.unpricedRequests),
  }));
  const budgets = reply.budgets.map(({ name, holder, endsAtS, state }) => {
    return { name, holder, endsAt: new Date(endsAtS * 1000), state: state ? toBudget(state) : undefined };
  });
  return { costs, budgets };
}

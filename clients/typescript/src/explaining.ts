/**
 * Routing decisions as `explain` returns them: where a call would go, and the figures behind it.
 */
import type { Alternative__Output } from "./generated/bridge/v1/Alternative.js";
import type { ExplainResponse__Output } from "./generated/bridge/v1/ExplainResponse.js";
import type { MeasuredTimes__Output } from "./generated/bridge/v1/MeasuredTimes.js";
import type { Prediction__Output } from "./generated/bridge/v1/Prediction.js";
import { enumName } from "./wire.js";

/** What was measured of calls, in microseconds. Old calls count less. */
export interface MeasuredTimes {
  /** How many fresh calls it is worth. */
  samples: number;
  meanUs: number;
  p50Us: number;
  p99Us: number;
  /** The calls that count had requests from this size. */
  minRequestBytes: number;
  maxRequestBytes: number;
}

/** How long a call is predicted to take on one way, in microseconds. */
export interface Prediction {
  totalUs: number;
  queueUs: number;
  transferUs: number;
  serviceUs: number;
  /** What ways are compared by: the total, and what its time in the front costs the calls that wait for the front. */
  burdenUs: number;
}

/** One way that a call may go. */
export interface Alternative {
  function: string;
  /** "native" or "pooled". */
  route: string;
  pool: string;
  chosen: boolean;
  /** Why it may not go this way; empty where it may. */
  excluded: string;
  /** Undefined where nothing is known. */
  prediction: Prediction | undefined;
  /** How long calls of such a size run there. */
  service: MeasuredTimes | undefined;
  /** How long they are on the way; undefined for the front. */
  transfer: MeasuredTimes | undefined;
  /** The pool as it is now; undefined for the front. */
  load: { workers: number; waiting: number; waitUs: number } | undefined;
  /** The worker that the session has there; empty for none. */
  worker: string;
  weight: number | undefined;
  costUsd: number | undefined;
  failureRate: number | undefined;
  /** The state of its circuit breaker; empty where it has none. */
  breaker: string;
  /** Whether it only gets copies of calls, whose answers are thrown away. */
  copiesOnly: boolean;
  /** Its name in receipts and figures, where the function has a route. */
  label: string;
  /** Whether it is asked only where the others have failed. */
  fallback: boolean;
  /** How long attempts have taken; undefined where there were none. */
  attempts: MeasuredTimes | undefined;
}

/** How busy the front process is, and what it may take on. */
export interface FrontLoad {
  /** Which part of the time its event loop is busy, 0 to 1. */
  busy: number;
  lagUs: number;
  nativeRunning: number;
  nativeLimit: number;
  maxRequestBytes: number;
  maxP99Us: number;
}

/** Where a call would go, and why. */
export interface Explanation {
  function: string;
  /** Where it is declared to run: "native", "pooled" or "auto". */
  placement: string;
  requestBytes: number;
  reason: string;
  /** Every way that there is, the chosen one first. */
  alternatives: Alternative[];
  /** The way that the call would go; undefined where there is none. */
  chosen: Alternative | undefined;
  /** Undefined where it does not count. */
  front: FrontLoad | undefined;
}

/** Return a decision from the wire. */
export function toExplanation(reply: ExplainResponse__Output): Explanation {
  const alternatives = reply.alternatives.map(toAlternative);
  const { front } = reply;
  return {
    function: reply.function,
    placement: enumName(reply.placement, "PLACEMENT_"),
    requestBytes: Number(reply.requestBytes),
    reason: reply.reason,
    alternatives,
    chosen: alternatives.find(({ chosen }) => chosen),
    front: front
      ? {
          busy: front.busy,
          lagUs: Number(front.lagUs),
          nativeRunning: front.nativeRunning,
          nativeLimit: front.nativeLimit,
          maxRequestBytes: Number(front.maxRequestBytes),
          maxP99Us: Number(front.maxP99Us),
        }
      : undefined,
  };
}

function toAlternative(way: Alternative__Output): Alternative {
  const { load } = way;
  return {
    function: way.function,
    route: enumName(way.route, "ROUTE_"),
    pool: way.pool,
    chosen: way.chosen,
    excluded: way.excluded,
    prediction: toPrediction(way.prediction),
    service: toTimes(way.service),
    transfer: toTimes(way.transfer),
    load: load ? { workers: load.workers, waiting: load.waiting, waitUs: Number(load.waitUs) } : undefined,
    worker: way.worker,
    weight: way.weight,
    costUsd: way.costUsd,
    failureRate: way.failureRate,
    breaker: way.breaker,
    copiesOnly: way.copiesOnly,
    label: way.label,
    fallback: way.fallback,
    attempts: toTimes(way.attempts),
  };
}

function toPrediction(prediction: Prediction__Output | null): Prediction | undefined {
  if (!prediction) return undefined;
  return {
    totalUs: Number(prediction.totalUs),
    queueUs: Number(prediction.queueUs),
    transferUs: Number(prediction.transferUs),
    serviceUs: Number(prediction.serviceUs),
    burdenUs: Number(prediction.burdenUs),
  };
}

function toTimes(times: MeasuredTimes__Output | null): MeasuredTimes | undefined {
  if (!times) return undefined;
  return {
    samples: times.samples,
    meanUs: Number(times.meanUs),
    p50Us: Number(times.p50Us),
    p99Us: Number(times.p99Us),
    minRequestBytes: Number(times.minRequestBytes),
    maxRequestBytes: Number(times.maxRequestBytes),
  };
}

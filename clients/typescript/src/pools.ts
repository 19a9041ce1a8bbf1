/**
 * PoolService: the server's pools and their workers.
 */
import type { Pool__Output } from "./generated/bridge/v1/Pool.js";
import type { CallOptions } from "./options.js";
import type { Transport } from "./transport.js";
import { durationMs, enumName, wire } from "./wire.js";

const service = wire["bridge.v1.PoolService"];

/** A worker process. */
export interface WorkerInfo {
  id: string;
  pid: number;
  /** "starting", "ready", "draining" or "stopping". */
  state: string;
  running: number;
  calls: number;
  rssBytes: number;
  ageMs: number | undefined;
}

/** The end of a worker process. */
export interface WorkerExit {
  worker: string;
  /** In words, such as "killed by SIGKILL". */
  cause: string;
  stderrTail: string;
  ageMs: number | undefined;
}

/** A pool as the server sees it. */
export interface PoolInfo {
  name: string;
  /** "starting", "ready", "failed", "draining" or "missing_extra". */
  state: string;
  /** Why it is in that state, where that needs a reason. */
  cause: string;
  size: number;
  concurrency: number;
  queued: number;
  queueLimit: number;
  running: number;
  /** 0 for no limit. */
  memoryLimitBytes: number;
  restarts: number;
  calls: number;
  functions: string[];
  workers: WorkerInfo[];
  /** How long ago a call went through the pool's whole path; undefined before the first. */
  proofAgeMs: number | undefined;
  /** Newest first. */
  exits: WorkerExit[];
}

/** Return all pools, in the order of names. */
export async function listPools(transport: Transport, options: CallOptions): Promise<PoolInfo[]> {
  const { pools } = await transport.unary(service.List, {}, options);
  return pools.map(toPool);
}

/** Return one pool. */
export async function getPool(transport: Transport, name: string, options: CallOptions): Promise<PoolInfo> {
  return toPool((await transport.unary(service.Get, { name }, options)).pool as Pool__Output);
}

function toPool(pool: Pool__Output): PoolInfo {
  return {
    name: pool.name,
    state: enumName(pool.state, "POOL_STATE_"),
    cause: pool.cause,
    size: pool.size,
    concurrency: pool.concurrency,
    queued: pool.queued,
    queueLimit: pool.queueLimit,
    running: pool.running,
    memoryLimitBytes: Number(pool.memoryLimitBytes),
    restarts: Number(pool.restarts),
    calls: Number(pool.calls),
    functions: [...pool.functions],
    workers: pool.workers.map((worker) => ({
      id: worker.id,
      pid: worker.pid,
      state: enumName(worker.state, "WORKER_STATE_"),
      running: worker.running,
      calls: Number(worker.calls),
      rssBytes: Number(worker.rssBytes),
      ageMs: worker.age ? durationMs(worker.age) : undefined,
    })),
    proofAgeMs: pool.proofAge ? durationMs(pool.proofAge) : undefined,
    exits: pool.exits.map(({ worker, cause, stderrTail, age }) => {
      return { worker, cause, stderrTail, ageMs: age ? durationMs(age) : undefined };
    }),
  };
}

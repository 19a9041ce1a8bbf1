/**
 * When a failed call is tried again: only where it may be, and where the server says when to. Pure, but for the wait.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { BridgeError } from "./errors.js";
import type { CallOptions } from "./options.js";

const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 5000;
/** Waits are longer by up to this share, so that clients that failed together do not come back together. */
const JITTER = 0.2;

/**
 * Return how long to wait before the next attempt, in milliseconds; undefined where there is to be none.
 *
 * A call that never left this machine may always be repeated; one that did only where the server has said when to try
 * again and the caller that it may run twice.
 */
export function pauseBefore(
  attempt: number,
  error: BridgeError,
  options: CallOptions,
  remainingMs: number,
): number | undefined {
  if (attempt > (options.retries ?? 0) || options.signal?.aborted) return undefined;
  const repeatable = options.idempotent === true || options.idempotencyKey !== undefined;
  let pauseMs: number;
  if (error.notSent) pauseMs = Math.min(FIRST_PAUSE_MS * 2 ** (attempt - 1), LONGEST_PAUSE_MS);
  else if (repeatable && error.retryAfterMs !== undefined) pauseMs = error.retryAfterMs;
  else return undefined;
  pauseMs *= 1 + JITTER * Math.random();
  return pauseMs < remainingMs ? pauseMs : undefined;
}

/** Wait; an abort ends the wait early, without an error. */
export async function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  try {
    await sleep(ms, undefined, signal === undefined ? {} : { signal });
  } catch (error) {
    if (!signal?.aborted) throw error;
  }
}

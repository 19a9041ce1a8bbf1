/**
 * What happens while a program runs, as events, and how they are read.
 */
import type { StreamRunResponse__Output } from "./generated/bridge/v1/StreamRunResponse.js";
import type { LargeIntegers } from "./json.js";
import { decodeValue } from "./payload.js";
import { type ModelUsage, toUsage } from "./receipt.js";
import { ResultStream, type StreamCall } from "./stream.js";
import { enumName } from "./wire.js";

/** A program's outputs, one key per output field. */
export type Outputs = Record<string, unknown>;

/** Text that was added to an output field. */
export interface DeltaEvent {
  type: "delta";
  /** Counts the events of the stream from 1. */
  sequence: number;
  /** The predictor inside the program that produced it. */
  predictor: string;
  field: string;
  text: string;
  /** Whether the field is complete now. */
  last: boolean;
}

/** The run has come to another step. */
export interface StatusEvent {
  type: "status";
  sequence: number;
  /** "started", "predictor_started", "predictor_ended", "model_started", "model_ended" or "message". */
  step: string;
  /** Its name inside the program; empty where the step is none of a predictor. */
  predictor: string;
  model: string;
  /** How long the step took, where it has ended. */
  seconds: number;
  /** Why the step failed; empty where it did not. The program may go on. */
  error: string;
  /** What the program says. */
  message: string;
  /** Steps and tools that were left out before this event, since this client was so slow to read. */
  omitted: number;
}

/** Text that a model has added to its thoughts, which are no part of its answer. */
export interface ReasoningEvent {
  type: "reasoning";
  sequence: number;
  predictor: string;
  text: string;
}

/** A call of a tool by the program; the server sees to it. */
export interface ToolCallEvent {
  type: "tool_call";
  sequence: number;
  /** Tells the call from the others of its run; its result has the same. */
  id: string;
  tool: string;
  /** JSON text; cut off where `truncated`. */
  arguments: string;
  truncated: boolean;
}

/** How a call of a tool has ended. */
export interface ToolResultEvent {
  type: "tool_result";
  sequence: number;
  id: string;
  tool: string;
  /** JSON text; cut off where `truncated`, empty where the tool failed. */
  result: string;
  /** Why it failed; empty where it did not. */
  error: string;
  seconds: number;
  truncated: boolean;
}

/** What the run has used so far, one record per model. */
export interface UsageEvent {
  type: "usage";
  sequence: number;
  usage: ModelUsage[];
}

/** The run has ended well; always the last event. */
export interface FinalEvent<Result = Outputs> {
  type: "final";
  sequence: number;
  outputs: Result;
}

/** What happens while a program runs: deltas and the end, and with `allEvents` the others as well. */
export type ProgramEvent<Result = Outputs> =
  | DeltaEvent
  | StatusEvent
  | ReasoningEvent
  | ToolCallEvent
  | ToolResultEvent
  | UsageEvent
  | FinalEvent<Result>;

/** The events of a running program. */
export class ProgramStream<Result = Outputs> extends ResultStream<ProgramEvent<Result>> {
  readonly #progress: Progress;

  constructor(
    open: (call: StreamCall) => AsyncGenerator<ProgramEvent<Result>, void, undefined>,
    progress: Progress,
  ) {
    super(open);
    this.#progress = progress;
  }

  /** What `programs.resume` and `cancelRun` take: there after the first event of a resumable run. A secret. */
  get resumeToken(): string | undefined {
    return this.#progress.token;
  }

  /** The number of the last event that has come: where to go on after a disconnect. 0 before the first. */
  get lastSequence(): number {
    return this.#progress.sequence;
  }
}

/** How far a stream has come. */
export interface Progress {
  token: string | undefined;
  sequence: number;
}

/** Return an event from the wire; none for a kind that a newer server has added. */
export function toEvents<Result>(
  reply: StreamRunResponse__Output,
  largeIntegers: LargeIntegers,
): ProgramEvent<Result>[] {
  const sequence = Number(reply.sequence);
  switch (reply.event) {
    case "fieldDelta": {
      const { predictor, field, text, last } = present(reply.fieldDelta);
      return [{ type: "delta", sequence, predictor, field, text, last }];
    }
    case "status": {
      const { step, predictor, model, seconds, error, message, omitted } = present(reply.status);
      const told = { step: enumName(step, "RUN_STEP_"), predictor, model, seconds, error, message };
      return [{ type: "status", sequence, ...told, omitted: Number(omitted) }];
    }
    case "reasoningDelta": {
      const { predictor, text } = present(reply.reasoningDelta);
      return [{ type: "reasoning", sequence, predictor, text }];
    }
    case "toolCall": {
      const { id, tool, arguments: text, truncated } = present(reply.toolCall);
      return [{ type: "tool_call", sequence, id, tool, arguments: text, truncated }];
    }
    case "toolResult": {
      const { id, tool, result, error, seconds, truncated } = present(reply.toolResult);
      return [{ type: "tool_result", sequence, id, tool, result, error, seconds, truncated }];
    }
    case "usage":
      return [{ type: "usage", sequence, usage: present(reply.usage).usage.map(toUsage) }];
    case "final":
      return [{ type: "final", sequence, outputs: decodeValue(present(reply.final).outputs, largeIntegers) as Result }];
    default:
      return [];
  }
}

/** What `event` names is there. */
function present<Value>(value: Value | null | undefined): Value {
  return value as Value;
}

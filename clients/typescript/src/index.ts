export {
  type Bridge,
  connect,
  type FunctionDescription,
  type FunctionsOptions,
  type FunctionSummary,
} from "./bridge.js";
export type { Calls, WithReceipt } from "./calls.js";
export type { Embeddings, EmbedOptions, SimilarityOptions } from "./embeddings.js";
export { BridgeError, type Code, type Violation } from "./errors.js";
export type { LargeIntegers } from "./json.js";
export type { Example, MetricInfo, Metrics, Provenance, Score, ScoreOptions } from "./metrics.js";
export type {
  ExtractOptions,
  Extraction,
  GenerateOptions,
  Generation,
  GenerationEvent,
  Message,
  Models,
  Tool,
  ToolCall,
} from "./models.js";
export type { Arguments } from "./payload.js";
export type { PoolInfo, WorkerExit, WorkerInfo } from "./pools.js";
export type {
  DeltaEvent,
  FinalEvent,
  Outputs,
  ProgramDescription,
  ProgramEvent,
  Programs,
  ProgramSummary,
  RunOptions,
} from "./programs.js";
export type { BudgetState, ModelUsage, NestedCall, NestedCalls, Receipt } from "./receipt.js";
export type { Session, SessionInfo, SessionOptions } from "./session.js";
export { Tensor, tensor, type TypedArray } from "./tensor.js";
export type { Budget, CallOptions, ConnectOptions, MetadataValues, ResultStream } from "./transport.js";

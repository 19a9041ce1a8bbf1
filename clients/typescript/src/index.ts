export type {
  Extraction,
  ExtractionEvent,
  ExtractOptions,
  GenerateOptions,
  Generation,
  GenerationEvent,
} from "./answers.js";
export type { Batch, BatchAnswer, BatchEvent, Concurrency } from "./batches.js";
export {
  type Bridge,
  connect,
  type FunctionDescription,
  type FunctionsOptions,
  type FunctionSummary,
  type ToolInfo,
} from "./bridge.js";
export type { Calls, WithReceipt } from "./calls.js";
export type { Conversation, GenerationSettings, Image, Message, Tool, ToolCall, ToolSettings } from "./conversation.js";
export type { TlsOptions } from "./credentials.js";
export type { Embeddings, EmbedOptions, SimilarityOptions } from "./embeddings.js";
export { BridgeError, type Code, type Violation } from "./errors.js";
export type { Alternative, Explanation, FrontLoad, MeasuredTimes, Prediction } from "./explaining.js";
export { defineTool, type FromSchema, type HostedTool, ToolCancelled, type ToolContext, type TypedTool } from "./hosted-tools.js";
export type { HostOptions, ToolHost } from "./hosting.js";
export type { LargeIntegers } from "./json.js";
export type { Example, MetricInfo, Metrics, Provenance, Score, ScoreOptions } from "./metrics.js";
export type { GeneratedImage, ImagesOptions, Models } from "./models.js";
export type { MultiplexCallOptions, Multiplexed, MultiplexOptions } from "./multiplex.js";
export type {
  Budget,
  CallOptions,
  ConnectOptions,
  MetadataValues,
  Priority,
  SessionMode,
  ValueOptions,
} from "./options.js";
export type { Arguments, Form } from "./payload.js";
export type { PoolInfo, WorkerExit, WorkerInfo } from "./pools.js";
export type {
  DeltaEvent,
  FinalEvent,
  Outputs,
  ProgramEvent,
  ProgramStream,
  ReasoningEvent,
  StatusEvent,
  ToolCallEvent,
  ToolResultEvent,
  UsageEvent,
} from "./program-events.js";
export type {
  Adapter,
  ModuleKind,
  ModuleOptions,
  ProgramChange,
  ProgramField,
  ProgramSource,
  ProgramVersion,
  ProgramVersions,
  SignatureCheck,
} from "./program-sources.js";
export type {
  ProgramDescription,
  Programs,
  ProgramSummary,
  ResumeOptions,
  RunOptions,
  StreamRunOptions,
} from "./programs.js";
export type { Attempt, BudgetState, ModelAnswer, ModelUsage, NestedCall, NestedCalls, Receipt, ToolUse } from "./receipt.js";
export type { Session, SessionInfo, SessionOptions } from "./session.js";
export type { Cost, ModelInfo, Spending, StandingBudget } from "./spending.js";
export type { ResultStream } from "./stream.js";
export { Tensor, tensor, type TypedArray } from "./tensor.js";
export type { DeleteOptions, SetOptions, Variable, Variables, WatchEvent } from "./variables.js";

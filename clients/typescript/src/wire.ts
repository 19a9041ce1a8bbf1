/**
 * The protocol: loads the proto files beside this package once, and names its services and messages with their types.
 * It knows nothing about connections. The options must match those of scripts/generate.mjs, which makes the types.
 */
import { fileURLToPath } from "node:url";
import { loadSync, type MessageTypeDefinition } from "@grpc/proto-loader";
import type { EmbeddingServiceDefinition } from "./generated/bridge/v1/EmbeddingService.js";
import type { InvokeServiceDefinition } from "./generated/bridge/v1/InvokeService.js";
import type { MetricServiceDefinition } from "./generated/bridge/v1/MetricService.js";
import type { ModelServiceDefinition } from "./generated/bridge/v1/ModelService.js";
import type { PoolServiceDefinition } from "./generated/bridge/v1/PoolService.js";
import type { ProgramServiceDefinition } from "./generated/bridge/v1/ProgramService.js";
import type { Receipt, Receipt__Output } from "./generated/bridge/v1/Receipt.js";
import type { CallRequest, CallRequest__Output } from "./generated/bridge/v1/CallRequest.js";
import type { Payload, Payload__Output } from "./generated/bridge/v1/Payload.js";
import type { SessionServiceDefinition } from "./generated/bridge/v1/SessionService.js";
import type { ToolServiceDefinition } from "./generated/bridge/v1/ToolService.js";
import type { BadRequest, BadRequest__Output } from "./generated/google/rpc/BadRequest.js";
import type { DebugInfo, DebugInfo__Output } from "./generated/google/rpc/DebugInfo.js";
import type { ErrorInfo, ErrorInfo__Output } from "./generated/google/rpc/ErrorInfo.js";
import type { RetryInfo, RetryInfo__Output } from "./generated/google/rpc/RetryInfo.js";
import type { HealthDefinition } from "./generated/grpc/health/v1/Health.js";

/** google.rpc.Status as it is at run time: protobufjs brings its own Any, whose field names are not in camel case. */
export interface RpcStatus {
  code: number;
  message: string;
  details: { type_url: string; value: Uint8Array }[];
}

interface Definitions {
  "bridge.v1.EmbeddingService": EmbeddingServiceDefinition;
  "bridge.v1.InvokeService": InvokeServiceDefinition;
  "bridge.v1.MetricService": MetricServiceDefinition;
  "bridge.v1.ModelService": ModelServiceDefinition;
  "bridge.v1.PoolService": PoolServiceDefinition;
  "bridge.v1.ProgramService": ProgramServiceDefinition;
  "bridge.v1.SessionService": SessionServiceDefinition;
  "bridge.v1.ToolService": ToolServiceDefinition;
  "grpc.health.v1.Health": HealthDefinition;
  "bridge.v1.CallRequest": MessageTypeDefinition<CallRequest, CallRequest__Output>;
  "bridge.v1.Payload": MessageTypeDefinition<Payload, Payload__Output>;
  "bridge.v1.Receipt": MessageTypeDefinition<Receipt, Receipt__Output>;
  "google.rpc.Status": MessageTypeDefinition<RpcStatus, RpcStatus>;
  "google.rpc.ErrorInfo": MessageTypeDefinition<ErrorInfo, ErrorInfo__Output>;
  "google.rpc.BadRequest": MessageTypeDefinition<BadRequest, BadRequest__Output>;
  "google.rpc.RetryInfo": MessageTypeDefinition<RetryInfo, RetryInfo__Output>;
  "google.rpc.DebugInfo": MessageTypeDefinition<DebugInfo, DebugInfo__Output>;
}

const FILES = [
  "bridge/v1/embedding.proto",
  "bridge/v1/invoke.proto",
  "bridge/v1/metric.proto",
  "bridge/v1/model.proto",
  "bridge/v1/pool.proto",
  "bridge/v1/program.proto",
  "bridge/v1/session.proto",
  "bridge/v1/tool.proto",
  "google/rpc/status.proto",
  "google/rpc/error_details.proto",
  "grpc/health/v1/health.proto",
];

/** Every service and message of the protocol, by its full name. */
export const wire = loadSync(FILES, {
  includeDirs: [fileURLToPath(new URL("../proto", import.meta.url))],
  longs: String,
  enums: String,
  defaults: true,
  oneofs: true,
}) as unknown as Definitions;

/** Return an enum value's name without its prefix, in lower case; a number that this version does not know as text. */
export function enumName(value: string | number | undefined, prefix: string): string {
  if (value === undefined) return "unspecified";
  const name = String(value);
  return name.startsWith(prefix) ? name.slice(prefix.length).toLowerCase() : name;
}

/** Return a google.protobuf.Duration as milliseconds. */
export function durationMs(duration: { seconds: string; nanos: number }): number {
  return Number(duration.seconds) * 1000 + duration.nanos / 1e6;
}

/** Return milliseconds as a google.protobuf.Duration. */
export function toDuration(ms: number): { seconds: string; nanos: number } {
  const seconds = Math.floor(ms / 1000);
  return { seconds: String(seconds), nanos: Math.round((ms - seconds * 1000) * 1e6) };
}

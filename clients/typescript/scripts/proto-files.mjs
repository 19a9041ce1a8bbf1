// The proto files of this package: `BRIDGE_FILES` are copies of the repository's, the others belong to gRPC and Google.
export const BRIDGE_FILES = ["access", "common", "embedding", "invoke", "metric", "model", "pool", "program", "session", "tool"].map(
  (name) => `bridge/v1/${name}.proto`,
);
export const PROTO_FILES = [
  ...BRIDGE_FILES,
  "google/rpc/status.proto",
  "google/rpc/error_details.proto",
  "grpc/health/v1/health.proto",
];

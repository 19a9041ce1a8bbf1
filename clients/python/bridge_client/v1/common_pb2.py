"""Messages of bridge/v1/common.proto in the client's own descriptor pool. Written by generate.py; do not edit."""

from bridge_client.descriptors import enum, file, message

DESCRIPTOR = file("bridge/v1/common.proto")
Route = enum("bridge.v1.Route")
ROUTE_UNSPECIFIED = Route.Value("ROUTE_UNSPECIFIED")
ROUTE_NATIVE = Route.Value("ROUTE_NATIVE")
ROUTE_POOLED = Route.Value("ROUTE_POOLED")
FunctionKind = enum("bridge.v1.FunctionKind")
FUNCTION_KIND_UNSPECIFIED = FunctionKind.Value("FUNCTION_KIND_UNSPECIFIED")
FUNCTION_KIND_FUNCTION = FunctionKind.Value("FUNCTION_KIND_FUNCTION")
FUNCTION_KIND_PROGRAM = FunctionKind.Value("FUNCTION_KIND_PROGRAM")
FUNCTION_KIND_BUILTIN = FunctionKind.Value("FUNCTION_KIND_BUILTIN")
Placement = enum("bridge.v1.Placement")
PLACEMENT_UNSPECIFIED = Placement.Value("PLACEMENT_UNSPECIFIED")
PLACEMENT_NATIVE = Placement.Value("PLACEMENT_NATIVE")
PLACEMENT_POOLED = Placement.Value("PLACEMENT_POOLED")
Payload = message("bridge.v1.Payload")
Tensor = message("bridge.v1.Tensor")
Blob = message("bridge.v1.Blob")
Receipt = message("bridge.v1.Receipt")
ModelUsage = message("bridge.v1.ModelUsage")
FunctionInfo = message("bridge.v1.FunctionInfo")

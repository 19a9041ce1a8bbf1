"""Messages of bridge/v1/invoke.proto in the client's own descriptor pool. Written by generate.py; do not edit."""

from bridge_client.descriptors import enum, file, message

DESCRIPTOR = file("bridge/v1/invoke.proto")
Priority = enum("bridge.v1.Priority")
PRIORITY_UNSPECIFIED = Priority.Value("PRIORITY_UNSPECIFIED")
PRIORITY_LOW = Priority.Value("PRIORITY_LOW")
PRIORITY_NORMAL = Priority.Value("PRIORITY_NORMAL")
PRIORITY_HIGH = Priority.Value("PRIORITY_HIGH")
CallRequest = message("bridge.v1.CallRequest")
CallResponse = message("bridge.v1.CallResponse")
StreamCallRequest = message("bridge.v1.StreamCallRequest")
StreamCallResponse = message("bridge.v1.StreamCallResponse")
ItemPart = message("bridge.v1.ItemPart")
MultiplexRequest = message("bridge.v1.MultiplexRequest")
MultiplexCall = message("bridge.v1.MultiplexCall")
MultiplexOptions = message("bridge.v1.MultiplexOptions")
MultiplexResponse = message("bridge.v1.MultiplexResponse")
MultiplexResult = message("bridge.v1.MultiplexResult")
ListFunctionsRequest = message("bridge.v1.ListFunctionsRequest")
ListFunctionsResponse = message("bridge.v1.ListFunctionsResponse")
DescribeFunctionRequest = message("bridge.v1.DescribeFunctionRequest")
DescribeFunctionResponse = message("bridge.v1.DescribeFunctionResponse")

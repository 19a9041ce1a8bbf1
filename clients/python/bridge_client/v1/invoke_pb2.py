"""Messages of bridge/v1/invoke.proto in the client's own descriptor pool. Written by generate.py; do not edit."""

from bridge_client.descriptors import enum, file, message

DESCRIPTOR = file("bridge/v1/invoke.proto")
CallRequest = message("bridge.v1.CallRequest")
CallResponse = message("bridge.v1.CallResponse")
StreamCallRequest = message("bridge.v1.StreamCallRequest")
StreamCallResponse = message("bridge.v1.StreamCallResponse")
ListFunctionsRequest = message("bridge.v1.ListFunctionsRequest")
ListFunctionsResponse = message("bridge.v1.ListFunctionsResponse")
DescribeFunctionRequest = message("bridge.v1.DescribeFunctionRequest")
DescribeFunctionResponse = message("bridge.v1.DescribeFunctionResponse")
